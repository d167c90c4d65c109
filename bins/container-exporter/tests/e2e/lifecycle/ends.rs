//! What is left of a container that has ended, and what is counted of one that is gone.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{USED, knows, state};
use crate::harness::{Page, Scope, await_until, tells_time};

const EXITS: &str = "host_containers_exits_total";
const USED_ON_HOST: &str = "host_containers_cpu_usage_seconds_total";

/// What a stopped container keeps.
const KEPT: [&str; 11] = [
    "container_creation_time_seconds",
    "container_engine_restarts",
    "container_exit_code",
    "container_finished_time_seconds",
    "container_health_state",
    "container_info",
    "container_last_seen",
    "container_oom_events_total",
    "container_restarts_total",
    "container_start_time_seconds",
    "container_state",
];

/// What of it stands on a page for cAdvisor's users, who have no series of stopped containers in its names.
const KEPT_BESIDE_CADVISOR: [&str; 5] = [
    "container_engine_restarts",
    "container_exit_code",
    "container_finished_time_seconds",
    "container_restarts_total",
    "container_state",
];

fn families<'page>(page: &'page Page, label: &str, value: &str) -> BTreeSet<&'page str> {
    page.lines.iter().filter(|line| line.label(label) == value).map(|line| line.name.as_str()).collect()
}

#[test]
fn a_stopped_container_keeps_its_state_alone() {
    let Some(scope) = Scope::new("stopped") else { return };
    let exporter = scope.exporter().start();
    let begun = Instant::now();
    let container = scope.run("one", &[], "sleep 2; exit 42");
    let name = container.name.as_str();
    exporter.await_container(name);
    let page = exporter.await_page("it is stopped", |page| {
        (state(page, name).as_deref() == Some("exited")).then(|| page.clone())
    });
    assert_eq!(families(&page, "container_name", name), BTreeSet::from(KEPT));
    assert_eq!(page.of("container_exit_code", name), Some(42.0));
    let [created, started, finished] = ["creation", "start", "finished"]
        .map(|what| page.of(&format!("container_{what}_time_seconds"), name).expect("a time"));
    let ran = 1.5..begun.elapsed().as_secs_f64();
    assert!(created <= started && ran.contains(&(finished - started)), "{started} to {finished}");
    assert_eq!(page.expect("container_count", &[("state", "exited")]), 1.0);
    assert_eq!(page.expect(EXITS, &[("outcome", "error")]), 1.0);
    let cadvisor = exporter.scrape_at("/metrics?profile=cadvisor");
    let own = KEPT_BESIDE_CADVISOR;
    assert_eq!(families(&cadvisor, "name", name), BTreeSet::from(own), "none in cAdvisor's names");
    // One that was stopped before the exporter came is shown alike, and not counted.
    let later = scope.exporter().start().scrape();
    assert_eq!(families(&later, "container_name", name), BTreeSet::from(KEPT));
    assert_eq!(later.expect(EXITS, &[("outcome", "error")]), 0.0);
}

#[test]
fn stopped_containers_are_bounded_and_the_last_ones_stay() {
    let Some(scope) = Scope::new("bound") else { return };
    let exporter = scope.exporter().config("containers", "stopped_max = 2").start();
    let running = scope.sleeper("running", &[]);
    let ended: Vec<_> = (0..4)
        .map(|number| {
            let container = scope.run(&format!("ended{number}"), &[], "exit 0");
            scope.cli(&["wait", &container.id]);
            container
        })
        .collect();
    let shown = |page: &Page| -> Vec<bool> { ended.iter().map(|one| knows(page, one.short_id())).collect() };
    let page = exporter.await_page("the last two are shown", |page| {
        let exits = page.value(EXITS, &[("outcome", "success")])?;
        (exits >= 4.0 && shown(page) == [false, false, true, true]).then(|| page.clone())
    });
    assert!(page.of(USED, &running.name).is_some(), "running ones do not count");
    assert_eq!(page.expect("container_count", &[("state", "exited")]), 2.0);
    // So it is for an exporter that finds them all at once.
    let later = scope.exporter().config("containers", "stopped_max = 2").start();
    assert_eq!(shown(&later.scrape()), [false, false, true, true]);
}

