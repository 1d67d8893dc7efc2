//! The words that a rule is made of, and the small forms of expressions, to be read and to be made.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

/// What rules see.
pub(super) const VARIABLES: [&str; 5] = ["body", "request", "account", "address", "now"];

/// Names of types, as `type(body.id) == string` uses them.
pub(super) const TYPES: [&str; 8] = ["bool", "int", "uint", "double", "string", "list", "map", "null_type"];

/// What a loop gathers into; no rule can name it.
pub(super) const MACRO_RESULT: &str = "@result";

/// A variable with the member names selected on it: `body.a['b']` is `body` with `a`, `b`.
pub(super) fn named_path(expression: &IdedExpr) -> Option<(&str, Vec<&str>)> {
    let mut path = Vec::new();
    let mut at = &expression.expr;
    loop {
        match at {
            Expr::Ident(name) => {
                path.reverse();
                return Some((name, path));
            }
            Expr::Select(select) => {
                path.push(select.field.as_str());
                at = &select.operand.expr;
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let [operand, index] = call.args.as_slice() else { return None };
                path.push(literal_text(index)?);
                at = &operand.expr;
            }
            _ => return None,
        }
    }
}

pub(super) fn literal_text(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

pub(super) fn is_written_out(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Literal(_) => true,
        Expr::List(list) => list.elements.iter().all(is_written_out),
        _ => false,
    }
}

pub(super) fn called(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    expression(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
}

pub(super) fn named(name: &str) -> IdedExpr {
    expression(Expr::Ident(name.to_owned()))
}

pub(super) fn expression(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}
