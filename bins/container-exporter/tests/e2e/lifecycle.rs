//! Containers come, change, end and go: the page follows.

mod choice;
mod ends;
mod engine;

use crate::harness::{Page, Scope, await_until};

const USED: &str = "container_cpu_usage_seconds_total";
const LIMIT: &str = "container_spec_memory_limit_bytes";
const EFFECTIVE_LIMIT: &str = "container_memory_limit_bytes";
const RESTARTS: &str = "container_restarts_total";
const ENGINE_RESTARTS: &str = "container_engine_restarts";

/// The state whose series is 1; panics unless it is one.
#[track_caller]
fn state(page: &Page, name: &str) -> Option<String> {
    let lines = page.all("container_state", &[("container_name", name)]);
    let mut on = lines.iter().filter(|line| line.value != 0.0).map(|line| line.label("state").to_owned());
    let state = on.next();
    assert_eq!(on.next(), None, "{name} is in two states at once: {lines:#?}");
    state
}

/// Whether the page says anything of a container.
fn knows(page: &Page, id: &str) -> bool {
    page.lines.iter().any(|line| line.label("container_id") == id)
}

#[test]
fn a_container_is_followed_from_its_start_to_its_removal() {
    let Some(scope) = Scope::new("life") else { return };
    let exporter = scope.exporter().start();
    let container = scope.sleeper("one", &["-m", "64m"]);
    let page = exporter.await_container(&container.name);
    let id = container.short_id().to_owned();
    assert_eq!(state(&page, &container.name).as_deref(), Some("running"));
    assert_eq!(page.of(LIMIT, &container.name), Some(67_108_864.0));

    container.cli(&["update", "-m", "96m", "--memory-swap", "200m"]);
    let limits = [LIMIT, EFFECTIVE_LIMIT];
    exporter.await_page("the new limit shows", |page| {
        limits.iter().all(|name| page.of(name, &container.name) == Some(100_663_296.0)).then_some(())
    });

    for (command, expected) in [("pause", "paused"), ("unpause", "running")] {
        container.cli(&[command]);
        let page = exporter.await_page(expected, |page| {
            (state(page, &container.name).as_deref() == Some(expected)).then(|| page.clone())
        });
        assert!(page.of(USED, &container.name).is_some(), "it has its processes while it is {expected}");
        assert_eq!(page.expect("container_count", &[("state", expected)]), 1.0);
    }

    let renamed = scope.name("two");
    scope.cli(&["rename", &container.id, &renamed]);
    let page =
        exporter.await_page("the new name shows", |page| page.of(USED, &renamed).map(|_| page.clone()));
    let names: Vec<&str> = page.lines.iter().map(|line| line.label("container_name")).collect();
    assert!(!names.contains(&container.name.as_str()), "the old name is gone");
    assert!(knows(&page, &id), "it is the same container");

    scope.cli(&["rm", "-f", &container.id]);
    exporter.await_page("the removed container is gone", |page| (!knows(page, &id)).then_some(()));
    assert_eq!(exporter.scrape().expect("container_count", &[("state", "running")]), 0.0);
}

#[test]
fn health_is_followed() {
    let Some(scope) = Scope::new("health") else { return };
    let exporter = scope.exporter().start();
    // Until it was well once it is starting, however often it is looked at before we have seen that.
    let check = ["--health-cmd", "test -e /well", "--health-interval", "2s", "--health-retries", "1"];
    let check = [check.as_slice(), &["--health-start-period", "1h"]].concat();
    let container = scope.sleeper("checked", &check);
    let unchecked = scope.sleeper("unchecked", &[]);
    let health = |page: &Page| page.of("container_health_state", &container.name);
    let word = || {
        let answer = exporter.get("/api/v1/containers", &[]);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let containers = json["containers"].as_array().expect("a list").clone();
        let ours = containers.into_iter().find(|one| one["name"] == container.name.as_str())?;
        ours["health"].as_str().map(str::to_owned)
    };
    for (script, expected, value) in
        [("true", "starting", 0.0), ("touch /well", "healthy", 1.0), ("rm /well", "unhealthy", 0.0)]
    {
        let (ok, said) = container.exec(script);
        assert!(ok, "{said}");
        await_until(expected, || (word().as_deref() == Some(expected)).then_some(()));
        assert_eq!(health(&exporter.scrape()), Some(value), "{expected}");
    }
    assert_eq!(exporter.scrape().of("container_health_state", &unchecked.name), Some(-1.0));
}

#[test]
fn restarts_by_policy_and_by_hand_count_one_each() {
    let Some(scope) = Scope::new("restart") else { return };
    let exporter = scope.exporter().start();
    let script = "[ -e /second ] && exec sleep 1000; touch /second; sleep 2; exit 3";
    let container = scope.run("one", &["--restart", "on-failure:3"], script);
    let name = container.name.as_str();
    let page = exporter.await_container(name);
    assert_eq!(page.of(RESTARTS, name), Some(0.0), "there before the first restart");
    let started = page.of("container_start_time_seconds", name).expect("it has started");
    let page = exporter
        .await_page("the restart by policy is counted, and the second run has numbers", |page| {
            (page.of(RESTARTS, name)? >= 1.0 && page.of(USED, name).is_some()).then(|| page.clone())
        });
    assert_eq!((page.of(RESTARTS, name), page.of(ENGINE_RESTARTS, name)), (Some(1.0), Some(1.0)));
    assert!(page.of("container_start_time_seconds", name) > Some(started), "the start time moves");
    assert_eq!(page.of("container_exit_code", name), Some(3.0), "of the run that is over");
    container.cli(&["restart", "-t", "0"]);
    let page = exporter.await_page("the restart by hand is counted", |page| {
        (page.of(RESTARTS, name)? >= 2.0 && page.of(USED, name).is_some()).then(|| page.clone())
    });
    assert_eq!(page.of(RESTARTS, name), Some(2.0));
    assert_eq!(page.of(ENGINE_RESTARTS, name), Some(0.0), "the engine sets its own count back");
}
