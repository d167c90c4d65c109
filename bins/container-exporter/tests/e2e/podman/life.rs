//! What Podman says of its containers is on the page, as Docker's words are.

use super::{EXIT_CODE, RESTARTS, USED, count, once};
use crate::harness::{Page, Scope};

const HEALTH: &str = "container_health_state";

#[test]
fn names_images_pods_and_limits_are_podmans() {
    let Some(scope) = Scope::of_podman("words") else { return };
    let pod = Pod::new(&scope);
    let limits = ["-m", "64m", "--cpus", "0.5", "--pids-limit", "77"];
    let exporter = scope.exporter().start();
    let free = scope.sleeper("free", &[]);
    let limited = scope.sleeper("limited", &[&limits[..], &["--pod", &pod.name]].concat());
    for container in [&free, &limited] {
        exporter.await_container(&container.name);
        let labels = once(&exporter, container.short_id());
        assert_eq!(labels["container_name"], container.name);
        assert_eq!(labels["image"], "localhost/busybox:local");
        assert_eq!(labels["engine"], "podman");
        assert!(!labels.contains_key("uid"), "the system's engine is no user's: {labels:?}");
    }
    // The pod is asked for apart, a moment later.
    exporter.await_page("the pod is named", |page| {
        let info = page.all("container_info", &[("container_name", &limited.name), ("pod", &pod.name)]);
        (info.len() == 1).then_some(())
    });
    assert!(!once(&exporter, free.short_id()).contains_key("pod"));
    let page = exporter.scrape();
    for (name, expected) in [
        ("container_memory_limit_bytes", 67_108_864.0),
        ("container_spec_memory_limit_bytes", 67_108_864.0),
        ("container_cpu_limit_cores", 0.5),
        ("container_threads_max", 77.0),
    ] {
        assert_eq!(page.of(name, &limited.name), Some(expected), "{name}");
    }
    assert_eq!(page.of("container_spec_memory_limit_bytes", &free.name), Some(0.0));
    exporter.await_page("the engine has said what it is", |page| {
        let labels = [("source", "podman"), ("engine", "podman"), ("cgroup_driver", "systemd")];
        (page.all("container_exporter_engine_info", &labels).len() == 1).then_some(())
    });
}

/// A pod without a container of its own, which would need an image.
struct Pod<'scope> {
    scope: &'scope Scope,
    name: String,
}

impl<'scope> Pod<'scope> {
    fn new(scope: &'scope Scope) -> Self {
        let name = scope.name("pod");
        scope.cli(&["pod", "create", "--infra=false", "--name", &name]);
        Self { scope, name }
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        _ = self.scope.try_cli(&["pod", "rm", "-f", "-t", "0", &self.name]);
    }
}

#[test]
fn the_numbers_are_the_kernels() {
    let Some(scope) = Scope::of_podman("numbers") else { return };
    let options = ["-m", "64m", "--memory-swap", "64m", "--cpus", "0.2", "--pids-limit", "50"];
    let script = "dd if=/dev/zero of=/file bs=1M count=4 2>/dev/null; cat /file | md5sum; \
        trap 'exit 0' TERM; touch /done; sleep 100000 & wait";
    let container = scope.run("worked", &options, script);
    crate::harness::await_until("the work is done", || container.exec("test -e /done").0.then_some(()));
    let exporter = scope.exporter().all_groups().start();
    // Found by the scan first, while Podman's service is being started: its process, and so its layer, are Podman's to tell.
    exporter.await_page("its layer is known", |page| page.of("container_fs_limit_bytes", &container.name));
    let compared = crate::numbers::compare(&exporter, &container);
    for name in [USED, "container_memory_usage_bytes", "container_memory_rss", "container_threads"] {
        assert!(compared.get(name).is_some_and(|value| *value > 0.0), "{name} is not proven: {compared:#?}");
    }
    assert_eq!(compared["container_memory_limit_bytes"], 67_108_864.0);
    assert_eq!(compared["container_threads_max"], 50.0);
    assert_eq!(compared["container_spec_cpu_quota"], 20_000.0);
}

#[test]
fn health_is_podmans() {
    let Some(scope) = Scope::of_podman("health") else { return };
    let exporter = scope.exporter().start();
    // Looked at by hand only.
    let check = ["--health-cmd", "test -e /well", "--health-interval", "disable", "--health-retries", "1"];
    let container = scope.sleeper("checked", &check);
    let unchecked = scope.sleeper("unchecked", &[]);
    exporter.await_container(&container.name);
    exporter.await_container(&unchecked.name);
    let health = |page: &Page| page.of(HEALTH, &container.name);
    for (script, expected) in [("touch /well", 1.0), ("rm /well", 0.0), ("touch /well", 1.0)] {
        let (ok, said) = container.exec(script);
        assert!(ok, "{said}");
        // It fails where the container is not well.
        _ = scope.try_cli(&["healthcheck", "run", &container.id]);
        exporter.await_page(script, |page| (health(page) == Some(expected)).then_some(()));
    }
    assert_eq!(exporter.scrape().of(HEALTH, &unchecked.name), Some(-1.0));
}

