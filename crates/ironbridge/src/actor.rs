//! Who the audit trail says did something by a command.

use ironbridge_engine::Actor;
use std::os::unix::fs::MetadataExt;

/// The operating system's user, by name and number. The name is what the environment says, and anyone can change
/// that; the number is the process's own.
pub fn of_command() -> Actor {
    let named = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(|name| std::env::var(name).ok());
    // Who owns what this process has just been given is whom it runs as.
    let number = std::fs::metadata("/proc/self").map(|own| own.uid().to_string());
    let (name, number) = (named.unwrap_or_else(|| "?".into()), number.unwrap_or_else(|_| "?".into()));
    Actor::new(format!("command:{name}({number})"))
}

pub fn demo() -> Actor {
    Actor::new("demo")
}
