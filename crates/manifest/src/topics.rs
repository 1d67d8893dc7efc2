//! What several keys of a manifest do together: one catalogue for `explain` and the reference pages.

/// One thing to look up that is neither a code nor a finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Topic {
    /// By what it is looked up.
    pub id: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// Its lines are paragraphs.
    pub text: &'static str,
    /// An operation that shows it, or sections of a manifest, or commands.
    pub example: &'static str,
}

impl Topic {
    /// Whether somebody who asks for this word is after this topic.
    pub fn is_called(&self, word: &str) -> bool {
        let word = word.to_ascii_lowercase();
        let meant = ALSO.iter().find(|(also, _)| *also == word).map_or(&*word, |(_, id)| id);
        self.id == meant
    }

    /// Whether its example belongs into a manifest.
    pub fn shows_manifest(&self) -> bool {
        self.shows_operation() || self.shows_sections()
    }

    fn shows_operation(&self) -> bool {
        self.example.contains("match:")
    }

    fn shows_sections(&self) -> bool {
        self.example.starts_with("bridge:")
    }
}

/// The whole catalogue.
pub fn topics() -> &'static [Topic] {
    TOPICS
}

/// Words that people ask for, and the topic that answers them.
const ALSO: &[(&str, &str)] = &[
    ("browser", "cors"),
    ("browsers", "cors"),
    ("preflight", "cors"),
    ("options", "cors"),
    ("azure", "entra"),
    ("azuread", "entra"),
    ("azure-ad", "entra"),
    ("microsoft", "entra"),
];

