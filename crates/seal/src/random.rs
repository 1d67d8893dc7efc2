//! Random bytes fit for keys.

use ironbridge_core::Entropy;

/// The operating system's randomness, through AWS-LC's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Entropy for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        if aws_lc_rs::rand::fill(buffer).is_err() {
            // AWS-LC stops the process itself when the system has no entropy. Should it ever report that
            // instead, going on with predictable keys would be the worse ending.
            std::process::abort();
        }
    }
}

/// `N` fresh random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut buffer = [0; N];
    SystemRandom.fill(&mut buffer);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(bytes::<16>(), bytes::<16>());
    }
}
