use super::*;
use http::HeaderValue;
use proptest::prelude::*;

fn watch(secret: &str) -> Watch {
    let injected = Arc::<Injected>::default();
    note(&injected, secret);
    let known = injected.known().unwrap();
    Watch::new(injected, known)
}

fn note(injected: &Injected, secret: &str) {
    injected.note(&HeaderValue::try_from(secret).unwrap(), || vec![secret.as_bytes()]);
}

#[test]
fn what_is_presented_while_an_answer_comes_is_looked_for_too() {
    for (renewed, said) in [(1, "the-next-secret-1"), (6, "the-next-secret-6"), (6, "the-first-secret")] {
        let mut watch = watch("the-first-secret");
        assert_eq!(watch.pass(Bytes::from_static(b"data: one, the-next")).unwrap(), "data: one, the-next");
        for number in 1..=renewed {
            note(&watch.injected, &format!("the-next-secret-{number}"));
            assert_eq!(watch.pass(Bytes::from_static(b"data: two ")).unwrap(), "data: two ");
        }
        let (half, rest) = said.split_at(9);
        let halves = [half, rest].map(|piece| watch.pass(Bytes::copy_from_slice(piece.as_bytes())));
        assert!(halves.iter().any(Result::is_err), "{renewed} {said}");
    }
}

/// What passes of these chunks, or nothing.
fn passed(secret: &str, chunks: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut watch = watch(secret);
    let mut passed = Vec::new();
    for chunk in chunks {
        passed.extend_from_slice(&watch.pass(Bytes::from(chunk.clone())).ok()?);
    }
    passed.extend_from_slice(&watch.rest().ok()?);
    Some(passed)
}

proptest! {
    #[test]
    fn a_stream_passes_whole_or_without_the_credential(
        chunks in proptest::collection::vec("[abc]{0,9}", 0..9),
        secret in "[abc]{8,10}",
    ) {
        let whole = chunks.concat();
        let chunks: Vec<_> = chunks.into_iter().map(String::into_bytes).collect();
        match passed(&secret, &chunks) {
            Some(passed) => {
                prop_assert_eq!(&passed, whole.as_bytes());
                prop_assert!(!whole.contains(&secret));
            }
            None => prop_assert!(watch(&secret).known.in_bytes(whole.as_bytes())),
        }
    }

    #[test]
    fn however_it_is_cut_less_than_four_bytes_leave(cuts in proptest::collection::vec(1usize..9, 1..9)) {
        let secret = "the-whole-secret";
        let mut watch = watch(secret);
        let text = format!("some text: {secret} and more");
        let (mut rest, mut passed) = (text.as_bytes(), Vec::new());
        for cut in cuts.iter().cycle() {
            let (chunk, after) = rest.split_at(rest.len().min(*cut));
            rest = after;
            match watch.pass(Bytes::copy_from_slice(chunk)) {
                Ok(free) => passed.extend_from_slice(&free),
                Err(Found) => break,
            }
            prop_assert!(!rest.is_empty());
        }
        prop_assert!(!String::from_utf8(passed).unwrap().contains(&secret[..4]));
    }
}

/// Ways to write a text, which may lie over one another.
fn encoded(text: &str, way: u8) -> String {
    let each = |write: &dyn Fn(char) -> String| text.chars().map(write).collect::<String>();
    match way {
        0 => each(&|c| if c.is_alphanumeric() { c.to_string() } else { format!("%{:02X}", u32::from(c)) }),
        1 => each(&|c| format!("\\u{:04x}", u32::from(c))),
        2 => each(&|c| if "/\"\\".contains(c) { format!("\\{c}") } else { c.to_string() }),
        3 => each(&|c| if c.is_alphanumeric() { c.to_string() } else { format!("&#{};", u32::from(c)) }),
        4 => text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;"),
        5 => each(&|c| format!("{c}\0")),
        6 => serde_json::to_string(text).unwrap(),
        _ => text.to_owned(),
    }
}

proptest! {
    #[test]
    fn however_it_is_written_and_cut_it_does_not_pass(
        secret in "[!-\\[\\]-~]{12,24}",
        ways in proptest::collection::vec(0u8..7, 0..3),
        cuts in proptest::collection::vec(1usize..40, 1..9),
    ) {
        let written = ways.iter().fold(secret.clone(), |text, way| encoded(&text, *way));
        let text = format!("{{\"a\": 1, \"b\": \"{written}\"}} and more");
        let (mut rest, mut chunks) = (text.as_bytes(), Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at(rest.len().min(*cut));
            chunks.push(chunk.to_vec());
            rest = after;
        }
        prop_assert!(passed(&secret, &chunks).is_none(), "{text}");
        prop_assert!(watch(&secret).known.in_body(text.as_bytes()), "{text}");
    }
}

