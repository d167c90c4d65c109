//! What is known of each container: events, lists and inspects joined, without any I/O.
//!
//! Answers overtake one another: an inspect may be answered before the events that it already shows are read,
//! or after events that it does not show. The rules, per container:
//! - an end that an event tells is told on at once, and no answer asked for before it takes it back;
//! - an inspect that an event overtook gives what does not change in a run (limits, labels, …); it is asked again;
//! - a list that an event overtook does not touch that container.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::{Duration, SystemTime},
};

use collector_core::{Change, Container, ContainerId, Network, State};

use crate::{
    clock,
    event::{Event, Kind},
    read::{List, Owner, Seen},
};

/// How often an inspect is tried again before the next list must do.
const RETRIES_MAX: u32 = 5;

/// Ages in words are rounded, and clocks are read at different moments.
const AGE_SLACK: Duration = Duration::from_secs(2);

/// Why an inspect gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    /// There is no such container any more.
    Gone,
    /// No answer, or none that can be understood.
    Failed,
}

/// Where a container's inspect stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Inspect {
    #[default]
    Idle,
    Queued,
    /// On its way; what happened since it was asked for.
    Asked {
        started: bool,
        other: bool,
    },
}

#[derive(Debug)]
struct Entry {
    container: Container,
    /// An inspect has told of it since the engine was reached.
    detailed: bool,
    /// The collector knows it.
    announced: bool,
    /// Number of the last event that changed it.
    touched: u64,
    /// When the last run ended, by an event.
    ended_at: Option<SystemTime>,
    /// A `start` came that no `restart` has followed yet.
    fresh_start: bool,
    inspect: Inspect,
    failures: u32,
    malformed: bool,
    /// A list has told of its pod, which never changes.
    pod_known: bool,
}

impl Entry {
    fn new(mut container: Container) -> Self {
        container.awaits_inspect = true;
        Self {
            container,
            detailed: false,
            announced: false,
            touched: 0,
            ended_at: None,
            fresh_start: false,
            inspect: Inspect::Idle,
            failures: 0,
            malformed: false,
            pod_known: false,
        }
    }
}

/// The containers of one engine.
#[derive(Debug)]
pub(crate) struct Table {
    entries: HashMap<ContainerId, Entry>,
    owner: Owner,
    stopped_max: usize,
    /// To be inspected: what events ask for before what lists ask for.
    urgent: VecDeque<ContainerId>,
    later: VecDeque<ContainerId>,
    events: u64,
    events_at_list: u64,
    /// What was removed while a list is on its way, which may still have it.
    removed_since_list: Option<HashSet<ContainerId>>,
    /// What the last two lists no longer had: told as gone, while its last events may still be under way.
    gone_by_list: [HashSet<ContainerId>; 2],
    /// Running containers that the next whole list waits for.
    held: Option<HashSet<ContainerId>>,
    malformed: u64,
    nameless: u64,
    left_out: usize,
}

