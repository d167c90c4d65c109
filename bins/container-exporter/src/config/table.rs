//! Every configuration key there is, once.
//!
//! The default file, `docs/configuration.md`, the detection of unknown keys, the reading of environment variables and
//! flags and `config show` are derived from [`KEYS`]; a new key is a row here and a field in
//! [`parsed`](super::parsed), which the tests hold together.

use collector_core::{Group, Groups};

use super::kind::Kind;

/// What every variable of ours begins with. Two underscores, because Kubernetes sets `CONTAINER_EXPORTER_PORT` and the
/// like for a Service of this name.
pub(crate) const ENV_PREFIX: &str = "CONTAINER_EXPORTER__";

/// The groups of metrics that can be chosen.
pub(crate) const GROUPS: &[&str] = &{
    // Two words stand for several.
    let mut names = [Groups::STANDARD; Group::ALL.len() + 2];
    let mut at = 0;
    while at < Group::ALL.len() {
        names[at] = Group::ALL[at].as_str();
        at += 1;
    }
    names[at] = Groups::ALL;
    names
};

/// One row.
#[derive(Debug)]
pub(crate) struct Key {
    /// Section and name, with a dot between.
    pub(crate) path: &'static str,
    /// What it accepts.
    pub(crate) kind: Kind,
    /// What it is where nobody sets it.
    pub(crate) default: Preset,
    /// What it does: sentences, of which the first stands alone.
    pub(crate) doc: &'static str,
    /// The flag that sets it, with its dashes.
    pub(crate) flag: Option<&'static str>,
    /// The variables of the OpenTelemetry specification that set it; the later win.
    pub(crate) otel: &'static [&'static str],
    /// Whether SIGHUP applies a change of it; else a restart does.
    pub(crate) reload: bool,
    /// Whether its values are never shown.
    pub(crate) secret: bool,
}

/// The value of a key that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Preset {
    /// This one, in TOML.
    Is(&'static str),
    /// None. The example, in TOML, stands in the documentation.
    Unset {
        /// What a person could write.
        example: &'static str,
    },
}

impl Key {
    const fn new(path: &'static str, kind: Kind, default: Preset, doc: &'static str) -> Self {
        Self { path, kind, default, doc, flag: None, otel: &[], reload: false, secret: false }
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn otel(mut self, names: &'static [&'static str]) -> Self {
        self.otel = names;
        self
    }

    const fn reload(mut self) -> Self {
        self.reload = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The section, before the dot.
    pub(crate) fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// The name within the section.
    pub(crate) fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it.
    pub(crate) fn env_name(&self) -> String {
        format!("{ENV_PREFIX}{}", self.path.replace('.', "__").to_ascii_uppercase())
    }

    /// A value it accepts, in TOML: the default where there is one.
    pub(crate) fn example(&self) -> &'static str {
        match self.default {
            Preset::Is(value) => value,
            Preset::Unset { example } => example,
        }
    }

    /// The row of a path.
    pub(crate) fn find(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }
}

/// The sections in the order of the default file, each with what it is about.
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("general", "What holds everywhere."),
    (
        "telemetry",
        "How this process presents itself. The section has the names of the `config.toml` of container-monitoring, which loads unchanged.",
    ),
    ("docker", "Docker engines: they say who the containers are."),
    ("podman", "Podman engines, by their Docker-compatible API."),
    (
        "remote",
        "Containers whose kernel is out of reach: those of engines on other machines and of sandboxed runtimes (gVisor, Kata). The engine is asked for their numbers in the background, each `general.interval`, the oldest first, at most four at a time.",
    ),
    (
        "cgroup",
        "The kernel's side: where its files are found, which matters when the exporter itself runs in a container.",
    ),
    (
        "containers",
        "Which containers are watched, and how many. A container with the label `container-exporter.ignore=true` is never watched.",
    ),
    ("metrics", "What is measured and under which names."),
    ("labels", "Which of the containers' own labels become labels of series."),
    ("limits", "What the sampling may use."),
    ("server", "The HTTP server."),
    ("otlp", "Sending metrics by OTLP."),
    (
        "traces",
        "The exporter's own traces, sent by OTLP where an endpoint is set here or for all signals (`otlp.endpoint`, `telemetry.otel_endpoint`): scrapes, collections, lists of containers, exports. What is not set here is as in the section `otlp`.",
    ),
    ("logging", "The exporter's own log, on stderr."),
];

