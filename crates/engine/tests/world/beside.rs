//! A bridge with a further system beside its target, whose replies a test writes byte for byte.

use super::{Declared, PlainTarget, World, system};
use std::io::Write;
use std::process::{Child, Command, Stdio};

pub struct Beside {
    pub world: World,
    /// Of the account `order-service`.
    pub key: String,
    pub target: PlainTarget,
}

impl Beside {
    /// The further system is mounted at its name.
    pub fn new(declared: &Declared, name: &str, operations: &str) -> Beside {
        let target = PlainTarget::start();
        let (world, key) = World::with_key(declared, |dir, _| {
            let text = system(name, &target.http(""), operations);
            Ok(std::fs::write(dir.join(format!("{name}.yaml")), text)?)
        })
        .unwrap();
        Beside { world, key, target }
    }

    /// A caller that asks for more than it takes: nothing of it is read after the request.
    pub fn takes_nothing(&self, path: &str, fields: &str) -> TakesNothing {
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", "-ign_eof", "-servername", "localhost", "-alpn", "http/1.1"])
            .args(["-connect", &format!("localhost:{}", self.world.port), "-CAfile"])
            .arg(self.world.ca())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n{fields}\r\n", self.key);
        child.stdin.as_mut().unwrap().write_all(request.as_bytes()).unwrap();
        TakesNothing(child)
    }
}

/// Stays as long as it is kept.
#[must_use]
pub struct TakesNothing(Child);

impl Drop for TakesNothing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// More than every buffer on the way holds.
pub fn long_answer() -> Vec<u8> {
    let mut answer =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 60000000\r\n\r\n".to_vec();
    answer.resize(answer.len() + 60_000_000, b'x');
    answer
}
