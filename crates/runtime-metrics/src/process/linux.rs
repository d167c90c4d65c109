//! Linux: two system calls, one small file, and the size of one directory per reading.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::Resource;
use rustix::time::ClockId;

use super::Reading;

/// `PROC_SUPER_MAGIC` of linux/magic.h.
const PROC_MAGIC: u64 = 0x9fa0;

/// The files of one process.
#[derive(Debug)]
pub(super) struct Source {
    stat: PathBuf,
    fd: PathBuf,
    host_stat: PathBuf,
    /// Whether this is the kernel's own procfs, where the fd directory's size means something and where listing it
    /// opens a descriptor that is listed too.
    procfs: bool,
    /// Read once: the kernel derives `btime` from the wall clock, so it moves when the clock is set.
    start_seconds: OnceLock<f64>,
}

impl Source {
    pub(super) fn new(root: &Path) -> Self {
        let procfs =
            rustix::fs::statfs(root).is_ok_and(|found| u64::try_from(found.f_type) == Ok(PROC_MAGIC));
        Self {
            stat: root.join("self/stat"),
            fd: root.join("self/fd"),
            host_stat: root.join("stat"),
            procfs,
            start_seconds: OnceLock::new(),
        }
    }

    pub(super) fn read(&self) -> Reading {
        let cpu = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
        let stat = fs::read(&self.stat).ok().and_then(|bytes| Stat::parse(&bytes));
        Reading {
            cpu_seconds: Some(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9),
            resident_bytes: stat.map(|stat| stat.resident_pages as f64 * rustix::param::page_size() as f64),
            virtual_bytes: stat.map(|stat| stat.virtual_bytes as f64),
            open_fds: self.open_fds().map(|count| count as f64),
            max_fds: rustix::process::getrlimit(Resource::Nofile).current.map(|limit| limit as f64),
            threads: stat.map(|stat| stat.threads as f64),
            start_seconds: stat.and_then(|stat| self.start_seconds(stat.start_ticks)),
        }
    }

    fn open_fds(&self) -> Option<u64> {
        if self.procfs {
            let size = fs::metadata(&self.fd).ok()?.len();
            // Before Linux 6.2 it is 0; a process without any descriptor then costs a listing, no more.
            if size > 0 {
                return Some(size);
            }
        }
        let entries = fs::read_dir(&self.fd).ok()?.count() as u64;
        Some(if self.procfs { entries.saturating_sub(1) } else { entries })
    }

    fn start_seconds(&self, start_ticks: u64) -> Option<f64> {
        if let Some(known) = self.start_seconds.get() {
            return Some(*known);
        }
        let boot = boot_seconds(&fs::read(&self.host_stat).ok()?)?;
        let start = boot as f64 + start_ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        Some(*self.start_seconds.get_or_init(|| start))
    }
}

/// The fields of `/proc/PID/stat` that are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    threads: u64,
    /// Since boot.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// Reads proc_pid_stat(5). The second field is the command in parentheses, which may itself hold spaces and
    /// parentheses, so fields are counted from the last one.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let command_end = bytes.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&bytes[command_end + 1..]).ok()?;
        // Field 3 is the first of the rest.
        let mut fields = rest.split_ascii_whitespace().skip(20 - 3);
        let mut number = |skip: usize| fields.nth(skip)?.parse().ok();
        Some(Self {
            threads: number(0)?,
            start_ticks: number(1)?,
            virtual_bytes: number(0)?,
            resident_pages: number(0)?,
        })
    }
}

/// `btime` of `/proc/stat`: when the host booted, in seconds since 1970.
fn boot_seconds(bytes: &[u8]) -> Option<u64> {
    let line = bytes.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"btime "))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// `/proc/self/stat` and `/proc/stat`: to not panic is all, and that a command's name changes nothing.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(data: &[u8]) {
    let stat = Stat::parse(data);
    let rest = data.iter().rposition(|byte| *byte == b')').map(|end| &data[end + 1..]);
    if let Some(rest) = rest {
        assert_eq!(Stat::parse(&[b"1 (a) b ( c)", rest].concat()), stat);
    }
    let boot = boot_seconds(data);
    let late = [b"cpu  1 2 3\n", data].concat();
    assert_eq!(boot_seconds(&late), boot);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stat_fields_are_counted_from_the_command() {
        let check = |command: &[u8], rest: &str, expect: Option<[u64; 4]>| {
            let bytes = [b"77 (", command, b") ", rest.as_bytes()].concat();
            let got =
                Stat::parse(&bytes).map(|s| [s.threads, s.start_ticks, s.virtual_bytes, s.resident_pages]);
            assert_eq!(got, expect, "{}", String::from_utf8_lossy(&bytes));
        };
        let rest = "S 1 2 3 0 -1 4 5 6 7 8 90 10 0 0 20 0 9 0 4242 1048576 256 18446744073709551615 1 1\n";
        check(b"exporter", rest, Some([9, 4242, 1_048_576, 256]));
        check(b"a b) S 1 2 (c)", rest, Some([9, 4242, 1_048_576, 256]));
        check(b"\xff\xfe", rest, Some([9, 4242, 1_048_576, 256]));
        check(b"cut", "S 1 2 3 0 -1 4 5 6 7 8 90 10 0 0 20 0 9 0 4242 1048576", None);
        check(b"text", &rest.replace("4242", "soon"), None);
        check(b"negative", &rest.replace(" 256 ", " -256 "), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn boot_time_is_found() {
        let check =
            |text: &str, expect: Option<u64>| assert_eq!(boot_seconds(text.as_bytes()), expect, "{text:?}");
        check("cpu  1 2\nbtime 1700000000\nprocesses 4\n", Some(1_700_000_000));
        check("btime 5", Some(5));
        check("cpu 1\nxbtime 5\n", None);
        check("btime -5\n", None);
        check("", None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Stat::parse(&bytes), boot_seconds(&bytes));
        }
    }

    /// What an older kernel makes of it: the directory is listed. A fixture's own size must not be taken for a count.
    #[test]
    fn descriptors_of_a_fixture_are_listed() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("self/fd")).expect("a directory");
        for fd in 0..5 {
            fs::write(root.path().join(format!("self/fd/{fd}")), "").expect("a file");
        }
        assert_eq!(Source::new(root.path()).open_fds(), Some(5));
    }

    #[test]
    fn both_ways_of_counting_descriptors_agree() {
        let source = Source::new(Path::new("/proc"));
        assert!(source.procfs);
        let counts = |source: &Source| {
            (source.open_fds(), fs::read_dir(&source.fd).ok().map(|d| d.count() as u64 - 1))
        };
        // Other tests open and close files meanwhile.
        let agreed = (0..1_000)
            .map(|_| counts(&source))
            .any(|(counted, listed)| counted == listed && counted >= Some(3));
        assert!(agreed, "{:?}", counts(&source));
    }
}
