//! What a log's notes say.

use crate::hash::{base64, sha256, unbase64};

/// The head of a log (c2sp.org/tlog-checkpoint): the text of a note that the log's keys sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the log, everywhere and for ever.
    pub origin: String,
    /// How many entries the tree holds.
    pub size: u64,
    /// Merkle tree hash over the entries (RFC 9162 §2.1.1).
    pub root: [u8; 32],
}

impl Checkpoint {
    /// The head of the tree without entries.
    pub fn empty(origin: &str) -> Checkpoint {
        Checkpoint { origin: origin.to_owned(), size: 0, root: sha256(&[]) }
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64(&self.root))
    }

    /// Reads a note's text. Lines after the third are extensions and passed over.
    pub fn parse(text: &str) -> Option<Checkpoint> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty())?;
        let digits = lines.next()?;
        let size: u64 = digits.parse().ok()?;
        // One form only: no sign, no leading zero.
        if size.to_string() != digits {
            return None;
        }
        let root = unbase64(lines.next()?)?.try_into().ok()?;
        lines.all(|extension| !extension.is_empty()).then(|| Checkpoint {
            origin: origin.to_owned(),
            size,
            root,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_empty_log() {
        let text = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
        assert_eq!(Checkpoint::empty("example.com/log").text(), text);
        assert_eq!(Checkpoint::parse(text), Some(Checkpoint::empty("example.com/log")));
    }

    #[test]
    fn malformed_checkpoints_are_not_read() {
        let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        for text in [
            String::new(),
            "\n".into(),
            format!("\n0\n{root}\n"),
            format!("log\n00\n{root}\n"),
            format!("log\n+1\n{root}\n"),
            format!("log\n-1\n{root}\n"),
            format!("log\n18446744073709551616\n{root}\n"),
            format!("log\n1\n{root}"),
            format!("log\n1\n{}\n", &root[..40]),
            "log\n1\n".into(),
            format!("log\n1\n{root}\n\n"),
            format!("log\n1\n{root}\na\n\nb\n"),
        ] {
            assert_eq!(Checkpoint::parse(&text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn texts_read_back(origin in "[a-z./-]{1,40}", size: u64, root: [u8; 32]) {
            let checkpoint = Checkpoint { origin, size, root };
            prop_assert_eq!(Checkpoint::parse(&checkpoint.text()), Some(checkpoint));
        }
    }
}
