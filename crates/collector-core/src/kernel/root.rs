//! The root cgroup (`id="/"`) as if it were a container: the whole host, from `/proc`.
//!
//! cgroup v2's root has few files and v1's root counts only part of the machine, so the host's own files answer.

use std::fs;

use cgroup_reader::{Host, parse};

use super::machine::kib;
use crate::{
    Absence, Entry, Group, Groups, Reading, Sample, Value,
    catalogue::{self, Dimension, RowId, ids},
    effective,
};

/// Interfaces that only carry containers' traffic a second time.
const DOUBLE: [&str; 4] = ["lo", "veth", "docker", "br-"];

/// Fills the container rows for the whole host; false where `/proc` cannot be read.
pub(super) fn fill(host: &Host, groups: Groups, out: &mut Sample) -> bool {
    let proc = |file: &str| fs::read(host.roots().proc.join(file)).ok();
    let Some(stat) = proc("stat") else { return false };
    out.cgroup = Some("/".into());
    if groups.has(Group::Cpu) {
        cpu(host, &stat, out);
    }
    if groups.has(Group::State) {
        let boot = parse::lines(&stat).find_map(|line| line.strip_prefix(b"btime "));
        if let Some(seconds) = boot.and_then(|word| parse::number(word.trim_ascii()).ok()) {
            out.set(ids::START_TIME, nanos(seconds.checked_mul(1_000_000_000)));
        }
        let now = std::time::UNIX_EPOCH.elapsed().ok().and_then(|now| u64::try_from(now.as_nanos()).ok());
        out.set(ids::LAST_SEEN, nanos(now));
    }
    if groups.has(Group::Memory)
        && let Some(meminfo) = proc("meminfo")
    {
        memory(&meminfo, out);
    }
    if groups.has(Group::Network)
        && let Some(interfaces) = proc("1/net/dev").or_else(|| proc("net/dev"))
    {
        network(&interfaces, out);
    }
    if groups.has(Group::Io)
        && let Some(disks) = proc("diskstats")
    {
        disk(&disks, out);
    }
    if groups.has(Group::Pressure) {
        pressure(host, out);
    }
    true
}

