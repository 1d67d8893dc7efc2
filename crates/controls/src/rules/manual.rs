//! What a rule may say, for the manual.

use super::known::VISIBLE;
use super::typing::FUNCTIONS;
use std::fmt::Write;

/// The reference of rules, in Markdown.
pub fn manual() -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str("\n## What a rule sees\n\n| | is | |\n|---|---|---|\n");
    for seen in VISIBLE {
        let _ = writeln!(page, "| `{}` | {} | {} |", seen.name, seen.kind, seen.what);
    }
    page.push_str(OPERATORS);
    page.push_str("\n## Functions\n\n| | for example | |\n|---|---|---|\n");
    for signature in FUNCTIONS {
        let example = signature.example.replace('|', "\\|");
        let _ = writeln!(page, "| `{}` | `{example}` | {} |", signature.name, signature.what);
    }
    page.push_str(LIMITS);
    page
}

const INTRODUCTION: &str = "\
A rule is an expression in [CEL](https://cel.dev) that must be true: `check` of [Rule](manifest.md#rule). Rules are tried in
their order, after `request.schema`; the first that is false refuses the request with
[`rule-violated`](errors/rule-violated.md) and its own words.

```yaml
rules:
  - { check: body.quantity > 0 && body.quantity <= 1000, otherwise: quantity is 1 to 1000 }
  - { check: \"!has(body.carrier) || body.carrier in ['dhl', 'ups']\", otherwise: carrier is dhl or ups }
  - { check: \"body.lines.all(line, line.price >= 0)\", otherwise: no price is below 0 }
  - { check: int(request.query.limit) <= 100, otherwise: limit is at most 100 }
```
";

const OPERATORS: &str = "
A member that may be missing is asked for first: `!has(body.note) || body.note.size() < 100`.

## Operators

`&&`, `||`, `!` and `a ? b : c` take truth values; `==` and `!=` anything; `<`, `<=`, `>`, `>=` two numbers, two texts, two
moments or two durations; `in` a list, or the names of a map; `.name` and `[\"name\"]` a member, `[0]` an element.

Numbers are of one kind, as in JSON: 5, 5.0 and 0.5e1 are the same wherever they stand. `+`, `-`, `*` and `/` reckon with
all of them alike, and `/` gives what it gives on paper: 5 / 2 is 2.5, of which `int(…)` is 2. `%` takes whole numbers. A
whole result is exact or none: beyond 64 bits the rule is not decided. A broken one is rounded as doubles are (IEEE 754, some
15 digits): 0.1 + 0.2 is not 0.3, and 100 + 0.000000000000001 is 100. Reckon money in whole cents. `+` also joins texts and
lists, and moves a moment by a duration.

Texts are the same where each character is: `secret`, `Secret` and `secret.` are three, though some systems take them for one.
So write what is allowed, as in `body.kind in [\"a\", \"b\"]`, rather than what is not.

A member that some systems read as one that a rule names, as `Admin` for `admin`, is refused with
[`json-name-refused`](errors/json-name-refused.md), or [`query-ambiguous`](errors/query-ambiguous.md) in a query. So it is with
names that a rule computes, as in `request.params.kind in body`, and with those that a loop goes through: there `==`, `!=`,
`in`, `startsWith`, `endsWith` and `contains` are asked what others would read, and `<` and `size()` are not. A map that a rule
makes has its names written out.

`list.all(x, …)`, `list.exists(x, …)` and `list.exists_one(x, …)` ask every element, `list.filter(x, …)` gives those for which
it holds; over a map they go through its names.

## What is found before there is a request

`ironbridge check` knows the types of all of the above, and those of `body` from `request.schema`. A rule that no request could
make true and false is an error ([IB127](findings.md#ib127-a-rule-cannot-be-decided)): a text compared with a number, a
member that cannot be there, a list asked for a member; a time zone that does not exist, a division by a written zero; what is
true or false whatever comes, as `1 == 1`, `body.id == body.id` and `body.lines.size() >= 0` are; and a loop that reads what is
never a single value (see below), as in `[\"a\", \"b\"].exists(n, n in body)`. What is only odd is a warning
([IB238](findings.md#ib238-a-rule-is-likely-not-what-is-meant)): a member that the schema does not name, a value that is
none of its `enum`, a part that is always true beside others that are not. Where nothing is known of a value, or one of its alternatives fits, nothing is said.

## What cannot be decided

A rule that meets a missing member, or a value of another type than it can take, is not decided, and the request is refused.
Where the body fits `request.schema`, that is a fault of the manifest, not of the caller: the schema allows what the rule
cannot take. It is [`rule-unfit`](errors/rule-unfit.md), status 500. Otherwise it is
[`rule-undecided`](errors/rule-undecided.md), status 422. Either way the log says it, once a minute for each operation, with the
rule's number, and the record names the rule. `a || b` is true where one is true, though the other cannot be decided; `a && b`
is false where one is false.
";

const LIMITS: &str = "
## What a rule may cost

The rules of one request take 20 million steps at most, which is about a second; where they would take more, it is refused
with [`body-too-costly`](errors/body-too-costly.md), and the log names the rule. A step is a part of a rule that is evaluated
(`line.price >= 0` has four), in a loop for each element; a value that is compared or copied; 64 bytes of a text that is
gone through; or 4 bytes of what a pattern has to build for a text, which many repetitions make much. A pattern of `matches` that would have to be tried anew at each place of a long text, as repetitions inside one
another are, ends it too. So a list of 100,000 elements leaves 200 steps for each.

A rule is also held to forms whose work grows no faster than the body:

- at most 4 KiB of text, 32 brackets and 24 operations deep; a chain of `&&` or `||` counts as its logarithm;
- at most four loops, none inside another; `map` is not there;
- inside a loop, all but the loop's own element is a single value: a number, a truth value, null, or a text of at most 256
  bytes;
- at most 32 times `+`, and what it joins has at most 64 KiB of text or 1,000 elements;
- `matches` takes a pattern that is written out and compiled to at most 1 MiB, and stands outside loops.
";
