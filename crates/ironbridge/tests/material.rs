//! What the files and secrets that a manifest names are worth is said in the same words, at the same line, by
//! `check`, at a start and at a reload.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use ironbridge_testkit::{Authority, Identity, Process, Validity};
use stage::Stage;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// What is spoilt, what is said of it, and behind which line of which file.
struct Case {
    name: &'static str,
    spoil: fn(&Made, &Stage),
    id: &'static str,
    at: (&'static str, &'static str),
    says: &'static str,
}

/// Good material, and bad.
struct Made {
    erp: Authority,
    listener: Identity,
    other: Identity,
    client: Identity,
}

const CA: (&str, &str) = ("parties.yaml", "ca: ./erp.pem");
const CLIENT_CHAIN: (&str, &str) = ("parties.yaml", "certificate: {");
const CHAIN: (&str, &str) = ("ironbridge.yaml", "certificate: {");
const TOKEN: (&str, &str) = ("parties.yaml", "bearer: {");

const CASES: &[Case] = &[
    Case {
        name: "a key where a CA is expected",
        spoil: |made, stage| write(stage, "erp.pem", &made.client.key_pem),
        id: "IB130",
        at: CA,
        says: "system `erp`: erp.pem holds a private key and no certificate",
    },
    Case {
        name: "a server's certificate where a CA is expected",
        spoil: |made, stage| write(stage, "erp.pem", &made.listener.certificate_pem),
        id: "IB130",
        at: CA,
        says: "holds the certificate of `CN=localhost` itself, not that of the CA it comes from",
    },
    Case {
        name: "an empty CA file",
        spoil: |_, stage| write(stage, "erp.pem", "\n"),
        id: "IB130",
        at: CA,
        says: "erp.pem is empty",
    },
    Case {
        name: "a request where a CA is expected",
        spoil: |_, stage| {
            write(
                stage,
                "erp.pem",
                "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n",
            );
        },
        id: "IB130",
        at: CA,
        says: "holds a request for a certificate",
    },
    Case {
        name: "a CA in DER",
        spoil: |made, stage| fs::write(stage.path("erp.pem"), made.erp.der()).unwrap(),
        id: "IB130",
        at: CA,
        says: "is in DER form",
    },
    Case {
        name: "a CA file cut short",
        spoil: |made, stage| write(stage, "erp.pem", &made.erp.pem()[..200]),
        id: "IB130",
        at: CA,
        says: "erp.pem",
    },
    Case {
        name: "what is no certificate inside",
        spoil: |_, stage| {
            write(stage, "erp.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
        },
        id: "IB130",
        at: CA,
        says: "holds a certificate that cannot be read: number 1",
    },
    Case {
        name: "a listener's key and certificate swapped",
        spoil: |made, stage| {
            write(stage, "listener.crt", &made.listener.key_pem);
            write(stage, "listener.key", &made.listener.certificate_pem);
        },
        id: "IB130",
        at: CHAIN,
        says: "listener `api`: listener.crt holds the private key, and `key` the certificate",
    },
    Case {
        name: "a listener's key of another certificate",
        spoil: |made, stage| write(stage, "listener.key", &made.other.key_pem),
        id: "IB130",
        at: CHAIN,
        says: "the certificate and the private key do not belong together",
    },
    Case {
        name: "a listener's chain that begins with the CA",
        spoil: |made, stage| {
            write(stage, "listener.crt", &format!("{}{}", made.erp.pem(), made.listener.certificate_pem));
        },
        id: "IB130",
        at: CHAIN,
        says: "the certificate and the private key do not belong together",
    },
    Case {
        name: "a key that others can read",
        spoil: |_, stage| {
            fs::set_permissions(stage.path("listener.key"), fs::Permissions::from_mode(0o644)).unwrap();
        },
        id: "IB130",
        at: CHAIN,
        says: "others can read the private key in listener.key",
    },
    Case {
        name: "an encrypted key",
        spoil: |_, stage| {
            write(
                stage,
                "listener.key",
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
            );
        },
        id: "IB130",
        at: CHAIN,
        says: "encrypted with a passphrase",
    },
    Case {
        name: "a key on a curve that is not spoken",
        spoil: |_, stage| {
            let (key, chain) = (stage.path("listener.key"), stage.path("listener.crt"));
            let mut openssl = Command::new("openssl");
            openssl.args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:secp256k1",
                "-nodes",
            ]);
            openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
            openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]).arg("-keyout").arg(key);
            assert!(openssl.arg("-out").arg(chain).output().unwrap().status.success());
        },
        id: "IB130",
        at: CHAIN,
        says: "of no kind that is spoken here: RSA from 2,048 bits on",
    },
    Case {
        name: "a listener shown a client's certificate",
        spoil: |made, stage| {
            write(stage, "listener.crt", &made.client.certificate_pem);
            write(stage, "listener.key", &made.client.key_pem);
        },
        id: "IB130",
        at: CHAIN,
        says: "may not be used as a server's",
    },
    Case {
        name: "an expired certificate toward a target",
        spoil: |made, stage| client(made, stage, Validity::Expired),
        id: "IB131",
        at: CLIENT_CHAIN,
        says: "has expired: it was valid until 20",
    },
    Case {
        name: "a certificate toward a target that is not valid yet",
        spoil: |made, stage| client(made, stage, Validity::NotYet),
        id: "IB131",
        at: CLIENT_CHAIN,
        says: "is not valid before 20",
    },
    Case {
        name: "a key toward a target of another certificate",
        spoil: |made, stage| write(stage, "client.key", &made.other.key_pem),
        id: "IB130",
        at: CLIENT_CHAIN,
        says: "system `erp`: client.crt: the certificate and the private key do not belong together",
    },
    Case {
        name: "a secret that was never set",
        spoil: |_, stage| drop(stage.good(&["secret", "remove", "erp-token", "--yes"])),
        id: "IB132",
        at: TOKEN,
        says: "system `erp`: there is no secret `erp-token` in the store",
    },
    Case {
        name: "a secret that no field can carry",
        spoil: |_, stage| set(stage, b"two\nlines"),
        id: "IB132",
        at: TOKEN,
        says: "the secret holds a line break",
    },
    Case {
        name: "a token with the word that the bridge puts before it",
        spoil: |_, stage| set(stage, b"Bearer tok-1"),
        id: "IB132",
        at: TOKEN,
        says: "the secret begins with `Bearer `",
    },
    Case {
        name: "a token out of a file with a byte order mark",
        spoil: |_, stage| set(stage, b"\xef\xbb\xbftok-1"),
        id: "IB132",
        at: TOKEN,
        says: "the secret begins with a byte order mark",
    },
    Case {
        name: "a token with a blank behind it",
        spoil: |_, stage| set(stage, b"tok-1 "),
        id: "IB132",
        at: TOKEN,
        says: "the secret holds a blank",
    },
    Case {
        name: "a token with a character that is not seen",
        spoil: |_, stage| set(stage, "tok-1\u{200b}".as_bytes()),
        id: "IB132",
        at: TOKEN,
        says: "the secret holds a character outside ASCII",
    },
];

