//! A real Prometheus that scrapes one page in one format.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::harness::{await_until, get, is_emulated, skip};

/// A format of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    OpenMetrics,
    Protobuf,
}

impl Format {
    /// What the exporter answers to those who ask for it.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// What is asked for, where Prometheus cannot be told to.
    const fn accept(self) -> Option<&'static str> {
        match self {
            Self::Text => Some("text/plain;version=0.0.4"),
            Self::OpenMetrics => Some("application/openmetrics-text;version=1.0.0"),
            Self::Protobuf => None,
        }
    }
}

/// When a query is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Over {
    /// Once, now.
    Now,
    /// Every 2 s of a time, in seconds since 1970.
    Time { from: u64, to: u64 },
}

fn percent_encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Stands between Prometheus and the exporter: asks for the format that it is to be, and notes the one that it was.
struct Proxy {
    address: SocketAddr,
    content_type: Arc<Mutex<Option<String>>>,
}

impl Proxy {
    fn start(exporter: SocketAddr, format: Format) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let content_type: Arc<Mutex<Option<String>>> = Arc::default();
        let noted = Arc::clone(&content_type);
        // It ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                _ = forward(stream, exporter, format, &noted);
            }
        });
        Self { address, content_type }
    }
}

fn forward(
    mut stream: TcpStream,
    exporter: SocketAddr,
    format: Format,
    noted: &Mutex<Option<String>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or("/").to_owned();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|line| line.0.eq_ignore_ascii_case(name)).map(|line| line.1.trim().to_owned())
    };
    let accept = format.accept().map(str::to_owned).or_else(|| header("accept")).unwrap_or_default();
    let answer = get(exporter, &target, &[("Accept", &accept)])?;
    let content_type = answer.headers.get("content-type").cloned().unwrap_or_default();
    write!(
        stream,
        "HTTP/1.1 {} \r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.body.len()
    )?;
    stream.write_all(&answer.body)?;
    *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(content_type);
    Ok(())
}

/// A running Prometheus; dropping it kills it.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    proxy: Proxy,
    directory: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes `/metrics` in a profile every second, or where that takes longer every 20 s; `None` where there is no Prometheus.
    pub(crate) fn of_format(exporter: SocketAddr, profile: &str, format: Format) -> Option<Self> {
        Self::scraping_every(if is_emulated() { 20 } else { 1 }, exporter, profile, format)
    }

    /// The same every so many seconds.
    pub(crate) fn scraping_every(
        interval: u32,
        exporter: SocketAddr,
        profile: &str,
        format: Format,
    ) -> Option<Self> {
        let proxy = Proxy::start(exporter, format);
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: {interval}s, scrape_timeout: {interval}s}}\n\
             scrape_configs:\n\
             - job_name: e2e\n  params: {{profile: [{profile}]}}\n  honor_timestamps: true\n\
             \x20 static_configs: [{{targets: ['{}']}}]\n",
            proxy.address
        );
        std::fs::write(&config, text).expect("it can be written");
        // A port has to be known before its owner starts: taken and left again.
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port is free");
        let log = std::fs::File::create(directory.path().join("log")).expect("it can be written");
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--log.level=debug"]);
        if format == Format::Protobuf {
            command.arg("--enable-feature=native-histograms");
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let Ok(child) = child else { return skip("there is no prometheus on PATH") };
        let prometheus = Self { child, address, proxy, directory };
        await_until("Prometheus is ready", || {
            get(address, "/-/ready", &[]).ok().filter(|answer| answer.status == 200)
        });
        Some(prometheus)
    }

    #[track_caller]
    fn api(&self, target: &str) -> serde_json::Value {
        let answer = get(self.address, target, &[]).unwrap_or_else(|error| panic!("{target}: {error}"));
        let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(json["status"], "success", "{target}: {json}");
        json["data"].clone()
    }

    /// The names of all series that it has stored.
    #[track_caller]
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let data = self.api("/api/v1/label/__name__/values");
        let names = data.as_array().into_iter().flatten();
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// The series that answer a query: the last of `over`, or any in it; an error of Prometheus' as it says it.
    pub(crate) fn answer(&self, query: &str, over: Over) -> Result<Vec<serde_json::Value>, String> {
        let query = percent_encoded(query);
        let target = match over {
            Over::Now => format!("/api/v1/query?query={query}"),
            Over::Time { from, to } => {
                format!("/api/v1/query_range?query={query}&start={from}&end={to}&step=2")
            }
        };
        let answer = get(self.address, &target, &[]).map_err(|error| error.to_string())?;
        let json: serde_json::Value =
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        match json["data"]["result"].as_array() {
            Some(series) => Ok(series.clone()),
            None => Err(json["error"].to_string()),
        }
    }

    /// What it says of the target.
    #[track_caller]
    pub(crate) fn target(&self) -> serde_json::Value {
        self.api("/api/v1/targets")["activeTargets"][0].clone()
    }

    /// The content type of the last page.
    pub(crate) fn content_type(&self) -> Option<String> {
        self.proxy.content_type.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines of its log that are about a scrape or worse than information.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.directory.path().join("log")).expect("its log");
        let bad = |line: &&str| {
            ["level=warn", "level=error", "level=WARN", "level=ERROR", "scrape failed", "Append failed"]
                .iter()
                .any(|part| line.contains(part))
        };
        log.lines().filter(bad).map(str::to_owned).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
