pub use std::time::Duration;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// How many in which time: `1000/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// At least 1.
    pub count: u64,
    /// One second, minute, hour or day.
    pub per: Duration,
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Number<MIN, MAX> {
    /// The number, if it is in the range.
    pub fn new(number: u32) -> Option<Self> {
        (MIN..=MAX).contains(&number).then_some(Number(number))
    }

    pub const fn value(self) -> u32 {
        self.0
    }
}

/// At least one; in a manifest also a single value without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMore<T>(Vec<T>);

impl<T> std::ops::Deref for OneOrMore<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}
