//! Who the audit trail says did something by a command.

use ironbridge_engine::Actor;
use std::io::Read;

/// Where the operating system's users stand; others, of a directory service, are known by their number alone.
const USERS: &str = "/etc/passwd";
const LARGEST: u64 = 1 << 20;

/// What the environment claims is cut there, in characters.
const LONGEST_CLAIM: usize = 64;

/// The operating system's user whose process this is. Who became that user through `sudo` stands apart: it is what
/// the environment says, and anyone can change that.
pub fn of_command() -> Actor {
    let mut users = String::new();
    // What cannot be read names nobody.
    let _ = std::fs::File::open(USERS).and_then(|file| file.take(LARGEST).read_to_string(&mut users));
    Actor::new(named(rustix::process::geteuid().as_raw(), &users, std::env::var("SUDO_USER").ok().as_deref()))
}

pub fn demo() -> Actor {
    Actor::new("demo")
}

fn named(number: u32, users: &str, claimed: Option<&str>) -> String {
    let user = match user_of(number, users) {
        Some(name) => format!("command:{name}({number})"),
        None => format!("command:uid {number}"),
    };
    match claimed.map(harmless).filter(|claimed| !claimed.is_empty()) {
        Some(claimed) => format!("{user}, SUDO_USER says {claimed}"),
        None => user,
    }
}

/// The name in the first entry of this number (passwd(5)).
fn user_of(number: u32, users: &str) -> Option<String> {
    let entry = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let of_number = |fields: &Vec<&str>| fields.get(2).and_then(|field| field.parse().ok()) == Some(number);
    let name = entry.into_iter().find(of_number)?.first().map(|name| harmless(name))?;
    Some(name).filter(|name| !name.is_empty())
}

fn harmless(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric() || "._-@\\$".contains(*c)).take(LONGEST_CLAIM).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nbridge:x:997:997::/srv:/bin/false\nbroken\n:x:5:\n";

    #[test]
    fn the_number_names_and_the_environment_only_claims() {
        for (number, claimed, actor) in [
            (0, None, "command:root(0)"),
            (0, Some("alice"), "command:root(0), SUDO_USER says alice"),
            (997, Some("root"), "command:bridge(997), SUDO_USER says root"),
            (997, Some(""), "command:bridge(997)"),
            (997, Some("a\u{1b}[2J, b\n"), "command:bridge(997), SUDO_USER says a2Jb"),
            (5, None, "command:uid 5"),
            (4711, None, "command:uid 4711"),
        ] {
            assert_eq!(named(number, USERS, claimed), actor);
        }
        assert_eq!(named(0, "", Some(&"x".repeat(1000))).len(), "command:uid 0, SUDO_USER says ".len() + 64);
    }
}
