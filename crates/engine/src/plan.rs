//! What of a manifest can be compiled without a running bridge: schemas, rules, keep lists, routes. `ironbridge
//! check` stops here.

mod schemas;
mod trailers;

use crate::descriptors;
use crate::home::Home;
use crate::judge;
use crate::lapsed::Term;
use crate::publishing;
use ironbridge_controls::keep::KeepList;
use ironbridge_controls::rules::{Declared, Known, Rule};
use ironbridge_controls::schema::{DeadEnd, JsonSchema, dead_end};
use ironbridge_controls::subject::Places;
use ironbridge_core::{Clock, DEFAULT_MAX_BODY, Permission, PermissionTable, Timestamp};
use ironbridge_manifest::finding::{NOT_COMPILED, POINTER_NOWHERE, RULE_ODD, RULE_UNDECIDABLE};
use ironbridge_manifest::{
    Audit, Date, Diagnostics, Integration, Loaded, Manifest, Name, Observed, OneOrMore, Operation, Pointer,
    Positions, Sections, Size, SubjectPlace,
};
use ironbridge_seal::note::NoteVerifier;
use ironbridge_secrets::Secrets;
use schemas::ReadSchema;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A compiled manifest, not yet wired to anything.
pub struct Plan {
    pub manifest: Manifest,
    /// Warnings and notes.
    pub findings: Diagnostics,
    pub permissions: Arc<PermissionTable>,
    /// By integration, then operation, each in the order of their names.
    compiled: Vec<Vec<OperationPlan>>,
    /// For how long what it declares is good.
    pub terms: Vec<Term>,
    positions: Positions,
}

/// An integration with what was compiled of it.
#[derive(Clone, Copy)]
pub struct Planned<'p> {
    pub name: &'p Name,
    pub declared: &'p Integration,
    /// Of its operations, in the order of their names.
    pub operations: &'p [OperationPlan],
}

