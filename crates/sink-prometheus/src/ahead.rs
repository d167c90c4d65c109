//! Readings of several rows, taken from the samples together.
//!
//! A page goes row by row through all containers, but a sample lies in memory container by container, and ten thousand of
//! them do not fit the processor's caches: fetched one at a time, each reading would be waited for. So sixteen rows
//! are taken at each walk over the samples, and each of them is laid down in the order in which it is written; what stands in
//! the engines' descriptions is taken at one walk over these.

use std::{ops::Range, sync::Arc};

use collector_core::{
    Absence, Container, Entry, Reading, Snapshot,
    catalogue::{Dimension, Entity, RowId},
};

use crate::plan::{Plan, Read};

/// Rows that are taken together: a cache line holds four readings, and more than this are no longer kept in the caches.
const ROWS: usize = 16;
/// Samples whose addresses are looked up before any of them is read: the processor then fetches several of them together.
const AT_ONCE: usize = 32;
/// Label sets of one dimension that are told apart; entries with further ones are read from their sample. Most
/// containers have the same devices and interfaces.
const LABELS_MAX: usize = 64;

/// The rows of one page, and the readings of some of them.
#[derive(Default)]
pub(crate) struct Ahead {
    /// The page's rows that stand in samples, in its order.
    rows: Vec<RowId>,
    /// The same for columns of tables.
    columns: Vec<(Dimension, usize)>,
    /// And for rows that stand in descriptions.
    described: Vec<(RowId, Field)>,
    scalars: Scalars,
    tables: Tables,
    /// By row of `described`, then by container; empty before the first is asked for.
    descriptions: Vec<Vec<Reading>>,
}

/// What is read off a description.
#[derive(Clone, Copy)]
enum Field {
    Reading(fn(&Container) -> Reading),
    /// The place of the state that it is in.
    State(fn(&Container) -> Option<usize>),
}

impl Field {
    fn read(self, container: &Container) -> Reading {
        match self {
            Self::Reading(read) => read(container),
            Self::State(current) => current(container)
                .map_or(Reading::Absent(Absence::NotCollected), |state| Reading::int(state as u64)),
        }
    }
}

/// Sixteen rows of all containers.
#[derive(Default)]
struct Scalars {
    rows: Vec<RowId>,
    /// By row, then by container.
    cells: Vec<Vec<Reading>>,
}

/// Sixteen columns of one table of all containers.
#[derive(Default)]
struct Tables {
    columns: Vec<(Dimension, usize)>,
    /// Where a container's entries begin; the next one's beginning is their end.
    starts: Vec<usize>,
    /// By entry, the place of its labels; `None` past the most that are told apart.
    places: Vec<Option<u8>>,
    /// By column, then by entry.
    cells: Vec<Vec<Reading>>,
    labels: Vec<Box<[Arc<str>]>>,
}

/// One row of all containers.
pub(crate) struct ScalarRow<'a> {
    cells: &'a [Reading],
}

impl ScalarRow<'_> {
    /// What the container of that place has in this row.
    #[inline]
    pub(crate) fn get(&self, container: usize) -> Reading {
        self.cells.get(container).copied().unwrap_or(Reading::Absent(Absence::NotCollected))
    }
}

/// One column of a table of all containers.
pub(crate) struct TableRow<'a> {
    tables: &'a Tables,
    at: usize,
}

impl<'a> TableRow<'a> {
    /// The entries of the container of that place, in the order of its table.
    #[inline]
    pub(crate) fn entries(&self, container: usize) -> Range<usize> {
        self.tables.starts[container]..self.tables.starts[container + 1]
    }

    /// The place of an entry's labels among [`labels`](Self::labels); `None` past the most that are told apart.
    #[inline]
    pub(crate) fn place(&self, entry: usize) -> Option<usize> {
        self.tables.places[entry].map(usize::from)
    }

    /// What an entry has in this column.
    #[inline]
    pub(crate) fn get(&self, entry: usize) -> Reading {
        self.tables.cells[self.at][entry]
    }

    /// The label sets.
    pub(crate) fn labels(&self) -> &'a [Box<[Arc<str>]>] {
        &self.tables.labels
    }
}

impl Ahead {
    /// For a page of these families of a plan; nothing is read yet.
    pub(crate) fn of(plan: &Plan, families: &[usize]) -> Self {
        let mut ahead = Self::default();
        let families = families.iter().map(|place| &plan.families[*place]);
        for row in
            families.filter(|family| family.entity == Entity::Container).flat_map(|family| &family.rows)
        {
            match &row.read {
                Read::Sample(_) => ahead.rows.push(row.id),
                Read::Table(table) => ahead.columns.push((table.dimension, table.column)),
                Read::Engine(read, _) => ahead.described.push((row.id, Field::Reading(*read))),
                Read::States(current, _) => ahead.described.push((row.id, Field::State(*current))),
                Read::Info(_) => {}
            }
        }
        ahead
    }

