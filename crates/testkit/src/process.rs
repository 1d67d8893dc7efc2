//! Running programs, which end with their guards.

use anyhow::{Context, Result, bail};
use parking_lot::{Condvar, Mutex};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much of a program's output is kept; the rest is read and dropped, so that it never blocks.
const OUTPUT_KEPT: usize = 4 << 20;

/// A running program, killed when dropped. Its standard output and error are captured together.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    captured: Mutex<Captured>,
    grew: Condvar,
}

#[derive(Default)]
struct Captured {
    text: Vec<u8>,
    /// Pipes that are still being read.
    open: usize,
}

impl Process {
    /// Starts it with nothing on its standard input.
    pub fn start(command: &mut Command) -> Result<Process> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let output = Arc::new(Output::default());
        capture(child.stdout.take(), &output);
        capture(child.stderr.take(), &output);
        Ok(Process { name, child, output })
    }

    /// Waits for a line that contains `needle` and returns it. Fails, with all output so far, when the program
    /// ends or the time is over.
    pub fn wait_for_line(&mut self, needle: &str, within: Duration) -> Result<String> {
        let deadline = Instant::now() + within;
        loop {
            let ended = self.child.try_wait()?;
            if ended.is_some() {
                self.output.close();
            }
            {
                let mut captured = self.output.captured.lock();
                if let Some(line) = whole_lines(&captured.text).find(|line| line.contains(needle)) {
                    return Ok(line.into_owned());
                }
                if ended.is_none() && Instant::now() < deadline {
                    self.output.grew.wait_for(&mut captured, Duration::from_millis(50));
                    continue;
                }
            }
            let why = if ended.is_some() { "ended" } else { "is still silent" };
            bail!("{} {why} without printing {needle:?}; it printed:\n{}", self.name, self.output());
        }
    }

    /// Waits until something accepts connections on the port.
    pub fn wait_for_port(&mut self, port: u16, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("{} does not listen on port {port}; it printed:\n{}", self.name, self.output());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What the program has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.captured.lock().text).into_owned()
    }

    /// The operating system's number for it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `TERM` or `HUP`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.id())).status()?;
        if !sent.success() {
            bail!("{} could not be sent {name}: {sent}", self.name);
        }
        Ok(())
    }

    /// Ends the program at once, as `kill -9` does.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Waits for the program to end by itself, and for the last of its output.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.output.close();
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {within:?}; it printed:\n{}", self.name, self.output());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Output {
    /// Waits until everything a program printed has been read. What it started and left behind may hold its pipes
    /// open for longer; that is not waited for.
    fn close(&self) {
        let mut captured = self.captured.lock();
        self.grew.wait_while_for(&mut captured, |captured| captured.open > 0, Duration::from_secs(2));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback port that was free a moment ago. Prefer letting a program choose with port 0 where it can tell.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn capture(pipe: Option<impl Read + Send + 'static>, output: &Arc<Output>) {
    let Some(mut pipe) = pipe else { return };
    let output = Arc::clone(output);
    output.captured.lock().open += 1;
    std::thread::spawn(move || {
        let mut chunk = [0; 8192];
        while let Ok(length @ 1..) = pipe.read(&mut chunk) {
            let text = &mut output.captured.lock().text;
            let room = OUTPUT_KEPT.saturating_sub(text.len());
            text.extend(chunk.iter().take(length.min(room)));
            output.grew.notify_all();
        }
        output.captured.lock().open -= 1;
        output.grew.notify_all();
    });
}

fn whole_lines(text: &[u8]) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default().split(|&byte| byte == b'\n').map(String::from_utf8_lossy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_waited_for_and_kept() {
        let mut shell =
            Process::start(Command::new("sh").args(["-c", "echo one; echo two >&2; exec sleep 60"])).unwrap();
        assert_eq!(shell.wait_for_line("tw", Duration::from_secs(10)).unwrap(), "two");
        shell.wait_for_line("one", Duration::from_secs(10)).unwrap();
        shell.signal("TERM").unwrap();
        assert!(!shell.wait(Duration::from_secs(10)).unwrap().success());
    }

    #[test]
    fn an_early_end_is_told_with_its_output() {
        let mut shell = Process::start(Command::new("sh").args(["-c", "echo broken; exit 3"])).unwrap();
        let error = shell.wait_for_line("ready", Duration::from_secs(10)).unwrap_err().to_string();
        assert!(error.contains("ended without printing \"ready\""), "{error}");
    }
}
