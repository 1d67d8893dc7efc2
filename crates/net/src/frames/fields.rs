//! Which fields of HTTP/2's header sections are pseudo-fields, without reading any (RFC 7541).
//!
//! The HTTP/2 library drops pseudo-fields that stand in trailers, where they make a request malformed (RFC 9113 §8.1).
//! So the representations are followed by their lengths, and of the dynamic table it is kept which entries are such.

/// Entries of the static table, of which those up to [`PSEUDO`] are pseudo-fields (RFC 7541, appendix A).
const STATIC: u64 = 61;
const PSEUDO: u64 = 14;

/// How `:` begins in Huffman's code: seven bits (RFC 7541, appendix B).
const COLON: u8 = 0b1011_1000;
const COLON_BITS: u8 = 0b1111_1110;

/// Reads the representations of a connection's header sections, one after the other, however they are cut.
#[derive(Debug, Default)]
pub(super) struct Fields {
    at: At,
    /// Of the dynamic table, the newest entry lowest. The table has 4,096 bytes, and no entry fewer than 32.
    table: u128,
    /// The field in hand: whether it is a pseudo-field, and whether it enters the table.
    pseudo: bool,
    enters: bool,
    /// A pseudo-field came since the section began.
    pub saw_pseudo: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum At {
    #[default]
    Representation,
    /// Within a number that does not fit its prefix.
    Number {
        value: u64,
        shift: u32,
        of: Of,
    },
    Length(Of),
    /// Bytes of a text that are still to come; of a name, whether the first is to be looked at, and its code.
    Text {
        left: u64,
        huffman: Option<bool>,
        of: Of,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Indexed,
    NameIndex,
    TableSize,
    Name { huffman: bool },
    Value,
}

impl Fields {
    pub fn begin(&mut self) {
        *self = Fields { table: self.table, ..Fields::default() };
    }

    pub fn read(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((first, later)) = rest.split_first() {
            if let At::Text { left, huffman, of } = self.at {
                if let Some(huffman) = huffman {
                    self.pseudo = if huffman { first & COLON_BITS == COLON } else { *first == b':' };
                }
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                rest = rest.get(here..).unwrap_or_default();
                let left = left - u64::try_from(here).unwrap_or(left);
                self.at = At::Text { left, huffman: None, of };
                self.text_ends();
                continue;
            }
            rest = later;
            self.step(*first);
        }
    }

    fn step(&mut self, byte: u8) {
        match self.at {
            At::Representation => match byte {
                0x80.. => self.number(byte, 7, Of::Indexed),
                0x40.. => self.field(byte, 6, true),
                0x20.. => self.number(byte, 5, Of::TableSize),
                _ => self.field(byte, 4, false),
            },
            At::Number { value, shift, of } => {
                let more = u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(u64::MAX);
                let value = value.saturating_add(more);
                match byte & 0x80 {
                    0 => self.whole(value, of),
                    _ => self.at = At::Number { value, shift: shift.saturating_add(7), of },
                }
            }
            At::Length(of) => {
                let of = match of {
                    Of::Name { .. } => Of::Name { huffman: byte & 0x80 != 0 },
                    of => of,
                };
                self.number(byte, 7, of);
            }
            At::Text { .. } => {}
        }
    }

    fn field(&mut self, byte: u8, prefix: u32, enters: bool) {
        self.enters = enters;
        self.number(byte, prefix, Of::NameIndex);
    }

    /// RFC 7541 §5.1.
    fn number(&mut self, byte: u8, prefix: u32, of: Of) {
        let most = (1_u8 << prefix) - 1;
        match byte & most {
            value if value == most => self.at = At::Number { value: most.into(), shift: 0, of },
            value => self.whole(value.into(), of),
        }
    }

    fn whole(&mut self, value: u64, of: Of) {
        self.at = match of {
            Of::Indexed => {
                self.saw_pseudo |= self.is_pseudo(value);
                At::Representation
            }
            Of::TableSize => At::Representation,
            Of::NameIndex if value == 0 => At::Length(Of::Name { huffman: false }),
            Of::NameIndex => {
                self.pseudo = self.is_pseudo(value);
                At::Length(Of::Value)
            }
            Of::Name { huffman } => {
                self.pseudo = false;
                At::Text { left: value, huffman: Some(huffman), of }
            }
            Of::Value => At::Text { left: value, huffman: None, of },
        };
        self.text_ends();
    }

    fn text_ends(&mut self) {
        let At::Text { left: 0, of, .. } = self.at else { return };
        if let Of::Name { .. } = of {
            self.at = At::Length(Of::Value);
            return;
        }
        self.at = At::Representation;
        self.saw_pseudo |= self.pseudo;
        if self.enters {
            self.table = self.table << 1 | u128::from(self.pseudo);
        }
    }

    fn is_pseudo(&self, index: u64) -> bool {
        match index.checked_sub(STATIC + 1) {
            None => (1..=PSEUDO).contains(&index),
            Some(entry) => {
                u32::try_from(entry).ok().and_then(|entry| self.table.checked_shr(entry)).unwrap_or(0) & 1
                    == 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7541, appendix C.3 and C.4, and what could follow them.
    #[test]
    fn pseudo_fields_are_seen_however_they_are_written() {
        let plain = b"\x82\x86\x84\x41\x0fwww.example.com";
        let huffman = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let custom = b"\x40\x0acustom-key\x0ccustom-value";
        for (section, sees) in [
            (&plain[..], true),
            (&huffman[..], true),
            (&custom[..], false),
            (b"\x00\x05x-sum\x011", false),
            (b"\x10\x05x-sum\x011", false),
            (b"\x00\x05:path\x02/a", true),
            (b"\x04\x02/a", true),
            (b"\x44\x02/a", true),
            (b"\x0f\x00\x011", false),
            (b"\x3f\xe1\x1f\x00\x05x-sum\x00", false),
            // `:path` in Huffman's code, and a name that begins with its first letter.
            (b"\x00\x84\xb9\x58\xd3\x3f\x02/a", true),
            (b"\x00\x83\xac\xe8\x4f\x011", false),
            // The newest entry of the table, and the one before it.
            (&[custom, &b"\xbe"[..]].concat(), false),
            (&[&b"\x41\x01a"[..], custom].concat(), true),
        ] {
            for cut in 0..section.len() {
                let mut fields = Fields::default();
                fields.begin();
                let (one, other) = section.split_at(cut);
                fields.read(one);
                fields.read(other);
                assert_eq!(fields.saw_pseudo, sees, "{section:?} {cut}");
            }
        }
        let mut fields = Fields::default();
        fields.begin();
        fields.read(&[&plain[..], custom].concat());
        for (trailers, sees) in [(b"\xbe", false), (b"\xbf", true), (b"\xc0", false)] {
            fields.begin();
            fields.read(trailers);
            assert_eq!(fields.saw_pseudo, sees, "{trailers:?}");
        }
    }
}
