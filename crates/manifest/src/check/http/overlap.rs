//! Operations whose paths overlap though they require different permissions.

use crate::check::Check;
use crate::findings::finding;
use crate::outline::Names;
use crate::place::At;
use crate::{HTTP, Name, Segment, Template};

/// One operation with its path, as callers write it and as its target sees it.
struct Reach<'c> {
    name: String,
    at: At,
    listener: &'c Name,
    target: &'c Name,
    method: &'c str,
    permission: &'c str,
    public: Vec<Part<'c>>,
    delivered: Vec<Part<'c>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part<'c> {
    Text(&'c str),
    Parameter(&'c str),
}

impl<'c> Check<'c, '_> {
    pub fn overlaps(&mut self) {
        let reaches = self.reaches();
        for (number, one) in reaches.iter().enumerate() {
            let later = reaches.iter().skip(number + 1);
            for other in
                later.filter(|other| other.method == one.method && other.permission != one.permission)
            {
                if one.listener == other.listener && differ_by_text(&one.public, &other.public) {
                    self.overlap(&finding::ROUTES_OVERLAP, one, other, "takes some of the same paths");
                }
                for (from, to) in [(one, other), (other, one)] {
                    if from.target == to.target && from.reaches(to, &reaches) {
                        let does = "reaches some of the same paths at the target";
                        self.overlap(&finding::TARGET_PATHS_OVERLAP, to, from, does);
                    }
                }
            }
        }
    }

    fn overlap(
        &mut self,
        finding: &'static crate::findings::Finding,
        one: &Reach<'_>,
        other: &Reach<'_>,
        does: &str,
    ) {
        let message = format!(
            "`{}`, which requires `{}`, {does} as `{}`, which requires `{}`",
            other.name, other.permission, one.name, one.permission
        );
        let report = self.reader.report(finding, other.at, message).label("overlaps");
        report.also(one.at, format!("of `{}`", one.name));
    }

    fn reaches(&self) -> Vec<Reach<'c>> {
        let Some(bridge) = &self.parts.bridge else { return Vec::new() };
        let mut reaches = Vec::new();
        for (integration, declared) in &self.parts.integrations {
            let Some(flow) = declared.http() else { continue };
            let Some((listener, _)) = bridge.listener_of(flow) else { continue };
            let Some(spot) = self.outline.spot(Names::Integrations, integration) else { continue };
            for (name, operation) in &flow.operations {
                let matched = &operation.route.path;
                let mount = flow.path.0.split('/').skip(1).map(Part::Text);
                reaches.push(Reach {
                    name: format!("{integration}.{name}"),
                    at: spot.key(HTTP).key("operations").key(name).key("match").at_value(),
                    listener,
                    target: &declared.target,
                    method: &operation.route.method,
                    permission: &operation.conditions.permission,
                    public: mount.chain(parts(matched)).collect(),
                    delivered: parts(operation.target_path.as_ref().unwrap_or(matched)).collect(),
                });
            }
        }
        reaches
    }
}

fn parts(template: &Template) -> impl Iterator<Item = Part<'_>> {
    template.segments.iter().map(|segment| match segment {
        Segment::Literal(text) => Part::Text(text),
        Segment::Parameter(name) => Part::Parameter(name),
    })
}

/// Whether some path fits both, and one of them has text where the other takes any.
fn differ_by_text(one: &[Part<'_>], other: &[Part<'_>]) -> bool {
    let pairs = || one.iter().zip(other);
    one.len() == other.len()
        && pairs().all(|pair| !matches!(pair, (Part::Text(one), Part::Text(other)) if one != other))
        && pairs().any(|pair| {
            matches!(pair, (Part::Text(_), Part::Parameter(_)) | (Part::Parameter(_), Part::Text(_)))
        })
}

/// Whether a path that fits both is the first one's: text precedes, from the left.
fn precedes(one: &[Part<'_>], other: &[Part<'_>]) -> bool {
    let mut pairs = one.iter().zip(other);
    pairs.find_map(|pair| match pair {
        (Part::Text(_), Part::Parameter(_)) => Some(true),
        (Part::Parameter(_), Part::Text(_)) => Some(false),
        _ => None,
    }) == Some(true)
}

impl Reach<'_> {
    /// Whether a parameter of this operation can be the text at the target that the other one stands for, and no
    /// operation of this one's listener takes such a request first.
    fn reaches(&self, other: &Reach<'_>, all: &[Reach<'_>]) -> bool {
        if !differ_by_text(&self.delivered, &other.delivered) {
            return false;
        }
        let text_of = |name: &str| {
            let mut pairs = self.delivered.iter().zip(&other.delivered);
            pairs.find_map(|pair| match pair {
                (Part::Parameter(known), Part::Text(text)) if *known == name => Some(*text),
                _ => None,
            })
        };
        let asked: Vec<Part<'_>> = self
            .public
            .iter()
            .map(|part| match part {
                Part::Parameter(name) => text_of(name).map_or(*part, Part::Text),
                Part::Text(_) => *part,
            })
            .collect();
        if asked == self.public {
            return false;
        }
        let takes_it_first = |rival: &&Reach<'_>| {
            rival.listener == self.listener
                && rival.public.len() == asked.len()
                && rival.public != self.public
                && rival.public.iter().zip(&asked).all(|pair| match pair {
                    (Part::Text(text), asked) => Part::Text(text) == *asked,
                    (Part::Parameter(_), _) => true,
                })
                && precedes(&rival.public, &self.public)
        };
        !all.iter().any(|rival| takes_it_first(&rival))
    }
}
