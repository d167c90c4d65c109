//! The inventory against a recorded engine: life cycles, losses, and answers that are not what they should be.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use collector_core::{
    Change, Changes, Container, Engine, Health, Inventory, Network, SourceStatus, State, effective::Limit,
};
use source_docker::{DockerInventory, Endpoint, Options};
use test_support::{Answer, RecordedEngine, engine::fixture};
use tokio::sync::mpsc::Receiver;

struct Watch {
    inventory: Arc<DockerInventory>,
    changes: Receiver<(usize, Change)>,
}

fn options(engine: &RecordedEngine) -> Options {
    let mut options = Options::default();
    options.endpoint = Endpoint::Unix(engine.socket());
    options.backoff_min = Duration::from_millis(5);
    options.backoff_max = Duration::from_millis(20);
    options.relist_pause = Duration::from_millis(10);
    options.inspect_timeout = Duration::from_secs(30);
    options
}

fn watch(options: Options) -> Watch {
    let inventory = Arc::new(DockerInventory::new(options));
    let (sender, changes) = Changes::channel(256);
    tokio::spawn(inventory.clone().run(sender));
    Watch { inventory, changes }
}

impl Watch {
    async fn next(&mut self) -> Change {
        let change = tokio::time::timeout(Duration::from_secs(10), self.changes.recv()).await;
        change.expect("no change came").expect("the inventory ended").1
    }

    /// The next change that is not of the status.
    async fn change(&mut self) -> Change {
        loop {
            let change = self.next().await;
            if !matches!(change, Change::Status(_)) {
                return change;
            }
        }
    }

    async fn list(&mut self) -> Vec<Container> {
        loop {
            if let Change::Listed(list) = self.next().await {
                return list;
            }
        }
    }

    async fn upsert(&mut self) -> Container {
        match self.change().await {
            Change::Upsert(container) => *container,
            other => panic!("expected an upsert, got {other:?}"),
        }
    }

    async fn down(&mut self) -> String {
        loop {
            if let Change::Status(SourceStatus::Down(reason)) = self.next().await {
                return reason;
            }
        }
    }
}

const STARTED_MS: u64 = 1_795_255_600_000;

fn event(action: &str, id: &str, at_ms: u64, attributes: &str) -> String {
    format!(
        "{{\"Type\":\"container\",\"Action\":\"{action}\",\"Actor\":{{\"ID\":\"{id}\",\"Attributes\":{{\"name\":\"n-{id}\",\
         \"image\":\"img\",\"team\":\"blue\"{attributes}}}}},\"timeNano\":{}}}\n",
        at_ms * 1_000_000
    )
}

fn running(id: &str, pid: u32, second: u32) -> Answer {
    Answer::text(format!(
        "{{\"Id\":\"{id}\",\"Name\":\"/n-{id}\",\"Created\":\"2026-11-21T10:06:30Z\",\"State\":{{\"Status\":\"running\",\
         \"Running\":true,\"Pid\":{pid},\"StartedAt\":\"2026-11-21T10:06:{second:02}.5Z\",\"FinishedAt\":\"0001-01-01T00:00:00Z\"}},\
         \"HostConfig\":{{\"NetworkMode\":\"bridge\",\"Memory\":0}},\"Config\":{{\"Image\":\"img\",\"Labels\":{{\"team\":\"blue\"}}}}}}"
    ))
}

fn exited(id: &str, second: u32) -> Answer {
    Answer::text(format!(
        "{{\"Id\":\"{id}\",\"Name\":\"/n-{id}\",\"RestartCount\":2,\"State\":{{\"Status\":\"exited\",\"Pid\":0,\"ExitCode\":3,\
         \"OOMKilled\":true,\"StartedAt\":\"2026-11-21T10:06:40.5Z\",\"FinishedAt\":\"2026-11-21T10:06:{second:02}.5Z\"}},\
         \"HostConfig\":{{}},\"Config\":{{\"Image\":\"img\"}}}}"
    ))
}