fn nanos(value: Option<u64>) -> Reading {
    value.map_or(Reading::Absent(Absence::Malformed), |value| Reading::Value(Value::Nanos(value)))
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq in clock ticks (guest time is in user).
fn cpu(host: &Host, stat: &[u8], out: &mut Sample) {
    let Some(line) = parse::lines(stat).find_map(|line| line.strip_prefix(b"cpu ")) else { return };
    let ticks: Vec<u64> = parse::words(line).map_while(|word| parse::number(word).ok()).collect();
    let [user, nice, system, _, _, irq, softirq, ..] = ticks[..] else { return };
    let hz = host.units().user_hz.max(1);
    let nanos_of = |ticks: u64| nanos(ticks.checked_mul(1_000_000_000 / hz));
    out.set(ids::CPU_USER, nanos_of(user + nice));
    out.set(ids::CPU_SYSTEM, nanos_of(system + irq + softirq));
    out.set(ids::CPU_USAGE, nanos_of(user + nice + system + irq + softirq));
}

fn memory(meminfo: &[u8], out: &mut Sample) {
    let field = |key: &[u8]| kib(meminfo, key);
    let difference = |from: &[u8], less: &[u8]| Some(field(from)?.saturating_sub(field(less)?));
    let inactive = field(b"Inactive(file):");
    let usage = difference(b"MemTotal:", b"MemFree:");
    let rows: [(RowId, Option<u64>); 12] = [
        (ids::MEMORY_USAGE, usage),
        (
            ids::MEMORY_WORKING_SET,
            usage.zip(inactive).map(|(usage, inactive)| effective::working_set(usage, inactive)),
        ),
        (ids::MEMORY_RSS, field(b"AnonPages:")),
        (ids::MEMORY_CACHE, field(b"Cached:")),
        (ids::MEMORY_MAPPED_FILE, field(b"Mapped:")),
        (ids::MEMORY_KERNEL, field(b"Slab:")),
        (ids::MEMORY_SWAP, difference(b"SwapTotal:", b"SwapFree:")),
        (ids::MEMORY_ACTIVE_FILE, field(b"Active(file):")),
        (ids::MEMORY_INACTIVE_FILE, inactive),
        (ids::MEMORY_DIRTY, field(b"Dirty:")),
        (ids::MEMORY_WRITEBACK, field(b"Writeback:")),
        (ids::MEMORY_SPEC_LIMIT, field(b"MemTotal:")),
    ];
    for (row, value) in rows {
        if let Some(value) = value {
            out.set(row, Reading::int(value));
        }
    }
}

fn network(interfaces: &[u8], out: &mut Sample) {
    let columns = catalogue::get().columns(Dimension::Interface).len();
    let rows = [
        (ids::NETWORK_RECEIVE_BYTES, "rx_bytes"),
        (ids::NETWORK_RECEIVE_PACKETS, "rx_packets"),
        (ids::NETWORK_RECEIVE_ERRORS, "rx_errs"),
        (ids::NETWORK_RECEIVE_DROPPED, "rx_drop"),
        (ids::NETWORK_TRANSMIT_BYTES, "tx_bytes"),
        (ids::NETWORK_TRANSMIT_PACKETS, "tx_packets"),
        (ids::NETWORK_TRANSMIT_ERRORS, "tx_errs"),
        (ids::NETWORK_TRANSMIT_DROPPED, "tx_drop"),
    ];
    parse::net_dev(interfaces, |name, values| {
        let name = String::from_utf8_lossy(name);
        if DOUBLE.iter().any(|prefix| name.starts_with(prefix)) {
            return;
        }
        let mut cells = vec![Reading::Absent(Absence::NoKey); columns];
        for (row, key) in rows {
            let at = parse::NET_DEV_COLUMNS.iter().position(|column| *column == key);
            let column = catalogue::get().column(row);
            if let (Some(at), Some((_, column))) = (at, column) {
                cells[column] = match &values[at] {
                    Ok(value) => Reading::int(*value),
                    Err(_) => Reading::Absent(Absence::Malformed),
                };
            }
        }
        out.table_mut(Dimension::Interface).entries.push(Entry { labels: vec![name.as_ref().into()], cells });
    });
}

/// Whole disks of `/proc/diskstats`: partitions' I/O is in their disks', and ram and loop devices repeat that of files.
fn disk(disks: &[u8], out: &mut Sample) {
    let columns = catalogue::get().columns(Dimension::Device).len();
    let place = |name: &str| parse::DISKSTATS_COLUMNS.iter().position(|column| *column == name);
    let rows = [
        (ids::FS_READS, "reads", 1),
        (ids::FS_WRITES, "writes", 1),
        (ids::FS_READS_BYTES, "read_sectors", 512),
        (ids::FS_WRITES_BYTES, "written_sectors", 512),
        (ids::BLKIO_READ, "read_sectors", 512),
        (ids::BLKIO_WRITE, "written_sectors", 512),
    ];
    let numbers: Vec<(&[u8], &[u8])> = parse::lines(disks)
        .filter_map(|line| {
            let mut words = parse::words(line);
            Some((words.next()?, words.next()?))
        })
        .collect();
    let mut line = 0;
    let mut last_disk: Vec<u8> = Vec::new();
    parse::diskstats(disks, |name, values| {
        let number = numbers.get(line).copied();
        line += 1;
        let is_partition = !last_disk.is_empty()
            && name
                .strip_prefix(last_disk.as_slice())
                .is_some_and(|rest| rest.iter().any(u8::is_ascii_digit));
        if is_partition || [b"ram".as_slice(), b"loop", b"zram"].iter().any(|prefix| name.starts_with(prefix))
        {
            return;
        }
        last_disk = name.to_vec();
        let Some((major, minor)) = number else { return };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut cells = vec![Reading::Absent(Absence::NoKey); columns];
        for (row, key, scale) in rows {
            if let (Some(at), Some((_, column))) = (place(key), catalogue::get().column(row)) {
                let value = values[at].as_ref().ok().and_then(|value| value.checked_mul(scale));
                cells[column] = value.map_or(Reading::Absent(Absence::Malformed), Reading::int);
            }
        }
        let labels = vec![format!("/dev/{}", text(name)).into(), text(major).into(), text(minor).into()];
        out.table_mut(Dimension::Device).entries.push(Entry { labels, cells });
    });
}

fn pressure(host: &Host, out: &mut Sample) {
    use cgroup_reader::PsiLine::{Full, Some as AtLeastOne};
    for (file, line, row) in [
        ("cpu", AtLeastOne, ids::PRESSURE_CPU_WAITING),
        ("cpu", Full, ids::PRESSURE_CPU_STALLED),
        ("memory", AtLeastOne, ids::PRESSURE_MEMORY_WAITING),
        ("memory", Full, ids::PRESSURE_MEMORY_STALLED),
        ("io", AtLeastOne, ids::PRESSURE_IO_WAITING),
        ("io", Full, ids::PRESSURE_IO_STALLED),
    ] {
        let Ok(bytes) = fs::read(host.roots().proc.join("pressure").join(file)) else { continue };
        if let Ok(Some(micros)) = parse::psi_total(&bytes, line) {
            out.set(row, nanos(micros.checked_mul(1000)));
        }
    }
}
