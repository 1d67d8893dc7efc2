//! The words that records hold besides the codes of refusals: one catalogue for whoever writes a record, searches
//! for one, or explains what stands there.

/// A word with its page.
#[derive(Debug, PartialEq, Eq)]
pub struct Word {
    /// As records hold it; never changed once released.
    pub id: &'static str,
    /// The member of a record that holds it.
    pub member: &'static str,
    /// A few words, the page's head.
    pub title: &'static str,
    /// What a record says with it.
    pub meaning: &'static str,
    /// What to do about it, if anything.
    pub mend: &'static str,
}

macro_rules! words {
    ($($name:ident = $id:literal in $member:literal, $title:literal, $meaning:literal, $mend:literal;)*) => {
        /// Each word by name.
        pub mod word {
            use super::Word;
            $(
                #[doc = concat!("`", $id, "`: ", $title, ".")]
                pub static $name: Word = Word {
                    id: $id,
                    member: $member,
                    title: $title,
                    meaning: $meaning,
                    mend: $mend,
                };
            )*
        }

        /// The whole catalogue.
        pub fn all() -> &'static [&'static Word] {
            static ALL: &[&Word] = &[$(&word::$name),*];
            ALL
        }
    };
}

words! {
    SUCCESS = "success" in "outcome", "It went through",
        "An exchange whose answer reached the caller in full, or an action that was done. An answer with which the target declined the request (4xx) crossed too: its code is target-declined. What else the answer says, such as a part (206) or several outcomes in one body (207), changes nothing of it.",
        "Nothing.";
    ACCEPTED = "accepted" in "outcome", "It was taken over",
        "The exchange passed its controls, and the bridge took it over to deliver it later. Nothing had reached the target by then; a record of its own, of the same integration and operation, says how the delivery ended.",
        "Nothing.";
    PARTIAL = "partial" in "outcome", "It went through in part",
        "The target answered, and the answer ended on its way to the caller. The code is broken-off where the caller was gone; otherwise it says why the bridge ended it: target-broke-off, stream-idle, answer-untaken, drain-over, reply-too-large, reply-holds-credential, or with what the caller of a stream or a WebSocket would be refused by now, because its credential expired or was revoked (api-key-revoked) or a reload took something away (permission-missing, operation-unknown).",
        "Explain the code: `ironbridge explain CODE`.";
    DENIED = "denied" in "outcome", "A control refused it",
        "Nothing reached the target. The code says why; refused by names the rule or the place in the schema, where it was one of yours.",
        "Explain the code: `ironbridge explain CODE`.";
    FAILED = "failed" in "outcome", "It was allowed, and failed",
        "An exchange that passed the controls and failed at the target, at the bridge, or because the caller went away; or an action that could not be done. An exchange may have reached the target.",
        "Explain the code: `ironbridge explain CODE`. Where the bridge, the target or the operator is at fault, the bridge's log has a line with the same id, for the first 20 of a kind in a minute.";

    DELIVERED = "delivered" in "code", "The target answered, and the answer crossed",
        "The request passed every control, and the caller got the target's status and all that may cross of its answer. The status may be a redirection or a part (206), which the record's status says.",
        "Nothing.";
    LAID_DOWN = "laid-down" in "code", "It waits for its delivery",
        "The bridge has accepted the exchange and laid it down, where it outlasts the caller's connection. What permits it is judged again when it is delivered, and that has a record of its own.",
        "Nothing.";
    REPLAYED = "replayed" in "code", "A stored answer was given again",
        "The request repeated an Idempotency-Key, and the answer to the first request with it was given again, with Idempotency-Replayed: true. Nothing reached the target.",
        "Nothing. A fresh key makes a fresh request.";
    BROKEN_OFF = "broken-off" in "code", "The answer broke off on its way",
        "The target's answer had begun to cross, or a WebSocket was open, and it did not end well: the caller went away, or a WebSocket's connection broke on either side. What the target or the bridge ended has a code of its own: see partial. The caller may have gone while the bridge still read the answer. bytes out says how much crossed; records is unknown. Of such an exchange there may be an earlier record, which this one amends.",
        "Compare bytes out and duration with what the caller waits for: its own time limit is the usual reason.";
    CALLER_GONE = "caller-gone" in "code", "The caller went away before the answer",
        "The caller closed its connection, or cancelled its HTTP/2 stream, before the target had answered. Over HTTP/2 also a request whose body is not as long as its content-length says (RFC 9113 §8.1.1): its stream is reset, which the bridge cannot tell from a caller that cancels. The record has no status, because nobody was there to be told. If bytes in is more than 0, or the operation takes no body, the target may have acted.",
        "Usually the caller's own time limit is shorter than the target needs: compare the record's duration with it, and with timeout at the flow. Writes are repeated safely with replay.idempotency_key.";

    DONE = "done" in "code of an action", "The action was done",
        "What the action's name says has happened.",
        "Nothing.";
    MANIFEST_INVALID = "manifest-invalid" in "code of an action", "The manifest has errors",
        "The manifest was read again and has errors, so the one before stays in force.",
        "Run `ironbridge check`, mend what it shows, and save: the bridge reads it again by itself.";
    NEEDS_RESTART = "needs-restart" in "code of an action", "Only a restart changes this",
        "The new manifest changes what a running bridge cannot: its name, public_url, data_dir or workers. The one before stays in force.",
        "Restart the bridge, or take that change back.";
    NOT_STARTED = "not-started" in "code of an action", "The new manifest could not be put in force",
        "The manifest is sound, and something that it needs was not to be had: an address to listen on, a file, a secret. The one before stays in force.",
        "The bridge's log says what was missing. Mend it and save the manifest, or send SIGHUP.";
    ROW_ALTERED = "row-altered" in "code of an action", "Another hand wrote to the store",
        "A row of the bridge's store was put there, changed, put back or removed by something other than the bridge and its commands. It does not count: such a credential opens nothing, and such an action is not repeated.",
        "Find out who can write to the data directory. Issue or set anew what the record's object names.";
    ROW_REMOVED = "row-removed" in "code of an action", "Another hand removed an action",
        "An action that waited for its record was taken out of the bridge's store by something other than the bridge. The record stands under the id that the action would have had; what it was is not known.",
        "Find out who can write to the data directory.";

    INVALID_REQUEST = "invalid_request" in "code of an action", "Token request malformed",
        "The request to the token endpoint is no form, lacks grant_type, repeats a member, or names its client in two ways (RFC 6749 §5.2).",
        "Send POST with Content-Type: application/x-www-form-urlencoded and grant_type=client_credentials, and the client's credentials in one place.";
    INVALID_CLIENT = "invalid_client" in "code of an action", "Client not authenticated",
        "The client is unknown here, its secret is wrong, expired or revoked, or it sent none (RFC 6749 §5.2).",
        "Check client id (the account's name) and secret. `ironbridge key list` shows which are live; `ironbridge key issue ACCOUNT --kind client-secret` gives a new one.";
    INVALID_SCOPE = "invalid_scope" in "code of an action", "Scope not held",
        "The token request asks for a permission that the account's roles do not hold (RFC 6749 §5.2).",
        "Ask for less, leave scope out to get all that the roles hold, or add the permission to a role.";
    INVALID_TARGET = "invalid_target" in "code of an action", "Token for something else",
        "The token request names a resource that is not this bridge (RFC 8707 §2).",
        "Leave resource out, or send the bridge's public_url.";
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type" in "code of an action", "Grant not given here",
        "The token endpoint gives tokens for client credentials only (RFC 6749 §4.4, §5.2).",
        "Send grant_type=client_credentials.";
    SERVER_ERROR = "server_error" in "code of an action", "The token could not be made",
        "The token endpoint could not sign a token (RFC 6749 §4.1.2.1).",
        "Try again. The bridge's log has a line that says what failed.";

    NONE = "none" in "direction", "No body crossed",
        "Neither the request nor the answer had a body that crossed.",
        "Nothing.";
    TO_TARGET = "to_target" in "direction", "A body went to the target",
        "The request had a body, and no body came back.",
        "Nothing.";
    TO_SOURCE = "to_source" in "direction", "A body went to the caller",
        "The request had no body, and the answer had one.",
        "Nothing.";
    BOTH = "both" in "direction", "Bodies went both ways",
        "The request had a body, and so had the answer.",
        "Nothing.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answered, Ending, Outcome, Said, all_codes, code};

    #[test]
    fn every_word_is_unique_and_complete() {
        let mut seen: std::collections::HashSet<&str> = all_codes().iter().map(|code| code.id).collect();
        for word in all() {
            assert!(seen.insert(word.id), "{} twice", word.id);
            for text in [word.meaning, word.mend] {
                assert!(text.ends_with('.'), "{}: {text}", word.id);
            }
        }
    }

    #[test]
    fn every_ending_and_outcome_has_a_page() {
        let known = |id: &str, member: &str| all().iter().any(|word| word.id == id && word.member == member);
        for said in [Said::Done, Said::Declined, Said::Untaken] {
            let answered = Answered { mark: None, said };
            for ending in [
                Ending::Accepted,
                Ending::Delivered(answered),
                Ending::Replayed(answered),
                Ending::Partial(answered),
                Ending::Abandoned { sent: true },
                Ending::Denied(&code::INTERNAL),
                Ending::Failed(&code::INTERNAL),
            ] {
                let is_refusal = all_codes().iter().any(|code| code.id == ending.code());
                assert!(is_refusal || known(ending.code(), "code"), "{ending:?}");
            }
        }
        let outcomes =
            [Outcome::Success, Outcome::Accepted, Outcome::Partial, Outcome::Denied, Outcome::Failed];
        for outcome in outcomes {
            assert!(known(outcome.name(), "outcome"), "{outcome:?}");
        }
    }
}
