//! Prints a page of two containers: `cargo run -p sink-prometheus --example page -- [native|cadvisor] [ACCEPT]`.

use std::{
    error::Error,
    io::Write,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use collector_core::{
    Absence, Container, ContainerId, ContainerSample, Engine, Reading, Sample, Snapshot, State, Value,
    catalogue::ids,
};
use sink_prometheus::{Options, PageRequest, PrometheusSink};

fn container(id: &str, name: &str, state: State) -> Container {
    let mut container = Container::new(ContainerId::new(&id.repeat(32)), Engine::Docker, state);
    container.name = Some(name.into());
    container.image = Some("nginx:1.29".into());
    container.labels.insert("com.docker.compose.project".to_owned(), "shop".to_owned());
    container.started_at = Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    container
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let profile = arguments.next().unwrap_or_else(|| "native".to_owned());
    let accept = arguments.next();

    let mut sample = Sample::absent(Absence::NotCollected);
    sample.cgroup = Some(format!("/docker/{}", "4f".repeat(32)).into());
    sample.set(ids::CPU_USAGE, Reading::Value(Value::Nanos(12_500_000_000)));
    sample.set(ids::MEMORY_USAGE, Reading::int(48 << 20));
    sample.set_in(ids::NETWORK_RECEIVE_BYTES, &["eth0"], Reading::int(1500));

    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_100);
    let mut snapshot = Snapshot::empty(now);
    for (container, sample) in [
        (container("4f", "web", State::Running), sample),
        (container("a0", "job", State::Exited), Sample::absent(Absence::NotRunning)),
    ] {
        snapshot.containers.push(ContainerSample::new(container, sample, now));
    }

    let sink = PrometheusSink::new(Options::default());
    let query = [("profile".to_owned(), profile)];
    let request = PageRequest { accept: accept.as_deref(), query: &query };
    let page = sink.page(&Arc::new(snapshot), &request)?;
    let mut out = std::io::stdout().lock();
    for chunk in page.chunks {
        out.write_all(&chunk)?;
    }
    Ok(())
}
