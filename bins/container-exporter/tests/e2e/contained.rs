//! The exporter in a container: what it sees there, and what it says of what it does not see.

mod image;
mod proxy;

use std::collections::BTreeMap;

use crate::harness::{Container, Page, Scope, await_until, tells_time};
use image::{Contained, Run};
use proxy::Proxy;

const CGROUPS: &str = "/sys/fs/cgroup";
const SOCKET: &str = "/var/run/docker.sock";
/// What only the kernel knows of a container.
const COUNTED: [&str; 7] = [
    "container_cpu_",
    "container_memory_",
    "container_blkio_",
    "container_network_",
    "container_threads",
    "container_pressure_",
    "container_fs_",
];

/// Two containers that do nothing, one of them with limits.
fn idle(scope: &Scope) -> [Container<'_>; 2] {
    let options = ["--network", "bridge", "--memory", "64m", "--pids-limit", "20"];
    [scope.sleeper("idle-plain", &[]), scope.sleeper("idle-limited", &options)]
}

/// The series of a container that stay as they are while nothing happens.
fn series(page: &Page, name: &str) -> BTreeMap<String, String> {
    let moves = |name: &str| {
        // Its clock, what depends on when its windows began, and what only root may look into.
        name == "container_last_seen"
            || name == "container_cpu_usage_percent"
            || name.starts_with("container_fs_")
    };
    let lines = page.lines.iter().filter(|line| line.label("container_name") == name && !moves(&line.name));
    lines.map(|line| (format!("{}{:?}", line.name, line.labels), line.value.to_string())).collect()
}

/// What a page has that the other has not, or has with another value.
fn differences(page: &Page, expected: &Page, containers: &[Container<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for container in containers {
        let (here, there) = (series(page, &container.name), series(expected, &container.name));
        let names = here.keys().chain(there.keys());
        let differ = names.filter(|name| here.get(*name) != there.get(*name));
        found.extend(differ.map(|name| format!("{name}: {:?}, not {:?}", here.get(name), there.get(name))));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Waits until a contained exporter and one on the host have the same series with the same values.
#[track_caller]
fn assert_same_as_on_the_host(scope: &Scope, contained: &Contained<'_>, containers: &[Container<'_>]) {
    let include = scope.name("idle*");
    let host = scope
        .exporter_of_all()
        .config("metrics", &format!("max_age_ms = 0\n{}", image::UNPRIVILEGED))
        .config("containers", &format!("include = [\"name={include}\"]"))
        .start();
    containers.iter().for_each(|container| drop(host.await_container(&container.name)));
    let mut last = Vec::new();
    let same = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        contained.await_page("both have the same values", |page| {
            last = differences(page, &host.try_scrape()?, containers);
            last.is_empty().then_some(())
        });
    }));
    assert!(same.is_ok(), "unlike on the host: {last:#?}");
    for container in containers {
        let kernel = container.kernel();
        await_until("the kernel's own numbers", || {
            let seen = contained.try_scrape()?.of("container_cpu_usage_seconds_total", &container.name)?;
            ((seen - kernel.cpu_seconds()?).abs() < 1e-9).then_some(())
        });
    }
}

/// How many ends of containers were counted, and of how many the last sample was missed.
fn ends(page: &Page) -> (f64, f64) {
    let outcomes = page.all("host_containers_exits_total", &[]);
    let missed = page.value("container_exporter_final_samples_missed_total", &[]);
    (outcomes.iter().map(|line| line.value).sum(), missed.unwrap_or(0.0))
}

/// Runs a container to its end; how many last samples were missed over that.
#[track_caller]
fn miss_of_an_end(scope: &Scope, contained: &Contained<'_>) -> f64 {
    let (ended, missed) = contained.await_page("a page", |page| Some(ends(page)));
    let short = scope.run("idle-short", &[], "sleep 100000");
    contained.await_page("the short one is there", |page| {
        page.value("container_start_time_seconds", &[("container_name", &short.name)])
    });
    short.cli(&["kill"]);
    let after = contained.await_page("its end is counted", |page| {
        let after = ends(page);
        (after.0 > ended).then_some(after)
    });
    assert_eq!(after.0, ended + 1.0);
    after.1 - missed
}

