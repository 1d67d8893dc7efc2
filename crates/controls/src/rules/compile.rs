//! From a rule's text to a checked expression: what it may say, and what it looks at.

use super::forms::{TYPES, VARIABLES, literal_text, named_path};
use super::known::Known;
use super::metered::Searched;
use super::needs::Needs;
use super::remark::{MAX_LENGTH, MAX_LOOPS, MAX_SUMS, Remark, RuleError};
use super::typing::{self, FUNCTIONS, Mistake};
use super::{arithmetic, metered, named, places};
use crate::pattern::{Pattern, PatternError};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::parser::PrattParser;
use std::sync::Arc;

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) check: Box<str>,
    pub(super) otherwise: Box<str>,
    pub(super) expression: Arc<IdedExpr>,
    /// Steps that evaluating it takes besides those that it counts itself.
    pub(super) cost: u64,
    pub(super) patterns: Arc<[Searched]>,
    pub(super) needs: Needs,
    /// Whether what it sees of a body has the form that a schema says.
    pub(super) is_assured: bool,
    /// Members of the query that are lists.
    pub(super) lists: Box<[Box<str>]>,
}

const MAX_BRACKETS: usize = 32;

/// Operations inside one another. The evaluator recurses, with frames of up to 40 KiB when it is not optimised.
const MAX_DEPTH: usize = 24;

/// What 4 KiB of the deepest text need in the parser, many times over.
const PARSER_STACK: usize = 32 << 20;

/// Operators, besides the functions that have [signatures](FUNCTIONS).
const OPERATORS: [&str; 19] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
    operators::NOT_STRICTLY_FALSE,
];

impl Rule {
    /// As [`Rule::compile_for`] where nothing is known of the requests.
    ///
    /// # Errors
    /// See [`RuleError`]; [the module](super) says what a rule may be.
    pub fn compile(check: &str, otherwise: &str) -> Result<Rule, RuleError> {
        let known = Known::nothing();
        let (expression, needs, mistakes) = parsed(check, &known)?;
        match mistakes.into_iter().find(|mistake| mistake.is_certain) {
            Some(mistake) => Err(RuleError::Mistaken(mistake.message)),
            None => Ok(Rule::of(check, otherwise, (expression, needs), &known)),
        }
    }

    /// `check` is the expression that must hold, `otherwise` what the caller is told when it does not. Returned with
    /// what is odd about the rule, given what is `known` of the requests that it will judge.
    ///
    /// # Errors
    /// What keeps it from ever being decided, or makes it the same for every request.
    pub fn compile_for(
        check: &str,
        otherwise: &str,
        known: &Known,
    ) -> Result<(Rule, Vec<Remark>), Vec<Remark>> {
        let (expression, needs, mistakes) =
            parsed(check, known).map_err(|error| vec![places::of_error(check, &error)])?;
        let (certain, odd): (Vec<Mistake>, Vec<Mistake>) =
            mistakes.into_iter().partition(|mistake| mistake.is_certain);
        if !certain.is_empty() {
            return Err(remarks(check, certain));
        }
        let odd = if odd.is_empty() { Vec::new() } else { remarks(check, odd) };
        Ok((Rule::of(check, otherwise, (expression, needs), known), odd))
    }

    fn of(check: &str, otherwise: &str, (mut expression, needs): (IdedExpr, Needs), known: &Known) -> Rule {
        arithmetic::adapt(&mut expression);
        let (cost, patterns) = metered::meter(&mut expression);
        named::judge(&mut expression);
        Rule {
            check: check.into(),
            otherwise: otherwise.into(),
            expression: Arc::new(expression),
            cost,
            patterns: patterns.into(),
            needs,
            is_assured: known.is_assured,
            lists: known.lists.clone().into(),
        }
    }

    /// Whether it looks at the body.
    pub fn reads_body(&self) -> bool {
        self.needs.of("body").is_some()
    }

    /// The members of the query that it judges by name. Where it looks at the query as a whole, any text in it may be
    /// one, as in `"debug" in request.query`.
    pub fn query_names(&self) -> impl Iterator<Item = &str> {
        let query = self.needs.of("request").and_then(|request| request.of("query"));
        let texts = query.filter(|query| query.whole).map_or(&[][..], |_| &self.needs.texts);
        let named = query.into_iter().flat_map(|query| query.named().map(|(name, _)| name));
        named.chain(texts.iter().map(|text| &**text))
    }
}

