//! What the bridge asks of a transport: the caller's side, the target's side, and how both change under traffic.
//!
//! A reload prepares everything over all transports, and only then puts it into force: first the target's sides of the
//! next snapshot are built, then every caller's side prepares, and when nothing failed, all of them are applied, which
//! cannot fail. What was prepared and is not applied is dropped, and leaves no trace.

mod basis;
mod egress;
mod ingress;
mod preparing;

pub use basis::{Basis, BuildError};
pub use egress::Egress;
pub(crate) use egress::Egresses;
pub use ingress::{Ingress, Prepared};
pub use preparing::Preparing;

use ironbridge_core::TransportFacts;
use ironbridge_manifest::Sections;
use std::sync::Arc;

/// The code that speaks one protocol family. Both of its sides begin empty, and get what the manifest declares with the
/// first load.
pub trait Transport: Send + Sync {
    /// What records and pages say of it.
    fn facts(&self) -> &'static TransportFacts;

    /// As sections of integrations and systems are called, and as records name it: `http`.
    fn name(&self) -> &'static str {
        self.facts().name
    }

    /// These sections of a manifest, and those that it reads itself. The product's are known in any case.
    fn sections(&self, known: Sections) -> Sections {
        known
    }

    /// The caller's side of one bridge.
    fn ingress(&self) -> Box<dyn Ingress>;

    /// The target's side of one bridge, leading nowhere yet.
    fn egress(&self) -> Arc<dyn Egress>;
}
