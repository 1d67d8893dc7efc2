//! Can a rule be decided at all? Every operator and function is asked whether it takes what can stand there.
//!
//! A mistake is told only where it is one for every request: where nothing is known of a value, or one of its
//! alternatives fits, the rule stands.

mod constants;
mod operators;
mod single;

use super::forms::{TYPES, literal_text};
use super::known::Known;
use crate::shape::{Kinds, Shape};
use cel::IdedExpr;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators as named,
};
use ironbridge_core::nearest::closest;
pub(super) use operators::FUNCTIONS;
use operators::{COMPARISONS, Signature};
use serde_json::Value;
use std::rc::Rc;

/// What is wrong, or odd, at one place of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The rule can never be decided, or is the same for every request; otherwise it may be meant.
    pub is_certain: bool,
    /// The expression, by the parser's id, and the name in it that is meant.
    pub at: (u64, Option<String>),
    pub message: String,
    pub help: Option<String>,
}

/// The mistakes of an expression that must be true or false.
pub(super) fn mistakes(expression: &IdedExpr, known: &Known) -> Vec<Mistake> {
    let mut typing = Typing { known, found: Vec::new(), bound: Vec::new() };
    let shape = typing.shape(expression);
    typing.expect(expression, &shape, Kinds::TRUTH, "a rule");
    // What cannot be right in itself is told without what follows of it.
    if !typing.found.iter().any(|mistake| mistake.is_certain) {
        typing.constants(expression);
    }
    typing.found
}

struct Typing<'s> {
    known: &'s Known,
    found: Vec<Mistake>,
    /// Elements of loops by their names.
    bound: Vec<(String, Shape<'s>)>,
}

const TRUTH: Shape<'static> = Shape::Of(Kinds::TRUTH);

