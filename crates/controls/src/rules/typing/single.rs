//! What a loop reads besides its own element is a single value, so that each round looks at its own element only. What
//! never is one refuses every request.

use super::super::forms::{VARIABLES, named_path};
use super::{Typing, condition, kinds, last_name, written};
use crate::shape::{Kinds, Shape};
use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, operators as named};

const SINGLE: Kinds = Kinds::NULL.or(Kinds::TRUTH).or(Kinds::NUMBER).or(Kinds::TEXT);

impl<'s> Typing<'s> {
    pub(super) fn singles(&mut self, within: &ComprehensionExpr) {
        if let Some(condition) = condition(within) {
            self.single(condition, &within.iter_var);
        }
    }

    fn single(&mut self, expression: &IdedExpr, element: &str) {
        if let Some(shape) = self.read(expression) {
            // Whether something is there may be asked of what is not.
            let asked = matches!(&expression.expr, Expr::Select(select) if select.test);
            if !kinds(&shape).meets(SINGLE) {
                self.not_single(expression, !asked, None);
            }
            return;
        }
        match &expression.expr {
            Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
                (named::IN, [sought, container]) if self.read(container).is_some() => {
                    let names = matches!(&sought.expr, Expr::Ident(name) if name == element);
                    let help = names.then(|| {
                        let container = written(container);
                        format!("go through the other one: `{container}.exists(each, each in …)`; of a schema, `enum`")
                    });
                    self.not_single(container, true, help);
                    self.single(sought, element);
                }
                (named::INDEX, [owner, index]) if self.read(owner).is_some() => {
                    let help = "what is in each member of a map or list is judged by `request.schema`";
                    self.not_single(owner, true, Some(help.to_owned()));
                    self.single(index, element);
                }
                _ => {
                    call.target.iter().for_each(|target| self.single(target, element));
                    call.args.iter().for_each(|part| self.single(part, element));
                }
            },
            Expr::Select(select) => self.single(&select.operand, element),
            Expr::List(list) => list.elements.iter().for_each(|part| self.single(part, element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    self.single(&entry.value, element);
                }
            }),
            _ => {}
        }
    }

    /// What is read of the body or, of the query, of a list.
    fn read(&self, expression: &IdedExpr) -> Option<Shape<'s>> {
        let (name, path) = named_path(expression)?;
        let is_read = VARIABLES.contains(&name)
            && match (name, path.as_slice()) {
                ("body", _) => true,
                ("request", ["query", name]) => self.known.lists.iter().any(|list| **list == **name),
                _ => false,
            };
        let whole = self.known.shape(name).filter(|_| is_read)?;
        Some(path.iter().fold(whole, |shape, name| shape.member(name).shape))
    }

    fn not_single(&mut self, expression: &IdedExpr, is_certain: bool, help: Option<String>) {
        let message = format!(
            "`{}` is never a single value, and a loop reads nothing else besides its own elements",
            written(expression)
        );
        self.mistake(is_certain, (expression.id, last_name(expression)), message, help);
    }
}
