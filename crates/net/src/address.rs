use std::net::IpAddr;

/// Which resolved addresses the bridge may connect to. Checked after resolution, and the connection is then
/// made to the checked address, so a name that resolves differently a moment later changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The operator named the host: private networks are fine, places where no system can be are not.
    Declared,
    /// The host came from outside: only addresses of the public internet.
    Public,
}

impl Policy {
    pub fn allows(self, _address: IpAddr) -> bool {
        todo!()
    }
}
