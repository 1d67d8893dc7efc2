//! What operators and functions take, and what they give.

use crate::shape::Kinds;
use cel::common::ast::operators as named;

/// Two kinds of operands that an operator takes.
pub(super) struct Row {
    pub left: Kinds,
    pub right: Kinds,
    pub result: Kinds,
}

const fn row(left: Kinds, right: Kinds, result: Kinds) -> Row {
    Row { left, right, result }
}

pub(super) const COMPARISONS: [&str; 4] =
    [named::LESS, named::LESS_EQUALS, named::GREATER, named::GREATER_EQUALS];

pub(super) const SIGNS: [(&str, &str); 14] = [
    (named::LOGICAL_AND, "`&&`"),
    (named::LOGICAL_OR, "`||`"),
    (named::EQUALS, "`==`"),
    (named::NOT_EQUALS, "`!=`"),
    (named::IN, "`in`"),
    (named::LESS, "`<`"),
    (named::LESS_EQUALS, "`<=`"),
    (named::GREATER, "`>`"),
    (named::GREATER_EQUALS, "`>=`"),
    (named::ADD, "`+`"),
    (named::SUBSTRACT, "`-`"),
    (named::MULTIPLY, "`*`"),
    (named::DIVIDE, "`/`"),
    (named::MODULO, "`%`"),
];

const ORDER: [Row; 6] = [
    row(Kinds::NUMBER, Kinds::NUMBER, Kinds::TRUTH),
    row(Kinds::TEXT, Kinds::TEXT, Kinds::TRUTH),
    row(Kinds::MOMENT, Kinds::MOMENT, Kinds::TRUTH),
    row(Kinds::SPAN, Kinds::SPAN, Kinds::TRUTH),
    row(Kinds::TRUTH, Kinds::TRUTH, Kinds::TRUTH),
    row(Kinds::BYTES, Kinds::BYTES, Kinds::TRUTH),
];
const SUM: [Row; 7] = [
    row(Kinds::NUMBER, Kinds::NUMBER, Kinds::NUMBER),
    row(Kinds::TEXT, Kinds::TEXT, Kinds::TEXT),
    row(Kinds::LIST, Kinds::LIST, Kinds::LIST),
    row(Kinds::BYTES, Kinds::BYTES, Kinds::BYTES),
    row(Kinds::MOMENT, Kinds::SPAN, Kinds::MOMENT),
    row(Kinds::SPAN, Kinds::MOMENT, Kinds::MOMENT),
    row(Kinds::SPAN, Kinds::SPAN, Kinds::SPAN),
];
const DIFFERENCE: [Row; 4] = [
    row(Kinds::NUMBER, Kinds::NUMBER, Kinds::NUMBER),
    row(Kinds::MOMENT, Kinds::MOMENT, Kinds::SPAN),
    row(Kinds::MOMENT, Kinds::SPAN, Kinds::MOMENT),
    row(Kinds::SPAN, Kinds::SPAN, Kinds::SPAN),
];
const PRODUCT: [Row; 1] = [row(Kinds::NUMBER, Kinds::NUMBER, Kinds::NUMBER)];

pub(super) fn rows(operator: &str) -> &'static [Row] {
    match operator {
        named::ADD => &SUM,
        named::SUBSTRACT => &DIFFERENCE,
        named::MULTIPLY | named::DIVIDE | named::MODULO => &PRODUCT,
        _ => &ORDER,
    }
}

/// In words.
pub(super) fn taken(operator: &str) -> &'static str {
    match operator {
        named::ADD => "two numbers, two texts, two lists, two durations, or a moment and a duration",
        named::SUBSTRACT => "two numbers, two moments, two durations, or a moment and a duration",
        named::MULTIPLY | named::DIVIDE => "two numbers",
        named::MODULO => "two whole numbers",
        _ => "two numbers, two texts, two moments, two durations or two truth values",
    }
}

/// One operand of a function; what stands before the dot is the first.
pub(in crate::rules) struct Taken {
    pub kinds: Kinds,
    pub optional: bool,
}

const fn taken_kinds(kinds: Kinds) -> Taken {
    Taken { kinds, optional: false }
}

/// How a function is written.
#[derive(Clone, Copy)]
pub(in crate::rules) enum Called {
    /// `f(x)`.
    Plainly,
    /// `x.f(…)`.
    Behind,
    Either,
}

impl Called {
    pub fn allows(self, behind: bool) -> bool {
        match self {
            Called::Plainly => !behind,
            Called::Behind => behind,
            Called::Either => true,
        }
    }
}

pub(in crate::rules) struct Signature {
    pub name: &'static str,
    pub takes: &'static [Taken],
    pub gives: Kinds,
    pub called: Called,
    /// As the manual shows it.
    pub example: &'static str,
    pub what: &'static str,
}

