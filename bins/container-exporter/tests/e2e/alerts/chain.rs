//! From a page to a webhook: Prometheus, Alertmanager, and who is told.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use container_mixin::Settings;

use crate::harness::{await_until, exchange, get, skip};

/// What the tests take for the key of a PagerDuty service.
pub(super) const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

const CONFIG: &str = include_str!("../../../../../deploy/alertmanager/alertmanager.yml");

/// A message that a webhook got.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Where it was posted to.
    pub(super) path: String,
    /// What was posted.
    pub(super) json: serde_json::Value,
}

impl Message {
    /// All of it.
    pub(super) fn text(&self) -> String {
        self.json.to_string()
    }

    /// Whether it tells that this alert fires.
    pub(super) fn is_of(&self, alert: &str) -> bool {
        let title = self.json["attachments"][0]["title"].as_str();
        let title = title.or_else(|| self.json["payload"]["summary"].as_str()).unwrap_or_default();
        title == format!("FIRING: {alert}") || title.starts_with(&format!("{alert}: "))
    }
}

/// Takes whatever is posted to it. It ends with the test program.
pub(super) struct Webhook {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Webhook {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let messages: Arc<Mutex<Vec<Message>>> = Arc::default();
        let taken = Arc::clone(&messages);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = Arc::clone(&taken);
                // A kept connection holds nobody else up.
                std::thread::spawn(move || {
                    if let Some(message) = take(stream) {
                        taken.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                    }
                });
            }
        });
        Self { address, messages }
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads one request and says that all is well.
fn take(mut stream: TcpStream) -> Option<Message> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    // What PagerDuty answers; of Slack only the status counts.
    let answer = r#"{"status":"success"}"#;
    let length = answer.len();
    write!(stream, "HTTP/1.1 202 Accepted\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}")
        .ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some(Message { path, json: serde_json::from_slice(&body).ok()? })
}

/// A program that ends with the test, and the directory of its files.
struct Running {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Running {
    /// Starts the first of these programs that there is, whose `--web.listen-address` is a free port, and waits until it is ready.
    fn start(programs: &[&str], directory: tempfile::TempDir, arguments: &[String]) -> Option<Self> {
        // A port has to be known before its owner starts: taken and left again.
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port is free");
        let started = programs.iter().find_map(|program| {
            let mut command = Command::new(program);
            command.args(arguments).arg(format!("--web.listen-address={address}"));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().ok()
        });
        let Some(child) = started else {
            return skip(format!(
                "there is no {} (enable with: cargo xtask test --install)",
                programs.join(" or ")
            ));
        };
        let running = Self { child, address, _directory: directory };
        await_until("it is ready", || {
            get(address, "/-/ready", &[]).ok().filter(|answer| answer.status == 200)
        });
        Some(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("it can be written");
}

/// An Alertmanager with the configuration of `deploy/`, whose messages go to a webhook.
pub(super) struct Alertmanager(Running);

impl Alertmanager {
    /// `None` where there is none.
    pub(super) fn start(webhook: &Webhook) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        write(path, "slack_api_url", &format!("http://{}/slack", webhook.address));
        write(path, "pagerduty_routing_key", ROUTING_KEY);
        let pagerduty = "https://events.pagerduty.com/v2/enqueue";
        let ours = ["/run/secrets/slack_api_url", "/run/secrets/pagerduty_routing_key", pagerduty];
        assert!(ours.iter().all(|part| CONFIG.contains(part)), "{CONFIG}");
        let config = CONFIG
            .replace("/run/secrets/", &format!("{}/", path.display()))
            .replace(pagerduty, &format!("http://{}/pagerduty", webhook.address));
        write(path, "alertmanager.yml", &config);
        let arguments = [
            format!("--config.file={}", path.join("alertmanager.yml").display()),
            format!("--storage.path={}", path.join("data").display()),
            "--cluster.listen-address=".to_owned(),
        ];
        Running::start(&["prometheus-alertmanager", "alertmanager"], directory, &arguments).map(Self)
    }

    /// Tells it of an alert, as Prometheus does.
    pub(super) fn fire(&self, labels: &[(&str, &str)]) {
        let labels: serde_json::Map<String, serde_json::Value> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let body =
            serde_json::json!([{ "labels": labels, "annotations": { "summary": "It is." } }]).to_string();
        let head = format!(
            "POST /api/v2/alerts HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.0.address,
            body.len()
        );
        let answer = exchange(self.0.address, (head + &body).as_bytes()).expect("it answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The alerts that it knows.
    pub(super) fn alerts(&self) -> Vec<serde_json::Value> {
        let answer = get(self.0.address, "/api/v2/alerts", &[]).expect("it answers");
        serde_json::from_slice(&answer.body).expect("a list")
    }
}

/// A Prometheus with our rules, which scrapes an exporter and evaluates every second.
pub(super) struct Prometheus(Running);

impl Prometheus {
    /// `None` where there is none.
    pub(super) fn start(exporter: SocketAddr, alertmanager: &Alertmanager, set: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let settings = set.iter().try_fold(Settings::default(), |settings, one| settings.with_set(one));
        let made = container_mixin::files(&settings.expect("settings")).expect("they can be made");
        for file in made.files {
            if let Some(name) = file.path.strip_prefix("deploy/prometheus/rules/") {
                write(path, &format!("rules-{name}"), &file.text);
            }
        }
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['rules-*.yml']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n\
             scrape_configs: [{{job_name: container-exporter, static_configs: [{{targets: ['{exporter}']}}]}}]\n",
            alertmanager.0.address
        );
        write(path, "prometheus.yml", &config);
        let arguments = [
            format!("--config.file={}", path.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", path.join("data").display()),
        ];
        Running::start(&["prometheus"], directory, &arguments).map(Self)
    }

    /// Whether an instant query yields anything.
    pub(super) fn yields(&self, query: &str) -> bool {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = get(self.0.address, &format!("/api/v1/query?query={encoded}"), &[]).expect("it answers");
        let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(json["status"], "success", "{query}: {json}");
        json["data"]["result"].as_array().is_some_and(|series| !series.is_empty())
    }
}
