//! The root cgroup (`id="/"`) as if it were a container: the whole host, from `/proc`.
//!
//! cgroup v2's root has few files and v1's root counts only part of the machine, so the host's own files answer.

use std::sync::Arc;

use cgroup_reader::{Host, parse, read_file};

use super::machine::{Machine, kib};
use crate::{
    Absence, Entry, Group, Groups, Reading, Sample, Value,
    catalogue::{self, Dimension, RowId, ids},
    effective,
};

/// Interfaces that only carry containers' traffic a second time, by the beginnings of their names.
const DOUBLE: [&str; 3] = ["veth", "docker", "br-"];

/// Fills the container rows for the whole host; false where `/proc` cannot be read.
pub(super) fn fill(host: &Host, machine: &Machine, groups: Groups, out: &mut Sample) -> bool {
    let proc = |file: &str| read_file(&host.roots().proc.join(file)).ok();
    let Some(stat) = proc("stat") else { return false };
    out.cgroup = Some("/".into());
    if groups.has(Group::Cpu) {
        cpu(host, &stat, out);
        let cores = machine.online_cpus().map(f64::from);
        out.set(ids::CPU_LIMIT, Reading::float(cores));
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
    let nanos_of = |ticks: &[u64]| {
        let sum = ticks.iter().try_fold(0_u64, |sum, ticks| sum.checked_add(*ticks));
        nanos(sum.and_then(|sum| sum.checked_mul(1_000_000_000 / hz)))
    };
    out.set(ids::CPU_USER, nanos_of(&[user, nice]));
    out.set(ids::CPU_SYSTEM, nanos_of(&[system, irq, softirq]));
    out.set(ids::CPU_USAGE, nanos_of(&[user, nice, system, irq, softirq]));
}

fn memory(meminfo: &[u8], out: &mut Sample) {
    let field = |key: &[u8]| kib(meminfo, key);
    let difference = |from: &[u8], less: &[u8]| Some(field(from)?.saturating_sub(field(less)?));
    let inactive = field(b"Inactive(file):");
    let usage = difference(b"MemTotal:", b"MemFree:");
    let total = field(b"MemTotal:");
    let rows: [(RowId, Option<u64>); 13] = [
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
        // The machine's limit is its memory, set and effective; formulas make the rest of it.
        (ids::MEMORY_LIMIT_OWN, total),
        (ids::MEMORY_LIMIT, total),
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
        if name == "lo" || DOUBLE.iter().any(|prefix| name.starts_with(prefix)) {
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
        out.table_mut(Dimension::Interface)
            .entries
            .push(Entry { labels: Arc::new([name.as_ref().into()]), cells });
    });
}

/// Whole disks of `/proc/diskstats`: partitions' I/O is in their disks', and ram and loop devices repeat that of files.
fn disk(disks: &[u8], out: &mut Sample) {
    let columns = catalogue::get().columns(Dimension::Device).len();
    let rows = [
        (ids::FS_READS, "reads", 1),
        (ids::FS_WRITES, "writes", 1),
        (ids::FS_READS_BYTES, "read_sectors", 512),
        (ids::FS_WRITES_BYTES, "written_sectors", 512),
        (ids::BLKIO_READ, "read_sectors", 512),
        (ids::BLKIO_WRITE, "written_sectors", 512),
    ];
    let mut last_disk: Option<&[u8]> = None;
    for line in parse::lines(disks) {
        let mut words = parse::words(line);
        let (Some(major), Some(minor), Some(name)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let repeats = [b"ram".as_slice(), b"loop", b"zram"].iter().any(|prefix| name.starts_with(prefix));
        if repeats || last_disk.is_some_and(|disk| is_partition(disk, name)) {
            continue;
        }
        last_disk = Some(name);
        let values: Vec<&[u8]> = words.collect();
        let mut cells = vec![Reading::Absent(Absence::NoKey); columns];
        for (row, key, scale) in rows {
            let at = parse::DISKSTATS_COLUMNS.iter().position(|column| *column == key);
            let (Some(at), Some((_, column))) = (at, catalogue::get().column(row)) else { continue };
            let value = values.get(at).and_then(|word| parse::number(word).ok());
            let value = value.and_then(|value| value.checked_mul(scale));
            cells[column] = value.map_or(Reading::Absent(Absence::Malformed), Reading::int);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let labels =
            Arc::new([format!("/dev/{}", text(name)).into(), text(major).into(), text(minor).into()]);
        out.table_mut(Dimension::Device).entries.push(Entry { labels, cells });
    }
}

/// The kernel names partitions `<disk><n>`, or `<disk>p<n>` where the disk's own name ends in a digit.
fn is_partition(disk: &[u8], name: &[u8]) -> bool {
    let Some(mut number) = name.strip_prefix(disk) else { return false };
    if disk.last().is_some_and(u8::is_ascii_digit) {
        let Some(after) = number.strip_prefix(b"p") else { return false };
        number = after;
    }
    !number.is_empty() && number.iter().all(u8::is_ascii_digit)
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
        let Ok(bytes) = read_file(&host.roots().proc.join("pressure").join(file)) else { continue };
        if let Ok(Some(micros)) = parse::psi_total(&bytes, line) {
            out.set(row, nanos(micros.checked_mul(1000)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_from_disks() {
        for (disk, name, expect) in [
            ("vda", "vda1", true),
            ("vda", "vda12", true),
            ("vda", "vdb", false),
            ("sda", "sdaa", false),
            ("nvme0n1", "nvme0n1p2", true),
            ("nvme0n1", "nvme0n2", false),
            ("nvme0n1", "nvme0n10", false),
            ("md1", "md10", false),
            ("mmcblk0", "mmcblk0p1", true),
            ("mmcblk0", "mmcblk0boot0", false),
            ("vda", "vda", false),
        ] {
            assert_eq!(is_partition(disk.as_bytes(), name.as_bytes()), expect, "{disk} {name}");
        }
    }

    #[test]
    fn disks_keep_their_numbers_beside_broken_lines() {
        let text = b"   7       0 loop0 1 0 8 0 1 0 8 0 0 0 0\n broken\n 254 0 vda 5 0 16 0 6 0 24 0 0 0 0\n \
            254 1 vda1 5 0 16 0 6 0 24 0 0 0 0\n 254 16 vdb 1 0 x 0 18446744073709551615 0 9223372036854775807\n";
        let mut sample = Sample::absent(Absence::NotCollected);
        disk(text, &mut sample);
        let column = |row| catalogue::get().column(row).expect("a column").1;
        let entries = &sample.table(Dimension::Device).entries;
        let labels: Vec<Vec<&str>> =
            entries.iter().map(|entry| entry.labels.iter().map(AsRef::as_ref).collect()).collect();
        assert_eq!(labels, [["/dev/vda", "254", "0"], ["/dev/vdb", "254", "16"]]);
        assert_eq!(entries[0].cells[column(ids::FS_READS_BYTES)], Reading::int(16 * 512));
        assert_eq!(entries[0].cells[column(ids::FS_WRITES)], Reading::int(6));
        let malformed = Reading::Absent(Absence::Malformed);
        assert_eq!(entries[1].cells[column(ids::FS_READS)], Reading::int(1));
        for row in [ids::FS_READS_BYTES, ids::FS_WRITES, ids::FS_WRITES_BYTES] {
            assert_eq!(entries[1].cells[column(row)], malformed);
        }
    }
}