/// One operation's compiled parts.
pub struct OperationPlan {
    /// What a caller must hold.
    pub permission: Permission,
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
        Plan::compile(ironbridge_manifest::load(dir, today(clock))?, Vec::new(), Vec::new())
    }

    /// Loads a manifest directory, compiles it and judges the files that it names.
    ///
    /// # Errors
    /// Everything that is wrong, at the line where it stands, but for what time takes away.
    pub fn load(dir: &Path, clock: &dyn Clock) -> Result<Plan, Diagnostics> {
        Plan::load_with(dir, clock, &Sections::product())
    }

    /// As [`Plan::load`], with the sections of other transports than the product's.
    ///
    /// # Errors
    /// As [`Plan::load`].
    pub fn load_with(dir: &Path, clock: &dyn Clock, sections: &Sections) -> Result<Plan, Diagnostics> {
        let loaded = ironbridge_manifest::load_with(dir, today(clock), sections)?;
        let (judged, terms) = judge::files(&loaded.manifest, clock.now());
        Plan::compile(loaded, judged, terms)
    }

    /// As [`Plan::load`], with what data directory and machine say: whether secrets are set, how far the audit trail is
    /// elsewhere, how many files may be open. Nothing on the disk changes.
    pub async fn observe(dir: &Path, clock: &dyn Clock) -> Result<Plan, Diagnostics> {
        let loaded = ironbridge_manifest::load(dir, today(clock))?;
        let Loaded { manifest, positions, .. } = &loaded;
        let (mut judged, terms) = judge::files(manifest, clock.now());
        match Home::open_to_read(&manifest.bridge.data_dir) {
            Ok(Some(home)) => {
                judged.extend(judge::secrets(manifest, positions, &home.secrets(), clock.now()).await);
            }
            Ok(None) => judged.extend(judge::secrets_unseen(positions, "there is no data directory yet")),
            Err(error) => judged.extend(judge::secrets_unseen(positions, &error.to_string())),
        }
        judged.extend(publishing::other_name(&manifest.bridge));
        judged.extend(publishing::behind(&manifest.bridge, clock.now()));
        judged.extend(descriptors::too_few(manifest));
        Plan::compile(loaded, judged, terms)
    }

    /// Every integration with what was compiled of it.
    pub fn integrations(&self) -> impl Iterator<Item = Planned<'_>> {
        let each = self.manifest.integrations.iter().zip(&self.compiled);
        each.map(|((name, declared), operations)| Planned { name, declared, operations })
    }

    /// Why what these keys lead to is refused: time has taken away what it needs.
    pub fn lapsed(&self, keys: &[&str]) -> Option<&Arc<str>> {
        Term::lapsed_below(&self.terms, keys)
    }

    /// Where a secret is named, as the keys that lead there: `systems.erp.http.auth.bearer.token`.
    pub fn uses_of_secret(&self, name: &str) -> Vec<String> {
        let uses = self.positions.secrets().into_iter().filter(|(_, secret)| secret.name() == name);
        uses.map(|(at, _)| at.join(".")).collect()
    }

    /// What is wrong with a secret, at each place where it is named.
    pub async fn faults_of_secret(&self, name: &str, secrets: &Secrets, now: Timestamp) -> Vec<String> {
        judge::secret_called(name, &self.positions, secrets, now).await
    }

    /// Judges the secrets that the manifest names.
    ///
    /// # Errors
    /// Those that cannot be used, where they are named.
    pub async fn with_secrets(self, secrets: &Secrets, now: Timestamp) -> Result<Plan, Diagnostics> {
        let observed = judge::secrets(&self.manifest, &self.positions, secrets, now).await;
        let observed = self.positions.show(observed);
        if observed.are_in_the_way() {
            return Err(self.findings.and(observed));
        }
        Ok(Plan { findings: self.findings.and(observed), ..self })
    }

    /// Compiles what was loaded, or says all that does not compile, with what was observed of it already.
    fn compile(loaded: Loaded, mut observed: Vec<Observed>, terms: Vec<Term>) -> Result<Plan, Diagnostics> {
        let manifest = &loaded.manifest;
        let mut compiler = Compiler::default();
        compiler.keys(&manifest.bridge.audit);
        for permission in manifest.roles.values().flat_map(|role| &role.permissions) {
            compiler.permissions.intern(permission);
        }
        let integrations = manifest.integrations.iter();
        let compiled = integrations
            .map(|(name, integration)| compiler.integration(manifest, name, integration))
            .collect();
        observed.extend(compiler.problems);
        let observed = loaded.positions.show(observed);
        if observed.are_in_the_way() {
            return Err(loaded.findings.and(observed));
        }
        let permissions = Arc::new(compiler.permissions);
        let Loaded { manifest, findings, positions } = loaded;
        let findings = findings.and(observed);
        Ok(Plan { manifest, findings, permissions, compiled, terms, positions })
    }
}

/// The day that expiry dates are compared with, in UTC.
fn today(clock: &dyn Clock) -> Date {
    Date { days: i64::try_from(clock.now().seconds() / 86_400).unwrap_or(i64::MAX) }
}

#[derive(Default)]
struct Compiler {
    problems: Vec<Observed>,
    permissions: PermissionTable,
    /// A schema file that several operations name is compiled once.
    schemas: HashMap<PathBuf, Option<Arc<ReadSchema>>>,
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

    /// The parts of its operations, in their order.
    fn integration(&mut self, manifest: &Manifest, name: &str, declared: &Integration) -> Vec<OperationPlan> {
        let subjects = self.subjects(name, declared);
        let accounts = manifest.accounts.iter().filter(|(_, account)| account.system == declared.source);
        let accounts: Vec<&str> = accounts.map(|(name, _)| &**name).collect();
        let mut compiled = Vec::new();
        for operation in &declared.flow.operations() {
            let place = ["integrations", name, declared.flow.key(), "operations", operation.name];
            let place = place.map(str::to_owned);
            let plan = OperationPlan {
                subjects: subjects.clone(),
                ..self.operation(&place, (&declared.source, accounts.clone()), operation)
            };
            self.sizes(&place, operation, &plan, manifest.bridge.limits.memory);
            compiled.push(plan);
        }
        let rules_read = compiled.iter().map(|plan| plan.rules.iter().any(Rule::reads_body));
        self.problems.extend(trailers::without_use(name, declared, rules_read));
        compiled
    }

