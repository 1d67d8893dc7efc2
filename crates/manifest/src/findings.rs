//! Every finding this room can give: one catalogue for `check`, `explain` and the reference pages.

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The manifest does not load; or what [time alone](Finding::is_by_time) has brought is refused.
    Error,
    /// It loads, but something should be mended.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// As reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One kind of finding, with its page.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// `IB1xx`: the manifest does not load. `IB2xx`: the checklist.
    pub id: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do about it.
    pub mend: &'static str,
    /// A piece of manifest that has it, and how it reads mended.
    pub example: &'static str,
}

impl Finding {
    /// Whether time alone brings it. Such an error must not keep the operator from taking rights away, nor stop what has
    /// nothing to do with it: `check` fails, a start and a reload go on, and what it concerns is refused.
    pub fn is_by_time(&self) -> bool {
        [finding::DANGER_EXPIRED.id, finding::NOT_VALID_NOW.id].contains(&self.id)
    }

    /// Whether a manifest that has it cannot be put into force.
    pub fn is_in_the_way(&self) -> bool {
        self.severity == Severity::Error && !self.is_by_time()
    }
}

macro_rules! findings {
    ($($name:ident = $id:literal, $severity:ident, $title:literal, $why:literal, $mend:literal, $example:literal;)*) => {
        /// Each kind of finding by name, for those who compile a manifest further and report with [`crate::Loaded`].
        pub mod finding {
            use super::{Finding, Severity};
            $(
                #[doc = concat!("`", $id, "`: ", $title, ".")]
                pub static $name: Finding = Finding {
                    id: $id,
                    severity: Severity::$severity,
                    title: $title,
                    why: $why,
                    mend: $mend,
                    example: $example,
                };
            )*
        }

        /// The whole catalogue, by id.
        pub fn findings() -> &'static [&'static Finding] {
            static ALL: &[&Finding] = &[$(&finding::$name),*];
            ALL
        }
    };
}

