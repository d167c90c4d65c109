//! Gives the fields of the stats API the meaning of the catalogue's rows.
//!
//! A row that reads a word of `memory.stat` reads the same word here: the engine passes them on.

use std::sync::Arc;

use collector_core::{
    Absence, Container, Engine, Entry, Group, Groups, Network, Reading, Sample, Value,
    catalogue::{self, Dimension, Entity, RowId, ids},
    effective::Limit,
};

use super::body::{Device, Interface, Stats};

/// The period that engines set for `NanoCpus`, microseconds.
const PERIOD_US: u64 = 100_000;

/// Notes that everything of these groups is absent for this reason.
pub(crate) fn absent(reason: Absence, groups: Groups, out: &mut Sample) {
    for (id, row) in catalogue::get().iter() {
        let is_read = row.source.is_sampled() && row.source.dimension().is_none();
        if row.entity == Entity::Container && is_read && groups.has(row.group) {
            out.set(id, Reading::Absent(reason));
        }
    }
    for dimension in catalogue::get().container_tables(groups) {
        out.table_mut(dimension).absence = Some(reason);
    }
}

/// Fills the rows of these groups.
///
/// The cgroup of a sandbox on its host holds zeros, which an engine may pass on: none of them is believed. Nor are those of an
/// answer that has neither CPU time nor memory, whatever the runtime is called: what runs has used some of both.
pub(crate) fn fill(
    stats: &Stats,
    container: &Container,
    is_sandboxed: bool,
    groups: Groups,
    out: &mut Sample,
) {
    absent(Absence::NotInStatsApi, groups, out);
    let is_blank = [stats.cpu_total, stats.memory_usage].iter().all(|value| value.unwrap_or(0) == 0);
    let mut filler = Filler { stats, container, is_sandboxed, doubts_zeros: is_sandboxed || is_blank, out };
    if groups.has(Group::Cpu) {
        filler.cpu();
    }
    if groups.has(Group::Memory) {
        filler.memory();
    }
    if groups.has(Group::Pids) {
        filler.pids();
    }
    if groups.has(Group::Io) {
        filler.devices();
    }
    if groups.has(Group::Network) {
        filler.interfaces();
    }
}

struct Filler<'a> {
    stats: &'a Stats,
    container: &'a Container,
    is_sandboxed: bool,
    /// Whether a zero cannot be told from nothing.
    doubts_zeros: bool,
    out: &'a mut Sample,
}

fn of_limit(limit: Option<Limit>) -> Option<Reading> {
    Some(match limit? {
        Limit::Max => Reading::Max,
        Limit::Value(value) => Reading::int(value),
    })
}

