use crate::root::root;
use anyhow::{Context, Result, bail};
use ironbridge_testkit::Process;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Blocks that open with this are run; any other block is only shown.
const FENCE: &str = "```sh test";

/// For all blocks together, builds included.
const TIME: Duration = Duration::from_secs(30 * 60);

/// The blocks run one after the other in one shell, as a reader would type them, in a copy that shares only what
/// was already built and installed. What a block leaves running is ended with the shell.
pub fn run() -> Result<()> {
    let root = root();
    let readme = fs::read_to_string(root.join("README.md")).context("cannot read README.md")?;
    let blocks = blocks(&readme)?;
    if blocks.is_empty() {
        bail!("README.md has no block that opens with {FENCE}");
    }
    let copy = tempfile::tempdir()?;
    copy_tracked_files(&root, copy.path())?;
    for shared in ["target", ".peers"] {
        symlink(root.join(shared), copy.path().join(shared))?;
    }

    let script = copy.path().join(".readme.sh");
    fs::write(
        &script,
        format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\nset -v\n{}", blocks.join("\n")),
    )?;
    println!("running {} blocks of README.md", blocks.len());
    let mut shell = Process::start(Command::new("bash").arg(&script).current_dir(copy.path()))?;
    let status = shell.wait(TIME)?;
    println!("{}", shell.output());
    if !status.success() {
        bail!("a command of the README failed: {status}");
    }
    println!("every command of the README works");
    Ok(())
}

fn blocks(readme: &str) -> Result<Vec<String>> {
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while lines.by_ref().any(|line| line.trim() == FENCE) {
        let mut block = String::new();
        loop {
            match lines.next() {
                Some("```") => break,
                Some(line) => {
                    block.push_str(line);
                    block.push('\n');
                }
                None => bail!("README.md has a block without an end"),
            }
        }
        blocks.push(block);
    }
    Ok(blocks)
}

/// Tracked files as they are in the work tree, and new ones that are not ignored.
fn copy_tracked_files(root: &Path, copy: &Path) -> Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    for path in String::from_utf8(listed.stdout)?.split('\0').filter(|path| !path.is_empty()) {
        let (from, to) = (root.join(path), copy.join(path));
        if !from.is_file() {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::copy(&from, &to).with_context(|| format!("cannot copy {path}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_are_run() {
        let readme = "```sh\nno\n```\ntext\n```sh test\none\ntwo\n```\n```sh test\nthree\n```\n";
        assert_eq!(blocks(readme).unwrap(), ["one\ntwo\n", "three\n"]);
        assert!(blocks("```sh test\nopen").is_err());
    }
}
