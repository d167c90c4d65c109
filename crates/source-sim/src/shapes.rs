//! How each row of the catalogue moves.
//!
//! Rows that must fit each other have a formula here. Every other row moves by what its definition says: counters rise,
//! gauges wander; so a new row is simulated without a change here.

use std::sync::LazyLock;

use collector_core::{
    Absence, Group, Reading, Value,
    catalogue::{self, Dimension, Entity, RowId, Source, ids},
    effective::Limit,
};
use metric_schema::{Instrument, Unit};

use crate::moment::{HOST_CPUS, HOST_MEMORY, Moment};

/// A row's reading; of a table, in the entry of that number.
type Formula = fn(&Moment<'_>, usize) -> Reading;

/// A row that the sampler fills.
pub(crate) struct Shape {
    pub(crate) id: RowId,
    pub(crate) group: Group,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    Absent(Absence),
    Formula(Formula),
    Counter { per_second: f64, unit: Unit },
    Gauge { mean: f64, unit: Unit },
}

impl Shape {
    /// What the row shows, in a table's entry of that number.
    pub(crate) fn read(&self, moment: &Moment<'_>, entry: usize) -> Reading {
        let liking = || moment.liking(1000 + self.id.index() as u64 * 16 + entry as u64);
        match self.how {
            How::Absent(reason) => Reading::Absent(reason),
            How::Formula(formula) => formula(moment, entry),
            How::Counter { per_second, unit } => whole(moment.counted(per_second * liking()), unit),
            How::Gauge { mean, unit } => whole(moment.around(mean * liking()), unit),
        }
    }
}

fn whole(value: u64, unit: Unit) -> Reading {
    match unit {
        Unit::Seconds | Unit::UnixSeconds => Reading::Value(Value::Nanos(value)),
        _ => Reading::int(value),
    }
}

/// The rows that a sampler fills of this entity, tables apart.
pub(crate) fn scalars(entity: Entity) -> impl Iterator<Item = &'static Shape> {
    SHAPES.scalars.iter().filter(move |(of, _)| *of == entity).map(|(_, shape)| shape)
}

/// The rows of a sampler's table.
pub(crate) fn columns(dimension: Dimension) -> &'static [Shape] {
    &SHAPES.columns[dimension as usize]
}

/// All of them, sorted once: a simulated container must not cost more than a real one.
struct Shapes {
    scalars: Vec<(Entity, Shape)>,
    /// By dimension.
    columns: Vec<Vec<Shape>>,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let mut shapes = Shapes { scalars: Vec::new(), columns: Vec::new() };
    shapes.columns.resize_with(Dimension::ALL.len(), Vec::new);
    for (id, row) in catalogue::get().iter() {
        let Some(how) = how(id, row) else { continue };
        let shape = Shape { id, group: row.group, how };
        match row.source.dimension() {
            Some(dimension) => shapes.columns[dimension as usize].push(shape),
            None => shapes.scalars.push((row.entity, shape)),
        }
    }
    shapes
});

/// How a row moves, if a sampler fills it.
fn how(id: RowId, row: &catalogue::Row) -> Option<How> {
    match row.source {
        // The simulated machine has cgroup v2.
        Source::Key(key) | Source::PerKey(_, key) | Source::PerFile(_, key) if key.v2.is_none() => {
            Some(How::Absent(Absence::NoSourceOnVersion))
        }
        source if source.is_sampled() => {
            let formula = FORMULAS.iter().find(|(other, _)| *other == id);
            Some(match formula {
                Some((_, formula)) => How::Formula(*formula),
                None => by_definition(row.def.instrument, row.def.unit),
            })
        }
        _ => None,
    }
}

fn by_definition(instrument: Instrument, unit: Unit) -> How {
    match instrument {
        Instrument::Counter => {
            let per_second = match unit {
                Unit::Seconds => 1e5, // a ten-thousandth of the time
                Unit::Bytes => 4096.0,
                _ => 0.2,
            };
            How::Counter { per_second, unit }
        }
        Instrument::UpDownCounter | Instrument::Gauge | Instrument::Histogram => {
            let mean = match unit {
                Unit::Bytes => 1e6,
                Unit::Seconds => 1e9,
                _ => 10.0,
            };
            How::Gauge { mean, unit }
        }
    }
}

fn nanos(value: f64) -> Reading {
    Reading::Value(Value::Nanos(value as u64))
}

fn int(value: f64) -> Reading {
    Reading::int(value as u64)
}

fn limit(limit: Limit) -> Reading {
    match limit {
        Limit::Max => Reading::Max,
        Limit::Value(value) => Reading::int(value),
    }
}

/// The file pages' share of the memory in use; a tenth is the kernel's, the rest anonymous.
const FILE: f64 = 0.35;
const KERNEL: f64 = 0.1;

