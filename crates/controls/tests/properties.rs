//! What holds for every input, and a few inputs chosen to break a bound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use ironbridge_controls::keep::{Keep, KeepList};
use ironbridge_controls::rules::{Rule, RuleError, Rules};
use ironbridge_core::{Control, Document, Exchange, ExchangeId, Flow, Payload, Peer, Timestamp, json};
use proptest::prelude::*;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn keep_does_what_the_plain_reading_of_its_rules_says(
        value in document(),
        patterns in proptest::collection::vec(pattern(), 0..5),
        dress in any::<u64>(),
    ) {
        let text = written(&value, &mut Dress(dress));
        let (kept, records) = kept(&patterns, text.as_bytes()).unwrap();
        let steps: Vec<Vec<&str>> = patterns.iter().map(|p| p.split('/').skip(1).collect()).collect();
        let expected = plainly(&value, &steps).unwrap_or(Value::Null);
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        prop_assert_eq!(&kept, &expected, "{:?} of {}", patterns, text);
        // What no `*` counts is told by the shape of the body, for which there are cases.
        if let Some(count) = plain_count(&value, &steps) {
            prop_assert_eq!(records, Some(count), "{:?} of {}", patterns, text);
        }
    }

    #[test]
    fn keep_accepts_what_the_strict_reader_accepts(text in near_json()) {
        let strict = json::parse(text.as_bytes());
        let kept = kept(&["/a".to_owned()], text.as_bytes());
        // Numbers are copied, not read, so they may be larger than a double.
        let too_large = serde_json::from_str::<Value>(&text)
            .is_err_and(|error| error.to_string().contains("number out of range"));
        prop_assert!(too_large || strict.is_ok() == kept.is_ok(), "{}", text);
    }

    #[test]
    fn keep_of_everything_is_the_body(value in document(), dress in any::<u64>()) {
        let text = written(&value, &mut Dress(dress));
        let (kept, _) = kept(&[String::new()], text.as_bytes()).unwrap();
        prop_assert_eq!(kept, text.trim().as_bytes());
    }

    #[test]
    fn keep_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = kept(&["/a/*/b".to_owned(), "/*".to_owned()], &bytes);
    }

    #[test]
    fn rules_compile_or_say_why(text in "\\PC{0,80}") {
        let _ = Rule::compile(&text, "otherwise");
    }

    #[test]
    fn rules_of_odd_tokens_compile_or_say_why_and_never_stop_the_bridge(
        tokens in proptest::collection::vec(token(), 0..24),
        body in hostile_body(),
    ) {
        let text = tokens.join(" ");
        if let Ok(rule) = Rule::compile(&text, "otherwise") {
            let _ = applied(&Rules::new(vec![rule]), &body);
        }
    }

    #[test]
    fn no_value_stops_a_rule_from_ending(body in hostile_body(), rule in sensible_rule()) {
        let rule = match Rule::compile(&rule, "otherwise") {
            // A duration where a number belongs, and the like.
            Err(RuleError::Mistaken(_)) => return Ok(()),
            compiled => compiled.expect(&rule),
        };
        let rules = Rules::new(vec![rule]);
        let told = applied(&rules, &body);
        prop_assert!(["pass", "rule-violated", "rule-undecided", "number-inexact"].contains(&told), "{}", told);
    }
}

