//! What of a manifest can be compiled without a running bridge: schemas, rules, keep lists, routes. `ironbridge
//! check` stops here.

use crate::descriptors;
use crate::home::Home;
use crate::judge;
use crate::publishing;
use crate::schema_words;
use ironbridge_controls::keep::KeepList;
use ironbridge_controls::rules::Rule;
use ironbridge_controls::schema::JsonSchema;
use ironbridge_controls::subject::Places;
use ironbridge_core::memory::Charge;
use ironbridge_core::{Clock, PermissionTable, Timestamp, json};
use ironbridge_manifest::finding::{NOT_COMPILED, SCHEMA_CHECKS_NOTHING, SCHEMA_WORD_UNKNOWN};
use ironbridge_manifest::{
    self as manifest, Audit, Date, Diagnostics, Loaded, Manifest, Observed, OneOrMore, Operation, Pointer,
    Positions, Segment, Size, Template,
};
use ironbridge_seal::note::NoteVerifier;
use ironbridge_secrets::Secrets;
use ironbridge_store::Actor;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A compiled manifest, not yet wired to anything.
pub struct Plan {
    pub manifest: Manifest,
    /// Warnings and notes.
    pub findings: Diagnostics,
    pub permissions: Arc<PermissionTable>,
    /// By integration, then operation.
    pub operations: BTreeMap<(Arc<str>, Arc<str>), OperationPlan>,
    positions: Positions,
}

/// One operation's compiled parts.
#[derive(Default)]
pub struct OperationPlan {
    /// The whole path pattern: the integration's path and the operation's.
    pub pattern: String,
    pub request_schema: Option<JsonSchema>,
    pub rules: Vec<Rule>,
    pub request_keep: Option<Arc<KeepList>>,
    /// Where records are counted.
    pub request_records: Option<Arc<KeepList>>,
    pub response_schema: Option<JsonSchema>,
    pub response_keep: Option<Arc<KeepList>>,
    pub response_records: Option<Arc<KeepList>>,
    /// Where the ids of data subjects are.
    pub subjects: Option<Arc<Places>>,
}

impl Plan {
    /// Loads a manifest directory and compiles it, for who does not build on it.
    ///
    /// # Errors
    /// Everything that is wrong, at the line where it stands.
    pub fn read(dir: &Path, clock: &dyn Clock) -> Result<Plan, Diagnostics> {
        Plan::compile(ironbridge_manifest::load(dir, today(clock))?, Vec::new())
    }

    /// Loads a manifest directory, compiles it and judges the files that it names.
    ///
    /// # Errors
    /// Everything that is wrong, at the line where it stands.
    pub fn load(dir: &Path, clock: &dyn Clock) -> Result<Plan, Diagnostics> {
        let loaded = ironbridge_manifest::load(dir, today(clock))?;
        let judged = judge::files(&loaded.manifest, clock.now());
        Plan::compile(loaded, judged)
    }

    /// As [`Plan::load`], with what data directory and machine say: whether secrets are set, how far the audit trail is
    /// elsewhere, how many files may be open.
    pub async fn observe(dir: &Path, clock: &dyn Clock, actor: Actor) -> Result<Plan, Diagnostics> {
        let loaded = ironbridge_manifest::load(dir, today(clock))?;
        let Loaded { manifest, positions, .. } = &loaded;
        let mut judged = judge::files(manifest, clock.now());
        match Home::open_existing(&manifest.bridge.data_dir, actor) {
            Ok(Some(home)) => {
                judged.extend(judge::secrets(manifest, positions, &home.secrets(), clock.now()).await);
            }
            Ok(None) => judged.extend(judge::secrets_unseen(positions, "there is no data directory yet")),
            Err(error) => judged.extend(judge::secrets_unseen(positions, &error.to_string())),
        }
        judged.extend(publishing::behind(&manifest.bridge, clock.now()));
        judged.extend(descriptors::too_few(manifest));
        Plan::compile(loaded, judged)
    }

    /// Where a secret is named, as the keys that lead there: `systems.erp.http.auth.bearer.token`.
    pub fn uses_of_secret(&self, name: &str) -> Vec<String> {
        let uses = self.positions.secrets().into_iter().filter(|(_, secret)| *secret.name == *name);
        uses.map(|(at, _)| at.join(".")).collect()
    }

    /// Judges the secrets that the manifest names.
    ///
    /// # Errors
    /// Those that cannot be used, where they are named.
    pub async fn with_secrets(self, secrets: &Secrets, now: Timestamp) -> Result<Plan, Diagnostics> {
        let observed = judge::secrets(&self.manifest, &self.positions, secrets, now).await;
        let observed = self.positions.show(observed);
        if observed.has_errors() {
            return Err(self.findings.and(observed));
        }
        Ok(Plan { findings: self.findings.and(observed), ..self })
    }