/// One in twenty is now and then short of memory.
fn short_of_memory(moment: &Moment<'_>, per_hour: f64) -> Reading {
    let per_second = if moment.is_one_in(20, 20) { per_hour / 3600.0 } else { 0.0 };
    Reading::int(moment.counted(per_second))
}

/// Read operations on a device per second, in the mean.
fn reads(moment: &Moment<'_>, device: usize) -> f64 {
    0.5 * moment.liking(30 + device as u64)
}

/// Write operations on a device per second, in the mean.
fn writes(moment: &Moment<'_>, device: usize) -> f64 {
    2.0 * moment.liking(40 + device as u64)
}

/// Packets per second in each direction, in the mean.
fn packets(moment: &Moment<'_>, interface: usize) -> f64 {
    20.0 * moment.liking(50 + interface as u64)
}

/// Time in which some task waited, as a share of all time.
fn waiting(moment: &Moment<'_>, topic: u64) -> f64 {
    0.002 * moment.liking(topic)
}

fn pressure(moment: &Moment<'_>, topic: u64, share: f64) -> Reading {
    whole(moment.counted(waiting(moment, topic) * share * 1e9), Unit::Seconds)
}

/// Enforcement periods in which the container was stopped: a few of a hundred, for those with a quota.
fn throttled(moment: &Moment<'_>) -> u64 {
    match moment.traits.cpu_limit {
        Limit::Max => 0,
        // Below one even at the busiest: never more than there were periods.
        Limit::Value(_) => moment.counted(10.0 * 0.005 * moment.liking(60)),
    }
}

