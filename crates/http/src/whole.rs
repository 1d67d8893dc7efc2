//! A body read to its end.

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use ironbridge_core::memory::Charge;
use ironbridge_core::{Code, Denial};

/// Reads a body to its end, keeping at most `limit` bytes and no more than `charge` may grow to: by the announced
/// length before any of it is read, by what comes otherwise.
pub async fn read_whole<B>(
    body: &mut B,
    limit: u64,
    charge: &mut Charge,
    too_large: &'static Code,
    broken: impl Fn(B::Error) -> Box<Denial>,
) -> Result<Bytes, Box<Denial>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().lower();
    if announced > limit {
        return Err(too_large.into());
    }
    let mut hold = |bytes: usize| charge.grow_to(bytes).map_err(|full| full.denial(too_large));
    hold(usize::try_from(announced).unwrap_or(usize::MAX))?;
    let mut first = Bytes::new();
    let mut rest = Vec::new();
    let mut total = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(&broken)?;
        // Trailers are not part of what was declared, so they do not cross with a body that is read.
        let Ok(data) = frame.into_data() else { continue };
        total = total.saturating_add(data.len());
        if u64::try_from(total).unwrap_or(u64::MAX) > limit {
            return Err(too_large.into());
        }
        // Most bodies arrive in one piece, which then is not copied.
        if total == data.len() {
            hold(total)?;
            first = data;
            continue;
        }
        if rest.capacity() < total {
            // A half more each time, so that no more is held than twice what came.
            let room = (total + total / 2).max(usize::try_from(announced).unwrap_or(0));
            hold(room)?;
            rest.reserve_exact(room - rest.len());
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    if rest.is_empty() {
        return Ok(first);
    }
    rest.shrink_to_fit();
    Ok(rest.into())
}
