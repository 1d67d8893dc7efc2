//! Records sent on: to real collectors, and to sinks that fail in every way.

use crate::collectors::{Collector, SyslogNg};
use crate::stage::{
    as_stored, caught_up, client, complains, drop_before, keys, only, publish, record, recorded, roots,
    runtime, settings, trail, until,
};
use ironbridge_core::Sensitive;
use ironbridge_net::address::Policy;
use ironbridge_net::session::Dialer;
use ironbridge_publish::{Forward, Framing, Settings, Sink, adopt_cursors};
use ironbridge_testkit::{Authority, FakeTarget, Reply, Seen};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn to(sink: Sink) -> Settings {
    let forward = Forward { name: "siem".into(), sink, format: as_stored(), keys: keys() };
    Settings { forwards: vec![forward], ..settings() }
}

fn to_https(target: &FakeTarget, authority: &Authority, framing: Framing) -> Settings {
    let (url, client) = (format!("{}/in", target.url()), client(authority));
    let authorization = Some(Sensitive::new(b"Bearer only-for-tests".as_slice()));
    to(Sink::Https { url, framing, authorization, client })
}

/// The objects that records were made of, in the order of arrival.
fn objects(seen: &[Seen]) -> Vec<String> {
    let bodies = seen.iter().map(|seen| String::from_utf8(seen.body.to_vec()).unwrap());
    bodies.flat_map(|body| body.lines().map(object).collect::<Vec<_>>()).collect()
}

fn object(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()["object"].as_str().unwrap_or_default().to_owned()
}

fn expected(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("object-{number}")).collect()
}

#[test]
fn syslog_ng_understands_every_message_and_misses_none_over_a_restart() {
    let (source, collector) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::new("collectors").unwrap();
    let mut syslog = SyslogNg::start(&authority, collector.path()).unwrap();
    let trail = trail(source.path());
    record(&trail, "before", 600);
    let runtime = runtime();
    let _entered = runtime.enter();
    let dialer = || Dialer::new("localhost", syslog.port, &roots(&authority), Policy::Declared).unwrap();
    let sink = Sink::Syslog { dialer: dialer(), hostname: "bridge-1.example".into() };
    let publisher = publish(source.path(), to(sink));
    caught_up(&publisher, 600);
    until("syslog-ng has written them", || syslog.received().len() >= 600);
    for (number, line) in syslog.received().iter().enumerate() {
        let fields: Vec<&str> = line.splitn(8, '|').collect();
        let time = (1_767_225_600 + number).to_string();
        let index = number.to_string();
        assert_eq!(
            fields[..7],
            ["bridge-1.example", "ironbridge", "action", "security", "info", &time, &index],
            "{line}"
        );
        assert_eq!(object(fields[7].trim_start_matches('\u{feff}')), format!("object-{number}"));
    }

    syslog.stop();
    record(&trail, "while it is down", 40);
    until("the outage shows", || only(&publisher).last_error.is_some());
    assert_eq!(only(&publisher).of, 640);
    syslog.start_again().unwrap();
    caught_up(&publisher, 640);
    until("syslog-ng has written them", || {
        let lines = syslog.received();
        (0..640).all(|number| lines.iter().any(|line| line.contains(&format!("|{number}|"))))
    });
}

#[test]
fn a_stranger_gets_no_syslog() {
    let (source, collector) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stranger = Authority::new("stranger").unwrap();
    let syslog = SyslogNg::start(&stranger, collector.path()).unwrap();
    recorded(source.path(), 3);
    let runtime = runtime();
    let _entered = runtime.enter();
    let ours = roots(&Authority::new("collectors").unwrap());
    let dialer = Dialer::new("localhost", syslog.port, &ours, Policy::Declared).unwrap();
    let publisher = publish(source.path(), to(Sink::Syslog { dialer, hostname: "b".into() }));
    complains(&publisher, "TLS: ");
    assert_eq!((only(&publisher).position, syslog.received().len()), (0, 0));
}

