//! What several keys of a manifest do together: one catalogue for `explain` and the reference pages.

/// One thing to look up that is neither a code nor a finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: &'static str,
    pub title: &'static str,
    pub text: &'static str,
    /// An operation that shows it, or commands.
    pub example: &'static str,
}

/// The whole catalogue.
pub fn topics() -> &'static [Topic] {
    TOPICS
}

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
        text: "Each rule is a CEL expression (check) and what the caller is told when it is false (otherwise). True lets the request pass; false refuses it with rule-violated; a rule that cannot be evaluated, because a member is missing or has another type, refuses it with rule-undecided, or with rule-unfit where the body fits its schema, so that the manifest is at fault. Every rule must hold. What rules see and may say stands in docs/reference/rules.md, which `ironbridge explain rules` prints.",
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
        text: "Callers trust the bridge through the certificate of its internal CA, data/ca.pem, unless the listener has a certificate of another CA. The bridge trusts a target through ca at its http: the certificate of the CA that issued the target's, or of that CA's root; without it, the CAs of the system. A server whose certificate signed itself can be trusted by naming that certificate in ca, where it is not also a CA's: `openssl req -x509` makes one with CA:TRUE unless told otherwise, and a CA's certificate may be no server's, so the handshake fails (target-tls-failed). Make it anew as shown, give it to the server, and name it in ca; `openssl x509 -in FILE -noout -text` shows Basic Constraints. Verification cannot be switched off.",
        example: "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \\\n  -subj /CN=erp.internal -addext subjectAltName=DNS:erp.internal \\\n  -addext basicConstraints=critical,CA:FALSE -keyout erp.key -out erp.pem",
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

    struct Nothing;

    impl crate::Files for Nothing {
        fn exists(&self, _: &std::path::Path) -> bool {
            false
        }
    }

    #[test]
    fn every_example_loads() {
        for topic in TOPICS.iter().filter(|topic| topic.example.contains("match:")) {
            let operation: String = topic.example.lines().map(|line| format!("        {line}\n")).collect();
            let text = format!(
                "bridge: {{ name: b }}\n\
                 systems:\n  a: {{ owner: a, country: DE }}\n  \
                 b: {{ owner: b, country: DE, http: {{ url: https://b.example }} }}\n\
                 roles: {{ r: {{ permissions: [orders.read] }} }}\n\
                 accounts:\n  a: {{ system: a, owner: a, roles: [r], credentials: {{ api_key: {{}} }} }}\n\
                 integrations:\n  i:\n    source: a\n    target: b\n    purpose: p\n    legal_basis: contract\n    \
                 limits: {{ per_account: 10/s }}\n    http:\n      path: /i\n      operations:\n{operation}"
            );
            let today = crate::Date::of(2026, 11, 27).unwrap();
            let loaded = load_sources(vec![(PathBuf::from("manifest.yaml"), text)], &Nothing, today);
            let findings = loaded.expect(topic.id).findings;
            let wrong = findings.iter().find(|found| found.finding.severity != Severity::Note);
            assert!(wrong.is_none(), "{}: {wrong:?}", topic.id);
        }
    }

    #[test]
    fn every_topic_is_a_whole_text_of_its_own_name() {
        let mut seen = std::collections::HashSet::new();
        for topic in TOPICS {
            assert!(seen.insert(topic.id) && topic.text.ends_with('.'), "{}", topic.id);
        }
    }
}
