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
        ("/%e2%9d%a4%ef%b8%8f", "/\u{2764}\u{fe0f}", "/%E2%9D%A4%EF%B8%8F"),
        ("/%d9%85%e2%80%8c%db%8c", "/\u{645}\u{200c}\u{6cc}", "/%D9%85%E2%80%8C%DB%8C"),
        (
            "/%f0%9f%91%a9%e2%80%8d%f0%9f%91%a7",
            "/\u{1f469}\u{200d}\u{1f467}",
            "/%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7",
        ),
        ("/wait%e2%80%a6", "/wait\u{2026}", "/wait%E2%80%A6"),
        ("/%c2%bd%e3%80%82", "/\u{bd}\u{3002}", "/%C2%BD%E3%80%82"),
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
        "/a%c2%a5b",
        "/a%ef%bf%a5b",
        "/a%e2%82%a9b",
        "/a%ef%bf%a6b",
        "/%e2%80%a6",
        "/%e2%80%a4",
        "/.%ef%bc%8e",
        "/%ef%bc%8e%e2%80%8d%ef%bc%8e",
        "/.%e2%80%8c.",
        "/%e2%80%a6%20",
        "/a/%ef%b9%92%ef%b9%92/b",
        "/%e2%84%80",
        "/%ef%b9%a8",
        "/a%ef%b9%94b",
        "/a%d9%aa2e",
        "/ex%e2%81%a1port",
        "/a%e2%80%a8b",
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
    let export = Lookalike::new("export");
    for segment in [
        // Case, blanks and dots.
        "export",
        "EXPORT",
        "Export",
        "export.",
        "export..",
        "export ",
        " export",
        "export. .",
        "export+",
        "+export",
        // Suffixes, streams, what was a query or a fragment.
        "export.json",
        "export .x",
        "EXPORT.JSON",
        "export?",
        "Export?x=1",
        "export#x",
        "export&x=1",
        "export::$DATA",
        "Export:$I30:$INDEX_ALLOCATION",
        "export:",
        // Signs around it.
        "export~",
        "~export",
        ".export",
        "export*",
        "export!",
        "\"export\"",
        "(export)",
        "export%",
        "export|",
        "\u{b7}export\u{b0}",
        // Short names of Windows.
        "EXPORT~1",
        "export~12",
        "EXPOR~1",
        "EXA1B2~1.CSV",
        // Width, fonts, circles, accents.
        "\u{ff45}xport",
        "\u{ff25}\u{ff38}\u{ff30}\u{ff2f}\u{ff32}\u{ff34}",
        "\u{24d4}xport",
        "\u{24ba}xport",
        "\u{24a0}xport",
        "\u{1f154}xport",
        "\u{1f174}xport",
        "\u{1f134}xport",
        "\u{1d41e}xport",
        "\u{212f}xport",
        "e\u{2093}port",
        "\u{e9}xport",
        "e\u{301}xport",
        "exp\u{14d}rt",
        "exp\u{f8}rt",
        // What is not seen.
        "ex\u{34f}port",
        "ex\u{115f}port",
        "ex\u{1160}port",
        "ex\u{3164}port",
        "ex\u{ffa0}port",
        "export\u{fe0f}",
        "e\u{fe00}xport",
        "ex\u{e0100}port",
        "ex\u{e0065}port",
        "ex\u{180b}port",
        "ex\u{180f}port",
        "ex\u{2061}port",
        "ex\u{ad}port",
        "ex\u{200b}port",
        "ex\u{200c}port",
        "ex\u{200d}port",
        "export\u{2026}",
        "export\u{ff0e}json",
        "export\u{2024}json",
        "export\u{ff1f}x",
        "export\u{ff1a}x",
        "ex\u{17b4}port",
        "ex\u{1d173}port",
        "ex\u{2800}port",
        "ex\u{1bca0}port",
        // Letters of other scripts.
        "\u{435}xport",
        "\u{435}\u{445}\u{440}\u{43e}rt",
        "\u{415}\u{425}\u{420}\u{41e}R\u{422}",
        "\u{435}xport.json",
        "exp\u{3bf}rt",
        "\u{3b5}xport",
        "\u{3b5}x\u{3c0}or\u{3c4}",
        "exp\u{585}rt",
        "ex\u{2374}ort",
        "\u{13ac}XPORT",
    ] {
        assert!(export.is_read_from(&Read::new(segment)), "{segment:?}");
    }
    for (segment, literal) in [
        ("\u{17f}ecret", "secret"),
        ("\u{212a}ey", "key"),
        ("Report.PDF", "report.pdf"),
        ("f\u{131}le", "file"),
        ("\u{fb01}le", "file"),
        ("stra\u{df}e", "strasse"),
        ("PRIVAT~1", "private-reports"),
        ("MY-REP~1", "my-reports"),
        ("MYC1D4~2.HTM", "my-reports"),
        ("$BATCH", "$batch"),
        ("$batch.", "$batch"),
        ("@me.json", "@me"),
        ("\u{ad}_", "_"),
    ] {
        assert!(Lookalike::new(literal).is_read_from(&Read::new(segment)), "{segment:?} {literal}");
    }
    for (segment, literal) in [
        ("exports", "export"),
        ("xexport", "export"),
        ("ex.port", "export"),
        ("ex-port", "export"),
        ("export-2", "export"),
        ("export_2", "export"),
        ("exp0rt", "export"),
        ("7", "export"),
        ("", "export"),
        ("export7", "export"),
        ("re-export", "export"),
        ("reexport~1", "export"),
        ("e~x", "export"),
        ("~1", "export"),
        ("xport~1", "export"),
        ("my.export", "export"),
        ("report.csv", "export"),
        ("report.csv", "report.pdf"),
        ("batch", "$batch"),
        ("me", "@me"),
        ("me@acme.example", "me"),
        ("\u{41c}\u{43e}\u{441}\u{43a}\u{432}\u{430}", "export"),
        ("\u{6771}\u{4eac}", "export"),
        ("\u{2764}\u{fe0f}", "export"),
        ("m\u{fc}ller", "export"),
        ("\u{bd}", "export"),
        ("ll", "1l"),
        ("rn", "m"),
    ] {
        assert!(!Lookalike::new(literal).is_read_from(&Read::new(segment)), "{segment:?} {literal}");
    }
}

