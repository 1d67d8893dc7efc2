//! Reckoning as JSON has numbers: of one kind. 5, 5.0 and 0.5e1 are the same number wherever they stand, a quotient is
//! what it is on paper. A whole result that 64 bits do not hold is none, and a broken one is rounded as doubles are.
//!
//! The evaluator's own operators refuse a whole number beside a broken one, so a caller could choose by how a number is
//! written whether a rule can be decided.

use super::forms::{MACRO_RESULT, called, expression};
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::common::functions::Function;
use cel::common::types::{CelDouble, CelInt, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::{ExecutionError, IdedExpr, Value};

/// What stands in an expression, and what is evaluated in its place.
const OPERATORS: [(&str, &str, usize, Function); 6] = [
    (operators::ADD, ADD, 2, |operands| binary(&operands, Number::plus, joined)),
    (operators::SUBSTRACT, "@subtract", 2, |operands| {
        binary(&operands, Number::minus, |a, b| a.as_subtractor()?.sub(b).ok())
    }),
    (operators::MULTIPLY, "@multiply", 2, |operands| binary(&operands, Number::times, |_, _| None)),
    (operators::DIVIDE, "@divide", 2, |operands| binary(&operands, Number::over, |_, _| None)),
    (operators::MODULO, "@modulo", 2, |operands| binary(&operands, Number::modulo, |_, _| None)),
    (operators::NEGATE, "@negate", 1, negate),
];

/// By name, with their numbers of operands.
pub(super) fn functions() -> impl Iterator<Item = (&'static str, usize, Function)> {
    let operators = OPERATORS.into_iter().map(|(_, name, arity, function)| (name, arity, function));
    operators.chain([("@span", 1, span as Function)])
}

/// The one whose result grows.
pub(super) const ADD: &str = "@add";

/// Puts these operators in the place of the evaluator's, and whole numbers in that of doubles that are whole.
pub(super) fn adapt(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Literal(literal) => adapt_literal(literal),
        Expr::Call(call) => adapt_call(call),
        Expr::Select(select) => adapt(&mut select.operand),
        Expr::List(list) => list.elements.iter_mut().for_each(adapt),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| {
            if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                adapt(&mut entry.key);
                adapt(&mut entry.value);
            }
        }),
        Expr::Comprehension(within) => {
            for part in [
                &mut within.iter_range,
                &mut within.accu_init,
                &mut within.loop_cond,
                &mut within.loop_step,
                &mut within.result,
            ] {
                adapt(part);
            }
        }
        Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

fn adapt_call(call: &mut CallExpr) {
    call.target.iter_mut().for_each(|target| adapt(target));
    call.args.iter_mut().for_each(adapt);
    adapt_span(call);
    // What a loop gathers is the evaluator's own business, and it knows its form.
    let gathers = call
        .args
        .first()
        .is_some_and(|first| matches!(&first.expr, Expr::Ident(name) if name == MACRO_RESULT));
    let ours = OPERATORS
        .iter()
        .find(|(operator, _, arity, _)| *operator == call.func_name && *arity == call.args.len());
    if let Some((_, name, ..)) = ours.filter(|_| !gathers) {
        call.func_name = (*name).to_owned();
    }
}

/// The evaluator's own reads the beginning of a text, and passes over what it does not know behind it.
fn adapt_span(call: &mut CallExpr) {
    if let ("duration", [text]) = (call.func_name.as_str(), call.args.as_mut_slice()) {
        let own = std::mem::replace(text, expression(Expr::Unspecified));
        *text = called("@span", vec![own]);
    }
}

fn adapt_literal(literal: &mut LiteralValue) {
    let whole = match literal {
        LiteralValue::Double(double) => whole(*double.inner()),
        LiteralValue::UInt(unsigned) => i64::try_from(*unsigned.inner()).ok(),
        _ => None,
    };
    if let Some(whole) = whole {
        *literal = LiteralValue::Int(CelInt::from(whole));
    }
}

/// The integer of 64 bits that a double is.
fn whole(double: f64) -> Option<i64> {
    // Beyond, neighbouring integers are the same double.
    if double.fract() != 0.0 || double.abs() > EXACT { None } else { format!("{double:.0}").parse().ok() }
}

/// 2^53: up to here every integer is a double (IEEE 754, DBL_MANT_DIG).
const EXACT: f64 = 9_007_199_254_740_992.0;

#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Broken(f64),
}

impl Number {
    fn of(value: &dyn Val) -> Option<Number> {
        if let Some(signed) = value.downcast_ref::<CelInt>() {
            return Some(Number::Whole(i128::from(*signed.inner())));
        }
        if let Some(unsigned) = value.downcast_ref::<CelUInt>() {
            return Some(Number::Whole(i128::from(*unsigned.inner())));
        }
        value.downcast_ref::<CelDouble>().map(|double| Number::Broken(*double.inner()))
    }

    fn double(self) -> Option<f64> {
        match self {
            Number::Broken(double) => Some(double),
            // Exact, as a double has 53 bits.
            Number::Whole(whole) if whole.unsigned_abs() <= 1 << 53 => Some(whole as f64),
            Number::Whole(_) => None,
        }
    }

    fn plus(self, other: Number) -> Option<Number> {
        self.either(other, i128::checked_add, |a, b| a + b)
    }

