//! `/proc/<pid>/stat`.

use super::{Malformed, number, words};

/// When the process started, in clock ticks after boot: field 22 (proc(5)). Together with the pid it names a process for good.
///
/// # Errors
/// [`Malformed`] if the line ends before it.
pub fn start_ticks(stat: &[u8]) -> Result<u64, Malformed> {
    // The command's name may hold blanks and parentheses, so count from its last one.
    let after_name = stat.iter().rposition(|&byte| byte == b')').ok_or(Malformed)? + 1;
    words(&stat[after_name..]).nth(19).ok_or(Malformed).and_then(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses() {
        let stat = b"42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 100 200 18446744073709551615\n";
        assert_eq!(start_ticks(stat), Ok(987_654));
        assert_eq!(start_ticks(&stat[..40]), Err(Malformed));
        assert_eq!(start_ticks(b""), Err(Malformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = start_ticks(&bytes);
        }
    }
}
