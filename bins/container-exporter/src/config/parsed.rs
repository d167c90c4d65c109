//! The merged values as figment hands them over: every key of the table has its field here, and nothing is decided yet.

use serde::Deserialize;

/// All sections. An unknown or missing field is a disagreement with the table, which the tests rule out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parsed {
    pub(crate) general: General,
    pub(crate) telemetry: Telemetry,
    pub(crate) docker: Docker,
    pub(crate) podman: Podman,
    pub(crate) remote: Remote,
    pub(crate) cgroup: Cgroup,
    pub(crate) containers: Containers,
    pub(crate) metrics: Metrics,
    pub(crate) labels: Labels,
    pub(crate) limits: Limits,
    pub(crate) server: Server,
    pub(crate) otlp: Otlp,
    pub(crate) traces: Traces,
    pub(crate) logging: Logging,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct General {
    pub(crate) interval: f64,
    pub(crate) source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telemetry {
    pub(crate) service_name: String,
    pub(crate) otel_exporter: Option<String>,
    pub(crate) otel_endpoint: Option<String>,
    pub(crate) prometheus_port: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Docker {
    pub(crate) enabled: bool,
    pub(crate) socket_path: Option<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) cert_path: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remote {
    pub(crate) max_age: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Podman {
    pub(crate) enabled: bool,
    pub(crate) socket_path: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cgroup {
    pub(crate) root: String,
    pub(crate) proc_root: String,
    pub(crate) include: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Containers {
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) max: usize,
    pub(crate) stopped_max: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) enable_cpu: bool,
    pub(crate) enable_memory: bool,
    pub(crate) enable_network: bool,
    pub(crate) enable_disk: bool,
    pub(crate) groups: Vec<String>,
    pub(crate) profile: Profile,
    pub(crate) max_age_ms: u64,
    pub(crate) timeout: f64,
    pub(crate) filesystem_interval: f64,
    pub(crate) series_per_group: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Labels {
    pub(crate) on_series: Vec<String>,
    pub(crate) max_per_container: usize,
    pub(crate) max_value_bytes: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) workers: usize,
    pub(crate) fds: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: String,
    pub(crate) max_connections: usize,
    pub(crate) max_scrapes: usize,
    pub(crate) header_timeout: f64,
    pub(crate) header_bytes_max: usize,
    pub(crate) write_timeout: f64,
    pub(crate) response_timeout: f64,
    pub(crate) keep_alive_timeout: f64,
    pub(crate) drain_timeout: f64,
    pub(crate) compression: Compression,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    pub(crate) endpoint: Option<String>,
    pub(crate) metrics_endpoint: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) insecure: bool,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) compression: String,
    pub(crate) timeout: f64,
    pub(crate) certificate: Option<String>,
    pub(crate) client_key: Option<String>,
    pub(crate) client_certificate: Option<String>,
    pub(crate) interval: Option<f64>,
    pub(crate) resource_attributes: Vec<(String, String)>,
    pub(crate) identity: String,
    pub(crate) names: String,
    pub(crate) queue_bytes_max: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Traces {
    pub(crate) exporter: String,
    pub(crate) ratio: f64,
    pub(crate) endpoint: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) insecure: Option<bool>,
    pub(crate) headers: Option<Vec<(String, String)>>,
    pub(crate) compression: Option<String>,
    pub(crate) timeout: Option<f64>,
    pub(crate) certificate: Option<String>,
    pub(crate) client_key: Option<String>,
    pub(crate) client_certificate: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Logging {
    pub(crate) level: LogLevel,
    pub(crate) format: LogFormat,
}

/// Whose names and labels a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// This project's.
    Native,
    /// cAdvisor's.
    Cadvisor,
}

/// When pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// For peers that accept it, loopback apart.
    Auto,
    /// For every peer that accepts it.
    Always,
    /// For none.
    Never,
}

/// The least severity that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Nothing is logged.
    Off,
    /// What failed.
    Error,
    /// What works less well than it should.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}
