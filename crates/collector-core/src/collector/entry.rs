//! One container in the collector's table: its identity, its probe, and what is counted of it.
//!
//! Two locks: `state` is held for moments and never while anything is read; `probe` is held while the kernel is asked, so
//! a read that hangs blocks only its own container.

use std::{
    sync::{
        Arc, LazyLock, Mutex, TryLockError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{
    Shared,
    account::{Follower, Outcome},
    lock,
};
use crate::{
    Absence, COUNTED, Container, ContainerId, Groups, Probe, Reading, Sample, Signal, State, Value,
    catalogue::{self, Inputs, RowId, Source, ids},
    cpu::{CpuReading, CpuWindow, Monotonic},
};

/// One container that is watched.
pub(super) struct Entry {
    pub(super) id: ContainerId,
    state: Mutex<EntryState>,
    probe: Mutex<ProbeSlot>,
    /// A thread did not come back from reading it in time.
    hangs: AtomicBool,
}

struct EntryState {
    container: Arc<Container>,
    engine: EngineRows,
    source: usize,
    first_seen: SystemTime,
    /// Counts the runs, so that what belongs to an earlier one is told from what belongs to this.
    run: u64,
    restarts: u64,
    oom_events: u64,
    /// The engine spoke of an OOM kill before it told that the container runs: that takes an inspect, a hint does not.
    early_hint: bool,
    /// By row of [`WATCHED`]: what the open probe counts, and the sum over all of them. Empty while nobody asks.
    watched: Vec<(Follower, u64)>,
    current: Run,
}

/// What is followed through one run.
struct Run {
    cpu: Follower,
    oom: Follower,
    /// The engine's count of restarts when the run began, or when it was first seen.
    restarts_before: Option<u64>,
    /// The kernel's count of OOM kills could be read.
    oom_read: bool,
    /// OOM kills counted in this run.
    oom_kills: u64,
    /// Of those, the ones that only the engine's word stands for. A kernel's count that comes yet contains them.
    oom_assumed: u64,
    /// The engine spoke of an OOM kill in this run, or the kernel did of one that can be no other's.
    oom_hint: bool,
    /// The kernel announced that the container's memory events changed.
    memory_event: bool,
    /// OOM kills around the container and those counted by us, at its last reading upon a signal.
    around: Option<(u64, u64)>,
    window: CpuWindow,
    /// The last sample of the run was taken.
    final_taken: bool,
    /// The end of the run was counted.
    ended: bool,
    /// The last sample was missed, so that the engine's word counts where the kernel's is not to be had.
    missed: bool,
}

impl Run {
    fn new(container: &Container, interval: Duration, seen_from_its_start: bool) -> Self {
        let follower = if seen_from_its_start { Follower::born() } else { Follower::default() };
        Self {
            cpu: follower,
            oom: follower,
            restarts_before: container.restart_count,
            oom_read: false,
            oom_kills: 0,
            oom_assumed: 0,
            oom_hint: false,
            memory_event: false,
            around: None,
            window: CpuWindow::new(interval),
            final_taken: false,
            ended: false,
            missed: false,
        }
    }
}

#[derive(Default)]
struct ProbeSlot {
    /// The run that the probe belongs to.
    run: u64,
    /// The init process that was known when it was opened.
    pid: Option<u32>,
    probe: Option<Box<dyn Probe>>,
    /// Why there is none, after a try in this run, and when that was.
    failed: Option<(Absence, Instant)>,
}

/// Rows that a sampler counts since it opened a container, and that go on over its runs.
static WATCHED: LazyLock<Vec<RowId>> = LazyLock::new(|| {
    let rows = catalogue::get().iter();
    rows.filter(|(_, row)| matches!(row.source, Source::SamplerWatched)).map(|(id, _)| id).collect()
});

/// A row of the engine's, and how it is read off a description.
type EngineRow = (RowId, fn(&Container) -> Reading);

/// The rows that the engine fills.
static ENGINE_ROWS: LazyLock<Vec<EngineRow>> = LazyLock::new(|| {
    let rows = catalogue::get().iter();
    let rows = rows.filter_map(|(id, row)| match row.source {
        Source::Engine(field) => Some((id, field)),
        _ => None,
    });
    rows.take(ENGINE_ROWS_MAX).collect()
});

/// More than there are, which a test counts.
const ENGINE_ROWS_MAX: usize = 8;

/// What a description says for them. They are read off it once and not for each snapshot: of ten thousand containers no
/// description is in the processor's caches any more.
#[derive(Clone, Copy)]
pub(super) struct EngineRows([Reading; ENGINE_ROWS_MAX]);

impl EngineRows {
    fn of(container: &Container) -> Self {
        let mut readings = [Reading::Absent(Absence::NotCollected); ENGINE_ROWS_MAX];
        for (reading, (_, field)) in readings.iter_mut().zip(ENGINE_ROWS.iter()) {
            *reading = field(container);
        }
        Self(readings)
    }

    pub(super) fn fill(&self, sample: &mut Sample) {
        ENGINE_ROWS.iter().zip(self.0).for_each(|((row, _), reading)| sample.set(*row, reading));
    }
}

/// A failed open is tried again after this time.
const OPEN_AGAIN: Duration = Duration::from_secs(5);

/// The start of a run as its event has it, and as an inspect has it, are this close. Two starts can be, too, but then an
/// end was told between them, or the process is another.
const SAME_MOMENT: Duration = Duration::from_secs(1);

/// Engines wait longer than this before they start a container again by its policy. The event of a start may be dated
/// after an end that followed at once, but not by so much.
const RESTART_LEAST: Duration = Duration::from_millis(75);

/// What a snapshot shows of an entry.
pub(super) struct Shown {
    pub(super) container: Arc<Container>,
    pub(super) engine: EngineRows,
    pub(super) first_seen: SystemTime,
    pub(super) restarts: u64,
    pub(super) oom_events: u64,
}

impl Entry {
    /// `has_come` since its source has listed all that run there.
    pub(super) fn new(container: Container, source: usize, has_come: bool, shared: &Shared) -> Self {
        let seen_from_its_start =
            has_come || began_under_our_eyes(&container, shared) || !container.state.has_processes();
        let ended = !container.state.has_processes();
        let mut current = Run::new(&container, lock(&shared.live).interval, seen_from_its_start);
        current.ended = ended;
        Self {
            id: container.id.clone(),
            state: Mutex::new(EntryState {
                engine: EngineRows::of(&container),
                container: Arc::new(container),
                source,
                first_seen: SystemTime::now(),
                run: 1,
                restarts: 0,
                oom_events: 0,
                early_hint: false,
                watched: Vec::new(),
                current,
            }),
            probe: Mutex::default(),
            hangs: AtomicBool::new(false),
        }
    }

    pub(super) fn container(&self) -> Arc<Container> {
        Arc::clone(&lock(&self.state).container)
    }

    pub(super) fn source(&self) -> usize {
        lock(&self.state).source
    }

    pub(super) fn shown(&self) -> Shown {
        let state = lock(&self.state);
        Shown {
            container: Arc::clone(&state.container),
            engine: state.engine,
            first_seen: state.first_seen,
            restarts: state.restarts,
            oom_events: state.oom_events,
        }
    }

    /// Takes over a newer description; true if a run begins with it, or from now on its init process is known, or what runs it.
    pub(super) fn update(&self, mut new: Container, source: usize, shared: &Shared) -> bool {
        let mut state = lock(&self.state);
        let old = Arc::clone(&state.container);
        let adopted = state.source != source;
        state.source = source;
        let had = old.state.has_processes();
        let has = new.state.has_processes();
        if has && had && new.pid.is_none() && new.started_at == old.started_at {
            // A shorter description of the same run, as lists give it.
            new.pid = old.pid;
        }
        let another_run = !adopted && is_another_run(&old, &new);
        let begins = has && (!had || another_run);
        if had && !begins && began_under_our_eyes(&new, shared) {
            state.count_from_the_start(shared);
        }
        let passed = !has && !had && !adopted && ran_between(&old, &new);
        if had && (!has || begins) {
            state.end_run(if has { None } else { Some(&new) }, shared);
        } else if !has && !passed {
            state.late_news(&new, shared);
        }
        if begins || passed {
            // A container that was first seen stopped, or that ran before, restarts; one that was only made starts.
            let known_run = old.started_at.is_some() || had;
            if known_run {
                // Not against the last description: the engine raises its count before the run begins.
                let by_policy = match (state.current.restarts_before, new.restart_count) {
                    (Some(before), Some(after)) if after > before => after - before,
                    _ => 1,
                };
                state.restarts += by_policy;
            }
            state.run += 1;
            state.current = Run::new(&new, lock(&shared.live).interval, true);
            state.current.oom_hint = std::mem::take(&mut state.early_hint);
        }
        if passed {
            state.end_run(Some(&new), shared);
        }
        // How it is read depends on that; a cgroup that was found by scanning does not tell.
        let is_named_now = has && old.pid.is_none() && new.pid.is_some();
        let is_known_now = has && old.awaits_inspect && !new.awaits_inspect;
        let read_otherwise = old.is_sandboxed() != new.is_sandboxed();
        state.engine = EngineRows::of(&new);
        state.container = Arc::new(new);
        let run = state.run;
        drop(state);
        if read_otherwise {
            self.drop_probe_before(u64::MAX);
        } else if !has || begins {
            self.drop_probe_before(if has { run } else { run + 1 });
        }
        begins || is_named_now || is_known_now
    }

    /// The container is gone: ends its run if nobody else did.
    pub(super) fn remove(&self, shared: &Shared) {
        let mut state = lock(&self.state);
        if state.container.state.has_processes() {
            state.end_run(None, shared);
        }
        drop(state);
        self.forget();
    }

    /// It is not watched any more, but may well run on: nothing has ended.
    pub(super) fn forget(&self) {
        self.drop_probe_before(u64::MAX);
    }

    pub(super) fn set_interval(&self, interval: Duration) {
        lock(&self.state).current.window.set_interval(interval);
    }

    pub(super) fn oom_hint(&self, shared: &Shared) {
        let mut state = lock(&self.state);
        if state.container.state == State::Created {
            state.early_hint = true;
            return;
        }
        state.current.oom_hint = true;
        state.count_oom_unseen(true, shared);
    }

    /// Closes the files of earlier runs, unless a thread hangs in them: then that thread does it.
    fn drop_probe_before(&self, run: u64) {
        let probe = match self.probe.try_lock() {
            Ok(mut slot) if slot.run < run => {
                slot.failed = None;
                slot.probe.take()
            }
            _ => None,
        };
        drop(probe);
    }

    /// Reads the groups and, if so wished, what is counted while we watch, whichever group it is in. Called on a sampling thread.
    pub(super) fn sample(self: &Arc<Self>, groups: Groups, counted: bool, shared: &Arc<Shared>) -> Sample {
        // Another thread may be in it, as when the run has just begun. Whoever waited for it in vain once does not wait
        // again before it came back.
        let slot = if self.hangs.load(Relaxed) { self.probe.try_lock().ok() } else { self.lock_probe_soon() };
        self.hangs.store(slot.is_none(), Relaxed);
        let Some(mut slot) = slot else { return absent(Absence::Timeout, groups) };
        let sample = self.sample_locked(&mut slot, groups, counted, shared);
        drop(slot);
        // Whoever ended the run meanwhile could not close the files.
        let (run, runs) = {
            let state = lock(&self.state);
            (state.run, state.container.state.has_processes())
        };
        self.drop_probe_before(if runs { run } else { run + 1 });
        sample
    }

    fn sample_locked(
        self: &Arc<Self>,
        slot: &mut ProbeSlot,
        groups: Groups,
        counted: bool,
        shared: &Arc<Shared>,
    ) -> Sample {
        let (container, run, final_taken) = {
            let state = lock(&self.state);
            (Arc::clone(&state.container), state.run, state.current.final_taken)
        };
        // One that was opened before anybody named the init process has no network, no layer and no sight of the end.
        let is_named_now = container.pid.is_some() && slot.pid != container.pid;
        if slot.run != run || is_named_now {
            *slot = ProbeSlot { run, pid: container.pid, ..ProbeSlot::default() };
        }
        if !container.state.has_processes() || final_taken {
            slot.probe = None;
            return absent(Absence::NotRunning, groups);
        }
        if slot.probe.is_none() {
            if container.awaits_inspect {
                return absent(Absence::NotInspected, groups);
            }
            if let Some((reason, at)) = slot.failed
                && shared.now().saturating_duration_since(at) < OPEN_AGAIN
            {
                return absent(reason, groups);
            }
            match shared.sampler.open(&container, self.on_signal(run, shared)) {
                Ok(probe) => {
                    let mut state = lock(&self.state);
                    // It counts from its first look on.
                    state.watched.iter_mut().for_each(|(follower, _)| *follower = Follower::born());
                    state.note_kills_around(run, probe.oom_kills_around(), shared);
                    drop(state);
                    slot.probe = Some(probe);
                }
                Err(reason) => {
                    slot.failed = Some((reason, shared.now()));
                    return absent(reason, groups);
                }
            }
        }
        let Some(probe) = slot.probe.as_mut() else { return absent(Absence::NotRunning, groups) };
        let mut sample = Sample::of_container(Absence::NotCollected, groups);
        let among_them = COUNTED.iter().all(|row| groups.has(catalogue::get().row(*row).group));
        let count = if counted && !among_them { probe.count(&mut sample) } else { Ok(()) };
        let read = if groups == Groups::NONE { count } else { count.and(probe.sample(groups, &mut sample)) };
        let complete = is_complete(&sample);
        let ended = probe.has_ended();
        self.account(run, &mut sample, shared);
        if ended && complete {
            // Nobody will tell of its end: this is its last sample.
            let mut state = lock(&self.state);
            if state.run == run {
                state.current.final_taken = true;
            }
        }
        if read.is_err() {
            slot.probe = None;
            slot.failed = Some((Absence::NotRunning, shared.now()));
            return absent(Absence::NotRunning, groups);
        }
        derive(&container, groups, &mut sample);
        sample
    }

    /// Counts what a sample tells, and fills the rows that need an earlier sample.
    fn account(&self, run: u64, sample: &mut Sample, shared: &Shared) {
        // Numbers that were polled are as old as they are: the same ones twice are no idle time.
        let now = shared.now();
        let taken = sample.taken_at.unwrap_or(now);
        if sample.taken_at.is_some() {
            let age = now.saturating_duration_since(taken).as_nanos();
            let age = u64::try_from(age).unwrap_or(u64::MAX);
            sample.set(ids::SAMPLE_AGE, Reading::Value(Value::Nanos(age)));
        }
        let now = Monotonic::new(taken.saturating_duration_since(shared.started));
        let mut state = lock(&self.state);
        state.add_up(sample);
        if state.run != run {
            return;
        }
        if let Some(usage) = sample.get(ids::CPU_USAGE).as_u64() {
            let rise = state.current.cpu.read(usage);
            state.count_cpu(rise, shared);
            let percent = state.current.window.observe(CpuReading::new(now, usage));
            sample.set(ids::CPU_USAGE_PERCENT, Reading::float(percent));
        }
        if let Some(kills) = sample.get(ids::MEMORY_EVENTS_OOM_KILL).as_u64() {
            state.current.oom_read = true;
            let rise = state.current.oom.read(kills);
            state.count_kills(rise, shared);
        }
    }

    fn on_signal(self: &Arc<Self>, run: u64, shared: &Arc<Shared>) -> crate::OnSignal {
        let entry: Weak<Self> = Arc::downgrade(self);
        let shared = Arc::downgrade(shared);
        Arc::new(move |signal| {
            if let (Some(entry), Some(shared)) = (entry.upgrade(), shared.upgrade()) {
                entry.signalled(signal, run, &shared);
            }
        })
    }

    /// The sampler saw something: reads once more, on the sampler's thread.
    fn signalled(&self, signal: Signal, run: u64, shared: &Shared) {
        let Some(mut slot) = self.lock_probe_soon() else { return };
        if slot.run != run {
            return;
        }
        let Some(probe) = slot.probe.as_mut() else { return };
        let mut sample = Sample::of_container(Absence::NotCollected, Groups::NONE);
        // Before its own count: a kill between the two is then in both, and not in neither.
        let around = probe.oom_kills_around();
        let read = probe.count(&mut sample);
        let complete = is_complete(&sample);
        self.account(run, &mut sample, shared);
        let around = if read.is_ok() { around } else { probe.oom_kills_around() };
        drop(slot);
        let mut state = lock(&self.state);
        if state.run != run {
            return;
        }
        state.current.memory_event |= signal == Signal::MemoryEvent;
        if read.is_ok() {
            state.note_kills_around(run, around, shared);
        } else {
            state.seek_unread_kill(around, shared);
        }
        if signal == Signal::Exited && complete {
            state.current.final_taken = true;
        }
    }

    /// A thread may be opening or reading: that takes some hundred microseconds, on a crowded machine some milliseconds. One
    /// that hangs is not waited for.
    fn lock_probe_soon(&self) -> Option<std::sync::MutexGuard<'_, ProbeSlot>> {
        for _ in 0..80 {
            match self.probe.try_lock() {
                Ok(slot) => return Some(slot),
                Err(TryLockError::Poisoned(_)) => return None,
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_micros(250)),
            }
        }
        None
    }
}