#[test]
fn ends_are_counted_by_outcome_also_of_containers_that_are_gone() {
    let Some(scope) = Scope::new("exits") else { return };
    let exporter = scope.exporter().start();
    let page = exporter.scrape();
    let outcomes = ["success", "error", "signal", "oom", "unknown"];
    let counts = |page: &Page| outcomes.map(|outcome| page.expect(EXITS, &[("outcome", outcome)]));
    assert_eq!(counts(&page), [0.0; 5], "there before the first end");
    let run = |name: &str, options: &[&str], script: &str| {
        let name = scope.name(name);
        let mut words = vec!["run", "--rm", "--network", "none", "--name", &name];
        words.extend(options);
        words.extend(["busybox:local", "sh", "-c", script]);
        scope.try_cli(&words);
    };
    run("success", &[], "exit 0");
    run("error", &[], "exit 7");
    // Not at once: of a kill before an inspect has told its process nobody but the engine could tell.
    let eat = "sleep 2; exec dd if=/dev/zero of=/dev/null bs=96M count=1";
    run("oom", &["-m", "32m", "--memory-swap", "32m"], eat);
    let killed = scope.sleeper("signal", &["--rm"]);
    exporter.await_container(&killed.name);
    killed.cli(&["kill"]);
    let page = exporter.await_page("all four are counted, and gone", |page| {
        let gone = page.lines.iter().all(|line| line.label("container_id").is_empty());
        (gone && counts(page).iter().sum::<f64>() >= 4.0).then(|| page.clone())
    });
    assert_eq!(counts(&page), [1.0, 1.0, 1.0, 1.0, 0.0]);
}

/// The last sample must be taken in the milliseconds that the cgroup outlives its init process. On a crowded machine one can
/// be missed: then it is counted as missed, and another run is tried.
#[test]
fn what_a_short_lived_container_used_is_counted() {
    let Some(scope) = Scope::new("short") else { return };
    for attempt in 1.. {
        let exporter = scope.exporter().start();
        assert_eq!(exporter.scrape().expect(USED_ON_HOST, &[]), 0.0);
        let used = run_and_be_removed(&scope);
        let page = exporter.await_page("its end is counted", |page| {
            (page.value(EXITS, &[("outcome", "success")])? >= 1.0).then(|| page.clone())
        });
        let counted = page.expect(USED_ON_HOST, &[]);
        let missed = page.expect("container_exporter_final_samples_missed_total", &[]);
        if missed > 0.0 && attempt < 4 {
            continue;
        }
        if !tells_time("that one of four last samples is read before systemd removes the cgroup")
            && missed > 0.0
        {
            assert!(counted <= used + 0.5, "{counted} s of {used} s are counted");
            return;
        }
        assert_eq!(missed, 0.0, "missed {attempt} times in a row");
        // The kernel counts in ticks for `times`; the runtime works inside the cgroup before the shell does.
        assert!(counted >= used - 0.03 && counted <= used + 0.5, "{counted} s of {used} s are counted");
        return;
    }
}

/// Runs a container with `--rm` that computes for a while; returns the CPU seconds that its shell says it used.
fn run_and_be_removed(scope: &Scope) -> f64 {
    // `times` is the shell's own account: `0m0.31s 0m0.02s`, and a line for its children.
    let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; times";
    let name = scope.name("one");
    let said = scope.cli(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--name",
        &name,
        "busybox:local",
        "sh",
        "-c",
        script,
    ]);
    let seconds = |text: &str| -> f64 {
        let (minutes, rest) = text.split_once('m').expect("minutes");
        let whole: f64 = minutes.parse().expect("a number");
        whole * 60.0 + rest.trim_end_matches('s').parse::<f64>().expect("seconds")
    };
    let used: f64 = said.lines().next().expect("a line").split_whitespace().map(seconds).sum();
    assert!(used > 0.05, "the loop is long enough to be seen: {said}");
    await_until("it is removed", || (!scope.try_cli(&["inspect", &name]).0).then_some(()));
    used
}
