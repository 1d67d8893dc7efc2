//! The order of all controls: the one place that says in which order they run, and what each is called.

use ironbridge_core::{Phase, Row, Side};

/// Makes each line a [`Row`], and of all lines the table.
macro_rules! order {
    ($($row:ident: $id:literal, $side:ident, $phase:ident, $name:literal, $what:literal;)*) => {
        /// Every control of this room in the order in which they run: those of requests before those of replies, then by
        /// phase, and within a phase as listed. Each names its row ([`Control::row`](ironbridge_core::Control::row)), by
        /// which a pipeline sorts it.
        pub static ORDER: &[&Row] = &[$(&$row),*];

        $(pub(crate) static $row: Row = Row {
            place: Place::$row as usize,
            id: $id,
            side: Side::$side,
            phase: Phase::$phase,
            name: $name,
            what: $what,
        };)*

        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Place {
            $($row),*
        }
    };
}

order! {
    ADDRESS_LIST: "B4", Request, Admit, "address list", "the listener hears only listed networks";
    FAILED_AUTHENTICATION: "E4", Request, Admit, "failed-authentication limit", "an address whose attempts to authenticate keep failing has to wait";
    ADDRESS_LIMIT: "E4", Request, Admit, "address limit", "so many exchanges per address and window";
    AUTHENTICATE: "A1, A2, A4, A6", Request, Authenticate, "authenticate", "exactly one accepted credential proves an account";
    AUTHORISE: "B1, B3, B4", Request, Authorise, "authorise", "source, account addresses, permission and scope, denied by default";
    SUSPENDED_TARGET: "A6, C1", Request, Authorise, "suspended target", "nothing goes to a target whose certificate, or accepted danger, has run out";
    ACCOUNT_LIMIT: "E4", Request, Throttle, "account limit", "so many exchanges per account and window";
    OPERATION_LIMIT: "E4", Request, Throttle, "operation limit", "so many exchanges of one operation per window";
    JSON_BODY: "E5", Request, Inspect, "JSON body", "uncompressed strict JSON: no repeated names, at most 64 levels";
    REQUEST_SCHEMA: "E1", Request, Inspect, "request schema", "the request's body fits its JSON Schema";
    RULES: "E2", Request, Inspect, "rules", "every CEL rule of the operation holds";
    REQUEST_SUBJECTS: "F1, F5", Request, Inspect, "request subjects", "whose data the request carries is known, so that the record can say it";
    IDEMPOTENCY_KEY: "E6", Request, Replay, "idempotency key", "a request with the same key acts once and is answered alike";
    REQUEST_KEEP_LIST: "F2", Request, Minimise, "request keep list", "only listed fields reach the target";
    REQUEST_RECORDS: "F1", Request, Minimise, "request records", "the records of data in the request are counted for the audit trail";
    REPLY_SCHEMA: "E1", Reply, Inspect, "reply schema", "the target's answer fits its JSON Schema";
    REPLY_SUBJECTS: "F1, F5", Reply, Inspect, "reply subjects", "whose data the answer carries is known, so that the record can say it";
    REPLY_KEEP_LIST: "F2", Reply, Minimise, "reply keep list", "only listed fields reach the caller";
    REPLY_RECORDS: "F1", Reply, Minimise, "reply records", "the records of data in the answer are counted for the audit trail";
}
