//! The engine is not there yet, or there and left in peace.

use std::time::{Duration, Instant};

use super::{USED, knows};
use crate::harness::{Scope, Setup, await_until, tells_time};

#[test]
fn without_an_engine_containers_are_found_by_id_and_named_once_there_is_one() {
    let Some(scope) = Scope::new("absent") else { return };
    let Some(socket) = scope.socket() else { return };
    let container = scope.sleeper("one", &[]);
    let id = container.short_id();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("docker.sock");
    // Another engine on the host would have a list, and nobody would listen to the scan.
    let setup = Setup::of_docker(&format!("unix://{}", path.display()));
    let exporter = setup.start_unlisted();
    let used = |page: &crate::harness::Page| page.value(USED, &[("container_id", id)]);
    let page = exporter.await_page("it is found by its cgroup", |page| used(page).map(|_| page.clone()));
    assert_eq!(
        page.all(USED, &[("container_id", id)])[0].label("container_name"),
        "",
        "nobody knows its name"
    );
    assert_eq!(page.expect("container_exporter_source_up", &[("source", "docker")]), 0.0);
    let log = exporter.log();
    // Other tests make users who run engines of their own.
    let is_told = |line: &&str| line.contains("engine") && !line.contains("a user's engine");
    let told: Vec<&str> = log.lines().filter(is_told).collect();
    assert_eq!(told.len(), 1, "one line: {log}");
    for part in ["no engine answers", "ids, no names", "there is no socket", &path.display().to_string()] {
        assert!(told[0].contains(part), "{part}: {log}");
    }

    std::os::unix::fs::symlink(socket, &path).expect("the socket can be linked to");
    let page = exporter
        .await_page("it has its name", |page| page.of(USED, &container.name).is_some().then(|| page.clone()));
    assert_eq!(page.all(USED, &[("container_id", id)]).len(), 1, "it is there once");
    assert_eq!(page.expect("container_exporter_source_up", &[("source", "docker")]), 1.0);
    assert!(page.lines.iter().all(|line| line.value >= 0.0 || !line.name.ends_with("_total")));
    await_until("the log tells of the engine", || {
        exporter.log().lines().any(|line| line.contains(" INFO docker ")).then_some(())
    });
}

#[test]
fn an_engine_without_news_is_pinged_and_nothing_else() {
    let Some(scope) = Scope::new("quiet") else { return };
    let container = scope.sleeper("one", &[]);
    let exporter = scope.exporter().start();
    exporter.await_container(&container.name);
    let counts = || {
        let page = exporter.scrape();
        let count = |name: &str| {
            page.expect(&format!("container_exporter_source_{name}_total"), &[("source", "docker")])
        };
        assert!(knows(&page, container.short_id()));
        [count("requests"), count("events"), count("lists"), count("request_errors")]
    };
    // What the start asks for is over.
    let mut last = counts();
    await_until("the start's requests are over", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = counts();
        (std::mem::replace(&mut last, now) == now).then_some(())
    });
    // There a ping takes longer than it may, and a cgroup is there long before its event: that is news.
    if !tells_time("that an engine without news is pinged and nothing else") {
        return;
    }
    let [requests, events, lists, errors] = last;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(12_500) {
        counts();
        std::thread::sleep(Duration::from_millis(250));
    }
    let [requests, events, lists, errors] = {
        let now = counts();
        [now[0] - requests, now[1] - events, now[2] - lists, now[3] - errors]
    };
    assert_eq!(errors, 0.0);
    assert!(requests >= 1.0, "it was pinged");
    // Other tests' containers on the same engine are news: each event may cost an inspect, and rarely a list.
    if events == 0.0 {
        assert_eq!(lists, 0.0);
        assert!(requests <= 2.0, "{requests} requests without an event");
    } else {
        assert!(requests <= 2.0 + lists + 2.0 * events, "{requests} requests for {events} events");
    }
}
