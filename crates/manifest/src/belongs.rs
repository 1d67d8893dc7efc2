//! Where a key belongs that stands where it has no meaning, said from there.

use crate::reader::listed;
use crate::schema;
use crate::sections::Sections;

/// As `schema::places` writes any name.
const ANY: &str = "NAME";

/// Where a misplaced key would have a meaning.
pub struct Belongs {
    /// In a few words: "belongs in `request`".
    pub label: String,
    /// How many steps it is away, up and down.
    pub distance: usize,
    /// Whether that is part of the same integration, system, account or bridge, so that it slipped out of place.
    pub is_near: bool,
}

/// The nearest places of the key, seen from below the keys of `path`; all of them, seen from the top of a file. `None`
/// where it stands nowhere, or at so many places that naming them helps nobody.
pub fn belongs(sections: &Sections, path: &[&str], key: &str) -> Option<Belongs> {
    const MOST: usize = 3;
    let places = schema::places(sections, key);
    let places: Vec<Vec<&str>> = places.iter().map(|place| place.split('.').collect()).collect();
    let distance = |place: &Vec<&str>| path.len() + place.len() - 2 * common(path, place);
    let least = places.iter().map(distance).min()?;
    let nearest = || places.iter().filter(|place| path.is_empty() || distance(place) == least);
    let said: Vec<String> = nearest().map(|place| from(path, place)).collect();
    let (first, rest) = said.split_first().filter(|_| said.len() <= MOST)?;
    let is_near = path.is_empty() || nearest().any(|place| common(path, place) > 0);
    let label = rest.iter().fold(format!("belongs {first}"), |label, place| label + " or " + place);
    Some(Belongs { label, distance: least, is_near })
}

/// How many steps both share.
fn common(path: &[&str], place: &[&str]) -> usize {
    path.iter().zip(place).take_while(|(here, there)| here == there || **there == ANY).count()
}

/// The way from one to the other.
fn from(path: &[&str], place: &[&str]) -> String {
    let common = common(path, place);
    let (up, down) = (path.len() - common, place.get(common..).unwrap_or_default());
    let beside = path.get(common).copied().unwrap_or_default();
    match (up, down) {
        (0, down) => format!("in `{}`", down.join(".")),
        (1, []) => format!("one level further left, beside `{beside}`"),
        (up, []) => format!("{up} levels further left, beside `{beside}`"),
        (1, down) => format!("in `{}`, beside `{beside}`", down.join(".")),
        (_, down) => {
            let named: Vec<&str> = path.iter().take(common).chain(down).copied().collect();
            format!("in `{}`", named.join("."))
        }
    }
}

/// The keys of a section in a few words, for whoever wrote something else there.
pub fn map_of(keys: &[&str]) -> String {
    const MOST: usize = 6;
    match keys.get(..MOST) {
        Some(first) if keys.len() > MOST => {
            let first: Vec<String> = first.iter().map(|key| format!("`{key}`")).collect();
            format!("a map of {} and others", first.join(", "))
        }
        _ => format!("a map of {}", listed(keys)),
    }
}
