//! Every command but `run` and `demo`, as a person or a script calls it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use ironbridge_engine::{Actor, Home};
use stage::Stage;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn what_init_writes_is_good_and_not_written_twice() {
    let stage = Stage::new();
    let checked = stage.good(&["check"]);
    assert!(checked.out.contains("The manifest of test-bridge is good"), "{}", checked.out);
    assert!(checked.out.contains("no findings"), "{}", checked.out);
    let again = stage.bad(&["init"]);
    assert!(again.err.contains("exists already, and nothing is overwritten"), "{}", again.err);
    assert!(stage.bad(&["init", "x", "--name", "Not a name"]).err.contains("lower-case letters"));
    assert!(!stage.path("x").exists());
}

#[test]
fn the_steps_that_init_names_work() {
    let stage = Stage::empty();
    let told = stage.good(&["init", "here"]).out;
    for (step, command) in [
        ("ironbridge check", &["-C", "here", "check"][..]),
        ("ironbridge key issue shop", &["-C", "here", "key", "issue", "shop"]),
    ] {
        assert!(told.contains(step), "{told}");
        stage.good(command);
    }
}

#[test]
fn check_points_at_the_line_in_text_and_json() {
    let stage = Stage::new();
    stage.edit("integrations/orders.yaml", "permission: orders.read", "permision: orders.read");
    stage.edit("integrations/orders.yaml", "body.quantity > 0", "body.quantity >");
    let text = stage.bad(&["check"]);
    assert!(text.out.contains("error[IB102]: unknown key `permision`"), "{}", text.out);
    assert!(
        text.out.contains("did you mean `permission`?") && text.out.contains("orders.yaml:"),
        "{}",
        text.out
    );
    assert!(!text.out.contains('\u{1b}'), "colour where nobody sees it");

    let report = stage.bad(&["check", "--format", "json"]).json();
    assert_eq!((report["ok"].as_bool(), report["errors"].as_u64()), (Some(false), Some(1)));
    let finding = &report["findings"][0];
    assert_eq!(finding["id"], "IB102");
    assert!(finding["file"].as_str().unwrap().ends_with("orders.yaml") && finding["line"].as_u64() > Some(1));

    // What only compiling finds has its line too.
    stage.edit("integrations/orders.yaml", "permision: orders.read", "permission: orders.read");
    let report = stage.bad(&["check", "--format", "json"]).json();
    assert_eq!(report["findings"][0]["id"], "IB126", "{report}");
    assert!(report["findings"][0]["line"].as_u64() > Some(1), "{report}");
}

/// In the directory itself, where paths begin with `.` and show nothing of it.
#[test]
fn the_data_directory_is_not_read_as_manifest() {
    let stage = Stage::new();
    fs::create_dir(stage.path("data")).unwrap();
    fs::write(stage.path("data/left.yaml"), "not: [read").unwrap();
    stage.good(&["check"]);
    stage.edit("parties.yaml", "systems:", "sistems:");
    let report = stage.bad(&["check", "--format", "json"]).json();
    assert_eq!(report["findings"][0]["file"], "parties.yaml", "{report}");
}

#[test]
fn warnings_do_not_fail_the_check() {
    let stage = Stage::new();
    stage.edit("parties.yaml", "[orders.read, orders.ship]", "[orders.read, orders.ship, orders.delete]");
    let report = stage.good(&["check", "--format", "json"]).json();
    assert_eq!((report["ok"].as_bool(), report["warnings"].as_u64()), (Some(true), Some(1)), "{report}");
}

