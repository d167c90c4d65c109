//! The exporter's own counts and rows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Shared, lock};
use crate::{Absence, Groups, Reading, Sample, Value, catalogue::ids, source::SourceStatus};

/// A count that only rises.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What the collector counts of itself.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) collections: Count,
    pub(super) collection_nanos: Count,
    pub(super) timed_out: Count,
    pub(super) final_samples_missed: Count,
}

/// Fills the rows of the entity exporter.
pub(super) fn fill(shared: &Shared, groups: Groups, sample: &mut Sample) {
    let counts = &shared.counts;
    sample.set(ids::COLLECTIONS, Reading::int(counts.collections.get()));
    sample.set(ids::COLLECTION_SECONDS, Reading::Value(Value::Nanos(counts.collection_nanos.get())));
    sample.set(ids::TIMED_OUT, Reading::int(counts.timed_out.get()));
    sample.set(ids::FINAL_SAMPLES_MISSED, Reading::int(counts.final_samples_missed.get()));
    shared.pool.tell_of_stuck();
    sample.set(ids::STUCK_WORKERS, Reading::int(shared.pool.stuck() as u64));
    let kept = shared.sampler.kept_fds();
    sample.set(ids::KEPT_FDS, kept.map_or(Reading::Absent(Absence::NotCollected), Reading::int));
    let up = shared.sampler.cgroups_up();
    let up = up.map_or(Reading::Absent(Absence::NotCollected), |up| Reading::int(u64::from(up)));
    sample.set(ids::CGROUPS_UP, up);
    let (reports, dropped, inventories) = {
        let table = lock(&shared.table);
        let inventories = shared.inventories();
        (table.reports(&inventories), table.dropped(), inventories)
    };
    for (reason, containers) in dropped {
        sample.set_in(ids::CONTAINERS_DROPPED, &[reason], Reading::int(containers));
    }
    for (inventory, report) in inventories.iter().zip(reports) {
        if report.dormant {
            continue;
        }
        let labels: &[&str] = &[inventory.name()];
        let mut set = |row, value: u64| sample.set_in(row, labels, Reading::int(value));
        let counters = inventory.counters();
        set(ids::SOURCE_UP, u64::from(matches!(report.status, Some(SourceStatus::Up(_)))));
        set(ids::SOURCE_CONTAINERS, report.containers as u64);
        set(ids::SOURCE_REQUESTS, counters.requests);
        set(ids::SOURCE_ERRORS, counters.request_errors);
        set(ids::SOURCE_EVENTS, counters.events);
        set(ids::SOURCE_EVENT_ERRORS, counters.event_errors);
        set(ids::SOURCE_RECONNECTS, counters.reconnects);
        set(ids::SOURCE_LISTS, counters.lists);
        set(ids::SOURCE_MALFORMED, counters.malformed);
        // An engine is up before it has said what it is: half a description would be another series.
        if let Some(SourceStatus::Up(info)) = &report.status
            && !info.version.is_empty()
        {
            let labels = [
                inventory.name(),
                &info.engine,
                &info.version,
                &info.api_version,
                &info.cgroup_driver,
                &info.storage_driver,
                &info.endpoint,
            ];
            sample.set_in(ids::ENGINE_INFO, &labels, Reading::int(1));
        }
        // What an engine held before it was lost says nothing of now.
        if matches!(report.status, Some(SourceStatus::Up(_))) {
            inventory.holdings(groups, sample);
        }
    }
    (shared.own_metrics)(sample);
}
