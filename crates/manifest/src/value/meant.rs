//! What was meant by a value that is written as other programs write it. A suggestion is followed without much
//! thought, so each says the same as what is there; where two things can be meant, nothing is suggested.
//! [`super::report`] drops what its own key would refuse.

use std::fmt::Write;

/// A JSON Pointer, from JSONPath (RFC 9535), jq, a dotted path, a URI fragment (RFC 6901 §6) or a relative path.
pub fn pointer(text: &str) -> Option<String> {
    let plain = |c: char| c.is_alphanumeric() || "_-*".contains(c);
    let fragment = text.strip_prefix('#').unwrap_or(text);
    if fragment.contains('/') {
        let steps = fragment.strip_prefix('/').unwrap_or(fragment);
        let sound = steps.split('/').all(|step| !step.is_empty() && step.chars().all(plain));
        return sound.then(|| format!("/{steps}"));
    }
    let mut rest = text.strip_prefix('$').or_else(|| text.strip_prefix('.')).unwrap_or(text);
    let mut pointer = String::new();
    while !rest.is_empty() {
        let (step, behind) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (step, behind) = inner.split_once(']')?;
                let name = ["'", "\""].iter().find_map(|quote| step.strip_prefix(quote)?.strip_suffix(quote));
                match (name, step) {
                    (Some(name), _) => (name, behind),
                    (None, "" | "*") => ("*", behind),
                    (None, index) if index.bytes().all(|byte| byte.is_ascii_digit()) => (index, behind),
                    _ => return None,
                }
            }
            None => {
                let name = rest.strip_prefix('.').unwrap_or(rest);
                name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
            }
        };
        // A descent (`..`) ends in an empty step; a filter or a word among others is no step either.
        if step.is_empty() || !step.chars().all(plain) || behind == "." {
            return None;
        }
        write!(pointer, "/{step}").ok()?;
        rest = behind;
    }
    (!pointer.is_empty()).then_some(pointer)
}

/// `5/min`, from `5 per minute`, `5 requests/minute`, `5/m` or `5rps`.
pub fn rate(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (count, rest) = leading_digits(lower.trim())?;
    let mut words = rest.split(|c: char| c == '/' || c.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let counted = ["r", "req", "reqs", "request", "requests", "call", "calls", "time", "times"];
    let mut word = words.next()?;
    let said = rest.contains('/');
    if counted.contains(&word) {
        word = words.next()?;
    }
    let period = match word {
        "per" | "a" | "an" | "each" | "every" => period(words.next()?)?,
        "rps" => "s",
        "rpm" => "min",
        "rph" => "h",
        _ if said => period(word)?,
        _ => return None,
    };
    words.next().is_none().then(|| format!("{count}/{period}"))
}

fn period(word: &str) -> Option<&'static str> {
    Some(match word {
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "min",
        "h" | "hr" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    })
}

/// A quantity whose unit is spelt otherwise, or whose number has a fraction, in the smallest unit, and the unit that
/// is meant. `units` are the known ones with their scale, `spelt` other spellings with the known one.
pub fn quantity<'u>(
    text: &str,
    units: &[(&'u str, u64)],
    spelt: &[(&str, &str)],
) -> Option<(u64, (&'u str, u64))> {
    let number_ends = text.find(|c: char| !c.is_ascii_digit() && !"._,".contains(c))?;
    let (number, unit) = text.split_at(number_ends);
    let unit = unit.trim();
    let same = |name: &str| name == unit;
    let known = spelt.iter().find(|(name, _)| same(name)).map_or(unit, |(_, known)| known);
    let mut close = units.iter().filter(|(name, _)| name.eq_ignore_ascii_case(known));
    let (unit, scale) = units.iter().find(|(name, _)| *name == known).or_else(|| close.next())?;
    // A comma is a thousand here and a fraction there.
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let parts = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let value = format!("{whole}{fraction}").parse::<u64>().ok()?.checked_mul(*scale)?;
    value.is_multiple_of(parts).then_some((value / parts, (*unit, *scale)))
}

/// Milliseconds, from ISO 8601 (`PT30S`, `P90D`) or several units in a row (`1h30m`).
pub fn duration(text: &str, units: &[(&str, u64)], spelt: &[(&str, &str)]) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    if let Some(iso) = lower.strip_prefix('p') {
        let (date, time) = iso.split_once('t').unwrap_or((iso, ""));
        // Months and years have no length.
        return (!date.contains(['m', 'y'])).then(|| sum(&format!("{date}{time}"), units, spelt))?;
    }
    sum(&lower, units, spelt)
}

fn sum(text: &str, units: &[(&str, u64)], spelt: &[(&str, &str)]) -> Option<u64> {
    let (mut total, mut rest) = (0_u64, text.trim());
    while !rest.is_empty() {
        let letters = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let behind = rest.get(letters..)?.find(|c: char| !c.is_ascii_alphabetic());
        let (first, more) = rest.split_at(behind.map_or(rest.len(), |at| letters + at));
        total = total.checked_add(quantity(first, units, spelt)?.0)?;
        rest = more.trim_start_matches([' ', ',']);
    }
    (total > 0).then_some(total)
}

/// A path from its root, without a slash at its end.
pub fn path(text: &str) -> Option<String> {
    let path = format!("/{}", text.trim_matches('/'));
    // A host's name is not the path's first segment.
    let first = path.split('/').nth(1).unwrap_or_default();
    let hosted =
        !text.starts_with('/') && (first.contains('.') || first.contains(':') || first.contains('\\'));
    (!hosted).then_some(path)
}

fn leading_digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}