#[test]
fn usage_errors_end_with_2() {
    let stage = Stage::empty();
    for wrong in [&["chek"][..], &["check", "--format", "sarif"], &["key"], &["secret", "set"], &[]] {
        assert_eq!(stage.run(wrong).code, 2, "{wrong:?}");
    }
    // A secret cannot be an argument, and what was one is not repeated.
    for surplus in [
        &["secret", "set", "name", "SuperS3cret"][..],
        &["secret", "set", "SuperS3cret", "name", "more"],
        &["secret", "set", "name", "--file", "path", "SuperS3cret"],
        &["secret", "remove", "name", "SuperS3cret"],
        &["secret", "list", "SuperS3cret"],
        &["key", "issue", "shop", "SuperS3cret"],
        &["key", "list", "shop", "SuperS3cret"],
        &["certificate", "list", "SuperS3cret"],
    ] {
        let ran = stage.run(surplus);
        assert_eq!(ran.code, 2, "{surplus:?}: {}", ran.err);
        assert!(ran.err.contains("history") && ran.err.contains("Usage:"), "{surplus:?}: {}", ran.err);
        if surplus[2] != "SuperS3cret" || surplus.len() < 5 {
            assert!(!format!("{}{}", ran.out, ran.err).contains("SuperS3cret"), "{surplus:?}: {}", ran.err);
        }
    }
}

#[test]
fn commands_without_a_manifest_say_where_they_looked() {
    let stage = Stage::empty();
    for command in
        [&["check"][..], &["run"], &["key", "issue", "shop"], &["secret", "list"], &["audit", "tail"]]
    {
        let ran = stage.bad(command);
        assert!(format!("{}{}", ran.out, ran.err).contains("IB116"), "{command:?}: {}{}", ran.out, ran.err);
        assert!(!stage.path("data").exists());
    }
}

#[test]
fn explain_knows_codes_findings_words_keys_and_topics() {
    let stage = Stage::empty();
    assert!(stage.good(&["explain", "permission-missing"]).out.contains("Kind: forbidden, HTTP status 403"));
    assert!(stage.good(&["explain", "ib101"]).out.contains("secret://sealed/"));
    let page = stage.good(&["explain", "rate-limited", "--format", "json"]).json();
    assert_eq!((page["status"].as_u64(), page["retry"].as_bool()), (Some(429), Some(true)));
    assert!(stage.bad(&["explain", "permission-mising"]).err.contains("did you mean `permission-missing`?"));
    let all = stage.good(&["explain", "--format", "json"]).json();
    let ids: Vec<&str> = all.as_array().unwrap().iter().map(|page| page["code"].as_str().unwrap()).collect();
    let known = ironbridge_core::all_codes().len() + ironbridge_manifest::findings().len();
    assert!(ids.len() > known, "{ids:?}");
    for id in
        ["IB126", "internal", "broken-off", "caller-gone", "partial", "key.issue", "E4", "query", "rules"]
    {
        assert!(ids.contains(&id), "{id} is not listed");
    }
    for id in ids {
        stage.good(&["explain", id]);
    }

    // Keys go by their name, or by what leads to them.
    for (asked, told) in [
        ("max_body", "256KiB"),
        ("request.query", "Members of the query that cross"),
        ("bridge.limits.memory", "Default: 256MiB"),
        ("integrations.orders.http.operations.list.response.keep", "JSON Pointers"),
        ("check", "CEL expression"),
        ("Rules:", "rule-undecided"),
        ("fields", "if-none-match"),
        ("headers", "X-Tenant"),
        ("cors", "callers are servers"),
        ("Browser", "callers are servers"),
        ("method-refused", "explain cors"),
        ("keycloak", "client_id_claim: azp"),
        ("Auth0", "https://acme.eu.auth0.com/"),
        ("entra", "requestedAccessTokenVersion"),
        ("okta", "client_id_claim: cid"),
        ("token-type-refused", "danger_accept_untyped_tokens: {"),
        ("token-claims-missing", "client_id_claim: azp"),
        ("token-audience-wrong", "audience: https://"),
        ("token-issuer-unknown", "issuer: https://"),
    ] {
        let page = stage.good(&["explain", asked]).out;
        // Lines break between words.
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page.contains(told), "{asked}: {page}");
    }
    assert!(!stage.good(&["explain", "request.query"]).out.contains("Repeated"), "one key was asked for");
    let key = stage.good(&["explain", "api_key", "--format", "json"]).json();
    assert_eq!((&key["kind"], &key["keys"]), (&"key".into(), &serde_json::json!(["lifetime"])), "{key}");
    for (asked, told) in [
        ("quary", "did you mean `query`?"),
        ("max-body", "did you mean `max_body`?"),
        ("audit unavailable", "did you mean `audit-unavailable`?"),
        ("smuggling", "`framing-refused`"),
        ("zzzzzz", "`ironbridge explain` lists"),
    ] {
        let told_instead = stage.bad(&["explain", asked]).err;
        assert!(told_instead.contains(told), "{asked}: {told_instead}");
    }
}

