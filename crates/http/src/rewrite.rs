use std::fmt::Write;
use std::sync::Arc;

/// A path at the target: literal text and the parameters of the matched path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite(pub Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Literal(Box<str>),
    Parameter(Arc<str>),
}

impl Rewrite {
    /// Appends the path. Parameter values are percent-encoded anew, so none can add a segment.
    pub fn write(&self, path: &mut String, parameters: &[(Arc<str>, Box<str>)]) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => path.push_str(text),
                Piece::Parameter(wanted) => {
                    let value = parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
                    encode(path, value.map_or("", |value| value));
                }
            }
        }
    }
}

/// RFC 3986 §2.3: everything but unreserved characters is encoded.
fn encode(path: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte))
            }
            other => {
                let _ = write!(path, "%{other:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_cannot_add_segments() {
        let rewrite = Rewrite(vec![Piece::Literal("/v2/items/".into()), Piece::Parameter("id".into())]);
        let mut path = String::from("/base");
        rewrite.write(&mut path, &[("id".into(), "a/b ?ä".into())]);
        assert_eq!(path, "/base/v2/items/a%2Fb%20%3F%C3%A4");
    }
}
