//! Our reader and bollard's models must agree on the recorded answers of a real engine.

use std::time::UNIX_EPOCH;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};
use collector_core::{Change, Changes, Container, Inventory, State};
use source_docker::{DockerInventory, Endpoint, Options};
use test_support::{Answer, RecordedEngine, engine::fixture};

async fn ours(body: &str) -> Container {
    let engine = RecordedEngine::start();
    let id = body.split('"').nth(3).unwrap();
    engine.answer(
        "/containers/json",
        Answer::text(format!("[{{\"Id\":\"{id}\",\"State\":\"running\",\"Status\":\"\"}}]")),
    );
    engine.answer(&format!("/containers/{id}/json"), Answer::text(body));
    let mut options = Options::default();
    options.endpoint = Endpoint::Unix(engine.socket());
    let (sender, mut changes) = Changes::channel(8);
    tokio::spawn(std::sync::Arc::new(DockerInventory::new(options)).run(sender));
    loop {
        if let (_, Change::Listed(list)) = changes.recv().await.unwrap() {
            return list.into_iter().next().unwrap();
        }
    }
}

#[tokio::test]
async fn both_readers_agree() {
    for name in ["web", "renamed", "host", "none", "share", "fail", "made", "oom", "policy"] {
        let body = fixture(&format!("engine-20.10/inspect-{name}.json"));
        let theirs: ContainerInspectResponse = serde_json::from_str(&body).unwrap();
        let ours = ours(&body).await;
        let state = theirs.state.unwrap();
        let expect = match state.status.unwrap() {
            ContainerStateStatusEnum::CREATED => State::Created,
            ContainerStateStatusEnum::RUNNING => State::Running,
            ContainerStateStatusEnum::PAUSED => State::Paused,
            ContainerStateStatusEnum::EXITED => State::Exited,
            other => panic!("{name} is {other}"),
        };
        assert_eq!(ours.state, expect, "{name}");
        assert_eq!(ours.name.as_deref(), theirs.name.as_deref().map(|n| n.trim_start_matches('/')), "{name}");
        assert_eq!(ours.pid.map_or(0, i64::from), state.pid.unwrap(), "{name}");
        assert_eq!(ours.oom_killed, state.oom_killed.unwrap(), "{name}");
        assert_eq!(ours.restart_count.map(|n| n as i64), theirs.restart_count, "{name}");
        assert_eq!(ours.image_id.as_deref(), theirs.image.as_deref(), "{name}");
        let config = theirs.config.unwrap();
        assert_eq!(ours.image.as_deref(), config.image.as_deref(), "{name}");
        assert_eq!(ours.labels, config.labels.unwrap_or_default().into_iter().collect(), "{name}");
        let host = theirs.host_config.unwrap();
        assert_eq!(ours.limits.memory.unwrap().value().unwrap_or(0) as i64, host.memory.unwrap(), "{name}");
        assert_eq!(
            ours.limits.nano_cpus.unwrap().value().unwrap_or(0) as i64,
            host.nano_cpus.unwrap(),
            "{name}"
        );
        assert_eq!(ours.started_at.is_some(), state.started_at.unwrap().as_str() > "1970", "{name}");
        assert!(ours.created_at.unwrap() > UNIX_EPOCH, "{name}");
    }
}
