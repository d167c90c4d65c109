//! From clock ticks after boot to times of day.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cgroup_reader::{Host, Process};
use rustix::time::{ClockId, clock_gettime};

/// The machine's clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// When it booted; `None` if `/proc/stat` does not tell.
    boot: Option<SystemTime>,
    /// How long ago that was; `None` if `/proc/uptime` does not tell.
    pub(crate) uptime: Option<Duration>,
    user_hz: u64,
}

impl Clock {
    /// Reads them.
    pub(crate) fn read(host: &Host) -> Clock {
        let proc = &host.roots().proc;
        Clock {
            boot: boot_second(proc).map(refined),
            uptime: uptime(proc),
            user_hz: host.units().user_hz.max(1),
        }
    }

    /// When a process started, after boot.
    pub(crate) fn after_boot(&self, process: Process) -> Duration {
        let seconds = Duration::from_secs(process.start_ticks / self.user_hz);
        let rest = u128::from(process.start_ticks % self.user_hz) * 1_000_000_000 / u128::from(self.user_hz);
        seconds.saturating_add(Duration::from_nanos(u64::try_from(rest).unwrap_or(0)))
    }

    /// When a process started.
    pub(crate) fn started_at(&self, process: Process) -> Option<SystemTime> {
        self.boot?.checked_add(self.after_boot(process))
    }

    /// How long a process has run.
    pub(crate) fn age(&self, process: Process) -> Option<Duration> {
        Some(self.uptime?.saturating_sub(self.after_boot(process)))
    }
}

/// `btime` of `/proc/stat`, proc(5): whole seconds.
fn boot_second(proc: &Path) -> Option<SystemTime> {
    let text = fs::read_to_string(proc.join("stat")).ok()?;
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The same to 10 ms, the length of a tick, where this machine's own clocks agree with it. Rounded, so that another start of
/// this process finds the same.
fn refined(boot: SystemTime) -> SystemTime {
    let since_boot = clock_gettime(ClockId::Boottime);
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(since_boot.tv_sec), u32::try_from(since_boot.tv_nsec))
    else {
        return boot;
    };
    let own = SystemTime::now().checked_sub(Duration::new(seconds, nanos));
    match own.and_then(|own| own.duration_since(boot).ok()) {
        Some(fraction) if fraction < Duration::from_secs(1) => {
            boot + Duration::from_millis(u64::from(fraction.subsec_millis()) / 10 * 10)
        }
        _ => boot,
    }
}

/// The first number of `/proc/uptime`, proc(5): seconds with two digits after the point.
fn uptime(proc: &Path) -> Option<Duration> {
    let text = fs::read_to_string(proc.join("uptime")).ok()?;
    Duration::try_from_secs_f64(text.split_whitespace().next()?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_is_refined_only_where_the_clocks_agree() {
        let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(refined(long_ago), long_ago);
        let Some(second) = boot_second(Path::new("/proc")) else { return };
        let fine = refined(second);
        assert!(fine >= second && fine < second + Duration::from_secs(1));
    }

    #[test]
    fn uptime_out_of_format_is_none() {
        let directory = tempfile::tempdir().unwrap();
        for (text, expect) in
            [("12.34 99.0\n", Some(Duration::from_millis(12_340))), ("", None), ("-1 0", None), ("x", None)]
        {
            fs::write(directory.path().join("uptime"), text).unwrap();
            assert_eq!(uptime(directory.path()), expect, "{text:?}");
        }
    }
}
