//! As a service of systemd, installed as the README says.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::harness::{Page, Scope, await_until, get, is_emulated, leave_out, program, say};
use crate::services::has_systemd;

const UNIT: &str = include_str!("../../../../deploy/systemd/container-exporter.service");
const CONFIG: &str = include_str!("../../../../deploy/systemd/units.toml");
const NAME: &str = "container-exporter.service";
const CPU: &str = "container_cpu_usage_seconds_total";

/// How exposed `systemd-analyze security` may find the unit, of 100. What is left is what the exporter is for: the network, the
/// processes of others, the group of the engine's socket.
const EXPOSURE_MAX: u32 = 15;

/// Whether a program succeeded, and what it printed on either stream.
fn run(program: &str, words: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("failed to run {program}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}

#[track_caller]
fn systemctl(words: &[&str]) -> String {
    let (ok, said) = run("systemctl", words);
    let log = || run("journalctl", &["--no-pager", "-u", NAME]).1;
    assert!(ok, "systemctl {words:?}: {said}\n{}", log());
    said
}

fn property(name: &str) -> String {
    systemctl(&["show", "--value", "-p", name, NAME])
}

/// The unit with the program and its configuration, where a person puts them; dropping it takes them away.
struct Installed {
    address: SocketAddr,
}

impl Installed {
    const PROGRAM: &str = "/usr/local/bin/container-exporter";
    const UNIT: &str = "/etc/systemd/system/container-exporter.service";
    const ARGS: &str = "/etc/default/container-exporter";
    const CONFIG: &str = "/etc/container-exporter/config.toml";

    fn new(include: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let installed = Self { address: free.expect("a free port") };
        for directory in [Self::PROGRAM, Self::ARGS, Self::CONFIG].map(|path| Path::new(path).parent()) {
            std::fs::create_dir_all(directory.expect("it has one")).expect("we are root");
        }
        std::fs::copy(program(), Self::PROGRAM).expect("we are root");
        let rights = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(Self::PROGRAM, rights).expect("it is ours");
        std::fs::write(Self::UNIT, UNIT).expect("we are root");
        std::fs::write(Self::ARGS, format!("ARGS=--config {}\n", Self::CONFIG)).expect("we are root");
        installed.configure(include);
        systemctl(&["daemon-reload"]);
        installed
    }

    fn configure(&self, include: &str) {
        let text = format!(
            "{CONFIG}\n[server]\nlisten = \"{}\"\n[metrics]\nmax_age_ms = 0\ngroups = [\"all\"]\n[containers]\ninclude = [{include}]\n",
            self.address
        );
        std::fs::write(Self::CONFIG, text).expect("we are root");
    }

    #[track_caller]
    fn await_page<T>(&self, what: &str, mut find: impl FnMut(&Page) -> Option<T>) -> T {
        await_until(what, || {
            let answer = get(self.address, "/metrics", &[]).ok().filter(|answer| answer.status == 200)?;
            find(&Page::parse(answer.text()))
        })
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&run("journalctl", &["--no-pager", "-u", NAME]).1);
        }
        _ = run("systemctl", &["stop", NAME]);
        for path in [Self::PROGRAM, Self::UNIT, Self::ARGS, Self::CONFIG] {
            _ = std::fs::remove_file(path);
        }
        _ = run("systemctl", &["daemon-reload"]);
    }
}

/// A line of `/proc/<pid>/status`.
#[track_caller]
fn status(pid: &str, key: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel writes it");
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
fn as_a_service_it_starts_reloads_stops_and_sees_all() {
    let Some(scope) = Scope::new("deployed") else { return };
    let what = "the unit of systemd, installed as a person does";
    if !has_systemd(what) {
        return;
    }
    if !is_emulated() {
        leave_out("it installs into /usr/local and /etc, and this is no guest that is thrown away", what);
        return;
    }
    let container = scope.sleeper("seen", &["--network", "bridge"]);
    let include =
        |names: &[&str]| names.iter().map(|name| format!("\"name={name}\"")).collect::<Vec<_>>().join(", ");
    let installed = Installed::new(&include(&[&container.name, NAME]));

    let (ok, said) = run("systemd-analyze", &["verify", "--man=no", Installed::UNIT]);
    assert!(ok && !said.contains("container-exporter"), "systemd finds faults: {said}");
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let (ok, said) = run("systemd-analyze", &["security", "--no-pager", &threshold, NAME]);
    assert!(ok, "more exposed than it was: {said}");

    systemctl(&["start", NAME]);
    let page = installed
        .await_page("the container has numbers", |page| page.of(CPU, &container.name).map(|_| page.clone()));
    assert_eq!(page.of(CPU, &container.name), container.kernel().cpu_seconds());
    assert!(
        !page.all("container_network_receive_bytes_total", &[("container_name", &container.name)]).is_empty()
    );
    let pid = property("MainPID");
    let users: Vec<String> = status(&pid, "Uid").split_whitespace().map(str::to_owned).collect();
    assert!(users.iter().all(|user| user != "0"), "not as root: {users:?}");
    for key in ["CapEff", "CapBnd", "CapPrm"] {
        assert!(status(&pid, key).bytes().all(|digit| digit == b'0'), "{key}: {}", status(&pid, key));
    }
    // It sees itself as systemd does.
    let labels = [("unit", NAME), ("slice", "system.slice")];
    let before: f64 = property("CPUUsageNSec").parse().expect("nanoseconds");
    let shown = installed.await_page("its own unit", |page| page.value(CPU, &labels));
    let after: f64 = property("CPUUsageNSec").parse().expect("nanoseconds");
    assert!((before / 1e9..=after / 1e9).contains(&shown), "{before} ≤ {shown} ≤ {after}");

    installed.configure(&include(&[NAME]));
    systemctl(&["reload", NAME]);
    installed.await_page("the container is not wanted any more", |page| {
        page.all(CPU, &[("container_name", &container.name)]).is_empty().then_some(())
    });
    assert_eq!(property("MainPID"), pid, "a reload is no restart");

    systemctl(&["stop", NAME]);
    let ended = ["ActiveState", "Result", "ExecMainStatus", "NRestarts"].map(property);
    assert_eq!(ended, ["inactive", "success", "0", "0"]);
    assert!(get(installed.address, "/livez", &[]).is_err(), "nobody serves any more");
}
