//! Bytes that nobody may read by accident: credentials, and what is made of them.

use bytes::Bytes;
use std::fmt;
use std::io::{self, Write};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes that are never printed, and are wiped when they are dropped. They grow without leaving copies behind;
/// a clone is a copy that is wiped by itself.
///
/// What a library copies out of [`Sensitive::expose`] or [`Sensitive::into_bytes`] is that library's, and is not wiped.
#[derive(Clone, Default)]
pub struct Sensitive(Vec<u8>);

impl Sensitive {
    /// Takes a `Vec` as it is; copies what is borrowed.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Sensitive {
        Sensitive(bytes.into())
    }

    /// The parts, one behind the other.
    pub fn joined(parts: &[&[u8]]) -> Sensitive {
        let mut whole = Sensitive(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
        parts.iter().for_each(|part| whole.extend(part));
        whole
    }

    /// Puts these bytes behind what is there. Where that has no room, it moves, and is wiped where it was.
    pub fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let room = needed.max(self.0.capacity().saturating_mul(2));
            let mut larger = Sensitive(Vec::with_capacity(room));
            larger.0.extend_from_slice(&self.0);
            *self = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// The bytes themselves. Do not print, log or keep them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The same bytes for a library that takes `Bytes`: shared, never copied, and wiped when the last who has them
    /// drops them.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Exposed(self))
    }
}

/// For libraries that write bit by bit. Cannot fail.
impl Write for Sensitive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Sensitive {
    fn drop(&mut self) {
        // As `Vec`'s own `zeroize`, which writes every byte twice.
        self.0.as_mut_slice().zeroize();
        self.0.spare_capacity_mut().zeroize();
    }
}

impl ZeroizeOnDrop for Sensitive {}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sensitive]")
    }
}

/// Not on [`Sensitive`] itself, where it would expose without saying so.
struct Exposed(Sensitive);

impl AsRef<[u8]> for Exposed {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_wiped<T: ZeroizeOnDrop>() {}

    #[test]
    fn it_is_wiped_and_not_printed() {
        is_wiped::<Sensitive>();
        assert_eq!(format!("{:?}", Sensitive::new("hunter2")), "[sensitive]");
    }

    #[test]
    fn as_bytes_it_is_not_copied() {
        let secret = Sensitive::new("hunter2");
        let place = secret.expose().as_ptr();
        let bytes = secret.into_bytes();
        assert_eq!((bytes.as_ptr(), bytes.clone().as_ptr(), &*bytes), (place, place, &b"hunter2"[..]));
    }

    proptest! {
        #[test]
        fn it_grows_as_a_vector_does(parts: Vec<Vec<u8>>) {
            let mut grown = Sensitive::default();
            parts.iter().for_each(|part| grown.extend(part));
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(grown.expose(), parts.concat());
            let joined = Sensitive::joined(&parts);
            prop_assert_eq!(joined.expose(), parts.concat());
        }
    }
}