fn entry(id: &str, state: &str, created: u64) -> String {
    format!(
        "{{\"Id\":\"{id}\",\"Names\":[\"/n-{id}\"],\"Image\":\"img\",\"State\":\"{state}\",\"Status\":\"\",\"Created\":{created}}}"
    )
}

fn by_name<'a>(list: &'a [Container], name: &str) -> &'a Container {
    list.iter().find(|c| c.name.as_deref() == Some(name)).unwrap_or_else(|| panic!("no {name} in {list:#?}"))
}

#[tokio::test]
async fn a_real_engine_is_listed_whole() {
    let engine = RecordedEngine::start();
    engine.play_docker();
    let mut watch = watch(options(&engine));
    let list = watch.list().await;
    assert_eq!(list.len(), 9);
    let web = by_name(&list, "sdk-web");
    assert_eq!((web.state, web.health, web.pid.is_some()), (State::Running, Some(Health::Healthy), true));
    assert_eq!(web.limits.memory, Some(Limit::Value(64 << 20)));
    assert_eq!(web.limits.memory_swap, Some(Limit::Value(128 << 20)));
    assert_eq!(web.limits.memory_reservation, Some(Limit::Value(32 << 20)));
    assert_eq!(web.limits.nano_cpus, Some(Limit::Value(500_000_000)));
    assert_eq!(web.limits.pids, Some(Limit::Value(100)));
    assert_eq!(web.limits.cpu_shares, Some(1024));
    assert_eq!(web.labels["com.example.note"], "quo\"te \\back");
    assert_eq!(web.network, Network::Own);
    assert_eq!(
        web.started_at.unwrap().duration_since(UNIX_EPOCH).unwrap().as_nanos(),
        1_795_255_529_960_422_250
    );
    assert_eq!((web.finished_at, web.exit_code), (None, None));
    assert_eq!(web.image.as_deref(), Some("busybox:local"));
    let host = by_name(&list, "sdk-host");
    assert_eq!(
        (host.state, &host.network, host.limits.cpu_shares),
        (State::Paused, &Network::Host, Some(512))
    );
    assert_eq!((host.limits.memory, host.limits.pids), (Some(Limit::Max), Some(Limit::Max)));
    assert_eq!(by_name(&list, "sdk-none").network, Network::None);
    let owner = by_name(&list, "sdk-renamed");
    assert_eq!(by_name(&list, "sdk-share").network, Network::Container(owner.id.clone()));
    // Stopped ones are inspected after it.
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(watch.upsert().await);
    }
    let oom = by_name(&seen, "sdk-oom");
    assert_eq!((oom.state, oom.oom_killed, oom.exit_code), (State::Exited, true, Some(137)));
    assert_eq!(
        (by_name(&seen, "sdk-fail").exit_code, by_name(&seen, "sdk-policy").restart_count),
        (Some(3), Some(2))
    );
    assert_eq!(by_name(&seen, "sdk-made").exit_code, None);
}

#[tokio::test]
async fn subscribes_first_and_is_silent_afterwards() {
    let engine = RecordedEngine::start();
    engine.play_docker();
    let mut options = options(&engine);
    options.ping_interval = Duration::from_millis(40);
    let mut watch = watch(options);
    watch.list().await;
    // The list, nine inspects, and what the engine says of itself.
    for (part, count) in [("/json", 10), ("/version", 1), ("/info", 1), ("_ping", 2)] {
        engine.wait_for(part, count).await;
    }
    let before = engine.requests();
    let place = |part: &str| before.iter().position(|target| target.contains(part)).unwrap();
    assert!(place("/events") < place("/containers/json"), "{before:#?}");
    assert_eq!(
        before
            .iter()
            .filter(|target| target.starts_with("/v1.41/containers/") && target.ends_with("/json"))
            .count(),
        9
    );
    for stranger in ["exec_create: sh", "exec_die", "attach", "kill", "top", "a word of the future"] {
        engine.event(event(stranger, "aa", STARTED_MS, ""));
    }
    engine.wait_for("_ping", 6).await;
    let after = engine.requests();
    assert!(after[before.len()..].iter().all(|target| target == "/_ping"), "{after:#?}");
    let counters = watch.inventory.counters();
    assert_eq!((counters.events, counters.event_errors, counters.lists), (6, 0, 1));
    assert!(counters.requests >= before.len() as u64 && counters.request_errors == 0, "{counters:?}");
    // Connections are kept: one each for events, pings, version and info, and four inspects.
    assert!(engine.connections() <= 7, "{}", engine.connections());
}

