//! Byte parsers for the kernel's text formats.
//!
//! They take what was read, never panic, and allocate only where the result is a list. A value that is not a number, is
//! negative, or lies past 2⁶³−1 (no honest counter gets there; a counter that the kernel let slip below zero does) is
//! [`Malformed`].

mod cpu_list;
mod mountinfo;
mod network;
mod process;
mod table;

pub use cpu_list::{cpu_count, cpu_list};
pub use mountinfo::{Mount, mountinfo, root_mount};
pub use network::{Socket, hex_column, named_pair, protocol_pair, socket};
pub use process::{Task, TaskState, limits, schedstat, start_ticks, task};
pub use table::{DISKSTATS_COLUMNS, NET_DEV_COLUMNS, diskstats, nested, net_dev, numa_stat, pairs};

use crate::key::{PsiLine, Scale, Units};
use crate::slot::{Absence, Slot};

/// The bytes are not what the format says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse a kernel file: not in the expected format")]
pub struct Malformed;

/// From here on up to 2⁶³−1 a v1 number means "no limit": the kernel's largest page count times the page size, which is
/// `0x7fff_ffff_ffff_f000` with 4 KiB pages and this with 64 KiB pages.
const LIMITLESS_FROM: u64 = 0x7fff_ffff_ffff_0000;
const NUMBER_MAX: u64 = i64::MAX as u64;

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t' || byte == b'\n' || byte == b'\r'
}

/// The number at the very beginning, which must end at a blank or at the end of the bytes.
fn leading_u64(bytes: &[u8]) -> Result<u64, Malformed> {
    let mut value: u64 = 0;
    let mut digits = 0;
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            if is_blank(byte) {
                break;
            }
            return Err(Malformed);
        }
        digits += 1;
        // Nineteen digits cannot overflow; only the twentieth has to be checked.
        if digits < 20 {
            value = value * 10 + u64::from(digit);
        } else {
            value = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit))).ok_or(Malformed)?;
        }
    }
    if digits == 0 || value > NUMBER_MAX { Err(Malformed) } else { Ok(value) }
}

/// One unsigned decimal number and nothing else.
///
/// # Errors
/// [`Malformed`] if there is anything else, or the number is past 2⁶³−1.
pub fn number(word: &[u8]) -> Result<u64, Malformed> {
    if word.iter().all(u8::is_ascii_digit) { leading_u64(word) } else { Err(Malformed) }
}

/// The whitespace-separated words.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| is_blank(byte)).filter(|word| !word.is_empty())
}

/// The lines, without their newlines; the last need not have one.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let empty = bytes.is_empty();
    bytes.split(|&byte| byte == b'\n').filter(move |_| !empty)
}

/// Whitespace-separated numbers, as in `cpuacct.usage_percpu`.
///
/// # Errors
/// [`Malformed`] if one of the words is no number.
pub fn u64_list(bytes: &[u8]) -> Result<Vec<u64>, Malformed> {
    words(bytes).map(number).collect()
}

/// The lines of a flat-keyed file (`memory.stat`, `/proc/meminfo`) with their values; a colon after the key and a unit
/// after the value are left out.
pub fn flat(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Result<u64, Malformed>)> {
    lines(bytes).filter_map(|line| {
        let mut words = words(line);
        let key = words.next()?;
        Some((key.strip_suffix(b":").unwrap_or(key), words.next().ok_or(Malformed).and_then(number)))
    })
}

/// The reading at the beginning of `bytes`: a number, or `max`.
pub(crate) fn reading(bytes: &[u8], scale: Scale, units: Units) -> Slot {
    match leading_u64(bytes) {
        Ok(value) if value >= LIMITLESS_FROM => Slot::Max,
        Ok(value) => scale.apply(value, units).map_or(Slot::Absent(Absence::Malformed), Slot::Value),
        Err(Malformed) if words(bytes).next() == Some(b"max") && !is_blank(bytes[0]) => Slot::Max,
        Err(Malformed) => Slot::Absent(Absence::Malformed),
    }
}

/// The reading of a file that is one number, `max` or (v1, `cfs_quota_us`) `-1` for no limit.
pub(crate) fn whole(bytes: &[u8], scale: Scale, units: Units) -> Slot {
    let mut words = words(bytes);
    match (words.next(), words.next()) {
        (Some(b"-1"), None) => Slot::Max,
        (Some(word), None) => reading(word, scale, units),
        _ => Slot::Absent(Absence::Malformed),
    }
}

