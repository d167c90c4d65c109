//! Puts what was read together into a snapshot, and says what is absent and why.

use std::{
    sync::{Arc, LazyLock},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    Shared,
    budget::LeftOut,
    entry::{Entry, Shown, absent as nothing_read},
    own,
};
use crate::{
    Absence, ContainerSample, Group, Groups, Reading, Sample, Snapshot, State, Value,
    catalogue::{self, Dimension, Entity, RowId, ids},
};

/// What a collection has read.
pub(super) struct Read {
    pub(super) groups: Groups,
    pub(super) taken_at: SystemTime,
    pub(super) containers: Vec<(Arc<Entry>, Option<Sample>)>,
    pub(super) host: Option<Sample>,
    pub(super) root: Option<Sample>,
}

/// Containers by group and reason.
#[derive(Default)]
struct Absent([[u64; Absence::ALL.len()]; Group::ALL.len()]);

/// Rows whose absence means that the kernel's number is out of reach, with the table that they stand in, by group.
static FROM_KERNEL: LazyLock<Vec<(Group, RowId, Option<Dimension>)>> = LazyLock::new(|| {
    let rows = catalogue::get().iter();
    rows.filter(|(_, row)| row.entity == Entity::Container && !row.hidden && row.source.is_sampled())
        .map(|(id, row)| (row.group, id, catalogue::get().column(id).map(|(dimension, _)| dimension)))
        .collect()
});

pub(super) fn assemble(shared: &Shared, read: Read) -> Snapshot {
    let mut absent = Absent::default();
    let mut counts = [0_u64; State::ALL.len()];
    let mut timed_out = 0;
    let mut containers: Vec<ContainerSample> = read
        .containers
        .into_iter()
        .map(|(entry, sample)| {
            let shown = entry.shown();
            counts[shown.container.state as usize] += u64::from(!shown.container.is_unit());
            let runs = shown.container.state.has_processes();
            let sample = sample.unwrap_or_else(|| {
                nothing_read(if runs { Absence::Timeout } else { Absence::NotRunning }, read.groups)
            });
            // Not begun in time, or a thread still hangs in it from before.
            timed_out += u64::from(sample.get(ids::CPU_USAGE) == Reading::Absent(Absence::Timeout));
            if runs {
                absent.note(&sample, read.groups);
            }
            finish(shown, sample, read.groups, read.taken_at)
        })
        .collect();
    shared.counts.timed_out.add(timed_out);
    let left_out = shared.budget.keep(&mut containers, read.groups);
    let mut host = read.host.unwrap_or_else(|| Sample::absent(Absence::Timeout));
    fill_host(shared, &mut host, counts, timed_out);
    let mut exporter = Sample::absent(Absence::NotCollected);
    for LeftOut { group, containers, series } in left_out {
        absent.add(group, Absence::OverBudget, containers);
        let labels = [group.as_str(), Absence::OverBudget.as_str()];
        exporter.set_in(ids::SERIES_DROPPED, &labels, Reading::int(series));
    }
    for (group, reason, containers) in absent.counts() {
        exporter.set_in(ids::METRIC_ABSENT, &[group.as_str(), reason.as_str()], Reading::int(containers));
    }
    own::fill(shared, read.groups, &mut exporter);
    Snapshot {
        taken_at: read.taken_at,
        watched_since: shared.started_at,
        groups: read.groups,
        containers,
        host,
        root: read.root.map(Arc::new),
        exporter,
    }
}

/// Adds what the engine says and what is counted while we watch.
fn finish(shown: Shown, mut sample: Sample, groups: Groups, taken_at: SystemTime) -> ContainerSample {
    if groups.has(Group::State) {
        shown.engine.fill(&mut sample);
        sample.set(ids::RESTARTS, Reading::int(shown.restarts));
        sample.set(ids::OOM_EVENTS, Reading::int(shown.oom_events));
        let now = taken_at.duration_since(UNIX_EPOCH).ok().and_then(|now| u64::try_from(now.as_nanos()).ok());
        if let Some(now) = now {
            sample.set(ids::LAST_SEEN, Reading::Value(Value::Nanos(now)));
        }
    }
    ContainerSample::new(shown.container, sample, shown.first_seen)
}

impl Absent {
    /// Counts the container once for each group and reason.
    fn note(&mut self, sample: &Sample, groups: Groups) {
        let mut noted = [[false; Absence::ALL.len()]; Group::ALL.len()];
        for (group, id, dimension) in FROM_KERNEL.iter().filter(|(group, ..)| groups.has(*group)) {
            let reason = match dimension {
                Some(dimension) => sample.table(*dimension).absence,
                None => match sample.get(*id) {
                    Reading::Absent(reason) => Some(reason),
                    Reading::Max | Reading::Value(_) => None,
                },
            };
            let Some(reason) = reason else { continue };
            if !std::mem::replace(&mut noted[*group as usize][reason as usize], true) {
                self.add(*group, reason, 1);
            }
        }
    }

    fn add(&mut self, group: Group, reason: Absence, containers: u64) {
        self.0[group as usize][reason as usize] += containers;
    }

    /// Groups and reasons that some containers have.
    fn counts(&self) -> impl Iterator<Item = (Group, Absence, u64)> {
        let of = move |group: Group| {
            let count = move |reason: Absence| (group, reason, self.0[group as usize][reason as usize]);
            Absence::ALL.into_iter().map(count)
        };
        Group::ALL.into_iter().flat_map(of).filter(|(.., count)| *count > 0)
    }
}

fn fill_host(shared: &Shared, host: &mut Sample, counts: [u64; State::ALL.len()], timed_out: u64) {
    for (state, count) in State::ALL.into_iter().zip(counts) {
        host.set_in(ids::CONTAINER_COUNT, &[state.as_str()], Reading::int(count));
    }
    for (outcome, exits) in shared.totals.exits() {
        host.set_in(ids::HOST_EXITS, &[outcome], Reading::int(exits));
    }
    host.set(ids::HOST_OOM_KILLS, Reading::int(shared.totals.oom_kills_total()));
    host.set(ids::HOST_CPU_USAGE, Reading::Value(Value::Nanos(shared.totals.cpu_nanos_total())));
    host.set(ids::SCRAPE_ERROR, Reading::int(u64::from(timed_out > 0)));
}