    /// What the descriptions say for a row: of one with states the place of that which holds.
    pub(crate) fn described(&mut self, id: RowId, snapshot: &Snapshot) -> ScalarRow<'_> {
        if self.descriptions.is_empty() {
            begin(&mut self.descriptions, self.described.len(), snapshot.containers.len());
            for one in &snapshot.containers {
                for (cells, (_, field)) in self.descriptions.iter_mut().zip(&self.described) {
                    cells.push(field.read(&one.container));
                }
            }
        }
        let at = self.described.iter().position(|(row, _)| *row == id);
        ScalarRow { cells: at.map_or(&[], |at| &self.descriptions[at]) }
    }

    /// The readings of a row, with those of the rows behind it if they are not there yet.
    pub(crate) fn row(&mut self, id: RowId, snapshot: &Snapshot) -> ScalarRow<'_> {
        let known = self.scalars.rows.iter().position(|row| *row == id);
        let at = known.unwrap_or_else(|| {
            let from = self.rows.iter().position(|row| *row == id);
            let rows = from
                .map_or(std::slice::from_ref(&id), |from| &self.rows[from..self.rows.len().min(from + ROWS)]);
            self.scalars.take(rows, snapshot);
            0
        });
        ScalarRow { cells: &self.scalars.cells[at] }
    }

    /// The readings of a column, with those of the columns behind it if they are not there yet.
    pub(crate) fn column(
        &mut self,
        dimension: Dimension,
        column: usize,
        snapshot: &Snapshot,
    ) -> TableRow<'_> {
        let wanted = (dimension, column);
        let known = self.tables.columns.iter().position(|other| *other == wanted);
        let at = known.unwrap_or_else(|| {
            let from = self.columns.iter().position(|other| *other == wanted);
            let columns = from.map_or(std::slice::from_ref(&wanted), |from| &self.columns[from..]);
            let same = columns.iter().take_while(|(other, _)| *other == dimension).take(ROWS).count();
            self.tables.take(&columns[..same], snapshot);
            0
        });
        TableRow { tables: &self.tables, at }
    }
}

impl Scalars {
    fn take(&mut self, rows: &[RowId], snapshot: &Snapshot) {
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        begin(&mut self.cells, rows.len(), snapshot.containers.len());
        let mut samples: [&[Reading]; AT_ONCE] = [&[]; AT_ONCE];
        for containers in snapshot.containers.chunks(AT_ONCE) {
            for (scalars, one) in samples.iter_mut().zip(containers) {
                *scalars = one.sample.scalars();
            }
            for (cells, row) in self.cells.iter_mut().zip(rows) {
                let of_row = |scalars: &&[Reading]| scalars.get(row.index()).copied();
                cells.extend(
                    samples[..containers.len()]
                        .iter()
                        .map(|scalars| of_row(scalars).unwrap_or(Reading::Absent(Absence::NotCollected))),
                );
            }
        }
    }
}

impl Tables {
    fn take(&mut self, columns: &[(Dimension, usize)], snapshot: &Snapshot) {
        let Some((dimension, _)) = columns.first() else { return };
        if self.columns.first().is_none_or(|(before, _)| before != dimension) {
            self.labels.clear();
        }
        self.columns.clear();
        self.columns.extend_from_slice(columns);
        self.starts.clear();
        self.starts.reserve(snapshot.containers.len() + 1);
        self.places.clear();
        begin(&mut self.cells, columns.len(), snapshot.containers.len());
        self.starts.push(0);
        let mut tables: [&[Entry]; AT_ONCE] = [&[]; AT_ONCE];
        let mut entries: Vec<(&[Reading], &[Arc<str>])> = Vec::new();
        for containers in snapshot.containers.chunks(AT_ONCE) {
            for (table, one) in tables.iter_mut().zip(containers) {
                *table = &one.sample.table(*dimension).entries;
            }
            let before = self.places.len();
            entries.clear();
            for table in &tables[..containers.len()] {
                entries.extend(table.iter().map(|entry| (&*entry.cells, &*entry.labels)));
                self.starts.push(before + entries.len());
            }
            for (cells, (_, column)) in self.cells.iter_mut().zip(columns) {
                let of_column = |of_entry: &[Reading]| of_entry.get(*column).copied();
                cells.extend(
                    entries
                        .iter()
                        .map(|(cells, _)| of_column(cells).unwrap_or(Reading::Absent(Absence::NotCollected))),
                );
            }
            self.places.extend(entries.iter().map(|(_, labels)| place_of(&mut self.labels, labels)));
        }
    }
}

/// Empties so many rows, with room for so many readings each.
fn begin(cells: &mut Vec<Vec<Reading>>, rows: usize, room: usize) {
    cells.resize_with(rows, Vec::new);
    for row in cells {
        row.clear();
        row.reserve(room);
    }
}

/// The place of these labels, which are added if they are new and there is room.
fn place_of(known: &mut Vec<Box<[Arc<str>]>>, labels: &[Arc<str>]) -> Option<u8> {
    let mut place = known.iter().position(|other| **other == *labels);
    if place.is_none() && known.len() < LABELS_MAX {
        known.push(labels.into());
        place = Some(known.len() - 1);
    }
    place.and_then(|place| u8::try_from(place).ok())
}