#[test]
fn rules_at_their_bounds_end() {
    for text in [
        format!("{}true", "!".repeat(4000)),
        format!("{}1 > 0", "-".repeat(4000)),
        format!("true{}", " ? true : false".repeat(270)),
        format!("{}true", "true ? true : ".repeat(290)),
        format!("body{}", ".a".repeat(2000)),
        format!("body{}", "[0]".repeat(1300)),
        format!("true{}", " && true".repeat(500)),
        format!("'{}' == ''", "a".repeat(4000)),
        "\"\"\"".repeat(1000),
        "[".repeat(4000),
        "\u{0}".repeat(4096),
        "x".repeat(5000),
        "'\\u{d800}'".to_owned(),
        "1e999999999 > 0.0".to_owned(),
        "99999999999999999999999 > 0".to_owned(),
    ] {
        if let Ok(rule) = Rule::compile(&text, "otherwise") {
            let _ = applied(&Rules::new(vec![rule]), r#"{"a":1}"#);
        }
    }
}

/// Every way of nesting, one level deeper at a time, until the compiler refuses: what it accepts must end on a
/// thread with an ordinary stack, also unoptimised.
#[test]
fn the_deepest_rules_that_compile_end() {
    for (before, middle, after) in [
        ("(", "true", ")"),
        ("!(", "true", ")"),
        ("-(", "1", ")"),
        ("bool(", "true", ")"),
        ("int(", "1", ")"),
        ("[", "1", "]"),
        ("{'a': ", "1", "}"),
        ("1 + ", "1", ""),
        ("", "1", " + 1"),
        ("true ? ", "true", " : false"),
        ("false ? false : ", "true", ""),
        ("true && (", "true", " || false)"),
        ("", "body", ".a"),
        ("", "body", "['a']"),
        ("", "body", "[0]"),
        ("", "body.list", ".filter(x, x > 0)"),
        ("[", "true", "].all(x, x)"),
        ("body.list.all(x, ", "true", ")"),
        ("type(", "1", ")"),
        ("size(string(", "1", "))"),
        ("1 in [", "1", "]"),
    ] {
        for depth in 1..64 {
            let nested = format!("{}{middle}{}", before.repeat(depth), after.repeat(depth));
            for text in [nested.clone(), format!("{nested} == {nested}")] {
                if let Ok(rule) = Rule::compile(&text, "otherwise") {
                    let _ = applied(&Rules::new(vec![rule]), r#"{"a":{"a":1},"list":[1,2]}"#);
                }
            }
        }
    }
}

/// What is kept of a request, and how many records were counted.
fn kept(patterns: &[String], text: &[u8]) -> Result<(Vec<u8>, Option<u64>), ()> {
    let control = Keep::request(Arc::new(KeepList::compile(patterns).unwrap()));
    // An empty body passes, which is not what is asked here.
    if text.is_empty() {
        return Err(());
    }
    let mut exchange = exchange(text);
    let passes = control.inspect(&mut exchange).is_ok();
    let body = exchange.request.bytes().unwrap().to_vec();
    if passes { Ok((body, exchange.request_records.known())) } else { Err(()) }
}

fn applied(rules: &Rules, body: &str) -> &'static str {
    match rules.inspect(&mut exchange(body.as_bytes())) {
        Ok(()) => "pass",
        Err(denial) => denial.code.id,
    }
}

fn exchange(body: &[u8]) -> Exchange {
    let flow = Arc::new(Flow::undeclared(Default::default(), 1));
    let now = Timestamp::from_seconds(1_767_323_045);
    let mut exchange = Exchange::new(ExchangeId::default(), now, Duration::ZERO, flow, Peer::default());
    exchange.request = Payload::Whole(Document::new(Bytes::copy_from_slice(body)));
    exchange
}

/// The rules of the keep list, read as they are written.
fn plainly(value: &Value, patterns: &[Vec<&str>]) -> Option<Value> {
    if patterns.iter().any(Vec::is_empty) {
        return Some(value.clone());
    }
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter_map(|(name, member)| {
                let onward = onward(patterns, Some(name));
                if onward.is_empty() { None } else { Some((name.clone(), plainly(member, &onward)?)) }
            });
            Some(Value::Object(kept.collect::<Map<_, _>>()))
        }
        Value::Array(items) => {
            let onward = onward(patterns, None);
            let kept = items.iter().filter(|_| !onward.is_empty());
            Some(Value::Array(kept.filter_map(|item| plainly(item, &onward)).collect()))
        }
        _ => None,
    }
}

/// What remains of the patterns after a step to a member, or to an element.
fn onward<'p>(patterns: &[Vec<&'p str>], name: Option<&str>) -> Vec<Vec<&'p str>> {
    let fits = |step: &str| step == "*" || Some(step) == name;
    patterns.iter().filter(|pattern| fits(pattern[0])).map(|pattern| pattern[1..].to_vec()).collect()
}

/// How many kept values the first star of a pattern met; `None` where none met an array or object.
fn plain_count(value: &Value, patterns: &[Vec<&str>]) -> Option<u64> {
    if patterns.iter().any(Vec::is_empty) {
        return None;
    }
    let here = patterns.iter().any(|pattern| pattern[0] == "*");
    let children: Vec<(Option<&String>, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, member)| (Some(name), member)).collect(),
        Value::Array(items) => items.iter().map(|item| (None, item)).collect(),
        _ => return None,
    };
    let onwards = children.iter().map(|(name, child)| (onward(patterns, name.map(String::as_str)), child));
    if here {
        let kept = onwards.filter(|(onward, child)| !onward.is_empty() && plainly(child, onward).is_some());
        return Some(kept.count() as u64);
    }
    onwards.filter_map(|(onward, child)| plain_count(child, &onward)).reduce(|a, b| a + b)
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()).prop_map(Value::from),
        "\\PC{0,6}|[\"\\\\\n\u{0}{}\\[\\],:]{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::btree_map(name(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[abc]", "[a-f]{2,18}", "[é😀\"\\\\ ]{1,3}", Just("0".to_owned())]
}

fn pattern() -> impl Strategy<Value = String> {
    let step = prop_oneof![3 => "[abc]", 2 => Just("*".to_owned()), 1 => Just("0".to_owned()), 1 => "[é😀]"];
    proptest::collection::vec(step, 0..5)
        .prop_map(|steps| steps.iter().map(|step| format!("/{step}")).collect())
}

/// Chooses among the ways of writing the same document.
struct Dress(u64);

impl Dress {
    fn choose(&mut self, of: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % of
    }

    fn space(&mut self) -> &'static str {
        ["", "", "", " ", "\n", "\t \r\n"][usize::try_from(self.choose(6)).unwrap()]
    }

    fn string(&mut self, text: &str) -> String {
        let mut written = "\"".to_owned();
        for character in text.chars() {
            let must = matches!(character, '"' | '\\') || character < ' ';
            if must || self.choose(5) == 0 {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    written.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                written.push(character);
            }
        }
        written + "\""
    }
}