#[tokio::test]
async fn a_life_from_start_to_removal() {
    let engine = RecordedEngine::start();
    let mut watch = watch(options(&engine));
    assert!(watch.list().await.is_empty());
    engine.answer("/containers/aa/json", running("aa", 42, 40));
    engine.event(event("start", "aa", STARTED_MS, ""));
    let container = watch.upsert().await;
    assert_eq!((container.state, container.pid), (State::Running, Some(42)));
    engine.event(event("pause", "aa", STARTED_MS, ""));
    assert_eq!(watch.upsert().await.state, State::Paused);
    engine.event(event("unpause", "aa", STARTED_MS, ""));
    assert_eq!(watch.upsert().await.state, State::Running);
    engine.event(event("health_status: unhealthy", "aa", STARTED_MS, ""));
    assert_eq!(watch.upsert().await.health, Some(Health::Unhealthy));
    engine.event(event("rename", "aa", STARTED_MS, ",\"name\":\"new\",\"oldName\":\"/n-aa\""));
    assert_eq!(watch.upsert().await.name.as_deref(), Some("new"));
    engine.event(event("oom", "aa", STARTED_MS, ""));
    assert!(matches!(watch.change().await, Change::OomHint(_)));
    engine.answer("/containers/aa/json", exited("aa", 45));
    engine.event(event("die", "aa", STARTED_MS + 5_600, ",\"exitCode\":\"3\""));
    let told = watch.upsert().await;
    assert_eq!(
        (told.state, told.exit_code, told.oom_killed, told.pid),
        (State::Exited, Some(3), false, None)
    );
    assert_eq!(told.finished_at, Some(UNIX_EPOCH + Duration::from_millis(STARTED_MS + 5_600)));
    let whole = watch.upsert().await;
    assert_eq!((whole.exit_code, whole.oom_killed, whole.restart_count), (Some(3), true, Some(2)));
    engine.event(event("destroy", "aa", STARTED_MS, ""));
    assert!(matches!(watch.change().await, Change::Gone(id) if id.as_str() == "aa"));
    let inspects = engine.requests().iter().filter(|target| target.ends_with("/containers/aa/json")).count();
    assert_eq!(inspects, 2, "one for the start, one for the end: {:#?}", engine.requests());
}

#[tokio::test]
async fn an_end_is_told_without_any_inspect() {
    let engine = RecordedEngine::start();
    let mut watch = watch(options(&engine));
    watch.list().await;
    engine.answer("/containers/aa/json", Answer::Never);
    engine.event(event("start", "aa", STARTED_MS, ""));
    engine.wait_for("/containers/aa/json", 1).await;
    // Removed by --rm before anybody could look.
    engine.event(event("die", "aa", STARTED_MS + 100, ",\"exitCode\":\"7\""));
    assert_eq!(watch.upsert().await.state, State::Running, "that there was a run is told first");
    let told = watch.upsert().await;
    assert_eq!((told.state, told.exit_code, told.name.as_deref()), (State::Exited, Some(7), Some("n-aa")));
    assert_eq!(told.labels.len(), 1, "{:?}", told.labels);
    assert_eq!(told.started_at, Some(UNIX_EPOCH + Duration::from_millis(STARTED_MS)));
    engine.event(event("destroy", "aa", STARTED_MS + 200, ""));
    assert!(matches!(watch.change().await, Change::Gone(_)));
}

