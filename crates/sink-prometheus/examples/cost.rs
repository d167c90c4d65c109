//! What a page costs: `cargo run --release -p sink-prometheus --example cost -- [CONTAINERS] [native|cadvisor] [ACCEPT]`.
//!
//! Every row has a value; the snapshot is the same each time, as between two scrapes where no container changes.

use std::{
    error::Error,
    io::Write,
    sync::Arc,
    time::{Instant, SystemTime},
};

use collector_core::{
    Absence, Container, ContainerId, ContainerSample, Engine, Reading, Sample, Snapshot, State,
    catalogue::{self, Entity},
};
use sink_prometheus::{Options, PageRequest, PrometheusSink};

fn container(number: usize) -> Container {
    let id = ContainerId::new(&format!("{number:064x}"));
    let mut container = Container::new(id, Engine::Docker, State::Running);
    container.name = Some(format!("project-service-{number}").into());
    container.image = Some("registry.example.com/team/service:1.2.3".into());
    container.image_id = Some(format!("sha256:{number:064x}").into());
    container.started_at = Some(SystemTime::now());
    for key in ["project", "service", "version", "config-hash", "container-number", "oneoff"] {
        container.labels.insert(format!("com.docker.compose.{key}"), format!("value-of-{key}"));
    }
    container
}

fn full_sample() -> Sample {
    let mut sample = Sample::absent(Absence::NotCollected);
    for (row, definition) in catalogue::get().iter().filter(|(_, row)| row.entity == Entity::Container) {
        let value = Reading::int(1_234_567 + row.index() as u64);
        match definition.source.dimension() {
            None => sample.set(row, value),
            Some(dimension) => sample.set_in(row, dimension.labels(), value),
        }
    }
    sample
}

/// `VmRSS` of /proc/self/status, in kB; 0 where there is none.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let containers: usize = arguments.next().map_or(Ok(1_000), |number| number.parse())?;
    let profile = arguments.next().unwrap_or_else(|| "native".to_owned());
    let accept = arguments.next();

    let sample = full_sample();
    let now = SystemTime::now();
    let mut snapshot = Snapshot::empty(now);
    let one = |number| ContainerSample::new(container(number), sample.clone(), now);
    snapshot.containers.extend((0..containers).map(one));
    let snapshot = Arc::new(snapshot);
    let sink = PrometheusSink::new(Options::default());
    let query = [("profile".to_owned(), profile)];
    let mut out = std::io::stdout().lock();
    let before_kb = resident_kb();
    for page in 0..7 {
        let started = Instant::now();
        let request = PageRequest { accept: accept.as_deref(), query: &query };
        let (mut bytes, mut lines) = (0, 0);
        let page_made = sink.page(&snapshot, &request)?;
        let head = started.elapsed();
        let mut longest = 0;
        let mut spent = head;
        let mut chunks = page_made.chunks;
        loop {
            let from = Instant::now();
            let Some(chunk) = chunks.next() else { break };
            spent += from.elapsed();
            longest = longest.max(chunk.len());
            bytes += chunk.len();
            lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        }
        let grown_kb = resident_kb().saturating_sub(before_kb);
        writeln!(
            out,
            "page {page}: {lines} lines, {bytes} bytes, {:.2} ms ({:.2} ms before the first chunk), \
             longest chunk {longest}, resident +{grown_kb} kB",
            spent.as_secs_f64() * 1e3,
            head.as_secs_f64() * 1e3,
        )?;
    }
    Ok(())
}