    /// Compiles what was loaded, or says all that does not compile, with what was observed of it already.
    fn compile(loaded: Loaded, mut observed: Vec<Observed>) -> Result<Plan, Diagnostics> {
        let manifest = &loaded.manifest;
        let mut compiler = Compiler::default();
        let mut operations = BTreeMap::new();
        let mut routes: HashMap<(String, String, String), String> = HashMap::new();
        compiler.keys(&manifest.bridge.audit);
        for (name, integration) in &manifest.integrations {
            let subjects = compiler.subjects(name, integration);
            for (operation_name, operation) in &integration.http.operations {
                let place = ["integrations", name, "http", "operations", operation_name];
                let place: Vec<String> = place.iter().map(ToString::to_string).collect();
                let mut plan = compiler.operation(&place, &integration.http.path.0, operation);
                plan.subjects.clone_from(&subjects);
                compiler.sizes(&place, operation, &plan, manifest.bridge.limits.memory);
                let listener =
                    integration.http.listener.as_ref().map(ToString::to_string).unwrap_or_default();
                let route = (listener, operation.route.method.to_string(), anonymous(&plan.pattern));
                if let Some(other) = routes.insert(route, format!("{name}.{operation_name}")) {
                    compiler.problem(&place, &["match"], format!("{other} takes the same requests"));
                }
                operations.insert((name.shared(), operation_name.shared()), plan);
            }
        }
        observed.extend(compiler.problems);
        let observed = loaded.positions.show(observed);
        if observed.has_errors() {
            return Err(loaded.findings.and(observed));
        }
        let mut permissions = PermissionTable::default();
        for role in manifest.roles.values() {
            role.permissions.iter().for_each(|permission| {
                permissions.intern(permission);
            });
        }
        for operation in
            manifest.integrations.values().flat_map(|integration| integration.http.operations.values())
        {
            permissions.intern(&operation.permission);
        }
        let Loaded { manifest, findings, positions } = loaded;
        let findings = findings.and(observed);
        Ok(Plan { manifest, findings, permissions: Arc::new(permissions), operations, positions })
    }
}

/// The day that expiry dates are compared with, in UTC.
fn today(clock: &dyn Clock) -> Date {
    Date { days: i64::try_from(clock.now().seconds() / 86_400).unwrap_or(i64::MAX) }
}

#[derive(Default)]
struct Compiler {
    problems: Vec<Observed>,
    /// A schema file that several operations name is compiled once.
    schemas: HashMap<PathBuf, Option<JsonSchema>>,
}

impl Compiler {
    /// The manifest's reader knows the form of a verifier key; whether it is one, only cryptography knows.
    fn keys(&mut self, audit: &Audit) {
        let asked =
            audit.witnesses.iter().map(|(name, witness)| (["witnesses", &**name, "key"], &witness.key));
        let served = audit.witness.iter().flat_map(|witness| &witness.logs);
        let served = served.map(|(origin, key)| (["witness", "logs", &**origin], key));
        for (place, key) in asked.chain(served) {
            if let Err(error) = NoteVerifier::parse(key) {
                let place: Vec<String> =
                    ["bridge", "audit"].iter().chain(&place).map(ToString::to_string).collect();
                self.problem(&place, &[], error.to_string());
            }
        }
    }

    fn subjects(&mut self, name: &str, integration: &manifest::Integration) -> Option<Arc<Places>> {
        let places = integration.data.as_ref()?.subject_id.as_ref()?;
        match Places::compile(places.iter().map(ToString::to_string)) {
            Ok(places) => Some(Arc::new(places)),
            Err(error) => {
                let place = ["integrations", name, "data", "subject_id"].map(str::to_owned);
                self.problem(&place, &[], error.to_string());
                None
            }
        }
    }

    fn operation(&mut self, place: &[String], mount: &str, operation: &Operation) -> OperationPlan {
        let (request, response) = (&operation.request, &operation.response);
        OperationPlan {
            pattern: format!("{}{}", mount.trim_end_matches('/'), pattern(&operation.route.path)),
            request_schema: request.schema.as_ref().and_then(|file| self.schema(place, "request", file)),
            rules: self.rules(place, operation),
            request_keep: request
                .keep
                .as_ref()
                .and_then(|list| self.pointers(place, "request", "keep", list)),
            request_records: self.records(place, "request", request.records.as_ref()),
            response_schema: response.schema.as_ref().and_then(|file| self.schema(place, "response", file)),
            response_keep: response
                .keep
                .as_ref()
                .and_then(|list| self.pointers(place, "response", "keep", list)),
            response_records: self.records(place, "response", response.records.as_ref()),
            subjects: None,
        }
    }

    fn schema(&mut self, place: &[String], side: &str, file: &Path) -> Option<JsonSchema> {
        if let Some(known) = self.schemas.get(file) {
            return known.clone();
        }
        let compiled = match read_schema(file) {
            Ok((schema, doubts)) => {
                let at: Vec<&str> = place.iter().map(String::as_str).chain([side, "schema"]).collect();
                let shown = file.display();
                let told = doubts.into_iter().map(|doubt| match doubt {
                    Doubt::Unknown(keyword) => Observed::new(
                        &SCHEMA_WORD_UNKNOWN,
                        &at,
                        format!("{shown}: no draft of JSON Schema knows {keyword}, so it checks nothing"),
                    ),
                    Doubt::AcceptsEverything => {
                        Observed::new(&SCHEMA_CHECKS_NOTHING, &at, format!("{shown} accepts every body"))
                    }
                });
                self.problems.extend(told);
                Some(schema)
            }
            Err(message) => {
                self.problem(place, &[side, "schema"], message);
                None
            }
        };
        self.schemas.insert(file.to_owned(), compiled.clone());
        compiled
    }