findings! {
    SYNTAX = "IB100", Error, "Not well-formed YAML",
        "The file cannot be read beyond this place, so nothing behind it was checked.",
        "Correct the place shown. Common causes: a key without a space after its colon, lines that are indented differently, text that begins with one of the characters `@*&!%{[` and is not in quotes.",
        "purpose: orders: and shipments      # wrong: a second colon\npurpose: 'orders: and shipments'    # right";
    SECRET_LITERAL = "IB101", Error, "A secret is written in clear",
        "Manifests live in repositories, backups and chat windows. A secret in one of them is no secret any more, so the field's type is a reference and nothing else.",
        "Put the value into the secret store with `ironbridge secret set NAME`, name it here, and replace the value where it came from: it has been written down.",
        "password: hunter2                   # wrong\npassword: secret://sealed/erp       # right";
    UNKNOWN_KEY = "IB102", Error, "Unknown key",
        "A key that is not understood would have no effect. Where security is declared, that must not pass unseen.",
        "Correct the key's name, or remove it. `ironbridge schema` prints the keys for editors to complete.",
        "permision: orders.read              # wrong\npermission: orders.read             # right";
    KEY_TWICE = "IB103", Error, "Key given twice",
        "One of the two values would silently win.",
        "Keep one of them.",
        "path: /erp\npath: /erp/v1                       # wrong: given twice";
    NAME_TWICE = "IB104", Error, "Name declared twice",
        "All files of the directory are merged, so a name means one thing in all of them.",
        "Rename one of the two, or remove it.",
        "# parties.yaml and old.yaml both hold\nsystems: { erp: { ... } }";
    KEY_MISSING = "IB105", Error, "Required key missing",
        "There is no safe default for this key.",
        "Add the key.",
        "erp: { country: DE }                                # wrong: owner is missing\nerp: { country: DE, owner: erp@acme.example }       # right";
    NOT_YET = "IB106", Error, "Not in this version",
        "The key or name belongs to a part of Ironbridge that this version does not have. Accepting it would pretend that it is enforced.",
        "Remove it for now.",
        "mask: { /customer/phone: last4 }    # not in this version";
    SHAPE = "IB107", Error, "Value of the wrong shape",
        "Where a map, a list or a single value is expected, something else is written.",
        "Write the value in the shape that the message names.",
        "roles: integration.order-reader     # wrong: a list is expected\nroles: [integration.order-reader]   # right";
    MALFORMED = "IB108", Error, "Malformed value",
        "The value cannot be read as what the key needs.",
        "Write it as the message shows. Durations, sizes and rates carry their unit.",
        "timeout: 30                         # wrong: no unit\ntimeout: 30s                        # right";
    OUT_OF_RANGE = "IB109", Error, "Value out of range",
        "The value is well-formed but beyond what is safe or possible.",
        "Choose a value within the range that the message names.",
        "api_key: { lifetime: 5000d }        # wrong: at most 366d\napi_key: { lifetime: 90d }          # right";
    UNKNOWN_WORD = "IB110", Error, "Unknown word",
        "Only the listed words have a meaning here.",
        "Use one of them.",
        "legal_basis: contractual            # wrong\nlegal_basis: contract               # right";
    FILE_MISSING = "IB111", Error, "File missing",
        "A manifest that names a file cannot be enforced without it.",
        "Correct the path; it is relative to the file that names it.",
        "schema: shipment.json               # wrong: the file is in ./schemas\nschema: ./schemas/shipment.json     # right";
    UNKNOWN_NAME = "IB112", Error, "Nothing has this name",
        "The name refers to something that no file declares.",
        "Correct the name, or declare it.",
        "target: epr                         # wrong: the system is called erp\ntarget: erp                         # right";
    YAML_FEATURE = "IB113", Error, "YAML feature not used here",
        "Anchors, aliases, merge keys, tags, directives and several documents in a file make a text mean something else than it shows, and let a small file grow without bound.",
        "Write the values out.",
        "limits: *standard                   # wrong\nlimits: { per_account: 100/min }    # right";
    TOO_LARGE = "IB114", Error, "Manifest too large",
        "Files, directories and nesting are bounded, so that a wrong path or a hostile file cannot exhaust the bridge.",
        "Split the file, or check that the right directory is given. A file may have 1 MiB; a directory 10,000 files and 32 MiB, 8 levels deep; values 32 levels.",
        "";
    UNREADABLE = "IB115", Error, "File cannot be read",
        "The file could not be opened, or is not UTF-8 text.",
        "Check its permissions and its encoding.",
        "";
    NO_MANIFEST = "IB116", Error, "No manifest",
        "No file of the directory itself says what the bridge is. One in a folder below it does not count: that is a manifest of its own.",
        "Add a file with the top-level key `bridge`, or give the right directory. `ironbridge init` makes one to start from.",
        "bridge:\n  name: acme-bridge";
    NOT_EXACTLY_ONE = "IB117", Error, "Not exactly one of the keys",
        "These keys exclude each other, and one is needed.",
        "Keep exactly one.",
        "auth: { bearer: { ... }, basic: { ... } }      # wrong\nauth: { bearer: { ... } }                      # right";
    NO_AUTHENTICATION = "IB118", Error, "No authentication",
        "Nothing crosses the bridge anonymously: an integration that nobody could authenticate for, or an account without credentials, is of no use or of too much.",
        "Give an account of the source system a credential that the integration accepts.",
        "accounts:\n  shop:\n    system: shop\n    credentials: { api_key: { lifetime: 90d } }";
    ROUTE_TWICE = "IB119", Error, "Two operations for one route",
        "A request could mean either, and their controls differ.",
        "Give one of them another path or method.",
        "match: GET /orders/{id}\nmatch: GET /orders/{number}         # wrong: the same route";
    CREDENTIAL_SHARED = "IB120", Error, "Two accounts with one credential",
        "A credential proves one identity. Which of the two called could not be told.",
        "Give each account its own.",
        "shop:  { credentials: { certificate: { san: shop.acme.example } } }\nshop2: { credentials: { certificate: { san: shop.acme.example } } }   # wrong";
    PLAINTEXT = "IB121", Error, "Unencrypted connection",
        "Over `http`, everything is readable and changeable on the way, credentials included.",
        "Use `https`. For a private CA, name its certificate in `ca`. Where a target has no TLS at all, `danger_plaintext` with a reason and an expiry date allows it for a time.",
        "url: http://erp.internal            # wrong\nurl: https://erp.internal           # right";
    NO_TARGET = "IB122", Error, "The target cannot be reached",
        "The integration is carried over HTTP, but its target does not say where it is.",
        "Add `http` with a `url` to the system.",
        "erp:\n  owner: erp@acme.example\n  country: DE\n  http: { url: https://erp.internal:8443 }";
    PUBLIC_URL_MISSING = "IB123", Error, "public_url missing",
        "Tokens of the built-in token endpoint name the bridge's public URL as issuer and audience, so it must be what callers use.",
        "Add `public_url` to `bridge`.",
        "bridge:\n  name: acme-bridge\n  public_url: https://bridge.acme.example";
    CONTRADICTION = "IB124", Error, "Keys contradict each other",
        "Both cannot hold at the same time.",
        "Remove one, as the message says.",
        "match: POST /live\nupgrade: websocket                  # wrong: WebSocket begins with GET";
    PATH_RESERVED = "IB125", Error, "Path reserved",
        "The bridge answers there itself.",
        "Choose another path.",
        "path: /.well-known/orders           # wrong";
    NOT_COMPILED = "IB126", Error, "A schema, rule or list cannot be used",
        "It is where it should be, but it cannot be understood, so it could not be enforced.",
        "Correct it as the message says.",
        "check: body.quantity >              # wrong: the expression is not complete";
    RULE_UNDECIDABLE = "IB127", Error, "A rule cannot be decided",
        "No request could make it true and false: it names a member that cannot be there, compares what can never be compared, divides by a written zero, or is true or false whatever comes. Every request would be refused, or none.",
        "Correct it as the message says. [rules.md](rules.md) (`ironbridge explain rules`) lists what rules see and which types operators take; the types of `body` come from `request.schema`.",
        "check: account == 'partner'         # wrong: account has members\ncheck: account.name == 'partner'    # right";

    MATERIAL_UNUSABLE = "IB130", Error, "A certificate, key or CA cannot be used",
        "The file is there, but no connection could be made with what is in it: it holds something else than the key names, its parts do not belong together, or others could read a private key.",
        "Put the right file there, as the message says. `openssl x509 -in FILE -noout -subject -issuer -dates` shows what a certificate is.",
        "ca: ./erp.key                       # wrong: a private key\nca: ./ca/erp.pem                    # right: the certificate of the CA that erp's own comes from";
    NOT_VALID_NOW = "IB131", Error, "A certificate is not valid today",
        "Whoever is shown it refuses it, so nothing could work. Its life is over, or has not begun; or this machine's clock is wrong. A start and a reload go on all the same, so that rights can be taken away and all else runs: exchanges with a system whose certificate or CA it is are refused with `target-suspended`, and an account whose CA it is cannot prove itself by certificate, until it is good. But a reload that would put such a file in the place of one that is good is refused as a whole.",
        "Put a current certificate there. The bridge takes it up by itself while it runs, within a minute of its beginning.",
        "certificate: { chain: ./tls/2025.pem, key: ./tls/2025.key }   # and it is 2026";
    SECRET_UNUSABLE = "IB132", Error, "A secret cannot be used",
        "The manifest names it, but the secret store does not have it, or not in the form that is needed: a token with `Bearer` before it, a byte order mark, a blank or a line break that came along when it was copied. What needs it could only fail.",
        "Set it with `ironbridge secret set NAME`, or correct the reference. What is set while the bridge runs, and is none, is told at once; whatever needs it is refused with `secret-unavailable`.",
        "password: secret://sealed/epr       # and it was set as `erp`";

    OTHER_NAME = "IB133", Error, "The audit trail has another name",
        "A bridge's name is the origin of its audit trail, and what signed it is named after it. The trail in the data directory is of another name, so the bridge does not start on it.",
        "Give the bridge the name again that its trail has. To begin another trail, give it another `data_dir`.",
        "bridge: { name: acme-bridge-2 }     # and the trail is of acme-bridge";

    DANGER_EXPIRED = "IB201", Error, "A danger has expired",
        "A weaker-than-default choice was accepted until this date. It has passed: from the next start or reload on, exchanges with the system are refused with `target-suspended`, and the issuer's tokens are taken only as without the choice. All else goes on.",
        "Remove the `danger` key. If there is still no better way, write down why and until when.",
        "danger_plaintext: { reason: firmware without TLS, expires: 2024-01-31 }";
    DANGER_IN_USE = "IB202", Warning, "A danger is in use",
        "A weaker-than-default choice is in force. It stays on the checklist for as long as it is.",
        "Remove the cause, then the key.",
        "danger_accept_untyped_tokens: { reason: issuer sets no typ, expires: 2027-01-31 }";
    PERMISSION_UNHELD = "IB203", Warning, "No role holds this permission",
        "Nobody can use the operation: what no role allows is refused.",
        "Correct the permission's name, or add it to a role.",
        "roles: { reader: { permissions: [orders.read] } }\npermission: orders.raed             # wrong";
    PERMISSION_UNUSED = "IB204", Warning, "No operation requires this permission",
        "A permission without use is one that nobody reviews, and the first operation to require it opens to everyone who has the role.",
        "Remove it from the role.",
        "permissions: [orders.read, orders.delete]   # nothing requires orders.delete";
    ACCOUNT_WITHOUT_ROLES = "IB205", Warning, "Account without roles",
        "It can prove who it is, and do nothing.",
        "Give it a role, or remove it.",
        "roles: []";
    ROLE_UNUSED = "IB206", Note, "No account has this role",
        "It has no effect.",
        "Give it to an account, or remove it.",
        "roles: { integration.order-writer: { ... } }   # no account lists it";
    SYSTEM_UNUSED = "IB207", Note, "System without use",
        "It is the source or target of no integration, and no account belongs to it.",
        "Remove it, or declare its integration.",
        "systems: { old-shop: { ... } }      # nothing refers to it";
    REPLY_UNLISTED = "IB208", Warning, "Personal data, and no list of what may leave",
        "Whatever the target answers crosses, also what it begins to add later (GDPR Art. 5(1)(c)).",
        "List in `response.keep` what the source needs, by name: `\"\"` and `/*` stand for everything. That is for JSON: an operation that answers with an event stream, a file or an image cannot have it. Give such an operation a permission of its own, agree with the target's owner what the body holds, and let this finding stand as a reminder; `ironbridge explain streams` says more.",
        "response:\n  keep: [/items/*/id, /items/*/status]";
    RETENTION_MISSING = "IB209", Warning, "Retention missing",
        "The record of processing activities states how long personal data is kept (GDPR Art. 30(1)(f)).",
        "Add `retention` to `data`.",
        "data:\n  subjects: [customers]\n  categories: [orders]\n  retention: 400d";
    UNLIMITED = "IB210", Note, "No limit per account",
        "Only the bridge's limit per address holds: one caller can use up what all share.",
        "Add `limits.per_account`, a little above what is usual.",
        "limits: { per_account: 1000/min }";
    OPEN_LISTENER = "IB211", Note, "Listener open to every network",
        "Every address that can reach the port can try. That is right for a public API, and needless for partners whose networks are known.",
        "Add `addresses`, or require client certificates.",
        "api: { address: 0.0.0.0:8443, addresses: [10.0.0.0/8] }";
    BODY_UNCHECKED = "IB212", Warning, "Personal data enters unchecked",
        "The operation takes a body with personal data, and neither a schema nor a list says what may be in it.",
        "Add `request.schema` or `request.keep`.",
        "request:\n  schema: ./schemas/shipment.json";
    LONG_LIVED_KEY = "IB213", Note, "Long-lived key, usable from anywhere",
        "A key that lives longer than 90 days and works from every address is the kind that is found in a repository years later.",
        "Shorten `lifetime`, or list the account's `addresses`.",
        "api_key: { lifetime: 366d }         # and no addresses";
    SOURCE_LACKS_PERMISSION = "IB214", Warning, "No account of the source may use this operation",
        "A role holds the permission, but no account of the integration's source system has that role.",
        "Give the role to the source's account, or check the permission's name.",
        "accounts: { shop: { roles: [reader] } }   # and the operation requires orders.write";
    SUBJECTS_UNKNOWN = "IB215", Note, "Personal data, and nothing says whose",
        "Without the ids of the people, the audit trail cannot say which exchanges carried a person's data, account for disclosures, or erase what it knows of one (GDPR Art. 15, 17; 45 CFR 164.528).",
        "Name in `data.subject_id` where their ids are: JSON Pointers into bodies, or parameters of the path.",
        "data:\n  subjects: [customers]\n  subject_id: [/items/*/customer/id, \"{customer_id}\"]";
    TRAIL_ALONE = "IB216", Note, "Audit trail in one place",
        "Whoever rules the machine can delete the trail, or rewrite it and sign it anew. A copy elsewhere, or a witness that remembers how far the log had grown, brings that to light.",
        "Add `bridge.audit.mirrors` with a place that this machine cannot change, or `bridge.audit.witnesses` with someone else's witness.",
        "bridge:\n  audit:\n    mirrors:\n      worm: { directory: /mnt/worm/audit }";
    TRAIL_BEHIND = "IB217", Warning, "Audit trail behind elsewhere",
        "For more than five minutes a mirror, receiver or witness has not had all that the signed log holds, or it contradicts the log. Until it has caught up, only this machine can prove those records.",
        "See with `ironbridge audit status` since when and why, and mend the destination; the bridge catches up by itself. Where it names a log that was set back or forked, find out who did that.",
        "mirrors:\n  worm: { directory: /mnt/worm/audit }   # and nothing is mounted there";
    ALL_CROSSES = "IB218", Warning, "Everything of a kind crosses",
        "With `all`, whatever a caller or target sends there crosses, also what it begins to send later; only what is the bridge's own stays back, and header fields that could pass for it (docs/reference/fields.md).",
        "List what is needed. What HTTP itself needs crosses without being listed.",
        "request: { headers: all }           # wrong\nrequest: { headers: [X-Tenant] }    # right";
    ROUTES_OVERLAP = "IB219", Note, "Overlapping paths with different permissions",
        "One operation has text where another takes any, so the permission that is asked for depends on how a path is read. The bridge reads every path in one way, gives text precedence, and refuses what lenient systems could take for that text; a reader of the manifest should know.",
        "Give one of them a path of its own, or the same permission.",
        "match: GET /orders/{id}             # orders.read\nmatch: GET /orders/export           # orders.export";
    TARGET_PATHS_OVERLAP = "IB220", Warning, "Another permission reaches the same path at the target",
        "A parameter of one operation can be the text that stands in another's path at the target. Whoever may use the first reaches the second without its permission.",
        "Give the operation with the text a path beside the other's, with the same text in the parameter's place, so that it takes such requests; or require the same permission.",
        "match: GET /orders/{id}             # orders.read; GET /orders/export is no operation here\nmatch: GET /reports/orders          # orders.export\ntarget_path: /orders/export";
    NOTHING_BESIDE_BODIES = "IB221", Note, "No query and no header field is declared",
        "No operation of the manifest says which members of a query or which header fields cross besides those that HTTP needs. So every request with a query is refused (`query-undeclared`), and a field such as `X-Tenant` does not reach the target.",
        "List in `request.query`, `request.headers` and `response.headers` what callers and targets need. `query: []` at one operation says that none is meant, and ends this note. `ironbridge explain query` shows how.",
        "request:\n  query: [page, tag*]               # tag may be repeated\n  headers: [X-Tenant]\nresponse:\n  headers: [X-Total-Count]";
    DESCRIPTORS_FEW = "IB230", Warning, "More connections than open files",
        "Every connection is an open file, and the system's hard limit for them, as it is here, is below what the listeners may hold. The last ones are kept for the audit trail and the store, so fewer connections than declared are accepted.",
        "Raise the limit for the service (`LimitNOFILE=` of systemd, `ulimit -Hn`), or lower `max_connections`.",
        "api: { address: 0.0.0.0:8443, max_connections: 100000 }   # and ulimit -Hn says 4096";
    VALID_NOT_FOR_LONG = "IB235", Warning, "A certificate's life ends soon",
        "From that moment on every connection that needs it fails. The bridge renews certificates of its internal CA by itself, and others not.",
        "Renew it where it comes from, and put the new file in its place: the bridge takes it up by itself while it runs.",
        "chain: ./tls/chain.pem              # and a week of its year is left";
    SECRETS_NOT_LOOKED_UP = "IB231", Note, "Secrets were not looked up",
        "The secret store lies in the data directory, and that is not there, or cannot be opened by whoever asks. So nobody knows yet whether the secrets that the manifest names are set.",
        "Check again on the machine where the bridge runs, as the user that it runs as. A bridge does not start without them.",
        "password: secret://sealed/erp       # checked where there is no data directory";
    NAME_NOT_COVERED = "IB232", Warning, "The certificate does not carry the public name",
        "Callers who use `public_url` compare the name in it with the certificate they are shown, and would refuse this one. That is right only where something before the bridge ends TLS.",
        "Use a certificate that carries the name, or correct `public_url`.",
        "public_url: https://bridge.acme.example\nlisteners:\n  api: { address: 0.0.0.0:443, certificate: { ... } }   # of www.acme.example";
    SCHEMA_WORD_UNKNOWN = "IB236", Warning, "Unknown keyword in a schema",
        "JSON Schema leaves out what it does not know, so a misspelt keyword checks nothing and nobody notices.",
        "Correct the keyword. Notes of your own begin with `x-`, or stand in `$comment` or `description`.",
        "{ \"type\": \"object\", \"requierd\": [\"id\"] }     # wrong: required";
    SCHEMA_CHECKS_NOTHING = "IB237", Warning, "The schema accepts everything",
        "Nothing is refused by it: the operation looks checked, and any JSON body crosses.",
        "Say in the schema what a body must be, or leave `schema` out.",
        "{}     # such as: { \"type\": \"object\", \"required\": [\"id\"], \"additionalProperties\": false }";
    RULE_ODD = "IB238", Warning, "A rule is likely not what is meant",
        "The schema knows no such member, or no such value, so the name is likely misspelt: a rule that asks for it refuses every request, and one that asks whether it is there never judges anything. Or a part of the rule is the same for every request, so that it judges nothing.",
        "Correct the name, or declare it in the schema; take out what is always the same. Where members of any name are welcome, say so there: `\"additionalProperties\": true`.",
        "check: \"!has(body.carier) || body.carier == 'dhl'\"   # and the schema's properties hold carrier";
    POINTER_NOWHERE = "IB239", Warning, "A pointer leads nowhere",
        "What it names cannot be in the body, or is not in its schema: nothing is kept, or counted, there, and nobody is told.",
        "Correct it as the message says, or declare the member in the schema. `*` stands for every element of a list and every member of an object; a number names a member.",
        "keep: [/items/0/id]                 # wrong: the member called 0\nkeep: [/items/*/id]                 # right";
    SCHEMA_IN_VAIN = "IB240", Warning, "Something in a schema checks nothing",
        "It looks like a check and is none: a format that nobody knows, a keyword of an older draft, or one that judges another type. JSON Schema leaves it out in silence.",
        "Write what the message says, or leave it out.",
        "{ \"type\": \"string\", \"format\": \"emial\" }     # wrong: email";
    SCHEMA_UNFITTABLE = "IB241", Warning, "Nothing can fit a schema",
        "Two of its demands exclude each other, so every body that comes under them is refused.",
        "Correct the one that is wrong.",
        "{ \"minimum\": 5, \"maximum\": 3 }     # wrong: nothing is both";
    NOTHING_DECLARED = "IB233", Warning, "No integration",
        "What is not declared does not cross, so every call is answered with 404. Often the files that declare integrations are somewhere else than where they are read from.",
        "Declare an integration, or see that its file is below the manifest's directory, ends in `.yaml` or `.yml` and does not begin with a dot.",
        "bridge: { name: acme-bridge }       # and nothing else in the directory";
    LINK_LEADS_OUT = "IB234", Warning, "Link out of the manifest's directory",
        "Linked directories are followed below the manifest's directory only, so that a manifest is what lies there. Files that are named in it (certificates, schemas) may lie anywhere.",
        "Put the directory itself there, link its files one by one, or give the directory that holds both.",
        "integrations -> /srv/integrations   # and the manifest is in /etc/ironbridge";
}
