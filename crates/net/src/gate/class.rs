//! Which byte may stand where, as one table.

/// A set of kinds of bytes.
#[derive(Clone, Copy)]
pub(super) struct Class(u8);

impl Class {
    /// `tchar` of RFC 9110 §5.6.2.
    pub const TOKEN: Class = Class(1);
    /// Visible characters, spaces, tabs and bytes above ASCII: `field-value` of RFC 9110 §5.5.
    pub const VALUE: Class = Class(2);
    /// What RFC 3986 allows in a path and query, and the brackets, bars, braces, carets and backslashes that
    /// clients send there unencoded. No quotation mark, angle bracket, grave accent, number sign, space, control
    /// character or byte above ASCII.
    pub const TARGET: Class = Class(4);
    /// Letters, digits, hyphen, dot and underscore.
    pub const HOST: Class = Class(8);
}

fn class_of(byte: u8) -> Class {
    TABLE.get(usize::from(byte)).copied().unwrap_or(Class(0))
}

/// Whether every byte is of the kind. No early exit: the loop is branch-free, and hostile input gains nothing.
pub(super) fn is_of(bytes: &[u8], kind: Class) -> bool {
    bytes.iter().fold(kind.0, |all, byte| all & class_of(*byte).0) != 0
}

static TABLE: [Class; 256] = table();

#[allow(clippy::indexing_slicing)] // Evaluated by the compiler.
const fn table() -> [Class; 256] {
    let mut table = [Class(0); 256];
    let mut byte = 0_u8;
    loop {
        let alphanumeric = byte.is_ascii_alphanumeric();
        let mut class = 0;
        if alphanumeric || is_in(byte, b"!#$%&'*+-.^_`|~") {
            class |= Class::TOKEN.0;
        }
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            class |= Class::VALUE.0;
        }
        if byte.is_ascii_graphic() && !is_in(byte, b"\"#<>`") {
            class |= Class::TARGET.0;
        }
        if alphanumeric || is_in(byte, b"-._") {
            class |= Class::HOST.0;
        }
        table[byte as usize] = Class(class);
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

#[allow(clippy::indexing_slicing)] // Evaluated by the compiler.
const fn is_in(byte: u8, set: &[u8]) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}
