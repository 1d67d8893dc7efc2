//! What the index knows of a block of records, and how it is stored: `docs/audit-index.md` describes the format.
//!
//! The index only says which records may match a query. Each of them is read and judged by itself, so that an
//! index that says too much costs time and nothing else. One that says too little would hide records: therefore
//! every part has a checksum, and every file names the Merkle root of the records it was built from. A file that
//! does not fit is as good as none, and on the bridge's machine so is one that the bridge did not seal.

mod block;
mod builder;
mod file;
mod positions;
mod seal;
mod term;

#[cfg(test)]
pub(crate) use block::encode;
pub(crate) use block::{BLOCKS, Blocks};
pub use builder::{Built, IndexBuilder};
pub(crate) use file::{DIRECTORY, IndexFile, name, put};
pub(crate) use positions::Positions;
pub(crate) use seal::seal;
pub(crate) use term::{Field, Term};