    fn subjects(&mut self, name: &str, integration: &Integration) -> Option<Arc<Places>> {
        let places = integration.data.as_ref()?.subject_id.as_ref()?;
        let place = ["integrations", name, "data"].map(str::to_owned);
        let pointers = places.iter().enumerate().filter_map(|(number, place)| match place {
            SubjectPlace::Body(pointer) => Some((number, pointer)),
            SubjectPlace::Parameter(_) => None,
        });
        self.dead_ends(&place, &["subject_id"], None, pointers);
        match Places::compile(places.iter().map(ToString::to_string)) {
            Ok(places) => Some(Arc::new(places)),
            Err(error) => {
                let place = ["integrations", name, "data", "subject_id"].map(str::to_owned);
                self.problem(&place, &[], error.to_string());
                None
            }
        }
    }

    fn operation(
        &mut self,
        place: &[String],
        (system, accounts): (&str, Vec<&str>),
        operation: &Operation<'_>,
    ) -> OperationPlan {
        let (request, response) = (operation.request, operation.response);
        let request_schema = request.schema.as_ref().and_then(|file| self.schema(place, "request", file));
        let response_schema = response.schema.as_ref().and_then(|file| self.schema(place, "response", file));
        let known = Known::operation(&Declared {
            method: operation.verb,
            parameters: operation.parameters.clone(),
            query: operation.query.clone(),
            system,
            accounts,
            body: request_schema.as_ref().map(|schema| &schema.document),
        });
        for (side, schema, keep, records) in [
            ("request", &request_schema, &request.keep, &request.records),
            ("response", &response_schema, &response.keep, &response.records),
        ] {
            let schema = schema.as_deref();
            let kept = keep.iter().flatten().enumerate();
            self.dead_ends(place, &[side, "keep"], schema, kept);
            let counted = records.iter().flat_map(|records| records.iter()).enumerate();
            self.dead_ends(place, &[side, "records"], schema, counted);
        }
        OperationPlan {
            permission: self.permissions.intern(operation.permission),
            rules: self.rules(place, operation, &known),
            request_schema: request_schema.map(|schema| schema.compiled.clone()),
            request_keep: request
                .keep
                .as_ref()
                .and_then(|list| self.pointers(place, "request", "keep", list)),
            request_records: self.records(place, "request", request.records.as_ref()),
            response_schema: response_schema.map(|schema| schema.compiled.clone()),
            response_keep: response
                .keep
                .as_ref()
                .and_then(|list| self.pointers(place, "response", "keep", list)),
            response_records: self.records(place, "response", response.records.as_ref()),
            subjects: None,
        }
    }

    fn schema(&mut self, place: &[String], side: &str, file: &Path) -> Option<Arc<ReadSchema>> {
        if let Some(known) = self.schemas.get(file) {
            return known.clone();
        }
        let at: Vec<&str> = place.iter().map(String::as_str).chain([side, "schema"]).collect();
        let read = match ReadSchema::of(file, &at) {
            Ok((schema, doubts)) => {
                self.problems.extend(doubts);
                Some(Arc::new(schema))
            }
            Err(message) => {
                self.problem(place, &[side, "schema"], message);
                None
            }
        };
        self.schemas.insert(file.to_owned(), read.clone());
        read
    }

