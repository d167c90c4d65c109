//! The inventory against what Podman 5.4 answered, and engines of users that come and go.

use std::{fs, path::Path, sync::Arc, time::Duration};

use collector_core::{
    Change, Changes, Container, Engine, Health, Inventory, SourceStatus, State, effective::Limit,
};
use source_docker::{DockerInventory, Endpoint, Options, PodmanStore};
use test_support::{Answer, RecordedEngine, engine::fixture};
use tokio::sync::mpsc::Receiver;

const SICK: &str = "b68157036789024317aca71796fba85a11cbd633afeb426d63250360a96900a2";
const SICK_THERE: &str = "0c38c531c4d58d9734aad29be32d8996aab3625ecfc0183386b2d73d0e7280af";
const INPOD: &str = "8d496c1bd1cce3713f91e4150bcbbf793a355753e513fef76345ddae5748643f";
const INPOD_THERE: &str = "ec96efdcede6c42a4df122a701f14497385d6f6ece1e50560e64bc0bbebad9c7";

fn podman() -> RecordedEngine {
    let engine = RecordedEngine::start();
    engine.play_podman();
    // Recorded in another session: the containers are the same but for their ids.
    let pods = fixture("podman/libpod-list.json").replace(INPOD_THERE, INPOD).replace(SICK_THERE, SICK);
    engine.answer("/v4.0.0/libpod/containers/json", Answer::text(pods));
    engine
}

fn options(socket: &Path) -> Options {
    let mut options = Options::default();
    options.endpoint = Endpoint::Unix(socket.to_owned());
    options.backoff_min = Duration::from_millis(5);
    options.backoff_max = Duration::from_millis(20);
    options.relist_pause = Duration::from_millis(10);
    options.look_interval = Duration::from_millis(10);
    options.list_hold = Duration::from_secs(10);
    options
}

struct Watch {
    inventory: Arc<DockerInventory>,
    changes: Receiver<(usize, Change)>,
}

impl Watch {
    fn new(options: Options) -> Self {
        let inventory = Arc::new(DockerInventory::new(options));
        let (sender, changes) = Changes::channel(256);
        tokio::spawn(inventory.clone().run(sender));
        Self { inventory, changes }
    }

    /// The first change that is wanted.
    async fn wait<T>(&mut self, wanted: impl Fn(Change) -> Option<T>) -> T {
        let search = async {
            loop {
                let (_, change) = self.changes.recv().await.expect("the inventory ended");
                if let Some(found) = wanted(change) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), search).await.expect("it did not come")
    }

    async fn list(&mut self) -> Vec<Container> {
        let listed = |change| if let Change::Listed(list) = change { Some(list) } else { None };
        self.wait(listed).await
    }
}

fn by_name<'a>(list: &'a [Container], name: &str) -> &'a Container {
    list.iter().find(|c| c.name.as_deref() == Some(name)).unwrap_or_else(|| panic!("no {name} in {list:#?}"))
}

#[tokio::test]
async fn what_podman_says_of_containers() {
    let engine = podman();
    let mut watch = Watch::new(options(&engine.socket()));
    let list = watch.list().await;
    assert_eq!(list.len(), 6);
    let sick = by_name(&list, "sick");
    assert_eq!(
        (sick.engine, sick.state, sick.health),
        (Engine::Podman, State::Running, Some(Health::Unhealthy))
    );
    assert_eq!(
        (sick.limits.memory, sick.limits.pids),
        (Some(Limit::Value(64 << 20)), Some(Limit::Value(77)))
    );
    assert_eq!(sick.limits.nano_cpus, Some(Limit::Value(500_000_000)));
    assert_eq!((sick.image.as_deref(), sick.runtime.as_deref()), (Some("localhost/busybox:local"), None));
    assert_eq!((sick.pod.as_deref(), sick.uid), (None, None));
    assert_eq!(by_name(&list, "inpod").pod.as_deref(), Some("mypod"));
    // Stopped ones are told at once, and in full when they were inspected.
    let fails = watch
        .wait(|change| match change {
            Change::Upsert(container) if container.name.as_deref() == Some("fails") => Some(container),
            _ => None,
        })
        .await;
    assert_eq!((fails.exit_code, fails.restart_count, fails.state), (Some(7), Some(2), State::Exited));

    // A list says nothing of health: what is known of it stays.
    watch.inventory.relist();
    let list = watch.list().await;
    assert_eq!(by_name(&list, "sick").health, Some(Health::Unhealthy));
    assert_eq!(by_name(&list, "inpod").health, Some(Health::NoCheck));
}

