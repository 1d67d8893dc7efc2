use super::trail::{KeysArg, Source};
use crate::failure::Failure;
use crate::times;
use ironbridge_audit::Query;
use ironbridge_core::action::name;
use ironbridge_core::{Clock, SystemClock, Timestamp};

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
    #[arg(long, value_parser = ["success", "partial", "denied", "failed"])]
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
}

impl Filter {
    /// `None` where there is nothing to look for: the person is not known, which is said.
    pub fn query(&self, source: &Source, keys: &KeysArg) -> Result<Option<Query>, Failure> {
        let subject = match &self.subject {
            None => None,
            Some(id) => match source.subject(id, keys)? {
                None => return Ok(None),
                tag => tag,
            },
        };
        Ok(Some(Query {
            subject,
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
