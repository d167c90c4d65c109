//! An engine elsewhere: numbers from its stats API, through a relay that makes the engine at hand a remote one. What the
//! engine answers passes through the relay, so that the page can be held against it to the last digit.

mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use test_support::Relay;

use crate::harness::{Container, Page, Scope, Setup, await_until, is_tried_here, program, skip};

/// As many requests for numbers one engine has open at most.
const OPEN_MAX: usize = 4;
/// A crowd that keeps more than so many requests busy.
const CROWD: usize = 12;

/// A relay to the scope's engine; `None` if that has no socket.
fn relay(scope: &Scope) -> Option<Relay> {
    match scope.socket() {
        Some(socket) => Some(Relay::to(Path::new(socket), None)),
        None => skip("the engine has no socket"),
    }
}

/// An exporter that knows the scope's containers by this address only, and does not look for them in the tree of cgroups.
fn far(scope: &Scope, port: u16) -> Setup {
    scope
        .exporter()
        .config("general", "source = \"docker\"\ninterval = 1")
        .config("docker", &format!("hosts = [\"tcp://127.0.0.1:{port}\"]"))
}

/// The names of series that a container has on a page, each with the names of its labels.
fn names(page: &Page, container: &str) -> BTreeMap<String, BTreeSet<String>> {
    let lines = page.lines.iter().filter(|line| line.label("container_name") == container);
    lines.map(|line| (line.name.clone(), line.labels.keys().cloned().collect())).collect()
}

/// The values of one answer, under the names that they have on the page. Fields as the API's documentation names them.
fn answered(body: &[u8]) -> BTreeMap<&'static str, f64> {
    let answer: Value = serde_json::from_slice(body).expect("the engine answers JSON");
    let mut values = BTreeMap::new();
    let mut set = |name, pointer: &str, scale: f64| {
        if let Some(value) = answer.pointer(pointer).and_then(Value::as_f64) {
            values.insert(name, value * scale);
        }
    };
    set("container_cpu_usage_seconds_total", "/cpu_stats/cpu_usage/total_usage", 1e-9);
    set("container_memory_usage_bytes", "/memory_stats/usage", 1.0);
    set("container_memory_limit_bytes", "/memory_stats/limit", 1.0);
    set("container_threads", "/pids_stats/current", 1.0);
    set("container_network_receive_bytes_total", "/networks/eth0/rx_bytes", 1.0);
    set("container_network_transmit_bytes_total", "/networks/eth0/tx_bytes", 1.0);
    for word in ["total_inactive_file", "inactive_file"] {
        let inactive = answer.pointer(&format!("/memory_stats/stats/{word}")).and_then(Value::as_f64);
        if let (Some(inactive), Some(usage)) = (inactive, values.get("container_memory_usage_bytes")) {
            let working_set = (usage - inactive).max(0.0);
            values.insert("container_memory_working_set_bytes", working_set);
            break;
        }
    }
    values
}

/// Whether a page shows what one of the engine's answers says, all of it.
fn shows_an_answer(page: &Page, relay: &Relay, container: &Container<'_>) -> Result<(), String> {
    let mut nearest = None;
    for body in relay.stats(&container.id) {
        let answer = answered(&body);
        let differ = |(name, value): (&&str, &f64)| {
            let shown = page.of(name, &container.name);
            let same = shown.is_some_and(|shown| (shown - value).abs() < 1e-9);
            (!same).then(|| format!("{name}: {shown:?}, not {value}"))
        };
        let differences: Vec<String> = answer.iter().filter_map(differ).collect();
        if differences.is_empty() && answer.len() >= 4 {
            return Ok(());
        }
        nearest = Some(differences);
    }
    Err(format!("{} shows no answer of the engine, of the last one: {nearest:?}", container.name))
}

