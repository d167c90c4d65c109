//! The engines that are followed: which, and how.

use std::path::Path;
use std::sync::Arc;

use source_docker::{
    Candidate, Endpoint, EndpointError, PodmanStore, Polled, StatsInventory, StatsOptions, discover,
};

use crate::config::settings::{self, Settings, Source};

/// Stopped containers that are taken from an engine in any case. The collector keeps to the configured bound; the
/// engine's has to be wider, or containers that rules exclude would displace those that are wanted.
const STOPPED_LISTED: usize = 2_000;

/// Follows an engine once it runs; refused where its address cannot be used.
pub(super) fn inventory(settings: &Settings, wanted: Wanted) -> Result<Arc<StatsInventory>, EndpointError> {
    let endpoint = wanted.endpoint?;
    if endpoint.is_exposed() {
        tracing::warn!(
            "{endpoint} is spoken to without TLS: anyone on the way can read along and become root on that \
             machine; set docker.cert_path, and the engine's --tlsverify"
        );
    }
    let mut options = source_docker::Options::default();
    options.name = wanted.name;
    options.endpoint = endpoint;
    options.uid = wanted.uid;
    options.stopped_max = settings.containers.stopped_max.max(STOPPED_LISTED);
    options.optional = wanted.optional;
    options.store = wanted.store;
    options.holdings_interval = settings.metrics.filesystem_interval;
    let stats = stats_options(settings, &options.endpoint);
    Ok(Arc::new(StatsInventory::new(options, stats)))
}

/// The kernel counts the containers of engines on this machine, but for those of sandboxed runtimes.
fn stats_options(settings: &Settings, endpoint: &Endpoint) -> StatsOptions {
    let polled = if endpoint.is_remote() { Polled::All } else { Polled::Sandboxed };
    let mut options = StatsOptions::new(polled);
    options.interval = settings.interval;
    options.max_age = settings.remote_max_age;
    options
}

/// An engine to follow.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) endpoint: Result<Endpoint, EndpointError>,
    pub(super) uid: Option<u32>,
    /// Nobody asked for it by name: silent until it is there.
    pub(super) optional: bool,
    /// A person asked for it: in the configuration or by `DOCKER_HOST`.
    pub(super) is_named: bool,
    /// Where names are read while the engine cannot be asked.
    pub(super) store: Option<PodmanStore>,
}

/// The engines that the configuration names, and those in the usual places.
pub(super) fn wanted(settings: &Settings) -> Vec<Wanted> {
    let usual = discover(&|name| std::env::var(name).ok(), Path::new("/"));
    let mut wanted = Vec::new();
    for (kind, engine) in [("docker", &settings.docker), ("podman", &settings.podman)] {
        let off = !engine.enabled || (kind == "podman" && settings.source == Source::Docker);
        if off {
            continue;
        }
        match &engine.sockets {
            settings::Sockets::Only(paths) => {
                let local = paths.iter().cloned().map(Endpoint::Unix);
                wanted.extend(named(kind, local.chain(engine.remotes.iter().cloned())));
            }
            settings::Sockets::Auto => {
                let of_kind = usual.iter().filter(|candidate| candidate.engine.as_str() == kind);
                wanted.extend(of_kind.map(|candidate| from_usual(candidate, &usual, settings)));
            }
        }
    }
    wanted
}

fn named(kind: &str, endpoints: impl Iterator<Item = Endpoint>) -> impl Iterator<Item = Wanted> {
    endpoints.enumerate().map(move |(index, endpoint)| Wanted {
        name: if index == 0 { kind.to_owned() } else { format!("{kind}-{}", index + 1) },
        endpoint: Ok(endpoint),
        uid: None,
        optional: false,
        is_named: true,
        store: None,
    })
}

/// Docker is expected in its usual place, unless another engine is there and it is not: then nobody misses it.
fn is_optional(candidate: &Candidate, usual: &[Candidate]) -> bool {
    let is_docker = candidate.name == "docker";
    candidate.origin == "default" && (!is_docker || (!candidate.exists && usual.iter().any(|one| one.exists)))
}

fn from_usual(candidate: &Candidate, usual: &[Candidate], settings: &Settings) -> Wanted {
    // A user's store is found by the uid, once the user's engines are looked for.
    let store = (candidate.name == "podman" && candidate.origin == "default")
        .then(|| PodmanStore::of_system(Path::new("/")).with_proc(&settings.cgroup.proc_root));
    Wanted {
        name: candidate.name.clone(),
        endpoint: candidate.endpoint.clone(),
        uid: candidate.uid,
        optional: is_optional(candidate, usual),
        is_named: candidate.origin != "default",
        store,
    }
}

/// A user's engine: followed as long as its socket is there, and its store where that is not.
pub(super) fn of_user(candidate: Candidate, settings: &Settings) -> Wanted {
    let is_podman = candidate.engine == collector_core::Engine::Podman;
    let store = candidate.uid.filter(|_| is_podman).and_then(|uid| {
        PodmanStore::of_user(Path::new("/"), uid).map(|store| store.with_proc(&settings.cgroup.proc_root))
    });
    Wanted {
        name: candidate.name,
        endpoint: candidate.endpoint,
        uid: candidate.uid,
        optional: true,
        is_named: false,
        store,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the usual places are optional, where there are sockets at these.
    fn optional(sockets: &[&str], docker_host: Option<&str>) -> Vec<String> {
        let root = tempfile::tempdir().expect("a directory");
        for socket in sockets {
            let path = root.path().join(socket);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
            std::fs::write(path, "").expect("it can be written");
        }
        let env = |name: &str| docker_host.filter(|_| name == "DOCKER_HOST").map(str::to_owned);
        let usual = discover(&env, root.path());
        let optional = usual.iter().filter(|candidate| is_optional(candidate, &usual));
        optional.map(|candidate| candidate.name.clone()).collect()
    }

    #[test]
    fn docker_is_missed_unless_only_podman_is_there() {
        let (docker, podman) = ("run/docker.sock", "run/podman/podman.sock");
        assert_eq!(optional(&[], None), ["podman"]);
        assert_eq!(optional(&[docker], None), ["podman"]);
        assert_eq!(optional(&[docker, podman], None), ["podman"]);
        assert_eq!(optional(&[podman], None), ["docker", "podman"]);
        assert_eq!(optional(&[podman], Some("unix:///nowhere/docker.sock")), ["podman"], "it was asked for");
    }
}
