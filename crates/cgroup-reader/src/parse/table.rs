//! Files with one line per device or interface: `io.stat`, v1 `blkio.*`, `net/dev`, `diskstats`; and by memory node.

use super::{Malformed, lines, number, words};

/// Visits the cells of a nested-keyed v2 file (`254:0 rbytes=1 wbytes=2`, `anon N0=4096`) or of a v1 block I/O file
/// (`254:0 Read 1`): row, column, value.
///
/// Lines without a column, as v2 prints for devices without figures and v1 for its `Total`, have no cells. Some kernels
/// forget the newline after such a device: `8:16 8:0 rbytes=1` is a line of `8:0`.
pub fn nested<'a>(bytes: &'a [u8], mut cell: impl FnMut(&'a [u8], &'a [u8], &'a [u8])) {
    for line in lines(bytes) {
        let mut words = words(line);
        let Some(mut row) = words.next() else { continue };
        while let Some(word) = words.next() {
            if let Some(equals) = memchr::memchr(b'=', word) {
                cell(row, &word[..equals], &word[equals + 1..]);
            } else if is_device(word) {
                row = word;
            } else if is_device(row)
                && let Some(value) = words.next()
            {
                cell(row, word, value);
            }
        }
    }
}

/// Visits the lines of a file with one value each: `8:0 1048576` (v1 `blkio.throttle.*_device`), `sev 3` (`misc.current`),
/// `drm/0000:03:00.0/vram0 max` (`dmem.max`). A line of another shape is left out.
pub fn pairs<'a>(bytes: &'a [u8], mut row: impl FnMut(&'a [u8], &'a [u8])) {
    for line in lines(bytes) {
        let mut words = words(line);
        if let (Some(key), Some(value), None) = (words.next(), words.next(), words.next()) {
            row(key, value);
        }
    }
}

/// Visits the cells of `memory.numa_stat`: node, kind, value. On v2 `anon N0=4096 N1=0`, in bytes; on v1
/// `anon=1 N0=1 N1=0`, in pages, whose sum over the nodes is left out.
pub fn numa_stat<'a>(bytes: &'a [u8], mut cell: impl FnMut(&'a [u8], &'a [u8], &'a [u8])) {
    for line in lines(bytes) {
        let mut words = words(line);
        let Some(first) = words.next() else { continue };
        let kind = &first[..memchr::memchr(b'=', first).unwrap_or(first.len())];
        for word in words {
            let Some((node, value)) = word.strip_prefix(b"N").and_then(|word| {
                let equals = memchr::memchr(b'=', word)?;
                Some((&word[..equals], &word[equals + 1..]))
            }) else {
                continue;
            };
            if number(node).is_ok() {
                cell(node, kind, value);
            }
        }
    }
}

/// Whether the word is `major:minor`.
fn is_device(word: &[u8]) -> bool {
    match memchr::memchr(b':', word) {
        Some(colon) => number(&word[..colon]).is_ok() && number(&word[colon + 1..]).is_ok(),
        None => false,
    }
}

/// The columns of `/proc/<pid>/net/dev`, under the kernel's names with the direction before them.
pub const NET_DEV_COLUMNS: [&str; 16] = [
    "rx_bytes",
    "rx_packets",
    "rx_errs",
    "rx_drop",
    "rx_fifo",
    "rx_frame",
    "rx_compressed",
    "rx_multicast",
    "tx_bytes",
    "tx_packets",
    "tx_errs",
    "tx_drop",
    "tx_fifo",
    "tx_colls",
    "tx_carrier",
    "tx_compressed",
];

/// Visits the interfaces of `net/dev`: name and the readings of [`NET_DEV_COLUMNS`]; what a line lacks is [`Malformed`].
pub fn net_dev<'a>(bytes: &'a [u8], mut row: impl FnMut(&'a [u8], &[Result<u64, Malformed>; 16])) {
    for line in lines(bytes) {
        // An alias has a colon in its name (`eth0:1`), and before Linux 3 no blank need follow the last one (`eth0:1234`).
        let Some(colon) = memchr::memrchr(b':', line) else { continue };
        let name = line[..colon].trim_ascii();
        if !name.is_empty() {
            row(name, &numbers(words(&line[colon + 1..])));
        }
    }
}

/// The columns of `/proc/diskstats` after the device's name (Linux `Documentation/admin-guide/iostats.rst`). Kernels before
/// 5.5 end earlier.
pub const DISKSTATS_COLUMNS: [&str; 17] = [
    "reads",
    "reads_merged",
    "read_sectors",
    "read_ms",
    "writes",
    "writes_merged",
    "written_sectors",
    "write_ms",
    "in_progress",
    "io_ms",
    "weighted_io_ms",
    "discards",
    "discards_merged",
    "discarded_sectors",
    "discard_ms",
    "flushes",
    "flush_ms",
];

/// Visits the devices of `diskstats`: name and the readings of [`DISKSTATS_COLUMNS`]; what a line lacks is [`Malformed`].
pub fn diskstats<'a>(bytes: &'a [u8], mut row: impl FnMut(&'a [u8], &[Result<u64, Malformed>; 17])) {
    for line in lines(bytes) {
        let mut words = words(line);
        if let Some(name) = words.nth(2) {
            row(name, &numbers(words));
        }
    }
}

