//! Syslog messages (RFC 5424) over TLS with octet counting (RFC 5425).
//!
//! Syslog has no acknowledgement. What was written may be lost with the connection, so the last batch is written
//! again on the next one.

use super::outlet::{Outgoing, Outlet, Rejected};
use crate::moment;
use crate::trouble::Trouble;
use ironbridge_audit::export::visible;
use ironbridge_core::BoxFuture;
use ironbridge_net::session::{Dialer, Session};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// To connect, and then to write a batch.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Facility 13, log audit (RFC 5424 §6.2.1).
const FACILITY: u8 = 13;

/// The enterprise number that IANA sets aside for examples (RFC 5612): Ironbridge has none of its own.
const SD_ID: &str = "ironbridge@32473";

pub(super) struct Syslog {
    dialer: Dialer,
    hostname: String,
    process: u32,
    session: Option<Session>,
    /// The frames written last: nobody said that they arrived.
    unsure: Vec<u8>,
}

impl Syslog {
    pub fn new(dialer: Dialer, hostname: &str) -> Syslog {
        let hostname = header_word(hostname, 255);
        Syslog { dialer, hostname, process: std::process::id(), session: None, unsure: Vec::new() }
    }

    async fn write(&mut self, frames: Vec<u8>) -> Result<(), Trouble> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let mut session = self.dialer.connect(TIMEOUT).await.map_err(Trouble::new)?;
                write_out(&mut session, &self.unsure).await?;
                session
            }
        };
        if is_closed(&mut session).await {
            return Err(Trouble::new("the collector closed the connection"));
        }
        write_out(&mut session, &frames).await?;
        self.session = Some(session);
        self.unsure = frames;
        Ok(())
    }
}

impl Outlet for Syslog {
    fn send<'a>(&'a mut self, records: &'a [Outgoing]) -> BoxFuture<'a, Result<Rejected, Trouble>> {
        let mut frames = Vec::new();
        for record in records {
            let message = message(&self.hostname, self.process, record);
            frames.extend_from_slice(message.len().to_string().as_bytes());
            frames.push(b' ');
            frames.extend_from_slice(message.as_bytes());
        }
        Box::pin(async move {
            self.write(frames).await?;
            Ok(Rejected::default())
        })
    }
}

async fn write_out(session: &mut Session, bytes: &[u8]) -> Result<(), Trouble> {
    let write = async {
        session.write_all(bytes).await?;
        session.flush().await
    };
    match tokio::time::timeout(TIMEOUT, write).await {
        Ok(outcome) => outcome.map_err(Trouble::new),
        Err(_) => Err(Trouble::new("the collector reads too slowly")),
    }
}

/// Whether the other end has gone. It never sends anything but its farewell.
async fn is_closed(session: &mut Session) -> bool {
    let mut byte = [0];
    tokio::select! {
        biased;
        _ = session.read(&mut byte) => true,
        () = std::future::ready(()) => false,
    }
}

/// One message without its frame.
fn message(hostname: &str, process: u32, record: &Outgoing) -> String {
    let entry = &record.stored.entry;
    let priority = FACILITY * 8 + severity(&entry.outcome);
    let time = moment::rfc3339(entry.time);
    let kind = if entry.action.is_empty() { "exchange" } else { "action" };
    let mut data = format!("[{SD_ID} index=\"{}\"", record.stored.index);
    let facts = [
        ("id", &entry.id),
        ("action", &entry.action),
        ("integration", &entry.integration),
        ("account", &entry.account),
        ("outcome", &entry.outcome),
        ("code", &entry.code),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a String does not fail.
        let _ = write!(data, " {name}=\"{}\"", parameter(value));
    }
    // Nothing of it may reach a terminal as a command, or break a line at the other end.
    let text = String::from_utf8_lossy(&record.text);
    let text = visible(&text);
    // The byte order mark says that the text is UTF-8 (RFC 5424 §6.4).
    format!("<{priority}>1 {time} {hostname} ironbridge {process} {kind} {data}] \u{feff}{text}")
}

/// Informational, notice, warning, error.
fn severity(outcome: &str) -> u8 {
    match outcome {
        "failed" => 3,
        "denied" => 4,
        "partial" => 5,
        _ => 6,
    }
}

/// Printable ASCII without spaces (RFC 5424 §6), or `-` where nothing is left.
fn header_word(text: &str, longest: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// A parameter's value (RFC 5424 §6.3.3).
fn parameter(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in visible(value).chars() {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironbridge_audit::{Entry, Stored};
    use proptest::prelude::*;

    fn outgoing(account: &str, outcome: &str, text: &str) -> Outgoing {
        let leaf = serde_json::json!({
            "v": 1, "id": "0", "time": "2026-05-28T20:26:40.123456Z", "generation": 1, "account": account,
            "outcome": outcome, "code": "rate-limited",
        });
        let json = leaf.to_string();
        let entry = Entry::parse(json.as_bytes()).unwrap();
        let stored = Stored { index: 7, json, entry, details: Vec::new() };
        Outgoing { stored, text: text.as_bytes().to_vec() }
    }

    #[test]
    fn a_known_message() {
        let record = outgoing("a\"]\\", "denied", "one\ntwo\u{1b}[0m");
        assert_eq!(
            message("bridge.example", 42, &record),
            "<108>1 2026-05-28T20:26:40.123456Z bridge.example ironbridge 42 exchange [ironbridge@32473 \
             index=\"7\" id=\"0\" account=\"a\\\"\\]\\\\\" outcome=\"denied\" code=\"rate-limited\"] \
             \u{feff}one\u{240a}two\u{241b}[0m"
        );
        assert_eq!(header_word("a b\tc\u{fc}", 255), "abc");
        assert_eq!(header_word(" \n", 255), "-");
    }

    proptest! {
        #[test]
        fn nothing_breaks_out(account in "\\PC{0,20}|[\"\\]\\\\\n\r\0]{0,9}", text: String) {
            let message = message("h", 1, &outgoing(&account, "success", &text));
            prop_assert!(!message.chars().any(char::is_control));
            let (_, data) = message.split_once("account=\"").unwrap_or_default();
            let mut escaped = false;
            let end = data.chars().position(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let value: String = data.chars().take(end.unwrap_or(0)).collect();
            prop_assert_eq!(value, parameter(&account));
        }
    }
}