#[test]
fn an_opentelemetry_collector_takes_records_as_logs() {
    let (source, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::new("collectors").unwrap();
    let collector = Collector::start(&authority, directory.path()).unwrap();
    recorded(source.path(), 5);
    let runtime = runtime();
    let _entered = runtime.enter();
    let (url, client) = (collector.url.clone(), client(&authority));
    let sink = Sink::Otlp { url, instance: "example.com/bridge-1".into(), authorization: None, client };
    let publisher = publish(source.path(), to(sink));
    caught_up(&publisher, 5);
    until("the collector has printed them", || collector.output().contains("object-4"));
    let output = collector.output();
    for text in [
        "service.name: Str(ironbridge)",
        "service.instance.id: Str(example.com/bridge-1)",
        "Timestamp: 1767225604000000000",
        "SEVERITY_NUMBER_INFO(9)",
        "event.name: Str(ironbridge.action)",
        "ironbridge.index: Int(4)",
        "ironbridge.outcome: Str(success)",
    ] {
        assert!(output.contains(text), "{text} is not in:\n{output}");
    }
}

#[test]
fn records_that_a_collector_rejects_are_counted_and_not_sent_again() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("collectors").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    target.otherwise(Reply::Json(
        200,
        json!({ "partialSuccess": { "rejectedLogRecords": "2", "errorMessage": "too old" } }),
    ));
    recorded(source.path(), 5);
    let runtime = runtime();
    let _entered = runtime.enter();
    let (url, client) = (format!("{}/v1/logs", target.url()), client(&authority));
    let sink = Sink::Otlp { url, instance: "b".into(), authorization: None, client };
    let publisher = publish(source.path(), to(sink));
    caught_up(&publisher, 5);
    assert_eq!((only(&publisher).lost, target.seen().len()), (2, 1));
}

#[test]
fn batches_arrive_in_order_and_a_new_publisher_goes_on_from_the_cursor() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("lakes").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    target.otherwise(Reply::Raw(200, Vec::new(), "".into()));
    let trail = trail(source.path());
    record(&trail, "before", 1300);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_https(&target, &authority, Framing::Lines));
    caught_up(&publisher, 1300);
    let seen = target.seen();
    assert_eq!(objects(&seen), expected(0..1300));
    assert!(seen.iter().all(|seen| seen.method == "POST" && seen.path == "/in"));
    assert_eq!(seen[0].header("content-type"), Some("application/x-ndjson"));
    assert_eq!(seen[0].header("authorization"), Some("Bearer only-for-tests"));
    runtime.block_on(publisher.stop());

    target.forget();
    record(&trail, "after", 3);
    let publisher = publish(source.path(), to_https(&target, &authority, Framing::Array));
    caught_up(&publisher, 1303);
    let seen = target.seen();
    let array: Vec<Value> = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!((seen.len(), array.len(), array[0]["object"].as_str()), (1, 3, Some("object-1300")));
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
}

#[test]
fn a_failing_sink_delays_nobody_and_gets_everything_in_the_end() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("lakes").unwrap();
    let (failing, slow) = (FakeTarget::start(&authority).unwrap(), FakeTarget::start(&authority).unwrap());
    let trail = trail(source.path());
    record(&trail, "before", 10);
    failing.otherwise(Reply::Raw(500, Vec::new(), "out of\u{1b}[2J order".into()));
    slow.otherwise(Reply::After(Duration::from_millis(300), Box::new(Reply::Echo)));
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_https(&failing, &authority, Framing::Lines));
    complains(&publisher, "it answered 500: out of\u{241b}[2J order");
    record(&trail, "meanwhile", 10);
    until("the lag grows", || only(&publisher).of == 20);
    let lag = only(&publisher);
    assert_eq!(lag.position, 0);
    assert!(lag.behind_since.is_some());
    for reply in [
        Reply::Close,
        Reply::Raw(302, vec![("location", slow.url())], "".into()),
        Reply::Raw(401, Vec::new(), "who?".into()),
        Reply::Raw(429, vec![("retry-after", "1".into())], "too fast".into()),
        Reply::Oversize(1 << 20),
    ] {
        failing.otherwise(reply).forget();
        until("it was tried again", || failing.seen().len() > 1);
        assert_eq!(only(&publisher).position, 0);
    }
    failing.otherwise(Reply::Raw(204, Vec::new(), "".into())).forget();
    caught_up(&publisher, 20);
    assert_eq!(objects(&failing.seen()), expected(0..20));
    runtime.block_on(publisher.stop());

    std::fs::remove_dir_all(source.path().join("forward")).unwrap();
    let publisher = publish(source.path(), to_https(&slow, &authority, Framing::Lines));
    caught_up(&publisher, 20);
    assert_eq!(objects(&slow.seen()), expected(0..20));
}