#[tokio::test]
async fn hanging_inspects_hold_nobody_back() {
    let engine = RecordedEngine::start();
    let ids: Vec<String> = (0..8).map(|n| format!("hang{n}")).collect();
    let mut entries: Vec<String> = ids.iter().map(|id| entry(id, "running", 1)).collect();
    entries.push(entry("good", "running", 1));
    engine.answer("/containers/json", Answer::text(format!("[{}]", entries.join(","))));
    for (n, id) in ids.iter().enumerate() {
        let answer = if n % 2 == 0 { Answer::Never } else { Answer::Stall };
        engine.answer(&format!("/containers/{id}/json"), answer);
    }
    engine.answer("/containers/good/json", running("good", 9, 40));
    let mut watch = watch(options(&engine));
    let list = watch.list().await;
    assert_eq!(list.len(), 9, "the list waits for nobody who hangs");
    assert_eq!(watch.upsert().await.pid, Some(9));
    engine.event(event("die", "hang0", STARTED_MS, ",\"exitCode\":\"1\""));
    assert_eq!(watch.upsert().await.state, State::Exited, "events go on");
}

#[tokio::test]
async fn an_inspect_that_stalls_in_its_body_ends_by_its_deadline() {
    let engine = RecordedEngine::start();
    engine.answer("/containers/json", Answer::text(format!("[{}]", entry("aa", "running", 1))));
    engine.answer("/containers/aa/json", Answer::Stall);
    let mut options = options(&engine);
    options.inspect_timeout = Duration::from_millis(50);
    let mut watch = watch(options);
    assert_eq!(watch.list().await[0].pid, None);
    engine.answer("/containers/aa/json", running("aa", 5, 40));
    assert_eq!(watch.upsert().await.pid, Some(5), "it is asked again");
}

