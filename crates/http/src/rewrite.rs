/// A path at the target: literal text and segments of the matched path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite(pub Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// With its slashes.
    Literal(Box<str>),
    /// The segment of this number, counted from 0 below the integration's path.
    Segment(usize),
}

impl Rewrite {
    /// Appends the path. `matched` is the canonical spelling of what was matched, so no segment of it can become two.
    pub fn write(&self, path: &mut String, matched: &str) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => path.push_str(text),
                Piece::Segment(number) => {
                    path.push_str(matched.split('/').nth(number + 1).unwrap_or_default())
                }
            }
        }
    }
}

/// The part of a path, in either form, that is below another: as many segments are left out as that one has, because
/// they may be spelled in different ways.
pub(crate) fn below<'p>(path: &'p str, base: &str) -> &'p str {
    let segments = base.matches('/').count();
    path.match_indices('/').nth(segments).and_then(|(at, _)| path.get(at..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_keep_their_spelling() {
        let rewrite = Rewrite(vec![Piece::Literal("/v2/items/".into()), Piece::Segment(1)]);
        for (matched, written) in [
            ("/things/7:cancel", "/base/v2/items/7:cancel"),
            ("/things/a%20(b)+c@d=e,f'%C3%A4", "/base/v2/items/a%20(b)+c@d=e,f'%C3%A4"),
            ("/things/50%25", "/base/v2/items/50%25"),
        ] {
            let mut path = String::from("/base");
            rewrite.write(&mut path, matched);
            assert_eq!(path, written);
        }
    }
}