/// A cgroup lives for some milliseconds after its last process, which a busy machine may let pass: not each time, though. An
/// emulated one, whose systemd removes scopes at once, may; there, too, a miss is counted once.
#[track_caller]
fn assert_takes_last_samples(scope: &Scope, contained: &Contained<'_>) {
    if !tells_time("a container's exporter reads a cgroup once more before it is removed") {
        let missed = miss_of_an_end(scope, contained);
        return assert!((0.0..=1.0).contains(&missed), "{missed}");
    }
    assert!((0..8).any(|_| miss_of_an_end(scope, contained) == 0.0), "every last sample was missed");
}

/// What the doctor said of one area: its verdict, finding and fix.
fn said(report: &str, area: &str) -> String {
    let mut lines = report.lines().skip_while(|line| {
        !line.get(9..).is_some_and(|rest| rest.strip_prefix(area).is_some_and(|rest| rest.starts_with("  ")))
    });
    let found = lines.next().unwrap_or_else(|| panic!("nothing on {area} in:\n{report}"));
    let fix = lines.next().filter(|line| line.trim_start().starts_with("fix: ")).unwrap_or_default();
    format!("{} {}", found.trim(), fix.trim())
}

#[track_caller]
fn assert_said(report: &str, area: &str, verdict: &str, words: &str) {
    let said = said(report, area);
    assert!(said.starts_with(verdict) && said.contains(words), "not {verdict} … {words}: {said}");
}

/// Deploy as documented: user 65534, no capability, nothing to write to.
#[test]
fn as_documented_it_sees_the_same_as_on_the_host() {
    let Some(scope) = Scope::new("documented") else { return };
    let Some(run) = Run::documented(&scope) else { return };
    let containers = idle(&scope);
    let report = run.doctor();
    for area in ["docker", "cgroups", "controllers", "proc", "pid namespace", "cgroup namespace", "network"] {
        assert_said(&report, area, "ok", "");
    }
    let contained = run.with("--health-interval", "1s").start("exporter");
    assert_eq!(contained.inspect("{{.Config.User}} {{.HostConfig.ReadonlyRootfs}}"), "65534 true");
    assert_same_as_on_the_host(&scope, &contained, &containers);
    let page = contained.await_page("a page", |page| Some(page.clone()));
    assert_eq!(page.absent("network", "not_reachable"), 0.0);
    assert_eq!(page.absent("filesystem", "permission_denied"), 2.0, "layers are root's");
    assert_takes_last_samples(&scope, &contained);
    await_until("the image's own health check succeeds", || {
        (contained.inspect("{{.State.Health.Status}}") == "healthy").then_some(())
    });
}

/// The seven GETs of the README are all that it asks for.
#[test]
fn behind_a_socket_proxy_nothing_is_missing() {
    let Some(scope) = Scope::new("proxy") else { return };
    let Some(run) = Run::documented(&scope) else { return };
    let proxy = Proxy::before(scope.socket().expect("documented runs have one").as_ref());
    let mount = format!("{}:{SOCKET}:ro", proxy.socket().display());
    let run = run.without("--group-add").without_mount(SOCKET).with("-v", &mount);
    let containers = idle(&scope);
    assert_said(&run.doctor(), "docker", "ok", "");
    let contained = run.start("exporter");
    assert_same_as_on_the_host(&scope, &contained, &containers);
    // A life from its events: start, pause, end, removal.
    assert_takes_last_samples(&scope, &contained);
    containers[0].cli(&["pause"]);
    contained.await_page("the pause shows", |page| {
        let labels = [("container_name", &*containers[0].name), ("state", "paused")];
        page.value("container_state", &labels).filter(|value| *value == 1.0)
    });
    containers[0].cli(&["unpause"]);
    assert_eq!(proxy.refused(), Vec::<String>::new());
    let allowed = proxy.allowed();
    for kind in ["/_ping", "/info", "/events", "/containers/json", "/containers/*/json"] {
        assert!(allowed.iter().any(|one| one == kind), "{kind} is not among {allowed:?}");
    }
}