/// As [`encoded`], of only some of the characters: those that `which` says, by their places.
fn partly(text: &str, way: u8, which: &[u8]) -> String {
    let mut written = String::new();
    for (c, which) in text.chars().zip(which.iter().cycle()) {
        let (number, lower) = (u32::from(c), *which == 1);
        written += &match way {
            0 if lower && c != '%' => format!("%{number:02x}"),
            0 if c == '%' || *which == 0 => format!("%{number:02X}"),
            1 if *which == 0 => format!("\\u{number:04x}"),
            1 if lower => format!("\\u{number:04X}"),
            1 if c == '"' || c == '\\' || (c == '/' && *which == 2) => format!("\\{c}"),
            2 if *which == 0 => format!("&#{number};"),
            2 if lower => format!("&#x{number:X};"),
            2 if c == '&' => "&amp;".to_owned(),
            2 if c == '<' => "&lt;".to_owned(),
            2 if c == '/' && *which == 2 => "&sol;".to_owned(),
            _ => c.to_string(),
        };
    }
    written
}

proptest! {
    #[test]
    fn an_encoding_over_some_characters_of_another_hides_nothing(
        secret in "[!-\\[\\]-~]{12,24}",
        kinds in Just(vec![0_u8, 1, 2]).prop_shuffle(),
        depth in 1_usize..4,
        same in any::<bool>(),
        which in proptest::collection::vec(0_u8..6, 40),
        cut in 1_usize..50,
    ) {
        let ways = if same { vec![kinds[0]; depth.min(2)] } else { kinds[..depth].to_vec() };
        let places = [0, 11, 23].map(|from| &which[from..]);
        let written = ways.iter().zip(places).fold(secret.clone(), |text, (way, which)| partly(&text, *way, which));
        let text = format!("before {written} behind");
        prop_assert!(watch(&secret).known.in_body(text.as_bytes()), "{text}");
        let chunks: Vec<_> = text.as_bytes().chunks(cut).map(<[u8]>::to_vec).collect();
        prop_assert!(passed(&secret, &chunks).is_none(), "{text}");
    }
}

#[test]
fn of_an_escaped_one_the_beginning_waits() {
    let secret = "the-whole-secret/of+it";
    let text = encoded(secret, 1);
    let mut watch = watch(secret);
    let mut passed = Vec::new();
    for piece in text.as_bytes().chunks(5) {
        match watch.pass(Bytes::copy_from_slice(piece)) {
            Ok(free) => passed.extend_from_slice(&free),
            Err(Found) => break,
        }
    }
    // Three characters, and what had come of the fourth.
    assert!(passed.len() <= 4 * 6, "{}", String::from_utf8_lossy(&passed));
}

#[test]
fn what_says_nothing_does_not_wait_without_end() {
    let secret = "eyJh.of.a.token";
    for nothing in ["\n", "\r\n", "\0", "\0\0"] {
        let piece = Bytes::from(nothing.repeat((16 << 10) / nothing.len()));
        let mut watch = watch(secret);
        let mut passed = watch.pass(Bytes::from_static(b"eyJh")).unwrap().len();
        for _ in 0..64 {
            passed += watch.pass(piece.clone()).unwrap().len();
            assert!(watch.held.len() <= watch.most_held() && watch.most_held() < 64 << 10);
        }
        passed += watch.rest().unwrap().len();
        assert_eq!(passed, 4 + 64 * piece.len());
    }
}

/// Reading all that waits again for each of these would take hours.
#[test]
fn each_piece_costs_what_it_is() {
    let secret = format!("eyJh{}", "x".repeat(8 << 10));
    let mut watch = watch(&secret);
    let mut passed = watch.pass(Bytes::from_static(b"eyJh")).unwrap().len();
    for _ in 0..80_000 {
        passed += watch.pass(Bytes::from_static(b"\0\n\0")).unwrap().len();
    }
    assert_eq!((passed, watch.held.len()), (0, 4 + 3 * 80_000));
}

/// Three encodings over one another make two hundred bytes of one.
#[test]
fn of_a_long_one_nothing_passes_that_is_written_in_more_than_may_wait() {
    let secret: String = (0..4096).map(|at| char::from(b'a' + u8::try_from(at * 7 % 26).unwrap())).collect();
    let written = encoded(&encoded(&encoded(&secret, 1), 1), 1);
    assert!(written.len() > 2 * MOST);
    let mut watch = watch(&secret);
    let mut passed = 0;
    for piece in written.as_bytes().chunks(1000) {
        match watch.pass(Bytes::copy_from_slice(piece)) {
            Ok(free) => passed += free.len(),
            Err(Found) => break,
        }
    }
    assert!(passed < 6 * 216, "{passed}");
}

#[test]
fn nothing_waits_that_is_no_beginning() {
    let mut watch = watch("the-whole-secret");
    for message in ["data: one\n\n", "data: t", "the", "th"] {
        assert_eq!(watch.pass(Bytes::from_static(message.as_bytes())).unwrap(), message);
    }
}