impl EntryState {
    /// Puts sums in the place of what the open probe counted.
    fn add_up(&mut self, sample: &mut Sample) {
        for (place, row) in WATCHED.iter().enumerate() {
            let Reading::Value(value) = sample.get(*row) else { continue };
            let (Value::Int(now) | Value::Nanos(now)) = value else { continue };
            if self.watched.is_empty() {
                self.watched = vec![(Follower::born(), 0); WATCHED.len()];
            }
            let (follower, sum) = &mut self.watched[place];
            *sum += follower.read(now);
            let sum = if matches!(value, Value::Nanos(_)) { Value::Nanos(*sum) } else { Value::Int(*sum) };
            sample.set(*row, Reading::Value(sum));
        }
    }

    /// Counts kills that the kernel tells of. Those that stood on the engine's word are among them.
    fn count_kills(&mut self, rise: u64, shared: &Shared) {
        let more = rise.saturating_sub(self.current.oom_assumed);
        self.current.oom_assumed = self.current.oom_assumed.saturating_sub(rise);
        self.count_oom(more, shared);
    }

    /// A list may show a run before anybody says when it began, and it may be read by then.
    fn count_from_the_start(&mut self, shared: &Shared) {
        let used = self.current.cpu.was_born();
        self.count_cpu(used, shared);
        let kills = self.current.oom.was_born();
        self.count_kills(kills, shared);
    }

