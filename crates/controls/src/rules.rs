//! Is what the request says true? (E2: rules in CEL, the Common Expression Language)
//!
//! A rule is an expression that must be true. What it sees stands in `known`, what it may say in [`manual()`], and
//! `typing` finds out before there is a request whether it can be decided.
//!
//! # What a rule may cost
//! A rule is held to forms whose work is linear in the body, and what it does is counted while it is evaluated
//! (`metered`):
//!
//! - at most 4 KiB of text, 32 brackets and 24 operations deep (a chain of `&&` or `||` counts as its logarithm);
//! - `all`, `exists`, `exists_one` and `filter`, four of them at most and none inside another; `map` is refused;
//! - at most 32 times `+`, whose results are bounded;
//! - inside a loop, variables other than the loop's own give single values: a text of at most 256 bytes, a number,
//!   a truth value or null, so that each round looks at its own element only;
//! - `matches` takes a literal pattern and stands outside loops.
//!
//! Only the parts of the body that a rule names are converted for the evaluator.

mod arithmetic;
mod compile;
mod environment;
mod forms;
mod known;
mod manual;
mod metered;
mod named;
mod needs;
mod places;
mod remark;
mod typing;
mod variables;

pub use compile::Rule;
pub use known::{Declared, Known};
pub use manual::manual;
pub use remark::{Remark, RuleError};

use crate::order;
use environment::ENVIRONMENT;