#[test]
fn the_schema_is_json_schema() {
    let schema = Stage::empty().good(&["schema"]).json();
    assert!(schema["$schema"].as_str().unwrap().contains("2020-12"), "{}", schema["$schema"]);
}

#[test]
fn secrets_go_in_and_never_come_out() {
    const VALUE: &str = "correct-horse-battery-staple";
    let stage = Stage::new();
    let mut printed = String::new();
    let mut keep = |ran: stage::Ran| {
        assert_eq!(ran.code, 0, "{}", ran.err);
        printed += &format!("{}{}", ran.out, ran.err);
    };
    keep(stage.run_with_input(&["secret", "set", "erp-token"], format!("{VALUE}\n").as_bytes()));
    fs::write(stage.path("value"), VALUE).unwrap();
    keep(stage.run(&["secret", "set", "secret://sealed/erp-token", "--file", "value", "--format", "json"]));
    fs::remove_file(stage.path("value")).unwrap();
    keep(stage.run(&["secret", "list"]));
    keep(stage.run(&["secret", "list", "--format", "json"]));
    assert!(printed.contains("version 1") && printed.contains("\"version\": 2"), "{printed}");
    assert!(!printed.contains(VALUE), "{printed}");
    for entry in fs::read_dir(stage.path("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(VALUE.len()).any(|part| part == VALUE.as_bytes()), "{}", path.display());
        }
    }

    let empty = stage.run_with_input(&["secret", "set", "empty"], b"\n");
    assert!(empty.code == 1 && empty.err.contains("is empty"), "{}", empty.err);
    let long = stage.run_with_input(&["secret", "set", "long"], &vec![b'x'; 70_000]);
    assert!(long.code == 1 && long.err.contains("longer than"), "{}", long.err);
    assert!(stage.bad(&["secret", "remove", "erp-tokn"]).err.contains("did you mean `erp-token`?"));
    stage.good(&["secret", "remove", "erp-token"]);
    assert_eq!(stage.good(&["secret", "list", "--format", "json"]).json(), serde_json::json!([]));
}

#[test]
fn what_a_manifest_names_can_be_set_and_the_other_way_round() {
    let longest = "a".repeat(64);
    let too_long = "a".repeat(65);
    for (name, can_be) in [
        ("erp", true),
        ("9", true),
        ("erp.token_2-b", true),
        (&*longest, true),
        ("ERP/Token", false),
        ("erp/token", false),
        ("Erp", false),
        ("_erp", false),
        (".erp", false),
        ("erp token", false),
        ("\u{e9}rp", false),
        (&*too_long, false),
    ] {
        let stage = Stage::new();
        let set = stage.run_with_input(&["secret", "set", name], b"value");
        stage.edit("parties.yaml", "# auth:", "auth:");
        stage.edit("parties.yaml", "#   bearer: {", "  bearer: {");
        stage.edit("parties.yaml", "secret://sealed/erp-token", &format!("secret://sealed/{name}"));
        let checked = stage.run(&["check"]);
        assert_eq!([set.code == 0, checked.code == 0], [can_be; 2], "{name}: {}{}", set.err, checked.err);
    }
}