/// What an inspect changed.
#[derive(Debug, Default)]
pub(crate) struct Inspected {
    /// To be told, in this order.
    pub(crate) changes: Vec<Change>,
    /// Ask again after this time.
    pub(crate) retry: Option<Duration>,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(owner: Owner, stopped_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            owner,
            stopped_max,
            urgent: VecDeque::new(),
            later: VecDeque::new(),
            events: 0,
            events_at_list: 0,
            removed_since_list: None,
            gone_by_list: Default::default(),
            held: None,
            malformed: 0,
            nameless: 0,
            left_out: 0,
        }
    }

    /// The engine was reached again: whatever was known may have changed.
    pub(crate) fn reconnected(&mut self, owner: Owner) {
        self.owner = owner;
        self.urgent.clear();
        self.later.clear();
        self.held = None;
        self.removed_since_list = None;
        for entry in self.entries.values_mut() {
            entry.detailed = false;
            entry.inspect = Inspect::Idle;
            entry.failures = 0;
        }
    }

    /// Containers that could not be understood in full, each counted once.
    pub(crate) const fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Stopped containers beyond the bound at the last list.
    pub(crate) const fn left_out(&self) -> usize {
        self.left_out
    }

    /// What is known, told or not.
    pub(crate) fn containers(&self) -> Vec<Container> {
        self.entries.values().map(|entry| entry.container.clone()).collect()
    }

    /// Takes an event; what must be told at once, in this order.
    pub(crate) fn event(&mut self, event: &Event) -> Vec<Change> {
        self.events += 1;
        match event.kind {
            Kind::Oom => return vec![Change::OomHint(event.id.clone())],
            Kind::Removed => return self.removed(&event.id).into_iter().collect(),
            _ => {}
        }
        // A list overtook them. Its end is counted, and an id never comes back.
        if self.gone_by_list.iter().any(|gone| gone.contains(&event.id)) {
            return Vec::new();
        }
        let (touched, owner) = (self.events, self.owner);
        let entry =
            self.entries.entry(event.id.clone()).or_insert_with(|| Entry::new(from_event(event, owner)));
        entry.touched = touched;
        let mut changes = entry.apply(event);
        let told = !changes.is_empty();
        if entry.needs_inspect(event, told) {
            self.want(&event.id, true);
        }
        if told && matches!(event.kind, Kind::Died(_)) {
            changes.extend(self.evict());
        }
        changes
    }

    fn removed(&mut self, id: &ContainerId) -> Option<Change> {
        if let Some(removed) = &mut self.removed_since_list {
            removed.insert(id.clone());
        }
        if let Some(held) = &mut self.held {
            held.remove(id);
        }
        let entry = self.entries.remove(id)?;
        entry.announced.then(|| Change::Gone(id.clone()))
    }

    /// Asks for an inspect of a container, unless one is asked for already.
    pub(crate) fn want(&mut self, id: &ContainerId, urgent: bool) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        match entry.inspect {
            Inspect::Idle => entry.inspect = Inspect::Queued,
            // Moves to the front: its old place in the queue is skipped when its turn comes.
            Inspect::Queued if urgent => {}
            _ => return,
        }
        if urgent { &mut self.urgent } else { &mut self.later }.push_back(id.clone());
    }

    /// Whether the pod of a container, or that it has none, need not be asked for: a list has told.
    pub(crate) fn knows_pod(&self, id: &ContainerId) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.pod_known)
    }

    /// The next container to inspect; the answer goes to [`Table::inspected`].
    pub(crate) fn next_inspect(&mut self) -> Option<ContainerId> {
        while let Some(id) = self.urgent.pop_front().or_else(|| self.later.pop_front()) {
            if let Some(entry) = self.entries.get_mut(&id)
                && entry.inspect == Inspect::Queued
            {
                entry.inspect = Inspect::Asked { started: false, other: false };
                return Some(id);
            }
        }
        None
    }

    /// Takes the answer to an inspect.
    pub(crate) fn inspected(&mut self, id: &ContainerId, answer: Result<Seen, Miss>) -> Inspected {
        if let Some(held) = &mut self.held {
            held.remove(id);
        }
        let Some(entry) = self.entries.get_mut(id) else { return Inspected::default() };
        let asked = std::mem::take(&mut entry.inspect);
        let before = entry.container.clone();
        let mut outcome = Inspected::default();
        let mut again = false;
        // Most runtimes keep a container in its cgroup: that it was asked for in vain may not cost its numbers.
        entry.container.awaits_inspect &= !entry.container.state.has_processes();
        match answer {
            Ok(seen) => {
                if seen.malformed && !entry.malformed {
                    self.malformed += 1;
                }
                entry.malformed = seen.malformed;
                if entry.take(seen.container, asked) {
                    entry.detailed = true;
                    entry.failures = 0;
                } else if matches!(asked, Inspect::Asked { started: false, other: false }) {
                    outcome.retry = entry.retry();
                } else {
                    again = true;
                }
            }
            // Its end and its removal are told by events, or by the next list.
            Err(Miss::Gone) => {
                entry.detailed = true;
                if !entry.announced {
                    return outcome;
                }
            }
            Err(Miss::Failed) => outcome.retry = entry.retry(),
        }
        // What comes while a whole list is held back is told with it.
        if self.held.is_none() && (!entry.announced || entry.container != before) {
            outcome.changes = entry.tell(before);
        }
        if again {
            self.want(id, true);
        }
        outcome
    }

    /// A list is asked for now: events from here on know better than it.
    pub(crate) fn list_asked(&mut self) {
        self.events_at_list = self.events;
        self.removed_since_list = Some(HashSet::new());
    }

    /// Takes a list. [`Table::whole`] is due when nothing is [held](Table::is_holding) any more.
    pub(crate) fn listed(&mut self, list: List, now: SystemTime) {
        self.malformed += list.nameless.saturating_sub(self.nameless);
        self.nameless = list.nameless;
        let removed = self.removed_since_list.take().unwrap_or_default();
        let mut listed = HashSet::with_capacity(list.containers.len());
        let mut unclear = Vec::new();
        for seen in self.bounded(list.containers) {
            let id = seen.container.id.clone();
            if removed.contains(&id) || !listed.insert(id.clone()) {
                continue;
            }
            let malformed = seen.malformed;
            let entry = self.entries.entry(id.clone()).or_insert_with(|| Entry::new(seen.container.clone()));
            if malformed && !entry.malformed {
                self.malformed += 1;
                entry.malformed = true;
            }
            if entry.touched > self.events_at_list {
                continue;
            }
            if entry.refresh(seen, now) {
                unclear.push((id, entry.container.state.has_processes()));
            }
        }
        let events_at_list = self.events_at_list;
        let mut gone = HashSet::new();
        self.entries.retain(|id, entry| {
            let stays = listed.contains(id) || entry.touched > events_at_list;
            // One that was left out of the list by its bound has ended already.
            if !stays && entry.container.state.has_processes() {
                gone.insert(id.clone());
            }
            stays
        });
        let [before, _] = std::mem::take(&mut self.gone_by_list);
        self.gone_by_list = [gone, before];
        let mut held = HashSet::new();
        // What runs is inspected first.
        unclear.sort_by_key(|(_, runs)| !runs);
        for (id, runs) in unclear {
            self.want(&id, false);
            if runs {
                held.insert(id);
            }
        }
        self.held = Some(held);
    }

    /// Leaves out the oldest stopped containers past the bound.
    fn bounded(&mut self, mut seen: Vec<Seen>) -> Vec<Seen> {
        let mut stopped: Vec<(Option<SystemTime>, ContainerId)> = seen
            .iter()
            .filter(|seen| !seen.container.state.has_processes())
            .map(|seen| {
                let known = self.entries.get(&seen.container.id).map(|entry| &entry.container);
                (age_key(known.unwrap_or(&seen.container)), seen.container.id.clone())
            })
            .collect();
        self.left_out = stopped.len().saturating_sub(self.stopped_max);
        if self.left_out > 0 {
            stopped.sort();
            let out: HashSet<ContainerId> = stopped.drain(..self.left_out).map(|(_, id)| id).collect();
            seen.retain(|seen| !out.contains(&seen.container.id));
        }
        seen
    }

    /// Whether the whole list waits for inspects of running containers.
    pub(crate) fn is_holding(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.is_empty())
    }

    /// Everything that is known, to be told as a whole.
    pub(crate) fn whole(&mut self) -> Change {
        self.held = None;
        let containers = self.entries.values_mut().map(|entry| {
            entry.announced = true;
            entry.container.clone()
        });
        Change::Listed(containers.collect())
    }

    /// Forgets the stopped containers past the bound that ended first.
    fn evict(&mut self) -> Vec<Change> {
        if self.entries.len() <= self.stopped_max {
            return Vec::new();
        }
        let mut stopped: Vec<(Option<SystemTime>, ContainerId)> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.container.state.has_processes())
            .map(|(id, entry)| (age_key(&entry.container), id.clone()))
            .collect();
        let excess = stopped.len().saturating_sub(self.stopped_max);
        if excess == 0 {
            return Vec::new();
        }
        stopped.sort();
        stopped.truncate(excess);
        stopped.iter().filter_map(|(_, id)| self.removed(id)).collect()
    }
}