fn remarks(check: &str, mistakes: Vec<Mistake>) -> Vec<Remark> {
    in_a_thread(|| Ok(places::of(check, mistakes))).unwrap_or_else(|error| {
        vec![Remark { is_read: false, at: None, message: error.to_string(), help: None }]
    })
}

type Parsed = (IdedExpr, Needs, Vec<Mistake>);

fn parsed(check: &str, known: &Known) -> Result<Parsed, RuleError> {
    if check.len() > MAX_LENGTH {
        return Err(RuleError::TooLong);
    }
    if brackets(check) > MAX_BRACKETS {
        return Err(RuleError::TooDeep);
    }
    if let Some(number) = places::inexact(check) {
        return Err(RuleError::Inexact(number.to_owned()));
    }
    in_a_thread(|| {
        let (expression, needs) = read(check)?;
        let mistakes = typing::mistakes(&expression, known);
        Ok((expression, needs, mistakes))
    })
}

/// The parser recurses without a bound on chains of conditions; here it has the room.
fn in_a_thread<T: Send>(work: impl FnOnce() -> Result<T, RuleError> + Send) -> Result<T, RuleError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(PARSER_STACK);
        let parsing = thread.spawn_scoped(scope, work).map_err(|_| RuleError::NoThread)?;
        parsing.join().unwrap_or_else(|_| Err(RuleError::Syntax("the parser gave up".to_owned(), None)))
    })
}

fn read(check: &str) -> Result<(IdedExpr, Needs), RuleError> {
    let expression = PrattParser::new().parse(check).map_err(|errors| {
        let first = errors.errors.first().map(|error| (error.msg.clone(), Some(error.pos)));
        let (message, place) = first.unwrap_or_default();
        RuleError::Syntax(message, place)
    })?;
    let mut reading = Reading { needs: Needs::default(), loops: 0, sums: 0 };
    reading.visit(&expression, Position { depth: 0, inside: None })?;
    if let Some(other) = not_truth(&expression) {
        return Err(RuleError::NotTruth(other));
    }
    Ok((expression, reading.needs))
}

/// How deeply brackets nest, counting those in texts too.
fn brackets(check: &str) -> usize {
    let mut open = 0usize;
    let mut deepest = 0;
    for byte in check.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// Walks an expression once.
struct Reading {
    needs: Needs,
    loops: usize,
    sums: usize,
}

/// Where in the expression the walk is.
#[derive(Clone, Copy)]
struct Position<'e> {
    depth: usize,
    /// The loop that this stands in.
    inside: Option<&'e ComprehensionExpr>,
}

impl Position<'_> {
    fn binds(&self, name: &str) -> bool {
        self.inside.is_some_and(|within| name == within.iter_var || name == within.accu_var)
    }
}

