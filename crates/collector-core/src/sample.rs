//! One reading of everything about one container (or the host, or the exporter): what sinks walk over.

use std::{sync::Arc, time::Instant};

pub use cgroup_reader::Absence;
use cgroup_reader::Slot;
use metric_schema::Unit;

use crate::Groups;
use crate::catalogue::{self, Dimension, RowId};

/// A value in a form that loses nothing: text and protobuf are derived from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A whole number: bytes, counts, states.
    Int(u64),
    /// Nanoseconds, shown as seconds.
    Nanos(u64),
    /// A ratio, a percentage, or anything negative.
    Float(f64),
}

impl Value {
    /// The number as Prometheus and OTLP doubles see it, in the unit of the metric.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "Prometheus' values are doubles")]
            Self::Int(value) => value as f64,
            #[expect(clippy::cast_precision_loss, reason = "Prometheus' values are doubles")]
            Self::Nanos(value) => value as f64 / 1e9,
            Self::Float(value) => value,
        }
    }
}

/// What is known of one metric of one entity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// Not known, for this reason: no series.
    Absent(Absence),
    /// The kernel's `max`: there is no limit.
    Max,
    /// Known.
    Value(Value),
}

impl Reading {
    /// A whole number.
    #[must_use]
    pub const fn int(value: u64) -> Self {
        Self::Value(Value::Int(value))
    }

    /// A ratio or percentage; absent where it is no number.
    #[must_use]
    pub fn float(value: Option<f64>) -> Self {
        match value {
            Some(value) if value.is_finite() => Self::Value(Value::Float(value)),
            _ => Self::Absent(Absence::NotCollected),
        }
    }

    /// The value, where there is one.
    #[must_use]
    pub const fn value(self) -> Option<Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent(_) | Self::Max => None,
        }
    }

    /// The whole number (or nanoseconds), where there is one.
    #[must_use]
    pub const fn as_u64(self) -> Option<u64> {
        match self {
            Self::Value(Value::Int(value) | Value::Nanos(value)) => Some(value),
            _ => None,
        }
    }

    /// Gives a kernel slot the meaning of its metric's unit.
    #[must_use]
    pub const fn from_slot(slot: Slot, unit: Unit) -> Self {
        match slot {
            Slot::Absent(reason) => Self::Absent(reason),
            Slot::Max => Self::Max,
            Slot::Value(value) => match unit {
                Unit::Seconds | Unit::UnixSeconds => Self::Value(Value::Nanos(value)),
                _ => Self::Value(Value::Int(value)),
            },
        }
    }
}

/// One row of a [`Table`]: a device, an interface.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Label values, in the order of [`Dimension::labels`]. Most containers have the same devices and interfaces, so their
    /// samples share them.
    pub labels: Arc<[Arc<str>]>,
    /// Readings, by column; see [`catalogue::Catalogue::columns`].
    pub cells: Vec<Reading>,
}

/// Readings by device, interface or whatever else its [`Dimension`] is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The entries; empty also where nothing was read.
    pub entries: Vec<Entry>,
    /// Why there are none, where there should be some.
    pub absence: Option<Absence>,
}

/// Tables of containers' standard groups, which are the first.
const STANDARD_TABLES: usize = Dimension::Filesystem as usize + 1;

/// One reading of everything about one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    scalars: Box<[Reading]>,
    /// By dimension, as far as one was filled.
    tables: Vec<Table>,
    /// The container's cgroup path, once it is known.
    pub cgroup: Option<Arc<str>>,
    /// When its numbers were taken, where that was before they were asked for: the engine's stats API is polled.
    pub taken_at: Option<Instant>,
}

impl Sample {
    /// A sample in which everything is absent for this reason.
    #[must_use]
    pub fn absent(reason: Absence) -> Self {
        Self {
            scalars: vec![Reading::Absent(reason); catalogue::get().len()].into(),
            tables: Vec::new(),
            cgroup: None,
            taken_at: None,
        }
    }

    /// The same with room for the rows of a container in these groups only, which is what most samples hold: on a host with
    /// thousands of containers their size decides how fast a page is made, and in how much memory.
    #[must_use]
    pub fn of_container(reason: Absence, groups: Groups) -> Self {
        let scalars = vec![Reading::Absent(reason); catalogue::get().container_rows_of(groups)].into();
        Self { scalars, tables: Vec::with_capacity(STANDARD_TABLES), cgroup: None, taken_at: None }
    }

    /// What is known of a row.
    #[must_use]
    pub fn get(&self, row: RowId) -> Reading {
        self.scalars.get(row.index()).copied().unwrap_or(Reading::Absent(Absence::NotCollected))
    }

    /// What is known of all rows that it has room for, by [`RowId::index`].
    #[must_use]
    pub fn scalars(&self) -> &[Reading] {
        &self.scalars
    }

    /// Notes what is known of a row. One that the sample has no room for stays absent.
    pub fn set(&mut self, row: RowId, reading: Reading) {
        if let Some(scalar) = self.scalars.get_mut(row.index()) {
            *scalar = reading;
        }
    }

    /// The table of a dimension.
    #[must_use]
    pub fn table(&self, dimension: Dimension) -> &Table {
        static EMPTY: Table = Table { entries: Vec::new(), absence: None };
        self.tables.get(dimension as usize).unwrap_or(&EMPTY)
    }

    /// The table of a dimension, to be filled.
    pub fn table_mut(&mut self, dimension: Dimension) -> &mut Table {
        let index = dimension as usize;
        if self.tables.len() <= index {
            self.tables.reserve_exact(index + 1 - self.tables.len());
            self.tables.resize_with(index + 1, Table::default);
        }
        &mut self.tables[index]
    }

    /// Adds to a table an entry with these labels and one reading, or sets the reading in the entry that is there.
    pub fn set_in(&mut self, row: RowId, labels: &[&str], reading: Reading) {
        let same = |entry: &Entry| entry.labels.iter().map(AsRef::as_ref).eq(labels.iter().copied());
        self.set_where(row, same, || labels.iter().map(|label| Arc::from(*label)).collect(), reading);
    }

    /// The same with labels that other samples have, too.
    pub fn set_shared(&mut self, row: RowId, labels: &Arc<[Arc<str>]>, reading: Reading) {
        let same = |entry: &Entry| Arc::ptr_eq(&entry.labels, labels) || entry.labels == *labels;
        self.set_where(row, same, || Arc::clone(labels), reading);
    }

    fn set_where(
        &mut self,
        row: RowId,
        same: impl Fn(&Entry) -> bool,
        labels: impl FnOnce() -> Arc<[Arc<str>]>,
        reading: Reading,
    ) {
        let Some((dimension, column)) = catalogue::get().column(row) else { return };
        let width = catalogue::get().columns(dimension).len();
        let table = self.table_mut(dimension);
        if let Some(entry) = table.entries.iter_mut().find(|entry| same(entry)) {
            entry.cells[column] = reading;
            return;
        }
        let mut cells = vec![Reading::Absent(Absence::NotCollected); width];
        cells[column] = reading;
        table.entries.push(Entry { labels: labels(), cells });
    }
}
