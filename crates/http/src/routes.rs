//! Which declared operation a request is, if any.

use crate::route::Route;
use http::Method;
use ironbridge_core::uri::{Lookalike, Read};
use std::sync::Arc;

/// Routes by decoded path and method: a radix tree, so that a thousand integrations cost what one does.
#[derive(Default)]
pub struct Routes {
    tree: matchit::Router<Node>,
    patterns: Vec<Pattern>,
}

/// All operations of one pattern.
struct Node {
    /// In [`Routes::patterns`].
    number: usize,
    operations: Vec<(Method, Arc<Route>)>,
}

struct Pattern {
    /// The segments; `None` is a parameter.
    segments: Vec<Option<Arc<Lookalike>>>,
    /// Patterns that lenient systems could read a path of this one as.
    rivals: Vec<Rival>,
}

/// What of another pattern stands as literal text where this one has a parameter, or text that is nearly the same: by
/// the number of the segment.
struct Rival(Vec<(usize, Arc<Lookalike>)>);

/// Two operations want the same requests.
#[derive(Debug, thiserror::Error)]
#[error("{method} {pattern} is declared twice, or collides with another pattern: {why}")]
pub struct Collision {
    pub method: Method,
    pub pattern: String,
    pub why: String,
}

pub enum Found<'r> {
    Route(&'r Arc<Route>),
    /// The path is declared with these methods only.
    OtherMethods(Vec<Method>),
    /// Some systems would take a part of the path for this text, which another operation declares.
    Resembles(&'r str),
    Nothing,
}

impl Routes {
    /// `pattern` is an absolute path in which `{name}` stands for one segment.
    pub fn insert(&mut self, method: Method, pattern: &str, route: Arc<Route>) -> Result<(), Collision> {
        let collision = |why: String| Collision { method: method.clone(), pattern: pattern.to_owned(), why };
        // The same pattern may be there already, with other methods; matchit finds it by the pattern's own text.
        if let Ok(known) = self.tree.at_mut(pattern)
            && known.value.operations.iter().any(|(_, other)| other.pattern.as_ref() == pattern)
        {
            if known.value.operations.iter().any(|(other, _)| *other == method) {
                return Err(collision("same method and path".to_owned()));
            }
            known.value.operations.push((method, route));
            return Ok(());
        }
        let node = Node { number: self.patterns.len(), operations: vec![(method.clone(), route)] };
        self.tree.insert(pattern, node).map_err(|error| collision(error.to_string()))?;
        let mut new = Pattern::new(pattern);
        for known in &mut self.patterns {
            known.rivals.extend(known.rival(&new));
            new.rivals.extend(new.rival(known));
        }
        self.patterns.push(new);
        Ok(())
    }

    /// `path` is decoded.
    pub fn find<'r>(&'r self, method: &Method, path: &str) -> Found<'r> {
        let Ok(matched) = self.tree.at(path) else { return Found::Nothing };
        let Node { number, operations } = matched.value;
        if let Some(Pattern { rivals, .. }) =
            self.patterns.get(*number).filter(|known| !known.rivals.is_empty())
        {
            let segments: Vec<Read<'_>> = path.split('/').skip(1).map(Read::new).collect();
            if let Some(literal) = rivals.iter().find_map(|rival| rival.read_from(&segments)) {
                return Found::Resembles(literal);
            }
        }
        match operations.iter().find(|(candidate, _)| candidate == method) {
            Some((_, route)) => Found::Route(route),
            None => Found::OtherMethods(operations.iter().map(|(method, _)| method.clone()).collect()),
        }
    }
}

impl Pattern {
    fn new(pattern: &str) -> Pattern {
        let literal = |segment: &str| (!segment.starts_with('{')).then(|| Arc::new(Lookalike::new(segment)));
        Pattern { segments: pattern.split('/').skip(1).map(literal).collect(), rivals: Vec::new() }
    }

    /// The other pattern, if a path of this one could be read as one of it.
    fn rival(&self, other: &Pattern) -> Option<Rival> {
        if self.segments.len() != other.segments.len() {
            return None;
        }
        let (mut literals, mut takes_any) = (Vec::new(), false);
        for (number, pair) in self.segments.iter().zip(&other.segments).enumerate() {
            match pair {
                (_, None) => {}
                (None, Some(literal)) => {
                    takes_any = true;
                    literals.push((number, Arc::clone(literal)));
                }
                (Some(own), Some(literal)) if own.text() == literal.text() => {}
                (Some(own), Some(literal)) if literal.is_read_from(&Read::new(own.text())) => {
                    literals.push((number, Arc::clone(literal)));
                }
                (Some(_), Some(_)) => return None,
            }
        }
        takes_any.then_some(Rival(literals))
    }
}

impl Rival {
    /// The literal for which a lenient system could take a segment of the path, if all the others fit as well.
    fn read_from(&self, segments: &[Read<'_>]) -> Option<&str> {
        let mut mistaken = None;
        for (number, literal) in &self.0 {
            let segment = segments.get(*number)?;
            if !literal.is_read_from(segment) {
                return None;
            }
            if !segment.is(literal.text()) {
                mistaken = Some(literal.text());
            }
        }
        mistaken
    }
}
