//! With few file descriptors, connections to targets take none of those that the trail and the store need.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use http::Request;
use ironbridge_net::descriptors;
use ironbridge_net::upstream::{OutBody, Pool, SendError, Settings, Upstream};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;
use tokio::task::LocalSet;

const PORT: &str = "TARGET_PORT";

/// The limit is the process's, so a child has it.
#[test]
fn connections_to_targets_leave_the_last_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            if matches!(stream.read(&mut request), Ok(1..)) {
                // The reply does not end, so that its connection stays taken.
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"));
                held.push(stream);
            }
        }
    });
    let limited = r#"ulimit -n 64 && exec "$0" --exact with_few_descriptors --nocapture"#;
    let child = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .env(PORT, port)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

/// The child's part; does nothing in the parent.
#[test]
fn with_few_descriptors() {
    let Ok(port) = std::env::var(PORT) else { return };
    assert_eq!(descriptors::prepare(), 48);
    let next = u64::try_from(File::open("/dev/null").unwrap().as_raw_fd()).unwrap();
    assert_eq!(descriptors::left().unwrap(), 48 - next);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let settings =
            Settings { danger_plaintext: true, ..Settings::new(format!("http://127.0.0.1:{port}")) };
        let pool = Pool::new(Upstream::new(settings).unwrap());
        let send = || pool.send(Request::builder().uri("/").body(OutBody::Empty).unwrap());
        let mut held = Vec::new();
        let error = loop {
            match send().await {
                Ok(response) => held.push(response),
                Err(error) => break error,
            }
        };
        assert_eq!(error, SendError::NoDescriptor);
        assert!((20..48).contains(&held.len()), "{}", held.len());
        let files: Vec<File> = (0..12).map(|_| File::open("/dev/null").unwrap()).collect();
        // Not even when the reserved ones are used up, by whatever, is it another error.
        let mut more = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            more.push(file);
        }
        assert_eq!(send().await.err(), Some(SendError::NoDescriptor));
        assert!(descriptors::are_spent(&descriptors::left().unwrap_err()));
        drop((files, more));
        assert_eq!(send().await.err(), Some(SendError::NoDescriptor));
        held.truncate(10);
        // A connection closes in its own task.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(send().await.is_ok());
    });
}
