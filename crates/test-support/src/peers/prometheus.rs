//! Prometheus, while it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Running;

/// The labels of a series, its name among them as `__name__`.
pub type Labels = BTreeMap<String, String>;

/// A Prometheus that is ready; dropping it kills it.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _running: Running,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts it with this configuration, and waits until it is ready.
    ///
    /// # Panics
    /// When it ends, or does not get ready: with its log.
    pub async fn start(program: &Path, config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("a file");
        let address = super::address();
        let own = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address={address}"),
        ];
        let arguments: Vec<String> =
            own.into_iter().chain(flags.iter().map(|flag| (*flag).to_owned())).collect();
        let mut running = Running::start(program, &arguments, &folder);
        let begin = Instant::now();
        while !ask(address, "/-/ready").await.is_ok_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            running.still_runs(begin);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { address, _running: running, _folder: folder }
    }

    /// Where it takes requests.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its own version.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn version(&self) -> String {
        let answer = self.get("/api/v1/status/buildinfo").await;
        let version = answer["data"]["version"].as_str();
        version.unwrap_or_else(|| panic!("no version: {answer}")).to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = ask(self.address, path).await.expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("JSON")
    }

    /// The series of an expression, now, each with its value.
    ///
    /// # Panics
    /// When the answer is no vector.
    pub async fn query(&self, expression: &str) -> Vec<(Labels, f64)> {
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={escaped}")).await;
        let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer}"));
        let one = |series: &Value| {
            let labels = serde_json::from_value(series["metric"].clone()).expect("labels");
            let value = series["value"][1].as_str().and_then(|value| value.parse().ok());
            (labels, value.expect("a number"))
        };
        series.iter().map(one).collect()
    }
}

/// The answer to a GET: head and body.
async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    // HTTP/1.0: no answer comes in chunks.
    connection.write_all(format!("GET {path} HTTP/1.0\r\nhost: x\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}
