//! A target over plain HTTP/1.1 whose answers a test writes byte for byte.

use super::eventually;
use parking_lot::Mutex;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

pub struct PlainTarget {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    reply: Vec<u8>,
    seen: Vec<String>,
    /// The connection ends with the reply.
    closes: bool,
}

impl PlainTarget {
    pub fn start() -> PlainTarget {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        PlainTarget { port, state }
    }

    /// The keys of a system that reaches it: `url` and what allows it, and `more`.
    pub fn http(&self, more: &str) -> String {
        let plain = format!("danger_plaintext: {{ reason: a test, expires: {} }}", super::expires_soon());
        format!("url: \"http://127.0.0.1:{}\", {plain}{more}", self.port)
    }

    /// From now on every request gets this.
    pub fn answer(&self, reply: impl AsRef<[u8]>) -> &PlainTarget {
        let mut state = self.state.lock();
        state.reply = reply.as_ref().to_vec();
        state.seen.clear();
        state.closes = false;
        self
    }

    /// The same, and then the connection closes.
    pub fn answer_and_close(&self, reply: impl AsRef<[u8]>) -> &PlainTarget {
        self.answer(reply).state.lock().closes = true;
        self
    }

    /// The first request since then, in lower case.
    pub fn seen(&self) -> String {
        eventually(|| self.state.lock().seen.first().cloned())
    }

    pub fn saw_nothing(&self) -> bool {
        self.state.lock().seen.is_empty()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    while let Some(request) = read(&mut stream) {
        let (reply, closes) = {
            let mut state = state.lock();
            state.seen.push(request);
            (state.reply.clone(), state.closes)
        };
        if stream.write_all(&reply).is_err() || closes {
            return;
        }
    }
}

/// A head, and a chunked body or one of known length with it.
fn read(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    let mut rest: Option<usize> = None;
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let head = text.find("\r\n\r\n").map(|end| end + 4);
        if let Some(head) = head {
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let whole = match (text.contains("transfer-encoding: chunked"), length) {
                (true, _) => {
                    text[head..].contains("0\r\n") && text.ends_with("\r\n\r\n") && text.len() > head
                }
                (false, Some(length)) => {
                    bytes.len() >= *rest.get_or_insert(head + length.parse::<usize>().ok()?)
                }
                (false, None) => true,
            };
            if whole {
                return Some(text);
            }
        }
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
}