#[test]
fn keys_are_issued_listed_and_revoked() {
    let stage = Stage::new();
    let first = stage.good(&["key", "issue", "shop"]);
    let key = first.out.trim();
    assert!(key.starts_with("ibk_") && key.len() == 48 && !key.contains('\n'), "{key}");
    assert!(!first.err.contains(key));
    let second = stage.good(&["key", "issue", "shop", "--lifetime", "1h", "--format", "json"]).json();
    assert!(stage.bad(&["key", "issue", "shop"]).err.contains("2 live keys already"));

    let list = stage.good(&["key", "list", "shop"]).out;
    assert!(!list.contains(key) && list.contains("live"), "{list}");
    assert!(stage.bad(&["key", "revoke", key]).err.contains("shell's history"));
    let id = second["id"].as_str().unwrap();
    stage.good(&["key", "revoke", id]);
    assert!(stage.bad(&["key", "revoke", id]).err.contains("revoked already"));
    assert!(stage.bad(&["key", "revoke", "nobody"]).err.contains("ironbridge key list"));
    let states = stage.good(&["key", "list", "--format", "json"]).json();
    let states: Vec<&str> =
        states.as_array().unwrap().iter().map(|key| key["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["live", "revoked"]);
}

#[test]
fn keys_are_only_issued_as_the_manifest_allows() {
    let stage = Stage::new();
    for (arguments, said) in [
        (&["shp"][..], "did you mean `shop`?"),
        (&["shop", "--lifetime", "91d"], "may live 90d at most"),
        (&["shop", "--kind", "client-secret"], "oauth_client"),
    ] {
        let refused = stage.bad(&[&["key", "issue"], arguments].concat());
        assert!(refused.err.contains(said), "{}", refused.err);
    }
    stage.edit("parties.yaml", "api_key: { lifetime: 90d }", "oauth_client: { token_lifetime: 5m }");
    assert!(stage.good(&["key", "issue", "shop"]).out.starts_with("ibs_"));
    assert!(stage.bad(&["key", "issue", "shop", "--kind", "api-key"]).err.contains("no API keys"));
    stage.edit("parties.yaml", "token_lifetime: 5m", "secret_lifetime: 30d");
    let refused = stage.bad(&["key", "issue", "shop", "--lifetime", "31d"]).err;
    assert!(
        refused.contains("may live 30d at most") && refused.contains("oauth_client.secret_lifetime"),
        "{refused}"
    );
    let expires = |life: &[&str]| {
        let issued = stage.good(&[&["key", "issue", "shop", "--format", "json"], life].concat()).json();
        stage.good(&["key", "revoke", issued["id"].as_str().unwrap()]);
        issued["expires"].as_str().unwrap()[..10].to_owned()
    };
    assert_eq!(expires(&[]), expires(&["--lifetime", "30d"]));
}

#[test]
fn a_key_can_be_revoked_while_the_manifest_is_broken() {
    let stage = Stage::new();
    let id =
        stage.good(&["key", "issue", "shop", "--format", "json"]).json()["id"].as_str().unwrap().to_owned();
    stage.edit("parties.yaml", "roles: [order-clerk]", "roles: [order-clark]");
    assert!(stage.bad(&["key", "revoke", &id]).err.contains("--data-dir"));
    stage.good(&["key", "revoke", &id, "--data-dir", "data"]);
    assert!(stage.bad(&["key", "list", "--data-dir", "dta"]).err.contains("no directory"));
    assert!(!stage.path("dta").exists());
}

#[test]
fn certificates_are_issued_for_declared_names() {
    let stage = Stage::new();
    assert!(stage.bad(&["certificate", "issue", "shop", "--out", "out"]).err.contains("certificate: { san:"));
    stage.edit(
        "parties.yaml",
        "api_key: { lifetime: 90d }",
        "certificate: { san: spiffe://acme.example/shop }",
    );
    let issue = ["certificate", "issue", "shop", "--out", "out", "--format", "json"];
    let issued = stage.good(&issue).json();
    assert_eq!(issued["san"], "spiffe://acme.example/shop");
    for (file, begin) in [
        ("shop.crt", "-----BEGIN CERTIFICATE"),
        ("shop.key", "-----BEGIN PRIVATE"),
        ("ca.pem", "-----BEGIN CERTIFICATE"),
    ] {
        assert!(fs::read_to_string(stage.path("out").join(file)).unwrap().starts_with(begin), "{file}");
    }
    assert_eq!(fs::metadata(stage.path("out/shop.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(stage.bad(&issue).err.contains("nothing is overwritten"));
    let longer = stage.bad(&["certificate", "issue", "shop", "--out", "other", "--lifetime", "367d"]).err;
    assert!(longer.contains("366d at most") && !stage.path("other").exists(), "{longer}");
    // It waits to be recorded, once: what was refused issued nothing.
    let home = Home::open(&stage.path("data"), Actor::new("test")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut waiting = runtime.block_on(home.outbox().pending(100)).unwrap();
    waiting.retain(|action| action.name == "certificate.issue");
    let [action] = &waiting[..] else { panic!("{waiting:?}") };
    assert_eq!((&*action.object, &*action.account), (issued["thumbprint"].as_str().unwrap(), "shop"));
    assert!(action.actor.starts_with("command:"), "{}", action.actor);
    let ca = stage.good(&["certificate", "ca"]).out;
    assert_eq!(ca, fs::read_to_string(stage.path("out/ca.pem")).unwrap());
    let list = stage.good(&["certificate", "list", "--format", "json"]).json();
    assert_eq!((&list[0]["used_by"], &list[0]["note"]), (&"internal CA".into(), &"good".into()));
    assert_eq!(list[1]["used_by"], "listener api");
}

#[test]
fn completions_name_the_commands() {
    let stage = Stage::empty();
    for shell in ["bash", "zsh", "fish"] {
        assert!(stage.good(&["completions", shell]).out.contains("certificate"), "{shell}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let stage = Stage::empty();
    let script = format!("{} explain --format json | head -n 1; exit ${{PIPESTATUS[0]}}", stage::BINARY);
    let ran =
        std::process::Command::new("bash").args(["-c", &script]).current_dir(stage.dir()).output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn a_secret_that_the_manifest_names_is_not_removed_by_accident() {
    let stage = Stage::new();
    stage.edit("parties.yaml", "# auth:", "auth:");
    stage.edit("parties.yaml", "#   bearer: {", "  bearer: {");
    assert_eq!(stage.run_with_input(&["secret", "set", "erp-token"], b"x").code, 0);
    let refused = stage.bad(&["secret", "remove", "secret://sealed/erp-token"]).err;
    assert!(refused.contains("systems.erp.http.auth.bearer.token") && refused.contains("--yes"), "{refused}");
    assert!(stage.good(&["secret", "list"]).out.contains("erp-token"));
    stage.good(&["secret", "remove", "erp-token", "--yes"]);
}

/// Whoever asks for JSON reads JSON, also of what went wrong.
#[test]
fn errors_are_json_where_json_is_asked_for() {
    let stage = Stage::new();
    let wrote = Stage::empty().good(&["init", "--name", "a", "--format", "json"]).json();
    assert!(wrote["name"] == "a" && wrote["wrote"].as_array().unwrap().len() > 2, "{wrote}");
    assert!(stage.good(&["schema", "--format", "json"]).json()["$defs"].is_object());
    for (arguments, code, said) in [
        (&["init", "--format", "json"][..], 1, "nothing is overwritten"),
        (&["key", "issue", "shp", "--format", "json"], 1, "no account `shp`"),
        (&["explain", "IB999", "--format=json"], 1, "nothing is called"),
        (&["audit", "prove", "0", "--format", "json"], 1, ""),
        (&["audit", "reindex", "--trail", "nowhere", "--format", "json"], 1, ""),
        (&["audit", "export", "--as", "csv", "--trail", "nowhere", "--format", "json"], 1, ""),
        (&["secret", "list", "surplus", "--format", "json"], 2, "as it may be a secret"),
        (&["secret", "list", "/tmp", "--format", "json"], 2, "the directory /tmp"),
        (&["check", "--frmat", "x", "--format", "json"], 2, "--frmat"),
        (&["chek", "--format", "json"], 2, "chek"),
        (&["key", "issue", "--format", "json"], 2, "required"),
    ] {
        let ran = stage.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{arguments:?}: {}", ran.err);
        let error: serde_json::Value = serde_json::from_str(&ran.err)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", ran.err));
        assert!(error["error"].as_str().unwrap().contains(said), "{arguments:?}: {error}");
        assert!(error["help"].is_string() || error["help"].is_null(), "{error}");
    }
    stage.edit("parties.yaml", "systems:", "sistems:");
    let ran = stage.bad(&["run", "--log-format", "json"]);
    let last: serde_json::Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    assert!(last["message"].as_str().unwrap().contains("IB102"), "{last}");
    // Behind `--` it is no option.
    assert!(stage.run(&["key", "revoke", "--", "--format=json"]).err.contains("\nerror: "));
}

#[test]
fn a_schema_that_checks_nothing_is_told() {
    let stage = Stage::new();
    let schema = fs::read_to_string(stage.path("schemas/shipment.json")).unwrap();
    fs::write(stage.path("schemas/shipment.json"), schema.replace("\"required\"", "\"requierd\"")).unwrap();
    let report = stage.good(&["check", "--format", "json"]).json();
    let finding = &report["findings"][0];
    assert_eq!((&finding["id"], report["warnings"].as_u64()), (&"IB236".into(), Some(1)), "{report}");
    assert!(
        finding["message"].as_str().unwrap().contains("`requierd`") && finding["line"].as_u64() > Some(1)
    );
    fs::write(stage.path("schemas/shipment.json"), r#"{ "title": "anything" }"#).unwrap();
    let report = stage.good(&["check", "--format", "json"]).json();
    assert_eq!(
        (&report["findings"][0]["id"], report["warnings"].as_u64()),
        (&"IB237".into(), Some(1)),
        "{report}"
    );
    fs::write(stage.path("schemas/shipment.json"), r#"{ "openapi": "3.1.0", "paths": {} }"#).unwrap();
    let report = stage.bad(&["check", "--format", "json"]).json();
    assert!(
        report["findings"][0]["message"].as_str().unwrap().contains("is an OpenAPI description"),
        "{report}"
    );
}

#[test]
fn what_cannot_be_written_is_said_of_standard_output() {
    let stage = Stage::empty();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_ironbridge"))
        .arg("explain")
        .current_dir(stage.path("."))
        .stdout(full)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code() == Some(1) && told.contains("cannot write to standard output"), "{told}");
}

/// What the pages tell people to type is there to be typed.
#[test]
fn every_command_that_a_page_names_exists() {
    let stage = Stage::empty();
    let codes = ironbridge_core::all_codes();
    let mut texts: Vec<&str> =
        codes.iter().flat_map(|code| [code.meaning, code.mend, code.operator]).collect();
    texts.extend(ironbridge_manifest::topics().iter().map(|topic| topic.text));
    texts.extend(ironbridge_manifest::findings().iter().flat_map(|finding| [finding.why, finding.mend]));
    let named = texts.iter().flat_map(|text| text.split('`').skip(1).step_by(2));
    let commands: std::collections::BTreeSet<&str> =
        named.filter_map(|quoted| quoted.strip_prefix("ironbridge ")).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        // Words in capitals stand for something.
        let words = command.split(' ').take_while(|word| word.chars().any(|letter| letter.is_lowercase()));
        let mut words: Vec<&str> = words.collect();
        if words.first() != Some(&"explain") || command.contains(char::is_uppercase) {
            words.truncate(words.iter().position(|word| word.starts_with('-')).unwrap_or(words.len()));
            words.push("--help");
        }
        stage.good(&words);
    }
}

/// A key in the place of a name stands in the shell's history; it does not stand in the output too.
#[test]
fn a_whole_key_where_a_name_is_meant_is_not_repeated() {
    let stage = Stage::new();
    let key = stage.good(&["key", "issue", "shop"]).out;
    let key = key.trim();
    let (_, bare) = key.split_once('_').unwrap();
    for given in [key, bare] {
        for command in [
            &["key", "list"][..],
            &["key", "issue"],
            &["key", "revoke"],
            &["explain"],
            &["certificate", "issue", "--out", "x"],
        ] {
            let told = stage.bad(&[command, &[given]].concat());
            assert!(told.err.contains("whole key"), "{command:?}: {}", told.err);
            assert!(!(told.err + &told.out).contains(bare), "{command:?}");
        }
    }
}
