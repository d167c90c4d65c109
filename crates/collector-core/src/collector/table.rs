//! The containers that are watched, and what the inventories' changes do to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Shared, SourceReport, entry::Entry, lock};
use crate::{Change, Container, ContainerId, Hearing, Inventory, SourceStatus, source::TreeChange};

/// Ids of containers that are known but not watched are remembered up to this number.
const REFUSED_MAX: usize = 100_000;

/// Why a container is not watched: the values of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Excluded,
    TooMany,
    TooManyStopped,
}

impl Refusal {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Excluded, "excluded"),
        (Self::TooMany, "too_many"),
        (Self::TooManyStopped, "too_many_stopped"),
    ];
}

pub(super) struct Table {
    entries: BTreeMap<ContainerId, Arc<Entry>>,
    refused: BTreeMap<ContainerId, (usize, Refusal)>,
    statuses: Vec<Option<SourceStatus>>,
    /// How often each source began to answer.
    answered: Vec<u64>,
    listed: Vec<bool>,
    /// Those of which each container that runs is among the entries or the refused: who is not has come since.
    complete: Vec<bool>,
    /// Those that have listed, and were not lost since.
    speaks: Vec<bool>,
    fallback: Vec<bool>,
    supplement: Vec<bool>,
    /// How fallbacks are heard; `None` until an engine has told of its containers, or every engine is known not to answer.
    hearing: Option<Hearing>,
    /// It was said that there are too many containers.
    told_of_too_many: bool,
}

impl Table {
    pub(super) fn new(inventories: &[Arc<dyn Inventory>]) -> Self {
        Self {
            entries: BTreeMap::new(),
            refused: BTreeMap::new(),
            statuses: vec![None; inventories.len()],
            answered: vec![0; inventories.len()],
            listed: vec![false; inventories.len()],
            complete: vec![false; inventories.len()],
            speaks: vec![false; inventories.len()],
            fallback: inventories.iter().map(|inventory| inventory.is_fallback()).collect(),
            supplement: inventories.iter().map(|inventory| inventory.is_supplement()).collect(),
            hearing: None,
            told_of_too_many: false,
        }
    }

    /// Makes room for another inventory: its number is the next.
    pub(super) fn add(&mut self, inventory: &dyn Inventory) {
        self.statuses.push(None);
        self.answered.push(0);
        self.listed.push(false);
        self.complete.push(false);
        self.speaks.push(false);
        self.fallback.push(inventory.is_fallback());
        self.supplement.push(inventory.is_supplement());
    }

    pub(super) fn get(&self, id: &ContainerId) -> Option<&Arc<Entry>> {
        self.entries.get(id)
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.values().cloned().collect()
    }

    pub(super) fn containers(&self) -> Vec<Arc<Container>> {
        self.entries.values().map(|entry| entry.container()).collect()
    }

