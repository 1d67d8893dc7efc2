use std::collections::BTreeMap;

/// Compiled patterns: a tree whose edges are member names, so that a body is walked once however many patterns
/// there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepList {
    root: Node,
}

/// Why a pattern does not compile. The operator's fault, told when the manifest is loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no JSON Pointer.
    #[error("`{0}` must start with `/`, as in `/items/*/id`")]
    NoSlash(String),
    /// It is escaped in a way that RFC 6901 §3 does not have.
    #[error("`{0}` holds a `~` that is neither `~0` (for `~`) nor `~1` (for `/`)")]
    Escape(String),
    /// It can match nothing.
    #[error("`{0}` goes deeper than {MAX_DEPTH} levels, which no body may")]
    TooDeep(String),
    /// The whole list is too large.
    #[error("the patterns together need more than {MAX_NODES} steps; use fewer `*` beside names")]
    TooMany,
}

const MAX_DEPTH: usize = ironbridge_core::json::MAX_DEPTH;

/// Where `*` and names overlap, the tree holds every combination; this keeps it from exploding.
const MAX_NODES: usize = 10_000;

impl KeepList {
    /// # Errors
    /// A pattern that is no JSON Pointer, or patterns that combine into too large a tree.
    pub fn compile<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<KeepList, PatternError> {
        let mut sketch = Sketch::default();
        for pattern in patterns {
            sketch.add(&parse(pattern.as_ref())?);
        }
        let mut budget = MAX_NODES;
        let root = Node::merged(&[&sketch], false, &mut budget).ok_or(PatternError::TooMany)?;
        Ok(KeepList { root })
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }
}

/// One place that patterns lead through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// Whether a pattern ends here.
    pub whole: bool,
    /// Whether the step that led here was the first `*` of a pattern.
    pub counts: bool,
    /// By name, in the order of [`by_length`]. Each holds what `*` beside it adds, so one look-up decides.
    members: Box<[(Box<[u8]>, Node)]>,
    /// Elements, and members not named here.
    pub rest: Option<Box<Node>>,
}

impl Node {
    pub fn member(&self, name: &[u8]) -> Option<&Node> {
        match self.members.binary_search_by(|(known, _)| by_length(known, name)) {
            Ok(place) => self.members.get(place).map(|(_, node)| node),
            Err(_) => self.rest.as_deref(),
        }
    }

    /// The place that all of these lead to together; `None` when the budget is used up.
    fn merged(sketches: &[&Sketch], after_star: bool, budget: &mut usize) -> Option<Node> {
        *budget = budget.checked_sub(1)?;
        if sketches.iter().any(|sketch| sketch.whole) {
            return Some(Node { whole: true, ..Node::default() });
        }
        let stars: Vec<&Sketch> = sketches.iter().filter_map(|sketch| sketch.star.as_deref()).collect();
        let names: std::collections::BTreeSet<&str> =
            sketches.iter().flat_map(|sketch| sketch.members.keys().map(String::as_str)).collect();
        let star_counts = !after_star && !stars.is_empty();
        let mut members = Vec::with_capacity(names.len());
        for name in names {
            let named = sketches.iter().filter_map(|sketch| sketch.members.get(name));
            let both: Vec<&Sketch> = stars.iter().copied().chain(named).collect();
            let mut node = Node::merged(&both, after_star || star_counts, budget)?;
            node.counts = star_counts;
            members.push((name.as_bytes().into(), node));
        }
        members.sort_unstable_by(|(a, _): &(Box<[u8]>, Node), (b, _)| by_length(a, b));
        let rest = match stars.as_slice() {
            [] => None,
            stars => {
                let mut node = Node::merged(stars, true, budget)?;
                node.counts = star_counts;
                Some(Box::new(node))
            }
        };
        Some(Node { whole: false, counts: false, members: members.into(), rest })
    }
}

/// Most names differ in length, so most comparisons touch no byte of them.
fn by_length(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// The patterns as written, before `*` and names are brought together.
#[derive(Debug, Default)]
struct Sketch {
    whole: bool,
    members: BTreeMap<String, Sketch>,
    star: Option<Box<Sketch>>,
}

impl Sketch {
    fn add(&mut self, steps: &[Step]) {
        match steps {
            [] => self.whole = true,
            [Step::Star, rest @ ..] => self.star.get_or_insert_default().add(rest),
            [Step::Name(name), rest @ ..] => self.members.entry(name.clone()).or_default().add(rest),
        }
    }
}

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Name(String),
    Star,
}

pub(crate) fn parse(pattern: &str) -> Result<Vec<Step>, PatternError> {
    if pattern.is_empty() {
        return Ok(Vec::new());
    }
    let steps = pattern.strip_prefix('/').ok_or_else(|| PatternError::NoSlash(pattern.to_owned()))?;
    let steps: Vec<Step> =
        steps.split('/').map(|step| parse_step(step, pattern)).collect::<Result<_, _>>()?;
    if steps.len() > MAX_DEPTH { Err(PatternError::TooDeep(pattern.to_owned())) } else { Ok(steps) }
}

fn parse_step(step: &str, pattern: &str) -> Result<Step, PatternError> {
    if step == "*" {
        return Ok(Step::Star);
    }
    let mut name = String::with_capacity(step.len());
    let mut characters = step.chars();
    while let Some(character) = characters.next() {
        name.push(match character {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(PatternError::Escape(pattern.to_owned())),
            },
            other => other,
        });
    }
    Ok(Step::Name(name))
}
