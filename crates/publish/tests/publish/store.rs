//! SeaweedFS as an S3 store over TLS, with curl to look into it.

use anyhow::{Context, Result};
use ironbridge_testkit::{Authority, CurlReply, Process, curl, free_port, peer};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const ID: &str = "AKIAEXAMPLE";
pub const SECRET: &str = "a secret only for tests";

pub struct Store {
    process: Option<Process>,
    directory: TempDir,
    ca: PathBuf,
    /// Of the S3 gateway, then of everything else it must listen on.
    ports: [u16; 8],
}

impl Store {
    pub fn start(authority: &Authority) -> Result<Store> {
        let directory = tempfile::tempdir()?;
        let ca = authority.write(directory.path().join("ca.pem"))?;
        authority.server(&["localhost"])?.write(directory.path(), "store")?;
        let identities = serde_json::json!({ "identities": [{
            "name": "bridge",
            "credentials": [{ "accessKey": ID, "secretKey": SECRET }],
            "actions": ["Read", "Write", "List", "Admin"],
        }] });
        std::fs::write(directory.path().join("identities.json"), identities.to_string())?;
        std::fs::create_dir(directory.path().join("data"))?;
        let mut ports = [0; 8];
        for port in &mut ports {
            *port = free_port()?;
        }
        let mut store = Store { process: None, directory, ca, ports };
        store.start_again()?;
        Ok(store)
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.ports[0])
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    /// On the same ports and data.
    pub fn start_again(&mut self) -> Result<()> {
        let [s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] = self.ports;
        let mut command = Command::new(peer("weed")?);
        command.current_dir(self.directory.path()).args(["server", "-dir=data", "-ip=127.0.0.1"]);
        command.args([
            "-ip.bind=127.0.0.1",
            "-volume.max=4",
            "-master.volumeSizeLimitMB=64",
            "-filer",
            "-s3",
        ]);
        command.args(["-s3.config=identities.json", "-s3.cert.file=store.crt", "-s3.key.file=store.key"]);
        command.args(["-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
        for (name, port) in [
            ("s3.port", s3),
            ("s3.port.grpc", s3_grpc),
            ("master.port", master),
            ("master.port.grpc", master_grpc),
            ("volume.port", volume),
            ("volume.port.grpc", volume_grpc),
            ("filer.port", filer),
            ("filer.port.grpc", filer_grpc),
        ] {
            command.arg(format!("-{name}={port}"));
        }
        let mut process = Process::start(&mut command)?;
        process.wait_for_port(s3, Duration::from_secs(60))?;
        self.process = Some(process);
        // It listens before it can answer.
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.ask("GET", "/", &[])?.status != 200 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub fn create_bucket(&self, name: &str) -> Result<()> {
        let answer = self.ask("PUT", &format!("/{name}"), &[])?;
        anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(())
    }

    /// Fetches every object below a prefix into a directory, as `aws s3 sync` does.
    pub fn download(&self, bucket: &str, prefix: &str, directory: &Path) -> Result<()> {
        let list = self.ask("GET", &format!("/{bucket}?list-type=2&max-keys=1000"), &[])?.text();
        for part in list.split("<Key>").skip(1) {
            let key = part.split("</Key>").next().context("a key without an end")?;
            let path = directory.join(key.strip_prefix(prefix).context("an object outside the prefix")?);
            std::fs::create_dir_all(path.parent().context("no folder")?)?;
            let object = self.ask("GET", &format!("/{bucket}/{}", key.replace(' ', "%20")), &[])?;
            anyhow::ensure!(object.status == 200, "{key}: {}", object.status);
            std::fs::write(path, object.body)?;
        }
        Ok(())
    }

    fn ask(&self, method: &str, path: &str, more: &[&str]) -> Result<CurlReply> {
        let (ca, url) = (self.ca.display().to_string(), format!("{}{path}", self.url()));
        let user = format!("{ID}:{SECRET}");
        let signed = ["--aws-sigv4", "aws:amz:eu-central-1:s3", "--user", &user, "--cacert", &ca];
        curl(signed.iter().chain(&["--request", method]).chain(more).chain(&[url.as_str()]))
    }
}
