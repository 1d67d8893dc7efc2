//! The catalogue of refusals: what each is called, of which kind it is, who is at fault, and what its page says. It knows no
//! transport; how one tells a kind to its callers, the transport knows.

macro_rules! codes {
    ($($name:ident = $id:literal, $kind:ident, $fault:ident, $retry:literal, $reach:ident, $title:literal, $meaning:literal, $mend:literal $(, $operator:literal)?;)*) => {
        /// Every reason for a refusal that this bridge can give.
        pub mod code {
            use crate::{Code, Fault, Kind, Reach};
            $(
                #[doc = concat!("`", $id, "`: ", $title, ".")]
                pub static $name: Code = Code {
                    id: $id,
                    kind: Kind::$kind,
                    fault: Fault::$fault,
                    retry: $retry,
                    reach: Reach::$reach,
                    title: $title,
                    meaning: $meaning,
                    mend: $mend,
                    operator: concat!($($operator)?),
                };
            )*
        }

        /// The whole catalogue, in the order of the phases.
        pub fn all() -> &'static [&'static crate::Code] {
            static ALL: &[&crate::Code] = &[$(&code::$name),*];
            ALL
        }
    };
}

/// The code that somebody wrote down, in a path or on a command line; `None` where there is none of that name.
pub fn named(id: &str) -> Option<&'static crate::Code> {
    all().iter().copied().find(|code| code.id == id)
}

