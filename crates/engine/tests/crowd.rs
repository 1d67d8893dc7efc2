//! More connections than there is room for: who is refused, who makes room, and who never notices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::Reply;
use socket2::{Domain, Socket, Type};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;
use world::{Declared, World, eventually};

const OPERATIONS: &str = "read: { match: GET /read, permission: orders.read, timeout: 20s }";

fn world(listener: &'static str, bridge: &'static str) -> (World, String) {
    let declared = Declared { operations: OPERATIONS, listener, bridge, ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    (world, format!("X-API-Key: {key}"))
}

/// A connection from an address of this machine that says nothing.
fn connect(world: &World, from: Ipv4Addr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, world.port)).into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    stream
}

fn is_open(mut stream: &TcpStream) -> bool {
    // A timeout of the read is the one sign of life.
    stream.read(&mut [0]).is_err_and(|error| {
        matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
    })
}

fn open(streams: &[TcpStream]) -> usize {
    streams.iter().filter(|stream| is_open(stream)).count()
}

#[test]
fn one_address_gets_its_number_and_others_get_theirs() {
    let (world, key) = world("", "limits: { connections_per_address: 8 }");
    let crowd: Vec<TcpStream> = (0..40).map(|_| connect(&world, Ipv4Addr::new(127, 0, 0, 2))).collect();
    eventually(|| (open(&crowd) == 8).then_some(()));
    for _ in 0..5 {
        assert_eq!(world.curl("/erp/v1/read", &["-H", &key]).unwrap().status, 200);
    }
    assert_eq!(open(&crowd), 8);
    // A reload changes the number; whoever is there stays.
    world.edit(|text| text.replace("connections_per_address: 8", "connections_per_address: 10")).unwrap();
    world.reload().unwrap();
    let more: Vec<TcpStream> = (0..4).map(|_| connect(&world, Ipv4Addr::new(127, 0, 0, 2))).collect();
    eventually(|| (open(&more) == 2).then_some(()));
    assert_eq!(open(&crowd), 8);
}

#[test]
fn a_trusted_proxy_carries_as_many_as_there_is_room_for() {
    let (world, _) = world(", trusted_proxies: [127.0.0.3/32]", "limits: { connections_per_address: 4 }");
    let crowd: Vec<TcpStream> = (0..20).map(|_| connect(&world, Ipv4Addr::new(127, 0, 0, 3))).collect();
    let others: Vec<TcpStream> = (0..20).map(|_| connect(&world, Ipv4Addr::new(127, 0, 0, 4))).collect();
    eventually(|| (open(&others) == 4).then_some(()));
    assert_eq!(open(&crowd), 20);
}

#[test]
fn when_all_places_are_taken_the_idle_make_room_and_calls_under_way_do_not() {
    let (world, key) = world(", max_connections: 12", "");
    // A call whose answer the target withholds.
    world.target.on("GET /read", Reply::Hang);
    let mut pending = Command::new("curl")
        .args(["-q", "-s", "--cacert", world.ca().to_str().unwrap(), "-H", &key, &world.url("/erp/v1/read")])
        .spawn()
        .unwrap();
    eventually(|| (!world.target.seen_on("GET /read").is_empty()).then_some(()));
    world.target.on("GET /read", Reply::Echo);
    let from = |last: u8| Ipv4Addr::new(127, 0, 1, last);
    let crowd: Vec<TcpStream> = (1..=100).map(|last| connect(&world, from(last))).collect();
    for _ in 0..5 {
        assert_eq!(world.curl("/erp/v1/read", &["-H", &key]).unwrap().status, 200);
    }
    // Strangers fill three quarters at most, and the last to come are the ones that are left.
    eventually(|| (open(&crowd) <= 9).then_some(()));
    assert!(is_open(crowd.last().unwrap()) && !is_open(&crowd[0]));
    assert!(pending.try_wait().unwrap().is_none(), "a call under way goes on");
    pending.kill().unwrap();
    pending.wait().unwrap();
}

#[test]
fn who_makes_room_over_http2_is_told_first() {
    let (world, key) = world(", max_connections: 8", "");
    let mut raw = world.raw_http2().unwrap();
    raw.send(world::frames::without_body(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/nowhere"),
    ]));
    eventually(|| kinds(&raw.received()).contains(&HEADERS).then_some(()));
    let _crowd: Vec<TcpStream> =
        (1..=40).map(|last| connect(&world, Ipv4Addr::new(127, 0, 1, last))).collect();
    raw.wait_until_closed();
    assert!(kinds(&raw.received()).contains(&GOAWAY), "{:?}", kinds(&raw.received()));
    assert_eq!(world.curl("/erp/v1/read", &["-H", &key]).unwrap().status, 200);
}

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

/// What the frames are that came.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((&[a, b, c, kind, ..], rest)) = bytes.split_first_chunk::<9>() {
        kinds.push(kind);
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
        bytes = rest.get(length..).unwrap_or_default();
    }
    kinds
}

#[test]
fn a_handshake_has_no_more_time_than_a_header_section() {
    // It used to be ten seconds, whatever was declared: then those would go first that came first.
    let (patient, _) = world("", "timeouts: { header: 5m }");
    let (hasty, _) = world("", "timeouts: { header: 1s }");
    let half = |world: &World| {
        let mut half = connect(world, Ipv4Addr::LOCALHOST);
        // The beginning of a hello, and then nothing.
        std::io::Write::write_all(&mut half, &[22, 3, 1]).unwrap();
        half
    };
    let stay = [half(&patient), connect(&patient, Ipv4Addr::LOCALHOST)];
    let go = [half(&hasty), connect(&hasty, Ipv4Addr::LOCALHOST)];
    eventually(|| (open(&go) == 0).then_some(()));
    assert_eq!(open(&stay), stay.len());
}

/// A caller that is no one's takes no place for good, whatever it leaves lying.
#[test]
fn who_takes_no_answer_and_who_was_refused_make_room() {
    let (world, key) = world(", max_connections: 8", "limits: { connections_per_address: 8 }");
    let callers: Vec<world::Raw> = (0..6)
        .map(|number| {
            if number % 2 == 0 {
                let mut raw = world.raw().unwrap();
                raw.send("GET / HTTP/9\r\n\r\n");
                eventually(|| raw.received().starts_with(b"HTTP/1.1 ").then_some(()));
                return raw;
            }
            let mut raw = world.raw_http2().unwrap();
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            // SETTINGS_INITIAL_WINDOW_SIZE 0: no byte of a body may come.
            world::frames::frame(&mut bytes, 4, 0, 0, &[0, 4, 0, 0, 0, 0]);
            let fields = [
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", "localhost"),
                (":path", "/erp/v1/read"),
            ];
            world::frames::frame(&mut bytes, 1, 5, 1, &world::frames::block(&fields));
            raw.send(bytes);
            eventually(|| kinds(&raw.received()).contains(&HEADERS).then_some(()));
            raw
        })
        .collect();
    let _crowd: Vec<TcpStream> =
        (1..=40).map(|last| connect(&world, Ipv4Addr::new(127, 0, 1, last))).collect();
    for raw in &callers {
        raw.wait_until_closed();
    }
    assert_eq!(world.curl("/erp/v1/read", &["-H", &key]).unwrap().status, 200);
}