    fn minus(self, other: Number) -> Option<Number> {
        self.either(other, i128::checked_sub, |a, b| a - b)
    }

    fn times(self, other: Number) -> Option<Number> {
        self.either(other, i128::checked_mul, |a, b| a * b)
    }

    fn over(self, other: Number) -> Option<Number> {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) if a.checked_rem(b)? == 0 => {
                a.checked_div(b).map(Number::Whole)
            }
            _ => Some(Number::Broken(self.double()? / other.double()?)),
        }
    }

    fn modulo(self, other: Number) -> Option<Number> {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => a.checked_rem(b).map(Number::Whole),
            _ => None,
        }
    }

    fn either(
        self,
        other: Number,
        wholes: impl Fn(i128, i128) -> Option<i128>,
        doubles: impl Fn(f64, f64) -> f64,
    ) -> Option<Number> {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => wholes(a, b).map(Number::Whole),
            _ => Some(Number::Broken(doubles(self.double()?, other.double()?))),
        }
    }

    /// As the evaluator holds it: an integer where it is one.
    fn value<'v>(self) -> Option<Box<dyn Val + 'v>> {
        match self {
            Number::Whole(integer) => match (i64::try_from(integer), u64::try_from(integer)) {
                (Ok(signed), _) => Some(Box::new(CelInt::from(signed))),
                (_, Ok(unsigned)) => Some(Box::new(CelUInt::from(unsigned))),
                _ => None,
            },
            Number::Broken(double) if !double.is_finite() => None,
            Number::Broken(double) => Some(match whole(double) {
                Some(integer) => Box::new(CelInt::from(integer)),
                None => Box::new(CelDouble::from(double)),
            }),
        }
    }
}

/// Two numbers as numbers, and anything else as the evaluator has it.
fn binary<'b, 'v>(
    operands: &[CowVal<'b, 'v>],
    numbers: impl Fn(Number, Number) -> Option<Number>,
    others: impl for<'o> Fn(&'o (dyn Val + 'v), &'o (dyn Val + 'v)) -> Option<CowVal<'o, 'v>>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [a, b] = operands else { return Err(mismatch()) };
    let (a, b) = (a.as_ref(), b.as_ref());
    match (Number::of(a), Number::of(b)) {
        (Some(a), Some(b)) => {
            let result = numbers(a, b).and_then(Number::value).ok_or_else(no_result)?;
            Ok(CowVal::Owned(result))
        }
        _ => others(a, b).map(|value| CowVal::Owned(value.into_owned())).ok_or_else(mismatch),
    }
}

/// Texts and lists behind one another, and moments moved by durations. Joining is the one thing that makes values grow,
/// so it ends where nobody compares any more.
fn joined<'o, 'v>(a: &'o (dyn Val + 'v), b: &'o (dyn Val + 'v)) -> Option<CowVal<'o, 'v>> {
    let bytes = |value: &(dyn Val + 'v)| value.downcast_ref::<CelString<'_>>().map(|text| text.inner().len());
    let is_modest = match (bytes(a), bytes(b)) {
        (Some(one), Some(other)) => one + other <= MAX_TEXT,
        _ => {
            let elements = |value: &(dyn Val + 'v)| value.as_sizer().map_or(0, |list| *list.size().inner());
            elements(a) + elements(b) <= MAX_ELEMENTS
        }
    };
    if is_modest { a.as_adder()?.add(b).ok() } else { None }
}

/// Bytes of a text that `+` makes.
const MAX_TEXT: usize = 64 << 10;
/// Elements of a list that `+` makes.
const MAX_ELEMENTS: i64 = 1000;

fn negate<'b, 'v>(operands: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let number = operands.first().and_then(|operand| Number::of(operand.as_ref())).ok_or_else(mismatch)?;
    let negated = Number::Whole(0).minus(number).and_then(Number::value).ok_or_else(no_result)?;
    Ok(CowVal::Owned(negated))
}

/// A duration as a text, read to its end: `1h30m`, `-1.5s`, `0`.
fn span<'b, 'v>(mut operands: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let operand = operands.pop().ok_or_else(mismatch)?;
    match operand.downcast_ref::<CelString<'_>>() {
        Some(text) if !is_span(text.inner()) => {
            Err(ExecutionError::function_error("duration", "no duration"))
        }
        _ => Ok(operand),
    }
}

fn is_span(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    while let Some(behind) = part_of_span(rest) {
        rest = behind;
        if rest.is_empty() {
            return true;
        }
    }
    false
}

/// What stands behind a number with its unit.
fn part_of_span(text: &str) -> Option<&str> {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let rest = match rest.strip_prefix('.') {
        Some(broken) => broken.split_at_checked(digits(broken)).filter(|(digits, _)| !digits.is_empty())?.1,
        None => rest,
    };
    let unit = ["ms", "us", "ns", "h", "m", "s"].into_iter().find_map(|unit| rest.strip_prefix(unit));
    unit.filter(|_| !whole.is_empty())
}

pub(super) fn mismatch() -> ExecutionError {
    ExecutionError::UnexpectedType { got: String::new(), want: String::new() }
}

/// Nothing is divided by zero, and nothing is rounded that is not broken.
fn no_result() -> ExecutionError {
    ExecutionError::Overflow("number", Value::Null, Value::Null)
}