#[test]
fn a_sink_that_wants_smaller_batches_gets_them() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("lakes").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    recorded(source.path(), 100);
    let alone = |seen: &Seen| objects(std::slice::from_ref(seen)).len() == 1;
    let status = move |seen: &Seen| if alone(seen) { 202 } else { 413 };
    target.otherwise(Reply::chosen(move |seen| Reply::Raw(status(seen), Vec::new(), "".into())));
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_https(&target, &authority, Framing::Lines));
    caught_up(&publisher, 100);
    let taken: Vec<Seen> = target.seen().into_iter().filter(alone).collect();
    assert_eq!(objects(&taken), expected(0..100));
    assert_eq!(only(&publisher).lost, 0);
}

/// What comes after it is sent all the same, in batches as large as before, and nobody takes it for sent.
#[test]
fn what_is_too_large_by_itself_is_passed_over_and_told() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("lakes").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    let trail = trail(source.path());
    record(&trail, "first", 10);
    let holds = |seen: &Seen| objects(slice::from_ref(seen)).contains(&"object-3".to_owned());
    let status = move |seen: &Seen| if holds(seen) { 413 } else { 202 };
    target.otherwise(Reply::chosen(move |seen| Reply::Raw(status(seen), Vec::new(), "".into())));
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_https(&target, &authority, Framing::Lines));
    caught_up(&publisher, 10);
    let (refused, taken): (Vec<Seen>, Vec<Seen>) = target.seen().into_iter().partition(holds);
    // The one after it shows that it is not the sink, and comes again in its turn.
    assert_eq!(objects(&taken), [expected(0..3), expected(4..5), expected(4..10)].concat());
    assert_eq!(refused.iter().filter(|seen| objects(slice::from_ref(seen)).len() == 1).count(), 9);
    assert_eq!(only(&publisher).lost, 1);

    target.forget();
    record(&trail, "later", 200);
    caught_up(&publisher, 210);
    let seen = target.seen();
    assert_eq!(objects(&seen), expected(10..210));
    assert!(seen.len() < 20, "{}", seen.len());
}

/// It would take each of them once it is set right, in whichever moment that is.
#[test]
fn a_sink_that_takes_nothing_for_long_loses_nothing() {
    let authority = Authority::new("lakes").unwrap();
    for until_it_is_right in [30, 31] {
        let source = tempfile::tempdir().unwrap();
        let target = FakeTarget::start(&authority).unwrap();
        recorded(source.path(), 10);
        let requests = AtomicU32::new(0);
        target.otherwise(Reply::chosen(move |_| {
            let is_right = requests.fetch_add(1, Ordering::Relaxed) >= until_it_is_right;
            Reply::Raw(if is_right { 202 } else { 413 }, Vec::new(), "".into())
        }));
        let runtime = runtime();
        let _entered = runtime.enter();
        let publisher = publish(source.path(), to_https(&target, &authority, Framing::Lines));
        caught_up(&publisher, 10);
        let seen = target.seen();
        let refused = seen.len().min(usize::try_from(until_it_is_right).unwrap());
        let sent: BTreeSet<String> = objects(&seen[refused..]).into_iter().collect();
        assert_eq!((only(&publisher).lost, sent.into_iter().collect::<Vec<_>>()), (0, expected(0..10)));
    }
}

/// Nothing waits behind it, so nothing is won by passing it over before another record is there to tell.
#[test]
fn the_last_record_is_not_passed_over_before_another_is_there() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("lakes").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    let trail = trail(source.path());
    record(&trail, "first", 4);
    let holds = |seen: &Seen| objects(slice::from_ref(seen)).iter().any(|name| name == "object-3");
    let status = move |seen: &Seen| if holds(seen) { 413 } else { 202 };
    target.otherwise(Reply::chosen(move |seen| Reply::Raw(status(seen), Vec::new(), "".into())));
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_https(&target, &authority, Framing::Lines));
    until("it was sent often", || target.seen().into_iter().filter(holds).count() > 12);
    assert_eq!((only(&publisher).position, only(&publisher).lost), (3, 0));
    record(&trail, "second", 1);
    caught_up(&publisher, 5);
    assert_eq!(only(&publisher).lost, 1);
}