    fn rules(&mut self, place: &[String], operation: &Operation<'_>, known: &Known) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (number, rule) in operation.request.rules.iter().enumerate() {
            let (typed, remarks) = match Rule::compile_for(&rule.check, &rule.otherwise, known) {
                Ok((rule, odd)) => {
                    rules.push(rule);
                    (&RULE_ODD, odd)
                }
                Err(certain) => (&RULE_UNDECIDABLE, certain),
            };
            let number = number.to_string();
            let below = ["request", "rules", &number, "check"];
            let at: Vec<&str> = place.iter().map(String::as_str).chain(below).collect();
            self.problems.extend(remarks.into_iter().map(|remark| Observed {
                part: remark.at,
                help: remark.help,
                ..Observed::new(if remark.is_read { typed } else { &NOT_COMPILED }, &at, remark.message)
            }));
        }
        rules
    }

    /// A body that may be read must fit into what one account may hold.
    fn sizes(&mut self, place: &[String], operation: &Operation<'_>, plan: &OperationPlan, memory: Size) {
        let reads = plan.reads(operation);
        for (side, size, reading) in [
            ("request", operation.request.max_body, reads.request),
            ("response", operation.response.max_body, reads.reply),
        ] {
            let size = size.unwrap_or(Size(DEFAULT_MAX_BODY));
            if !reading.is_whole() || size.0 <= memory.0 / BODIES_IN_MEMORY {
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

    /// Pointers that a schema of the same body says lead nowhere, and numbers in place of elements.
    fn dead_ends<'p>(
        &mut self,
        place: &[String],
        below: &[&str],
        schema: Option<&ReadSchema>,
        pointers: impl Iterator<Item = (usize, &'p Pointer)>,
    ) {
        for (number, pointer) in pointers {
            let steps = pointer.segments.iter().map(|step| step.as_deref());
            let end = match (foreign(pointer, schema.is_some()), schema) {
                (Some(end), _) => Some(end),
                (None, Some(schema)) => dead_end(&schema.document, steps),
                (None, None) => numbered(pointer),
            };
            let Some(DeadEnd { why, help }) = end else { continue };
            let number = number.to_string();
            let at: Vec<&str> = place
                .iter()
                .map(String::as_str)
                .chain(below.iter().copied())
                .chain([number.as_str()])
                .collect();
            let message = format!("`{}` leads nowhere: {why}", pointer.text);
            self.problems.push(Observed { help, ..Observed::new(&POINTER_NOWHERE, &at, message) });
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
        self.problems.push(Observed { at, ..Observed::new(&NOT_COMPILED, &[], message) });
    }
}

/// One account may hold half of the memory, and a body of which fields are held back is there twice for a moment.
const BODIES_IN_MEMORY: u64 = 4;

/// What other notations write. Where there is no schema, also what might be a member's name, and hardly is.
fn foreign(pointer: &Pointer, has_schema: bool) -> Option<DeadEnd> {
    let is_foreign = |step: &str| {
        let never =
            step.is_empty() || ["**", ".."].contains(&step) || step.contains("[*]") || step.contains("[]");
        let hardly =
            step.contains('[') || step == "$" || ["$.", "$[", "@."].iter().any(|root| step.starts_with(root));
        never || (hardly && !has_schema)
    };
    let step = pointer.segments.iter().flatten().find(|step| is_foreign(step))?;
    let (why, help) = match &**step {
        "" => ("an empty step names a member without a name".to_owned(), "take out the `/` too many"),
        "**" | ".." => {
            (format!("`{step}` names a member here, and no descent"), "write every step; `*` stands for one")
        }
        _ => (
            format!("`{step}` names a member here; it is written as another notation has it"),
            "`/items/*/id` is the id of each element of `items`",
        ),
    };
    Some(DeadEnd { why, help: Some(help.to_owned()) })
}

/// Without a schema: an index, or the place behind the last element (RFC 6901 §4), where a member's name stands.
fn numbered(pointer: &Pointer) -> Option<DeadEnd> {
    let is_index = |step: &str| {
        step == "-" || (step.len() <= 2 && step.bytes().all(|byte| byte.is_ascii_digit()) && !step.is_empty())
    };
    let index = pointer.segments.iter().flatten().find(|step| is_index(step))?;
    let why = format!("`{index}` names a member here, and no element");
    Some(DeadEnd { why, help: Some("elements are all alike: `*` stands for each of them".to_owned()) })
}
