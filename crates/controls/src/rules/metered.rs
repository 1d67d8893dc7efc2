//! What a rule may cost. The evaluator has no budget of its own, so one is put into the expression: each round of a
//! loop, each text that is gone through and each value that is compared spends steps of what an exchange may take, and
//! where none are left the evaluation ends.

use super::arithmetic;
use super::forms::{called, expression, is_written_out, literal_text, named};
use crate::pattern::Pattern;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::common::functions::Function;
use cel::common::types::{CelBool, CelInt, CelList, CelMap, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{ExecutionError, IdedExpr};
use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Steps that the rules of one exchange take at most. A step is one part of a rule that is evaluated, or 64 bytes of a
/// text that are gone through: measured, 30 to 50 ns, so this is about a second.
pub(super) const MOST_STEPS: u64 = 20_000_000;

const BYTES_A_STEP: u64 = 64;

/// The names under which rules find their steps and patterns; none can be written in a rule.
pub(super) const STEPS: &str = "@steps";
pub(super) const PATTERN: &str = "@pattern";

/// What stands in a metered expression beside the evaluator's own functions.
pub(super) const FUNCTIONS: [(&str, usize, Function); 4] =
    [("@round", 2, round), ("@read", 2, read), ("@walk", 2, walk), ("@matches", 3, matches)];

/// What is left of the steps of one exchange.
#[derive(Debug)]
pub(super) struct Steps {
    left: AtomicU64,
    ran_out: AtomicBool,
    /// Whether the loop that is gone through gives names of members.
    names: AtomicBool,
    mistaken: OnceLock<Mistaken>,
}

/// A name that some reader takes for another one, which the rule looks for. Which is which cannot always be told.
pub(super) type Mistaken = [Box<str>; 2];

static STEPS_TYPE: Type = Type::new_unspecified_type(STEPS);

impl Steps {
    pub fn of(most: u64) -> Steps {
        Steps {
            left: AtomicU64::new(most),
            ran_out: AtomicBool::new(false),
            names: AtomicBool::new(false),
            mistaken: OnceLock::new(),
        }
    }

    /// Evaluation goes on where the other side of `||` may decide, so whoever evaluates asks this too.
    pub fn ran_out(&self) -> bool {
        self.ran_out.load(Ordering::Relaxed)
    }

    /// One thread evaluates, so what is read here is what was left here.
    pub fn spend(&self, steps: u64) -> Result<(), ExecutionError> {
        match self.left.load(Ordering::Relaxed).checked_sub(steps) {
            Some(left) => {
                self.left.store(left, Ordering::Relaxed);
                Ok(())
            }
            None => Err(self.end()),
        }
    }

    /// As [`Steps::ran_out`].
    pub fn mistaken(&self) -> Option<&Mistaken> {
        self.mistaken.get()
    }

    pub fn mistake(&self, name: &str, other: &str) -> ExecutionError {
        self.mistaken.get_or_init(|| [name.into(), other.into()]);
        ExecutionError::function_error(STEPS, "a name that some systems read as another")
    }

    pub fn are_names(&self) -> bool {
        self.names.load(Ordering::Relaxed)
    }

    pub fn goes_through_names(&self, are_names: bool) {
        self.names.store(are_names, Ordering::Relaxed);
    }

    fn end(&self) -> ExecutionError {
        self.left.store(0, Ordering::Relaxed);
        self.ran_out.store(true, Ordering::Relaxed);
        ExecutionError::function_error(STEPS, "none are left")
    }
}

impl Val for Steps {
    fn get_type(&self) -> &Type {
        &STEPS_TYPE
    }

    fn cel_type() -> &'static Type {
        &STEPS_TYPE
    }

    /// No rule can hold on to them; a copy would be a second budget.
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(Steps::of(0))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Steps {}

/// A pattern, as a value that a rule can be given.
#[derive(Debug, Clone)]
pub(super) struct Searched(Arc<Pattern>);

static PATTERN_TYPE: Type = Type::new_unspecified_type(PATTERN);

impl Val for Searched {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Searched {}

/// Puts the steps into an expression whose arithmetic is [adapted](arithmetic::adapt). Returns what evaluating it once
/// costs besides, and the patterns that it names.
pub(super) fn meter(expression: &mut IdedExpr) -> (u64, Vec<Searched>) {
    let cost = parts(expression);
    let mut meter = Meter { patterns: Vec::new() };
    meter.within(expression);
    (cost, meter.patterns)
}

struct Meter {
    patterns: Vec<Searched>,
}

impl Meter {
    fn within(&mut self, expression: &mut IdedExpr) {
        match &mut expression.expr {
            Expr::Call(call) => self.call(call),
            Expr::Select(select) => self.within(&mut select.operand),
            Expr::List(list) => list.elements.iter_mut().for_each(|element| self.within(element)),
            Expr::Map(map) => map.entries.iter_mut().for_each(|entry| {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    self.within(&mut entry.key);
                    self.within(&mut entry.value);
                }
            }),
            Expr::Comprehension(within) => self.rounds(within),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }

    fn call(&mut self, call: &mut CallExpr) {
        call.target.iter_mut().for_each(|target| self.within(target));
        call.args.iter_mut().for_each(|argument| self.within(argument));
        match (call.func_name.as_str(), call.args.as_mut_slice()) {
            // A comparison ends with the shorter of the two, so with what the rule itself spells out.
            (operators::IN, [_, container]) => spend_on(container, "@walk"),
            (
                operators::EQUALS
                | operators::NOT_EQUALS
                | operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [left, right],
            ) if !is_written_out(left) && !is_written_out(right) => {
                spend_on(left, "@walk");
                spend_on(right, "@walk");
            }
            (arithmetic::ADD, [left, right]) => {
                spend_on(left, "@walk");
                spend_on(right, "@walk");
            }
            ("startsWith" | "endsWith", [looked_for]) if is_written_out(looked_for) => {}
            ("matches", _) => self.matches(call),
            (
                "size" | "contains" | "startsWith" | "endsWith" | "int" | "uint" | "double" | "string"
                | "bool" | "timestamp" | "duration",
                arguments,
            ) => {
                arguments.iter_mut().for_each(|argument| spend_on(argument, "@read"));
                call.target.iter_mut().for_each(|target| spend_on(target, "@read"));
            }
            _ => {}
        }
    }

    /// The pattern is compiled once, not for each request.
    fn matches(&mut self, call: &mut CallExpr) {
        let Some(pattern) = call.args.pop() else { return };
        let Some(text) = call.target.take().map(|target| *target).or_else(|| call.args.pop()) else { return };
        let Some(compiled) = literal_text(&pattern).and_then(|pattern| Pattern::of(pattern).ok()) else {
            return;
        };
        let name = format!("{PATTERN}{}", self.patterns.len());
        self.patterns.push(Searched(Arc::new(compiled)));
        *call = CallExpr {
            func_name: "@matches".to_owned(),
            target: None,
            args: vec![named(STEPS), text, named(&name)],
        };
    }

    /// Where a loop gathers, the evaluator knows it by its form, and only the condition has room. Elsewhere what asks
    /// whether to go on has it: an error there ends the loop, and one in its body does not.
    fn rounds(&mut self, within: &mut ComprehensionExpr) {
        let cost = parts(&within.loop_step) + parts(&within.loop_cond);
        self.within(&mut within.iter_range);
        self.within(&mut within.loop_step);
        self.within(&mut within.result);
        let gathered = match &mut within.loop_step.expr {
            Expr::Call(step) if step.func_name == operators::CONDITIONAL => step.args.first_mut(),
            _ => None,
        };
        let condition = gathered.unwrap_or(&mut within.loop_cond);
        let cost = LiteralValue::Int(CelInt::from(i64::try_from(cost).unwrap_or(i64::MAX)));
        let spent = called("@round", vec![named(STEPS), expression(Expr::Literal(cost))]);
        let no = expression(Expr::Literal(LiteralValue::Boolean(CelBool::from(false))));
        let own = std::mem::replace(condition, expression(Expr::Unspecified));
        *condition = called(operators::CONDITIONAL, vec![spent, own, no]);
    }
}

/// What a rule spells out is as long as its text, and counts with its parts.
fn spend_on(operand: &mut IdedExpr, by: &str) {
    if !is_written_out(operand) {
        let own = std::mem::replace(operand, expression(Expr::Unspecified));
        *operand = called(by, vec![named(STEPS), own]);
    }
}

/// How many parts an expression has, those of loops in it once.
fn parts(expression: &IdedExpr) -> u64 {
    let within: u64 = match &expression.expr {
        Expr::Call(call) => {
            call.target.iter().map(|target| parts(target)).chain(call.args.iter().map(parts)).sum()
        }
        Expr::Select(select) => parts(&select.operand),
        Expr::List(list) => list.elements.iter().map(parts).sum(),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => parts(&entry.key) + parts(&entry.value),
                EntryExpr::StructField(_) => 1,
            })
            .sum(),
        Expr::Comprehension(within) => {
            [&within.iter_range, &within.loop_step, &within.result].map(parts).iter().sum()
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => 0,
    };
    within + 1
}

type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;

fn round<'b, 'v>(arguments: Arguments<'b, 'v>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [steps, cost] = arguments.as_slice() else { return Err(misplaced()) };
    let cost = cost.downcast_ref::<CelInt>().ok_or_else(misplaced)?;
    steps_of(steps)?.spend(u64::try_from(*cost.inner()).unwrap_or(u64::MAX))?;
    Ok(CowVal::owned(CelBool::from(true)))
}

/// A text that is gone through; of anything else a function looks at no more than the value itself.
fn read<'b, 'v>(arguments: Arguments<'b, 'v>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    passed(arguments, |value, steps| match value.downcast_ref::<CelString<'_>>() {
        Some(text) => steps.spend(length(text) / BYTES_A_STEP),
        None => Ok(()),
    })
}