/// What says how recent a stopped container is: its end, or its making.
fn age_key(container: &Container) -> Option<SystemTime> {
    container.finished_at.max(container.created_at)
}

fn from_event(event: &Event, owner: Owner) -> Container {
    let mut container = Container::new(event.id.clone(), owner.engine, State::Created);
    container.uid = owner.uid;
    container.name = event.name.clone();
    container.image = event.image.clone();
    container.labels = event.labels.clone();
    container
}

impl Entry {
    /// What must be told now that the container was `before`. A run that ended before anybody was told of it is told
    /// of as well, or it would be taken for one that ended long ago.
    fn tell(&mut self, before: Container) -> Vec<Change> {
        let was_over = !before.state.has_processes() && before.state != State::Created;
        let is_over = !self.container.state.has_processes() && self.container.state != State::Created;
        let mut told = Vec::new();
        if !std::mem::replace(&mut self.announced, true) && is_over && !was_over {
            told.push(before);
        }
        told.push(self.container.clone());
        told.into_iter().map(|container| Change::Upsert(Box::new(container))).collect()
    }

    /// Takes what an event says itself; the changes, if it must be told before an inspect.
    fn apply(&mut self, event: &Event) -> Vec<Change> {
        let container = &mut self.container;
        let before = container.clone();
        match event.kind {
            // An answer was faster than this event, and has told the end of this run already.
            Kind::Started
                if event.at.is_some()
                    && container.finished_at >= event.at
                    && container.finished_at != self.ended_at =>
            {
                return Vec::new();
            }
            Kind::Started => {
                container.state = State::Running;
                container.started_at = event.at.or(container.started_at);
                self.fresh_start = true;
                // The clock was set back: times no longer tell the runs apart.
                if event.at <= self.ended_at {
                    self.ended_at = None;
                }
                return Vec::new();
            }
            Kind::Died(code) => {
                return if self.ended(code, event.at) { self.tell(before) } else { Vec::new() };
            }
            Kind::Paused if container.state == State::Running => container.state = State::Paused,
            Kind::Unpaused if container.state == State::Paused => container.state = State::Running,
            Kind::Health(Some(health)) => container.health = Some(health),
            Kind::Renamed => container.name = event.name.clone().or(container.name.take()),
            _ => return Vec::new(),
        }
        if !self.announced || self.container == before {
            return Vec::new();
        }
        self.tell(before)
    }