const YES: Preset = Preset::Is("true");
const SECOND: f64 = 1.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// The table.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    Key::new("general.interval", Kind::Seconds { min: 1.0, max: HOUR }, Preset::Is("15"),
        "The time over which percentages of CPU are computed. Nothing is collected on this period: a scrape collects when it comes.").reload(),
    Key::new("general.source", Kind::Source, Preset::Is("\"auto\""),
        "Where containers are found. `auto` asks every engine that answers and, while one does not, scans the cgroup tree for what is not shown yet; `docker` and `cgroup` use only that; `sim:100` simulates 100 containers (up to 10000), for trying out and for capacity planning.").flag("--source"),

    Key::new("telemetry.service_name", Kind::Text, Preset::Is("\"container-exporter\""),
        "The `service.name` of the resource that OTLP sends.").otel(&["OTEL_SERVICE_NAME"]).reload(),
    Key::new("telemetry.otel_exporter", Kind::Choice(&["otlp", "prometheus", "none"]), Preset::Unset { example: "\"otlp\"" },
        "Whether metrics are sent as well as served. Unset: where an endpoint is set. `otlp` without an endpoint sends to this machine. `/metrics` is served in any case.").reload(),
    Key::new("telemetry.otel_endpoint", Kind::Url, Preset::Unset { example: "\"http://otel-collector:4317\"" },
        "The collector to send to by gRPC. `otlp.endpoint` wins over it.").reload(),
    Key::new("telemetry.prometheus_port", Kind::Integer { min: 1, max: 65535 }, Preset::Unset { example: "8080" },
        "The port of the HTTP server, on all IPv4 addresses. `server.listen` and `--listen` win over it."),

    Key::new("docker.enabled", Kind::Bool, YES,
        "Whether Docker engines are looked for."),
    Key::new("docker.socket_path", Kind::Socket, Preset::Unset { example: "\"/var/run/docker.sock\"" },
        "The one socket to use, instead of those that `docker.hosts` names. Setting both is an error."),
    Key::new("docker.hosts", Kind::List(&Kind::Host), Preset::Is("[]"),
        "The engines, as paths of sockets, `unix://` URLs, or `tcp://host:port` for engines on other machines, whose numbers come from their stats API (section `remote`). An empty list looks where engines usually are: `DOCKER_HOST`, `/var/run/docker.sock`, then the rootless engines' sockets of all users (`/run/user/*/docker.sock`), as they come and go."),

    Key::new("docker.cert_path", Kind::Path, Preset::Unset { example: "\"/etc/docker/certs\"" },
        "The folder of `ca.pem`, `cert.pem` and `key.pem`: TLS for the `tcp://` engines of `docker.hosts`. The engine's certificate is always checked. For an engine that `DOCKER_HOST` names, `DOCKER_CERT_PATH` and `DOCKER_TLS_VERIFY` say so."),

    Key::new("podman.enabled", Kind::Bool, YES,
        "Whether Podman engines are looked for."),
    Key::new("podman.socket_path", Kind::Socket, Preset::Unset { example: "\"/run/podman/podman.sock\"" },
        "The one socket to use, instead of the usual places: `/run/podman/podman.sock`, then those of all users (`/run/user/*/podman/podman.sock`), as they come and go. Where there is none, the names of what runs come from Podman's own files; pods and health need the socket."),

    Key::new("remote.max_age", Kind::Seconds { min: SECOND, max: HOUR }, Preset::Is("60"),
        "How old such numbers may be; older ones are absent. `container_sample_age_seconds` tells their age."),

    Key::new("cgroup.root", Kind::Path, Preset::Is("\"/sys/fs/cgroup\""),
        "Where the host's cgroup file systems are mounted. In a container: where the host's `/sys/fs/cgroup` was mounted."),
    Key::new("cgroup.proc_root", Kind::Path, Preset::Is("\"/proc\""),
        "Where the host's proc file system is mounted."),
    Key::new("cgroup.include", Kind::List(&Kind::Pattern), Preset::Is("[]"),
        "Cgroups that no engine knows and that are shown all the same: systemd services (`system.slice/*.service`), sessions and services of users (`user.slice/**`), containers of `ctr`, nerdctl and systemd-nspawn (`default/*`, `system.slice/nerdctl-*.scope`, `machine.slice/*`). Patterns over the cgroup's path: `*` is any text within one component, `**` any number of components. A `**` at the end shows nothing twice: of what nests only the innermost, and a plain cgroup in a unit is part of it. Any other last component shows what it says, a slice only where it ends in `.slice`. Units have the labels `unit` and `slice` and are not counted in `container_count` and `host_containers_*`; what an engine runs is shown once, as the engine's. docs/units.md has more."),

    Key::new("containers.include", Kind::List(&Kind::Rule), Preset::Is("[]"),
        "Rules such as `name=web-*`, `image=*/nginx:*`, `label=team=core` or `label=team`: only containers that match one of them are watched. An empty list means all.").reload(),
    Key::new("containers.exclude", Kind::List(&Kind::Rule), Preset::Is("[]"),
        "Rules of the same form: containers that match one of them are not watched, whatever `containers.include` says.").reload(),
    Key::new("containers.max", Kind::Integer { min: 1, max: 100_000 }, Preset::Is("20000"),
        "The most containers that are watched; those beyond are left out, counted and logged once."),
    Key::new("containers.stopped_max", Kind::Integer { min: 0, max: 100_000 }, Preset::Is("500"),
        "The most stopped containers whose state is kept; those that stopped last stay."),

    Key::new("metrics.enable_cpu", Kind::Bool, YES,
        "`false` switches the groups cpu and cpu_detail off, whatever `metrics.groups` says.").reload(),
    Key::new("metrics.enable_memory", Kind::Bool, YES,
        "`false` switches the groups memory, memory_detail, memory_numa and huge_pages off, whatever `metrics.groups` says.").reload(),
    Key::new("metrics.enable_network", Kind::Bool, YES,
        "`false` switches the groups network and network_detail off, whatever `metrics.groups` says.").reload(),
    Key::new("metrics.enable_disk", Kind::Bool, YES,
        "`false` switches the groups io, io_detail, filesystem, filesystem_detail and engine_disk off, whatever `metrics.groups` says.").reload(),
    Key::new("metrics.groups", Kind::List(&Kind::Choice(GROUPS)),
        Preset::Is(r#"["standard"]"#),
        "The groups of metrics a page has when the request names none with `?collect[]=`. `standard` is all but those that docs/metrics.md calls opt-in, `all` is all.").reload(),
    Key::new("metrics.profile", Kind::Choice(&["native", "cadvisor"]), Preset::Is("\"native\""),
        "The names and labels of a page when the request names none with `?profile=`: this project's, or those of cAdvisor.").flag("--profile").reload(),
    Key::new("metrics.max_age_ms", Kind::Integer { min: 0, max: 60_000 }, Preset::Is("1000"),
        "How old a collection may be, in milliseconds, to answer another scrape; so scrapers that come together share one.").reload(),
    Key::new("metrics.timeout", Kind::Seconds { min: 0.1, max: 60.0 }, Preset::Is("10"),
        "The longest a collection may take, also where the scraper would wait longer; what is not read by then is absent from that page.").reload(),
    Key::new("metrics.filesystem_interval", Kind::Seconds { min: SECOND, max: DAY }, Preset::Is("600"),
        "The least time between two walks through the writable layer of one container, or through one of its mounts, which find their size; and between two questions to an engine for the groups engine and engine_disk."),
    Key::new("metrics.series_per_group", Kind::Integer { min: 1, max: 1_000_000_000 }, Preset::Is("1000000"),
        "The most series of containers in one group of a page or an export. A series is about 150 bytes of a page, so a million are some 150 MB; a container has 34 in the group memory, 98 in network_detail, in others 5 to 16 for each of its devices, interfaces or memory nodes. Past it the youngest containers have none of that group, which `container_exporter_series_dropped` counts and the log says once."),

    Key::new("labels.on_series", Kind::List(&Kind::Text), Preset::Is("[]"),
        "The keys of the container labels, such as `com.docker.compose.service`, that stand on every series; they stand on `container_info` in any case.").reload(),
    Key::new("labels.max_per_container", Kind::Integer { min: 0, max: 1024 }, Preset::Is("32"),
        "The most labels that are taken from one container; those beyond are dropped and counted.").reload(),
    Key::new("labels.max_value_bytes", Kind::Integer { min: 16, max: 65_536 }, Preset::Is("256"),
        "The longest value of a label; a longer one is cut and counted.").reload(),

    Key::new("limits.workers", Kind::Integer { min: 1, max: 64 }, Preset::Is("2"),
        "The threads that read the kernel's files. While some hang in a read, others take their place, up to four times as many."),
    Key::new("limits.fds", Kind::Integer { min: 64, max: 4_194_304 }, Preset::Unset { example: "65536" },
        "The most files that are kept open, so that a reading costs one call each; past it files are opened anew each time. Unset: what the system allows the process but for 512, at most 32768."),

    Key::new("server.listen", Kind::Listen, Preset::Is("\"0.0.0.0:8080\""),
        "The address of the HTTP server: `IP:PORT`, or `:PORT` or the port alone for all IPv4 addresses; `[::]:8080` is all addresses of both families.").flag("--listen"),
    Key::new("server.max_connections", Kind::Integer { min: 1, max: 65_536 }, Preset::Is("128"),
        "The most connections at one time; the next ones are answered 503 and closed."),
    Key::new("server.max_scrapes", Kind::Integer { min: 1, max: 1024 }, Preset::Is("8"),
        "The most pages of metrics that are written at one time; past it the answer is 503 with Retry-After."),
    Key::new("server.header_timeout", Kind::Seconds { min: 0.1, max: 300.0 }, Preset::Is("10"),
        "The longest the head of a request may take to arrive."),
    Key::new("server.header_bytes_max", Kind::Integer { min: 8192, max: 1_048_576 }, Preset::Is("16384"),
        "The longest head of a request, in bytes."),
    Key::new("server.write_timeout", Kind::Seconds { min: 0.1, max: 600.0 }, Preset::Is("10"),
        "The longest a peer may go without reading any of its answer."),
    Key::new("server.response_timeout", Kind::Seconds { min: 0.1, max: HOUR }, Preset::Is("60"),
        "The longest a peer may take to read a whole answer, however steadily it reads."),
    Key::new("server.keep_alive_timeout", Kind::Seconds { min: 0.0, max: HOUR }, Preset::Is("150"),
        "How long a connection may wait for its next request; longer than the usual scrape intervals, so that a scraper keeps its connection."),
    Key::new("server.drain_timeout", Kind::Seconds { min: 0.0, max: 300.0 }, Preset::Is("5"),
        "How long open requests may go on after SIGTERM."),
    Key::new("server.compression", Kind::Choice(&["auto", "always", "never"]), Preset::Is("\"auto\""),
        "Whether pages are compressed for peers that accept it; `auto` does so except on loopback, where it only costs."),

    Key::new("otlp.endpoint", Kind::Url, Preset::Unset { example: "\"http://otel-collector:4318\"" },
        "The base URL of the collector; by HTTP, `/v1/metrics` is added. By gRPC `HOST:PORT` will do.").otel(&["OTEL_EXPORTER_OTLP_ENDPOINT"]).reload(),
    Key::new("otlp.metrics_endpoint", Kind::Url, Preset::Unset { example: "\"http://prometheus:9090/api/v1/otlp/v1/metrics\"" },
        "The URL for metrics as it is, instead of `otlp.endpoint`.").otel(&["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"]).reload(),
    Key::new("otlp.protocol", Kind::Choice(&["grpc", "http/protobuf"]), Preset::Unset { example: "\"grpc\"" },
        "The protocol. Unset: gRPC for `telemetry.otel_endpoint`, http/protobuf else.").otel(&["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"]).reload(),
    Key::new("otlp.insecure", Kind::Bool, Preset::Is("false"),
        "Whether gRPC to an endpoint without a scheme goes without TLS.").otel(&["OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_METRICS_INSECURE"]).reload(),
    Key::new("otlp.headers", Kind::Map, Preset::Is("{}"),
        "Headers that go with every request, such as an authorization. They are never shown.").otel(&["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"]).secret().reload(),
    Key::new("otlp.compression", Kind::Choice(&["none", "gzip", "zstd"]), Preset::Is("\"none\""),
        "How requests are compressed. A receiver that refuses zstd gets gzip, one that refuses gzip gets none.").otel(&["OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION"]).reload(),
    Key::new("otlp.timeout", Kind::Seconds { min: 0.1, max: HOUR }, Preset::Is("10"),
        "The longest an export may take, its retries included.").otel(&["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT"]).reload(),
    Key::new("otlp.certificate", Kind::Path, Preset::Unset { example: "\"/etc/ssl/collector-ca.pem\"" },
        "The file of the certificates to trust.").otel(&["OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE"]).reload(),
    Key::new("otlp.client_key", Kind::Path, Preset::Unset { example: "\"/etc/ssl/client.key\"" },
        "The file of the client's private key.").otel(&["OTEL_EXPORTER_OTLP_CLIENT_KEY", "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY"]).reload(),
    Key::new("otlp.client_certificate", Kind::Path, Preset::Unset { example: "\"/etc/ssl/client.pem\"" },
        "The file of the client's certificate.").otel(&["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE"]).reload(),
    Key::new("otlp.interval", Kind::Seconds { min: SECOND, max: HOUR }, Preset::Unset { example: "60" },
        "The time between two exports. Unset: `general.interval`.").otel(&["OTEL_METRIC_EXPORT_INTERVAL"]).reload(),
    Key::new("otlp.resource_attributes", Kind::Map, Preset::Is("{}"),
        "Attributes of the resource of this process; those that say where it runs (`host.`, `cloud.`, `deployment.`, `k8s.cluster.`, `k8s.node.`) stand on the containers' resources as well. Unset, `host.name` and `service.instance.id` are the name of this host, which in a container is mostly the container's.").otel(&["OTEL_RESOURCE_ATTRIBUTES"]).reload(),
    Key::new("otlp.identity", Kind::Choice(&["resource", "datapoint", "both"]), Preset::Is("\"resource\""),
        "Where a container's identity stands: on its resource, on each data point, or on both.").reload(),
    Key::new("otlp.names", Kind::Choice(&["semconv", "prometheus"]), Preset::Is("\"semconv\""),
        "How metrics are called: by OpenTelemetry's semantic conventions, or as on the page.").reload(),
    Key::new("otlp.queue_bytes_max", Kind::Integer { min: 4_194_304, max: 1_073_741_824 }, Preset::Is("4194304"),
        "The most bytes that wait to be sent, before compression; beyond it the oldest are dropped and counted.").reload(),

    Key::new("traces.exporter", Kind::Choice(&["otlp", "none"]), Preset::Is("\"otlp\""),
        "Whether traces are sent where an endpoint is set. `telemetry.otel_exporter` switches them off, too.").otel(&["OTEL_TRACES_EXPORTER"]),
    Key::new("traces.ratio", Kind::Ratio, Preset::Is("0.1"),
        "How many of the traces that begin here are sent. A scrape that comes with a W3C `traceparent` is sent where its caller's is, whatever the ratio.").otel(&["OTEL_TRACES_SAMPLER_ARG"]),
    Key::new("traces.endpoint", Kind::Url, Preset::Unset { example: "\"http://tempo:4318/v1/traces\"" },
        "The URL for traces as it is, instead of `otlp.endpoint`, to which `/v1/traces` is added.").otel(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]).reload(),
    Key::new("traces.protocol", Kind::Choice(&["grpc", "http/protobuf"]), Preset::Unset { example: "\"grpc\"" },
        "The protocol, as `otlp.protocol`.").otel(&["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"]).reload(),
    Key::new("traces.insecure", Kind::Bool, Preset::Unset { example: "true" },
        "Whether gRPC to an endpoint without a scheme goes without TLS.").otel(&["OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_TRACES_INSECURE"]).reload(),
    Key::new("traces.headers", Kind::Map, Preset::Unset { example: "{ authorization = \"token\" }" },
        "Headers that go with every request, instead of `otlp.headers`. They are never shown.").otel(&["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"]).secret().reload(),
    Key::new("traces.compression", Kind::Choice(&["none", "gzip", "zstd"]), Preset::Unset { example: "\"gzip\"" },
        "How requests are compressed, as `otlp.compression`.").otel(&["OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"]).reload(),
    Key::new("traces.timeout", Kind::Seconds { min: 0.1, max: HOUR }, Preset::Unset { example: "10" },
        "The longest an export may take, its retries included.").otel(&["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"]).reload(),
    Key::new("traces.certificate", Kind::Path, Preset::Unset { example: "\"/etc/ssl/collector-ca.pem\"" },
        "The file of the certificates to trust.").otel(&["OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE"]).reload(),
    Key::new("traces.client_key", Kind::Path, Preset::Unset { example: "\"/etc/ssl/client.key\"" },
        "The file of the client's private key.").otel(&["OTEL_EXPORTER_OTLP_CLIENT_KEY", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY"]).reload(),
    Key::new("traces.client_certificate", Kind::Path, Preset::Unset { example: "\"/etc/ssl/client.pem\"" },
        "The file of the client's certificate.").otel(&["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE"]).reload(),

    Key::new("logging.level", Kind::Choice(&["off", "error", "warn", "info", "debug", "trace"]), Preset::Is("\"info\""),
        "The least severity that is logged.").flag("--log-level").reload(),
    Key::new("logging.format", Kind::Choice(&["text", "json"]), Preset::Is("\"text\""),
        "Lines for people, or one JSON object a line.").flag("--log-format"),
];
