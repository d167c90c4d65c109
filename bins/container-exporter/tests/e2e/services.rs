//! What no engine runs: systemd's services, and plain cgroups, by `cgroup.include`.

mod alone;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{Exporter, Page, Scope, Setup, await_until, leave_out, number, skip};

const CPU: &str = "container_cpu_usage_seconds_total";
const MEMORY: &str = "container_memory_usage_bytes";

/// Where hierarchies are mounted; `true` for those that have numbers.
fn mounts() -> Vec<(PathBuf, bool)> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
    let points = mounts.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let counts = |option| ["memory", "cpuacct", "pids"].contains(&option);
        let has_numbers = match *words.get(2)? {
            "cgroup2" => true,
            "cgroup" => words.get(3)?.split(',').any(counts),
            _ => return None,
        };
        Some((PathBuf::from(words[1]), has_numbers))
    });
    points.collect()
}

/// A cgroup in every hierarchy that is mounted; it goes with its processes.
struct Cgroup {
    name: String,
    directories: Vec<PathBuf>,
    child: Child,
}

impl Cgroup {
    /// `None` where none can be made.
    fn new(name: &str) -> Option<Self> {
        let mut directories = Vec::new();
        for directory in mounts().into_iter().filter(|(_, counts)| *counts).map(|(point, _)| point.join(name))
        {
            match std::fs::create_dir_all(&directory) {
                Ok(()) => directories.push(directory),
                Err(error) => return skip(format!("{}: {error}", directory.display())),
            }
        }
        // It waits until it was moved in, so that all it uses is counted.
        let script = "read go; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec sleep 600";
        let mut command = Command::new("sh");
        let command = command.args(["-c", script]).env("i", "0").stdin(Stdio::piped());
        let mut child = command.spawn().expect("sh runs");
        for directory in &directories {
            std::fs::write(directory.join("cgroup.procs"), child.id().to_string()).expect("we may move it");
        }
        drop(child.stdin.take().map(|mut stdin| std::io::Write::write_all(&mut stdin, b"\n")));
        Some(Self { name: name.to_owned(), directories, child })
    }

    fn id(&self) -> String {
        format!("/{}", self.name)
    }

    /// A file that only one of the hierarchies has.
    fn file(&self, name: &str) -> Option<String> {
        self.directories.iter().find_map(|directory| std::fs::read_to_string(directory.join(name)).ok())
    }

    fn cpu_seconds(&self) -> f64 {
        let v1 = self.file("cpuacct.usage").and_then(|text| number(&text)).map(|nanos| nanos / 1e9);
        let v2 = || crate::harness::key(&self.file("cpu.stat")?, "usage_usec").map(|micros| micros / 1e6);
        v1.or_else(v2).expect("its CPU is counted")
    }

    fn memory_bytes(&self) -> Option<f64> {
        number(&self.file("memory.usage_in_bytes").or_else(|| self.file("memory.current"))?)
    }

