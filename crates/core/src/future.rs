//! Futures behind pointers, for traits that are used as objects.

use std::future::Future;
use std::pin::Pin;

/// A future that any thread may go on with.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A future that stays where it was made: an exchange lives on one core.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What is mostly known at once; only what must wait pays for a future.
pub enum Soon<'a, T> {
    /// It is known.
    Now(T),
    /// It must be waited for.
    Later(LocalFuture<'a, T>),
}

impl<T> Soon<'_, T> {
    /// The value, waited for where that is needed.
    pub async fn wait(self) -> T {
        match self {
            Soon::Now(value) => value,
            Soon::Later(value) => value.await,
        }
    }
}