    /// Counts the end of the current run, once.
    fn end_run(&mut self, after: Option<&Container>, shared: &Shared) {
        if std::mem::replace(&mut self.current.ended, true) {
            return;
        }
        if !self.current.final_taken {
            self.current.missed = true;
            shared.counts.final_samples_missed.add(1);
        }
        let engine_says = after.is_some_and(|container| container.oom_killed) || self.current.oom_hint;
        self.count_oom_unseen(engine_says, shared);
        let oom = self.current.oom_kills > 0 || engine_says;
        if !self.container.is_unit() {
            shared.totals.exit(Outcome::of(after.and_then(|container| container.exit_code), oom));
        }
    }

    fn count_cpu(&self, nanos: u64, shared: &Shared) {
        if !self.container.is_unit() {
            shared.totals.cpu(nanos);
        }
    }

    fn count_oom(&mut self, more: u64, shared: &Shared) {
        self.current.oom_kills += more;
        self.oom_events += more;
        if self.container.is_unit() {
            shared.totals.oom_kills_of_unit(more);
        } else {
            shared.totals.oom_kills(more);
        }
    }

    /// The engine may tell of an OOM kill only after it told of the end.
    fn late_news(&mut self, after: &Container, shared: &Shared) {
        self.count_oom_unseen(after.oom_killed && !self.container.oom_killed, shared);
    }

