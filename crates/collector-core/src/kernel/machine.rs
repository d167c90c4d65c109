//! The machine itself: CPUs, memory, ids.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use cgroup_reader::{Roots, parse};

use super::lock;
use crate::{Reading, Sample, catalogue::ids};

/// CPUs and memory can be plugged: they are read anew after this time.
const FRESH: Duration = Duration::from_secs(10);

/// What can change while the machine runs.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    online_cpus: Option<u32>,
    memory_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    physical_cores: Option<u64>,
    sockets: Option<u64>,
}

/// The machine's facts and ids.
#[derive(Debug)]
pub(super) struct Machine {
    proc: PathBuf,
    sys: Option<PathBuf>,
    ids: [String; 3],
    facts: Mutex<Option<(Instant, Facts)>>,
}

fn word(path: &Path) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

impl Machine {
    pub(super) fn new(roots: &Roots) -> Self {
        let sys = roots.cgroup.parent().and_then(Path::parent).map(Path::to_owned);
        // A tree of a test has its own /etc, beside its /proc.
        let etc = roots.proc.parent().unwrap_or(Path::new("/")).join("etc");
        let uuid = sys.as_ref().map(|sys| word(&sys.join("class/dmi/id/product_uuid"))).unwrap_or_default();
        let ids = [word(&roots.proc.join("sys/kernel/random/boot_id")), word(&etc.join("machine-id")), uuid];
        Self { proc: roots.proc.clone(), sys, ids, facts: Mutex::default() }
    }

    pub(super) fn memory_bytes(&self) -> Option<u64> {
        self.facts().memory_bytes
    }

    pub(super) fn online_cpus(&self) -> Option<u32> {
        self.facts().online_cpus
    }

    fn facts(&self) -> Facts {
        let mut known = lock(&self.facts);
        match *known {
            Some((at, facts)) if at.elapsed() < FRESH => facts,
            _ => {
                let facts = self.read();
                *known = Some((Instant::now(), facts));
                facts
            }
        }
    }

    fn read(&self) -> Facts {
        let meminfo = fs::read(self.proc.join("meminfo")).unwrap_or_default();
        let cpuinfo = fs::read_to_string(self.proc.join("cpuinfo")).unwrap_or_default();
        let online = self
            .sys
            .as_ref()
            .and_then(|sys| fs::read(sys.join("devices/system/cpu/online")).ok())
            .and_then(|list| parse::cpu_count(&list).ok())
            .and_then(|count| u32::try_from(count).ok());
        let listed = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        let (physical_cores, sockets) = cores_and_sockets(&cpuinfo);
        Facts {
            online_cpus: online.or(u32::try_from(listed).ok()).filter(|cpus| *cpus > 0),
            memory_bytes: kib(&meminfo, b"MemTotal:"),
            swap_bytes: kib(&meminfo, b"SwapTotal:"),
            physical_cores,
            sockets,
        }
    }

    /// Fills the rows of the machine.
    pub(super) fn fill(&self, out: &mut Sample) {
        let facts = self.facts();
        let labels: Vec<&str> = self.ids.iter().map(String::as_str).collect();
        for (row, value) in [
            (ids::MACHINE_CORES, facts.online_cpus.map(u64::from)),
            (ids::MACHINE_PHYSICAL_CORES, facts.physical_cores),
            (ids::MACHINE_SOCKETS, facts.sockets),
            (ids::MACHINE_MEMORY, facts.memory_bytes),
            (ids::MACHINE_SWAP, facts.swap_bytes),
        ] {
            if let Some(value) = value {
                out.set_in(row, &labels, Reading::int(value));
            }
        }
    }
}

/// A line of `/proc/meminfo`, in bytes.
pub(super) fn kib(meminfo: &[u8], key: &[u8]) -> Option<u64> {
    let line = parse::lines(meminfo).find_map(|line| line.strip_prefix(key))?;
    let value = parse::number(parse::words(line).next()?).ok()?;
    value.checked_mul(1024)
}

/// Distinct pairs of `physical id` and `core id`, and distinct sockets; virtual machines and some architectures name none.
pub(super) fn cores_and_sockets(cpuinfo: &str) -> (Option<u64>, Option<u64>) {
    let mut cores = BTreeSet::new();
    let mut sockets = BTreeSet::new();
    for cpu in cpuinfo.split("\n\n") {
        let field = |name: &str| {
            cpu.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            })
        };
        if let Some(socket) = field("physical id") {
            if let Some(core) = field("core id") {
                cores.insert((socket.clone(), core));
            }
            sockets.insert(socket);
        }
    }
    let count = |len: usize| (len > 0).then_some(len as u64);
    (count(cores.len()), count(sockets.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_and_sockets_are_told_apart() {
        let cpu = |socket, core| format!("processor\t: 0\nphysical id\t: {socket}\ncore id\t: {core}\n");
        let text = [cpu(0, 0), cpu(0, 0), cpu(0, 1), cpu(1, 0), cpu(1, 1)].join("\n");
        assert_eq!(cores_and_sockets(&text), (Some(4), Some(2)));
        assert_eq!(cores_and_sockets("processor : 0\n"), (None, None));
    }

    #[test]
    fn meminfo_is_in_bytes() {
        let text = b"MemTotal:       16000 kB\nMemFree: 7 kB\nHugePages_Total: 0\n";
        assert_eq!(kib(text, b"MemTotal:"), Some(16_384_000));
        assert_eq!(kib(text, b"MemFree:"), Some(7168));
        assert_eq!(kib(text, b"SwapTotal:"), None);
        assert_eq!(kib(b"MemTotal: x kB", b"MemTotal:"), None);
    }
}
