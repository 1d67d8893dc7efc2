//! What targets answer: however it comes in pieces, it is read in one way, and what passes is what came.
#![no_main]

use http::Method;
use ironbridge_net::gate::ReplyGate;
use libfuzzer_sys::fuzz_target;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, ReadBuf};

/// What passes in reads of so many bytes, and whether another request may follow; nothing where it is refused.
fn read(bytes: &[u8], method: &Method, piece: usize) -> Option<(Vec<u8>, bool)> {
    let (gate, expected) = ReplyGate::over(bytes);
    let mut gate = pin!(gate);
    expected.ask(method);
    let mut passed = Vec::new();
    let mut room = vec![0; piece];
    loop {
        let mut buffer = ReadBuf::new(&mut room);
        match gate.as_mut().poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Some((passed, expected.is_at_rest())),
            Poll::Ready(Ok(())) => passed.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(_)) => return None,
            Poll::Pending => panic!("what is in memory is never waited for"),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&chosen, bytes)) = bytes.split_first() else { return };
    let method = if chosen & 1 == 0 { Method::GET } else { Method::HEAD };
    let whole = read(bytes, &method, 1 << 17);
    let pieces = read(bytes, &method, usize::from(chosen >> 1) + 1);
    assert_eq!(whole, pieces);
    if let Some((passed, _)) = whole {
        assert!(bytes.starts_with(&passed));
    }
});
