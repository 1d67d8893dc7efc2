//! Paths of operations, forwards to the target and back.

use http::Method;
use ironbridge_http::location::WayBack;
use ironbridge_http::passes::Members;
use ironbridge_http::rewrite::{Piece, Rewrite};
use ironbridge_manifest::{self as manifest, HttpFlow, Segment, Template, Url};
use std::sync::Arc;

/// The whole pattern of an operation, as the router reads it: the flow's path and the operation's.
pub fn pattern(mount: &manifest::Path, template: &Template) -> String {
    let mount = mount.0.trim_end_matches('/').to_owned();
    template.segments.iter().fold(mount, |path, segment| match segment {
        Segment::Literal(text) => path + "/" + text,
        Segment::Parameter(name) => path + "/{" + name + "}",
    })
}

/// The names of a path's parameters, with the number of the segment that each is.
pub fn parameters(template: &Template) -> Box<[(Arc<str>, usize)]> {
    let segments = template.segments.iter().enumerate();
    let named = segments.filter_map(|(number, segment)| match segment {
        Segment::Parameter(name) => Some((Arc::clone(name), number)),
        Segment::Literal(_) => None,
    });
    named.collect()
}

/// `to` in terms of the segments of `from`; `None` when that lacks one of its parameters.
pub fn rewrite(to: &Template, from: &Template) -> Option<Rewrite> {
    let numbers = parameters(from);
    let mut pieces = Vec::new();
    for segment in &to.segments {
        match segment {
            Segment::Literal(text) => pieces.push(Piece::Literal(format!("/{text}").into())),
            Segment::Parameter(name) => {
                let (_, number) = numbers.iter().find(|(known, _)| known == name)?;
                pieces.push(Piece::Literal("/".into()));
                pieces.push(Piece::Segment(*number));
            }
        }
    }
    Some(Rewrite(pieces))
}

/// From the target's paths to the flow's operations, which come with the query members that each takes.
pub fn way_back<'m>(
    flow: &HttpFlow,
    target: &Url,
    operations: impl Iterator<Item = (&'m manifest::HttpOperation, Members)>,
) -> WayBack {
    let mount = flow.path.0.trim_end_matches('/');
    let mut way = WayBack::new(target.secure, &target.host, target.port, &target.path, mount);
    for (operation, takes) in operations {
        let matched = &operation.route.path;
        let at_target = operation.target_path.as_ref().unwrap_or(matched);
        // Where the target's path has fewer parameters, nothing leads back.
        let Some(back) = rewrite(matched, at_target) else { continue };
        let Ok(method) = Method::from_bytes(operation.route.method.as_bytes()) else { continue };
        let segments: Vec<Option<&str>> = at_target
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => Some(&**text),
                Segment::Parameter(_) => None,
            })
            .collect();
        way.insert(&method, &segments, back, takes);
    }
    way
}
