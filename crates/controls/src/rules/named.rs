//! Names of members that a rule does not spell out: it computes them, as in `request.params.kind in body`, or a loop
//! goes through them, as in `body.all(name, name.startsWith("x-"))`. What stands in a body beside such a name and some
//! reader takes for it is found when the rule is evaluated, where `needs` finds what passes for a name that is written.

use super::forms::{MACRO_RESULT, called, expression, is_written_out, named};
use super::metered::{STEPS, Steps, misplaced, steps_of};
use super::{arithmetic, metered};
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::common::functions::Function;
use cel::common::types::{CelBool, CelList, CelMap, CelString};
use cel::common::value::{CowVal, Val};
use cel::{ExecutionError, IdedExpr};
use ironbridge_core::json::{common_name, readings};

/// What stands in an expression in the place of what compares names.
pub(super) const FUNCTIONS: [(&str, usize, Function); 7] = [
    ("@names", 3, names),
    ("@in", 3, |operands| contains(operands)),
    ("@index", 3, index),
    ("@same", 3, same),
    ("@startsWith", 3, |operands| part(operands, |name, sought| name.starts_with(sought))),
    ("@endsWith", 3, |operands| part(operands, |name, sought| name.ends_with(sought))),
    ("@contains", 3, |operands| part(operands, |name, sought| name.contains(sought))),
];

/// Puts them there, in an expression that is [metered](metered::meter).
pub(super) fn judge(expression: &mut IdedExpr) {
    within(expression, None);
}

/// `element` is the loop's, inside one.
fn within(expression: &mut IdedExpr, element: Option<&str>) {
    match &mut expression.expr {
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| within(target, element));
            call.args.iter_mut().for_each(|argument| within(argument, element));
            compared(call, element);
        }
        Expr::Select(select) => within(&mut select.operand, element),
        Expr::List(list) => list.elements.iter_mut().for_each(|part| within(part, element)),
        // Names of maps that a rule makes are written out.
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| {
            if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                within(&mut entry.value, element);
            }
        }),
        Expr::Comprehension(looping) => rounds(looping),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// A loop over a map goes through names, and one over what another loop left of them does too.
fn rounds(looping: &mut ComprehensionExpr) {
    within(&mut looping.iter_range, None);
    let element = looping.iter_var.clone();
    within(&mut looping.loop_step, Some(&element));
    let still = LiteralValue::Boolean(CelBool::from(gathers(&looping.iter_range)));
    let range = std::mem::replace(&mut looping.iter_range, expression(Expr::Unspecified));
    looping.iter_range = called("@names", vec![named(STEPS), range, expression(Expr::Literal(still))]);
}

fn compared(call: &mut CallExpr, element: Option<&str>) {
    let by = match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
        (operators::IN, _, [sought, container]) => {
            let is_ours = is_written_out(sought) || matches!(container.expr, Expr::Map(_));
            let is_list = is_written_out(container) && element.is_none_or(|name| is_named(sought, name));
            (!is_ours && !is_list).then_some("@in")
        }
        (operators::INDEX, _, [owner, index]) => {
            (!is_written_out(index) && !matches!(owner.expr, Expr::Map(_))).then_some("@index")
        }
        (operators::EQUALS | operators::NOT_EQUALS, _, [left, right]) => {
            may_be_a_name(left, right, element).then_some("@same")
        }
        ("startsWith", Some(text), [_]) if may_hold_names(text, element) => Some("@startsWith"),
        ("endsWith", Some(text), [_]) if may_hold_names(text, element) => Some("@endsWith"),
        ("contains", Some(text), [_]) if may_hold_names(text, element) => Some("@contains"),
        _ => None,
    };
    let Some(by) = by else { return };
    let mut operands: Vec<IdedExpr> = call.target.take().map(|target| *target).into_iter().collect();
    operands.append(&mut call.args);
    operands.insert(0, named(STEPS));
    let ours = CallExpr { func_name: by.to_owned(), target: None, args: operands };
    *call = match call.func_name.as_str() {
        operators::NOT_EQUALS => CallExpr {
            func_name: operators::LOGICAL_NOT.to_owned(),
            target: None,
            args: vec![expression(Expr::Call(ours))],
        },
        _ => ours,
    };
}

/// A written text beside the loop's own element is among the names that `needs` knows.
fn may_be_a_name(left: &IdedExpr, right: &IdedExpr, element: Option<&str>) -> bool {
    let is_known = |one: &IdedExpr, other: &IdedExpr| {
        is_written_out(one) && (is_written_out(other) || element.is_some_and(|name| is_named(other, name)))
    };
    let is_gathered = [left, right].into_iter().any(|side| is_named(side, MACRO_RESULT));
    let may = may_hold_names(left, element) || may_hold_names(right, element);
    may && !is_gathered && !is_known(left, right) && !is_known(right, left)
}

/// Inside a loop all that is compared has to do with its element, or is the same in every round.
fn may_hold_names(expression: &IdedExpr, element: Option<&str>) -> bool {
    element.is_some() || gathers(expression)
}

/// Whether elements of a loop are in what this gives.
fn gathers(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Comprehension(_) => true,
        Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).any(gathers),
        Expr::List(list) => list.elements.iter().any(gathers),
        Expr::Select(select) => gathers(&select.operand),
        _ => false,
    }
}