impl<'s> Typing<'s> {
    fn shape(&mut self, expression: &IdedExpr) -> Shape<'s> {
        match &expression.expr {
            Expr::Literal(literal) => Shape::Of(literal_kind(literal)),
            Expr::Ident(name) => self.named(name),
            Expr::Select(select) => self.select(expression.id, select),
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => {
                let elements = list.elements.iter().map(|element| self.shape(element)).collect::<Vec<_>>();
                let element = if elements.is_empty() { Shape::ANY } else { Shape::Either(elements) };
                Shape::List(Rc::new(element))
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.shape(&entry.key);
                        self.shape(&entry.value);
                    }
                }
                Shape::Of(Kinds::MAP)
            }
            Expr::Comprehension(within) => self.loops(within),
            Expr::Struct(_) | Expr::Unspecified => Shape::ANY,
        }
    }

    fn named(&self, name: &str) -> Shape<'s> {
        if let Some((_, shape)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return shape.clone();
        }
        match self.known.shape(name) {
            Some(shape) => shape,
            None if TYPES.contains(&name) => Shape::Of(Kinds::TYPE),
            None => Shape::ANY,
        }
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Shape<'s> {
        let operand = self.shape(&select.operand);
        let shape = self.member(&select.operand, &operand, (id, &select.field), select.test);
        if select.test { TRUTH } else { shape }
    }

    /// What stands under a name; `asked` where it is only asked whether it is there.
    fn member(
        &mut self,
        owner: &IdedExpr,
        shape: &Shape<'s>,
        (id, name): (u64, &str),
        asked: bool,
    ) -> Shape<'s> {
        let kinds = kinds(shape);
        let at = (id, Some(name.to_owned()));
        if !kinds.meets(Kinds::MAP) {
            let owner = written(owner);
            let help = without_members(&owner, name, kinds);
            self.mistake(true, at, format!("`{owner}` is {kinds}, which has no member `{name}`"), help);
            return Shape::ANY;
        }
        let member = shape.member(name);
        let names = shape.names();
        let near = closest(name, names.iter().copied());
        if member.possible && (member.declared || member.invited || names.is_empty()) {
            return member.shape;
        }
        let owner = written(owner);
        if !member.possible {
            let help = near.map(|near| format!("did you mean `{near}`?")).or_else(|| listed(&names));
            let message = format!("there is no `{name}` in `{owner}`");
            self.mistake(!asked, at, message, undeclared_query(&owner, name).or(help));
        } else if near.is_some() || !asked {
            let help = near.map(|near| format!("did you mean `{near}`?")).or_else(|| listed(&names));
            self.mistake(false, at, format!("the schema does not say that `{owner}` has a `{name}`"), help);
        }
        if member.possible { member.shape } else { Shape::ANY }
    }

    fn call(&mut self, expression: &IdedExpr, call: &CallExpr) -> Shape<'s> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (named::INDEX, [owner, index]) => self.index(owner, index),
            (named::CONDITIONAL, [condition, then, otherwise]) => {
                let truth = self.shape(condition);
                self.expect(condition, &truth, Kinds::TRUTH, "a condition");
                Shape::Either(vec![self.shape(then), self.shape(otherwise)])
            }
            (named::LOGICAL_AND | named::LOGICAL_OR, [left, right]) => {
                for side in [left, right] {
                    let shape = self.shape(side);
                    self.expect(side, &shape, Kinds::TRUTH, sign(&call.func_name));
                }
                TRUTH
            }
            (named::LOGICAL_NOT, [operand]) => {
                let shape = self.shape(operand);
                self.expect(operand, &shape, Kinds::TRUTH, "`!`");
                TRUTH
            }
            (named::EQUALS | named::NOT_EQUALS, [left, right]) => self.equals(expression.id, left, right),
            (named::IN, [element, container]) => self.contains(expression.id, element, container),
            (operator, [left, right]) if sign(operator) != operator => {
                self.operator(expression.id, operator, left, right)
            }
            (named::NEGATE, [operand]) => {
                let shape = self.shape(operand);
                self.expect(operand, &shape, Kinds::NUMBER, "`-`");
                Shape::Of(Kinds::NUMBER)
            }
            _ => self.function(expression.id, call),
        }
    }

    fn index(&mut self, owner: &IdedExpr, index: &IdedExpr) -> Shape<'s> {
        let shape = self.shape(owner);
        if let Some(name) = literal_text(index) {
            return self.member(owner, &shape, (index.id, name), false);
        }
        let at = self.shape(index);
        self.expect(owner, &shape, Kinds::LIST.or(Kinds::MAP), "`[ ]`");
        let keys = match (kinds(&shape).meets(Kinds::LIST), kinds(&shape).meets(Kinds::MAP)) {
            (true, false) => Kinds::NUMBER,
            (false, true) => Kinds::TEXT.or(Kinds::NUMBER).or(Kinds::TRUTH),
            _ => Kinds::ANY,
        };
        self.expect(index, &at, keys, "the index of a list");
        match kinds(&shape).meets(Kinds::MAP) {
            true => Shape::ANY,
            false => shape.element(),
        }
    }

    fn equals(&mut self, id: u64, left: &IdedExpr, right: &IdedExpr) -> Shape<'s> {
        let (one, other) = (self.shape(left), self.shape(right));
        let (one_kinds, other_kinds) = (kinds(&one), kinds(&other));
        // `!= null` is asked out of caution, and says the same for all who never send one.
        let with_null = one_kinds == Kinds::NULL || other_kinds == Kinds::NULL;
        if !one_kinds.meets(other_kinds) && !with_null {
            let message = format!("{one_kinds} is never the same as {other_kinds}");
            self.mistake(true, (id, None), message, other_than(left, right, one_kinds, other_kinds));
        }
        for (sought, shape, expression) in [(right, &one, left), (left, &other, right)] {
            self.listed_value(sought, shape, expression);
        }
        TRUTH
    }

    /// A value that is compared with something whose values are listed, and is none of them.
    fn listed_value(&mut self, sought: &IdedExpr, shape: &Shape<'s>, of: &IdedExpr) {
        let (Some(text), Some(values)) = (literal_text(sought), shape.values()) else { return };
        if values.iter().any(|value| value.as_str() == Some(text)) || !kinds(shape).meets(Kinds::TEXT) {
            return;
        }
        let words: Vec<&str> = values.iter().copied().filter_map(Value::as_str).collect();
        let help = match closest(text, words.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => listed(&words),
        };
        let message = format!("`{}` is never {}", written(of), quoted(text));
        self.mistake(false, (sought.id, None), message, help);
    }

    fn contains(&mut self, id: u64, element: &IdedExpr, container: &IdedExpr) -> Shape<'s> {
        let (sought, shape) = (self.shape(element), self.shape(container));
        self.expect(container, &shape, Kinds::LIST.or(Kinds::MAP), "`in`");
        let kinds_there = kinds(&shape);
        if !kinds_there.meets(Kinds::MAP) && kinds_there.meets(Kinds::LIST) {
            let elements = kinds(&shape.element());
            if !elements.meets(kinds(&sought)) {
                let message = format!("{} is never in a list of which each is {elements}", kinds(&sought));
                self.mistake(true, (id, None), message, None);
            }
            if let (Expr::List(list), Some(_)) = (&container.expr, sought.values()) {
                list.elements.iter().for_each(|listed| self.listed_value(listed, &sought, element));
            }
        }
        if let (false, Some(name)) = (kinds_there.meets(Kinds::LIST), literal_text(element)) {
            self.member(container, &shape, (element.id, name), true);
        }
        TRUTH
    }

    /// Of arithmetic and order.
    fn operator(&mut self, id: u64, operator: &str, left: &IdedExpr, right: &IdedExpr) -> Shape<'s> {
        let (one, other) = (self.shape(left), self.shape(right));
        let (one_kinds, other_kinds) = (kinds(&one), kinds(&other));
        let rows = operators::rows(operator);
        let fitting = rows.iter().filter(|row| one_kinds.meets(row.left) && other_kinds.meets(row.right));
        let result = fitting.clone().fold(Kinds::NONE, |kinds, row| kinds.or(row.result));
        if result.is_none() {
            let sign = sign(operator);
            let message = format!(
                "{sign} takes {}, and here stand {one_kinds} and {other_kinds}",
                operators::taken(operator)
            );
            self.mistake(true, (id, None), message, other_than(left, right, one_kinds, other_kinds));
            return if COMPARISONS.contains(&operator) { TRUTH } else { Shape::ANY };
        }
        Shape::Of(result)
    }

    fn function(&mut self, id: u64, call: &CallExpr) -> Shape<'s> {
        let operands: Vec<&IdedExpr> = call.target.iter().map(|target| &**target).chain(&call.args).collect();
        let shapes: Vec<Shape<'s>> = operands.iter().map(|operand| self.shape(operand)).collect();
        let name = call.func_name.as_str();
        let Some(Signature { takes, gives, called, example, .. }) =
            FUNCTIONS.iter().find(|signature| signature.name == name)
        else {
            return Shape::ANY;
        };
        let least = takes.iter().filter(|taken| !taken.optional).count();
        let is_member = call.target.is_some();
        if !(least..=takes.len()).contains(&operands.len()) || !called.allows(is_member) {
            let message = format!("`{name}` is not called so");
            self.mistake(true, (id, None), message, Some(format!("write `{example}`")));
            return Shape::Of(*gives);
        }
        for ((operand, shape), taken) in operands.iter().zip(&shapes).zip(*takes) {
            self.expect(operand, shape, taken.kinds, &format!("`{name}`"));
        }
        Shape::Of(*gives)
    }

    fn loops(&mut self, within: &ComprehensionExpr) -> Shape<'s> {
        let range = self.shape(&within.iter_range);
        let range_kinds = kinds(&range);
        self.expect(&within.iter_range, &range, Kinds::LIST.or(Kinds::MAP), "a loop");
        let element = match (range_kinds.meets(Kinds::LIST), range_kinds.meets(Kinds::MAP)) {
            (true, false) => range.element(),
            (false, true) => Shape::Of(Kinds::TEXT),
            _ => Shape::ANY,
        };
        self.bound.push((within.iter_var.clone(), element.clone()));
        if let Some(condition) = condition(within) {
            let shape = self.shape(condition);
            self.expect(condition, &shape, Kinds::TRUTH, "the condition of a loop");
        }
        self.bound.pop();
        self.singles(within);
        match &within.accu_init.expr {
            Expr::List(_) => Shape::List(Rc::new(element)),
            _ => TRUTH,
        }
    }

    /// Reports what is none of these kinds.
    fn expect(&mut self, expression: &IdedExpr, shape: &Shape<'s>, taken: Kinds, by: &str) {
        let kinds = kinds(shape);
        if kinds.meets(taken) {
            return;
        }
        let message = format!("{by} takes {taken}, and `{}` is {kinds}", written(expression));
        let help = converted(expression, kinds, taken);
        self.mistake(true, (expression.id, last_name(expression)), message, help);
    }

    fn mistake(
        &mut self,
        is_certain: bool,
        at: (u64, Option<String>),
        message: String,
        help: Option<String>,
    ) {
        self.found.push(Mistake { is_certain, at, message, help });
    }
}

