use super::*;
use proptest::prelude::*;

#[test]
fn paths_have_one_form() {
    for (raw, decoded, spelling) in [
        ("/", "/", "/"),
        ("/orders", "/orders", "/orders"),
        ("/orders/", "/orders/", "/orders/"),
        ("/%6frders", "/orders", "/orders"),
        ("/%65xport", "/export", "/export"),
        ("/a%2Dz/%7e%5f%2e-", "/a-z/~_.-", "/a-z/~_.-"),
        ("/7:cancel", "/7:cancel", "/7:cancel"),
        ("/7%3acancel", "/7:cancel", "/7%3Acancel"),
        ("/+@=!$&'()*,~", "/+@=!$&'()*,~", "/+@=!$&'()*,~"),
        ("/a%20b", "/a b", "/a%20b"),
        ("/%c3%a4", "/ä", "/%C3%A4"),
        ("/C%23/50%25/a%3fb", "/C#/50%/a?b", "/C%23/50%25/a%3Fb"),
        ("/100%25zz", "/100%zz", "/100%25zz"),
        ("/{a}|[b]^", "/{a}|[b]^", "/%7Ba%7D%7C%5Bb%5D%5E"),
        ("/a..b/.well-known/...x", "/a..b/.well-known/...x", "/a..b/.well-known/...x"),
    ] {
        let path = CanonicalPath::parse(raw).unwrap_or_else(|why| panic!("{raw}: {why:?}"));
        assert_eq!((path.decoded(), path.spelling()), (decoded, spelling), "{raw}");
    }
}

#[test]
fn paths_with_two_readings_are_refused() {
    for path in [
        "",
        "orders",
        "//",
        "/a//b",
        "//a",
        "/.",
        "/..",
        "/a/../b",
        "/a/./b",
        "/a/..",
        // Dots and slashes in disguise.
        "/%2e%2e/a",
        "/%2E/a",
        "/.%2e/a",
        "/%2e./a",
        "/a%2fb",
        "/a%2Fb",
        "/a\\b",
        "/a%5cb",
        "/..%20",
        "/.%20./a",
        "/%20",
        "/...",
        "/..%c2%a0",
        "/..%09",
        // Semicolons, wherever.
        "/..;/a",
        "/..;x=1/a",
        "/.;/a",
        "/export;x=1",
        "/export%3bx=1",
        "/;",
        "/a;/b",
        // Encoded more than once.
        "/%252e%252e/a",
        "/%252e%252e;x",
        "/%25ff%252e%252e",
        "/%250d%250a",
        "/%252fetc",
        "/%255c",
        "/%25252e",
        "/%2565xport",
        "/%25%36%35xport",
        "/a%2541",
        "/100%25ab",
        "/%25u002e",
        "/%25U002f",
        // Bytes.
        "/a%00b",
        "/a%0d%0ab",
        "/a%7f",
        "/a%c2%85",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%u002f",
        "/a%+1",
        "/%ff",
        "/%c0%af",
        "/%c0%ae%c0%ae",
        "/%e0%80%af",
        "/%ed%a0%80",
        "/%c3",
        "/\u{e4}",
        "/a b",
        "/a\"b",
        "/a<b>",
        "/a`b",
        "/a#b",
        "/a?b",
        "/a\u{7f}",
        // What some systems fold into structure, or leave out.
        "/%ef%bc%8e%ef%bc%8e/a",
        "/a%ef%bc%8fb",
        "/a%ef%bc%bcb",
        "/%e2%80%a5",
        "/%ef%bc%852e",
        "/a%e2%81%84b",
        "/ex%e2%80%8bport",
        "/%ef%bb%bfa",
        "/a%e2%80%aeb",
        "/a%cd%beb",
        "/ex%c2%adport",
    ] {
        assert!(CanonicalPath::parse(path).is_err(), "{path}");
    }
}

#[test]
fn literals_of_a_manifest_are_plain() {
    assert!(["a", "7:cancel", "a.b", "~x", "$batch", "(a)"].into_iter().all(is_plain_segment));
    assert!(
        !["", ".", "..", "...", "a;b", "a%41", "a b", "ä", "{a}", "a\\b"].into_iter().any(is_plain_segment)
    );
}

#[test]
fn lenient_systems_take_some_segments_for_others() {
    for segment in [
        "export",
        "EXPORT",
        "Export",
        "export.",
        "export..",
        "export ",
        " export",
        "export. .",
        "export.json",
        "export .x",
        "EXPORT.JSON",
        "export?",
        "Export?x=1",
        "export#x",
    ] {
        assert!(resembles(segment, "export"), "{segment:?}");
    }
    assert!(resembles("\u{17f}ecret", "secret") && resembles("\u{212a}ey", "key"));
    assert!(
        !["exports", "xexport", "ex.port", "7", "report.csv"]
            .into_iter()
            .any(|other| resembles(other, "export"))
    );
    assert!(!resembles("report.csv", "report.pdf") && resembles("Report.PDF", "report.pdf"));
}