fn is_named(expression: &IdedExpr, name: &str) -> bool {
    match &expression.expr {
        Expr::Ident(ident) => ident == name,
        Expr::Call(call) if ["@walk", "@read"].contains(&call.func_name.as_str()) => {
            call.args.last().is_some_and(|own| is_named(own, name))
        }
        _ => false,
    }
}

type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;

fn names<'b, 'v>(arguments: Arguments<'b, 'v>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [steps, range, still] = three(arguments)?;
    let still = still.downcast_ref::<CelBool>().is_some_and(|still| *still.inner());
    let steps = steps_of(&steps)?;
    let is_map = range.downcast_ref::<CelMap<'_>>().is_some();
    steps.goes_through_names(is_map || (still && steps.are_names()));
    Ok(range)
}

fn contains<'b, 'v>(arguments: Arguments<'b, 'v>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [steps, sought, container] = three(arguments)?;
    let steps = steps_of(&steps)?;
    if let (Some(list), true) = (container.downcast_ref::<CelList<'_>>(), steps.are_names()) {
        list.inner().iter().try_for_each(|element| unmistakable(sought.as_ref(), &**element, steps))?;
    }
    named_alike(container.as_ref(), sought.as_ref(), steps)?;
    let is_in = container.as_container().ok_or_else(arithmetic::mismatch)?.contains(sought.as_ref())?;
    Ok(CowVal::owned(CelBool::from(is_in)))
}

fn index<'b, 'v>(arguments: Arguments<'b, 'v>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [steps, owner, at] = three(arguments)?;
    named_alike(owner.as_ref(), at.as_ref(), steps_of(&steps)?)?;
    match owner {
        CowVal::Borrowed(owner) => owner.as_indexer().ok_or_else(arithmetic::mismatch)?.get(at.as_ref()),
        CowVal::Owned(owner) => {
            let owner = owner.into_indexer().ok_or_else(arithmetic::mismatch)?;
            owner.steal(at.as_ref()).map(CowVal::Owned)
        }
    }
}

fn same<'b, 'v>(arguments: Arguments<'b, 'v>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [steps, left, right] = three(arguments)?;
    let steps = steps_of(&steps)?;
    if steps.are_names() {
        unmistakable(left.as_ref(), right.as_ref(), steps)?;
    }
    Ok(CowVal::owned(CelBool::from(left.as_ref() == right.as_ref())))
}

fn part<'b, 'v>(
    arguments: Arguments<'b, 'v>,
    is_part: impl Fn(&str, &str) -> bool,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [steps, text, sought] = three(arguments)?;
    let steps = steps_of(&steps)?;
    let [name, part] = [&text, &sought].map(|text| text.downcast_ref::<CelString<'_>>());
    let (Some(name), Some(part)) = (name, part) else { return Err(arithmetic::mismatch()) };
    let (name, part) = (name.inner(), part.inner());
    let found = is_part(name, part);
    if steps.are_names() && !found {
        steps.spend(metered::reading(name) + metered::reading(part))?;
        let sought = [part.to_lowercase(), common_name(part)];
        let is_read = |reading: &str| sought.iter().any(|part| is_part(reading, part));
        if readings(name).iter().any(|reading| is_read(&reading.to_lowercase()))
            || is_read(&common_name(name))
        {
            return Err(steps.mistake(name, part));
        }
    }
    Ok(CowVal::owned(CelBool::from(found)))
}

/// Two texts, or lists of them, of which one is a name.
fn unmistakable<'v>(
    left: &(dyn Val + 'v),
    right: &(dyn Val + 'v),
    steps: &Steps,
) -> Result<(), ExecutionError> {
    if let (Some(left), Some(right)) =
        (left.downcast_ref::<CelList<'_>>(), right.downcast_ref::<CelList<'_>>())
    {
        let mut pairs = left.inner().iter().zip(right.inner());
        return pairs.try_for_each(|(left, right)| unmistakable(&**left, &**right, steps));
    }
    let [left, right] = [left, right].map(|side| side.downcast_ref::<CelString<'_>>());
    let (Some(left), Some(right)) = (left, right) else { return Ok(()) };
    let (left, right) = (left.inner(), right.inner());
    if left == right {
        return Ok(());
    }
    steps.spend(metered::reading(left) + metered::reading(right))?;
    if common_name(left) == common_name(right) { Err(steps.mistake(left, right)) } else { Ok(()) }
}

/// Whether a map has a name that passes for the one that is looked for.
fn named_alike<'v>(
    owner: &(dyn Val + 'v),
    sought: &(dyn Val + 'v),
    steps: &Steps,
) -> Result<(), ExecutionError> {
    let (Some(map), Some(sought)) =
        (owner.downcast_ref::<CelMap<'_>>(), sought.downcast_ref::<CelString<'_>>())
    else {
        return Ok(());
    };
    steps.spend(metered::reading(sought.inner()))?;
    let common = common_name(sought.inner());
    for name in map.inner().keys() {
        let Some(name) = name.inner().downcast_ref::<CelString<'_>>().map(CelString::inner) else { continue };
        steps.spend(metered::reading(name))?;
        if name != sought.inner() && common_name(name) == common {
            return Err(steps.mistake(name, sought.inner()));
        }
    }
    Ok(())
}

fn three<'b, 'v>(arguments: Arguments<'b, 'v>) -> Result<[CowVal<'b, 'v>; 3], ExecutionError> {
    arguments.try_into().map_err(|_| misplaced())
}
