//! The rootless engines of every user: followed as their sockets come.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use collector_core::{Collector, Engine, Inventory};
use source_docker::{Endpoint, StatsInventory, StatsSampler, UserEngines};

use super::engines;
use crate::config::settings::Settings;

/// Pause between looks for what no event told of.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Follows the engines of users until the collector ends, those of `followed` apart; `sampler` gives what they are asked
/// for. On a runtime.
pub(super) fn follow(
    settings: &Settings,
    collector: &Collector,
    sampler: Arc<StatsSampler>,
    followed: Vec<Endpoint>,
) {
    if ![Engine::Docker, Engine::Podman].into_iter().any(|kind| settings.follows_users_of(kind)) {
        return;
    }
    let mut engines = UserEngines::new(Path::new("/"), &followed, LOOK_INTERVAL);
    let additions = collector.additions();
    let settings = settings.clone();
    tokio::spawn(async move {
        let mut known: BTreeMap<String, Arc<StatsInventory>> = BTreeMap::new();
        loop {
            let candidate = tokio::select! {
                candidate = engines.next() => candidate,
                () = additions.closed() => return,
            };
            if !settings.follows_users_of(candidate.engine) {
                continue;
            }
            if let Some(inventory) = known.get(&candidate.name) {
                // It waits for its socket.
                inventory.relist();
                continue;
            }
            let name = candidate.name.clone();
            let Ok(inventory) = engines::inventory(&settings, engines::of_user(candidate, &settings)) else {
                continue;
            };
            // First, so that whoever opens a container of it finds what it is asked for.
            sampler.add(&inventory);
            if additions.add(Arc::clone(&inventory) as Arc<dyn Inventory>) {
                tracing::info!(source = name, "a user's engine is followed");
            } else {
                tracing::warn!(source = name, "a user's engine is left out: there are too many engines");
            }
            known.insert(name, inventory);
        }
    });
}
