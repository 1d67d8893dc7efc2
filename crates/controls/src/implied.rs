//! Controls that nobody declares, because they follow from others.

use crate::body::JsonBody;
use crate::count::Count;
use crate::order;
use ironbridge_core::{Control, Reading, Reads, Side};
use std::sync::Arc;

/// What an operation that has these controls needs besides: strict JSON where one of them reads the request as JSON, and a
/// count of the records in each body that is held whole, where none of them counts.
pub fn implied(controls: &[Arc<dyn Control>]) -> Vec<Arc<dyn Control>> {
    let reads = controls.iter().map(|control| control.reads()).fold(Reads::NOTHING, Reads::and);
    let has = |rows: [&_; 2]| controls.iter().any(|control| rows.contains(&control.row()));
    let mut implied: Vec<Arc<dyn Control>> = Vec::new();
    if reads.request == Reading::Json {
        implied.push(Arc::new(JsonBody));
    }
    for (side, count, counting) in [
        (Side::Request, Count::request as fn(_) -> _, [&order::REQUEST_KEEP_LIST, &order::REQUEST_RECORDS]),
        (Side::Reply, Count::reply, [&order::REPLY_KEEP_LIST, &order::REPLY_RECORDS]),
    ] {
        if reads.on(side).is_whole() && !has(counting) {
            implied.push(Arc::new(count(None)));
        }
    }
    implied
}