fn written(value: &Value, dress: &mut Dress) -> String {
    let inner = match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| written(item, dress)).collect();
            format!("[{}{}]", dress.space(), items.join(","))
        }
        Value::Object(members) => {
            let mut parts = Vec::new();
            for (name, member) in members {
                let name = dress.string(name);
                parts.push(format!("{}{name}{}:{}", dress.space(), dress.space(), written(member, dress)));
            }
            format!("{{{}{}}}", dress.space(), parts.join(","))
        }
        Value::String(text) => dress.string(text),
        other => other.to_string(),
    };
    format!("{}{inner}{}", dress.space(), dress.space())
}

/// Texts that are JSON, or nearly.
fn near_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[\\[\\]{}:,]",
        "\"[ab]\"",
        "\"\\\\[ubnx\"/][0-9a-d]{0,4}\"",
        "\"\\\\ud8[0-9]{2}\\\\ud[c-f][0-9]{2}\"",
        "-?[0-9]{0,2}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
        "true|false|null|nul|__proto__|\"constructor\"",
        "[ \t\n\r\u{b}]",
        "\\PC",
    ];
    let pieces = proptest::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat());
    let mutated = (document(), any::<u64>(), any::<prop::sample::Index>(), "\\PC?").prop_map(
        |(value, dress, place, put)| {
            let text = written(&value, &mut Dress(dress));
            let mut characters: Vec<char> = text.chars().collect();
            let place = place.index(characters.len());
            characters.splice(place..=place, put.chars());
            characters.into_iter().collect()
        },
    );
    prop_oneof![pieces, mutated]
}

fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        "body|request|account|now|address|x|a|b|has|all|exists|exists_one|filter|map|size|in|true|null|matches",
        "[-+*/%!?:.,()\\[\\]{}<>=&|]{1,2}",
        "[0-9]{1,20}[u.]?|0x[0-9a-f]{1,17}|[0-9]e[0-9]{1,4}",
        "[rRbB]{0,2}('|\"|'''|\"\"\")(\\PC|\\\\[abxuU0-9]){0,4}('|\"|'''|\"\"\")?",
        "\\.a|\\.b|\\[0\\]|\\['a'\\]",
        "duration\\('-?[0-9.e]{1,6}[hms]'\\)|timestamp\\(body\\.a\\)|int\\(body\\.a\\)",
    ]
}

fn hostile_body() -> impl Strategy<Value = String> {
    let odd = prop_oneof![
        Just(i64::MIN.to_string()),
        Just(i64::MAX.to_string()),
        Just(u64::MAX.to_string()),
        Just("-0.0".to_owned()),
        Just("1e308".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("JSON", |n| n.is_finite()).prop_map(|n| Value::from(n).to_string()),
        "\"-?[0-9.e]{0,20}(h|m|s|ms|us|ns)?\"",
        "\"-?[0-9]{1,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,12})?(Z|[+-][0-9]{2}:[0-9]{2})\"",
        "\"(0001|9999)-(01-01T00:00:00|12-31T23:59:59)(Z|[+-]23:59)\"",
        "\"[^\"\\\\\\x00-\\x1f]{0,8}\"",
        "\"([+-]?[0-9]{1,3}:[0-9]{1,3}|UTC|Europe/Vienna)\"",
    ];
    (odd.clone(), odd.clone(), proptest::collection::vec(odd, 0..4))
        .prop_map(|(a, b, list)| format!(r#"{{"a":{a},"b":{b},"list":[{}]}}"#, list.join(",")))
}

fn sensible_rule() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("body.a".to_owned()),
        Just("body.b".to_owned()),
        Just("body.list[0]".to_owned()),
        Just("now".to_owned()),
        "-?[0-9]{1,3}",
        Just("duration('1h')".to_owned()),
    ];
    let calculated = (value.clone(), "[-+*/%]", value).prop_map(|(a, op, b)| format!("{a} {op} {b}"));
    let called = ("int|uint|double|string|timestamp|duration|size|bool", calculated.clone())
        .prop_map(|(function, inner)| format!("{function}({inner})"));
    let timed = (
        "getFullYear|getMonth|getDate|getDayOfWeek|getDayOfYear|getHours|getMinutes|getSeconds",
        prop_oneof![Just(""), Just("body.b")],
    )
        .prop_map(|(part, zone)| format!("(timestamp(body.a) + duration('1s')).{part}({zone})"));
    let text = "contains|startsWith|endsWith".prop_map(|call| format!("string(body.a.{call}(body.b))"));
    let looped = "all|exists|exists_one"
        .prop_map(|kind| format!("(body.list.{kind}(x, x == body.a || x < body.b || -x > 0) ? 1 : 0)"));
    let side = prop_oneof![calculated, called, timed, text, looped];
    (side.clone(), "==|!=|<|<=|>|>=|in", side).prop_map(|(a, op, b)| format!("{a} {op} {b}"))
}