/// The kinds of something; where a schema leaves none, that is the schema's mistake and not the rule's.
fn kinds(shape: &Shape<'_>) -> Kinds {
    match shape.kinds() {
        Kinds::NONE => Kinds::ANY,
        kinds => kinds,
    }
}

fn literal_kind(literal: &LiteralValue) -> Kinds {
    match literal {
        LiteralValue::Boolean(_) => Kinds::TRUTH,
        LiteralValue::Bytes(_) => Kinds::BYTES,
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Kinds::NUMBER,
        LiteralValue::Null => Kinds::NULL,
        LiteralValue::String(_) => Kinds::TEXT,
    }
}

/// The condition that a loop asks of each element, out of the form that its macro gives it.
fn condition(within: &ComprehensionExpr) -> Option<&IdedExpr> {
    let Expr::Call(step) = &within.loop_step.expr else { return None };
    match step.func_name.as_str() {
        named::CONDITIONAL => step.args.first(),
        named::LOGICAL_AND | named::LOGICAL_OR => step.args.get(1),
        _ => None,
    }
}

/// An expression as it is written, as far as a message needs it.
fn written(expression: &IdedExpr) -> String {
    match &expression.expr {
        Expr::Ident(name) => name.clone(),
        Expr::Select(select) => format!("{}.{}", written(&select.operand), select.field),
        Expr::Literal(LiteralValue::String(text)) => quoted(text.inner()),
        Expr::Literal(LiteralValue::Int(number)) => number.inner().to_string(),
        Expr::Literal(LiteralValue::Double(number)) => number.inner().to_string(),
        Expr::Literal(LiteralValue::UInt(number)) => number.inner().to_string(),
        Expr::Literal(LiteralValue::Boolean(truth)) => truth.inner().to_string(),
        Expr::Literal(LiteralValue::Null) => "null".to_owned(),
        Expr::Call(call) => match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
            (named::INDEX, _, [owner, index]) => format!("{}[{}]", written(owner), written(index)),
            (operator, _, [left, right]) if sign(operator) != operator => {
                format!("{} {} {}", written(left), sign(operator).trim_matches('`'), written(right))
            }
            (name, Some(target), _) => format!("{}.{name}(…)", written(target)),
            (named::LOGICAL_NOT | named::NEGATE | named::CONDITIONAL, ..) => "…".to_owned(),
            (name, None, _) => format!("{name}(…)"),
        },
        _ => "…".to_owned(),
    }
}