const TOPICS: &[Topic] = &[
    Topic {
        id: "query",
        title: "Members of the query that cross",
        text: "List them in request.query, decoded, without their values. A member comes once unless a * follows its name. A request with any other member is refused with query-undeclared, and one that repeats a member that comes once with query-repeated: left out, a member would change what is asked for. Nothing is declared at first, so a manifest without request.query serves no request that has a query. The word all lets every member across, and check warns of it.",
        example: "search-orders:\n  match: GET /orders\n  permission: orders.read\n  request:\n    query: [status, page, page_size, tag*]   # tag may be repeated\n  response: { keep: [/items/*/id] }",
    },
    Topic {
        id: "headers",
        title: "Header fields that cross",
        text: "What HTTP, gRPC and WebSocket need crosses undeclared: what the body is, negotiation, conditions, tracing, Idempotency-Key. Every other field of a request is listed in request.headers, every other field of a reply in response.headers. What is not listed is left out, without a refusal; the log names each once for an operation, and where to list it. A target that misses a field often answers 4xx, which reaches the caller as target-declined. Credentials, cookies, fields that frame the message and fields that say who calls never cross: `ironbridge explain fields` lists them all.",
        example: "read-order:\n  match: GET /orders/{id}\n  permission: orders.read\n  request: { headers: [X-Tenant, X-Request-Id] }\n  response: { headers: [X-Total-Count], keep: [/id, /status] }",
    },
    Topic {
        id: "fields",
        title: "Which header fields cross",
        text: "Undeclared cross the fields of the first table. The fields of the second cross under no declaration, because each says what only the bridge may say. All others cross where the operation lists them.",
        example: "",
    },
    Topic {
        id: "trailers",
        title: "Fields after a body",
        text: "After a reply, gRPC's fields cross undeclared; every other trailer, in both directions, only where request.trailers or response.trailers lists it. A body that a control reads (schema, keep, rules on the body, records, idempotency keys) is sent on whole, and nothing that followed it crosses.",
        example: "read-totals:\n  match: GET /totals\n  permission: orders.read\n  response: { trailers: [X-Checksum] }",
    },
    Topic {
        id: "rules",
        title: "What must be true of a request",
        text: "Each rule is a CEL expression (check) and what the caller is told when it is false (otherwise). True lets the request pass; false refuses it with rule-violated; a rule that cannot be evaluated, because a member is missing or has another type, refuses it with rule-undecided, or with rule-unfit where the body fits its schema, so that the manifest is at fault; one that would take too long for the request refuses it with body-too-costly. Every rule must hold. What rules see and may say stands in docs/reference/rules.md, which `ironbridge explain rules` prints.",
        example: "ship-order:\n  match: POST /orders/{id}/shipments\n  permission: orders.read\n  request:\n    keep: [/quantity]\n    rules:\n      - check: body.quantity > 0 && body.quantity <= 1000\n        otherwise: quantity must be between 1 and 1000\n  response: { keep: [/shipment] }",
    },
    Topic {
        id: "streams",
        title: "Event streams, files and other bodies that are not JSON",
        text: "A body that no control reads streams past, whatever it is, of any size. response.keep, response.schema, response.records and a pointer in data.subject_id make the bridge read replies whole: they must be JSON, uncompressed, at most max_body, and they end before timeout. replay reads replies whole too, of any type. What cannot be read so is refused with reply-refused or reply-too-large, an event stream as soon as its header section is there, and parts of a reply (Range) are not asked for. So what answers with an event stream, a file or an image is an operation of its own, with a permission of its own and none of these keys, in an integration without such a pointer; what is in such a body is then agreed with the target's owner, because the bridge cannot leave out parts of it. IB208 stays as a reminder of that, where personal data crosses. Event streams need idle_timeout above their longest silence.",
        example: "order-events:\n  match: GET /orders/events\n  permission: orders.read\n  idle_timeout: 5m",
    },
    Topic {
        id: "head",
        title: "HEAD beside GET",
        text: "An operation is for one method. HEAD is answered where an operation declares it, and by 405 with Allow where only GET is declared: the two may need different permissions, and the target is asked what it was declared to be asked. The bridge's own addresses (its keys, metadata, log) answer HEAD wherever they answer GET (RFC 9110 §9.3.2).",
        example: "probe-order:\n  match: HEAD /orders/{id}\n  permission: orders.read",
    },
    Topic {
        id: "ca",
        title: "Certificates and the CAs they come from",
        text: "Callers trust the bridge through the certificate of its internal CA, data/ca.pem, unless the listener has a certificate of another CA. The bridge trusts a target through ca at its http: the certificate of the CA that issued the target's, or of that CA's root; without it, the CAs of the system. A server whose certificate signed itself can be trusted by naming that certificate in ca, where it is not also a CA's: `openssl req -x509` makes one with CA:TRUE unless told otherwise, and a CA's certificate may be no server's, so the handshake fails (target-tls-failed). Make it anew as shown, give it to the server, and name it in ca; `openssl x509 -in FILE -noout -text` shows Basic Constraints. Verification cannot be switched off. A caller whose handshake comes to nothing, because it does not trust the bridge, shows a certificate of another CA, speaks plain HTTP or asks for a server name that is none, makes no request, so there is no record of it: the log names its address and the reason, one line a minute for each reason and listener.",
        example: "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \\\n  -subj /CN=erp.internal -addext subjectAltName=DNS:erp.internal \\\n  -addext basicConstraints=critical,CA:FALSE -keyout erp.key -out erp.pem",
    },
    Topic {
        id: "cors",
        title: "Browsers and CORS",
        text: "The bridge stands between systems: its callers are servers. It has no CORS of its own, sets no cookies and takes none, and has no sign-in for people. A credential comes in Authorization, in X-API-Key or as a certificate, so a browser asks first, with OPTIONS and without a credential (a preflight), whether a page may send it; the bridge answers 405, or 401 where an operation declares OPTIONS, and the browser does not go on.\nThat is meant: a key or a token in a page is everyone's who opens the page. Have the page call the server it came from, and that server call the bridge, with a credential of its own.\nPages that only show what is public need no bridge. Origin, Referer and the fields of Access-Control are none that cross undeclared; an operation that lists them in request.headers and response.headers passes on what the target answers, for callers that are no browsers or have been let in by a certificate.\nA WebSocket is different: browsers ask nothing before it, so Origin crosses with its handshake and the target judges it; they cannot send a credential with it either, but a certificate.",
        example: "curl -i -X OPTIONS -H \"Origin: https://app.example.org\" \\\n  -H \"Access-Control-Request-Method: GET\" https://localhost:8443/erp/orders   # 405",
    },
    Topic {
        id: "keycloak",
        title: "Tokens of Keycloak",
        text: "A realm that nothing was changed in makes tokens that are refused four times over, and each has its remedy.\nTheir typ is JWT (token-type-refused): switch on Use at+jwt as access token header type, in the client's Advanced settings (Keycloak 26.2 and later; client attribute access.token.header.type.rfc9068), or accept the others with danger_accept_untyped_tokens.\nThey name the client in azp (token-claims-missing): client_id_claim.\nTheir aud is account or absent (token-audience-wrong): add an Audience mapper with the audience below as Included Custom Audience, to the client or to a client scope that it has by default.\nTheir scope is profile email (scope-missing): take those client scopes from the client, and give it client scopes named like the permissions of the manifest, with Include in token scope on. A client without any scope left gets an empty one, which allows nothing. Keep the client scope basic: sub comes from it (Keycloak 25 and later).\nThe issuer is the realm's public address; Keycloak takes it from the request unless its hostname is set, so a token that was fetched under an internal name has another one (token-issuer-unknown).\nThe client's own settings: Client authentication on, Service accounts roles on, all other flows off.",
        example: "bridge:\n  name: acme-bridge\n  issuers:\n    keycloak:\n      issuer: https://keycloak.example.org/realms/acme\n      audience: https://bridge.example.org      # what the Audience mapper puts in\n      client_id_claim: azp\n      # ca: keycloak-ca.pem                     # where its server has a certificate of a private CA\n      # Only where at+jwt cannot be switched on:\n      # danger_accept_untyped_tokens: { reason: Keycloak before 26.2, expires: 2027-06-30 }\n\naccounts:\n  shop:\n    system: shop\n    owner: shop-team@example.org\n    roles: [order-clerk]\n    credentials:\n      token: { issuer: keycloak, client_id: shop }",
    },
    Topic {
        id: "auth0",
        title: "Tokens of Auth0",
        text: "In Auth0 make an API for the bridge; its Identifier is the audience, and clients name it as audience in their token request.\nSet its Access Token Profile to RFC 9068: then tokens have typ at+jwt and client_id, and the manifest below is all. With Auth0's own profile typ is JWT and the client stands in azp: add client_id_claim: azp and danger_accept_untyped_tokens.\nThe issuer is the tenant's address with a slash at its end, or that of its custom domain where tokens are fetched there.\nName the API's permissions like those of the manifest and authorize each application for those it needs: its tokens carry them in scope, and where it has none, no scope, so that the account's roles alone decide.",
        example: "bridge:\n  name: acme-bridge\n  issuers:\n    auth0:\n      issuer: https://acme.eu.auth0.com/        # the slash belongs to it\n      audience: https://bridge.example.org      # the API's Identifier\n      # With Auth0's own token profile instead of RFC 9068:\n      # client_id_claim: azp\n      # danger_accept_untyped_tokens: { reason: Auth0 profile, expires: 2027-06-30 }\n\naccounts:\n  shop:\n    system: shop\n    owner: shop-team@example.org\n    roles: [order-clerk]\n    credentials:\n      token: { issuer: auth0, client_id: aBcDeFgHiJkLmNoPqRsTuVwXyZ012345 }",
    },
    Topic {
        id: "entra",
        title: "Tokens of Microsoft Entra ID",
        text: "Register an application for the bridge, and set requestedAccessTokenVersion to 2 in its manifest: without it, tokens are of version 1.0, with the issuer https://sts.windows.net/TENANT/, the client in appid and api://ID as audience.\nClients ask for the scope ID/.default of the bridge's application. Tokens of version 2.0 have the tenant's issuer below, the bridge's application (client) id as aud and the client's in azp.\nEntra always writes the typ JWT, so danger_accept_untyped_tokens is needed: an audience of the bridge's own keeps ID tokens and tokens for other APIs out.\nAny application of the tenant can get such a token, so what counts is that the account names the client; Assignment required, at the enterprise application, keeps the others out at Entra already.\nTokens of applications have roles and no scope, so the account's roles in the manifest decide. Tokens of people carry scp, and are another account's only if one names their client.",
        example: "bridge:\n  name: acme-bridge\n  issuers:\n    entra:\n      issuer: https://login.microsoftonline.com/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0\n      audience: 11112222-bbbb-3333-cccc-4444dddd5555   # the bridge's application id\n      client_id_claim: azp\n      danger_accept_untyped_tokens: { reason: Entra sets no other typ, expires: 2027-06-30 }\n\naccounts:\n  shop:\n    system: shop\n    owner: shop-team@example.org\n    roles: [order-clerk]\n    credentials:\n      token: { issuer: entra, client_id: 00001111-aaaa-2222-bbbb-3333cccc4444 }",
    },
    Topic {
        id: "okta",
        title: "Tokens of Okta",
        text: "Only tokens of a custom authorization server can be verified by others (API Access Management; its name is part of the issuer, default for the first); those of the org's own server, with the issuer https://DOMAIN and the typ application/okta-internal-at+jwt, are for Okta alone and are refused.\nThe audience is the one set at the authorization server, api://default unless changed: give the bridge an authorization server with an audience of its own.\nTokens name the client in cid and have no typ, so client_id_claim and danger_accept_untyped_tokens are needed.\nOkta gives no token without a scope: make scopes named like the permissions of the manifest at the authorization server, and let an access policy grant each client those that it needs. They come in scp.",
        example: "bridge:\n  name: acme-bridge\n  issuers:\n    okta:\n      issuer: https://acme.okta.com/oauth2/aus1a2b3c4d5e6f7g8h9\n      audience: https://bridge.example.org      # set at the authorization server\n      client_id_claim: cid\n      danger_accept_untyped_tokens: { reason: Okta sets no typ, expires: 2027-06-30 }\n\naccounts:\n  shop:\n    system: shop\n    owner: shop-team@example.org\n    roles: [order-clerk]\n    credentials:\n      token: { issuer: okta, client_id: 0oa1b2c3d4e5f6g7h8i9 }",
    },
    Topic {
        id: "manifest",
        title: "How a manifest is written",
        text: "All *.yaml and *.yml files below the directory are one manifest; each holds some of the keys bridge, systems, roles, accounts and integrations. `ironbridge explain KEY` explains a key, also with what leads to it (request.query, bridge.limits.memory), and `ironbridge schema` prints all of them for editors. A key that stands where it has no meaning is an error, and check says where it belongs.",
        example: "",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Severity, load_sources};
    use std::path::PathBuf;

    /// A weakened setting, with a reason and an end.
    const WEAKENED: &str = "IB202";

    struct Nothing;

    impl crate::Files for Nothing {
        fn exists(&self, _: &std::path::Path) -> bool {
            false
        }
    }

    /// What is found, but notes, in a manifest of which the example is a part.
    fn found(topic: &Topic, example: &str) -> Vec<&'static str> {
        let (bridge, accounts, operation) = if topic.shows_sections() {
            (
                String::new(),
                String::new(),
                "        o: { match: GET /o, permission: orders.read }\n".to_owned(),
            )
        } else {
            (
                "bridge: { name: b }\n".to_owned(),
                "accounts:\n  a: { system: shop, owner: a, roles: [order-clerk], credentials: { api_key: {} } }\n"
                    .to_owned(),
                example.lines().map(|line| format!("        {line}\n")).collect(),
            )
        };
        let rest = format!(
            "{bridge}systems:\n  shop: {{ owner: a, country: DE }}\n  \
             b: {{ owner: b, country: DE, http: {{ url: https://b.example }} }}\n\
             roles: {{ order-clerk: {{ permissions: [orders.read] }} }}\n{accounts}\
             integrations:\n  i:\n    source: shop\n    target: b\n    purpose: p\n    legal_basis: contract\n    \
             limits: {{ per_account: 10/s }}\n    http:\n      path: /i\n      operations:\n{operation}"
        );
        let mut sources = vec![(PathBuf::from("manifest.yaml"), rest)];
        if topic.shows_sections() {
            sources.push((PathBuf::from("example.yaml"), example.to_owned()));
        }
        let loaded = load_sources(sources, &Nothing, crate::Date::of(2026, 11, 27).unwrap());
        let findings = loaded.unwrap_or_else(|wrong| panic!("{}: {wrong:?}", topic.id)).findings;
        let findings = findings.iter().map(|found| found.finding);
        findings.filter(|finding| finding.severity != Severity::Note).map(|finding| finding.id).collect()
    }

    #[test]
    fn every_example_loads() {
        for topic in TOPICS.iter().filter(|topic| topic.shows_manifest()) {
            let weakened = topic.example.contains("\n      danger_");
            let expected: &[&str] = if weakened { &[WEAKENED] } else { &[] };
            assert_eq!(found(topic, topic.example), expected, "{}", topic.id);
        }
    }

    /// What is commented out is for whom it says, and loads as well.
    #[test]
    fn every_example_loads_with_what_it_leaves_open() {
        for topic in TOPICS.iter().filter(|topic| topic.shows_sections()) {
            let opened: String = topic
                .example
                .lines()
                .filter(|line| !line.contains("# ca:"))
                .map(|line| match line.split_once("# ") {
                    Some((blank, key))
                        if blank.trim().is_empty()
                            && key.split(' ').next().is_some_and(|key| key.ends_with(':')) =>
                    {
                        format!("{blank}{key}\n")
                    }
                    _ => format!("{line}\n"),
                })
                .collect();
            assert_eq!(found(topic, &opened), [WEAKENED], "{}", topic.id);
        }
    }

    #[test]
    fn every_topic_is_a_whole_text_of_its_own_name() {
        let mut seen = std::collections::HashSet::new();
        for topic in TOPICS {
            assert!(seen.insert(topic.id) && topic.text.ends_with('.'), "{}", topic.id);
        }
        for (word, id) in ALSO {
            assert!(seen.contains(id) && !seen.contains(word), "{word}");
        }
    }
}