codes! {
    // Admit
    FRAMING_REFUSED = "framing-refused", Malformed, Caller, false, Either, "Ambiguous HTTP framing",
        "The request's framing could be read in more than one way: both Content-Length and Transfer-Encoding, a repeated or malformed length, a bare line feed, a folded header line, white space before a colon, a request line of another form or version than HTTP/1.0 and HTTP/1.1, or a control character in it (RFC 9112 §2.2, §3, §5, §6). Such requests are how smuggling attacks start, so they are refused and the connection is closed.",
        "Send one well-formed Content-Length, or Transfer-Encoding: chunked alone, with lines ended by CRLF. A proxy in between may be rewriting the request.";
    HTTP2_REFUSED = "http2-refused", Malformed, Caller, false, Either, "HTTP/2 protocol broken",
        "The connection or a stream on it broke HTTP/2: a malformed, repeated or missing pseudo-field, or one after a body, a field that belongs to one connection, a header section or frames out of order, more streams than allowed, or a flood of frames that carry nothing (RFC 9113 §5.4, §8.1.1, §10.5). It was ended with RST_STREAM or with the connection, so the record is the only place where this code stands.",
        "Use an HTTP/2 library as it comes; a proxy in between may be translating requests wrongly.";
    HEADER_TOO_LARGE = "header-too-large", TooLarge, Caller, false, Either, "Header fields too large",
        "The header section is larger than 16 KiB or has more than 100 fields.",
        "Send fewer or shorter header fields: large cookies and tokens with many groups or roles in them are the usual causes.",
        "The limits are fixed. Where a proxy in front adds fields (tokens, traces, forwarded addresses), let it add fewer.";
    HEADER_REFUSED = "header-refused", Malformed, Caller, false, Either, "Header field refused",
        "A header field may not be sent here: Connection names an end-to-end field, a field has a value that HTTP does not allow (RFC 9110 §5.5, §7.6.1), or, over HTTP/2, one that begins or ends with a blank (RFC 9113 §8.2.1); or a field follows the body that means something only before it (RFC 9110 §6.5.1).",
        "Remove the field, or correct its value.";
    URI_TOO_LONG = "uri-too-long", TooLarge, Caller, false, Nothing, "Request target too long",
        "The request target is longer than 8,000 bytes.",
        "Shorten the query, or send the data in the body.";
    PATH_AMBIGUOUS = "path-ambiguous", Malformed, Caller, false, Nothing, "Ambiguous path",
        "The path holds a character that has to be encoded (a byte above ASCII, a quotation mark, an angle bracket, a grave accent, a fragment's number sign), a dot segment, an empty segment, a backslash, an encoded slash, a semicolon, a control or invisible character, broken percent-encoding, bytes that are not UTF-8, a character that decomposes into one of these, or something encoded twice. Or a part of it, where an operation takes any text, could be read as the text that another operation spells out there: it differs in case, width, accents or style only, in letters of other scripts that look alike (Unicode UTS 39), in signs and letters that code pages of Windows replace (the peseta sign by p), in digits of other scripts, in the spelling of a number (01, 0x1, 1e0 and 1L beside 1), in characters that are not seen, in blanks, dots and other signs around it, by a file's suffix, stream (::$DATA) or short name of Windows (EXPORT~1), or by what was a query or a fragment. Systems read such paths differently, so none is guessed at; the detail says which it is. Over HTTP/2 a number sign and what follows it are cut off before the bridge sees the path: the rest is what is judged, recorded and delivered.",
        "Send the path in its plain form.";
    QUERY_AMBIGUOUS = "query-ambiguous", Malformed, Caller, false, Nothing, "Ambiguous query",
        "The query holds a character that has to be encoded (a byte above ASCII, a quotation mark, a blank, as in raw JSON; a fragment's number sign), broken percent-encoding, bytes that are not UTF-8, a member without a name, a control character in a name, a NUL in a value, a name that is encoded twice, or more than 256 members; or, where every member crosses, one that some systems read as another that a rule judges, such as `LIMIT`, `limit[]` or `limit.max` beside `request.query.limit`. Systems read such queries differently, so none is guessed at; the detail and the record say which member it is. Values may hold line breaks and other control characters: they are delivered encoded.",
        "Send the query as a form: name=value, divided by &, each encoded once.";
    QUERY_UNDECLARED = "query-undeclared", Malformed, Caller, false, Nothing, "Query member not declared",
        "The query has a member that the operation does not declare. Left out, it would change what is asked for, so the request is refused.",
        "Leave out the members that the detail names, or have the operator list them at the operation: request: { query: [page, tag*] }, where * lets a member repeat. Fields of the header section are declared beside, in request.headers; what crosses undeclared stands in docs/reference/fields.md.";
    QUERY_REPEATED = "query-repeated", Malformed, Caller, false, Nothing, "Query member repeated",
        "The query has a member more than once that the operation declares once. Systems disagree on which one counts.",
        "Send each member that the detail names once, or have the operator let it repeat: request: { query: [tag*] }.";
    WEBSOCKET_REFUSED = "websocket-refused", Malformed, Caller, false, Nothing, "WebSocket handshake refused",
        "The operation opens a WebSocket, and the request is no whole handshake: Upgrade, Connection, Sec-WebSocket-Key, Sec-WebSocket-Version, over HTTP/1.1, without a body (RFC 6455 §4.1, §4.2.1). Anything else would pass such an operation unread. Or the request is a handshake, and the operation opens no WebSocket; the detail says which.",
        "Correct the field that the detail names. A proxy in between may be removing Connection and Upgrade. Where the operation opens none, ask the operator which one does.",
        "An operation opens WebSockets where it says so, and then nothing else: chat: { match: GET /chat, permission: chat.use, upgrade: websocket }.";
    HOST_REFUSED = "host-refused", Malformed, Caller, false, Nothing, "Host field refused",
        "Host is missing, repeated, malformed, or differs from the request's authority; or the authority has a user, percent-encoding or anything else that is no host with an optional port (RFC 9112 §3.2, RFC 9113 §8.3.1).",
        "Send exactly one Host field that names the bridge.",
        "A proxy in front passes on the caller's Host, or writes the bridge's own name; it never sends two.";
    FORWARDED_UNREADABLE = "forwarded-unreadable", Malformed, Operator, false, Nothing, "Caller's address unreadable",
        "The request comes from a trusted proxy, and its X-Forwarded-For or Forwarded field does not say for whom: an element is empty or no address, the two fields name different callers, or another field is used in their place. Who calls is unknown, and the record has no address.",
        "Have the proxy write the caller's address into one of the two fields, as its last element; with forwarded in the manifest only the one it writes is read. The bridge's log names the proxy.",
        "trusted_proxies at the listener lists the proxies that are believed, and forwarded the one field that they write: trusted_proxies: [10.0.0.7/32], forwarded: x-forwarded-for. With nginx, proxy_set_header X-Forwarded-For $remote_addr; writes it.";
    MISDIRECTED = "misdirected", Unknown, Caller, false, Nothing, "Not a host of this bridge",
        "The request is for a host that is none of the listener's, or its scheme is not https (RFC 9110 §7.4). A listener is for the bridge's public_url, its certificate's names, the names declared in its hosts, and the address that the connection was made to.",
        "Send the request to the bridge under its own name. The operator can declare further names in the listener's hosts.",
        "Declare the name at the listener, hosts: [api.acme.example], or write it into public_url. A proxy in front that rewrites Host is told to keep the caller's. The bridge's log has the name that was asked for.";
    LOOP_DETECTED = "loop-detected", Internal, Operator, false, Nothing, "Loop detected",
        "The request's Via field names this bridge: it has already passed here (RFC 9110 §7.6.3).",
        "Check the target's URL: it leads back to the bridge.";
    REQUEST_TIMEOUT = "request-timeout", Malformed, Caller, true, Either, "Request too slow",
        "The request's header or body did not arrive within its time limit, or the operation's timeout ended while the target waited for the rest of the body.",
        "Send the request without pauses. For slow links the operator raises the operation's timeout and bridge.timeouts: header for the header section with the TLS handshake, body for the body.";
    BRIDGE_BUSY = "bridge-busy", Unavailable, Bridge, true, Untaken, "Bridge busy",
        "The bridge holds as many connections or exchanges as it may.",
        "Try again after the time in Retry-After; the operator can raise the limit.",
        "Raise bridge.limits.max_exchanges, or max_connections at the listener, if the machine has room. Exchanges that last long at a slow target are the usual cause: a shorter timeout at the operation frees them earlier.";
    BRIDGE_FULL = "bridge-full", Unavailable, Bridge, true, Nothing, "Bridge holds too much",
        "Bodies that are judged are held whole. All of them together, or those of this account, take as much memory as they may (bridge.limits.memory). An account may hold as much as is still free beside it.",
        "Try again after the time in Retry-After, with fewer large requests at once; the operator can raise bridge.limits.memory.";
    BRIDGE_DRAINING = "bridge-draining", Unavailable, Bridge, true, Nothing, "Bridge shutting down",
        "This bridge is finishing its open exchanges before it stops.",
        "Try again; another bridge, or this one after its restart, will answer.",
        "bridge.timeouts.drain says how long open exchanges may take when the bridge is told to stop. A load balancer in front sends nothing to a bridge that drains.";
    ADDRESS_REFUSED = "address-refused", Forbidden, Caller, false, Nothing, "Address not allowed",
        "The listener takes connections only from listed networks, and the caller's address is in none of them.",
        "Call from an allowed network, or have the operator add yours.",
        "Add the network at the listener: addresses: [10.0.0.0/8]. Behind a proxy the caller's address is known only if trusted_proxies names the proxy; the record has the address that counted.";
    ADDRESS_UNKNOWN = "address-unknown", Forbidden, Operator, false, Nothing, "Address unknown",
        "A limit counts by the address that an exchange came from, and this one came from none: the bridge itself fetched it, or nobody remembers.",
        "The operator counts such exchanges by account or operation.",
        "Declare per_account or per_operation for this integration: limits: { per_account: 600/min }.";
    OPERATION_UNKNOWN = "operation-unknown", Unknown, Caller, false, Either, "No such operation",
        "No integration declares this path. What is not declared does not cross.",
        "Check the path against the integration's documentation, the part before the operation's own path included.",
        "Only what an integration declares is served: http: { path: /erp, operations: { read: { match: GET /orders/{id}, permission: orders.read } } } answers /erp/orders/7. A path that ends with a slash, or has one more segment, is another one.";
    METHOD_REFUSED = "method-refused", Unknown, Caller, false, Nothing, "Method not allowed",
        "The path is declared, but not with this method; Allow lists those that are. CONNECT is no method here: a gateway is no proxy (RFC 9110 §9.3.6).",
        "Use one of the methods in Allow.",
        "HEAD and OPTIONS are declared like any other method: HEAD beside GET (`ironbridge explain head`). Where OPTIONS is a browser's question before a page may call (a CORS preflight), the bridge answers none: `ironbridge explain cors` says why, and what to do instead.";

    // Authenticate
    CREDENTIALS_MISSING = "credentials-missing", Unproven, Caller, false, Either, "No credentials",
        "The request carries no credential that this integration accepts.",
        "Send an access token (Authorization: Bearer), an API key (X-API-Key), or a client certificate.",
        "What an integration accepts is what its source's accounts have under credentials. Where a proxy in front takes away Authorization or X-API-Key, or ends TLS and with it the client certificate, nothing arrives here.";
    CREDENTIALS_AMBIGUOUS = "credentials-ambiguous", Malformed, Caller, false, Either, "More than one credential",
        "The request carries several credentials, or a repeated one (RFC 6750 §2). A client certificate beside a token or an API key is not counted as one: it proves the account only where it comes alone.",
        "Send exactly one credential.";
    CREDENTIALS_UNSPOKEN = "credentials-unspoken", Unproven, Caller, false, Either, "Authorization scheme not spoken here",
        "The request's Authorization field has another scheme than Bearer, such as Basic or Digest (RFC 9110 §11.6.2).",
        "Send an access token as Authorization: Bearer, an API key in X-API-Key, or a client certificate; the detail says which of them this integration accepts. Who has a client id and secret takes a token with them first, at the bridge's /oauth/token or at the issuer.";
    TOKEN_MALFORMED = "token-malformed", Unproven, Caller, false, Either, "Token malformed",
        "The token is not a well-formed JWT in compact form: three parts of unpadded base64url, a JSON header and claims without repeated members, at most 16 KiB (RFC 7519, RFC 8725 §3).",
        "Send the access token exactly as the issuer gave it. Where a variable that holds it is not set, nothing follows Bearer: look whether the token was issued at all. If it has no two dots, it is opaque, and only the issuer can read it: ask the issuer for a JWT.",
        "Opaque tokens are not taken (introspection, RFC 7662, is not built yet). Most issuers give a JWT once the client asks for an audience of its own: audience at Auth0, a custom authorization server at Okta, a resource indicator (RFC 8707) elsewhere. `ironbridge explain keycloak`, `auth0`, `entra` and `okta` show what to set.";
    TOKEN_ALGORITHM_REFUSED = "token-algorithm-refused", Unproven, Caller, false, Either, "Token algorithm refused",
        "The token's alg is not on the issuer's list, or does not fit the key (RFC 8725 §3.1).",
        "Have the issuer sign with an algorithm that the bridge accepts from it.",
        "Either the issuer is told to sign with an algorithm on its list, or the list is made longer: bridge.issuers.NAME.algorithms. The bridge's log says what the token has and what is wanted.";
    TOKEN_HEADER_REFUSED = "token-header-refused", Unproven, Caller, false, Either, "Token header refused",
        "The token's header carries a key or certificate of its own, or says where one is (jwk, jku, x5c, x5u), or an extension (crit, b64, zip). The detail says which. Keys come from the issuer alone (RFC 8725 §3.5), and no extension is spoken here.",
        "Have the issuer leave it out of the header, and name the key by kid alone.";
    TOKEN_TYPE_REFUSED = "token-type-refused", Unproven, Caller, false, Either, "Not an access token",
        "The token's typ is not at+jwt (RFC 9068 §2.1). An ID token or a signed request is not an access token. Or the token is bound to a key or certificate (cnf), which a bearer does not prove; the detail says so.",
        "Send an access token, not an ID token; if it is one, the issuer gives it another typ than at+jwt, which is the operator's to settle.",
        "Many issuers call their access tokens JWT, or nothing at all, unless told otherwise. Have the issuer set at+jwt (Keycloak and Auth0 have a switch for it), or accept the others at the issuer: danger_accept_untyped_tokens: { reason: the issuer sets no other typ, expires: 2027-06-30 }. `ironbridge explain keycloak`, auth0, entra and okta show a manifest for each. The bridge's log says what the token has and what is wanted.";
    TOKEN_ISSUER_UNKNOWN = "token-issuer-unknown", Unproven, Caller, false, Either, "Issuer unknown",
        "The token's iss is no issuer this bridge trusts. It is compared character by character with what the manifest declares: a slash at the end, http for https or another host name is another issuer.",
        "Get the token from the issuer this integration names.",
        "Write bridge.issuers.NAME.issuer exactly as the token has it in iss, for example issuer: https://keycloak.example.org/realms/acme; that of Auth0 ends in a slash. An issuer that is reached under several names is told its public one (in Keycloak, hostname). The bridge's log says what the token has and what is wanted.";
    TOKEN_KEY_UNKNOWN = "token-key-unknown", Unproven, Caller, false, Either, "Signing key unknown",
        "The issuer publishes no key with the token's kid.",
        "Get a fresh token; if it persists, the issuer signs with a key that it does not publish.",
        "Compare the keys at bridge.issuers.NAME.jwks_url, or those that the issuer's metadata names, with the token's kid, which the bridge's log says.";
    TOKEN_SIGNATURE_INVALID = "token-signature-invalid", Unproven, Caller, false, Either, "Token signature invalid",
        "The token's signature does not verify under the issuer's key.",
        "Send the token exactly as the issuer gave it.";
    TOKEN_EXPIRED = "token-expired", Unproven, Caller, false, Either, "Token expired",
        "The token's exp has passed. Tokens of other issuers are given 30 seconds for the difference of the clocks, those of the bridge's own token endpoint none.",
        "Get a fresh token, and the next before this one expires.",
        "If fresh tokens are refused, compare the clocks of the issuer and of the bridge, whose log says how long ago exp was.";
    TOKEN_REVOKED = "token-revoked", Unproven, Caller, false, Either, "Token revoked",
        "The client secret that the token was taken with at the bridge's own token endpoint is revoked, and its tokens with it.",
        "Get a fresh token with the client's present secret; if it was not you who had the old one revoked, ask the operator.",
        "`ironbridge key list` shows which client secrets are live and which were revoked, and the bridge's log says which the token is from; `ironbridge key issue ACCOUNT --kind client-secret` gives a new one.";
    TOKEN_NOT_YET_VALID = "token-not-yet-valid", Unproven, Caller, true, Either, "Token not yet valid",
        "The token's nbf or iat lies in the future, allowing 30 seconds for clock difference.",
        "Send it again a little later; if it persists, tell the operator.",
        "Compare the clocks of the issuer and of the bridge, whose log says how far ahead of its own the token is.";
    TOKEN_AUDIENCE_WRONG = "token-audience-wrong", Unproven, Caller, false, Either, "Token for someone else",
        "The token's aud names none of the audiences that the manifest declares for its issuer. Compared are whole texts, character by character.",
        "Ask the issuer for a token with this bridge's audience.",
        "Declare what the tokens carry, audience: https://bridge.example.org at bridge.issuers.NAME, and have the issuer put it in: by an audience mapper in Keycloak, whose tokens otherwise carry account or none; as the API's identifier, which clients name in their request, in Auth0; as the application's id in Entra; at the authorization server in Okta. `ironbridge explain keycloak`, auth0, entra and okta show a manifest for each. The bridge's log says what the token has and what is wanted.";
    TOKEN_CLAIMS_MISSING = "token-claims-missing", Unproven, Caller, false, Either, "Token incomplete",
        "The token lacks a required claim, or one has the wrong type: iss, exp, aud, sub, and the one that names the client, which is client_id unless the manifest says otherwise (RFC 9068 §2.2). The detail says which.",
        "Have the issuer include the claim that the detail names.",
        "Where the issuer names the client in another claim, say so at bridge.issuers.NAME: client_id_claim: azp for Keycloak, Auth0 and Entra, appid for Entra's tokens of version 1.0, cid for Okta. `ironbridge explain keycloak`, auth0, entra and okta show a manifest for each. The bridge's log says what the token has and what is wanted.";
    ISSUER_UNAVAILABLE = "issuer-unavailable", Unavailable, Operator, true, Either, "Issuer unavailable",
        "The issuer's keys could not be fetched, so its tokens cannot be verified: none of them, or those of a key that it did not publish when its keys were last fetched.",
        "Try again; the operator finds the cause in the bridge's log.",
        "The keys are looked for at bridge.issuers.NAME.jwks_url, else where the issuer's metadata says, on its own host. A server whose certificate comes from a private CA needs ca there. The bridge's log says what went wrong.";
    API_KEY_MALFORMED = "api-key-malformed", Unproven, Caller, false, Either, "API key malformed",
        "The key does not have the form of a key, or its checksum is wrong: it was mistyped or cut off.",
        "Send the key exactly as it was issued: it begins with ibk_. What begins with ibs_ is a client secret, with which a token is taken first, at /oauth/token.";
    API_KEY_UNKNOWN = "api-key-unknown", Unproven, Caller, false, Either, "API key unknown",
        "The key was never issued here, or its account is gone.",
        "Ask the operator for a key, and see that it is the one for this bridge.",
        "`ironbridge key list` shows the ids of all keys and whose they are; `ironbridge key issue ACCOUNT` makes one. A key of another bridge, or from before its data directory was made anew, is unknown here.";
    API_KEY_EXPIRED = "api-key-expired", Unproven, Caller, false, Either, "API key expired",
        "The key's lifetime is over.",
        "Ask the operator for the next key; two may live side by side while you change over.",
        "`ironbridge key issue ACCOUNT` makes the next one. How long keys live: credentials: { api_key: { lifetime: 90d } } at the account, for those issued from then on.";
    API_KEY_REVOKED = "api-key-revoked", Unproven, Caller, false, Either, "API key revoked",
        "The key was revoked.",
        "Ask the operator for a new key.",
        "`ironbridge key issue ACCOUNT` makes a new one; `ironbridge audit query --action key.revoke` shows when it was revoked.";
    CERTIFICATE_INVALID = "certificate-invalid", Unproven, Caller, false, Either, "Certificate not valid",
        "The client certificate is expired, not yet valid, or cannot be read.",
        "Renew the certificate, and see that the clocks on both sides are right.",
        "`ironbridge certificate issue ACCOUNT` makes one of the internal CA; others come from the CA that the account's certificate names in ca. The bridge's log says what is wrong.";
    CERTIFICATE_UNMATCHED = "certificate-unmatched", Unproven, Caller, false, Either, "Certificate of no account",
        "The client certificate is valid, but no account declares it.",
        "Have the operator add the certificate's name or thumbprint to an account.",
        "Name it at an account: credentials: { certificate: { san: shop.acme.example, ca: ./partner-ca.pem } }, or by thumbprint: `openssl x509 -in FILE -noout -fingerprint -sha256` prints it, without its colons.";
    ACCOUNT_UNKNOWN = "account-unknown", Unproven, Caller, false, Either, "No such account",
        "The token is valid, but its client belongs to no account.",
        "Have the operator add the issuer and client id to an account.",
        "Name both at an account: credentials: { token: { issuer: NAME, client_id: ID } }. The bridge's log has them.";

    // Authorise
    SOURCE_MISMATCH = "source-mismatch", Forbidden, Caller, false, Either, "Not this integration's source",
        "The account belongs to another system than the integration's declared source. Using an integration for another purpose than declared is refused (GDPR Art. 5(1)(b)).",
        "Use the integration declared for your system.",
        "source at the integration and system at the account are the same name, or the flow is declared once more for the other system. The bridge's log names both.";
    ACCOUNT_ADDRESS_REFUSED = "account-address-refused", Forbidden, Caller, false, Either, "Address not allowed for this account",
        "The account may call only from listed networks.",
        "Call from an allowed network, or have the operator add yours.",
        "addresses at the account lists its networks: addresses: [203.0.113.0/24]. Behind a proxy the caller's address is known only if the listener's trusted_proxies names the proxy. The bridge's log has the address that counted.";
    PERMISSION_MISSING = "permission-missing", Forbidden, Caller, false, Either, "Permission missing",
        "None of the account's roles holds the permission this operation requires; the detail names it.",
        "Ask the operator for a role that holds it; the bridge's log names account and permission.",
        "Give one of the account's roles the permission: roles: { clerk: { permissions: [orders.read] } }, accounts: { shop: { roles: [clerk] } }. A running bridge takes it up as soon as the file is saved.";
    SCOPE_MISSING = "scope-missing", Forbidden, Caller, false, Either, "Scope missing",
        "The account holds the permission, but the token's scope (or scp) leaves it out (RFC 6750 §3.1, insufficient_scope). A token that has one may do only what it names; names that are no permission here, such as profile or email, allow nothing, and neither does an empty scope.",
        "Request a token with the scope named in WWW-Authenticate.",
        "Give the clients of an external issuer scopes named like the permissions, or tokens without a scope; the manual says how, at Issuer, and `ironbridge explain keycloak`, auth0, entra and okta show it for each.";

    // Throttle
    RATE_LIMITED = "rate-limited", TooMany, Caller, true, Nothing, "Too many requests",
        "The limit per account, address or operation is used up.",
        "Wait for the time in Retry-After.",
        "The limits stand at the integration and at its operations, limits: { per_account: 600/min, per_operation: 6000/min }, and for each address in bridge.limits.per_address, which counts what is refused too.";

    // Inspect
    BODY_TOO_LARGE = "body-too-large", TooLarge, Caller, false, Either, "Body too large",
        "The body is larger than the operation's max_body: 1 MiB unless declared, wherever a control reads the body; idempotency keys do. A request with GET, HEAD, OPTIONS or DELETE has none unless the operation declares one. Or the bridge could never hold it for one account while it is judged, which takes up to six times its text, and more where a rule looks through it; then the detail says so.",
        "Send less at once, or have the operator raise request.max_body, or bridge.limits.memory where the detail says that the bridge cannot hold it.";
    BODY_INCOMPLETE = "body-incomplete", Malformed, Caller, true, Either, "Body incomplete",
        "The body ended before its announced length, or its chunks are malformed; or, over HTTP/2, it is of another length than Content-Length says, which ends its stream with RST_STREAM (RFC 9113 §8.1.1).",
        "Send the whole body.";
    CONTENT_TYPE_REFUSED = "content-type-refused", Unfit, Caller, false, Nothing, "Content type refused",
        "The operation reads JSON, and the body's Content-Type is something else, or names a charset other than UTF-8. One that begins with ASCII, such as ISO-8859-1, is taken where the body is ASCII alone, because it reads the same.",
        "Send application/json, or a type that ends in +json, in UTF-8. Many clients announce a form unless they are told otherwise (curl -d does).";
    CONTENT_ENCODING_REFUSED = "content-encoding-refused", Unfit, Caller, false, Nothing, "Content encoding refused",
        "The body is compressed, and the operation has to read it.",
        "Send the body without Content-Encoding.";
    JSON_MALFORMED = "json-malformed", Malformed, Caller, false, Nothing, "Not valid JSON",
        "The body is not JSON (RFC 8259), or holds a number that no double holds, such as 1e309, which readers take for different things.",
        "Correct the body; the detail names line and column, in bytes, and what it is where it is one of the common slips: a byte order mark, which no editor shows, UTF-16 or Latin-1 in place of UTF-8 (RFC 8259 §8.1), a comma too many, single quotes, a comment.";
    JSON_DUPLICATE_NAME = "json-duplicate-name", Malformed, Caller, false, Nothing, "Repeated member name",
        "An object in the body has the same member name twice. Systems disagree on which one counts (RFC 8259 §4).",
        "Send each name once.";
    JSON_TOO_DEEP = "json-too-deep", Malformed, Caller, false, Nothing, "JSON nested too deeply",
        "The body is nested deeper than 64 levels.",
        "Send a flatter document.";
    JSON_NAME_REFUSED = "json-name-refused", Malformed, Caller, false, Nothing, "Member name refused",
        "The body has a member named __proto__, constructor or prototype, which some receivers treat as code; or a member that some receivers read as one that a rule or the schema judges, or under which the integration expects the id of a person, though it is not that one: it differs only in case (Amount beside body.amount), in underscores between words (max_amount for maxAmount), in forms of letters, or by a NUL. Judged or recorded would be one value, and used the other.",
        "Rename the member, or spell it as the operation's description does; errors lists where it is.";
    NUMBER_INEXACT = "number-inexact", Unfit, Caller, false, Nothing, "Number not exact",
        "A number that a schema or a rule judges has more digits than a double holds (IEEE 754 binary64, RFC 8259 §6), or more than 1,100 bytes. It would be judged as one number and delivered as another. Integers of 64 bits are exact.",
        "Send the number with at most 15 significant digits, or as a string.";
    SCHEMA_VIOLATED = "schema-violated", Unfit, Caller, false, Nothing, "Body does not fit the schema",
        "The body breaks the operation's JSON Schema; errors lists where and which rule.",
        "Correct the fields listed in errors.";
    RULE_VIOLATED = "rule-violated", Unfit, Caller, false, Nothing, "Business rule broken",
        "A rule of the operation does not hold for this request; the detail is the rule's own words.",
        "Correct the request as the detail says.";
    RULE_UNDECIDED = "rule-undecided", Unfit, Caller, false, Nothing, "Rule could not be decided",
        "A rule of the operation could not be evaluated for this request, for example because it compares a field that is missing or has another type, and no schema says what a body must be.",
        "Send the fields the rule needs, in the type it needs. The operator can ask in the rule whether a field is there, with has(body.field), or declare request.schema; the bridge's log names the rule.";
    RULE_UNFIT = "rule-unfit", Internal, Operator, false, Nothing, "Rule does not suit the schema",
        "The body fits the operation's JSON Schema, and a rule of the operation cannot be evaluated for it: the schema lets a member be absent, or be of a type, that the rule cannot take. The caller cannot know.",
        "The operator corrects the rule, for example with has(body.field), or the schema, for example with required. The bridge's log names the rule once a minute.";
    BODY_TOO_COSTLY = "body-too-costly", Unfit, Caller, false, Nothing, "Body takes too long to judge",
        "The operation's schema, or its rules, would take more than 20 million steps for this request, about a second. A step is a part of a rule that is evaluated, once for each element in a loop; a value that the schema looks at; 64 bytes of a text; or 4 bytes of what a pattern has to build for a text, which many repetitions make much. A pattern that would have to be tried at each place of a long text anew ends it too. No request may hold up the others.",
        "Send less at once: shorter lists, shorter texts. The operator can ask less of each element, write simpler patterns (fewer repetitions inside one another), or lower request.max_body, so that callers are told before; the bridge's log names the rule once a minute, and the record says whether it was the schema.";
    SUBJECT_ID_REFUSED = "subject-id-refused", Unfit, Caller, false, Nothing, "Subject's id refused",
        "Where the integration expects the id of a person, the request carries a text of more than 256 bytes, a number that is no integer of 64 bits, true or false, or a list or an object. It could not be recorded whose data this is. Null and an empty text name nobody.",
        "Send the id as a text or an integer.";
    SUBJECTS_TOO_MANY = "subjects-too-many", Unfit, Caller, false, Either, "Too many people in one exchange",
        "The request, or the target's answer, carries data of more than 1,000 people, as the integration tells them apart. Each of them is recorded, and one record does not hold more.",
        "Send less at once, or ask for smaller pages. If the detail says so, the request has already reached the target.";

    // Replay
    IDEMPOTENCY_KEY_MISSING = "idempotency-key-missing", Malformed, Caller, false, Nothing, "Idempotency-Key missing",
        "The operation requires an Idempotency-Key field, so that a retry cannot act twice.",
        "Send a key that is unique to this request, and the same key when you retry it.",
        "replay at the operation asks for it: replay: { idempotency_key: optional } lets requests without one pass, and then nothing keeps those from acting twice.";
    IDEMPOTENCY_KEY_MALFORMED = "idempotency-key-malformed", Malformed, Caller, false, Nothing, "Idempotency-Key malformed",
        "The field is neither a quoted string of 1 to 255 printable ASCII characters, nor such a text without quotes, spaces, commas, semicolons and backslashes.",
        "Send one key, for example Idempotency-Key: \"9b2f…\" or Idempotency-Key: 9b2f….";
    IDEMPOTENCY_IN_PROGRESS = "idempotency-in-progress", Conflict, Caller, true, Nothing, "Still in progress",
        "The first request with this Idempotency-Key has not ended yet.",
        "Wait, then ask again with the same key.";
    IDEMPOTENCY_FULL = "idempotency-full", Unavailable, Operator, true, Nothing, "Too much is kept to be repeated",
        "What is kept of requests with an Idempotency-Key takes so much of the disk, of this account's or of all, that no further key is taken (bridge.limits.replay). Nothing was sent to the target. A request whose key is known is still answered.",
        "Send the same again after the time in Retry-After. The operator shortens the operation's replay.window, or raises bridge.limits.replay where the disk has room.";
    IDEMPOTENCY_MISMATCH = "idempotency-mismatch", Unfit, Caller, false, Nothing, "Idempotency-Key used for something else",
        "This Idempotency-Key was used for a request with another method, path, query, declared header field or body.",
        "Use a fresh key for a different request.";
    IDEMPOTENCY_UNKNOWN_OUTCOME = "idempotency-unknown-outcome", Conflict, Bridge, false, Nothing, "Outcome unknown",
        "The first request with this Idempotency-Key reached the target, but whether it acted is not known (it answered with a server error or not in time, the connection broke, the bridge stopped, or the data of a person whom it concerned was erased), or its answer may not cross as the operation is declared by now. Sending it again could act twice, so it is not sent.",
        "Ask the target's owner whether it happened; then use a fresh key.";

    // Delivery
    SECRET_UNAVAILABLE = "secret-unavailable", Unavailable, Operator, true, Untaken, "Credentials for the target unavailable",
        "The secret that the bridge needs toward the target cannot be read, or the target's token endpoint refused it or did not answer.",
        "Try again; the operator finds the cause in the bridge's log.",
        "`ironbridge secret list` shows which names are set, and `ironbridge secret set NAME` sets one. The bridge's log says what the token endpoint did: where no connection is made, see token_url, and a firewall on the way there; where it refused the bridge, compare client_id, scopes, resource and method at the system's auth: { oauth2: … } with what is registered there.";
    TARGET_SUSPENDED = "target-suspended", Unavailable, Operator, false, Nothing, "Target suspended",
        "What the bridge needs toward the target has run out: a certificate of the manifest is not valid today, or a danger was accepted until a day that has passed. Nothing was sent.",
        "Tell the operator the correlation id.",
        "`ironbridge check` says at which line, and the trail has a `manifest.lapse` of each start and reload since. Put a current certificate there; where a danger has expired, remove it, or write down why and until when. A reload takes it up, by itself where a file changed.";
    TARGET_UNREACHABLE = "target-unreachable", Target, Target, true, Untaken, "Target unreachable",
        "No connection to the target could be made within connect_timeout, or it closed each of them before it took the request, or refused each time to process it (RFC 9113 §8.7).",
        "Try again; if it persists, tell the target's owner.",
        "Compare the system's url with where the target listens; a firewall, a name that does not resolve or resolves to an address that is not allowed, or too short a connect_timeout are the usual causes. The bridge's log says which, with the address that was tried.";
    TARGET_TLS_FAILED = "target-tls-failed", Target, Target, false, Untaken, "Target not trusted",
        "The TLS handshake with the target failed: its certificate does not verify under the declared CA, is that of a CA itself (as self-signed ones often are), is not valid now, or is for other names.",
        "The operator finds the reason in the bridge's log, and compares the target's certificate with the manifest's ca and server_name; `ironbridge explain ca`.";
    TARGET_PROTOCOL_UNSPOKEN = "target-protocol-unspoken", Target, Operator, false, Untaken, "Target speaks another version of HTTP",
        "The target takes connections, and none of the versions of HTTP that the manifest lets the bridge offer: with protocol: http2 it chose HTTP/1.1 or nothing, with protocol: http1 it insists on HTTP/2 (ALPN, RFC 7301). Or it answered 426, by which it asks for another protocol before it does anything (RFC 9110 §15.5.22).",
        "Tell the operator the correlation id.",
        "Write protocol: auto at the system's http: then the target chooses. For gRPC it has to be HTTP/2: there, the target, or what stands before it, is told to speak it. A target that answers 426 to an ordinary request usually serves WebSockets there: upgrade: websocket at the operation.";
    TARGET_MISDIRECTED = "target-misdirected", Target, Operator, false, Untaken, "Target is not for that host",
        "The target answered 421: it does not serve the host that the bridge asked it for (RFC 9110 §15.5.20). Passed on, the status would speak of the caller's connection, and a caller may repeat the request elsewhere at once.",
        "Tell the operator the correlation id.",
        "Compare the host in the system's url with what the target serves, or what stands before it: a virtual host's name, or the certificate's. Where server_name says another name than the url, the target sees the url's in Host.";
    TARGET_TIMEOUT = "target-timeout", Target, Target, true, Maybe, "Target too slow",
        "The target did not answer within the operation's timeout. Whether it acted is unknown.",
        "Repeat what only reads. Before a write is repeated, find out from the target's owner whether it happened, and send a fresh Idempotency-Key: the same key is answered with idempotency-unknown-outcome, so that nothing happens twice.",
        "timeout at the operation or at http raises it (30s unless declared); answers that come piece by piece have idle_timeout besides.";
    STREAM_IDLE = "stream-idle", Target, Target, true, Maybe, "Nothing passed for too long",
        "The target's answer had begun, or a WebSocket was open, and then nothing passed for as long as the operation's idle_timeout, because the target sent nothing, or neither side of a WebSocket did, so it was closed (a WebSocket with 1001). Where the caller took nothing of an answer, the code is answer-untaken. The answer had begun, so only the record says this code.",
        "The operator raises the operation's idle_timeout, or the target sends something more often: a comment in an event stream, a ping in a WebSocket.";
    ANSWER_UNTAKEN = "answer-untaken", Malformed, Caller, true, Either, "Answer not taken",
        "The answer had begun, and the caller took nothing of it any more: for bridge.timeouts.body of an answer that is whole, or of the whole connection; for the operation's idle_timeout of one that streams. So it was cut, and what it held was given back. Only the record says this code. A caller that reads slowly is not cut, as long as it reads.",
        "Read what you asked for, or close the stream or the connection. Over HTTP/2, send WINDOW_UPDATE frames: a library that leaves them to its user is the usual cause.";
    DRAIN_OVER = "drain-over", Unavailable, Bridge, true, Either, "Open when the drain time was over",
        "The bridge stopped, or a reload moved or removed the listener, and this was still open when bridge.timeouts.drain was over. The caller saw its connection end (a WebSocket closes with 1001), so only the record says this code. If bytes in is more than 0, or the operation takes no body, the target may have acted.",
        "Connect again; another bridge, or this one after its restart, will answer. The operator raises bridge.timeouts.drain where exchanges need longer. Writes are repeated safely with replay.idempotency_key.";
    TARGET_BUSY = "target-busy", Unavailable, Target, true, Untaken, "Target busy",
        "As many exchanges are open toward the target as may be, of all accounts or of this one: where several may call a target, one holds half of its connections at most.",
        "Try again after the time in Retry-After.",
        "Raise max_connections at the system's http, if the target bears it. WebSockets and event streams hold one each for as long as they last; over HTTP/2 (protocol: auto) many exchanges share one.";
    TARGET_BROKE_OFF = "target-broke-off", Target, Target, true, Maybe, "Target broke off",
        "The target closed the connection before its answer was complete. Whether it acted is unknown. What could be sent again without harm has been: an idempotent request whose connection ended with no word of an answer, on another one, once.",
        "Repeat what only reads. Before a write is repeated, find out from the target's owner whether it happened, and send a fresh Idempotency-Key: the same key is answered with idempotency-unknown-outcome, so that nothing happens twice.";
    REPLY_MALFORMED = "reply-malformed", Target, Target, false, Maybe, "Target's answer breaks HTTP's rules",
        "The target's answer could be read in more than one way: both Content-Length and Transfer-Encoding, a repeated or malformed length, another coding than chunked, a folded line, a bare line feed, bytes beyond its end, a status that is none, more than 100 header fields, a header section larger than 64 KiB (32 KiB over HTTP/2), or a switch to WebSocket that does not answer the request's (RFC 6455 §4.2.2) (RFC 9112 §2.2, §5, §6.3; RFC 9113 §8.1.1). Nothing of it was passed on, and the connection to the target was closed. Whether the target acted is unknown.",
        "Tell the target's owner, with the reason that the bridge's log gives; a proxy in front of the target may be rewriting its answers.";
    TARGET_REFUSED_US = "target-refused-us", Target, Operator, false, Untaken, "Target refused the bridge's credentials",
        "The target answered 401 or 407: to the credentials that the bridge presented, also after they were renewed, or because the manifest gives it none.",
        "Tell the operator the correlation id: only the operator can mend it.",
        "auth at the system's http names the credential: bearer, basic, header or oauth2, with the value in the sealed store: `ironbridge secret set NAME`. Scopes and the resource that the target expects stand at oauth2.";
    TARGET_FAILED = "target-failed", Target, Target, true, Maybe, "Target failed",
        "The target answered with a server error. Its own words are not passed on, because they may hold internals.",
        "Try again after the time in Retry-After, if there is one; if it persists, tell the operator the correlation id. A write with an Idempotency-Key needs a fresh one, once it is known that the target did not act: the same key is answered with idempotency-unknown-outcome.";
    TARGET_UNAVAILABLE = "target-unavailable", Unavailable, Target, true, Untaken, "Target asks to come back later",
        "The target answered 503 and said in Retry-After when to send the request again: it did not take it up (RFC 9110 §15.6.4). A 503 without Retry-After is target-failed, as every other server error is.",
        "Send the same again, under the same Idempotency-Key, after the time in Retry-After; if it persists, tell the target's owner.";
    TARGET_DECLINED = "target-declined", Unfit, Caller, false, Answered, "Target declined the request",
        "The request passed every control, and the target answered with a client error. Its status is passed on; its own words are not, because they may hold internals.",
        "Read the status: 400 may be the operator's to mend, because some targets (nginx among them) say so that they want a client certificate of the bridge's, or do not take the one it shows (certificate at the system's http), and so may 403, because the bridge's own credential may not do this there; 404 is an answer, 409 and 412 tell of its state, 429 asks to wait for the time in Retry-After. Otherwise correct the request. What the target misses may be a header field that the operation does not declare: those that are not listed in request.headers stay at the bridge (docs/reference/fields.md). With an idempotency key, send the corrected request under a fresh one.";
    REPLY_TOO_LARGE = "reply-too-large", Target, Target, false, Maybe, "Target's answer too large",
        "The target's answer is larger than the operation allows for answers that are read: 1 MiB unless declared; idempotency keys read them too. The target may have acted on the request.",
        "Ask for less at once; the operator can raise response.max_body. Before sending it again, find out whether the target acted.";
    REPLY_NOT_HELD = "reply-not-held", Target, Bridge, false, Maybe, "No room for the target's answer",
        "The target has answered, and the bridge holds so much of bodies, of this account's or of all, that there was no room to read the answer (bridge.limits.memory). The target may have acted on the request.",
        "Before sending it again, find out whether the target acted. The operator can raise bridge.limits.memory.";
    REPLY_HOLDS_CREDENTIAL = "reply-holds-credential", Target, Target, false, Maybe, "Target's answer holds a credential",
        "The target's answer repeats the credential that the bridge presented to it, as it is, escaped or encoded. It is the bridge's, so nothing of the answer was passed on; or, where the answer is passed on as it comes, nothing from there on, and only the record says this code.",
        "Tell the operator the correlation id; the bridge's log names where in the answer it stood. The target's owner stops repeating requests in answers.";
    REPLY_REFUSED = "reply-refused", Target, Target, false, Maybe, "Target's answer refused",
        "The target's answer is not what the operation declares: not JSON where fields are held back, against its schema, compressed, or an event stream that would have to be read whole. Nothing undeclared crosses, so nothing of it was passed on.",
        "The operator compares the target's answers with the manifest; the bridge's log says what is wrong with this one. An operation whose answers are not JSON (files, images, event streams) has no keep list and no schema for them: `ironbridge explain streams`.";

    // Ours
    AUDIT_UNAVAILABLE = "audit-unavailable", Unavailable, Operator, true, Nothing, "Audit trail unavailable",
        "The audit trail cannot be written, and nothing crosses unrecorded.",
        "Try again in a few seconds: nothing was sent to the target. The operator finds what is wrong with the disk in the bridge's log, and in `ironbridge audit status`; exchanges go on by themselves once records can be written.";
    ANSWER_WITHHELD = "answer-withheld", Internal, Operator, false, Maybe, "Answer withheld",
        "The target has answered, or may have acted, and then the record could not be written, or what the answer is judged by could not be read: the disk is full or failing, or the store does not answer. So the answer is not passed on.",
        "Before sending it again, find out whether the target acted. With an Idempotency-Key, send the same again: it never acts twice. The operator finds what is wrong in the bridge's log, and in `ironbridge audit status`.";
    STORE_UNAVAILABLE = "store-unavailable", Unavailable, Operator, true, Nothing, "Store unavailable",
        "The bridge's store cannot answer, and a control depends on it.",
        "Try again; the bridge resumes by itself once the store answers.";
    INTERNAL = "internal", Internal, Bridge, true, Either, "Internal error",
        "The bridge failed in a way its authors did not foresee.",
        "Report the correlation id to the operator, and the operator to us.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_complete() {
        let mut seen = std::collections::HashSet::new();
        for code in all() {
            assert!(seen.insert(code.id), "{} twice", code.id);
            assert!(
                code.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                code.id
            );
            for text in [code.meaning, code.mend] {
                assert!(text.ends_with('.'), "{}: {text}", code.id);
            }
            assert!(code.operator.is_empty() || code.operator.ends_with('.'), "{}", code.id);
        }
    }
}
