use crate::Side;
use ironbridge_core::Phase;

/// One line of the control-order table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// The control's id in the catalogue, such as `E4`.
    pub id: &'static str,
    pub side: Side,
    pub phase: Phase,
    /// As [`ironbridge_core::Control::name`] says it.
    pub name: &'static str,
    pub what: &'static str,
}

/// Every control of this room in the order in which they run: requests before replies, then by phase, and within
/// a phase as listed. The pipeline sorts by phase and keeps the given order within one, so the engine hands them
/// over in this order.
pub const ORDER: &[Registered] = &[
    Registered {
        id: "B4",
        side: Side::Request,
        phase: Phase::Admit,
        name: "address list",
        what: "the listener hears only listed networks",
    },
    Registered {
        id: "E4",
        side: Side::Request,
        phase: Phase::Admit,
        name: "failed-authentication limit",
        what: "an address whose attempts to authenticate keep failing has to wait",
    },
    Registered {
        id: "E4",
        side: Side::Request,
        phase: Phase::Admit,
        name: "address limit",
        what: "so many exchanges per address and window",
    },
    Registered {
        id: "A1, A2, A4, A6",
        side: Side::Request,
        phase: Phase::Authenticate,
        name: "authenticate",
        what: "exactly one accepted credential proves an account",
    },
    Registered {
        id: "B1, B3, B4",
        side: Side::Request,
        phase: Phase::Authorise,
        name: "authorise",
        what: "source, account addresses, permission and scope, denied by default",
    },
    Registered {
        id: "A6, C1",
        side: Side::Request,
        phase: Phase::Authorise,
        name: "suspended target",
        what: "nothing goes to a target whose certificate, or accepted danger, has run out",
    },
    Registered {
        id: "E4",
        side: Side::Request,
        phase: Phase::Throttle,
        name: "account limit",
        what: "so many exchanges per account and window",
    },
    Registered {
        id: "E4",
        side: Side::Request,
        phase: Phase::Throttle,
        name: "operation limit",
        what: "so many exchanges of one operation per window",
    },
    Registered {
        id: "E5",
        side: Side::Request,
        phase: Phase::Inspect,
        name: "JSON body",
        what: "uncompressed strict JSON: no repeated names, at most 64 levels",
    },
    Registered {
        id: "E1",
        side: Side::Request,
        phase: Phase::Inspect,
        name: "request schema",
        what: "the request's body fits its JSON Schema",
    },
    Registered {
        id: "E2",
        side: Side::Request,
        phase: Phase::Inspect,
        name: "rules",
        what: "every CEL rule of the operation holds",
    },
    Registered {
        id: "F1, F5",
        side: Side::Request,
        phase: Phase::Inspect,
        name: "request subjects",
        what: "whose data the request carries is known, so that the record can say it",
    },
    Registered {
        id: "E6",
        side: Side::Request,
        phase: Phase::Replay,
        name: "idempotency key",
        what: "a request with the same key acts once and is answered alike",
    },
    Registered {
        id: "F2",
        side: Side::Request,
        phase: Phase::Minimise,
        name: "request keep list",
        what: "only listed fields reach the target",
    },
    Registered {
        id: "F1",
        side: Side::Request,
        phase: Phase::Minimise,
        name: "request records",
        what: "the records of data in the request are counted for the audit trail",
    },
    Registered {
        id: "E1",
        side: Side::Reply,
        phase: Phase::Inspect,
        name: "reply schema",
        what: "the target's answer fits its JSON Schema",
    },
    Registered {
        id: "F1, F5",
        side: Side::Reply,
        phase: Phase::Inspect,
        name: "reply subjects",
        what: "whose data the answer carries is known, so that the record can say it",
    },
    Registered {
        id: "F2",
        side: Side::Reply,
        phase: Phase::Minimise,
        name: "reply keep list",
        what: "only listed fields reach the caller",
    },
    Registered {
        id: "F1",
        side: Side::Reply,
        phase: Phase::Minimise,
        name: "reply records",
        what: "the records of data in the answer are counted for the audit trail",
    },
];
