//! A chunked body, judged byte by byte where it is not data (RFC 9112 §7.1).

use super::Limits;
use super::head::split_field;
use ironbridge_core::{Code, code, fields};

/// Hexadecimal digits of a chunk size: 16 always fit in 64 bits.
const SIZE_DIGITS: u8 = 16;

/// Bytes of chunk extensions in one body. Nobody uses them; RFC 9112 §7.1.1 asks to ignore and to bound them.
const EXTENSIONS: usize = 1024;

#[derive(Debug)]
pub(super) struct Chunked {
    at: At,
    from: From,
    extensions: usize,
    /// The trailer line so far, and what the trailers before it came to.
    line: Vec<u8>,
    trailer_bytes: usize,
    trailer_fields: usize,
}

/// Whose body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Caller,
    /// Trailers that may not be are left out of a reply later on; it is not refused for them.
    Target,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Size {
        digits: u8,
        size: u64,
    },
    Extension(u64),
    /// After the CR of a size line.
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    Trailers,
}

#[derive(Debug, PartialEq)]
pub(super) enum Progress {
    More,
    /// The body ended after so many bytes.
    Done(usize),
    Fault(&'static Code),
}

impl Chunked {
    pub fn new(from: From) -> Chunked {
        Chunked { at: FIRST, from, extensions: 0, line: Vec::new(), trailer_bytes: 0, trailer_fields: 0 }
    }

    pub fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Progress {
        let mut position = 0;
        while let Some(byte) = bytes.get(position).copied() {
            if let At::Data(left) = self.at {
                let here = bytes.len() - position;
                let taken = usize::try_from(left).map_or(here, |left| left.min(here));
                position += taken;
                let left = left - taken as u64;
                self.at = if left == 0 { At::DataCr } else { At::Data(left) };
                continue;
            }
            position += 1;
            match self.step(byte, limits) {
                Ok(Step::On(at)) => self.at = at,
                Ok(Step::End) => return Progress::Done(position),
                Err(code) => return Progress::Fault(code),
            }
        }
        Progress::More
    }

    fn step(&mut self, byte: u8, limits: &Limits) -> Result<Step, &'static Code> {
        let malformed = Err(&code::BODY_INCOMPLETE);
        let next = match (self.at, byte) {
            (At::Size { digits, size }, _) if byte.is_ascii_hexdigit() && digits < SIZE_DIGITS => {
                At::Size { digits: digits + 1, size: size << 4 | hex(byte) }
            }
            (At::Size { digits: 1.., size }, b'\r') => At::SizeEnd(size),
            (At::Size { digits: 1.., size }, b';') => At::Extension(size),
            (At::Extension(size), b'\r') => At::SizeEnd(size),
            (At::Extension(size), b'\t' | b' '..=b'~') => {
                self.extensions += 1;
                if self.extensions > EXTENSIONS {
                    return malformed;
                }
                At::Extension(size)
            }
            (At::SizeEnd(0), b'\n') => At::Trailers,
            (At::SizeEnd(size), b'\n') => At::Data(size),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => FIRST,
            (At::Trailers, b'\n') => return self.trailer(limits),
            (At::Trailers, _) => {
                self.trailer_bytes += 1;
                if self.trailer_bytes > limits.head {
                    return Err(&code::HEADER_TOO_LARGE);
                }
                self.line.push(byte);
                At::Trailers
            }
            _ => return malformed,
        };
        Ok(Step::On(next))
    }

    fn trailer(&mut self, limits: &Limits) -> Result<Step, &'static Code> {
        let line = self.line.strip_suffix(b"\r").ok_or(&code::FRAMING_REFUSED)?;
        if line.is_empty() {
            return Ok(Step::End);
        }
        let (name, _) = split_field(line)?;
        // A field's name is a token, so it is text.
        if self.from == From::Caller && !std::str::from_utf8(name).is_ok_and(fields::may_trail) {
            return Err(&code::HEADER_REFUSED);
        }
        self.trailer_fields += 1;
        if self.trailer_fields > limits.fields {
            return Err(&code::HEADER_TOO_LARGE);
        }
        self.line.clear();
        Ok(Step::On(At::Trailers))
    }
}

enum Step {
    On(At),
    End,
}

const FIRST: At = At::Size { digits: 0, size: 0 };

fn hex(digit: u8) -> u64 {
    match digit {
        b'0'..=b'9' => u64::from(digit - b'0'),
        _ => u64::from((digit | 0x20) - b'a') + 10,
    }
}
