//! What a manifest says of the audit trail beyond the data directory.

use super::Map;
use crate::findings::finding;
use crate::keys::Read;
use crate::reader::Reader;
use crate::schema::Definitions;
use crate::yaml::Node;
use crate::{
    AccessKeyId, BucketName, Directory, Duration, FilePath, KeyPrefix, LogOrigin, Name, Path, RegionName,
    ServiceAddress, Url, VerifierKey,
};
use crate::{one_of, section, words};
use ironbridge_core::SecretName;
use std::collections::BTreeMap;

section! {
    /// The audit trail beyond the data directory: how long it is kept, where copies go, and who vouches for it.
    pub struct Audit {
        /// How long it is kept. Default: for ever.
        retention: AuditRetention,
        /// Serves the log read-only, as tiles (C2SP tlog-tiles).
        serve: Option<AuditServing>,
        /// Places that get a copy of the log, by name.
        mirrors: Map<Mirror>,
        /// Systems that are told of every record, by name.
        forward: Map<Forward>,
        /// Witnesses that cosign the log's checkpoints (C2SP tlog-witness), by name.
        witnesses: Map<Witness>,
        /// Cosigns the checkpoints of other logs.
        witness: Option<WitnessService>,
    }
}

section! {
    /// How long the audit trail is kept. Nothing is dropped that is not given here.
    pub struct AuditRetention {
        /// Sealed personal detail, at least 1d.
        detail: Option<Duration>,
        /// Records, at least 1d and as long as their detail. Their hashes stay.
        records: Option<Duration>,
    }
}

section! {
    /// Serves the log read-only to everyone who reaches the listener.
    pub struct AuditServing {
        /// The listener that serves it. Default: `api`, or the only one.
        listener: Option<Name>,
        /// The path under which the checkpoint and the tiles are.
        path: Path = "/log",
        /// Whether records are served too, or only their hashes. Records hold no personal detail.
        entries: bool = "true",
    }
}

one_of! {
    /// A place that gets a copy of the log: every tile, entry bundle and checkpoint.
    pub enum Mirror {
        /// A directory, such as a mounted volume that can be written once.
        Directory(Directory) = "directory",
        /// A bucket of an object store that speaks S3.
        S3(S3Bucket) = "s3",
    }
}

section! {
    /// A bucket of an object store that speaks S3.
    pub struct S3Bucket {
        /// The endpoint, without a path.
        url: Url,
        /// The bucket.
        bucket: BucketName,
        /// What the keys of its objects begin with: `bridge-1/`.
        prefix: Option<KeyPrefix>,
        /// The region that requests are signed for.
        region: RegionName,
        /// The id of the access key.
        access_key_id: AccessKeyId,
        /// The secret of the access key.
        secret_access_key: SecretName,
        /// PEM file of the CA that the endpoint's certificate comes from. Default: the system's.
        ca: Option<FilePath>,
    }
}

/// A system that is told of every record.
#[derive(Debug, Clone, PartialEq)]
pub enum Forward {
    /// RFC 5424 over TLS (RFC 5425).
    Syslog {
        /// Who is told.
        receiver: SyslogReceiver,
        /// How a record is written.
        format: RecordFormat,
    },
    /// OpenTelemetry log records in JSON.
    Otlp(HttpReceiver),
    /// `POST` of records over HTTPS; never [`RecordFormat::Cef`].
    Https {
        /// Who is told.
        receiver: HttpReceiver,
        /// How a record is written.
        format: RecordFormat,
    },
}

section! {
    /// A system that is told of every record: exactly one of `syslog`, `otlp` and `https`.
    pub struct Forwarding {
        /// Syslog (RFC 5424) over TLS (RFC 5425).
        syslog: Option<SyslogReceiver>,
        /// OpenTelemetry (OTLP over HTTP, JSON).
        otlp: Option<HttpReceiver>,
        /// HTTPS.
        https: Option<HttpReceiver>,
        /// How a record is written. Default: `json`. OpenTelemetry has a form of its own, and `cef` is for syslog.
        format: Option<RecordFormat>,
    }
}

words! {
    /// How a record is written.
    pub enum RecordFormat {
        /// As the log holds it.
        Json = "json",
        /// Open Cybersecurity Schema Framework.
        Ocsf = "ocsf",
        /// Common Event Format.
        Cef = "cef",
    }
}

section! {
    /// A syslog receiver with TLS.
    pub struct SyslogReceiver {
        /// Host and port; without a port, 6514 (RFC 5425).
        address: ServiceAddress,
        /// PEM file of the CA that its certificate comes from. Default: the system's.
        ca: Option<FilePath>,
    }
}

section! {
    /// A receiver of records over HTTPS.
    pub struct HttpReceiver {
        /// Where records are sent.
        url: Url,
        /// PEM file of the CA that its certificate comes from. Default: the system's.
        ca: Option<FilePath>,
        /// The whole value of the Authorization field: `Bearer …`.
        authorization: Option<SecretName>,
    }
}

section! {
    /// A witness (C2SP tlog-witness): it checks that the log only grew, and cosigns its checkpoint.
    pub struct Witness {
        /// Its submission address; `/add-checkpoint` is appended.
        url: Url,
        /// Its public key.
        key: VerifierKey,
        /// PEM file of the CA that its certificate comes from. Default: the system's.
        ca: Option<FilePath>,
    }
}

section! {
    /// A witness for other logs (C2SP tlog-witness).
    pub struct WitnessService {
        /// The listener that serves it. Default: `api`, or the only one.
        listener: Option<Name>,
        /// The path under which `add-checkpoint` is.
        path: Path = "/witness",
        /// The public keys of the logs it cosigns, by their origin.
        logs: BTreeMap<LogOrigin, VerifierKey>,
    }
}

impl Read for Forward {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Forwarding { syslog, otlp, https, format } = Forwarding::read(node, reader)?;
        let written = format.unwrap_or(RecordFormat::Json);
        let (forward, fits) = match (syslog, otlp, https) {
            (Some(receiver), None, None) => (Forward::Syslog { receiver, format: written }, true),
            (None, Some(receiver), None) => (Forward::Otlp(receiver), format.is_none()),
            (None, None, Some(receiver)) => {
                (Forward::Https { receiver, format: written }, written != RecordFormat::Cef)
            }
            _ => {
                let site = reader.site_of(node);
                let message = "exactly one of `syslog`, `otlp` and `https` is needed here";
                reader.report(&finding::NOT_EXACTLY_ONE, site, message).label("one of the three");
                return None;
            }
        };
        if !fits {
            let site = node.entry("format").map_or(reader.site_of(node), |entry| reader.site(entry.key_span));
            let message = match forward {
                Forward::Otlp(_) => "OpenTelemetry has a form of its own, so `format` has no use",
                _ => "`cef` is written to syslog only",
            };
            reader.report(&finding::CONTRADICTION, site, message).label("does not fit");
            return None;
        }
        Some(forward)
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        Forwarding::schema(definitions)
    }
}
