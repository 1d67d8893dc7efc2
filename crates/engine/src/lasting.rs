//! Upkeep fails again each second for as long as what it needs is gone. That is said once, and when it is over.

use std::fmt::Display;

/// One thing that is done again and again.
#[derive(Default)]
pub(crate) struct Lasting {
    said: Option<String>,
}

impl Lasting {
    /// Whether this has to be said: it is the first time, or another reason.
    pub fn fails(&mut self, reason: &impl Display) -> bool {
        let reason = reason.to_string();
        let is_new = self.said.as_ref() != Some(&reason);
        self.said = Some(reason);
        is_new
    }

    /// Whether it has to be said that it works again.
    pub fn works(&mut self) -> bool {
        self.said.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_that_lasts_is_said_once() {
        let mut lasting = Lasting::default();
        assert!(!lasting.works());
        for (reason, said) in [("locked", true), ("locked", false), ("full", true), ("full", false)] {
            assert_eq!(lasting.fails(&reason), said, "{reason}");
        }
        assert!(lasting.works() && !lasting.works() && lasting.fails(&"full"));
    }
}
