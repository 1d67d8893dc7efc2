-- POSTs the order, going round through paths and credentials.
--   wrk -s order.lua URL -- BODY_FILE PATHS_FILE CREDENTIALS_FILE    (one path, one `Name: value` a line)
local function lines(path)
  local found = {}
  for line in io.lines(path) do found[#found + 1] = line end
  return found
end

local requests, at = {}, 0

function init(args)
  local body = io.open(args[1]):read("*a")
  local paths, credentials = lines(args[2]), lines(args[3])
  for i = 1, math.max(#paths, #credentials) do
    local name, value = credentials[(i - 1) % #credentials + 1]:match("^(.-): (.*)$")
    local headers = { ["Content-Type"] = "application/json", [name] = value }
    requests[i] = wrk.format("POST", paths[(i - 1) % #paths + 1], headers, body)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
