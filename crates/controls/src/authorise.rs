//! May this account do this, for this purpose? (B1, B3, account addresses of B4)

use crate::order;
use ironbridge_core::{Code, Control, Denial, Exchange, Judgement, Row, code};
use std::sync::Arc;

/// Refuses what the account or its credential does not grant. Denied by default: an exchange without a principal
/// or without an operation is refused.
///
/// The order tells a caller as little as possible about integrations that are not theirs: the declared source
/// first (`source-mismatch`), then the account's addresses (`account-address-refused`), then the account's
/// permission (`permission-missing`), and last the credential's own scope (`scope-missing`, RFC 6750 §3.1).
#[derive(Debug, Clone)]
pub struct Authorise {
    source: Arc<str>,
}

impl Authorise {
    /// `source` is the system that the integration declares as its source.
    pub fn new(source: Arc<str>) -> Authorise {
        Authorise { source }
    }

    fn refusal(&self, exchange: &Exchange) -> Option<&'static Code> {
        let Some(principal) = &exchange.principal else { return Some(&code::CREDENTIALS_MISSING) };
        let Some(operation) = &exchange.flow.operation else { return Some(&code::OPERATION_UNKNOWN) };
        let account = principal.account();
        if account.system != self.source {
            Some(&code::SOURCE_MISMATCH)
        } else if !account.may_call_from(exchange.origin.address()) {
            Some(&code::ACCOUNT_ADDRESS_REFUSED)
        } else if !principal.account_holds(operation.permission) {
            Some(&code::PERMISSION_MISSING)
        } else if !principal.credential_allows(operation.permission) {
            Some(&code::SCOPE_MISSING)
        } else {
            None
        }
    }

    /// The caller is known by now, and what an operation requires is part of what its integration promises.
    fn explained(&self, code: &'static Code, exchange: &Exchange) -> Denial {
        let denial = Denial::new(code);
        let (Some(operation), Some(account)) = (&exchange.flow.operation, exchange.account()) else {
            return denial;
        };
        let (permission, name) = (&operation.permission_name, &account.name);
        if *code == code::PERMISSION_MISSING {
            return denial
                .detail(format!("The operation requires the permission {permission}."))
                .internal(format!("no role of account `{name}` holds {permission}"));
        }
        denial.internal(if *code == code::SOURCE_MISMATCH {
            format!(
                "account `{name}` is of the system `{}`, the integration's source is `{}`",
                account.system, self.source
            )
        } else if *code == code::ACCOUNT_ADDRESS_REFUSED {
            match exchange.origin.address() {
                Some(address) => format!("account `{name}` may not call from {}", address.to_canonical()),
                None => format!("account `{name}` may call from listed networks, and the address is unknown"),
            }
        } else {
            format!("the token has a scope, and {permission} is not in it")
        })
    }
}

impl Control for Authorise {
    fn row(&self) -> &'static Row {
        &order::AUTHORISE
    }

    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        match self.refusal(exchange) {
            None => Judgement::PASS,
            Some(code) => Judgement::deny(self.explained(code, exchange)),
        }
    }
}
