//! The settings: typed, checked against one another, and ready for use.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use collector_core::select::Selection;
use collector_core::{Group, Groups};
use source_cgroup::Include;
use source_docker::{Endpoint, TlsFiles};

pub(crate) use super::otlp::Otlp;
pub(crate) use super::parse::Source;
pub(crate) use super::parsed::{Compression, LogFormat, LogLevel, Profile};
use super::parsed::{Docker, Metrics as ParsedMetrics, Parsed, Podman};
use super::problem::{Origin, Problem};
pub(crate) use super::traces::Traces;
use super::{Effective, otlp, parse, traces};

/// Everything that a run needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The span of the percentages of CPU, and the rhythm of OTLP where it has none of its own.
    pub(crate) interval: Duration,
    /// Where containers are found.
    pub(crate) source: Source,
    /// The Docker engines.
    pub(crate) docker: Engine,
    /// The Podman engines.
    pub(crate) podman: Engine,
    /// How old numbers of the engines' stats API may be.
    pub(crate) remote_max_age: Duration,
    /// The kernel's files.
    pub(crate) cgroup: Cgroup,
    /// Which containers are watched.
    pub(crate) containers: Containers,
    /// What is measured.
    pub(crate) metrics: Metrics,
    /// Which container labels are taken.
    pub(crate) labels: Labels,
    /// What the sampling may use.
    pub(crate) limits: Limits,
    /// The HTTP server.
    pub(crate) server: Server,
    /// Where metrics are sent; `None` for nowhere.
    pub(crate) otlp: Option<Otlp>,
    /// Where the exporter's own traces are sent; `None` for nowhere.
    pub(crate) traces: Option<Traces>,
    /// The exporter's own log.
    pub(crate) logging: Logging,
    /// What is odd but does not hinder the start; each is logged once.
    pub(crate) warnings: Vec<Problem>,
}

/// An engine and where to look for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Engine {
    /// Whether it is looked for at all.
    pub(crate) enabled: bool,
    /// Where.
    pub(crate) sockets: Sockets,
    /// Those on other machines.
    pub(crate) remotes: Vec<Endpoint>,
}

/// Which sockets of an engine are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sockets {
    /// The usual places of the engine.
    Auto,
    /// These, which are absolute paths; none where all engines are on other machines.
    Only(Vec<PathBuf>),
}

/// Where the kernel's files are found.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    /// The mount point of the cgroup file systems.
    pub(crate) root: PathBuf,
    /// The mount point of proc.
    pub(crate) proc_root: PathBuf,
    /// The cgroups that are shown though no engine knows them.
    pub(crate) include: Include,
}

/// Which containers are watched, and how many.
#[derive(Debug, Clone)]
pub(crate) struct Containers {
    /// The rules of `containers.include` and `containers.exclude`.
    pub(crate) selection: Selection,
    /// The most containers at all.
    pub(crate) max: usize,
    /// The most stopped ones among them.
    pub(crate) stopped_max: usize,
}

/// What is measured, and the names it has by default.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// The groups of a page whose request names none.
    pub(crate) groups: Groups,
    /// The groups that are switched off, also for requests that name them.
    pub(crate) off: Groups,
    /// The profile of requests that name none.
    pub(crate) profile: Profile,
    /// How old a shared collection may be.
    pub(crate) max_age: Duration,
    /// The longest a collection may take.
    pub(crate) timeout: Duration,
    /// The least time between two walks through one writable layer, and between two questions to an engine about what it
    /// holds.
    pub(crate) filesystem_interval: Duration,
    /// The most series of containers in one group.
    pub(crate) series_per_group: u64,
}

/// Which container labels are taken.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    /// The keys that stand on every series.
    pub(crate) on_series: Vec<String>,
    /// The most labels of one container.
    pub(crate) max_per_container: usize,
    /// The longest value, in bytes.
    pub(crate) max_value_bytes: usize,
}

/// What the sampling may use.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Threads; at least one.
    pub(crate) workers: usize,
    /// Files kept open; `None` for what the process may.
    pub(crate) fds: Option<usize>,
}