    fn note_kills_around(&mut self, run: u64, around: Option<u64>, shared: &Shared) {
        if self.run == run {
            self.current.around = around.map(|kills| (kills, shared.totals.oom_kills_seen()));
        }
    }

    /// The cgroup was gone before its count could be read: systemd removes a scope within a millisecond of its last
    /// process, the engines take ten times as long. Its parent still has the kill; if no other container is known to have
    /// had it, and this one's memory events had changed, it is this one's.
    fn seek_unread_kill(&mut self, around: Option<u64>, shared: &Shared) {
        let (Some((before, counted)), Some(now)) = (self.current.around, around) else { return };
        let others = shared.totals.oom_kills_seen().saturating_sub(counted);
        if self.current.memory_event && now.saturating_sub(before) > others {
            self.current.oom_hint = true;
            self.count_oom_unseen(true, shared);
        }
    }

    /// Where the kernel's own count was missed, the engine's word counts for one kill.
    fn count_oom_unseen(&mut self, engine_says: bool, shared: &Shared) {
        let unseen = self.current.ended && (self.current.missed || !self.current.oom_read);
        if engine_says && unseen && self.current.oom_kills == 0 {
            self.current.oom_assumed = 1;
            self.count_oom(1, shared);
        }
    }
}

/// Whether all that the run used was used since the collector began. A list tells only when the container was made, and that by
/// the second.
fn began_under_our_eyes(container: &Container, shared: &Shared) -> bool {
    [container.started_at, container.created_at].into_iter().flatten().any(|at| at >= shared.started_at)
}