#[test]
fn lenient_systems_take_some_names_for_others() {
    let limit = Lookalike::new("limit");
    for name in [
        "LIMIT",
        "Limit",
        "limit[]",
        "limit[0]",
        "limit[a][b]",
        "limit[",
        "limit]",
        " limit",
        "limit ",
        "limit.",
        ".limit",
        "limit.max",
        "limit;x",
        "limit;",
        "limit:int",
        "limit,",
        "limit&x",
        "limit=1",
        "limit#",
        "limit?",
        "limit%",
        "limit/x",
        "limit(1)",
        "limit{}",
        "limit|x",
        "$limit",
        "_limit",
        "!limit",
        "+limit",
        "-limit",
        "limit_",
        "li-mit",
        "li_mit",
        "li.mit",
        "\u{ff4c}imit",
        "lim\u{ed}t",
        "l\u{456}mit",
        "limit\u{fe0f}",
        "li\u{34f}mit",
        "limi\u{3c4}",
        "\u{24db}imit",
        "limit\\x",
        "limit\"",
        "limit'x",
    ] {
        assert!(limit.is_named_by(&Read::new(name)), "{name:?}");
    }
    for name in [
        "limit",
        "limits",
        "limit_max",
        "limit-max",
        "max_limit",
        "limit2",
        "imit",
        "page",
        "filter[limit]",
        "1imit",
        "",
    ] {
        assert!(!limit.is_named_by(&Read::new(name)), "{name:?}");
    }
    for (name, known) in [
        ("pageSize", "page_size"),
        ("page-size", "page_size"),
        ("page_size", "pageSize"),
        ("page.size", "page_size"),
        ("page size", "page_size"),
        ("filter.name", "filter[name]"),
        ("Filter[Name]", "filter[name]"),
        ("filter", "$filter"),
        ("$Filter", "filter"),
    ] {
        assert!(Lookalike::new(known).is_named_by(&Read::new(name)), "{name:?} {known}");
    }
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

#[test]
fn a_form_is_decoded_once() {
    for (text, decoded) in [
        ("", Some("")),
        ("a+b%20c", Some("a b c")),
        ("1%2B1", Some("1+1")),
        ("%2541", Some("%41")),
        ("100%25", Some("100%")),
        ("sch%C3%BC", Some("sch\u{fc}")),
        ("a;b&c", Some("a;b&c")),
        ("50%", None),
        ("%4", None),
        ("%zz", None),
        ("%+1", None),
        ("%ff", None),
    ] {
        assert_eq!(form_text(text).as_deref(), decoded, "{text}");
    }
}