/// Every event of a session with Podman, cut anywhere: none ends the stream, and health needs no inspect.
#[tokio::test]
async fn the_events_of_podman() {
    let engine = podman();
    let mut watch = Watch::new(options(&engine.socket()));
    watch.list().await;
    let events = fixture("podman/events.ndjson");
    let (head, tail) = events.split_at(events.len() / 3);
    engine.event(head.to_owned());
    engine.event(tail.to_owned());
    let gone = |change| matches!(change, Change::Gone(id) if id.as_str() == SICK).then_some(());
    watch.wait(gone).await;
    let counters = watch.inventory.counters();
    assert_eq!((counters.event_errors, counters.reconnects), (0, 0));
    assert_eq!(counters.events, events.lines().count() as u64);
}

#[tokio::test]
async fn health_is_taken_from_the_event() {
    let engine = podman();
    let mut watch = Watch::new(options(&engine.socket()));
    watch.list().await;
    let line = fixture("podman/events.ndjson")
        .lines()
        .find(|line| line.contains("HealthStatus"))
        .unwrap()
        .to_owned();
    engine.event(line.replace("\"HealthStatus\":\"unhealthy\"", "\"HealthStatus\":\"healthy\"") + "\n");
    let health = watch
        .wait(|change| match change {
            Change::Upsert(container) if container.id.as_str() == SICK => Some(container.health),
            _ => None,
        })
        .await;
    assert_eq!(health, Some(Health::Healthy));
}

/// A user's engine: the store names what runs until the socket comes, the engine from then on, and the store again
/// when the socket is gone.
#[tokio::test]
async fn the_store_stands_in_for_an_engine_without_a_socket() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: String, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("etc/passwd".into(), "alice:x:1000:1000::/home/alice:/bin/sh\n");
    let storage = "home/alice/.local/share/containers/storage/overlay-containers/containers.json";
    write(storage.into(), &fixture("podman/store.json"));
    write(format!("run/user/1000/containers/overlay-containers/{SICK}/userdata/pidfile"), "1338");
    write("proc/1338/cgroup".into(), &format!("0::/user.slice/libpod-{SICK}.scope/container\n"));
    fs::create_dir_all(root.path().join("run/user/1000/podman")).unwrap();
    let socket = root.path().join("run/user/1000/podman/podman.sock");

    let mut options = options(&socket);
    options.optional = true;
    options.gone_after = Duration::from_millis(30);
    options.store = PodmanStore::of_user(root.path(), 1000);
    let mut watch = Watch::new(options);
    let list = watch.list().await;
    let named: Vec<_> = list.iter().map(|c| (c.display_name().to_owned(), c.pid, c.uid)).collect();
    assert_eq!(
        named,
        [("sick".to_owned(), Some(1338), Some(1000))],
        "the owner is known by the socket's place"
    );
    assert!(watch.inventory.is_dormant(), "nobody is missed");

    let engine = podman();
    std::os::unix::fs::symlink(engine.socket(), &socket).unwrap();
    assert_eq!(watch.list().await.len(), 6);
    assert!(!watch.inventory.is_dormant());

    fs::remove_file(&socket).unwrap();
    drop(engine);
    watch.wait(|change| matches!(change, Change::Status(SourceStatus::Down(_))).then_some(())).await;
    let list = watch.list().await;
    assert_eq!(list.len(), 1);
    assert_eq!(
        list[0].limits.memory,
        Some(Limit::Value(64 << 20)),
        "what the engine said of this run is kept"
    );
    let dormant = async {
        while !watch.inventory.is_dormant() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), dormant).await.expect("its socket is gone for good");
}