const SIZED: Kinds = Kinds::TEXT.or(Kinds::LIST).or(Kinds::MAP).or(Kinds::BYTES);
const TWO_TEXTS: &[Taken] = &[taken_kinds(Kinds::TEXT), taken_kinds(Kinds::TEXT)];
const OF_MOMENT: &[Taken] = &[taken_kinds(Kinds::MOMENT), Taken { kinds: Kinds::TEXT, optional: true }];
const OF_TIME: &[Taken] =
    &[taken_kinds(Kinds::MOMENT.or(Kinds::SPAN)), Taken { kinds: Kinds::TEXT, optional: true }];

macro_rules! signatures {
    ($($name:literal $takes:expr, $gives:ident, $called:ident, $example:literal, $what:literal;)*) => {
        &[$(Signature { name: $name, takes: $takes, gives: Kinds::$gives, called: Called::$called, example: $example, what: $what },)*]
    };
}

/// Every function that a rule may call.
pub(in crate::rules) const FUNCTIONS: &[Signature] = signatures! {
    "size" &[taken_kinds(SIZED)], NUMBER, Either, "body.lines.size()", "characters of a text, elements of a list, members of a map";
    "contains" TWO_TEXTS, TRUTH, Behind, "body.note.contains(\"x\")", "whether a text is in a text";
    "startsWith" TWO_TEXTS, TRUTH, Behind, "body.iban.startsWith(\"DE\")", "";
    "endsWith" TWO_TEXTS, TRUTH, Behind, "body.file.endsWith(\".pdf\")", "";
    "matches" TWO_TEXTS, TRUTH, Either, "body.vat.matches(\"^DE[0-9]{9}$\")", "a regular expression (RE2's syntax), which is written out; it is looked for anywhere in the text, so write `^` and `$`; not in a loop";
    "int" &[taken_kinds(Kinds::NUMBER.or(Kinds::TEXT).or(Kinds::MOMENT))], NUMBER, Plainly, "int(request.query.limit)", "a whole number of a text; of a number what stands before its point; of a moment the seconds since 1970";
    "uint" &[taken_kinds(Kinds::NUMBER.or(Kinds::TEXT))], NUMBER, Plainly, "uint(body.count)", "as `int`, and nothing below 0";
    "double" &[taken_kinds(Kinds::NUMBER.or(Kinds::TEXT))], NUMBER, Plainly, "double(request.query.price)", "a number of a text";
    "string" &[taken_kinds(Kinds::TRUTH.or(Kinds::NUMBER).or(Kinds::TEXT).or(Kinds::BYTES).or(Kinds::MOMENT).or(Kinds::SPAN))], TEXT, Plainly, "string(body.id)", "";
    "bool" &[taken_kinds(Kinds::TRUTH.or(Kinds::TEXT))], TRUTH, Plainly, "bool(request.query.all)", "of `true`, `false`, `1`, `0` and the like";
    "timestamp" &[taken_kinds(Kinds::TEXT.or(Kinds::MOMENT).or(Kinds::NUMBER))], MOMENT, Plainly, "timestamp(body.created) < now", "of a text as RFC 3339 has it, or of seconds since 1970";
    "duration" &[taken_kinds(Kinds::TEXT.or(Kinds::SPAN))], SPAN, Plainly, "now - timestamp(body.created) < duration(\"24h\")", "of a text such as `90s`, `1h30m`, `-1.5s`: whole or broken numbers with `h`, `m`, `s`, `ms`, `us` or `ns`, to the end of the text; or `0`";
    "type" &[taken_kinds(Kinds::ANY)], TYPE, Plainly, "type(body.id) == string", "to be compared with `bool`, `int`, `uint`, `double`, `string`, `list`, `map` or `null_type`; whole numbers are `int`, however they are written";
    "getFullYear" OF_MOMENT, NUMBER, Behind, "now.getFullYear()", "";
    "getMonth" OF_MOMENT, NUMBER, Behind, "now.getMonth()", "from 0";
    "getDate" OF_MOMENT, NUMBER, Behind, "now.getDate()", "the day of the month, from 1";
    "getDayOfWeek" OF_MOMENT, NUMBER, Behind, "now.getDayOfWeek(\"Europe/Berlin\")", "from 0, Sunday";
    "getDayOfYear" OF_MOMENT, NUMBER, Behind, "now.getDayOfYear()", "from 0";
    "getHours" OF_TIME, NUMBER, Behind, "now.getHours(\"Europe/Berlin\")", "of a moment or a duration";
    "getMinutes" OF_TIME, NUMBER, Behind, "now.getMinutes()", "of a moment or a duration";
    "getSeconds" OF_TIME, NUMBER, Behind, "now.getSeconds()", "of a moment or a duration";
};