/// Whether a sample tells all that is counted of a run. The directories of one on v1 are removed one after the other, so that
/// one number of the last sample may be read and the next not any more. What the kernel never has is not waited for.
fn is_complete(sample: &Sample) -> bool {
    COUNTED.into_iter().all(|row| match sample.get(row) {
        Reading::Value(_) | Reading::Max => true,
        Reading::Absent(reason) => !matches!(
            reason,
            Absence::NotRunning
                | Absence::NoFile
                | Absence::NotCollected
                | Absence::NotInspected
                | Absence::Timeout
                | Absence::Stale
        ),
    })
}

/// Whether a whole run came and went between two descriptions of a container without processes. The engine tells of an end
/// at once, of a start only with what an inspect says. Moments of events and of inspects differ a little: a run that began
/// well after the last end is told by that.
fn ran_between(old: &Container, new: &Container) -> bool {
    match (old.finished_at, new.started_at) {
        _ if new.state == State::Created => false,
        (None, _) if old.state == State::Created => true,
        (Some(end), Some(start)) => {
            start > end + RESTART_LEAST && new.finished_at.is_some_and(|next| next > start)
        }
        _ => false,
    }
}

/// Whether two descriptions of a container with processes are of two runs, although nobody told of an end between them.
fn is_another_run(old: &Container, new: &Container) -> bool {
    match (old.pid, new.pid) {
        (Some(old), Some(new)) if old != new => return true,
        _ => {}
    }
    match (old.started_at, new.started_at) {
        // An earlier start is the same one: a busy engine dates the event some seconds after what it says later.
        (Some(old), Some(new)) => new.duration_since(old).is_ok_and(|later| later > SAME_MOMENT),
        _ => false,
    }
}

/// A sample of which nothing could be read, tables included.
pub(super) fn absent(reason: Absence, groups: Groups) -> Sample {
    let mut sample = Sample::of_container(reason, groups);
    for dimension in catalogue::get().container_tables(groups) {
        sample.table_mut(dimension).absence = Some(reason);
    }
    sample
}

/// Fills the rows that are formulas over others.
pub(super) fn derive(container: &Container, groups: Groups, sample: &mut Sample) {
    for (id, row) in catalogue::get().iter() {
        if let Source::Derived(formula) = row.source
            && groups.has(row.group)
        {
            let reading = formula(&Inputs { container, sample });
            sample.set(id, reading);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_every_row_of_the_engines() {
        let rows = catalogue::get().iter();
        let count = rows.filter(|(_, row)| matches!(row.source, Source::Engine(_))).count();
        assert!((1..=ENGINE_ROWS_MAX).contains(&count), "{count}");
    }
}