#[test]
fn restarts_by_policy_and_by_hand_count_one_each() {
    let Some(scope) = Scope::of_podman("restart") else { return };
    let exporter = scope.exporter().start();
    let script = "[ -e /second ] && { trap 'exit 0' TERM; sleep 1000 & wait; }; \
        touch /second; while [ ! -e /end ]; do sleep 0.1; done; exit 3";
    let container = scope.run("one", &["--restart", "on-failure:3"], script);
    let name = container.name.as_str();
    let page = exporter.await_container(name);
    assert_eq!(page.of(RESTARTS, name), Some(0.0), "there before the first restart");
    // An inspect tells, and that takes Podman a while.
    let started =
        exporter.await_page("its start is told", |page| page.of("container_start_time_seconds", name));
    // Whether that succeeds is not told where the container is over before it.
    _ = container.exec("touch /end");
    let page = exporter.await_page("the restart by policy is counted, and its run has numbers", |page| {
        (page.of(RESTARTS, name)? >= 1.0 && page.of(USED, name).is_some()).then(|| page.clone())
    });
    assert_eq!(page.of(RESTARTS, name), Some(1.0));
    let second = exporter.await_page("the start time moves", |page| {
        page.of("container_start_time_seconds", name).filter(|second| *second > started)
    });
    container.cli(&["restart", "-t", "0"]);
    let page = exporter.await_page("the restart by hand is counted, and its run has numbers", |page| {
        (page.of(RESTARTS, name)? >= 2.0 && page.of(USED, name).is_some()).then(|| page.clone())
    });
    assert_eq!(page.of(RESTARTS, name), Some(2.0));
    exporter.await_page("the start time moves again", |page| {
        page.of("container_start_time_seconds", name).filter(|third| *third > second)
    });
}

#[test]
fn how_a_container_ended_is_told() {
    let Some(scope) = Scope::of_podman("ends") else { return };
    let exporter = scope.exporter().start();
    let exits =
        |page: &Page, outcome: &str| page.expect("host_containers_exits_total", &[("outcome", outcome)]);
    let failed = scope.run("failed", &[], "while [ ! -e /end ]; do sleep 0.1; done; exit 7");
    let killed = scope.sleeper("killed", &[]);
    exporter.await_container(&failed.name);
    exporter.await_container(&killed.name);
    // Whether that succeeds is not told where the container is over before it.
    _ = failed.exec("touch /end");
    killed.cli(&["kill", "-s", "KILL"]);
    for (container, code) in [(&failed, 7.0), (&killed, 137.0)] {
        let page = exporter.await_page("the exit code shows", |page| {
            (page.of(EXIT_CODE, &container.name)? == code).then(|| page.clone())
        });
        assert!(page.of("container_finished_time_seconds", &container.name).is_some());
        let state =
            page.value("container_state", &[("container_name", &container.name), ("state", "exited")]);
        assert_eq!(state, Some(1.0));
        assert_eq!(page.of(USED, &container.name), None, "what has ended uses nothing");
    }
    let page = exporter.scrape();
    assert_eq!((exits(&page, "error"), exits(&page, "signal")), (1.0, 1.0));
    let id = failed.short_id().to_owned();
    failed.remove();
    exporter.await_page("the removed container is gone", |page| {
        page.lines.iter().all(|line| line.label("container_id") != id).then_some(())
    });
    assert_eq!(exits(&exporter.scrape(), "error"), 1.0, "its end counts on");
}

#[test]
fn no_event_of_podmans_ends_the_stream() {
    let Some(scope) = Scope::of_podman("events") else { return };
    let exporter = scope.exporter().start();
    let before = exporter.scrape();
    let container = scope.sleeper("one", &[]);
    exporter.await_container(&container.name);
    let [volume, network, tag] = ["volume", "network", "tag"].map(|name| scope.name(name));
    // Kinds that Docker does not have, or spells otherwise: pod, died, remove, untag, cleanup, exec_died, mount, sync.
    drop(Pod::new(&scope));
    for words in [
        &["run", "--rm", "--network", "none", "busybox:local", "true"][..],
        &["volume", "create", &volume],
        &["volume", "rm", &volume],
        &["network", "create", &network],
        &["network", "rm", &network],
        &["tag", "busybox:local", &tag],
        &["untag", &tag, &tag],
        &["pause", &container.id],
        &["unpause", &container.id],
        &["restart", "-t", "0", &container.id],
    ] {
        // What the guest's kernel does not have, such as bridges without netfilter, is not what this is about.
        _ = scope.try_cli(words);
    }
    let (ok, said) = container.exec("true");
    assert!(ok, "{said}");
    let after = scope.sleeper("after", &[]);
    let page = exporter.await_container(&after.name);
    let rise = |what: &str| count(&page, what, "podman") - count(&before, what, "podman");
    assert!(rise("events") > 8.0, "events came: {}", rise("events"));
    assert_eq!(rise("event_errors"), 0.0);
    assert_eq!(rise("reconnects"), 0.0);
}