fn client(made: &Made, stage: &Stage, validity: Validity) {
    made.erp.client(&["bridge"], validity).unwrap().write(stage.dir(), "client").unwrap();
}

fn set(stage: &Stage, value: &[u8]) {
    let set = stage.run_with_input(&["secret", "set", "erp-token"], value);
    assert_eq!(set.code, 0, "{}", set.err);
    // What `check` says of it is said at once.
    let told = set.err.contains("cannot be used where it is named: systems.erp.http.auth.bearer.token");
    assert_eq!(told, value != b"the-targets-own", "{}", set.err);
}

fn write(stage: &Stage, path: &str, text: &str) {
    fs::write(stage.path(path), text).unwrap();
    fs::set_permissions(stage.path(path), fs::Permissions::from_mode(0o600)).unwrap();
}

impl Made {
    fn new() -> Made {
        let erp = Authority::new("ERP CA").unwrap();
        let listener = erp.server(&["localhost", "127.0.0.1"]).unwrap();
        let other = erp.server(&["localhost"]).unwrap();
        let client = erp.client(&["bridge"], Validity::Now).unwrap();
        Made { erp, listener, other, client }
    }

    /// Everything good again.
    fn mend(&self, stage: &Stage) {
        self.erp.write(stage.path("erp.pem")).unwrap();
        self.listener.write(stage.dir(), "listener").unwrap();
        self.client.write(stage.dir(), "client").unwrap();
        set(stage, b"the-targets-own");
    }
}

fn stage(made: &Made) -> Stage {
    let stage = Stage::new();
    stage.edit(
        "ironbridge.yaml",
        "{ address: 127.0.0.1:8443 }",
        "\n      address: 127.0.0.1:0\n      certificate: { chain: ./listener.crt, key: ./listener.key }\n",
    );
    stage.edit(
        "parties.yaml",
        "# ca: ./ca/erp.pem ",
        "ca: ./erp.pem\n      certificate: { chain: ./client.crt, key: ./client.key } ",
    );
    stage.edit("parties.yaml", "# auth:", "auth:");
    stage.edit("parties.yaml", "#   bearer: {", "  bearer: {");
    made.mend(&stage);
    stage
}

