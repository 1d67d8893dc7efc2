use anyhow::{Context, Result};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Linux reports processor time in this unit to every program (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Processor time that a process has used, in user and kernel, all threads together (proc_pid_stat(5), fields 14
/// and 15).
pub fn processor_time(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses, and may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u32>().ok());
    let used = ticks(14).zip(ticks(15)).map(|(user, kernel)| user + kernel).context("unreadable stat")?;
    Ok(TICK * used)
}

/// Most memory that the process ever held at once, in KiB.
pub fn peak_memory(process: u32) -> Result<u64> {
    status(process, "VmHWM:")
}

/// Memory that the process holds now, in KiB.
pub fn resident_memory(process: u32) -> Result<u64> {
    status(process, "VmRSS:")
}

fn status(process: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("unreadable status")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// The commit that is measured, and of which day; changes that are not committed are named.
pub fn sources() -> Result<String> {
    let git = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("git").args(arguments).current_dir(crate::root::root()).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["log", "-1", "--format=commit %h of %cs"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(if changed { format!("{commit}, with changes") } else { commit })
}

/// The processor's name, the number of cores, memory in GiB and the kernel.
pub fn machine() -> Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let name = processors.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::thread::available_parallelism()?;
    let name = name.unwrap_or("unknown processor");
    Ok(format!("{name}, {cores} cores, {} GiB, Linux {}", memory >> 20, kernel.trim()))
}
