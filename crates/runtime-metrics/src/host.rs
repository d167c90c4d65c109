//! The files of `/proc` that speak of the whole host.

/// The first line of `/proc/stat`, in ticks of all cores since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// Waiting for the disk included.
    pub(crate) idle: u64,
    pub(crate) total: u64,
}

impl CpuTime {
    /// proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice already.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let line = bytes.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"cpu "))?;
        let mut fields = [0_u64; 8];
        let words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let mut count = 0;
        for (field, word) in fields.iter_mut().zip(words) {
            *field = word.parse().ok()?;
            count += 1;
        }
        // Kernels before 2.6.11 have no steal; idle is what counts.
        if count < 4 {
            return None;
        }
        let total = fields.iter().try_fold(0_u64, |sum, field| sum.checked_add(*field))?;
        Some(Self { idle: fields[3] + fields[4], total })
    }

    /// `None` while no tick has passed.
    pub(crate) fn percent_since(self, earlier: Self) -> Option<f64> {
        let total = self.total.checked_sub(earlier.total).filter(|ticks| *ticks > 0)?;
        // iowait may go back by a little.
        let idle = self.idle.saturating_sub(earlier.idle).min(total);
        Some((total - idle) as f64 / total as f64 * 100.0)
    }
}

/// MemTotal less MemAvailable of `/proc/meminfo`, which gives kibibytes.
pub(crate) fn memory_used_bytes(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    value("MemTotal:")?.checked_sub(value("MemAvailable:")?)?.checked_mul(1024)
}

/// `/proc/stat` and `/proc/meminfo`: to not panic is all, and that a percentage is one.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(data: &[u8]) {
    let _ = memory_used_bytes(data);
    let Some(time) = CpuTime::parse(data) else { return };
    let percent = time.percent_since(CpuTime { idle: 0, total: 0 });
    assert!(percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)), "{percent:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_cpu_line_is_read() {
        let check = |text: &str, expect: Option<(u64, u64)>| {
            let got = CpuTime::parse(text.as_bytes()).map(|time| (time.idle, time.total));
            assert_eq!(got, expect, "{text:?}");
        };
        check("cpu  10 20 30 400 50 1 2 3 7 8\ncpu0 1 2 3 4\n", Some((450, 516)));
        check("cpu  1 2 3 4\n", Some((4, 10)));
        check("cpu  1 2 3\n", None);
        check("cpu0 1 2 3 4\n", None);
        check("cpu  1 2 x 4\n", None);
        check("cpu  1 2 3 18446744073709551615\n", None);
        check("", None);
    }

    #[test]
    fn memory_is_what_is_not_available() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(memory_used_bytes(text.as_bytes()), expect, "{text:?}");
        };
        check("MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:   60 kB\n", Some(40 * 1024));
        check("MemTotal:  100 kB\n", None);
        check("MemTotal:  10 kB\nMemAvailable: 60 kB\n", None);
        check("MemTotal:  many kB\nMemAvailable: 60 kB\n", None);
    }
}