const FORMULAS: &[(RowId, Formula)] = &[
    (ids::CPU_USAGE, |m, _| nanos(m.cpu_nanos())),
    (ids::CPU_USER, |m, _| nanos(m.cpu_nanos() * 0.7)),
    (ids::CPU_SYSTEM, |m, _| nanos(m.cpu_nanos() * 0.3)),
    (ids::CPU_LIMIT, |m, _| {
        let host = Limit::Value(f64::from(HOST_CPUS));
        Reading::float(m.traits.cpu_limit.smallest(host).value())
    }),
    (ids::CPU_PERIODS, |m, _| int(if m.traits.cpu_limit.is_max() { 0.0 } else { m.seconds * 10.0 })),
    (ids::CPU_THROTTLED_PERIODS, |m, _| Reading::int(throttled(m))),
    (ids::CPU_THROTTLED, |m, _| nanos(throttled(m) as f64 * 25e6)),
    (ids::CPU_BURST_PERIODS, |_, _| Reading::int(0)),
    (ids::CPU_BURST, |_, _| nanos(0.0)),
    (ids::CPU_WEIGHT, |_, _| Reading::int(100)),
    (ids::CPU_SPEC_QUOTA, |m, _| limit(m.traits.cpu_limit.map(|cores| (cores * 1e5) as u64))),
    (ids::CPU_SPEC_PERIOD, |_, _| Reading::int(100_000)),
    (ids::MEMORY_USAGE, |m, _| int(m.memory())),
    (ids::MEMORY_RSS, |m, _| int(m.memory() * (1.0 - FILE - KERNEL))),
    (ids::MEMORY_CACHE, |m, _| int(m.memory() * FILE)),
    (ids::MEMORY_MAPPED_FILE, |m, _| int(m.memory() * FILE * 0.2)),
    (ids::MEMORY_KERNEL, |m, _| int(m.memory() * KERNEL)),
    (ids::MEMORY_SWAP, |m, _| int(if m.is_one_in(21, 10) { m.memory() * 0.02 } else { 0.0 })),
    (ids::MEMORY_MAX_USAGE, |m, _| int(m.memory_peak())),
    (ids::MEMORY_ACTIVE_FILE, |m, _| int(m.memory() * FILE * 0.4)),
    (ids::MEMORY_INACTIVE_FILE, |m, _| int(m.memory() * FILE * 0.6)),
    (ids::MEMORY_DIRTY, |m, _| int(m.memory() * FILE * 0.01)),
    (ids::MEMORY_WRITEBACK, |_, _| Reading::int(0)),
    (ids::MEMORY_LIMIT, |m, _| limit(m.traits.memory_limit.smallest(Limit::Value(HOST_MEMORY)))),
    (ids::MEMORY_LIMIT_OWN, |m, _| limit(m.traits.memory_limit)),
    (ids::MEMORY_SWAP_LIMIT_OWN, |m, _| limit(m.traits.memory_limit)),
    (ids::MEMORY_RESERVATION_OWN, |_, _| Reading::int(0)),
    (ids::MEMORY_FAILCNT, |m, _| short_of_memory(m, 60.0)),
    (ids::MEMORY_EVENTS_LOW, |_, _| Reading::int(0)),
    (ids::MEMORY_EVENTS_HIGH, |_, _| Reading::int(0)),
    (ids::MEMORY_EVENTS_MAX, |m, _| short_of_memory(m, 60.0)),
    (ids::MEMORY_EVENTS_OOM, |m, _| short_of_memory(m, 0.2)),
    (ids::MEMORY_EVENTS_OOM_KILL, |m, _| short_of_memory(m, 0.2)),
    (ids::MEMORY_EVENTS_OOM_GROUP_KILL, |_, _| Reading::int(0)),
    (ids::MEMORY_PGFAULT, |m, _| Reading::int(m.counted(50.0 * m.liking(22)))),
    (ids::MEMORY_PGFAULT_HIERARCHY, |m, _| Reading::int(m.counted(50.0 * m.liking(22)))),
    (ids::MEMORY_PGMAJFAULT, |m, _| Reading::int(m.counted(0.02 * m.liking(23)))),
    (ids::MEMORY_PGMAJFAULT_HIERARCHY, |m, _| Reading::int(m.counted(0.02 * m.liking(23)))),
    (ids::FS_READS_BYTES, |m, device| Reading::int(m.counted(reads(m, device) * 16_384.0))),
    (ids::FS_WRITES_BYTES, |m, device| Reading::int(m.counted(writes(m, device) * 8_192.0))),
    (ids::FS_READS, |m, device| Reading::int(m.counted(reads(m, device)))),
    (ids::FS_WRITES, |m, device| Reading::int(m.counted(writes(m, device)))),
    (ids::BLKIO_READ, |m, device| Reading::int(m.counted(reads(m, device) * 16_384.0))),
    (ids::BLKIO_WRITE, |m, device| Reading::int(m.counted(writes(m, device) * 8_192.0))),
    (ids::NETWORK_RECEIVE_BYTES, |m, interface| Reading::int(m.counted(packets(m, interface) * 600.0))),
    (ids::NETWORK_RECEIVE_PACKETS, |m, interface| Reading::int(m.counted(packets(m, interface)))),
    (ids::NETWORK_RECEIVE_DROPPED, |m, _| {
        Reading::int(m.counted(if m.is_one_in(24, 30) { 0.01 } else { 0.0 }))
    }),
    (ids::NETWORK_RECEIVE_ERRORS, |_, _| Reading::int(0)),
    (ids::NETWORK_TRANSMIT_BYTES, |m, interface| Reading::int(m.counted(packets(m, interface) * 900.0))),
    (ids::NETWORK_TRANSMIT_PACKETS, |m, interface| Reading::int(m.counted(packets(m, interface) * 0.9))),
    (ids::NETWORK_TRANSMIT_DROPPED, |_, _| Reading::int(0)),
    (ids::NETWORK_TRANSMIT_ERRORS, |_, _| Reading::int(0)),
    (ids::THREADS, |m, _| Reading::int(m.around(8.0 * m.liking(25)) + 1)),
    (ids::THREADS_LIMIT_OWN, |m, _| limit(m.traits.pids_limit)),
    (ids::PRESSURE_CPU_WAITING, |m, _| pressure(m, 26, 1.0)),
    (ids::PRESSURE_CPU_STALLED, |m, _| pressure(m, 26, 0.4)),
    (ids::PRESSURE_MEMORY_WAITING, |m, _| pressure(m, 27, 0.1)),
    (ids::PRESSURE_MEMORY_STALLED, |m, _| pressure(m, 27, 0.05)),
    (ids::PRESSURE_IO_WAITING, |m, _| pressure(m, 28, 0.5)),
    (ids::PRESSURE_IO_STALLED, |m, _| pressure(m, 28, 0.3)),
    (ids::FS_USAGE, |m, _| Reading::int(m.around(50e6 * m.liking(29)))),
    (ids::FS_LIMIT, |_, _| Reading::int(500_000_000_000)),
    (ids::FS_AVAILABLE, |_, _| Reading::int(300_000_000_000)),
    (ids::FS_INODES_FREE, |_, _| Reading::int(29_000_000)),
    (ids::FS_INODES_TOTAL, |_, _| Reading::int(31_250_000)),
    (ids::HOST_CPU_WAITING, |m, _| pressure(m, 26, 10.0)),
    (ids::HOST_CPU_STALLED, |_, _| nanos(0.0)),
    (ids::HOST_MEMORY_WAITING, |m, _| pressure(m, 27, 1.0)),
    (ids::HOST_MEMORY_STALLED, |m, _| pressure(m, 27, 0.5)),
    (ids::HOST_IO_WAITING, |m, _| pressure(m, 28, 5.0)),
    (ids::HOST_IO_STALLED, |m, _| pressure(m, 28, 3.0)),
    (ids::MACHINE_CORES, |_, _| Reading::int(HOST_CPUS.into())),
    (ids::MACHINE_PHYSICAL_CORES, |_, _| Reading::int(u64::from(HOST_CPUS) / 2)),
    (ids::MACHINE_SOCKETS, |_, _| Reading::int(1)),
    (ids::MACHINE_MEMORY, |_, _| Reading::int(HOST_MEMORY)),
    (ids::MACHINE_SWAP, |_, _| Reading::int(8 << 30)),
];
