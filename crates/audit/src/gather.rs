//! The thread that writes what was gathered of a flood of refusals, as its windows end.

use crate::queue::Room;
use crate::refusals::Refusals;
use crate::shared::Shared;
use ironbridge_core::OwnerKey;

/// Until the refusals are closed. What finds no room is put back; at the end it is taken all the same, as no
/// more comes.
pub(crate) fn write_refusals(refusals: &Refusals, shared: &Shared, callers: &OwnerKey) {
    let now = || shared.clock.monotonic();
    while let Some(all) = refusals.ended(now) {
        let room = if refusals.is_closed() { Room::Last } else { Room::Usual };
        for ended in all {
            let Err(denial) = shared.push_within(room, |encoded| encoded.refusals(&ended.gathered, callers))
            else {
                continue;
            };
            if room == Room::Usual {
                refusals.put_back(ended, now());
                continue;
            }
            let (code, count) = (ended.gathered.code(), ended.gathered.count);
            tracing::error!(code, count, %denial, "refusals have no record");
        }
    }
}