    fn rules(&mut self, place: &[String], operation: &Operation) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (number, rule) in operation.request.rules.iter().enumerate() {
            match Rule::compile(&rule.check, &rule.otherwise) {
                Ok(rule) => rules.push(rule),
                Err(error) => self.problem(
                    place,
                    &["request", "rules", &number.to_string(), "check"],
                    error.to_string(),
                ),
            }
        }
        rules
    }

    /// A body that may be read must fit into what one account may hold.
    fn sizes(&mut self, place: &[String], operation: &Operation, plan: &OperationPlan, memory: Size) {
        let stored = operation.replay.is_some();
        for (side, size, is_read) in [
            ("request", operation.request.max_body, plan.reads_request() || stored),
            ("response", operation.response.max_body, plan.reads_reply() || stored),
        ] {
            let size = size.unwrap_or(manifest::DEFAULT_MAX_BODY);
            if !is_read || size.0 <= memory.0 / BODIES_IN_MEMORY {
                continue;
            }
            let least = size.0.saturating_mul(BODIES_IN_MEMORY).div_ceil(1 << 20);
            let message = format!(
                "bodies of {} bytes are held whole, for which bridge.limits.memory must be at least {least}MiB",
                size.0
            );
            self.problem(place, &[side, "max_body"], message);
        }
    }

    fn records(
        &mut self,
        place: &[String],
        side: &str,
        list: Option<&OneOrMore<Pointer>>,
    ) -> Option<Arc<KeepList>> {
        list.and_then(|list| self.pointers(place, side, "records", list.iter()))
    }

    fn pointers<'p>(
        &mut self,
        place: &[String],
        side: &str,
        key: &str,
        list: impl IntoIterator<Item = &'p Pointer>,
    ) -> Option<Arc<KeepList>> {
        match KeepList::compile(list.into_iter().map(|pointer| &*pointer.text)) {
            Ok(list) => Some(Arc::new(list)),
            Err(error) => {
                self.problem(place, &[side, key], error.to_string());
                None
            }
        }
    }

    fn problem(&mut self, place: &[String], below: &[&str], message: String) {
        let at = place.iter().cloned().chain(below.iter().map(ToString::to_string)).collect();
        self.problems.push(Observed { finding: &NOT_COMPILED, at, message, help: None });
    }
}

/// One account may hold half of the memory, and a body of which fields are held back is there twice for a moment.
const BODIES_IN_MEMORY: u64 = 4;

/// A schema file may be so large. Real ones stay below 100 KiB.
const MAX_SCHEMA: u64 = 1024 * 1024;

/// Why a schema may not do what its author thinks.
enum Doubt {
    /// A keyword that no draft knows, with where it stands.
    Unknown(String),
    AcceptsEverything,
}

/// The schema, and what is doubtful about it.
fn read_schema(file: &Path) -> Result<(JsonSchema, Vec<Doubt>), String> {
    let shown = file.display();
    let size = std::fs::metadata(file).map_err(|error| format!("{shown}: {error}"))?.len();
    if size > MAX_SCHEMA {
        return Err(format!("{shown} is larger than 1 MiB"));
    }
    let bytes = std::fs::read(file).map_err(|error| format!("{shown}: {error}"))?;
    let schema = json::parse(&bytes).map_err(|fault| format!("{shown} is not JSON: {fault}"))?;
    if let Some(kind) = schema_words::other_document(&schema) {
        return Err(format!("{shown} is {kind}, not a JSON Schema: as one it would accept every body"));
    }
    // A limit that is rounded would let pass what it says to refuse.
    let tape = json::Tape::read(bytes.into(), Charge::default());
    if let Some(pointer) = tape.ok().and_then(|tape| tape.first_inexact()) {
        return Err(format!("{shown}: the number at {pointer} has more digits than a double holds"));
    }
    let mut doubts: Vec<Doubt> = schema_words::unknown(&schema).into_iter().map(Doubt::Unknown).collect();
    if schema_words::accepts_everything(&schema) {
        doubts.push(Doubt::AcceptsEverything);
    }
    JsonSchema::compile(&schema).map(|schema| (schema, doubts)).map_err(|error| format!("{shown}: {error}"))
}

/// The pattern as the router reads it.
fn pattern(template: &Template) -> String {
    template.segments.iter().fold(String::new(), |path, segment| match segment {
        Segment::Literal(text) => path + "/" + text,
        Segment::Parameter(name) => path + "/{" + name + "}",
    })
}

/// Two patterns that differ in their parameters' names only take the same requests.
fn anonymous(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}