impl Reading {
    fn visit(&mut self, expression: &IdedExpr, place: Position<'_>) -> Result<(), RuleError> {
        if place.depth > MAX_DEPTH {
            return Err(RuleError::TooDeep);
        }
        let place = Position { depth: place.depth + 1, ..place };
        if let Some((name, path)) = named_path(expression) {
            if place.depth + path.len() > MAX_DEPTH {
                return Err(RuleError::TooDeep);
            }
            return self.variable(name, &path, place);
        }
        match &expression.expr {
            Expr::Literal(LiteralValue::String(text)) => {
                self.needs.texts.push(text.inner().into());
                Ok(())
            }
            Expr::Literal(_) => Ok(()),
            Expr::Call(call) => self.call(call, place),
            Expr::Comprehension(within) => self.comprehension(within, place),
            Expr::Select(select) => {
                self.needs.selected.push(select.field.as_str().into());
                self.visit(&select.operand, place)
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element, place)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) if !matches!(entry.key.expr, Expr::Literal(_)) => {
                    Err(RuleError::ComputedName)
                }
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, place)?;
                    self.visit(&entry.value, place)
                }
                EntryExpr::StructField(_) => Err(RuleError::Message),
            }),
            Expr::Struct(_) => Err(RuleError::Message),
            Expr::Ident(_) | Expr::Unspecified => {
                Err(RuleError::Syntax("an operand is missing".to_owned(), None))
            }
        }
    }

    fn variable(&mut self, name: &str, path: &[&str], place: Position<'_>) -> Result<(), RuleError> {
        if name == "body" || place.binds(name) {
            self.needs.selected.extend(path.iter().map(|step| (*step).into()));
        }
        if place.binds(name) || (path.is_empty() && TYPES.contains(&name)) {
            return Ok(());
        }
        if !VARIABLES.contains(&name) {
            return Err(RuleError::UnknownVariable(name.to_owned()));
        }
        let mut whole_path = vec![name];
        whole_path.extend(path);
        if place.inside.is_some() {
            self.needs.singles.push(whole_path.iter().map(|step| (*step).into()).collect());
        }
        self.needs.add(&whole_path);
        Ok(())
    }

    fn call(&mut self, call: &CallExpr, place: Position<'_>) -> Result<(), RuleError> {
        let name = call.func_name.as_str();
        if !OPERATORS.contains(&name) && !FUNCTIONS.iter().any(|signature| signature.name == name) {
            return Err(RuleError::UnknownFunction(name.to_owned()));
        }
        if name == operators::ADD {
            self.sums += 1;
            if self.sums > MAX_SUMS {
                return Err(RuleError::TooManySums);
            }
        }
        if name == "matches" {
            if place.inside.is_some() {
                return Err(RuleError::DynamicPattern);
            }
            check_pattern(call.args.last())?;
        }
        call.target.iter().try_for_each(|target| self.visit(target, place))?;
        call.args.iter().try_for_each(|argument| self.visit(argument, place))
    }

    fn comprehension(&mut self, within: &ComprehensionExpr, place: Position<'_>) -> Result<(), RuleError> {
        if place.inside.is_some() {
            return Err(RuleError::NestedLoop);
        }
        self.loops += 1;
        if self.loops > MAX_LOOPS {
            return Err(RuleError::TooManyLoops);
        }
        if VARIABLES.contains(&within.iter_var.as_str()) || TYPES.contains(&within.iter_var.as_str()) {
            return Err(RuleError::Shadowed(within.iter_var.clone()));
        }
        if collects_other_values(within) {
            return Err(RuleError::Map);
        }
        self.visit(&within.iter_range, place)?;
        let inside = Position { inside: Some(within), ..place };
        [&within.accu_init, &within.loop_cond, &within.loop_step, &within.result]
            .into_iter()
            .try_for_each(|part| self.visit(part, inside))
    }
}

/// Whether a loop gathers anything but elements of its range, as `map` does: lists whose size the range does not
/// bound.
fn collects_other_values(within: &ComprehensionExpr) -> bool {
    let step = match &within.loop_step.expr {
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => call.args.get(1),
        _ => Some(&within.loop_step),
    };
    let Some(Expr::Call(adding)) = step.map(|step| &step.expr) else { return false };
    if adding.func_name != operators::ADD {
        return false;
    }
    match adding.args.get(1).map(|added| &added.expr) {
        Some(Expr::List(added)) => !added
            .elements
            .iter()
            .all(|element| matches!(&element.expr, Expr::Ident(name) if *name == within.iter_var)),
        _ => false,
    }
}

/// A pattern that does not compile should be told now.
fn check_pattern(pattern: Option<&IdedExpr>) -> Result<(), RuleError> {
    let pattern = pattern.and_then(literal_text).ok_or(RuleError::DynamicPattern)?;
    Pattern::of(pattern).map(drop).map_err(|error| match error {
        PatternError::Invalid => RuleError::InvalidPattern,
        PatternError::TooLarge => RuleError::LargePattern,
    })
}

/// What an expression gives that surely is no truth value.
fn not_truth(expression: &IdedExpr) -> Option<&'static str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::Boolean(_)) => None,
        Expr::Literal(LiteralValue::Null) => Some("null"),
        Expr::Literal(LiteralValue::String(_) | LiteralValue::Bytes(_)) => Some("a text"),
        Expr::Literal(_) => Some("a number"),
        Expr::List(_) => Some("a list"),
        Expr::Map(_) => Some("a map"),
        Expr::Call(call) => match call.func_name.as_str() {
            operators::ADD
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::NEGATE
            | "size"
            | "int"
            | "uint"
            | "double" => Some("a number"),
            "string" => Some("a text"),
            "timestamp" => Some("a moment"),
            "duration" => Some("a duration"),
            "type" => Some("a type"),
            operators::CONDITIONAL => call.args.iter().skip(1).find_map(not_truth),
            _ => None,
        },
        _ => None,
    }
}
