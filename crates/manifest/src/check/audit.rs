//! That the audit trail can be kept, served, copied and witnessed as it is declared.

use super::{Check, RESERVED_PATHS};
use crate::findings::finding;
use crate::place::{At, Spot};
use crate::range;
use crate::reader::listed;
use crate::{Audit, Bridge, Forward, HttpReceiver, Mirror, Name, Path, Segment};
use std::collections::HashMap;

/// A path of the audit trail on a listener.
struct ServedLog<'c> {
    listener: Name,
    path: &'c Path,
    at: At,
    what: &'static str,
}

impl<'c> Check<'c, '_> {
    pub fn audit(&mut self) {
        let (Some(bridge), Some(spot)) = (&self.parts.bridge, self.outline.bridge()) else { return };
        let (audit, spot) = (&bridge.audit, spot.key("audit"));
        self.audit_retention(audit, spot.key("retention"));
        self.mirrors(bridge, spot.key("mirrors"));
        self.receivers(audit, spot.key("forward"));
        self.witnesses(audit, spot.key("witnesses"));
        if let Some(witness) = audit.witness.as_ref().filter(|witness| witness.logs.is_empty()) {
            let at = spot.key("witness").key("logs").at_key();
            let message = format!("nothing would be cosigned below `{}`", witness.path.0);
            self.report(&finding::KEY_MISSING, at, message, "needs a log with its key");
        }
        self.served_paths(bridge, spot);
    }

    fn audit_retention(&mut self, audit: &Audit, spot: Spot<'_>) {
        let retention = &audit.retention;
        for (range, value) in [(&range::DETAIL, retention.detail), (&range::RECORDS, retention.records)] {
            if let Some(value) = value {
                self.within(spot.key(range.key), value, range);
            }
        }
        if let (Some(detail), Some(records)) = (retention.detail, retention.records)
            && records < detail
        {
            let message = "`detail` would be kept longer than the records that it belongs to";
            self.report(
                &finding::CONTRADICTION,
                spot.key("records").at_value(),
                message,
                "shorter than `detail`",
            );
        }
    }

    fn mirrors(&mut self, bridge: &'c Bridge, spot: Spot<'_>) {
        let mut known = HashMap::new();
        for (name, mirror) in &bridge.audit.mirrors {
            let spot = spot.key(name);
            let (target, at) = match mirror {
                Mirror::Directory(directory) => {
                    let at = spot.key("directory").at_value();
                    if directory.starts_with(&*bridge.data_dir) {
                        let message = "the copy would lie in the data directory, beside what it is a copy of";
                        self.report(&finding::CONTRADICTION, at, message, "not separate");
                    } else if self.reader.is_beside(at.file, directory) {
                        let message = "the copy would lie in the manifest's directory, which is read as a whole with each \
                                       change in it";
                        let report = self.reader.report(&finding::CONTRADICTION, at, message);
                        report
                            .label("not separate")
                            .help("name a directory beside the manifest's: ../mirror");
                    }
                    (directory.display().to_string(), at)
                }
                Mirror::S3(bucket) => {
                    let url = spot.key("s3").key("url");
                    self.secure(&bucket.url, url);
                    if !bucket.url.path.is_empty() {
                        let message = "the endpoint has a path; the bucket is named in `bucket`";
                        self.report(&finding::MALFORMED, url.at_value(), message, "no path may stand here");
                    }
                    let prefix = bucket.prefix.as_deref().unwrap_or_default();
                    let target =
                        format!("{}:{}/{}/{prefix}", bucket.url.host, bucket.url.port, bucket.bucket);
                    (target, spot.key("s3").key("bucket").at_value())
                }
            };
            if let Some(other) = known.insert(target, name) {
                let message = format!("the mirror `{other}` is there already");
                self.report(&finding::CONTRADICTION, at, message, "taken");
            }
        }
    }

    fn receivers(&mut self, audit: &Audit, spot: Spot<'_>) {
        for (name, forward) in &audit.forward {
            let spot = spot.key(name);
            match forward {
                Forward::Syslog { .. } => {}
                Forward::Otlp(receiver) => self.receiver(receiver, spot.key("otlp")),
                Forward::Https { receiver, .. } => self.receiver(receiver, spot.key("https")),
            }
        }
    }

    fn receiver(&mut self, receiver: &HttpReceiver, spot: Spot<'_>) {
        self.secure(&receiver.url, spot.key("url"));
    }

    fn witnesses(&mut self, audit: &Audit, spot: Spot<'_>) {
        let mut known = HashMap::new();
        for (name, witness) in &audit.witnesses {
            let spot = spot.key(name);
            self.secure(&witness.url, spot.key("url"));
            if let Some(other) = known.insert(&witness.key, name) {
                let message = format!("the witness `{other}` has this key already");
                self.report(&finding::CONTRADICTION, spot.key("key").at_value(), message, "taken");
            }
        }
    }

    /// What the audit trail is served under must be nobody else's.
    fn served_paths(&mut self, bridge: &'c Bridge, spot: Spot<'_>) {
        let audit = &bridge.audit;
        let serve = audit.serve.as_ref().map(|serve| (&serve.listener, &serve.path, "serve"));
        let witness = audit.witness.as_ref().map(|witness| (&witness.listener, &witness.path, "witness"));
        let mut served: Vec<ServedLog<'_>> = Vec::new();
        for (listener, path, what) in [serve, witness].into_iter().flatten() {
            let spot = spot.key(what);
            let Some(listener) = self.listener_of(listener.as_ref(), spot.key("listener")) else { continue };
            let at = spot.key("path").at_value();
            if RESERVED_PATHS.iter().any(|reserved| overlap(&literals(&path.0), &literals(reserved))) {
                let message = format!("the bridge itself answers below {}", listed(&RESERVED_PATHS));
                self.report(&finding::PATH_RESERVED, at, message, "reserved");
            }
            let same = |other: &&ServedLog<'_>| {
                other.listener == listener && overlap(&literals(&other.path.0), &literals(&path.0))
            };
            if let Some(other) = served.iter().find(same) {
                let message = format!("`{}` answers there already", other.what);
                let report = self.reader.report(&finding::CONTRADICTION, at, message).label("taken");
                report.also(other.at, "here");
            }
            served.push(ServedLog { listener, path, at, what });
        }
        for served in &served {
            self.operations_below(bridge, served);
        }
    }

    fn operations_below(&mut self, bridge: &Bridge, served: &ServedLog<'_>) {
        for (name, integration) in &self.parts.integrations {
            let Some(flow) = integration.http() else { continue };
            let serves = bridge.listener_of(flow).is_some_and(|(listener, _)| *listener == served.listener);
            let Some(spot) = self.outline.spot(crate::outline::Names::Integrations, name).filter(|_| serves)
            else {
                continue;
            };
            for (name, operation) in &flow.operations {
                let below = operation.route.path.segments.iter().map(|segment| match segment {
                    Segment::Literal(text) => Some(&**text),
                    Segment::Parameter(_) => None,
                });
                let path: Vec<Option<&str>> = literals(&flow.path.0).into_iter().chain(below).collect();
                if covers(&literals(&served.path.0), &path) {
                    let at = spot.key("http").key("operations").key(name).key("match").at_value();
                    let message =
                        format!("`bridge.audit.{}` answers below `{}/`", served.what, served.path.0);
                    let report = self.reader.report(&finding::PATH_RESERVED, at, message).label("reserved");
                    report.also(served.at, "here");
                }
            }
        }
    }
}

/// The segments of a fixed path. `None` would be any text.
fn literals(path: &str) -> Vec<Option<&str>> {
    path.split('/').skip(1).map(Some).collect()
}

/// Whether some path lies below both.
fn overlap(one: &[Option<&str>], other: &[Option<&str>]) -> bool {
    covers(one, other) || covers(other, one)
}

/// Whether the upper path is, or could be, where the lower one begins.
fn covers(upper: &[Option<&str>], lower: &[Option<&str>]) -> bool {
    let alike =
        |(upper, lower): (&Option<&str>, &Option<&str>)| upper.is_none() || lower.is_none() || upper == lower;
    upper.len() <= lower.len() && upper.iter().zip(lower).all(alike)
}