#[test]
fn check_start_and_reload_say_the_same_of_what_is_named() {
    let made = Made::new();
    let stage = stage(&made);
    let good = stage.good(&["check"]).out;
    assert!(good.contains("no findings"), "{good}");
    let mut bridge = Process::start(&mut stage.command(&["run", "--no-watch"])).unwrap();
    bridge.wait_for_line("api  https://127.0.0.1:", LONG).unwrap();
    // The hint names where the certificate comes from, not a CA that has nothing to do with it.
    let told = bridge.output();
    assert!(told.contains("(certificate: listener.crt)") && !told.contains("ca.pem"), "{told}");

    for case in CASES {
        let name = case.name;
        (case.spoil)(&made, &stage);
        let report = stage.bad(&["check", "--format", "json"]).json();
        let found = report["findings"].as_array().unwrap();
        let found =
            found.iter().find(|found| found["id"] == case.id).unwrap_or_else(|| panic!("{name}: {report}"));
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(case.says), "{name}: {message}");
        let text = fs::read_to_string(stage.path(case.at.0)).unwrap();
        let line = text.lines().position(|line| line.contains(case.at.1)).unwrap() + 1;
        assert!(
            found["file"].as_str().unwrap().ends_with(case.at.0) && found["line"] == line,
            "{name}: {found}"
        );
        let place = format!("{}:{line}:{}", case.at.0, found["column"]);

        // What time alone has brought keeps no bridge from starting; one that runs keeps what is good.
        let goes_on = case.id == "IB131";
        if !goes_on {
            let refused = stage.bad(&["run"]).err;
            assert!(refused.contains(message) && refused.contains(&place), "{name}: {refused}");
        }
        let before = bridge.output().len();
        bridge.signal("HUP").unwrap();
        let told = told_since(&bridge, before);
        assert!(told.contains(message) && told.contains(&place), "{name}: {told}");
        made.mend(&stage);
    }
    bridge.signal("HUP").unwrap();
    bridge.wait_for_line("in force why=\"SIGHUP\" generation=2", LONG).unwrap();
    bridge.signal("TERM").unwrap();
    assert!(bridge.wait(LONG).unwrap().success());
}

/// What it said about the next reload.
fn told_since(bridge: &Process, before: usize) -> String {
    for _ in 0..600 {
        let told = bridge.output().split_off(before);
        if told.contains("the one before stays in force") {
            return told;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing was refused: {}", bridge.output());
}

#[test]
fn secrets_that_nobody_looked_up_are_a_note() {
    let made = Made::new();
    let stage = stage(&made);
    fs::remove_dir_all(stage.path("data")).unwrap();
    let report = stage.good(&["check", "--format", "json"]).json();
    assert_eq!(report["findings"][0]["id"], "IB231", "{report}");
    assert!(!stage.path("data").exists(), "check makes nothing");
    let refused = stage.bad(&["run"]).err;
    assert!(
        refused.contains("error[IB132]") && refused.contains("ironbridge secret set erp-token"),
        "{refused}"
    );
}

#[test]
fn a_public_name_that_the_certificate_lacks_is_a_warning() {
    let made = Made::new();
    let stage = stage(&made);
    stage.edit("ironbridge.yaml", "https://localhost:8443", "https://bridge.example.org");
    let report = stage.good(&["check", "--format", "json"]).json();
    assert_eq!(report["findings"][0]["id"], "IB232", "{report}");
}

#[test]
fn a_public_url_may_be_an_address() {
    for url in ["https://[::1]:8443", "https://127.0.0.1:8443", "https://192.0.2.1", "https://[2001:db8::7]"]
    {
        let stage = Stage::new();
        stage.edit("ironbridge.yaml", "127.0.0.1:8443", "127.0.0.1:0");
        stage.edit("ironbridge.yaml", "https://localhost:8443", url);
        stage.good(&["check"]);
        let mut bridge = Process::start(&mut stage.command(&["run", "--no-watch"])).unwrap();
        bridge.wait_for_line("https://127.0.0.1:", LONG).unwrap();
    }
}

/// `check` looks, and leaves every byte of the data directory as it was: also where a bridge of another version has it.
#[test]
fn checking_changes_nothing() {
    let stage = Stage::new();
    stage.good(&["check"]);
    assert!(!stage.path("data").exists(), "nothing is made");
    assert_eq!(stage.run_with_input(&["secret", "set", "any"], b"thing").code, 0);
    let files = || -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(stage.path("data")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    for fixture in
        [None, Some("../store/tests/fixtures/v2.sqlite"), Some("../store/tests/fixtures/v4.sqlite")]
    {
        if let Some(fixture) = fixture {
            fs::write(stage.path("data/store.sqlite"), fs::read(fixture).unwrap()).unwrap();
        }
        let before = files();
        stage.good(&["check"]);
        assert!(files() == before, "{fixture:?}");
    }
}
