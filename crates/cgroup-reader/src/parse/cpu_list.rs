//! Lists of CPUs and memory nodes: `0-3,5`.

use super::{Malformed, number};

/// The ranges of a list, both ends included; an empty list has none.
///
/// # Errors
/// [`Malformed`] if a range is no range, or they do not ascend.
pub fn cpu_list(bytes: &[u8]) -> Result<Vec<(u32, u32)>, Malformed> {
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for range in text.split(|&byte| byte == b',') {
        let (first, last) = match range.iter().position(|&byte| byte == b'-') {
            Some(dash) => (cpu(&range[..dash])?, cpu(&range[dash + 1..])?),
            None => (cpu(range)?, cpu(range)?),
        };
        if last < first || ranges.last().is_some_and(|before| before.1 >= first) {
            return Err(Malformed);
        }
        ranges.push((first, last));
    }
    Ok(ranges)
}

/// How many CPUs a list names.
///
/// # Errors
/// As [`cpu_list`].
pub fn cpu_count(bytes: &[u8]) -> Result<u64, Malformed> {
    let ranges = cpu_list(bytes)?;
    Ok(ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum())
}

fn cpu(word: &[u8]) -> Result<u32, Malformed> {
    number(word).and_then(|value| u32::try_from(value).map_err(|_| Malformed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists() {
        assert_eq!(cpu_list(b"0-3,5\n"), Ok(vec![(0, 3), (5, 5)]));
        for (text, count) in [("0-3,5\n", 5), ("\n", 0), ("", 0), ("7", 1), ("0-4294967295", 1 << 32)] {
            assert_eq!(cpu_count(text.as_bytes()), Ok(count), "{text:?}");
        }
        for text in ["3-1", "1,1", "0-3,2", "-1", "1-", ",", "1,", "a", "0-4294967296", "0 1"] {
            assert_eq!(cpu_count(text.as_bytes()), Err(Malformed), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[0-9,-]{0,30}") {
            let _ = cpu_count(&bytes);
            let _ = cpu_count(text.as_bytes());
        }
    }
}