impl Filler<'_> {
    fn int(&mut self, row: RowId, value: Option<u64>) {
        if let Some(value) = value {
            self.out.set(row, Reading::int(value));
        }
    }

    fn nanos(&mut self, row: RowId, value: Option<u64>) {
        if let Some(value) = value {
            self.out.set(row, Reading::Value(Value::Nanos(value)));
        }
    }

    fn set(&mut self, row: RowId, reading: Option<Reading>) {
        if let Some(reading) = reading {
            self.out.set(row, reading);
        }
    }

    /// Why what is doubted is absent.
    const fn doubt(&self) -> Absence {
        if self.is_sandboxed { Absence::Sandboxed } else { Absence::NotInStatsApi }
    }

    /// Whether a group has nothing but a zero that is not believed; then it is absent.
    fn is_doubted(&mut self, group: Group, value: Option<u64>) -> bool {
        let is_doubted = self.doubts_zeros && value.unwrap_or(0) == 0;
        if is_doubted {
            absent(self.doubt(), Groups::NONE.with(group), self.out);
        }
        is_doubted
    }

    fn cpu(&mut self) {
        let stats = self.stats;
        if self.is_doubted(Group::Cpu, stats.cpu_total) {
            return;
        }
        self.nanos(ids::CPU_USAGE, stats.cpu_total);
        let is_podman = self.container.engine == Engine::Podman;
        // Podman's `usage_in_kernelmode` is `system_usec` as it is, not nanoseconds, and its user time the rest (seen with
        // 5.4.2 on cgroup v2: 40 ms in all, of which `10000` in the kernel, by a clock of 10 ms).
        if !is_podman {
            self.nanos(ids::CPU_USER, stats.cpu_user);
            self.nanos(ids::CPU_SYSTEM, stats.cpu_system);
        }
        // Podman writes 0 whatever happened.
        if !is_podman && !self.is_sandboxed {
            self.int(ids::CPU_PERIODS, stats.periods);
            self.int(ids::CPU_THROTTLED_PERIODS, stats.throttled_periods);
            self.nanos(ids::CPU_THROTTLED, stats.throttled);
        }
        // `CpusetCpus` is another way to limit it, so no word of a quota is no word of no limit.
        if let Some(Limit::Value(nanos)) = self.container.limits.nano_cpus {
            #[expect(clippy::cast_precision_loss, reason = "CPUs are few")]
            let (own, cpus) = (nanos as f64 / 1e9, stats.online_cpus.map(|cpus| cpus as f64));
            let cores = cpus.map_or(own, |cpus| own.min(cpus));
            self.out.set(ids::CPU_LIMIT, Reading::float(Some(cores)));
            let quota = u128::from(nanos) * u128::from(PERIOD_US) / 1_000_000_000;
            self.int(ids::CPU_SPEC_QUOTA, u64::try_from(quota).ok());
            self.int(ids::CPU_SPEC_PERIOD, Some(PERIOD_US));
        }
    }

    fn memory(&mut self) {
        let stats = self.stats;
        if self.is_doubted(Group::Memory, stats.memory_usage) {
            return;
        }
        self.int(ids::MEMORY_USAGE, stats.memory_usage);
        self.int(ids::MEMORY_MAX_USAGE, stats.memory_max_usage);
        self.int(ids::MEMORY_LIMIT, stats.memory_limit);
        let is_v1 = stats.memory_stat.contains_key("total_cache");
        // What v1 has is left out of the answer where it is 0.
        let failcnt = stats.memory_failcnt.or(is_v1.then_some(0));
        self.int(ids::MEMORY_FAILCNT, failcnt);
        self.int(ids::MEMORY_EVENTS_MAX, failcnt);
        // The engine knows the keys of some kernel, and says 0 for one that this kernel has not: rows that every kernel has are
        // believed.
        for (id, row) in catalogue::get().iter().filter(|(_, row)| row.group == Group::Memory) {
            let Some(word) = row.source.word("memory.stat", is_v1) else { continue };
            self.int(id, stats.memory_stat.get(word).copied());
        }
        let limits = self.container.limits;
        self.set(ids::MEMORY_LIMIT_OWN, of_limit(limits.memory));
        self.set(ids::MEMORY_MEMSW_LIMIT_OWN, of_limit(limits.memory_swap));
        self.set(ids::MEMORY_SOFT_LIMIT_OWN, of_limit(limits.memory_reservation));
    }

    fn pids(&mut self) {
        if self.is_doubted(Group::Pids, self.stats.pids) {
            return;
        }
        // Windows has none, and says 0.
        self.int(ids::THREADS, self.stats.pids.filter(|pids| *pids > 0));
        let own = match self.stats.pids_limit {
            Some(u64::MAX) => Some(Reading::Max),
            Some(limit) => Some(Reading::int(limit)),
            None => of_limit(self.container.limits.pids),
        };
        self.set(ids::THREADS_LIMIT_OWN, own);
    }

    fn devices(&mut self) {
        let columns = catalogue::get().columns(Dimension::Device);
        let doubt = self.doubt();
        let table = self.out.table_mut(Dimension::Device);
        let is_zero = |device: &Device| {
            [device.read_bytes, device.write_bytes, device.reads, device.writes]
                .into_iter()
                .flatten()
                .all(|count| count == 0)
        };
        match self.stats.devices.as_deref() {
            Some(devices) if self.doubts_zeros && devices.iter().all(is_zero) => table.absence = Some(doubt),
            // Nothing was done yet, or the engine's kernel does not count: the answer is the same.
            None | Some([]) => table.absence = Some(Absence::NotCounted),
            Some(devices) => {
                table.absence = None;
                table.entries = devices.iter().map(|device| device_entry(device, columns)).collect();
            }
        }
    }

    fn interfaces(&mut self) {
        let columns = catalogue::get().columns(Dimension::Interface);
        let doubt = self.doubt();
        let table = self.out.table_mut(Dimension::Interface);
        let interfaces = self.stats.interfaces.as_deref().unwrap_or_default();
        table.absence = match self.container.network {
            // The engine answers with the other's counters: they are counted there.
            Network::Container(_) => Some(Absence::SharedNetwork),
            Network::Host => Some(Absence::HostNetwork),
            Network::None => Some(Absence::NoNetwork),
            _ if interfaces.is_empty() => Some(Absence::NotInStatsApi),
            // A sandbox may keep its network to itself.
            _ if self.doubts_zeros && interfaces.iter().all(has_no_traffic) => Some(doubt),
            _ => None,
        };
        if table.absence.is_none() {
            table.entries = interfaces.iter().map(|interface| interface_entry(interface, columns)).collect();
        }
    }
}

fn cells<const N: usize>(columns: &[RowId], values: [(RowId, Option<u64>); N]) -> Vec<Reading> {
    let of = |column: &RowId| {
        let value = values.iter().find(|(row, _)| row == column).and_then(|(_, value)| *value);
        value.map_or(Reading::Absent(Absence::NotInStatsApi), Reading::int)
    };
    columns.iter().map(of).collect()
}

/// The names of another machine's devices are not known: a device is called by its numbers.
fn device_entry(device: &Device, columns: &[RowId]) -> Entry {
    let (major, minor) = (device.major.to_string(), device.minor.to_string());
    let values = [
        (ids::FS_READS_BYTES, device.read_bytes),
        (ids::FS_WRITES_BYTES, device.write_bytes),
        (ids::FS_READS, device.reads),
        (ids::FS_WRITES, device.writes),
        (ids::BLKIO_READ, device.read_bytes),
        (ids::BLKIO_WRITE, device.write_bytes),
    ];
    Entry {
        labels: Arc::new([format!("{major}:{minor}").into(), major.into(), minor.into()]),
        cells: cells(columns, values),
    }
}

fn has_no_traffic(interface: &Interface) -> bool {
    [interface.rx_bytes, interface.rx_packets, interface.tx_bytes, interface.tx_packets]
        .iter()
        .all(|count| count.unwrap_or(0) == 0)
}

fn interface_entry(interface: &Interface, columns: &[RowId]) -> Entry {
    let values = [
        (ids::NETWORK_RECEIVE_BYTES, interface.rx_bytes),
        (ids::NETWORK_RECEIVE_PACKETS, interface.rx_packets),
        (ids::NETWORK_RECEIVE_DROPPED, interface.rx_dropped),
        (ids::NETWORK_TRANSMIT_BYTES, interface.tx_bytes),
        (ids::NETWORK_TRANSMIT_PACKETS, interface.tx_packets),
        (ids::NETWORK_TRANSMIT_DROPPED, interface.tx_dropped),
    ];
    Entry { labels: Arc::new([interface.name.as_str().into()]), cells: cells(columns, values) }
}