/// The HTTP server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Where it listens; port 0 is any that is free.
    pub(crate) listen: SocketAddr,
    /// What set [`listen`](Self::listen), for the message about a busy port.
    pub(crate) listen_origin: Origin,
    /// The most connections at one time.
    pub(crate) max_connections: usize,
    /// The most pages written at one time.
    pub(crate) max_scrapes: usize,
    /// The longest the head of a request may take.
    pub(crate) header_timeout: Duration,
    /// The longest head of a request, in bytes.
    pub(crate) header_bytes_max: usize,
    /// The longest a peer may read nothing.
    pub(crate) write_timeout: Duration,
    /// The longest a peer may take over a whole answer.
    pub(crate) response_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub(crate) keep_alive_timeout: Duration,
    /// How long open requests go on after SIGTERM.
    pub(crate) drain_timeout: Duration,
    /// When pages are compressed.
    pub(crate) compression: Compression,
}

/// The exporter's own log.
#[derive(Debug, Clone)]
pub(crate) struct Logging {
    /// The least severity.
    pub(crate) level: LogLevel,
    /// Its form.
    pub(crate) format: LogFormat,
}

impl Settings {
    /// Whether the engines of this kind are followed that users run for themselves.
    pub(crate) fn follows_users_of(&self, kind: collector_core::Engine) -> bool {
        let (engine, is_wanted) = match kind {
            collector_core::Engine::Podman => (&self.podman, self.source == Source::Auto),
            _ => (&self.docker, matches!(self.source, Source::Auto | Source::Docker)),
        };
        is_wanted && engine.enabled && engine.sockets == Sockets::Auto
    }

    /// Resolves the merged values; adds to `problems` what does not go together.
    ///
    /// # Errors
    /// `None` where a value cannot be resolved at all, which `problems` then says.
    pub(super) fn resolve(
        parsed: Parsed,
        effective: &[Effective],
        mut warnings: Vec<Problem>,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let origins = Origins(effective);
        let before = problems.len();
        let source = keep(parse::source(&parsed.general.source), "general.source", &origins, problems);
        let docker = docker(&parsed.docker, &origins, problems);
        let podman = podman(&parsed.podman);
        let selection = Selection::new(&parsed.containers.include, &parsed.containers.exclude)
            .map_err(|error| problems.push(Problem::general(error.to_string())));
        let include = Include::new(&parsed.cgroup.include)
            .map_err(|error| problems.push(Problem::at(origins.of("cgroup.include"), error.to_string())));
        let server = server(&parsed, &origins, problems);
        let otlp = otlp::resolve(&parsed, &origins, &mut warnings, problems);
        let traces = traces::resolve(&parsed, &origins, &mut warnings, problems);
        if source == Some(Source::Docker) && !docker.enabled {
            let what = "`general.source` is docker, but `docker.enabled` is false; leave one of them out";
            problems.push(Problem::at(origins.of("docker.enabled"), what));
        }
        if problems.len() > before {
            return None;
        }
        let mut settings = Self {
            interval: Duration::from_secs_f64(parsed.general.interval),
            source: source?,
            docker,
            podman,
            remote_max_age: Duration::from_secs_f64(parsed.remote.max_age),
            cgroup: Cgroup {
                root: parsed.cgroup.root.into(),
                proc_root: parsed.cgroup.proc_root.into(),
                include: include.ok()?,
            },
            containers: Containers {
                selection: selection.ok()?,
                max: parsed.containers.max,
                stopped_max: parsed.containers.stopped_max,
            },
            metrics: metrics(&parsed.metrics),
            labels: Labels {
                on_series: parsed.labels.on_series,
                max_per_container: parsed.labels.max_per_container,
                max_value_bytes: parsed.labels.max_value_bytes,
            },
            limits: Limits { workers: parsed.limits.workers, fds: parsed.limits.fds },
            server: server?,
            otlp,
            traces,
            logging: Logging { level: parsed.logging.level, format: parsed.logging.format },
            warnings,
        };
        settings.add_warnings(&origins);
        Some(settings)
    }

    fn add_warnings(&mut self, origins: &Origins<'_>) {
        let mut warn = |path, what: &str| self.warnings.push(Problem::at(origins.of(path), what));
        if self.metrics.groups == Groups::NONE {
            warn("metrics.groups", "every group is off: pages have no series");
        }
        let engines = [("docker", &self.docker), ("podman", &self.podman)];
        for (name, _) in
            engines.iter().filter(|(_, engine)| !engine.enabled && engine.sockets != Sockets::Auto)
        {
            let path = if *name == "docker" { "docker.enabled" } else { "podman.enabled" };
            warn(path, &format!("`{name}.enabled` is false, so the sockets set for it are not used"));
        }
    }
}