use cel::common::types::CelBool;
use cel::{Context, ExecutionError, Value};
use ironbridge_core::json::Tape;
use ironbridge_core::memory::Charge;
use ironbridge_core::{Control, Denial, Exchange, Reading, Reads, Row, Side, code};
use metered::{MOST_STEPS, Steps};
use needs::{Judged, Needs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use variables::{Costs, Scope, Seen, Unseen, Variables};

/// Refuses requests that break a rule, with `rule-violated` and the rule's own words, and requests for which a
/// rule cannot be evaluated, with `rule-undecided`; or with `rule-unfit` where the body fits its schema, so that the
/// rule is at fault; or with `body-too-costly` where it would take too long.
#[derive(Debug)]
pub struct Rules {
    rules: Box<[Rule]>,
    /// What all the rules together look at.
    needs: Needs,
    /// Members of the query that are lists.
    lists: Box<[Box<str>]>,
    judged: Judged,
    most_steps: u64,
    /// The minute in which it was last logged that a rule cannot be evaluated.
    told: AtomicU64,
}

impl Rules {
    /// The rules are tried in this order; the first that does not hold is told. All are of one operation.
    pub fn new(rules: Vec<Rule>) -> Rules {
        let mut needs = Needs::default();
        for rule in &rules {
            needs.merge(&rule.needs);
        }
        let lists = rules.first().map(|rule| rule.lists.clone()).unwrap_or_default();
        let judged = Judged::by(rules.iter().map(|rule| &rule.needs));
        Rules { rules: rules.into(), needs, lists, judged, most_steps: MOST_STEPS, told: AtomicU64::new(0) }
    }

    fn apply(&self, exchange: &mut Exchange) -> Result<(), Denial> {
        let Exchange { request, principal, asked, origin, received, .. } = exchange;
        let document = request.document().filter(|document| !document.bytes().is_empty());
        let (body, charge) = match document.filter(|_| self.needs.of("body").is_some()) {
            Some(document) => {
                let charge = document.charge();
                (Some(document.json().map_err(crate::body::refusal)?), charge)
            }
            None => (None, Charge::default()),
        };
        if let (Some(body), Some(needs)) = (body, self.needs.of("body")) {
            variables::unmistakable(body.root(), needs, &self.judged)?;
        }
        let account = principal.as_ref().map(|principal| &**principal.account());
        let seen = Seen {
            body: body.map(Tape::root),
            account,
            asked,
            lists: &self.lists,
            address: origin.address(),
            now: *received,
        };
        let mut costs = Costs::new(charge);
        let variables = Variables::new(&seen, &self.needs, &mut costs).map_err(|unseen| match unseen {
            Unseen::Undecided(why) => Denial::new(&code::RULE_UNDECIDED).internal(why),
            Unseen::Inexact => crate::body::inexact(body.and_then(Tape::inexact).unwrap_or_default()),
            Unseen::Full(full) => *full.denial(&code::BODY_TOO_LARGE),
        })?;
        let steps = Steps::of(self.most_steps);
        let mut rules = self.rules.iter().enumerate();
        // Counted as in the manifest's list, from 1.
        rules.try_for_each(|(place, rule)| {
            rule.apply(&variables, &steps)
                .map_err(|denial| match steps.mistaken() {
                    Some(mistaken) => variables::mistaken(&seen, mistaken),
                    None => denial,
                })
                .map_err(|denial| denial.by(format_args!("rule {}", place + 1)))
        })
    }

    /// Says in the log that a rule cannot be evaluated, once a minute: callers cannot mend it, and choose how often.
    fn tell(&self, denial: &Denial, exchange: &Exchange) {
        let code = denial.code;
        if ![&code::RULE_UNDECIDED, &code::RULE_UNFIT, &code::BODY_TOO_COSTLY].contains(&code) {
            return;
        }
        let minute = exchange.received.seconds() / 60;
        if self.told.swap(minute, Ordering::Relaxed) == minute {
            return;
        }
        let integration = &*exchange.flow.integration.name;
        let operation = exchange.flow.operation.as_ref().map(|operation| &*operation.name);
        let (rule, why) = (denial.by.as_deref(), denial.internal.as_deref());
        tracing::warn!(id = %exchange.id, integration, operation, rule, code = code.id, why, "a rule cannot be decided; told once a minute");
    }
}

impl Rule {
    fn apply(&self, variables: &Variables<'_>, steps: &Steps) -> Result<(), Denial> {
        let scope = Scope { variables, steps, patterns: &self.patterns };
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&scope);
        let result = steps.spend(self.cost).and_then(|()| Value::resolve_val(&self.expression, &context));
        if steps.mistaken().is_some() {
            return Err(Denial::new(&code::JSON_NAME_REFUSED));
        }
        if steps.ran_out() {
            let why =
                format_args!("`{}`: the rules have taken all the steps there are for a request", self.check);
            return Err(Denial::new(&code::BODY_TOO_COSTLY).internal(why));
        }
        match result.as_deref().map(|value| value.downcast_ref::<CelBool>().map(|truth| *truth.inner())) {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(Denial::new(&code::RULE_VIOLATED).detail(self.otherwise.to_string())),
            Ok(None) => Err(self.undecided(Cause::Form, "it gives no truth value")),
            Err(error) => {
                let (cause, why) = self.cause(error);
                Err(self.undecided(cause, why))
            }
        }
    }

    /// What the schema lets a body be, and the rule cannot take, is no fault of who sends it.
    fn undecided(&self, cause: Cause, why: &str) -> Denial {
        let is_ours = self.is_assured && cause == Cause::Form;
        let denial = if is_ours {
            Denial::new(&code::RULE_UNFIT)
        } else {
            Denial::new(&code::RULE_UNDECIDED).detail(self.otherwise.to_string())
        };
        denial.internal(format_args!("`{}`: {why}", self.check))
    }

    /// Why the rule could not be evaluated, without the values that stood in it.
    fn cause(&self, error: &ExecutionError) -> (Cause, &'static str) {
        match error {
            ExecutionError::NoSuchKey(name) if self.asks_query(name) => {
                (Cause::Value, "a member of the query is missing")
            }
            ExecutionError::NoSuchKey(_)
            | ExecutionError::NoSuchOverload(_)
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::ValuesNotComparable(..)
            | ExecutionError::UnsupportedIndex(..)
            | ExecutionError::UnsupportedKeyType(_)
            | ExecutionError::UnsupportedTargetType { .. }
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::IndexOutOfBounds(_) => (Cause::Form, why(error)),
            _ => (Cause::Value, why(error)),
        }
    }

    /// Whether the rule looks at a member of the query with this name.
    fn asks_query(&self, name: &str) -> bool {
        let query = self.needs.of("request").and_then(|request| request.of("query"));
        query.is_some_and(|query| query.of(name).is_some())
    }
}

/// Why something cannot be evaluated, without the values that stood in it.
fn why(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::NoSuchKey(_) => "a field is missing",
        ExecutionError::UndeclaredReference(_) => "there is no body",
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedIndex(..)
        | ExecutionError::UnsupportedKeyType(_)
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::UnsupportedBinaryOperator(..) => "a field has another type than the rule needs",
        ExecutionError::IndexOutOfBounds(_) => "a list that is too short",
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero",
        ExecutionError::Overflow(..) => {
            "a division by zero, or a number that neither 64 bits nor a double hold"
        }
        _ => "a function refused its argument",
    }
}

/// What kept a rule from being evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// What is there, and of which type: what a schema says of a body.
    Form,
    Value,
}

impl Control for Rules {
    fn row(&self) -> &'static Row {
        &order::RULES
    }

    /// The whole body only where a rule looks at it.
    fn reads(&self) -> Reads {
        if self.needs.of("body").is_some() { Side::Request.reads(Reading::Json) } else { Reads::NOTHING }
    }

    fn inspect(&self, exchange: &mut Exchange) -> Result<(), Box<Denial>> {
        self.apply(exchange).map_err(|denial| {
            self.tell(&denial, exchange);
            Box::new(denial)
        })
    }
}
