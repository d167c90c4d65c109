//! The rootless engines of every user: followed as their sockets come.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use collector_core::{Collector, Engine, Inventory};
use source_docker::{DockerInventory, Endpoint, PodmanStore, UserEngines};

use super::build::STOPPED_LISTED;
use crate::config::settings::{Settings, Sockets, Source};

/// Pause between looks for what no event told of.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Follows the engines of users until the collector ends, those of `followed` apart. On a runtime.
pub(super) fn follow(settings: &Settings, collector: &Collector, followed: Vec<Endpoint>) {
    let docker = settings.docker.enabled && settings.docker.sockets == Sockets::Auto;
    let podman = settings.podman.enabled
        && settings.podman.sockets == Sockets::Auto
        && settings.source != Source::Docker;
    if !docker && !podman {
        return;
    }
    let mut engines = UserEngines::new(Path::new("/"), &followed, LOOK_INTERVAL);
    let additions = collector.additions();
    let stopped_max = settings.containers.stopped_max.max(STOPPED_LISTED);
    let proc_root = settings.cgroup.proc_root.clone();
    tokio::spawn(async move {
        let mut known: BTreeMap<String, Arc<DockerInventory>> = BTreeMap::new();
        loop {
            let candidate = tokio::select! {
                candidate = engines.next() => candidate,
                () = additions.closed() => return,
            };
            let is_podman = candidate.engine == Engine::Podman;
            let Ok(endpoint) = candidate.endpoint else { continue };
            if !(if is_podman { podman } else { docker }) {
                continue;
            }
            if let Some(inventory) = known.get(&candidate.name) {
                // It waits for its socket.
                inventory.relist();
                continue;
            }
            let mut options = source_docker::Options::default();
            options.name.clone_from(&candidate.name);
            options.endpoint = endpoint;
            options.uid = candidate.uid;
            options.optional = true;
            options.stopped_max = stopped_max;
            options.store = candidate.uid.filter(|_| is_podman).and_then(|uid| {
                PodmanStore::of_user(Path::new("/"), uid).map(|store| store.with_proc(&proc_root))
            });
            let inventory = Arc::new(DockerInventory::new(options));
            if additions.add(Arc::clone(&inventory) as Arc<dyn Inventory>) {
                tracing::info!(source = candidate.name, "a user's engine is followed");
                known.insert(candidate.name, inventory);
            } else {
                tracing::warn!(
                    source = candidate.name,
                    "a user's engine is left out: there are too many engines"
                );
            }
        }
    });
}
