//! Is what the request says true? (E2: rules in CEL, the Common Expression Language)
//!
//! A rule is an expression that must be true. It sees:
//!
//! | variable | is |
//! |---|---|
//! | `body` | the request's JSON body |
//! | `request.method`, `request.path` | the verb, and the path below the integration's own, decoded |
//! | `request.params` | the named parts of the path, by name, decoded |
//! | `request.query` | the query's members by name, decoded; a rule that names a repeated one is undecided |
//! | `account.name`, `account.system` | who calls |
//! | `address` | the caller's address, as text |
//! | `now` | when the request arrived, a timestamp |
//!
//! # What a rule may cost
//! The evaluator has no budget of its own, so a rule is held to forms whose work is linear in the body:
//!
//! - at most 4 KiB of text, 32 brackets and 24 operations deep (a chain of `&&` or `||` counts as its logarithm);
//! - `all`, `exists`, `exists_one` and `filter`, four of them at most and none inside another; `map` is refused;
//! - inside a loop, variables other than the loop's own give single values: a text of at most 256 bytes, a number,
//!   a truth value or null, so that each round looks at its own element only;
//! - `matches` takes a literal pattern (the engine is linear in the text) and stands outside loops.
//!
//! Only the parts of the body that a rule names are converted for the evaluator.

mod compile;
mod variables;

pub use compile::{Rule, RuleError};

use cel::common::types::CelBool;
use cel::{Context, Env, ExecutionError, Value};
use compile::Needs;
use ironbridge_core::json::Tape;
use ironbridge_core::memory::Charge;
use ironbridge_core::{Control, Denial, Exchange, Phase, Reads, code};
use std::sync::{Arc, LazyLock};
use variables::{Costs, Seen, Unseen, Variables};

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Refuses requests that break a rule, with `rule-violated` and the rule's own words, and requests for which a
/// rule cannot be evaluated, with `rule-undecided`.
#[derive(Debug, Clone)]
pub struct Rules {
    rules: Box<[Rule]>,
    /// What all the rules together look at.
    needs: Needs,
}

impl Rules {
    /// The rules are tried in this order; the first that does not hold is told.
    pub fn new(rules: Vec<Rule>) -> Rules {
        let mut needs = Needs::default();
        for rule in &rules {
            needs.merge(&rule.needs);
        }
        Rules { rules: rules.into(), needs }
    }

    fn apply(&self, exchange: &mut Exchange) -> Result<(), Denial> {
        let Exchange { request, principal, facts, peer, received, .. } = exchange;
        let document = request.document().filter(|document| !document.bytes().is_empty());
        let (body, charge) = match document.filter(|_| self.needs.of("body").is_some()) {
            Some(document) => {
                let charge = document.charge();
                (Some(document.json().map_err(crate::body::refusal)?), charge)
            }
            None => (None, Charge::default()),
        };
        let account = principal.as_ref().map(|principal| &**principal.account());
        let seen = Seen { body: body.map(Tape::root), account, facts, address: peer.address, now: *received };
        let mut costs = Costs::new(charge);
        let variables = Variables::new(&seen, &self.needs, &mut costs).map_err(|unseen| match unseen {
            Unseen::Undecided(why) => Denial::new(&code::RULE_UNDECIDED).internal(why),
            Unseen::Inexact => crate::body::inexact(body.and_then(Tape::inexact).unwrap_or_default()),
            Unseen::Full(full) => *full.denial(&code::BODY_TOO_LARGE),
        })?;
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&variables);
        let mut rules = self.rules.iter().enumerate();
        // Counted as in the manifest's list, from 1.
        rules.try_for_each(|(place, rule)| {
            rule.apply(&context).map_err(|denial| denial.by(format_args!("rule {}", place + 1)))
        })
    }
}

impl Rule {
    fn apply(&self, context: &Context<'_, '_>) -> Result<(), Denial> {
        let result = Value::resolve_val(&self.expression, context);
        match result.as_deref().map(|value| value.downcast_ref::<CelBool>().map(|truth| *truth.inner())) {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(Denial::new(&code::RULE_VIOLATED).detail(self.otherwise.to_string())),
            Ok(None) => Err(self.undecided("it gives no truth value")),
            Err(error) => Err(self.undecided(cause(error))),
        }
    }

    fn undecided(&self, why: &str) -> Denial {
        Denial::new(&code::RULE_UNDECIDED)
            .detail(self.otherwise.to_string())
            .internal(format_args!("`{}`: {why}", self.check))
    }
}

/// Why a rule could not be evaluated, without the values that stood in it.
fn cause(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::NoSuchKey(_) => "a field is missing",
        ExecutionError::UndeclaredReference(_) => "there is no body, or the function does not exist",
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedIndex(..)
        | ExecutionError::UnsupportedKeyType(_)
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::UnsupportedBinaryOperator(..) => "a field has another type than the rule needs",
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero",
        ExecutionError::Overflow(..) => "a number too large",
        ExecutionError::IndexOutOfBounds(_) => "a list that is too short",
        _ => "a function refused its argument",
    }
}

impl Control for Rules {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn phase(&self) -> Phase {
        Phase::Inspect
    }

    /// The whole body only where a rule looks at it.
    fn reads(&self) -> Reads {
        if self.needs.of("body").is_some() { Reads::Request } else { Reads::Nothing }
    }

    fn inspect(&self, exchange: &mut Exchange) -> Result<(), Box<Denial>> {
        self.apply(exchange).map_err(Box::new)
    }
}
