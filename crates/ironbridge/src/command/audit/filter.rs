use super::trail::{KeysArg, Source};
use crate::failure::Failure;
use crate::nearest::suggestion;
use crate::times;
use ironbridge_audit::Query;
use ironbridge_core::action::name;
use ironbridge_core::{Clock, SystemClock, Timestamp, all_codes, all_words};
use ironbridge_manifest::Manifest;

/// Which records.
#[derive(Debug, clap::Args)]
pub struct Filter {
    /// Begun at or after this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Begun before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Of this person, by the id that the data carries
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Of this integration
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
    /// Of this operation
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// By this account
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// From this system
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// To this system
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// That required this permission
    #[arg(long, value_name = "NAME")]
    permission: Option<String>,
    /// With this outcome
    #[arg(long, value_parser = ["success", "accepted", "partial", "denied", "failed"])]
    outcome: Option<String>,
    /// With this code, such as permission-missing
    #[arg(long)]
    code: Option<String>,
    /// Of this action, such as key.issue
    #[arg(long, value_name = "NAME", value_parser = action)]
    action: Option<String>,
    /// The exchange with this id, which callers see as correlation id
    #[arg(long)]
    id: Option<String>,
    /// Read every record, whatever the index says: nothing authenticates that
    #[arg(long)]
    whole: bool,
}

impl Filter {
    /// `None` where there is nothing to look for: the person is not known, which is said.
    ///
    /// # Errors
    /// When a name is one that neither the manifest nor any record has: it would find nothing, and look like an
    /// answer.
    pub fn query(&self, source: &Source, keys: &KeysArg) -> Result<Option<Query>, Failure> {
        self.refuse_empty_span()?;
        self.refuse_unknown(source)?;
        let subject = match &self.subject {
            None => None,
            Some(id) => match source.subject(id, keys)? {
                None => return Ok(None),
                tag => tag,
            },
        };
        Ok(Some(Query {
            subject,
            whole: self.whole,
            since: self.since,
            until: self.until,
            id: self.id.clone(),
            integration: self.integration.clone(),
            operation: self.operation.clone(),
            account: self.account.clone(),
            permission: self.permission.clone(),
            outcome: self.outcome.clone(),
            code: self.code.clone(),
            action: self.action.clone(),
            source: self.source.clone(),
            target: self.target.clone(),
            ..Query::default()
        }))
    }
}

impl Filter {
    /// Nothing begins in it, and no record would look like an answer.
    fn refuse_empty_span(&self) -> Result<(), Failure> {
        let (Some(since), Some(until)) = (self.since, self.until) else { return Ok(()) };
        if since < until {
            return Ok(());
        }
        let message = format!("--until {} is not after --since {}", times::show(until), times::show(since));
        Err(Failure::new(message).help("a duration counts back from now: --since 10m --until 5m"))
    }
}

/// How many records, of which none would look like an answer.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "a whole number from 1 on is expected".to_owned())
}

/// A name in a filter: what it is called, how it is looked for, and those that are declared.
type Wanted<'f> = (&'static str, &'f Option<String>, fn(String) -> Query, fn(&Manifest) -> Vec<&str>);

impl Filter {
    fn refuse_unknown(&self, source: &Source) -> Result<(), Failure> {
        for (what, wanted, query, declared) in self.named() {
            let Some(wanted) = wanted else { continue };
            let mut known = source.manifest.as_ref().map(declared).unwrap_or_default();
            if what == CODE {
                known.extend(
                    all_words().iter().filter(|word| word.member.starts_with(CODE)).map(|word| word.id),
                );
                known.extend(all_codes().iter().map(|code| code.id));
            }
            if known.contains(&&**wanted) {
                continue;
            }
            // It may have been declared once, or stand in a copy of another bridge's trail.
            if source.log.query(Query { limit: Some(1), ..query(wanted.clone()) })?.next().is_some() {
                continue;
            }
            return Err(unknown(what, wanted, known, source.manifest.is_some()));
        }
        Ok(())
    }

    fn named(&self) -> [Wanted<'_>; 7] {
        [
            (
                "integration",
                &self.integration,
                |name| Query { integration: Some(name), ..Query::default() },
                |manifest| manifest.integrations.keys().map(|name| &**name).collect(),
            ),
            (
                "operation",
                &self.operation,
                |name| Query { operation: Some(name), ..Query::default() },
                |manifest| {
                    let integrations = manifest.integrations.values();
                    integrations
                        .flat_map(|one| one.flow.operations())
                        .map(|operation| &**operation.name)
                        .collect()
                },
            ),
            (
                "account",
                &self.account,
                |name| Query { account: Some(name), ..Query::default() },
                |manifest| manifest.accounts.keys().map(|name| &**name).collect(),
            ),
            (
                "system",
                &self.source,
                |name| Query { source: Some(name), ..Query::default() },
                |manifest| manifest.systems.keys().map(|name| &**name).collect(),
            ),
            (
                "system",
                &self.target,
                |name| Query { target: Some(name), ..Query::default() },
                |manifest| manifest.systems.keys().map(|name| &**name).collect(),
            ),
            (
                "permission",
                &self.permission,
                |name| Query { permission: Some(name), ..Query::default() },
                |manifest| {
                    let roles = manifest.roles.values();
                    roles.flat_map(|role| &role.permissions).map(|name| &**name).collect()
                },
            ),
            (CODE, &self.code, |code| Query { code: Some(code), ..Query::default() }, |_| Vec::new()),
        ]
    }
}

const CODE: &str = "code";

fn unknown(what: &str, wanted: &str, mut known: Vec<&str>, has_manifest: bool) -> Failure {
    known.sort_unstable();
    known.dedup();
    let by_whom = if has_manifest { "neither the manifest nor any record" } else { "no record" };
    let failure = Failure::new(format!("there is no {what} `{wanted}`: {by_whom} names it"));
    match suggestion(wanted, known) {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// A name that no version knows is a slip of the pen, and would find nothing.
fn action(text: &str) -> Result<String, String> {
    let known = name::ALL.iter().map(|(name, _)| *name);
    if known.clone().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected one of {}", known.collect::<Vec<_>>().join(", ")))
}

pub fn moment(text: &str) -> Result<Timestamp, String> {
    times::moment(text, SystemClock::default().now())
}
