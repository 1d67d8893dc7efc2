//! Why something did not get out.

use ironbridge_audit::export::visible;
use std::fmt;
use std::time::Duration;

/// What a destination's own words may add to a reason, in characters.
const LONGEST_REASON: usize = 300;

/// Why something did not get out, for the operator. Everything is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    reason: String,
    /// The destination is reached, and what it has contradicts this log: no trying again mends that. In what way, without
    /// numbers that move.
    pub finding: Option<String>,
    /// How long the destination wants to be left alone.
    pub wait: Option<Duration>,
    /// The destination takes no batch so large (HTTP 413).
    pub too_large: bool,
}

impl Trouble {
    /// Parts of the reason may come from the destination: it is cut, and no terminal obeys it.
    pub fn new(reason: impl fmt::Display) -> Trouble {
        let reason: String = reason.to_string().chars().take(LONGEST_REASON).collect();
        let reason = visible(&reason).into_owned();
        Trouble { reason, finding: None, wait: None, too_large: false }
    }

    /// What it has contradicts this log, in a way that is told once, whatever sizes grow meanwhile.
    pub fn finding(way: impl Into<String>, what: impl fmt::Display) -> Trouble {
        Trouble { finding: Some(way.into()), ..Trouble::new(what) }
    }

    /// An answer that is not a success.
    pub fn answered(status: u16, retry_after: Option<u64>, words: &[u8]) -> Trouble {
        let words = String::from_utf8_lossy(words);
        let words = words.trim();
        let reason = if words.is_empty() {
            format!("it answered {status}")
        } else {
            format!("it answered {status}: {words}")
        };
        let wait = retry_after.map(Duration::from_secs);
        Trouble { wait, too_large: status == 413, ..Trouble::new(reason) }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destinations_words_are_cut_and_harmless() {
        let trouble = Trouble::answered(503, Some(7), b"  try\x1b[31m later\n ");
        assert_eq!(trouble.to_string(), "it answered 503: try\u{241b}[31m later");
        assert_eq!(trouble.wait, Some(Duration::from_secs(7)));
        assert_eq!(Trouble::answered(500, None, &[b'x'; 5000]).to_string().len(), LONGEST_REASON);
    }
}
