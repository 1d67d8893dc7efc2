//! What is the same for every request: it judges nothing, or lets nothing through.

use super::super::arithmetic;
use super::super::environment::ENVIRONMENT;
use super::super::forms::{TYPES, named_path};
use super::super::metered::{self, MOST_STEPS, Steps};
use super::super::variables::{Scope, Variables};
use super::{Typing, condition, kinds, written};
use crate::shape::Kinds;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators as named};
use cel::common::types::{CelBool, CelDouble, CelInt, CelString, CelUInt};
use cel::{Context, IdedExpr, Value};
use std::sync::Arc;

impl Typing<'_> {
    /// Of a whole rule.
    pub(super) fn constants(&mut self, rule: &IdedExpr) {
        match self.always(rule) {
            Some(truth) => {
                let message = format!("`{}` is {truth} for every request", written(rule));
                self.mistake(true, (rule.id, None), message, None);
            }
            None => self.constants_within(rule),
        }
        self.undecidable(rule);
    }

    /// Parts that are the same for every request, where the whole is not.
    fn constants_within(&mut self, expression: &IdedExpr) {
        let is_logical = matches!(&expression.expr, Expr::Call(call)
            if [named::LOGICAL_AND, named::LOGICAL_OR, named::LOGICAL_NOT].contains(&&*call.func_name));
        self.each_part(expression, &mut |typing, part| {
            let is_written = matches!(part.expr, Expr::Literal(_));
            match typing.always(part).filter(|_| is_logical || !is_written) {
                Some(truth) => {
                    let message = format!("`{}` is {truth} for every request", written(part));
                    typing.mistake(false, (part.id, None), message, None);
                }
                None => typing.constants_within(part),
            }
        });
    }

    /// What no request lets be decided: a division by zero, a text that is no moment, a place without a time.
    fn undecidable(&mut self, expression: &IdedExpr) {
        if is_constant(expression) {
            if let Err(why) = evaluated(expression) {
                let message = format!("`{}` can never be decided: {why}", written(expression));
                self.mistake(true, (expression.id, None), message, None);
            }
            return;
        }
        if let Expr::Call(call) = &expression.expr {
            self.zone(call);
            if let (named::DIVIDE | named::MODULO, [_, divisor]) = (&*call.func_name, call.args.as_slice())
                && number(divisor) == Some(0.0)
            {
                let message =
                    format!("`{}` can never be decided: nothing is divided by zero", written(expression));
                self.mistake(true, (expression.id, None), message, None);
            }
        }
        self.each_part(expression, &mut Self::undecidable);
    }

    /// A place whose time is asked for, as in `now.getHours("Europe/Berlin")`.
    fn zone(&mut self, call: &CallExpr) {
        let (true, Some(_), [zone]) = (call.func_name.starts_with("get"), &call.target, call.args.as_slice())
        else {
            return;
        };
        let Some(Ok(place)) = is_constant(zone).then(|| evaluated(zone)) else { return };
        let Constant::Text(place) = place else { return };
        let some_moment = call_of("timestamp", vec![text("2026-01-01T00:00:00Z")]);
        let asked = Expr::Call(CallExpr {
            func_name: "getHours".to_owned(),
            target: Some(Box::new(some_moment)),
            args: vec![text(&place)],
        });
        if evaluated(&IdedExpr { id: 0, expr: asked }).is_err() {
            let message = format!("there is no time zone {}", super::quoted(&place));
            let help = "zones are named as in `Europe/Berlin`, or by their distance from UTC, as in `+01:00`";
            self.mistake(true, (zone.id, None), message, Some(help.to_owned()));
        }
    }

    /// What it gives whatever the request, where it can be decided.
    fn always(&self, expression: &IdedExpr) -> Option<bool> {
        if is_constant(expression) || matches!(expression.expr, Expr::Literal(LiteralValue::Boolean(_))) {
            return match evaluated(expression) {
                Ok(Constant::Truth(truth)) => Some(truth),
                _ => None,
            };
        }
        match &expression.expr {
            Expr::Call(call) => self.always_called(call),
            Expr::Comprehension(within) => {
                let each = condition(within).and_then(|condition| self.always(condition))?;
                match &within.loop_step.expr {
                    Expr::Call(step) if step.func_name == named::LOGICAL_AND && each => Some(true),
                    Expr::Call(step) if step.func_name == named::LOGICAL_OR && !each => Some(false),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn always_called(&self, call: &CallExpr) -> Option<bool> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (named::LOGICAL_NOT, [operand]) => self.always(operand).map(|truth| !truth),
            (named::LOGICAL_AND, [left, right]) => match (self.always(left), self.always(right)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            (named::LOGICAL_OR, [left, right]) => match (self.always(left), self.always(right)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            (named::CONDITIONAL, [condition, then, otherwise]) => match self.always(condition) {
                Some(truth) => self.always(if truth { then } else { otherwise }),
                None => self.always(then).filter(|truth| self.always(otherwise) == Some(*truth)),
            },
            (operator, [left, right]) => {
                let same = named_path(left).is_some_and(|path| named_path(right) == Some(path));
                match operator {
                    named::EQUALS | named::LESS_EQUALS | named::GREATER_EQUALS if same => Some(true),
                    named::NOT_EQUALS | named::LESS | named::GREATER if same => Some(false),
                    _ => self.ranged(operator, left, right),
                }
            }
            _ => None,
        }
    }

    /// A comparison with a number that something can never reach, or always has.
    fn ranged(&self, operator: &str, left: &IdedExpr, right: &IdedExpr) -> Option<bool> {
        if let (Some((least, most)), Some(number)) = (self.range(left), number(right)) {
            return ranged(operator, (least, most), number);
        }
        let turned = match operator {
            named::LESS => named::GREATER,
            named::LESS_EQUALS => named::GREATER_EQUALS,
            named::GREATER => named::LESS,
            named::GREATER_EQUALS => named::LESS_EQUALS,
            other => other,
        };
        ranged(turned, self.range(right)?, number(left)?)
    }

    /// The least and the most that a function gives.
    fn range(&self, expression: &IdedExpr) -> Option<(f64, f64)> {
        let Expr::Call(call) = &expression.expr else { return None };
        if call.func_name == "size" {
            return Some((0.0, f64::INFINITY));
        }
        let most = match call.func_name.as_str() {
            "getMonth" => (0.0, 11.0),
            "getDate" => (1.0, 31.0),
            "getDayOfWeek" => (0.0, 6.0),
            "getDayOfYear" => (0.0, 365.0),
            "getHours" => (0.0, 23.0),
            "getMinutes" | "getSeconds" => (0.0, 59.0),
            _ => return None,
        };
        // Of a duration these are all that there are in it.
        let of = call.target.as_deref()?;
        let mut quiet = Typing { known: self.known, found: Vec::new(), bound: self.bound.clone() };
        (kinds(&quiet.shape(of)) == Kinds::MOMENT).then_some(most)
    }

    fn each_part(&mut self, expression: &IdedExpr, each: &mut dyn FnMut(&mut Self, &IdedExpr)) {
        match &expression.expr {
            Expr::Call(call) => call.target.iter().for_each(|target| each(self, target)),
            Expr::Select(select) => each(self, &select.operand),
            Expr::List(list) => list.elements.iter().for_each(|part| each(self, part)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    each(self, &entry.value);
                }
            }),
            Expr::Comprehension(within) => {
                each(self, &within.iter_range);
                condition(within).into_iter().for_each(|condition| each(self, condition));
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
        if let Expr::Call(call) = &expression.expr {
            call.args.iter().for_each(|part| each(self, part));
        }
    }
}

fn ranged(operator: &str, (least, most): (f64, f64), number: f64) -> Option<bool> {
    let beyond = number < least || number > most || number.fract() != 0.0;
    let (always, never) = match operator {
        named::LESS => (most < number, least >= number),
        named::LESS_EQUALS => (most <= number, least > number),
        named::GREATER => (least > number, most <= number),
        named::GREATER_EQUALS => (least >= number, most < number),
        named::EQUALS => (false, beyond),
        named::NOT_EQUALS => (beyond, false),
        _ => return None,
    };
    if always { Some(true) } else { never.then_some(false) }
}

/// What a constant gives, as far as anybody asks.
enum Constant {
    Truth(bool),
    Number(f64),
    Text(String),
    Other,
}

/// Whether it is worked out, and names nothing of a request.
fn is_constant(expression: &IdedExpr) -> bool {
    !matches!(expression.expr, Expr::Literal(LiteralValue::Boolean(_))) && names_nothing(expression, None)
}

/// Loops are none inside another.
fn names_nothing(expression: &IdedExpr, within: Option<&ComprehensionExpr>) -> bool {
    let nothing = |part: &IdedExpr| names_nothing(part, within);
    match &expression.expr {
        Expr::Literal(_) => true,
        Expr::Ident(name) => {
            let is_bound = |within: &ComprehensionExpr| *name == within.iter_var || *name == within.accu_var;
            within.is_some_and(is_bound) || TYPES.contains(&name.as_str())
        }
        Expr::Call(call) => call.target.iter().all(|target| nothing(target)) && call.args.iter().all(nothing),
        Expr::Select(select) => nothing(&select.operand),
        Expr::List(list) => list.elements.iter().all(nothing),
        Expr::Map(map) => map.entries.iter().all(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => nothing(&entry.key) && nothing(&entry.value),
            EntryExpr::StructField(_) => false,
        }),
        Expr::Comprehension(own) => {
            let parts = [&own.accu_init, &own.loop_cond, &own.loop_step, &own.result];
            nothing(&own.iter_range) && parts.into_iter().all(|part| names_nothing(part, Some(own)))
        }
        Expr::Struct(_) | Expr::Unspecified => false,
    }
}

fn number(expression: &IdedExpr) -> Option<f64> {
    match is_constant(expression).then(|| evaluated(expression))? {
        Ok(Constant::Number(number)) => Some(number),
        _ => None,
    }
}

/// By the evaluator itself, whose word counts.
fn evaluated(expression: &IdedExpr) -> Result<Constant, &'static str> {
    let mut expression = expression.clone();
    arithmetic::adapt(&mut expression);
    let (_, patterns) = metered::meter(&mut expression);
    let (variables, steps) = (Variables::none(), Steps::of(MOST_STEPS));
    let scope = Scope { variables: &variables, steps: &steps, patterns: &patterns };
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    context.set_variable_resolver(&scope);
    let value = match Value::resolve_val(&expression, &context) {
        // What it costs is the request's business.
        _ if steps.ran_out() => return Ok(Constant::Other),
        value => value.map_err(|error| super::super::why(&error))?,
    };
    let number = value
        .downcast_ref::<CelInt>()
        .map(|number| *number.inner() as f64)
        .or_else(|| value.downcast_ref::<CelUInt>().map(|number| *number.inner() as f64))
        .or_else(|| value.downcast_ref::<CelDouble>().map(|number| *number.inner()));
    Ok(match (value.downcast_ref::<CelBool>(), number, value.downcast_ref::<CelString<'_>>()) {
        (Some(truth), ..) => Constant::Truth(*truth.inner()),
        (_, Some(number), _) => Constant::Number(number),
        (.., Some(text)) => Constant::Text(text.inner().to_owned()),
        _ => Constant::Other,
    })
}

fn call_of(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    let call = CallExpr { func_name: name.to_owned(), target: None, args };
    IdedExpr { id: 0, expr: Expr::Call(call) }
}

fn text(text: &str) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::String(text.to_owned().into())) }
}
