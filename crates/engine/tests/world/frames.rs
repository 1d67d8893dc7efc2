//! HTTP/2 requests of which every frame is written by hand.

/// One request on stream 1 with fields after its body, behind the connection's preface.
pub fn with_trailers(headers: &[(&str, &str)], body: &[u8], trailers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, 0x4, 0, 0, &[]);
    frame(&mut bytes, 0x1, 0x4, 1, &block(headers));
    frame(&mut bytes, 0x0, 0, 1, body);
    frame(&mut bytes, 0x1, 0x4 | 0x1, 1, &block(trailers));
    bytes
}

pub fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// Literal fields without indexing and with new names (RFC 7541 §6.2.2), each shorter than 127 bytes.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// One request on stream 1 without a body, behind the connection's preface.
pub fn without_body(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, 0x4, 0, 0, &[]);
    frame(&mut bytes, 0x1, 0x4 | 0x1, 1, &block(headers));
    bytes
}
