//! Strict JSON passes a keep list, what is no JSON does not, and what was kept is kept whole the second time. (A
//! number beyond a double's range is no strict JSON, but crosses a keep list as it is written.)
#![no_main]

use bytes::Bytes;
use ironbridge_controls::keep::{Keep, KeepList};
use ironbridge_core::{
    Control as _, Document, Exchange, Flow, Judgement, Payload, Peer, TransportFacts, json,
};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use std::sync::{Arc, LazyLock};

static KEEP: LazyLock<Keep> = LazyLock::new(|| {
    let patterns = ["/id", "/items/*/id", "/items/*/lines/*/a~1b", "/*/x", "/deep/a/b/c", "/"];
    Keep::request(Arc::new(KeepList::compile(patterns).expect("good patterns")))
});

fuzz_target!(|bytes: &[u8]| {
    let kept = keep(bytes);
    if json::parse(bytes).is_ok() {
        assert!(kept.is_some());
    }
    if let Some(kept) = kept.filter(|kept| !kept.is_empty()) {
        assert!(serde_json::from_slice::<IgnoredAny>(bytes).is_ok());
        assert!(serde_json::from_slice::<IgnoredAny>(&kept).is_ok());
        assert_eq!(keep(&kept).as_ref(), Some(&kept));
    }
});

static NONE: TransportFacts = TransportFacts::named("none");

fn keep(body: &[u8]) -> Option<Bytes> {
    let flow = Arc::new(Flow::undeclared(&NONE, 0));
    let mut exchange =
        Exchange::new(Default::default(), Default::default(), Default::default(), flow, Peer::default());
    exchange.request = Payload::Whole(Document::new(Bytes::copy_from_slice(body)));
    let passes = matches!(KEEP.judge(&mut exchange), Judgement::Now(Ok(())));
    passes.then(|| exchange.request.bytes().cloned().unwrap_or_default())
}
