//! The log of a running bridge: to standard error, written by a thread of its own. Whoever reads it slowly, or not at all,
//! holds up nobody; what does not fit is counted, and said once the log is written again.

use crate::failure::Failure;
use crate::output;
use ironbridge_identity::api_key::KeyKind;
use ironbridge_manifest::{Diagnostics, Severity};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Lines and bytes that wait to be written.
const MOST_LINES: usize = 16_384;
const MOST_BYTES: usize = 4 << 20;

/// How long the end of the program waits for what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How the log is written.
#[derive(Debug, clap::Args)]
pub struct Form {
    /// What to log: error, warn, info, debug or trace; libraries and parts of the bridge have levels of their own where
    /// they are named, as in info,h2=debug [default: RUST_LOG, or info]
    #[arg(long = "log", value_name = "LEVEL")]
    level: Option<String>,
    /// How to log
    #[arg(long = "log-format", value_name = "FORMAT", default_value = "text")]
    format: output::Format,
}

impl Form {
    /// Whether people read standard output, rather than programs the log.
    pub fn is_for_people(&self) -> bool {
        self.format == output::Format::Text
    }
}

/// The log, once it is begun. Dropped, it waits for its last lines.
pub struct Log {
    lines: Lines,
    for_people: bool,
}

impl Log {
    /// To standard error; standard output has the addresses only.
    pub fn start(form: &Form) -> Result<Log, Failure> {
        let level =
            form.level.clone().or_else(|| std::env::var("RUST_LOG").ok()).filter(|level| !level.is_empty());
        let filter = EnvFilter::try_new(directives(level.as_deref().unwrap_or("info")));
        let filter = filter.map_err(|error| {
            Failure::new(format!("the log level cannot be read: {error}")).help(
                "use error, warn, info, debug or trace, or one by module such as ironbridge_net=debug,info",
            )
        })?;
        let lines = Lines::start(io::stderr())?;
        let writer = lines.clone();
        // A line that cannot be written is no reason to write another one.
        let builder = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
        let builder = builder.with_writer(move || writer.clone());
        match form.format {
            output::Format::Text => builder.with_target(false).with_ansi(output::color_of_stderr()).init(),
            output::Format::Json => builder.json().flatten_event(true).init(),
        }
        let last = lines.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            last.wait();
            before(panic);
        }));
        Ok(Log { lines, for_people: form.is_for_people() })
    }

    /// Findings with their lines for people, one event each for programs.
    pub fn findings(&self, findings: &Diagnostics) {
        if self.for_people {
            if !findings.is_empty() {
                self.lines.put(findings.render_text(output::color_of_stderr()).trim_end().as_bytes(), b"\n");
            }
            return;
        }
        for finding in findings.iter() {
            let (id, file, line) = (finding.id(), finding.place.file.display(), finding.place.line);
            match finding.severity() {
                Severity::Error => tracing::error!(id, %file, line, "{}", finding.message),
                Severity::Warning => tracing::warn!(id, %file, line, "{}", finding.message),
                Severity::Note => tracing::info!(id, %file, line, "{}", finding.message),
            }
        }
    }
}

impl Log {
    /// Why the bridge ends.
    pub fn failure(&self, failure: &Failure) {
        if self.for_people {
            self.lines.put(failure.text(output::color_of_stderr()).trim_end().as_bytes(), b"\n");
        } else {
            tracing::error!("{}", failure.text(false).trim_end());
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.wait();
    }
}

/// The way to the thread that writes.
#[derive(Clone)]
struct Lines {
    queue: SyncSender<Vec<u8>>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    lines: AtomicUsize,
    bytes: AtomicUsize,
    /// Lines that nobody will see.
    lost: AtomicU64,
}

impl Lines {
    fn start(out: impl Write + Send + 'static) -> io::Result<Lines> {
        let (queue, lines) = sync_channel(MOST_LINES);
        let waiting = Arc::new(Waiting::default());
        let written = Arc::clone(&waiting);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(out, &lines, &written))?;
        Ok(Lines { queue, waiting })
    }