    /// Containers that are not watched, by reason.
    pub(super) fn dropped(&self) -> [(&'static str, u64); 3] {
        Refusal::ALL.map(|(refusal, reason)| {
            (reason, self.refused.values().filter(|(_, other)| *other == refusal).count() as u64)
        })
    }

    pub(super) fn reports(&self, inventories: &[Arc<dyn Inventory>]) -> Vec<SourceReport> {
        let mut containers = vec![0; inventories.len()];
        for entry in self.entries.values() {
            containers[entry.source()] += 1;
        }
        let statuses = self.statuses.iter().cloned().zip(self.answered.iter().copied());
        inventories
            .iter()
            .zip(statuses)
            .zip(containers)
            .zip(self.listed.iter().copied())
            .map(|(((inventory, (status, answered)), containers), listed)| SourceReport {
                name: inventory.name().to_owned(),
                status,
                answered,
                containers,
                listed,
                fallback: inventory.is_fallback(),
                supplement: inventory.is_supplement(),
                dormant: inventory.is_dormant(),
            })
            .collect()
    }

    /// Whether the kernel's news disagrees with what is known.
    pub(super) fn is_news(&self, change: &TreeChange) -> bool {
        match change {
            TreeChange::Appeared(id) => {
                // An engine that answers would know more than a fallback does.
                let says_enough = |source: usize| !self.fallback[source] || self.hears_alone();
                let is_enough = |entry: &Arc<Entry>| {
                    entry.container().state.has_processes() && says_enough(entry.source())
                };
                let is_refused = self.refused.get(id).is_some_and(|(source, _)| says_enough(*source));
                !is_refused && !self.entries.get(id).is_some_and(is_enough)
            }
            TreeChange::Vanished(id) => {
                self.entries.get(id).is_some_and(|entry| entry.container().state.has_processes())
            }
            TreeChange::Overflow => true,
        }
    }

    /// Applies a change; returns the containers whose run begins with it.
    pub(super) fn apply(&mut self, source: usize, change: Change, shared: &Shared) -> Vec<Arc<Entry>> {
        let is_muted = self.fallback[source] && self.hearing == Some(Hearing::Not);
        if is_muted && !matches!(change, Change::Status(_)) {
            return Vec::new();
        }
        match change {
            Change::Status(status) => {
                let is_up = |status: &SourceStatus| matches!(status, SourceStatus::Up(_));
                if is_up(&status) && !self.statuses[source].as_ref().is_some_and(is_up) {
                    self.answered[source] += 1;
                }
                self.speaks[source] &= !matches!(status, SourceStatus::Down(_));
                // Another engine may answer there next.
                self.complete[source] &= self.speaks[source];
                self.statuses[source] = Some(status);
                self.rehear(shared);
                Vec::new()
            }
            Change::Listed(containers) => self.list(source, containers, shared),
            Change::Upsert(container) => {
                let runs = container.state.has_processes();
                let begun = self.upsert(source, *container, shared);
                if !runs {
                    self.evict_stopped(shared);
                }
                begun.into_iter().collect()
            }
            Change::Gone(id) => {
                self.remove(source, &id, shared);
                Vec::new()
            }
            Change::OomHint(id) => {
                if let Some(entry) = self.entries.get(&id) {
                    entry.oom_hint(shared);
                }
                Vec::new()
            }
        }
    }

    /// No engine answers, or none has yet.
    fn hears_alone(&self) -> bool {
        self.hearing.is_none_or(|hearing| hearing == Hearing::Alone)
    }

    fn is_engine(&self, source: usize) -> bool {
        !self.fallback[source] && !self.supplement[source]
    }

    /// Decides anew how fallbacks are heard, and tells them.
    fn rehear(&mut self, shared: &Shared) {
        let inventories = shared.inventories();
        let engines = || (0..inventories.len()).filter(|source| self.is_engine(*source));
        let some_speak = engines().any(|source| self.speaks[source]);
        let some_are_missed =
            engines().any(|source| !self.speaks[source] && !inventories[source].is_dormant());
        let is_early = |source: usize| {
            !matches!(self.statuses[source], Some(SourceStatus::Down(_))) && !inventories[source].is_dormant()
        };
        if self.hearing.is_none() && !some_speak && engines().any(is_early) {
            return;
        }
        let hearing = match (some_speak, some_are_missed) {
            (false, _) => Hearing::Alone,
            (true, true) => Hearing::Beside,
            (true, false) => Hearing::Not,
        };
        if self.hearing.replace(hearing) == Some(hearing) {
            return;
        }
        inventories
            .iter()
            .filter(|inventory| inventory.is_fallback())
            .for_each(|inventory| inventory.heard(hearing));
        if hearing == Hearing::Not {
            // What a fallback saw and no engine lists is not known to have ended.
            self.entries.retain(|_, entry| {
                let is_kept = !self.fallback[entry.source()];
                if !is_kept {
                    entry.forget();
                }
                is_kept
            });
            self.refused.retain(|_, (source, _)| !self.fallback[*source]);
            // It may be a supplement's to tell now.
            inventories
                .iter()
                .filter(|inventory| inventory.is_supplement())
                .for_each(|inventory| inventory.relist());
        }
    }

    /// Fallbacks and supplements are heard where nobody else knows the container, and they say something new of it.
    fn is_vain(&self, source: usize, container: &Container) -> bool {
        let is_known = |entry: &Arc<Entry>| entry.source() != source || *entry.container() == *container;
        !self.is_engine(source)
            && (self.refused.get(&container.id).is_some_and(|(other, _)| *other != source)
                || self.entries.get(&container.id).is_some_and(is_known))
    }

    fn list(&mut self, source: usize, containers: Vec<Container>, shared: &Shared) -> Vec<Arc<Entry>> {
        self.listed[source] = true;
        // Some know of containers although their engine cannot be asked.
        self.speaks[source] = !matches!(self.statuses[source], Some(SourceStatus::Down(_)));
        let listed: BTreeSet<ContainerId> = containers.iter().map(|container| container.id.clone()).collect();
        let begun =
            containers.into_iter().filter_map(|container| self.upsert(source, container, shared)).collect();
        let is_gone = |entry: &&Arc<Entry>| entry.source() == source && !listed.contains(&entry.id);
        let gone: Vec<ContainerId> =
            self.entries.values().filter(is_gone).map(|entry| entry.id.clone()).collect();
        for id in gone {
            if let Some(entry) = self.entries.remove(&id) {
                entry.remove(shared);
            }
        }
        self.refused.retain(|id, (other, _)| *other != source || listed.contains(id));
        self.evict_stopped(shared);
        self.rehear(shared);
        // What a fallback or a supplement shows next may have run all the while, for somebody else to tell of.
        self.complete[source] = self.is_engine(source);
        begun
    }

    fn upsert(&mut self, source: usize, container: Container, shared: &Shared) -> Option<Arc<Entry>> {
        if self.is_vain(source, &container) {
            return None;
        }
        if !admits(shared, &container) {
            self.refuse(source, container.id, Refusal::Excluded);
            return None;
        }
        if let Some(entry) = self.entries.get(&container.id) {
            return entry.update(container, source, shared).then(|| Arc::clone(entry));
        }
        if self.entries.len() >= shared.options.containers_max {
            self.refuse(source, container.id, Refusal::TooMany);
            if !std::mem::replace(&mut self.told_of_too_many, true) {
                let containers_max = shared.options.containers_max;
                tracing::warn!(
                    containers_max,
                    "more containers than are watched: those that come from now on are only counted"
                );
            }
            return None;
        }
        // As many as are remembered may have been more.
        let is_known_of = self.refused.remove(&container.id).is_some() || self.refused.len() >= REFUSED_MAX;
        let runs = container.state.has_processes();
        let has_come = self.complete[source] && !is_known_of;
        let entry = Arc::new(Entry::new(container, source, has_come, shared));
        self.entries.insert(entry.id.clone(), Arc::clone(&entry));
        runs.then_some(entry)
    }

    /// Lets go of what a new selection does not want.
    pub(super) fn reselect(&mut self, shared: &Shared) {
        self.refused.retain(|_, (_, refusal)| *refusal != Refusal::Excluded);
        self.complete.fill(false);
        let excluded: Vec<(ContainerId, usize)> = self
            .entries
            .values()
            .filter(|entry| !admits(shared, &entry.container()))
            .map(|entry| (entry.id.clone(), entry.source()))
            .collect();
        for (id, source) in excluded {
            self.refuse(source, id, Refusal::Excluded);
        }
    }

    fn refuse(&mut self, source: usize, id: ContainerId, refusal: Refusal) {
        if let Some(entry) = self.entries.remove(&id) {
            // It may well run on.
            entry.forget();
        }
        if self.refused.len() < REFUSED_MAX {
            self.refused.insert(id, (source, refusal));
        }
    }

    fn remove(&mut self, source: usize, id: &ContainerId, shared: &Shared) {
        self.refused.remove(id);
        if self.entries.get(id).is_some_and(|entry| entry.source() == source)
            && let Some(entry) = self.entries.remove(id)
        {
            entry.remove(shared);
        }
    }

    /// Of the containers without processes, those that ended first give way.
    fn evict_stopped(&mut self, shared: &Shared) {
        let mut stopped: Vec<(Option<std::time::SystemTime>, usize, ContainerId)> = self
            .entries
            .values()
            .map(|entry| (entry.container(), entry.source()))
            .filter(|(container, _)| !container.state.has_processes())
            .map(|(container, source)| {
                (container.finished_at.or(container.created_at), source, container.id.clone())
            })
            .collect();
        let excess = stopped.len().saturating_sub(shared.options.stopped_max);
        if excess > 0 {
            stopped.sort_unstable();
            for (_, source, id) in stopped.drain(..excess) {
                self.refuse(source, id, Refusal::TooManyStopped);
            }
        }
    }
}

fn admits(shared: &Shared, container: &Container) -> bool {
    let labels = container.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    lock(&shared.live).selection.admits(container.name.as_deref(), container.image.as_deref(), labels)
}
