//! A transport that is not the product's: its sections are declared here, and read, checked and described as any other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_manifest::{
    Conditions, CredentialKind, Date, Diagnostics, FlowSection, Loaded, Map, Name, OneOrMore, Operation,
    Request, Response, Sections, TargetSection, json_schema_with, load_with, section, words,
};
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

section! {
    /// A flow of pigeons.
    pub struct PigeonFlow later("owls") {
        /// Where they arrive.
        loft: SocketAddr,
        /// Which credentials are accepted.
        accept: Option<OneOrMore<CredentialKind>>,
        /// When one is answered.
        answers: Answers = "now",
        /// What they may bring.
        operations: Map<PigeonOperation>,
    }
}

words! {
    /// When a pigeon is answered.
    pub enum Answers {
        /// When the target has answered.
        Now = "now",
        /// As soon as its message is written down.
        Later = "later",
    }
}

section! {
    /// One thing that pigeons bring.
    pub struct PigeonOperation {
        /// The ring that they wear.
        ring: Name,
        /// What a message must be like.
        request: Request,
        /// What an answer must be like.
        response: Response,
    }
    and conditions: Conditions
}

section! {
    /// Where pigeons fly.
    pub struct PigeonTarget {
        /// The loft there.
        loft: SocketAddr,
    }
}

impl FlowSection for PigeonFlow {
    fn accept(&self) -> Option<&[CredentialKind]> {
        self.accept.as_deref()
    }

    fn operations(&self) -> Vec<Operation<'_>> {
        self.operations
            .iter()
            .map(|(name, one)| Operation {
                parameters: vec!["ring"],
                ..Operation::new(name, "BRING", &one.conditions, &one.request, &one.response)
            })
            .collect()
    }
}

impl TargetSection for PigeonTarget {}

const GOOD: &str = "
bridge:
  name: bridge
  organisation: { name: Acme, contact: privacy@acme.example, country: DE }
systems:
  shop: { owner: shop@acme.example, country: DE }
  erp: { owner: erp@acme.example, country: DE, pigeon: { loft: 127.0.0.1:2000 } }
roles:
  writer: { permissions: [orders.write] }
accounts:
  shop: { system: shop, owner: shop@acme.example, roles: [writer], credentials: { api_key: {} } }
integrations:
  orders:
    source: shop
    target: erp
    purpose: orders
    legal_basis: contract
    data: { subjects: [customers], categories: [orders], retention: 400d, subject_id: '{ring}' }
    pigeon:
      loft: 127.0.0.1:1000
      operations:
        put:
          ring: blue
          permission: orders.write
          request: { keep: [/id] }
          response: { keep: [/id] }
          limits: { per_account: 10/s }
";

#[test]
fn its_sections_are_read_with_their_defaults() {
    let Loaded { manifest, findings, .. } = load(GOOD).unwrap();
    assert!(findings.iter().next().is_none(), "{}", findings.render_text(false));
    let integration = &manifest.integrations["orders"];
    assert_eq!(integration.flow.key(), "pigeon");
    let flow = integration.flow.of::<PigeonFlow>().unwrap();
    assert_eq!((flow.loft.port(), flow.answers), (1000, Answers::Now));
    assert_eq!(&*flow.operations["put"].ring, "blue");
    assert!(integration.http().is_none());

    let [put] = <[_; 1]>::try_from(integration.flow.operations()).unwrap();
    assert_eq!((&**put.name, &**put.permission, put.verb), ("put", "orders.write", "BRING"));
    assert_eq!(put.limits.per_account.unwrap().per, Duration::from_secs(1));
    assert!(put.expects_content(false) && put.request.keep.is_some());

    let target = manifest.systems["erp"].targets.reached_by(&integration.flow).unwrap();
    assert_eq!(target.of::<PigeonTarget>().unwrap().loft.port(), 2000);
    assert_eq!(manifest.accepted(integration), [CredentialKind::ApiKey]);
    assert_eq!(load(GOOD).unwrap().manifest.integrations, manifest.integrations);
}