/// There the engine's pids mean nothing: what hangs on them is absent.
#[test]
fn in_a_pid_namespace_of_its_own_only_what_needs_pids_is_absent() {
    let Some(scope) = Scope::new("pidns") else { return };
    let Some(run) = Run::documented(&scope) else { return };
    let run = run.without("--pid");
    let containers = idle(&scope);
    let report = run.doctor();
    assert_said(&report, "pid namespace", "warning", "--pid host");
    assert!(!report.contains("\nok       network"), "it knows nothing of networks: {report}");
    let contained = run.start("exporter");
    let page = contained.await_page("both are there", |page| {
        containers.iter().all(|one| page.of("container_threads", &one.name).is_some()).then(|| page.clone())
    });
    for container in &containers {
        let kernel = container.kernel();
        let cpu = page.of("container_cpu_usage_seconds_total", &container.name);
        assert_eq!(cpu, kernel.cpu_seconds(), "the cgroups are all there");
        let of_it = page.lines.iter().filter(|line| line.label("container_name") == container.name);
        let hidden = of_it.filter(|line| {
            ["container_network_", "container_fs_"].iter().any(|one| line.name.starts_with(one))
        });
        assert_eq!(hidden.count(), 0, "what cannot be read is not there");
    }
    assert_eq!(page.absent("network", "not_reachable") + page.absent("network", "no_network"), 2.0);
    assert_eq!(page.absent("filesystem", "not_reachable"), 2.0);
    // `cgroup.events` may still tell of the end in time; a miss is counted, and once.
    let missed = miss_of_an_end(&scope, &contained);
    assert!((0.0..=1.0).contains(&missed), "{missed}");
}

/// The engine's default on cgroup v2. All of the tree is mounted, under names of its own.
#[test]
fn in_a_cgroup_namespace_of_its_own_nothing_is_absent() {
    let Some(scope) = Scope::new("cgroupns") else { return };
    let Some(run) = Run::documented(&scope) else { return };
    let run = run.without("--cgroupns").with("--cgroupns", "private");
    let containers = idle(&scope);
    let report = run.doctor();
    assert_said(&report, "cgroups", "ok", CGROUPS);
    assert_said(&report, "cgroup namespace", "warning", "--cgroupns host");
    let contained = run.start("exporter");
    assert_same_as_on_the_host(&scope, &contained, &containers);
    assert_takes_last_samples(&scope, &contained);
    let page = contained.await_page("a page", |page| Some(page.clone()));
    assert_eq!(page.absent("network", "not_reachable"), 0.0, "processes are known all the same");
}

/// The engine mounts the container's own cgroup then.
#[test]
fn without_the_cgroup_mount_states_stay_and_numbers_are_out_of_reach() {
    let Some(scope) = Scope::new("unmounted") else { return };
    let Some(run) = Run::documented(&scope) else { return };
    let run = run.without_mount(CGROUPS).without("--cgroupns").with("--cgroupns", "private");
    let containers = idle(&scope);
    let report = run.doctor();
    assert_said(&report, "cgroups", "problem", "-v /sys/fs/cgroup:/sys/fs/cgroup:ro");
    let contained = run.start("exporter");
    let page = contained.await_page("both are known", |page| {
        let known =
            |one: &Container<'_>| page.value("container_info", &[("container_name", &one.name)]).is_some();
        let counted = page.absent("memory", "not_reachable") == 2.0;
        (counted && containers.iter().all(known)).then(|| page.clone())
    });
    for group in ["cpu", "memory", "io", "network", "pids", "filesystem"] {
        let why = page.all("container_exporter_metric_absent", &[("group", group)]);
        assert_eq!(page.absent(group, "not_reachable"), 2.0, "{group}: {why:?}");
    }
    for container in &containers {
        let running = [("container_name", &*container.name), ("state", "running")];
        assert_eq!(page.value("container_state", &running), Some(1.0));
        assert!(page.of("container_start_time_seconds", &container.name).is_some());
        let of_it = page.lines.iter().filter(|line| line.label("container_name") == container.name);
        let counted: Vec<_> =
            of_it.filter(|line| COUNTED.iter().any(|one| line.name.starts_with(one))).collect();
        assert!(counted.is_empty(), "nothing was read, so nothing is 0: {counted:?}");
    }
    assert_eq!(miss_of_an_end(&scope, &contained), 1.0, "what could not be read is counted as missed");
}

/// Not in the socket's group: the kernel's numbers are there by id, and the doctor names the group.
#[test]
fn without_the_sockets_group_the_doctor_names_it() {
    let Some(scope) = Scope::new("group") else { return };
    let Some(run) = Run::documented(&scope) else { return };
    let report = run.without("--group-add").doctor();
    assert_said(&report, "docker", "problem", "start this container with --");
}