    fn put(&self, line: &[u8], end: &[u8]) {
        let length = line.len() + end.len();
        let (lines, bytes) = (&self.waiting.lines, &self.waiting.bytes);
        lines.fetch_add(1, Ordering::AcqRel);
        let fits = bytes.fetch_add(length, Ordering::AcqRel) + length <= MOST_BYTES;
        if !fits || self.queue.try_send([line, end].concat()).is_err() {
            self.waiting.written(length);
            self.waiting.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Until everything is written, or it takes too long.
    fn wait(&self) {
        let begun = Instant::now();
        while self.waiting.lines.load(Ordering::Acquire) > 0 && begun.elapsed() < LAST_WORDS {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The formatter writes each line with one call.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line, b"");
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Waiting {
    fn written(&self, length: usize) {
        self.bytes.fetch_sub(length, Ordering::AcqRel);
        self.lines.fetch_sub(1, Ordering::AcqRel);
    }
}

fn write_all(mut out: impl Write, lines: &Receiver<Vec<u8>>, waiting: &Waiting) {
    let mut torn = false;
    for mut line in lines {
        mask_keys(&mut line);
        let begun = if torn { out.write_all(b"\n") } else { Ok(()) };
        torn = begun.and_then(|()| out.write_all(&line)).is_err();
        waiting.written(line.len());
        if torn {
            waiting.lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let lost = waiting.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                lost,
                "lines of this log are lost: they could not be written, or not as fast as they came"
            );
        }
    }
}

/// Whatever of a line looks like a key or a client secret of a bridge's: callers put them where a name belongs, as a client
/// id, a host or the name of a header field, and they may be live.
fn mask_keys(line: &mut [u8]) {
    /// No word that is written in these lines on purpose is as long.
    const LONGEST_WORD: usize = 8;
    let begins = |rest: &[u8]| {
        KeyKind::ALL.iter().any(|kind| {
            rest.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(kind.prefix().as_bytes()))
        })
    };
    let mut at = 0;
    while let Some(rest) = line.get_mut(at..).filter(|rest| !rest.is_empty()) {
        if !begins(rest) {
            at += 1;
            continue;
        }
        let (_, after) = rest.split_at_mut(4);
        let is_of_key = |byte: &u8| byte.is_ascii_alphanumeric();
        let length = after.iter().position(|byte| !is_of_key(byte)).unwrap_or(after.len());
        at += 4;
        if length > LONGEST_WORD {
            after.iter_mut().take(length).for_each(|byte| *byte = b'*');
            at += length;
        }
    }
}

/// What is asked for without a module is asked of the bridge. The libraries underneath speak of errors alone, unless they
/// are named: callers choose how often those warn, in words that help nobody.
fn directives(asked: &str) -> String {
    let mut told = String::from("error");
    for directive in asked.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let bare = !directive.contains(['=', '[']) && directive.parse::<LevelFilter>().is_ok();
        let module = if bare { "ironbridge=" } else { "" };
        let _ = write!(told, ",{module}{directive}");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    /// Takes a line each time it is told to, and fails as often as it is told to.
    struct Reader {
        may: Receiver<io::Result<()>>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.may.recv().unwrap_or(Ok(()))?;
            self.read.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Told = Sender<io::Result<()>>;

    fn reader() -> (Lines, Told, Arc<Mutex<Vec<u8>>>) {
        let ((told, may), read) = (channel(), Arc::<Mutex<Vec<u8>>>::default());
        let lines = Lines::start(Reader { may, read: Arc::clone(&read) }).unwrap();
        (lines, told, read)
    }

    #[test]
    fn who_does_not_read_the_log_holds_up_nobody_and_costs_no_more_than_it_may() {
        let (lines, may, read) = reader();
        let line = [b'x'; 1023];
        for _ in 0..10 * MOST_BYTES / 1024 {
            lines.put(&line, b"\n");
        }
        let waits = lines.waiting.bytes.load(Ordering::Acquire);
        assert!(waits <= MOST_BYTES && waits > MOST_BYTES / 2, "{waits}");
        assert!(lines.waiting.lost.load(Ordering::Relaxed) > 30_000);
        drop(may);
        lines.wait();
        assert_eq!(lines.waiting.lost.load(Ordering::Relaxed), 0, "told");
        assert!(read.lock().unwrap().len() <= MOST_BYTES + 2048);
        lines.put(b"again", b"\n");
        lines.wait();
        assert!(read.lock().unwrap().ends_with(b"\nagain\n"));
    }

    #[test]
    fn a_line_that_cannot_be_written_is_lost_and_the_next_ones_are_whole() {
        let (mut lines, may, read) = reader();
        for told in [Err(io::Error::from(io::ErrorKind::StorageFull)), Ok(()), Ok(())] {
            may.send(told).unwrap();
        }
        drop(may);
        for line in ["first\n", "second\n", "third\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        lines.wait();
        assert_eq!(*read.lock().unwrap(), b"\nsecond\nthird\n");
    }

    #[test]
    fn keys_are_not_written_wherever_they_stand() {
        let key = "0123456789A0123456789ABCDEFGHIJKLMNOPQ3D3qww";
        for (line, written) in [
            (format!("host=\"ibk_{key}\" x"), format!("host=\"ibk_{}\" x", "*".repeat(key.len()))),
            (
                format!("{{\"fields\":\"a, ibs_{key}\"}}"),
                format!("{{\"fields\":\"a, ibs_{}\"}}", "*".repeat(key.len())),
            ),
            (format!("IBK_{key}.example"), format!("IBK_{}.example", "*".repeat(key.len()))),
            (format!("ibk_ibk_{key}"), format!("ibk_ibk_{}", "*".repeat(key.len()))),
            (
                "a key begins with ibk_, as ibk_EXAMPLE".to_owned(),
                "a key begins with ibk_, as ibk_EXAMPLE".to_owned(),
            ),
            ("ibk_".to_owned(), "ibk_".to_owned()),
            ("\u{e4}ib".to_owned(), "\u{e4}ib".to_owned()),
        ] {
            let mut bytes = line.clone().into_bytes();
            mask_keys(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), written, "{line}");
        }
    }

    #[test]
    fn a_level_is_that_of_the_bridge_and_libraries_are_named() {
        for (asked, told) in [
            ("info", "error,ironbridge=info"),
            ("DEBUG", "error,ironbridge=DEBUG"),
            ("off", "error,ironbridge=off"),
            ("ironbridge_net=debug, warn", "error,ironbridge_net=debug,ironbridge=warn"),
            ("h2=trace", "error,h2=trace"),
            ("info,h2=warn,", "error,ironbridge=info,h2=warn"),
        ] {
            assert_eq!(directives(asked), told);
            assert!(EnvFilter::try_new(told).is_ok(), "{told}");
        }
        assert!(EnvFilter::try_new(directives("x=y=z")).is_err());
    }
}
