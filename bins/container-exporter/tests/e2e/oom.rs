//! Processes killed for want of memory: once each, and also of containers that are already gone.

use crate::harness::{Exporter, Scope, await_until, tells_time};

const KILLED: &str = "container_oom_events_total";
const KILLED_ON_HOST: &str = "host_containers_oom_kills_total";
/// A buffer that is larger than the limit, and written to.
const EAT: &str = "dd if=/dev/zero of=/dev/null bs=96M count=1";
/// Newer runtimes need more than 8 MiB in the container's own cgroup to start it.
const LIMIT: [&str; 4] = ["-m", "32m", "--memory-swap", "32m"];

#[test]
fn a_kill_in_a_container_that_lives_on_counts_one() {
    let Some(scope) = Scope::new("oom") else { return };
    let container = scope.sleeper("lives", &LIMIT);
    let bystander = scope.sleeper("other", &LIMIT);
    let exporter = scope.exporter().start();
    let page = exporter.await_container(&container.name);
    assert_eq!(page.of(KILLED, &container.name), Some(0.0), "there before the first kill");
    assert_eq!(page.expect(KILLED_ON_HOST, &[]), 0.0);
    for kills in 1..=2 {
        let (ok, said) = container.exec(EAT);
        assert!(!ok, "dd survived: {said}");
        let expected = f64::from(kills);
        exporter.await_page("the kill is counted", |page| {
            (page.of(KILLED, &container.name)? >= expected).then_some(())
        });
        let page = exporter.scrape();
        assert_eq!(page.of(KILLED, &container.name), Some(expected));
        assert_eq!(page.of("container_memory_events_oom_kill_total", &container.name), Some(expected));
        assert_eq!(page.of(KILLED, &bystander.name), Some(0.0));
        assert_eq!(page.expect(KILLED_ON_HOST, &[]), expected);
    }
    assert_eq!(container.inspect("{{.State.Running}}"), "true", "the test is about one that lives");
}

#[test]
fn a_kill_before_the_exporter_came_is_not_its_to_count() {
    let Some(scope) = Scope::new("oombefore") else { return };
    let container = scope.sleeper("old", &LIMIT);
    assert!(!container.exec(EAT).0);
    let exporter = scope.exporter().start();
    let page = exporter.await_container(&container.name);
    assert_eq!(
        page.of("container_memory_events_oom_kill_total", &container.name),
        Some(1.0),
        "the kernel's own count"
    );
    assert_eq!(page.of(KILLED, &container.name), Some(0.0));
    assert_eq!(page.expect(KILLED_ON_HOST, &[]), 0.0);
}

/// What an exporter says after a container was run with `--rm`, killed for want of memory, and removed.
struct Gone {
    kills: f64,
    exits: f64,
    exits_by_oom: f64,
    missed: f64,
}

fn run_and_lose(scope: &Scope, exporter: &Exporter, name: &str, script: &str, exits_before: f64) -> Gone {
    let name = scope.name(name);
    let mut words = vec!["run", "--rm", "--name", &name, "--network", "none"];
    words.extend(LIMIT);
    words.extend(["busybox:local", "sh", "-c", script]);
    let (ok, _, said) = scope.try_cli(&words);
    assert!(!ok, "dd survived: {said}");
    await_until("the container is removed", || (!scope.try_cli(&["inspect", &name]).0).then_some(()));
    // Events may be a moment behind the CLI.
    exporter.await_page("the exit is counted, and the container gone", |page| {
        let exits: f64 = page.all("host_containers_exits_total", &[]).iter().map(|line| line.value).sum();
        let gone = page.lines.iter().all(|line| line.label("container_name") != name);
        (exits > exits_before && gone).then(|| Gone {
            kills: page.expect(KILLED_ON_HOST, &[]),
            exits,
            exits_by_oom: page.expect("host_containers_exits_total", &[("outcome", "oom")]),
            missed: page.expect("container_exporter_final_samples_missed_total", &[]),
        })
    })
}

#[test]
fn a_kill_in_a_container_that_is_gone_at_the_next_scrape_counts_one() {
    let Some(scope) = Scope::new("oomgone") else { return };
    let exporter = scope.exporter().start();
    assert_eq!(exporter.scrape().expect(KILLED_ON_HOST, &[]), 0.0, "there before the first kill");
    let (mut missed, mut kills, mut by_oom) = (0.0, 0.0, 0.0);
    for run in 1..=3 {
        let name = format!("gone{run}");
        let after =
            run_and_lose(&scope, &exporter, &name, &format!("sleep 1; exec {EAT}"), f64::from(run - 1));
        assert_eq!(after.exits, f64::from(run));
        missed = after.missed;
        (kills, by_oom) = (after.kills, after.exits_by_oom);
        // A cgroup that is gone before it is read leaves the engine's word, and what its parent has, which may be another's.
        assert!(
            (f64::from(run) - missed..=f64::from(run)).contains(&kills),
            "{kills} of {run}, {missed} missed"
        );
    }
    // A host that is too busy may be late for one; the engine's word then stood for the kernel's.
    if tells_time(
        "that one of three last samples is read before systemd removes the cgroup, and no kill is missed",
    ) {
        assert!(missed < 3.0, "no last sample was ever taken");
        assert_eq!((kills, by_oom), (3.0, 3.0));
    }
}

#[test]
fn a_kill_at_once_counts_one_or_is_a_missed_sample() {
    let Some(scope) = Scope::new("oomatonce") else { return };
    let exporter = scope.exporter().start();
    for run in 1..=5 {
        let name = format!("gone{run}");
        let after = run_and_lose(&scope, &exporter, &name, &format!("exec {EAT}"), f64::from(run - 1));
        // It may be over before an inspect has told its process, and the engine need not tell of the kill.
        assert_eq!(after.exits, f64::from(run), "every exit counts, however short the run");
        let kills = (f64::from(run) - after.missed)..=f64::from(run);
        assert!(kills.contains(&after.kills), "{} kills of {run}, {} missed", after.kills, after.missed);
    }
}
