// WebSocket peers nobody here wrote: npm's ws.
//
//   node websocket.mjs serve '{"cert": PATH, "key": PATH}'      echoes every message; prints `ready URL`
//   node websocket.mjs call '{"url": URL, "ca": PATH, "headers": {...}, "messages": [TEXT], "protocols": [NAME]}'
//
// `call` prints {"messages": [...], "protocol": NAME, "close": CODE}, or {"status": N, "body": TEXT} when the upgrade is
// refused. The server closes with 4001 when it is told `close`, and answers `headers` with the request's fields.
import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { WebSocket, WebSocketServer } from 'ws';

const [role, text] = process.argv.slice(2);
const options = JSON.parse(text);
if (role === 'serve') serve();
else call();

function serve() {
  const server = createServer({ cert: readFileSync(options.cert), key: readFileSync(options.key) });
  const sockets = new WebSocketServer({ server, handleProtocols: (offered) => [...offered][0] });
  sockets.on('connection', (socket, request) => {
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => {
      const message = isBinary ? data : data.toString();
      if (message === 'close') socket.close(4001, 'as asked');
      else if (message === 'headers') socket.send(JSON.stringify(request.headers));
      else socket.send(message);
    });
  });
  server.listen(0, '127.0.0.1', () => console.log(`ready https://localhost:${server.address().port}`));
}

function call() {
  const socket = new WebSocket(options.url.replace(/^http/, 'ws'), options.protocols ?? [], {
    ca: readFileSync(options.ca),
    headers: options.headers ?? {},
    handshakeTimeout: 10000,
  });
  const received = [];
  const wanted = [...(options.messages ?? [])];
  const next = () => (wanted.length > 0 ? socket.send(wanted.shift()) : socket.close(1000));
  socket.on('open', next);
  socket.on('message', (data) => {
    received.push(data.toString());
    next();
  });
  socket.on('close', (code) => tell({ messages: received, protocol: socket.protocol, close: code }));
  socket.on('error', (error) => tell({ error: error.message }));
  socket.on('unexpected-response', async (_request, response) => {
    let body = '';
    for await (const chunk of response) body += chunk;
    tell({ status: response.statusCode, body });
  });
}

function tell(result) {
  console.log(JSON.stringify(result));
  process.exit(0);
}
