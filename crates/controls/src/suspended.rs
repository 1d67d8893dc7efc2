//! May anything go to this target now? (A6, C1)

use crate::order;
use ironbridge_core::{Control, Denial, Exchange, Judgement, Row, code};
use std::sync::Arc;

/// Refuses every exchange with `target-suspended`, where what the operation's target needs has run out: a certificate, or
/// a danger that was accepted until a day. There only where it is so; whoever may not call learns nothing of it.
#[derive(Debug, Clone)]
pub struct Suspended {
    why: Arc<str>,
}

impl Suspended {
    /// `why` is for the operator.
    pub fn new(why: Arc<str>) -> Suspended {
        Suspended { why }
    }
}

impl Control for Suspended {
    fn row(&self) -> &'static Row {
        &order::SUSPENDED_TARGET
    }

    fn judge<'a>(&'a self, _: &'a mut Exchange) -> Judgement<'a> {
        Judgement::deny(Denial::new(&code::TARGET_SUSPENDED).internal(&*self.why))
    }
}
