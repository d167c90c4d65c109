//! What fuzzing calls: a function panics where the parser breaks a promise.

use super::machine::{cores_and_sockets, kib};

/// `/proc/meminfo` and `/proc/cpuinfo`, found again in the plainest way.
pub fn machine(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for key in ["MemTotal:", "SwapTotal:"] {
        let line = text.split('\n').find_map(|line| line.strip_prefix(key));
        let word = line.and_then(|line| line.split([' ', '\t', '\r']).find(|word| !word.is_empty()));
        let digits = word.filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        let kibibytes: Option<u64> = digits.and_then(|digits| digits.parse().ok());
        let bytes =
            kibibytes.filter(|count| *count <= i64::MAX as u64).and_then(|count| count.checked_mul(1024));
        assert_eq!(kib(data, key.as_bytes()), bytes, "{key} {text:?}");
    }
    let (cores, sockets) = cores_and_sockets(text);
    assert!(cores.is_none_or(|cores| sockets.is_some() && cores <= text.lines().count() as u64), "{text:?}");
    // Each CPU twice is as many cores and sockets as before.
    assert_eq!(cores_and_sockets(&format!("{text}\n\n{text}")), (cores, sockets), "{text:?}");
}
