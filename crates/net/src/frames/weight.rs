//! By what frames are counted.

/// A compressed header section above this is refused for its size by whoever gets to see it.
pub(super) const LARGE: u64 = 16 * 1024;

/// Bytes that a caller's requests moved and that pay for one frame that carries nothing.
pub(super) const BYTES_FOR_ONE: u64 = 1024;

/// Bytes by which h2 counts a DATA frame that waits, less its payload (its `DEFAULT_DATA_FRAME_OVERHEAD_THRESHOLD`). It
/// ends a connection at half of the connection's window, 512 KiB.
pub(super) const WAITING: u64 = 256;