#[test]
fn a_log_shorter_than_what_was_sent_is_named() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("lakes").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    let runtime = runtime();
    let _entered = runtime.enter();
    target.otherwise(Reply::Raw(200, Vec::new(), "".into()));
    // The same name and key, set back to a backup since.
    let longer = tempfile::tempdir().unwrap();
    recorded(longer.path(), 9);
    let publisher = publish(longer.path(), to_https(&target, &authority, Framing::Lines));
    caught_up(&publisher, 9);
    runtime.block_on(publisher.stop());
    target.forget();
    recorded(source.path(), 5);
    std::fs::create_dir(source.path().join("forward")).unwrap();
    std::fs::copy(longer.path().join("forward/siem"), source.path().join("forward/siem")).unwrap();
    let publisher = publish(source.path(), to_https(&target, &authority, Framing::Lines));
    complains(&publisher, "9 records were sent, but the log has 5: it was rolled back");
    assert!(target.seen().is_empty());
    std::fs::remove_file(source.path().join("forward/siem")).unwrap();
    caught_up(&publisher, 5);
    assert_eq!(objects(&target.seen()), expected(0..5));
}

#[test]
fn records_that_retention_dropped_unsent_are_counted() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("lakes").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    target.otherwise(Reply::Raw(200, Vec::new(), "".into()));
    let trail = trail(source.path());
    record(&trail, "old", 1000);
    assert_eq!(drop_before(&trail, 600), 512);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_https(&target, &authority, Framing::Lines));
    caught_up(&publisher, 1001);
    assert_eq!(only(&publisher).lost, 512);
    assert_eq!(objects(&target.seen())[..488], expected(512..1000));
}

/// A cursor that was moved ahead would pass records over; one that another hand wrote is not believed.
#[test]
fn a_cursor_of_another_hand_passes_nothing_over() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("lakes").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    target.otherwise(Reply::Raw(200, Vec::new(), "".into()));
    let trail = trail(source.path());
    record(&trail, "sent", 600);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_https(&target, &authority, Framing::Lines));
    caught_up(&publisher, 600);
    runtime.block_on(publisher.stop());
    record(&trail, "unsent", 100);

    let path = source.path().join("forward/siem");
    let ours = std::fs::read_to_string(&path).unwrap();
    let other = std::fs::read_to_string(&path).unwrap().replace("600\n", "");
    for forged in [
        ours.replace("600\n", "700\n"),
        ours.replace("600\n", "0600\n"),
        "700\n".into(),
        "700".into(),
        format!("700\n{other}"),
        String::new(),
        "\u{0}".into(),
    ] {
        std::fs::write(&path, &forged).unwrap();
        target.forget();
        let publisher = publish(source.path(), to_https(&target, &authority, Framing::Lines));
        caught_up(&publisher, 700);
        let got = objects(&target.seen());
        assert!(expected(600..700).iter().all(|object| got.contains(object)), "{forged:?}");
        assert_eq!(only(&publisher).lost, 0);
        runtime.block_on(publisher.stop());
    }
    // Not even one of another receiver of the same bridge.
    std::fs::copy(&path, source.path().join("forward/other")).unwrap();
    target.forget();
    let mut settings = to_https(&target, &authority, Framing::Lines);
    settings.forwards[0].name = "other".into();
    let publisher = publish(source.path(), settings);
    caught_up(&publisher, 700);
    assert_eq!(objects(&target.seen()), expected(0..700));
}

#[test]
fn cursors_of_an_older_version_are_taken_over_once() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("lakes").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    target.otherwise(Reply::Raw(200, Vec::new(), "".into()));
    let log = recorded(source.path(), 50);
    std::fs::create_dir(source.path().join("forward")).unwrap();
    std::fs::write(source.path().join("forward/siem"), "40\n").unwrap();
    std::fs::write(source.path().join("forward/rolled-back"), "99\n").unwrap();
    assert_eq!(adopt_cursors(&log, &keys()).unwrap(), [("siem".to_owned(), 40)]);
    assert_eq!(adopt_cursors(&log, &keys()).unwrap(), []);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_https(&target, &authority, Framing::Lines));
    caught_up(&publisher, 50);
    assert_eq!(objects(&target.seen()), expected(40..50));
}