fn numbers<'a, const N: usize>(words: impl Iterator<Item = &'a [u8]>) -> [Result<u64, Malformed>; N] {
    let mut cells = [Err(Malformed); N];
    for (cell, word) in cells.iter_mut().zip(words) {
        *cell = number(word);
    }
    cells
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check_nested(text: &str, expect: &str) {
        let mut out = Vec::new();
        nested(text.as_bytes(), |row, column, value| {
            let word = String::from_utf8_lossy;
            out.push(format!("{}.{}={}", word(row), word(column), word(value)));
        });
        assert_eq!(out.join(" "), expect, "{text:?}");
    }

    #[test]
    fn v2_io() {
        check_nested("254:0 rbytes=1 wbytes=2\n8:0 rbytes=3\n", "254:0.rbytes=1 254:0.wbytes=2 8:0.rbytes=3");
        check_nested("254:0\n8:0 rbytes=3\n", "8:0.rbytes=3");
        check_nested("254:0 8:0 rbytes=3\n", "8:0.rbytes=3");
        check_nested("254:0 rby", "");
        check_nested("254:0 rbytes=", "254:0.rbytes=");
        check_nested("anon N0=1 N1=2\n", "anon.N0=1 anon.N1=2");
        check_nested("", "");
    }

    #[test]
    fn v1_blkio() {
        check_nested(
            "254:0 Read 1\n254:0 Write 2\n254:0 Total 3\nTotal 3\n",
            "254:0.Read=1 254:0.Write=2 254:0.Total=3",
        );
        check_nested("Total 0\n", "");
        check_nested("254:0 Read", "");
    }

    #[test]
    fn one_value_a_line() {
        let mut out = Vec::new();
        pairs(b"8:0 1048576\nsev 3\n\ncut\ndrm/0 max\n8:0 Read 1\n", |key, value| {
            out.push(format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
        });
        assert_eq!(out.join(" "), "8:0=1048576 sev=3 drm/0=max");
    }

    #[test]
    fn memory_nodes() {
        let check = |text: &str, expect: &str| {
            let mut out = Vec::new();
            numa_stat(text.as_bytes(), |node, kind, value| {
                let word = String::from_utf8_lossy;
                out.push(format!("{}.{}={}", word(node), word(kind), word(value)));
            });
            assert_eq!(out.join(" "), expect, "{text:?}");
        };
        check("anon N0=1 N1=2\nfile N0=3\n", "0.anon=1 1.anon=2 0.file=3");
        check("total=3 N0=1 N1=2\nhierarchical_anon=5 N0=5\n", "0.total=1 1.total=2 0.hierarchical_anon=5");
        check("anon N=1 Nx=2 N-1=3 M0=4 N0\n", "");
        check("anon N0=\n", "0.anon=");
    }

    fn check_net(text: &str, expect: &[(&str, u64, u64)]) {
        let mut out = Vec::new();
        net_dev(text.as_bytes(), |name, cells| {
            out.push((String::from_utf8_lossy(name).into_owned(), cells[0].unwrap(), cells[8].unwrap()));
        });
        let out: Vec<_> = out.iter().map(|(name, rx, tx)| (name.as_str(), *rx, *tx)).collect();
        assert_eq!(out, expect, "{text:?}");
    }

    #[test]
    fn interfaces() {
        check_net(
            "Inter-|   Receive    |  Transmit\n face |bytes    packets|bytes  packets\n    \
             lo:       1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0:1234 2 3 4 5 6 7 8 19 10 11 12 13 14 15 16\n\
             eth0:1: 5 2 3 4 5 6 7 8 29 10 11 12 13 14 15 16\n",
            &[("lo", 1, 9), ("eth0", 1234, 19), ("eth0:1", 5, 29)],
        );
    }

    #[test]
    fn a_cut_line_keeps_what_it_has() {
        net_dev(b"eth0: 1 2 -3", |name, cells| {
            assert_eq!(name, b"eth0");
            assert_eq!(cells[..4], [Ok(1), Ok(2), Err(Malformed), Err(Malformed)]);
        });
    }

    #[test]
    fn disks() {
        let mut seen = 0;
        diskstats(b" 254       0 vda 10 1 80 4 20 2 160 8 0 12 12\n 8 0\n", |name, cells| {
            assert_eq!((name, cells[2], cells[10], cells[11]), (&b"vda"[..], Ok(80), Ok(12), Err(Malformed)));
            seen += 1;
        });
        assert_eq!(seen, 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            text in "([0-9]{1,3}:[0-9]|Read|rbytes=|N[0-9]=| |\n|:|[0-9]{0,21}){0,20}",
        ) {
            for input in [&bytes[..], text.as_bytes()] {
                nested(input, |_, _, _| ());
                pairs(input, |_, _| ());
                numa_stat(input, |_, _, _| ());
                net_dev(input, |_, _| ());
                diskstats(input, |_, _| ());
            }
        }
    }
}