/// A value that is compared or copied with all that it holds.
fn walk<'b, 'v>(arguments: Arguments<'b, 'v>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    passed(arguments, walked)
}

fn passed<'b, 'v>(
    mut arguments: Arguments<'b, 'v>,
    spend: impl FnOnce(&(dyn Val + 'v), &Steps) -> Result<(), ExecutionError>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = arguments.pop().ok_or_else(misplaced)?;
    spend(value.as_ref(), steps_of(arguments.first().ok_or_else(misplaced)?)?)?;
    Ok(value)
}

/// Bodies are bounded in depth, so this is too.
fn walked<'v>(value: &(dyn Val + 'v), steps: &Steps) -> Result<(), ExecutionError> {
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        steps.spend(1)?;
        return list.inner().iter().try_for_each(|element| walked(&**element, steps));
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        steps.spend(1)?;
        return map.inner().iter().try_for_each(|(name, member)| {
            walked(name.inner(), steps)?;
            walked(&**member, steps)
        });
    }
    let text = value.downcast_ref::<CelString<'_>>().map_or(0, length);
    steps.spend(1 + text / BYTES_A_STEP)
}

fn matches<'b, 'v>(arguments: Arguments<'b, 'v>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [steps, text, pattern] = arguments.as_slice() else { return Err(misplaced()) };
    let pattern = pattern.downcast_ref::<Searched>().ok_or_else(misplaced)?;
    // As of every other function that takes texts only.
    let text = text.downcast_ref::<CelString<'_>>().ok_or_else(arithmetic::mismatch)?;
    let steps = steps_of(steps)?;
    match pattern.0.is_in(text.inner(), |cost| steps.spend(cost).is_ok()) {
        Some(found) => Ok(CowVal::owned(CelBool::from(found))),
        None => Err(steps.end()),
    }
}

fn length(text: &CelString<'_>) -> u64 {
    u64::try_from(text.inner().len()).unwrap_or(u64::MAX)
}

/// What it takes to read a name as others do.
pub(super) fn reading(name: &str) -> u64 {
    // Each letter is looked up in Unicode's tables, some times over.
    4 + u64::try_from(name.len()).unwrap_or(u64::MAX) / 2
}

pub(super) fn steps_of<'b>(value: &'b CowVal<'_, '_>) -> Result<&'b Steps, ExecutionError> {
    value.downcast_ref::<Steps>().ok_or_else(misplaced)
}

pub(super) fn misplaced() -> ExecutionError {
    ExecutionError::function_error(STEPS, "are not there")
}
