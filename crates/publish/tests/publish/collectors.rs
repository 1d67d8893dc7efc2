//! syslog-ng and an OpenTelemetry collector, each over TLS.

use anyhow::{Context, Result};
use ironbridge_testkit::{Authority, Process, free_port, peer};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// syslog-ng taking RFC 5424 over TLS, and writing what it understood to a file.
pub struct SyslogNg {
    process: Option<Process>,
    directory: PathBuf,
    pub port: u16,
}

impl SyslogNg {
    pub fn start(authority: &Authority, directory: &Path) -> Result<SyslogNg> {
        let (certificate, key) = authority.server(&["localhost"])?.write(directory, "syslog")?;
        let port = free_port()?;
        let (certificate, key) = (certificate.display(), key.display());
        let received = directory.join("received");
        let configuration = format!(
            "@version: 3.38\n\
             options {{ keep-hostname(yes); stats-freq(0); threaded(no); }};\n\
             source audit {{ syslog(ip(\"127.0.0.1\") port({port}) transport(\"tls\")\n\
               tls(key-file(\"{key}\") cert-file(\"{certificate}\") peer-verify(optional-untrusted))); }};\n\
             destination file {{ file(\"{}\" template(\"$HOST|$PROGRAM|$MSGID|$FACILITY|$LEVEL|\
               ${{S_UNIXTIME}}|${{.SDATA.ironbridge@32473.index}}|$MSG\\n\")); }};\n\
             log {{ source(audit); destination(file); }};\n",
            received.display()
        );
        std::fs::write(directory.join("syslog-ng.conf"), configuration)?;
        let mut syslog = SyslogNg { process: None, directory: directory.to_path_buf(), port };
        syslog.start_again()?;
        Ok(syslog)
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    pub fn start_again(&mut self) -> Result<()> {
        let file = |name: &str| self.directory.join(name);
        let mut command = Command::new(peer("syslog-ng")?);
        command.args(["--foreground", "--no-caps", "--stderr", "--cfgfile"]).arg(file("syslog-ng.conf"));
        command.arg("--pidfile").arg(file("pid")).arg("--control").arg(file("control"));
        command.arg("--persist-file").arg(file("persist"));
        let mut process = Process::start(&mut command)?;
        process.wait_for_port(self.port, PATIENCE)?;
        self.process = Some(process);
        Ok(())
    }

    /// Lines in the order of arrival.
    pub fn received(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.join("received")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Rotel, which prints the log records it received, behind HAProxy, which does its TLS.
pub struct Collector {
    rotel: Process,
    _haproxy: Process,
    pub url: String,
}

impl Collector {
    pub fn start(authority: &Authority, directory: &Path) -> Result<Collector> {
        authority.server(&["localhost"])?.write(directory, "collector")?;
        let (plain, secured, grpc) = (free_port()?, free_port()?, free_port()?);
        let mut command = Command::new(peer("rotel-agent")?);
        command.args(["start", "--exporter", "blackhole", "--debug-log", "logs"]);
        command.args(["--debug-log-verbosity", "detailed"]);
        command.args(["--otlp-http-endpoint", &format!("127.0.0.1:{plain}")]);
        command.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")]);
        let mut rotel = Process::start(&mut command)?;
        rotel.wait_for_port(plain, PATIENCE)?;
        let pem = directory.join("collector.pem");
        let configuration = format!(
            "defaults\n  mode http\n  timeout client 30s\n  timeout connect 5s\n  timeout server 30s\n\
             frontend secured\n  bind 127.0.0.1:{secured} ssl crt {}\n  default_backend rotel\n\
             backend rotel\n  server rotel 127.0.0.1:{plain}\n",
            pem.display()
        );
        let file = directory.join("haproxy.cfg");
        std::fs::write(&file, configuration).context("haproxy.cfg")?;
        let mut haproxy = Process::start(Command::new(peer("haproxy")?).arg("-db").arg("-f").arg(file))?;
        haproxy.wait_for_port(secured, PATIENCE)?;
        let url = format!("https://localhost:{secured}/v1/logs");
        Ok(Collector { rotel, _haproxy: haproxy, url })
    }

    pub fn output(&self) -> String {
        self.rotel.output()
    }
}
