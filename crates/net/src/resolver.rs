//! Asking the system for the addresses of a name. Its resolver cannot be stopped once it was asked, and may take twenty
//! seconds to say that nobody answers: so there is one look-up of a name at a time, on a thread of its own, however many
//! wait for it and however soon they stop waiting. The number of threads is that of names.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// Addresses, or why there are none.
pub(crate) type Found = Result<Arc<[SocketAddr]>, Arc<str>>;

/// What was found, and when.
pub(crate) type Answer = (Instant, Found);

type LookUp = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

pub(crate) struct Resolver {
    look_up: Box<LookUp>,
    asked: Mutex<HashMap<Name, Asked>>,
}

type Name = (Box<str>, u16);

/// A look-up that was begun.
#[derive(Clone)]
pub(crate) struct Asked {
    pub since: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

impl Resolver {
    /// The system's, which everyone shares.
    pub fn system() -> Arc<Resolver> {
        static SYSTEM: OnceLock<Arc<Resolver>> = OnceLock::new();
        let ask = |host: &str, port| Ok((host, port).to_socket_addrs()?.collect());
        Arc::clone(SYSTEM.get_or_init(|| Resolver::of(ask)))
    }

    pub fn of(
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Arc<Resolver> {
        Arc::new(Resolver { look_up: Box::new(look_up), asked: Mutex::default() })
    }

    /// The look-up that is under way, or a new one.
    pub fn ask(self: &Arc<Resolver>, host: &str, port: u16) -> Asked {
        let name = (Box::from(host), port);
        let mut all = self.asked();
        if let Some(asked) = all.get(&name).filter(|asked| asked.is_under_way()) {
            return asked.clone();
        }
        let (tell, answer) = watch::channel(None);
        let asked = Asked { since: Instant::now(), answer };
        let (resolver, of) = (Arc::clone(self), name.clone());
        let look = move || {
            let found = (resolver.look_up)(&of.0, of.1);
            let found = found.map(Arc::from).map_err(|error| Arc::from(error.to_string()));
            // Told before it is no more under way, so that nobody asks again for what is here. Nobody may be waiting.
            let _ = tell.send(Some((Instant::now(), found)));
            resolver.asked().remove(&of);
        };
        let started = std::thread::Builder::new().name("resolver".to_owned()).spawn(look);
        if started.is_ok() {
            all.insert(name, asked.clone());
        }
        asked
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<Name, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    fn is_under_way(&self) -> bool {
        self.answer.has_changed().is_ok()
    }

    /// The answer, if it is there.
    pub fn ready(&self) -> Option<Answer> {
        self.answer.borrow().clone()
    }

    pub async fn answer(mut self) -> Answer {
        match self.answer.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(answer)) => answer.clone(),
            // The thread could not be started, or is gone.
            _ => (Instant::now(), Err("no thread to ask on".into())),
        }
    }
}
