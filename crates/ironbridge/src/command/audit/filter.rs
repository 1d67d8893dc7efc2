use crate::times;
use ironbridge_audit::Query;
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
    /// Of this integration
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
    /// Of this operation
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// By this account
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// That required this permission
    #[arg(long, value_name = "NAME")]
    permission: Option<String>,
    /// With this outcome
    #[arg(long, value_parser = ["success", "partial", "denied", "failed"])]
    outcome: Option<String>,
    /// With this code, such as permission-missing
    #[arg(long)]
    code: Option<String>,
    /// The exchange with this id, which callers see as correlation id
    #[arg(long)]
    id: Option<String>,
}

impl Filter {
    pub fn query(&self) -> Query {
        Query {
            since: self.since,
            until: self.until,
            id: self.id.clone(),
            integration: self.integration.clone(),
            operation: self.operation.clone(),
            account: self.account.clone(),
            permission: self.permission.clone(),
            outcome: self.outcome.clone(),
            code: self.code.clone(),
            ..Query::default()
        }
    }
}

pub fn moment(text: &str) -> Result<Timestamp, String> {
    times::moment(text, SystemClock::default().now())
}