#[tokio::test]
async fn one_bad_container_costs_no_good_one() {
    let engine = RecordedEngine::start();
    let odd = r#"{"Id":"bad","Names":"none","Image":7,"State":{"x":1},"Status":null,"Created":1e999,"Labels":{"a":null,"ok":"1"},"HostConfig":[],"Health":"well"}"#;
    engine.answer(
        "/containers/json",
        Answer::text(format!(
            "[{},{odd},7,null,{{\"Id\":5}},{}]",
            entry("aa", "running", 1),
            entry("bb", "running", 1)
        )),
    );
    engine.answer("/containers/aa/json", running("aa", 5, 40));
    engine.answer("/containers/bb/json", Answer::text("[1,2"));
    engine.answer(
        "/containers/bad/json",
        Answer::text(r#"{"State":{"Pid":"many","Status":"zombie"},"Config":3,"HostConfig":null}"#),
    );
    let mut watch = watch(options(&engine));
    let list = watch.list().await;
    assert_eq!(list.len(), 3, "{list:#?}");
    assert_eq!(by_name(&list, "n-aa").pid, Some(5));
    assert_eq!(by_name(&list, "n-bb").state, State::Running);
    let bad = list.iter().find(|container| container.id.as_str() == "bad").unwrap();
    assert_eq!((bad.display_name(), bad.labels.len()), ("bad", 1));
    assert_eq!(watch.inventory.counters().malformed, 4, "bad, and three without an id");
}

#[tokio::test]
async fn strange_events_never_end_the_stream() {
    let engine = RecordedEngine::start();
    engine.say_podman();
    engine.answer("/containers/json", Answer::text(fixture("podman/odd-list.json")));
    let mut watch = watch(options(&engine));
    let list = watch.list().await;
    assert_eq!(
        (list[0].engine, list[0].state, list[0].display_name()),
        (Engine::Podman, State::Created, "app-db")
    );
    engine.event("what?! {\"Type\":7}\n{\"Type\":\"container\"}\n");
    engine.event(format!("{{\"Type\":\"container\",\"long\":\"{}\"}}\n", "x".repeat(2 << 20)));
    let events = fixture("podman/odd-events.ndjson").replace('\n', "");
    let (head, tail) = events.split_at(events.len() / 2);
    engine.event(head.to_owned());
    engine.event(tail.to_owned());
    let told = watch.upsert().await;
    assert_eq!((told.state, told.exit_code), (State::Exited, Some(5)));
    assert!(matches!(watch.change().await, Change::Gone(_)));
    let counters = watch.inventory.counters();
    assert_eq!((counters.event_errors, counters.reconnects), (4, 0));
    let events = engine.requests().into_iter().find(|target| target.contains("/events")).unwrap();
    assert!(!events.contains("start"), "old Podman joins values by and: {events}");
}

#[tokio::test]
async fn the_29_line() {
    let engine = RecordedEngine::start();
    engine.headers(&[("api-version", "1.56"), ("server", "Docker/29.0 (linux)")]);
    engine.answer("/version", Answer::text(fixture("engine-29/version.json")));
    let list = fixture("engine-29/list.json");
    let id = list.split('"').nth(3).unwrap().to_owned();
    engine.answer("/containers/json", Answer::text(list));
    engine.answer(&format!("/containers/{id}/json"), Answer::Never);
    let mut first = watch(options(&engine));
    assert_eq!(first.list().await[0].health, Some(Health::Unhealthy), "by the list alone");
    engine.wait_for("/v1.52/containers/json?all=1", 1).await;
    engine.event(fixture("engine-29/events.ndjson"));
    assert_eq!(first.upsert().await.exit_code, Some(137));
    assert!(matches!(first.change().await, Change::Gone(_)));
    assert_eq!(first.inventory.counters().event_errors, 0);
    engine.answer(&format!("/containers/{id}/json"), Answer::text(fixture("engine-29/inspect-web.json")));
    let mut second = watch(options(&engine));
    let list = second.list().await;
    let web = by_name(&list, "sdk-web");
    assert_eq!((web.state, web.health, web.pid.is_some()), (State::Running, Some(Health::Unhealthy), true));
    assert_eq!((web.limits.memory, &web.network), (Some(Limit::Value(64 << 20)), &Network::None));
    assert_eq!((web.image.as_deref(), second.inventory.counters().malformed), (Some("busybox:local"), 0));
}

#[tokio::test]
async fn an_engine_that_has_dropped_our_api_is_spoken_to_in_its_own() {
    let engine = RecordedEngine::start();
    engine.headers(&[("api-version", "1.80")]);
    engine.answer(
        "/containers/json",
        Answer::Status(400, "{\"message\":\"client version 1.52 is too old\"}".into()),
    );
    engine.answer("/version", Answer::text(r#"{"Version":"40","ApiVersion":"1.80","MinAPIVersion":"1.60"}"#));
    let _watch = watch(options(&engine));
    engine.wait_for("/v1.60/containers/json", 1).await;
}

#[tokio::test]
async fn an_engine_too_busy_to_say_what_it_is_is_asked_again() {
    let engine = RecordedEngine::start();
    engine.answer("/containers/json", Answer::text("[]"));
    engine.answer("/version", Answer::Never);
    let mut options = options(&engine);
    options.request_timeout = Duration::from_millis(50);
    let mut watch = watch(options);
    engine.wait_for("/version", 1).await;
    engine.answer("/version", Answer::text(fixture("engine-29/version.json")));
    loop {
        match watch.next().await {
            Change::Status(SourceStatus::Up(info)) if !info.version.is_empty() => break,
            Change::Status(SourceStatus::Down(reason)) => panic!("it answers: {reason}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_lost_engine_is_told_once_and_listed_again() {
    let mut engine = RecordedEngine::start();
    engine.answer("/containers/json", Answer::text(format!("[{}]", entry("aa", "running", 1))));
    engine.answer("/containers/aa/json", running("aa", 5, 40));
    let mut watch = watch(options(&engine));
    assert_eq!(watch.list().await.len(), 1);
    engine.event("{\"Type\":\"container\",\"Action\":\"sta");
    engine.stop();
    let reason = watch.down().await;
    assert!(reason.contains("event stream"), "{reason}");
    engine.answer("/containers/json", Answer::text("[]"));
    engine.listen();
    match watch.next().await {
        Change::Status(SourceStatus::Up(info)) => assert_eq!(info.api_version, "1.41"),
        other => panic!("a loss is told once, then the return: {other:?}"),
    }
    assert!(watch.list().await.is_empty());
    assert_eq!(watch.inventory.counters().reconnects, 1);
}

#[tokio::test]
async fn an_engine_may_come_later_and_its_stream_may_end() {
    let mut engine = RecordedEngine::start();
    engine.stop();
    let mut watch = watch(options(&engine));
    let reason = watch.down().await;
    assert!(reason.contains("there is no socket") && reason.contains("start the engine"), "{reason}");
    engine.listen();
    watch.list().await;
    engine.end();
    assert_eq!(watch.down().await, "the engine ended its event stream");
    watch.list().await;
}

#[tokio::test]
async fn a_silent_engine_is_noticed_by_the_ping() {
    let engine = RecordedEngine::start();
    let mut options = options(&engine);
    options.ping_interval = Duration::from_millis(20);
    options.ping_timeout = Duration::from_millis(50);
    let mut watch = watch(options);
    watch.list().await;
    engine.answer("/_ping", Answer::Never);
    let reason = watch.down().await;
    assert!(reason.contains("/_ping") && reason.contains("50 ms"), "{reason}");
}

#[tokio::test]
async fn relists_are_one() {
    let engine = RecordedEngine::start();
    let mut options = options(&engine);
    options.relist_pause = Duration::from_millis(50);
    let mut watch = watch(options);
    watch.list().await;
    for _ in 0..100 {
        watch.inventory.relist();
    }
    engine.answer("/containers/json", Answer::text(format!("[{}]", entry("aa", "exited", 1))));
    assert_eq!(watch.list().await.len(), 1);
    assert!(watch.inventory.counters().lists <= 3, "{:?}", watch.inventory.counters());
}

#[tokio::test]
async fn stopped_containers_are_bounded_newest_first() {
    let engine = RecordedEngine::start();
    let entries: Vec<String> = (1..=20).map(|n| entry(&format!("c{n}"), "exited", n)).collect();
    engine.answer("/containers/json", Answer::text(format!("[{}]", entries.join(","))));
    let mut options = options(&engine);
    options.stopped_max = 3;
    let mut watch = watch(options);
    let mut ids: Vec<String> = watch.list().await.iter().map(|c| c.id.to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["c18", "c19", "c20"]);
    engine.event(event("die", "new", STARTED_MS, ",\"exitCode\":\"0\""));
    for state in [State::Created, State::Exited] {
        let told = watch.upsert().await;
        assert_eq!((told.id.as_str(), told.state), ("new", state));
    }
    assert!(matches!(watch.change().await, Change::Gone(id) if id.as_str() == "c18"));
    assert!(!engine.requests().iter().any(|target| target.contains("/c1/") || target.contains("/c17/")));
}

#[tokio::test]
async fn an_engine_that_nobody_asked_for_is_not_spoken_of_before_it_is_there() {
    let mut engine = RecordedEngine::start();
    engine.play_docker();
    let mut absent = options(&engine);
    absent.optional = true;
    absent.look_interval = Duration::from_millis(5);
    engine.stop();
    let mut watch = watch(absent);
    let silence = tokio::time::timeout(Duration::from_millis(100), watch.changes.recv()).await;
    assert!(silence.is_err() && watch.inventory.is_dormant());
    engine.listen();
    assert_eq!(watch.list().await.len(), 9);
    assert!(!watch.inventory.is_dormant());
    // From then on it is spoken of like any other.
    engine.stop();
    watch.down().await;
    assert!(!watch.inventory.is_dormant());
}