#[test]
fn the_numbers_are_those_of_the_stats_api() {
    let Some(scope) = Scope::new("remote") else { return };
    let Some(relay) = relay(&scope) else { return };
    let options = ["--network", "bridge", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "20"];
    let containers = [scope.sleeper("limited", &options), scope.sleeper("plain", &[])];
    let [limited, plain] = &containers;
    let near = scope.exporter().start();
    let exporter = far(&scope, relay.port()).start();
    let kernels = containers.each_ref().map(Container::kernel);
    let before = kernels.each_ref().map(|kernel| kernel.cpu_seconds().expect("it runs"));
    for container in &containers {
        exporter.await_container(&container.name);
    }
    let page = exporter.scrape();
    let after = kernels.each_ref().map(|kernel| kernel.cpu_seconds().expect("it runs"));
    for (at, container) in containers.iter().enumerate() {
        shows_an_answer(&page, &relay, container).unwrap_or_else(|why| panic!("{why}"));
        let cpu = page.of("container_cpu_usage_seconds_total", &container.name).expect("awaited");
        assert!((before[at]..=after[at]).contains(&cpu), "{cpu}, not from {before:?} to {after:?}");
        let age = page.of("container_sample_age_seconds", &container.name);
        assert!(age.is_some_and(|age| (0.0..60.0).contains(&age)), "{age:?}");
    }
    // What is configured is known without any sample.
    assert_eq!(page.of("container_spec_memory_limit_bytes", &limited.name), Some(64.0 * 1024.0 * 1024.0));
    assert_eq!(page.of("container_spec_memory_limit_bytes", &plain.name), Some(0.0));
    assert_eq!(page.of("container_cpu_limit_cores", &limited.name), Some(0.5));
    assert_eq!(page.of("container_threads_max", &limited.name), Some(20.0));

    assert_same_names(&page, &near.scrape(), &containers);
    assert_absence_is_explained(&page);

    // An idle network stands still: both see the same.
    await_until("the network's bytes are those that the kernel counts", || {
        let (page, near) = (exporter.try_scrape()?, near.try_scrape()?);
        let of = |page: &Page, name| page.of(name, &limited.name);
        ["container_network_receive_bytes_total", "container_network_transmit_bytes_total"]
            .iter()
            .all(|name| of(&page, name).is_some() && of(&page, name) == of(&near, name))
            .then_some(())
    });
    let asked = relay.targets();
    assert!(asked.iter().all(|target| !target.contains("stream=true")), "nothing streams: {asked:#?}");
}