    /// Takes an end; false if it is known already.
    fn ended(&mut self, code: Option<i64>, at: Option<SystemTime>) -> bool {
        let container = &mut self.container;
        self.fresh_start = false;
        let known = !matches!(container.state, State::Running | State::Paused | State::Created);
        if known && container.finished_at.is_some() {
            // An answer was faster than this event, and has told the end already.
            container.exit_code = container.exit_code.or(code);
            return false;
        }
        let at = at.unwrap_or_else(SystemTime::now);
        container.state = State::Exited;
        container.exit_code = code;
        container.finished_at = Some(at);
        container.pid = None;
        self.ended_at = Some(at);
        true
    }

    /// Whether an event asks for an inspect; notes that it overtook one on its way.
    fn needs_inspect(&mut self, event: &Event, told: bool) -> bool {
        let needs = match event.kind {
            Kind::Created => !self.detailed,
            Kind::Started | Kind::Updated | Kind::Health(None) => true,
            Kind::Died(_) => told || !self.detailed,
            // Docker's `restart` follows the `start` that was acted on.
            Kind::Restarted => !std::mem::take(&mut self.fresh_start),
            Kind::Renamed => event.name.is_none() || !self.announced,
            Kind::Paused | Kind::Unpaused | Kind::Health(Some(_)) => !self.announced,
            Kind::Oom | Kind::Removed => false,
        };
        if let Inspect::Asked { started, other } = &mut self.inspect {
            match event.kind {
                Kind::Started => *started = true,
                Kind::Created => {}
                _ => *other |= needs || told,
            }
        }
        needs
    }

