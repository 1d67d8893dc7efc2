//! Which declared operation a request is, if any.

use crate::Route;
use http::Method;
use std::sync::Arc;

/// Routes by path and method: a radix tree, so that a thousand integrations cost what one does.
#[derive(Default)]
pub struct Routes {
    tree: matchit::Router<Vec<(Method, Arc<Route>)>>,
}

/// Two operations want the same requests.
#[derive(Debug, thiserror::Error)]
#[error("{method} {pattern} is declared twice, or collides with another pattern: {why}")]
pub struct Collision {
    pub method: Method,
    pub pattern: String,
    pub why: String,
}

pub enum Found<'r, 'p> {
    Route {
        route: &'r Arc<Route>,
        parameters: matchit::Params<'r, 'p>,
    },
    /// The path is declared with these methods only.
    OtherMethods(Vec<Method>),
    Nothing,
}

impl Routes {
    /// `pattern` is an absolute path in which `{name}` stands for one segment.
    pub fn insert(&mut self, method: Method, pattern: &str, route: Arc<Route>) -> Result<(), Collision> {
        let collision = |why: String| Collision { method: method.clone(), pattern: pattern.to_owned(), why };
        // The same pattern may be there already, with other methods; matchit finds it by the pattern's own text.
        if let Ok(known) = self.tree.at_mut(pattern)
            && known.value.iter().any(|(_, other)| other.pattern.as_ref() == pattern)
        {
            if known.value.iter().any(|(other, _)| *other == method) {
                return Err(collision("same method and path".to_owned()));
            }
            known.value.push((method, route));
            return Ok(());
        }
        let entry = vec![(method.clone(), route)];
        self.tree.insert(pattern, entry).map_err(|error| collision(error.to_string()))
    }

    pub fn find<'r, 'p>(&'r self, method: &Method, path: &'p str) -> Found<'r, 'p> {
        let Ok(matched) = self.tree.at(path) else { return Found::Nothing };
        match matched.value.iter().find(|(candidate, _)| candidate == method) {
            Some((_, route)) => Found::Route { route, parameters: matched.params },
            None => Found::OtherMethods(matched.value.iter().map(|(method, _)| method.clone()).collect()),
        }
    }
}