/// The same names with the same labels and types as on the engine's own machine, and fewer of them.
#[track_caller]
fn assert_same_names(page: &Page, near: &Page, containers: &[Container<'_>]) {
    for container in containers {
        let (far, near) = (names(page, &container.name), names(near, &container.name));
        for (name, labels) in &far {
            if name == "container_sample_age_seconds" {
                assert!(!near.contains_key(name), "numbers of the kernel have no age");
                continue;
            }
            assert_eq!(Some(labels), near.get(name), "{name}");
        }
        assert!(far.len() < near.len(), "{} names, and {} near the engine", far.len(), near.len());
    }
    for (name, kind) in &page.types {
        assert!(near.types.get(name).is_none_or(|near| near == kind), "{name} is a {kind}, near it is not");
    }
}

#[track_caller]
fn assert_absence_is_explained(page: &Page) {
    for group in ["cpu", "memory", "pressure", "filesystem"] {
        let why = page.all("container_exporter_metric_absent", &[("group", group)]);
        assert_eq!(page.absent(group, "not_in_stats_api"), 2.0, "{group}: {why:?}");
    }
    assert_eq!(page.absent("network", "no_network"), 1.0, "`plain` has none");
    let unreached = page.all("container_exporter_metric_absent", &[("reason", "no_controller")]);
    assert!(unreached.is_empty(), "the kernel of this machine was not asked: {unreached:?}");
}

#[test]
fn of_a_crowd_four_are_asked_at_a_time_and_each_in_its_turn() {
    if !is_tried_here("that of a crowd four are asked at a time") {
        return;
    }
    let Some(scope) = Scope::new("remotecrowd") else { return };
    let Some(relay) = relay(&scope) else { return };
    let crowd: Vec<_> = (0..CROWD).map(|n| scope.sleeper(&format!("c{n}"), &[])).collect();
    relay.hold(true);
    let exporter = far(&scope, relay.port()).start();
    await_until("four are asked", || (relay.open().0 == OPEN_MAX).then_some(()));
    exporter.await_page("all are known", |page| {
        (page.all("container_start_time_seconds", &[]).len() == CROWD).then_some(())
    });
    // Nobody answers, so whoever follows would show by the time that these pages are served, which do not wait.
    for _ in 0..3 {
        assert!(exporter.scrape().all("container_memory_usage_bytes", &[]).is_empty());
    }
    assert_eq!(relay.open(), (OPEN_MAX, OPEN_MAX));
    relay.hold(false);
    exporter.await_page("all have numbers", |page| {
        (page.all("container_memory_usage_bytes", &[]).len() == CROWD).then_some(())
    });
    let counts = || -> Vec<usize> { crowd.iter().map(|one| relay.stats(&one.id).len()).collect() };
    let rounds = await_until("each was asked three times", || {
        let counts = counts();
        counts.iter().all(|count| *count >= 3).then_some(counts)
    });
    assert!(rounds.iter().all(|count| *count <= 5), "the oldest comes first: {rounds:?}");
    assert_eq!(relay.open().1, OPEN_MAX, "never more than four were open");
}

#[test]
fn numbers_that_are_too_old_are_absent_and_their_age_is_told() {
    if !is_tried_here("numbers that are too old") {
        return;
    }
    let Some(scope) = Scope::new("remotestale") else { return };
    let Some(relay) = relay(&scope) else { return };
    let container = scope.sleeper("one", &[]);
    let exporter = far(&scope, relay.port()).config("remote", "max_age = 2").start();
    exporter.await_container(&container.name);
    relay.hold(true);
    let stale = exporter.await_page("the numbers are gone", |page| {
        (page.absent("memory", "stale") == 1.0).then(|| page.clone())
    });
    for name in ["container_cpu_usage_seconds_total", "container_memory_usage_bytes", "container_threads"] {
        assert_eq!(stale.of(name, &container.name), None, "{name}");
    }
    assert!(stale.of("container_sample_age_seconds", &container.name).is_some_and(|age| age > 2.0));
    let state = [("container_name", &*container.name), ("state", "running")];
    assert_eq!(stale.value("container_state", &state), Some(1.0), "events tell of it all the same");
    relay.hold(false);
    exporter.await_container(&container.name);
}

#[test]
fn the_doctor_asks_the_engine() {
    if !is_tried_here("what `doctor` asks an engine elsewhere") {
        return;
    }
    let Some(scope) = Scope::new("remotedoctor") else { return };
    let Some(relay) = relay(&scope) else { return };
    let _container = scope.sleeper("one", &[]);
    let doctor = |port: u16| {
        let host = format!("tcp://127.0.0.1:{port}");
        let words = ["doctor", "--listen", "127.0.0.1:0"];
        let output = std::process::Command::new(program())
            .args(words)
            .env_clear()
            .env("CONTAINER_EXPORTER__DOCKER__HOSTS", &host)
            .output()
            .expect("the program starts");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let line = text.lines().position(|line| line.contains(&host));
        let line = line.unwrap_or_else(|| panic!("no word of {host}: {text}"));
        text.lines().skip(line).take(2).map(|line| format!("{line}\n")).collect::<String>()
    };
    let said = doctor(relay.port());
    let version = scope.cli(&["version", "-f", "{{.Server.Version}}"]);
    for words in ["ok ", &version, "API 1.", "without TLS", "stats API gives the numbers"] {
        assert!(said.contains(words), "no word of {words}: {said}");
    }
    assert!(!relay.stats("").is_empty(), "it tries to get numbers");
    let gone = relay.port();
    drop(relay);
    let said = doctor(gone);
    assert!(
        said.starts_with("problem") && said.contains("nobody listens") && said.contains("fix: "),
        "{said}"
    );
}