#[test]
fn what_is_wrong_in_them_is_told_as_of_any_other() {
    for (from, to, expected) in [
        (
            "      operations:",
            "      lofd: x\n      operations:",
            "unknown key `lofd` in `pigeon`: did you mean `loft`?",
        ),
        (
            "request: { keep",
            "request: { query: [page], keep",
            "unknown key `query` in `request`: belongs in `integrations.orders.http.operations.NAME.request`",
        ),
        ("ring: blue", "ring: Blue", "`Blue` is no name: only lower-case letters"),
        (
            "permission: orders.write",
            "permision: orders.write",
            "unknown key `permision` in `put`: did you mean `permission`?",
        ),
        (
            "      operations:",
            "      answers: soon\n      operations:",
            "`soon` is not one of `now` and `later`",
        ),
        ("      operations:", "      owls: 1\n      operations:", "`owls` is not in this version yet"),
        ("'{ring}'", "'{name}'", "no operation has the parameter `name` in its path"),
        (
            "orders.write\n          request",
            "orders.wrote\n          request",
            "no role holds the permission `orders.wrote`",
        ),
        (
            "      operations:",
            "      accept: token\n      operations:",
            "no account of `shop` has a credential that is accepted",
        ),
        (
            "    pigeon:\n      loft: 127.0.0.1:1000\n      operations:",
            "    pigeons:\n      operations:",
            "unknown key `pigeons` in `orders`: did you mean `pigeon`?",
        ),
        ("pigeon: { loft: 127.0.0.1:2000 }", "role: controller", "the target `erp` does not say where it is"),
    ] {
        let told = told(&found(&GOOD.replacen(from, to, 1), &sections()));
        assert!(told.iter().any(|line| line.contains(expected)), "{expected}: {told:#?}");
    }
}

#[test]
fn an_integration_has_exactly_one_flow() {
    let http =
        "    http: { path: /erp, operations: { put: { match: PUT /orders, permission: orders.write } } }\n";
    let both = told(&found(&format!("{GOOD}{http}"), &sections()));
    assert_eq!(both, ["IB117 28:5 exactly one of `http` and `pigeon` is needed here: a second flow"]);
    let start = GOOD.find("    pigeon:").unwrap();
    let none = told(&found(&GOOD[..start], &sections()));
    assert_eq!(none, ["IB105 13:3 `http` or `pigeon` is missing in `orders`: needs `http` or `pigeon`"]);
}

/// Its own way, else the only one: which of several is meant, nobody knows.
#[test]
fn a_flow_leads_to_its_target_over_its_own_transport_or_the_only_one() {
    let only = GOOD.replace("pigeon: { loft: 127.0.0.1:2000 }", "http: { url: https://erp.example }");
    let manifest = load(&only).unwrap().manifest;
    let targets = &manifest.systems["erp"].targets;
    assert_eq!(targets.reached_by(&manifest.integrations["orders"].flow).unwrap().key(), "http");

    let sections = sections().target::<PigeonTarget>("raven", "How ravens reach it.");
    let several = only.replace("http: {", "raven: { loft: 127.0.0.1:1 }, http: {");
    let told = told(&found(&several, &sections));
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("over `http` and `raven`, and a flow over `pigeon` could mean any"), "{told:?}");
}

#[test]
fn the_schema_describes_them() {
    let schema = json_schema_with(&sections());
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let is_valid =
        |text: &str| validator.is_valid(&serde_saphyr::from_str::<serde_json::Value>(text).unwrap());
    assert!(is_valid(GOOD));
    assert!(
        !is_valid(&GOOD.replace("      operations:", "      answer: now\n      operations:")),
        "a key too many"
    );
    assert!(!is_valid(&GOOD.replace("    pigeon:", "    http: {}\n    pigeon:")), "two flows");
    let put = &schema["$defs"]["PigeonOperation"];
    assert_eq!(put["required"], serde_json::json!(["ring", "permission"]));
    assert_eq!(schema["$defs"]["PigeonFlow"]["properties"]["answers"]["default"], "now");
}

fn sections() -> Sections {
    Sections::product()
        .flow::<PigeonFlow>("pigeon", "The flow by pigeon.")
        .target::<PigeonTarget>("pigeon", "How pigeons reach it.")
}

fn load(text: &str) -> Result<Loaded, Diagnostics> {
    load_as(text, &sections())
}

fn load_as(text: &str, sections: &Sections) -> Result<Loaded, Diagnostics> {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("manifest.yaml"), text).unwrap();
    load_with(directory.path(), Date { days: 20_778 }, sections)
}

fn found(text: &str, sections: &Sections) -> Diagnostics {
    match load_as(text, sections) {
        Ok(loaded) => loaded.findings,
        Err(found) => found,
    }
}

/// Each finding with its place, what it says and what stands at the mark.
fn told(found: &Diagnostics) -> Vec<String> {
    let line = |found: &ironbridge_manifest::Diagnostic| {
        let place = &found.place;
        format!("{} {}:{} {}: {}", found.finding.id, place.line, place.column, found.message, place.label)
    };
    found.iter().map(line).collect()
}