/// The name that an expression ends in, where it is written as one.
fn last_name(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Select(select) => Some(select.field.clone()),
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("\"{short}\"")
}

/// A few of the names that there are.
fn listed(names: &[&str]) -> Option<String> {
    const MOST: usize = 8;
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => None,
        1..=MOST => Some(format!("there is {}", shown.join(", "))),
        more => Some(format!("there is {} and {} more", shown.join(", "), more - MOST)),
    }
}

/// Where a member is looked for in something that has none.
fn without_members(owner: &str, name: &str, kinds: Kinds) -> Option<String> {
    match owner {
        "request.path" => Some(format!("parameters of the path are `request.params.{name}`")),
        _ if kinds == Kinds::LIST => Some(format!(
            "ask every element: `{owner}.all(each, each.{name} …)`, or one: `{owner}[0].{name}`"
        )),
        _ => None,
    }
}

fn undeclared_query(owner: &str, name: &str) -> Option<String> {
    (owner == "request.query")
        .then(|| format!("a member that is not declared does not cross: add `{name}` to `request.query`"))
}

/// What makes one kind of another.
fn converted(expression: &IdedExpr, kinds: Kinds, taken: Kinds) -> Option<String> {
    if matches!(expression.expr, Expr::Literal(_)) {
        return None;
    }
    let expression = written(expression);
    match (kinds, taken) {
        (Kinds::TEXT, Kinds::NUMBER) => Some(format!("`int({expression})` makes a number of a text")),
        (Kinds::TEXT, Kinds::MOMENT) => Some(format!("`timestamp({expression})` makes a moment of a text")),
        (Kinds::NUMBER, Kinds::TEXT) => Some(format!("`string({expression})` makes a text of a number")),
        (Kinds::LIST | Kinds::TEXT | Kinds::MAP, Kinds::TRUTH) => {
            Some(format!("`{expression}.size() > 0` asks whether it is empty"))
        }
        _ => None,
    }
}

/// For two operands that do not belong together.
fn other_than(left: &IdedExpr, right: &IdedExpr, one: Kinds, other: Kinds) -> Option<String> {
    let literal = |expression: &IdedExpr| literal_text(expression).map(str::to_owned);
    let variable = |expression: &IdedExpr| matches!(&expression.expr, Expr::Ident(name) if name == "account");
    if variable(left) || variable(right) {
        return Some("`account.name` is the account, `account.system` its system".to_owned());
    }
    for (expression, text) in [(left, literal(right)), (right, literal(left))] {
        if let Some(text) = text.filter(|text| text.parse::<f64>().is_ok()) {
            return Some(format!(
                "a number is written without quotes: `{}` with `{text}`",
                written(expression)
            ));
        }
    }
    converted(left, one, other).or_else(|| converted(right, other, one))
}

/// An operator as it is written.
fn sign(operator: &str) -> &str {
    operators::SIGNS.iter().find(|(name, _)| *name == operator).map_or(operator, |(_, sign)| sign)
}