    /// Takes an inspect's answer; false if events know better, so that it must be asked for again.
    fn take(&mut self, mut seen: Container, asked: Inspect) -> bool {
        let (started, other) = match asked {
            Inspect::Asked { started, other } => (started, other),
            _ => (false, false),
        };
        let runs = seen.state.has_processes();
        // A run that began before the last known end is the run that ended.
        let is_past_run =
            runs && self.ended_at.is_some_and(|end| seen.started_at.is_none_or(|start| start <= end));
        let overtaken = other || (started && !runs) || is_past_run;
        let known = &mut self.container;
        if seen.name.is_none() || other {
            seen.name = known.name.clone().or(seen.name);
        }
        seen.image = seen.image.or_else(|| known.image.clone());
        seen.pod = seen.pod.or_else(|| known.pod.clone());
        if seen.network == Network::Unknown {
            seen.network = known.network.clone();
        }
        if self.malformed && seen.labels.is_empty() {
            seen.labels = std::mem::take(&mut known.labels);
        }
        if overtaken {
            seen.state = known.state;
            seen.exit_code = known.exit_code;
            seen.oom_killed |= known.oom_killed;
            seen.finished_at = known.finished_at;
            seen.pid = None;
            seen.health = known.health.or(seen.health);
            // The start of the run that the event ended, or of the one that it began.
            seen.started_at =
                if runs && !started { seen.started_at.or(known.started_at) } else { known.started_at };
        } else if runs {
            seen.exit_code = known.exit_code;
            seen.started_at = seen.started_at.or(known.started_at);
        } else {
            seen.exit_code = seen.exit_code.or(known.exit_code);
            seen.finished_at = seen.finished_at.or(known.finished_at);
        }
        *known = seen;
        !overtaken
    }

    fn retry(&mut self) -> Option<Duration> {
        self.failures += 1;
        (self.failures <= RETRIES_MAX).then(|| Duration::from_millis(500 << self.failures))
    }

    /// Takes what a list says; true if an inspect must say the rest.
    fn refresh(&mut self, seen: Seen, now: SystemTime) -> bool {
        let Seen { container: listed, status, .. } = seen;
        let known = &mut self.container;
        known.name = listed.name.or(known.name.take());
        known.image = known.image.take().or(listed.image);
        known.image_id = listed.image_id.or(known.image_id.take());
        known.created_at = known.created_at.or(listed.created_at);
        known.health = listed.health.or(known.health);
        known.pod = listed.pod.or(known.pod.take());
        self.pod_known = true;
        if listed.labels != BTreeMap::new() {
            known.labels = listed.labels;
        }
        let runs = listed.state.has_processes();
        let moment = if runs { known.started_at } else { known.finished_at };
        let is_other_run = match (clock::age_below(&status), moment.map(|at| now.duration_since(at))) {
            (Some(below), Some(Ok(age))) => age > below + AGE_SLACK,
            _ => false,
        };
        let moved = known.state != listed.state;
        // Docker tells of an end before its list knows it. Only an inspect tells that from a start whose event was lost.
        let is_told_over = runs && !known.state.has_processes() && self.ended_at.is_some();
        if !is_told_over && runs != known.state.has_processes() {
            known.pid = None;
            if runs {
                known.started_at = None;
            } else {
                known.finished_at = None;
                known.exit_code = listed.exit_code;
            }
        }
        if !is_told_over {
            known.state = listed.state;
        }
        if self.inspect != Inspect::Idle {
            return false;
        }
        !self.detailed || moved || is_other_run
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