/// What follows the key, if the line that begins at `bytes` has that key.
#[inline]
pub(crate) fn after_key<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    // What follows the key differs sooner than the key does, whose beginning many keys share.
    let rest = match bytes.get(key.len()) {
        Some(b' ' | b'\t' | b':') => &bytes[key.len() + 1..],
        // A key without a value: its line ends here.
        Some(b'\n') => &[],
        None if bytes.len() == key.len() => &[],
        _ => return None,
    };
    bytes.starts_with(key).then_some(rest)
}

/// The `total=` of a pressure file, microseconds; `None` if it has no such line (`full` of `cpu.pressure` before Linux 5.13).
///
/// # Errors
/// [`Malformed`] if the line has no number there.
pub fn psi_total(bytes: &[u8], line: PsiLine) -> Result<Option<u64>, Malformed> {
    const TOTAL: &[u8] = b"total=";
    for text in lines(bytes) {
        let Some(rest) = after_key(text, line.as_str().as_bytes()) else { continue };
        // It is the last word; looking from the end spares the averages.
        let word = rest.rsplit(|&byte| is_blank(byte)).find_map(|word| word.strip_prefix(TOTAL));
        return word.ok_or(Malformed).and_then(number).map(Some);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot(bytes: &[u8]) -> Slot {
        whole(bytes, Scale::One, Units::default())
    }

    #[test]
    fn whole_files() {
        let bad = Slot::Absent(Absence::Malformed);
        for (text, expect) in [
            ("0\n", Slot::Value(0)),
            ("12", Slot::Value(12)),
            ("max\n", Slot::Max),
            ("-1\n", Slot::Max),
            ("9223372036854771712\n", Slot::Max),
            ("9223372036854710272\n", Slot::Max),
            ("9223372036854775807\n", Slot::Max),
            ("9223372036854710271\n", Slot::Value(9_223_372_036_854_710_271)),
            ("9223372036854775808\n", bad),
            ("18446744073709551615\n", bad),
            ("18446744073709551616\n", bad),
            ("99999999999999999999999\n", bad),
            ("", bad),
            ("\n", bad),
            ("-2\n", bad),
            ("+3\n", bad),
            ("1 2\n", bad),
            ("1x\n", bad),
            ("maximum\n", bad),
            ("0x10\n", bad),
        ] {
            assert_eq!(slot(text.as_bytes()), expect, "{text:?}");
        }
        assert_eq!(whole(b"9000000000000000000", Scale::KibToBytes, Units::default()), bad);
    }

    #[test]
    fn flat_files() {
        let read: Vec<_> = flat(b"anon 1\nMemTotal:  2 kB\nempty\nnegative -3\n\nlast 4").collect();
        assert_eq!(
            read,
            [
                (&b"anon"[..], Ok(1)),
                (b"MemTotal", Ok(2)),
                (b"empty", Err(Malformed)),
                (b"negative", Err(Malformed)),
                (b"last", Ok(4))
            ]
        );
    }

    #[test]
    fn pressure_files() {
        let text = b"some avg10=1.50 avg60=0.00 avg300=0.00 total=106\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(psi_total(text, PsiLine::Some), Ok(Some(106)));
        assert_eq!(psi_total(text, PsiLine::Full), Ok(Some(7)));
        assert_eq!(psi_total(b"some avg10=0.00 total=5\n", PsiLine::Full), Ok(None));
        assert_eq!(psi_total(b"", PsiLine::Some), Ok(None));
        for cut in
            ["some avg10=0.00 tot", "some avg10=0.00 total=", "some\n", "some total=-1\n", "some total=1x\n"]
        {
            assert_eq!(psi_total(cut.as_bytes(), PsiLine::Some), Err(Malformed), "{cut:?}");
        }
    }

    #[test]
    fn number_lists() {
        assert_eq!(u64_list(b"1 2\t3\n"), Ok(vec![1, 2, 3]));
        assert_eq!(u64_list(b"\n"), Ok(vec![]));
        assert_eq!(u64_list(b"1 -2"), Err(Malformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = slot(&bytes);
            let _ = reading(&bytes, Scale::KibToBytes, Units::default());
            let _ = u64_list(&bytes);
            let _ = psi_total(&bytes, PsiLine::Some);
            let _ = flat(&bytes).count();
        }

        #[test]
        fn nearly_right_bytes_do_not_panic(text in "(some |full |total=|max|-|[0-9]{0,21}|\n|:){0,12}") {
            let _ = slot(text.as_bytes());
            let _ = psi_total(text.as_bytes(), PsiLine::Some);
            let _ = flat(text.as_bytes()).count();
        }

        #[test]
        fn numbers_read_back(value in 0..LIMITLESS_FROM) {
            prop_assert_eq!(slot(format!("{value}\n").as_bytes()), Slot::Value(value));
            prop_assert_eq!(number(value.to_string().as_bytes()), Ok(value));
        }
    }
}
