//! Which series have left, so that the end of each can be told.

use std::sync::Arc;

use collector_core::{Entry, Sample, catalogue::Dimension};

/// The series of one entity that the last export held.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// A bit for each slot of the plan.
    slots: Box<[u64]>,
    entries: Vec<Sent>,
}

/// An entry of a table that had a point.
#[derive(Debug)]
pub(crate) struct Sent {
    dimension: Dimension,
    pub(crate) labels: Box<[Arc<str>]>,
    /// A bit for each column.
    columns: u64,
}

impl Series {
    pub(crate) fn has(&self, slot: usize) -> bool {
        self.slots.get(slot / 64).is_some_and(|bits| bits & 1 << (slot % 64) != 0)
    }

    /// Forgets a series; whether it had a point.
    pub(crate) fn end(&mut self, slot: usize) -> bool {
        let had = self.has(slot);
        if had {
            self.slots[slot / 64] &= !(1 << (slot % 64));
        }
        had
    }

    /// The entries of a table that had a point in that column.
    pub(crate) fn entries(&self, dimension: Dimension, column: usize) -> impl Iterator<Item = &Sent> {
        let had = move |sent: &&Sent| sent.dimension == dimension && sent.columns & 1 << column != 0;
        self.entries.iter().filter(had)
    }

    /// What this export held becomes what the last one held.
    pub(crate) fn replace(&mut self, now: &mut Now, sample: &Sample) {
        if *self.slots != *now.slots {
            self.slots = now.slots.as_slice().into();
        }
        let mut at = 0;
        for (dimension, columns) in Dimension::ALL.into_iter().zip(&now.tables) {
            let entries = sample.table(dimension).entries.iter().zip(columns);
            for (entry, columns) in entries.filter(|(_, columns)| **columns != 0) {
                // Mostly they are the same, in the same order.
                let same = |sent: &Sent| sent.dimension == dimension && is_same(&sent.labels, entry);
                match self.entries[at..].iter().position(same) {
                    Some(0) => {}
                    Some(further) => self.entries.swap(at, at + further),
                    None => {
                        let labels = (*entry.labels).into();
                        self.entries.insert(at, Sent { dimension, labels, columns: 0 });
                    }
                }
                self.entries[at].columns = *columns;
                at += 1;
            }
        }
        self.entries.truncate(at);
        now.clear();
    }
}

fn is_same(labels: &[Arc<str>], entry: &Entry) -> bool {
    let equal = |(one, other): (&Arc<str>, &Arc<str>)| Arc::ptr_eq(one, other) || one == other;
    labels.len() == entry.labels.len() && labels.iter().zip(&*entry.labels).all(equal)
}

/// The series of one entity that this export has held so far.
#[derive(Debug)]
pub(crate) struct Now {
    slots: Vec<u64>,
    /// By dimension: for each entry of the table a bit for each column.
    tables: [Vec<u64>; Dimension::ALL.len()],
}

impl Now {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: vec![0; slots.div_ceil(64)], tables: std::array::from_fn(|_| Vec::new()) }
    }

    pub(crate) fn add(&mut self, slot: usize) {
        self.slots[slot / 64] |= 1 << (slot % 64);
    }

    pub(crate) fn add_entry(&mut self, dimension: Dimension, entry: usize, column: usize) {
        let table = &mut self.tables[dimension as usize];
        if table.len() <= entry {
            table.resize(entry + 1, 0);
        }
        table[entry] |= 1 << column;
    }

    /// The entries of a table that have a point in that column.
    pub(crate) fn entries(&self, dimension: Dimension, column: usize) -> impl Iterator<Item = usize> {
        let table = self.tables[dimension as usize].iter().enumerate();
        table.filter(move |(_, columns)| *columns & 1 << column != 0).map(|(entry, _)| entry)
    }

    fn clear(&mut self) {
        self.slots.fill(0);
        self.tables.iter_mut().for_each(Vec::clear);
    }
}
