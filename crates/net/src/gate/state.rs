use ironbridge_core::Code;
use std::sync::Arc;

/// What the gate and the transport of one connection know together.
pub struct GateState {}

impl GateState {
    /// Call exactly once for every request hyper hands to the service, in order (before the first await).
    pub fn arrival(self: &Arc<Self>) -> Arrival {
        todo!()
    }

    /// Why the body of the request in service was cut off, when its framing (or a trailer) was at fault.
    pub fn body_fault(&self) -> Option<&'static Code> {
        todo!()
    }
}

pub enum Arrival {
    /// A request that passed.
    Request(InService),
    /// A request that passed and asks for an upgrade; the gate reads nothing more until it is decided.
    Upgrade(InService, Upgrade),
    /// Not a request: the gate refused what arrived, and hyper sees a stand-in whose method, target and fields
    /// mean nothing. Answer with the code's problem document and `Connection: close`.
    Refused(&'static Code),
}

/// Keep it until the answer has ended: while one lives the connection does not count as idle.
pub struct InService {}

/// The decision on an upgrade. Dropping it declines, and the connection goes on with ordinary requests.
pub struct Upgrade {}

impl Upgrade {
    /// Call before answering 101: from now on bytes pass unread.
    pub fn accept(self) {
        todo!()
    }
}