    fn end(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        for directory in &self.directories {
            await_until("the cgroup goes", || {
                (!directory.exists() || std::fs::remove_dir(directory).is_ok()).then_some(())
            });
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        for directory in &self.directories {
            for _ in 0..40 {
                if !directory.exists() || std::fs::remove_dir(directory).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
    }
}

fn including(setup: Setup, pattern: &str) -> Exporter {
    setup.config("cgroup", &format!("include = [\"{pattern}\"]")).start()
}

fn of(page: &Page, name: &str, id: &str) -> Option<f64> {
    page.value(name, &[("container_id", id)])
}

#[test]
fn a_cgroup_that_no_engine_knows_has_the_kernels_numbers() {
    let Some(scope) = Scope::new("plain") else { return };
    let folder = scope.name("jobs");
    let Some(before) = Cgroup::new(&format!("{folder}-a.service")) else { return };
    let exporter = including(scope.exporter_of_all(), &format!("{folder}-*.service"));
    let id = before.id();
    let page = exporter.await_page("the cgroup has numbers", |page| of(page, CPU, &id).map(|_| page.clone()));
    let unit = id.trim_start_matches('/');
    let info = page.all("container_info", &[("container_id", &id), ("unit", unit), ("engine", "kernel")]);
    assert_eq!(info.len(), 1, "{info:#?}");
    let low = before.cpu_seconds();
    let page = exporter.scrape();
    let high = before.cpu_seconds();
    let shown = of(&page, CPU, &id).expect("it is there");
    assert!((low..=high).contains(&shown), "{low} ≤ {shown} ≤ {high}");
    if let Some(bytes) = before.memory_bytes() {
        let shown = of(&page, MEMORY, &id).expect("it is there");
        assert!((shown - bytes).abs() <= 1_048_576.0, "{shown} is not {bytes}");
    }
    // One that comes while we watch, long before the next scan is due.
    let mut after = Cgroup::new(&format!("{folder}-b.service")).expect("the first could be made");
    exporter.await_page("the second is there", |page| of(page, CPU, &after.id()));
    after.end();
    exporter.await_page("the second is gone", |page| of(page, CPU, &after.id()).is_none().then_some(()));
    assert!(of(&exporter.scrape(), CPU, &id).is_some(), "the first is still there");
}

#[test]
fn what_an_engine_runs_is_shown_once_and_as_the_engines() {
    let Some(scope) = Scope::new("owned") else { return };
    let first = scope.sleeper("first", &[]);
    let exporter = including(scope.exporter(), "**");
    let second = scope.sleeper("second", &[]);
    for container in [&first, &second] {
        let page = exporter.await_container(&container.name);
        let id = &page.all(CPU, &[("container_name", &container.name)])[0].label("container_id").to_owned();
        assert_eq!(page.all(CPU, &[("container_id", id)]).len(), 1);
    }
    // Long enough for the other source to speak of the second, too.
    let scans =
        |page: &Page| page.value("container_exporter_source_lists_total", &[("source", "cgroup_include")]);
    let before = scans(&exporter.scrape()).expect("it scans");
    let page = exporter
        .await_page("it has scanned again", |page| (scans(page)? >= before + 2.0).then(|| page.clone()));
    for container in [&first, &second] {
        let id = page.all(CPU, &[("container_name", &container.name)])[0].label("container_id").to_owned();
        assert_eq!(page.all("container_info", &[("container_id", &id)]).len(), 1);
        let info = page.all("container_info", &[("container_id", &id), ("engine", "kernel")]);
        assert!(info.is_empty(), "{info:#?}");
    }
}

/// A transient service, which goes with the test.
struct Service(String);

impl Drop for Service {
    fn drop(&mut self) {
        _ = Command::new("systemctl").args(["stop", &self.0]).status();
    }
}

/// Whether systemd runs here; where not, it is said what is left to other hosts. No skip: nothing that could be installed would
/// make this one of them.
pub(crate) fn has_systemd(what: &str) -> bool {
    let runs = Path::new("/run/systemd/system").is_dir();
    if !runs {
        leave_out("there is no systemd here", what);
    }
    runs
}

fn shown_by_systemd(unit: &str, property: &str) -> Option<f64> {
    let output = Command::new("systemctl").args(["show", "--value", "-p", property, unit]).output().ok()?;
    number(&String::from_utf8_lossy(&output.stdout))
}

#[test]
fn a_service_has_the_numbers_of_systemctl_show() {
    let Some(scope) = Scope::new("service") else { return };
    if !has_systemd("what `systemctl show` says of the same unit") {
        return;
    }
    let exporter = including(scope.exporter(), "system.slice/*.service");
    let unit = format!("{}.service", scope.name("unit"));
    let service = Service(unit.clone());
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec sleep 600";
    let accounted = ["-p", "CPUAccounting=yes", "-p", "MemoryAccounting=yes"];
    let status = Command::new("systemd-run")
        .args(["--unit", &unit])
        .args(accounted)
        .args(["sh", "-c", script])
        .status()
        .expect("systemd-run runs");
    assert!(status.success());
    let labels = [("unit", unit.as_str()), ("slice", "system.slice")];
    exporter.await_page("the service has numbers", |page| page.value(CPU, &labels));
    // Once it sleeps, both stand still.
    await_until("systemd and the page agree on the CPU", || {
        let nanos = shown_by_systemd(&unit, "CPUUsageNSec")?;
        let shown = exporter.try_scrape()?.value(CPU, &labels)?;
        ((shown - nanos / 1e9).abs() < 1e-6 && nanos > 0.0).then_some(())
    });
    await_until("systemd and the page agree on the memory", || {
        let bytes = shown_by_systemd(&unit, "MemoryCurrent")?;
        let shown = exporter.try_scrape()?.value(MEMORY, &labels)?;
        ((shown - bytes).abs() < 1.0 && bytes > 0.0).then_some(())
    });
    let page = exporter.scrape();
    assert_eq!(page.all("container_info", &labels).len(), 1);
    let running = page.expect("container_count", &[("state", "running")]);
    let used = page.expect("host_containers_cpu_usage_seconds_total", &[]);
    assert_eq!((running, used), (0.0, 0.0), "a unit is no container");
    let page = exporter.scrape_at("/metrics?profile=cadvisor");
    let id = format!("/system.slice/{unit}");
    let shown = page.all(CPU, &[("id", &id), ("name", ""), ("slice", "system.slice"), ("unit", &unit)]);
    assert_eq!(shown.len(), 1);
    drop(service);
    exporter.await_page("the service is gone", |page| page.all(CPU, &labels).is_empty().then_some(()));
}