/// Looks up where values came from.
pub(super) struct Origins<'a>(&'a [Effective]);

impl Origins<'_> {
    pub(super) fn of(&self, path: &str) -> Origin {
        self.0
            .iter()
            .find(|value| value.key.path == path)
            .map_or(Origin::Default, |value| value.origin.clone())
    }
}

fn keep<T>(
    read: Result<T, String>,
    path: &str,
    origins: &Origins<'_>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    read.map_err(|why| problems.push(Problem::at(origins.of(path), format!("`{path}`: {why}")))).ok()
}

fn docker(parsed: &Docker, origins: &Origins<'_>, problems: &mut Vec<Problem>) -> Engine {
    let sockets = match (&parsed.socket_path, parsed.hosts.as_slice()) {
        (Some(path), []) => Sockets::Only(vec![path.into()]),
        (None, []) => Sockets::Auto,
        (None, hosts) => {
            Sockets::Only(hosts.iter().filter(|host| host.starts_with('/')).map(PathBuf::from).collect())
        }
        (Some(_), [_, ..]) => {
            let what = format!(
                "`docker.hosts` is set, and `docker.socket_path` too (by {}); leave one of them out",
                origins.of("docker.socket_path")
            );
            problems.push(Problem::at(origins.of("docker.hosts"), what));
            Sockets::Auto
        }
    };
    let tls = parsed.cert_path.as_ref().map(|folder| TlsFiles { folder: folder.into() });
    let remotes = parsed.hosts.iter().filter(|host| host.starts_with("tcp://"));
    let remotes =
        remotes.filter_map(|host| Some(Endpoint::parse(host).ok()?.with_tls(tls.clone()))).collect();
    Engine { enabled: parsed.enabled, sockets, remotes }
}

fn podman(parsed: &Podman) -> Engine {
    let sockets = parsed.socket_path.as_ref().map_or(Sockets::Auto, |path| Sockets::Only(vec![path.into()]));
    Engine { enabled: parsed.enabled, sockets, remotes: Vec::new() }
}

/// The switches of container-monitoring take away from the groups; they never add.
fn metrics(parsed: &ParsedMetrics) -> Metrics {
    let switches = [
        (parsed.enable_cpu, &[Group::Cpu, Group::CpuDetail][..]),
        (parsed.enable_memory, &[Group::Memory, Group::MemoryDetail, Group::MemoryNuma, Group::HugePages]),
        (parsed.enable_network, &[Group::Network, Group::NetworkDetail]),
        (
            parsed.enable_disk,
            &[Group::Io, Group::IoDetail, Group::Filesystem, Group::FilesystemDetail, Group::EngineDisk],
        ),
    ];
    let off: Groups =
        switches.iter().filter(|(on, _)| !on).flat_map(|(_, groups)| *groups).copied().collect();
    let named = parsed.groups.iter().filter_map(|word| Groups::parse(word)).fold(Groups::NONE, Groups::or);
    Metrics {
        groups: off.iter().fold(named, Groups::without),
        off,
        profile: parsed.profile,
        max_age: Duration::from_millis(parsed.max_age_ms),
        timeout: Duration::from_secs_f64(parsed.timeout),
        filesystem_interval: Duration::from_secs_f64(parsed.filesystem_interval),
        series_per_group: parsed.series_per_group,
    }
}

fn server(parsed: &Parsed, origins: &Origins<'_>, problems: &mut Vec<Problem>) -> Option<Server> {
    let listen_origin = origins.of("server.listen");
    let (listen, listen_origin) = match parsed.telemetry.prometheus_port {
        Some(port) if !listen_origin.is_set() => {
            (SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), origins.of("telemetry.prometheus_port"))
        }
        _ => (keep(parse::listen(&parsed.server.listen), "server.listen", origins, problems)?, listen_origin),
    };
    let server = &parsed.server;
    Some(Server {
        listen,
        listen_origin,
        max_connections: server.max_connections,
        max_scrapes: server.max_scrapes,
        header_timeout: Duration::from_secs_f64(server.header_timeout),
        header_bytes_max: server.header_bytes_max,
        write_timeout: Duration::from_secs_f64(server.write_timeout),
        response_timeout: Duration::from_secs_f64(server.response_timeout),
        keep_alive_timeout: Duration::from_secs_f64(server.keep_alive_timeout),
        drain_timeout: Duration::from_secs_f64(server.drain_timeout),
        compression: server.compression,
    })
}