#[test]
fn queries_have_one_form() {
    for (raw, members, spelling) in [
        ("", &[][..], ""),
        ("&&", &[], ""),
        ("a=1&b=2", &[("a", "1"), ("b", "2")], "a=1&b=2"),
        ("a&b=", &[("a", ""), ("b", "")], "a&b="),
        ("&a=1&&b=2&", &[("a", "1"), ("b", "2")], "a=1&b=2"),
        ("a=1&a=2", &[("a", "1"), ("a", "2")], "a=1&a=2"),
        ("%61=%62", &[("a", "b")], "a=b"),
        ("q=a+b%20c", &[("q", "a b c")], "q=a%20b%20c"),
        ("q=1%2b1", &[("q", "1+1")], "q=1%2B1"),
        ("a=1;b=2", &[("a", "1;b=2")], "a=1%3Bb=2"),
        ("c=abc==", &[("c", "abc==")], "c=abc=="),
        ("a%3db=1", &[("a=b", "1")], "a%3Db=1"),
        ("a=x%26b=1", &[("a", "x&b=1")], "a=x%26b=1"),
        ("filter[name]=x|y", &[("filter[name]", "x|y")], "filter%5Bname%5D=x%7Cy"),
        (
            "$filter=a%20eq%201&u=/p?x:y@z",
            &[("$filter", "a eq 1"), ("u", "/p?x:y@z")],
            "$filter=a%20eq%201&u=/p?x:y@z",
        ),
        ("to=https%3a%2f%2fa%2Fb%2520c", &[("to", "https://a/b%20c")], "to=https%3A%2F%2Fa%2Fb%2520c"),
        ("n=%c3%a4", &[("n", "ä")], "n=%C3%A4"),
        // Values are data: GraphQL over GET sends its query with line breaks.
        ("query=%7b%0a%09id%0D%0A%7D", &[("query", "{\n\tid\r\n}")], "query=%7B%0A%09id%0D%0A%7D"),
        ("a=%1b%7f%c2%85%e2%80%a8", &[("a", "\u{1b}\u{7f}\u{85}\u{2028}")], "a=%1B%7F%C2%85%E2%80%A8"),
    ] {
        let query = Query::parse(raw).unwrap_or_else(|why| panic!("{raw}: {why:?}"));
        assert_eq!(query.members().collect::<Vec<_>>(), members, "{raw}");
        assert_eq!(query.spelling(), spelling, "{raw}");
    }
}

#[test]
fn queries_with_two_readings_are_refused() {
    let many = "a&".repeat(257);
    for (query, member) in [
        ("a=%", Some((1, "a"))),
        ("a=%2", Some((1, "a"))),
        ("b=1&a=%zz", Some((2, "a"))),
        ("%=1", Some((1, ""))),
        ("a=%u0041", Some((1, "a"))),
        ("b&&a=%00", Some((2, "a"))),
        ("a=x%00y", Some((1, "a"))),
        ("a%0d=1", Some((1, ""))),
        ("a%09", Some((1, ""))),
        ("a%0a%0a=1", Some((1, ""))),
        ("%c2%85a=1", Some((1, ""))),
        ("a%00=1", Some((1, ""))),
        ("a=%ff", Some((1, "a"))),
        ("%c0%af=1", Some((1, ""))),
        ("a=%ed%a0%80", Some((1, "a"))),
        ("=1", Some((1, ""))),
        ("&=&", Some((1, ""))),
        ("%2561=1", Some((1, ""))),
        ("%25u0061=1", Some((1, ""))),
        ("a b=1", Some((1, ""))),
        ("a=\u{e4}", Some((1, "a"))),
        ("a=\t", Some((1, "a"))),
        ("a=1\n", Some((1, "a"))),
        (&many, None),
    ] {
        let refused = Query::parse(query).unwrap_err();
        let at = refused.member.as_ref().map(|at| (at.number, &*at.name));
        assert_eq!(at, member, "{query}: {}", refused.why);
    }
    assert_eq!(Query::parse(&"a&".repeat(256)).unwrap().members().count(), 256);
}

proptest! {
    /// What is delivered reads as what was judged, however often it is read.
    #[test]
    fn a_paths_spelling_is_what_was_judged(path in "(/([a-zA-Z.:~]|%(2[0-9a-fA-F]|[3-7][0-9a-fA-F]|c3%a4|25)){0,4}){1,4}") {
        let Ok(read) = CanonicalPath::parse(&path) else { return Ok(()) };
        let again = CanonicalPath::parse(read.spelling()).unwrap();
        prop_assert_eq!(again.decoded(), read.decoded());
        prop_assert_eq!(again.spelling(), read.spelling());
        let naive: Vec<u8> = naive(&path);
        prop_assert_eq!(read.decoded().as_bytes(), &naive[..]);
        prop_assert_eq!(read.decoded().matches('/').count(), path.matches('/').count());
        prop_assert!(!read.decoded().split('/').any(|segment| matches!(segment, "." | "..")));
        prop_assert!(!read.decoded().contains(['\\', ';']));
    }

    #[test]
    fn any_path_is_read_or_refused(path in "/\\PC{0,24}|(/|%|[0-9a-f]|\\PC){0,24}") {
        if let Ok(read) = CanonicalPath::parse(&path) {
            prop_assert!(read.spelling().is_ascii());
        }
    }

    #[test]
    fn a_querys_spelling_is_what_was_judged(raw in "([a-c&=+;]|%(2[0-9a-fA-F]|[3-7][0-9a-fA-F]|c3%a4)){0,16}") {
        let Ok(read) = Query::parse(&raw) else { return Ok(()) };
        let again = Query::parse(read.spelling()).unwrap();
        prop_assert_eq!(again.members().collect::<Vec<_>>(), read.members().collect::<Vec<_>>());
        prop_assert_eq!(again.spelling(), read.spelling());
        // A reader that knows neither of form encoding's blanks nor of semicolons sees the same.
        prop_assert!(!read.spelling().contains(['+', ';']));
    }
}

fn naive(path: &str) -> Vec<u8> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| u8::from_str_radix(&path[at + 1..at + 3], 16).unwrap());
        decoded.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    decoded
}
