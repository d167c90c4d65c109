//! Snapshots made by hand, and readers of pages.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use collector_core::{
    Absence, Container, ContainerId, ContainerSample, Engine, Reading, Sample, Snapshot, State, Value,
    catalogue::{self, Entity, Source, ids},
};
use sink_prometheus::{PageRequest, PrometheusSink};

pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";
pub(crate) const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// 64 hex digits.
pub(crate) fn id(number: usize) -> String {
    format!("{number:012x}{number:052x}")
}

pub(crate) fn container(number: usize, state: State) -> Container {
    let mut container = Container::new(ContainerId::new(&id(number)), Engine::Docker, state);
    container.name = Some(format!("name{number}").into());
    container.image = Some("nginx:1.29".into());
    container.created_at = Some(at(1_700_000_000));
    container.started_at = Some(at(1_700_000_001));
    container
}

/// A sample in which every row of containers that a sampler or collector fills has a value of its own.
pub(crate) fn full_sample() -> Sample {
    let mut sample = Sample::absent(Absence::NotCollected);
    fill(&mut sample, Entity::Container);
    sample
}

/// Fills every row of an entity; tables get one entry.
pub(crate) fn fill(sample: &mut Sample, entity: Entity) {
    for (row, definition) in catalogue::get().iter().filter(|(_, row)| row.entity == entity) {
        let value = row.index() as u64 + 1;
        match definition.source {
            Source::StateSet(_) | Source::Info(_) | Source::Engine(_) => {}
            source => match source.dimension() {
                None => sample.set(row, Reading::int(value)),
                Some(dimension) => {
                    let labels: Vec<&str> = dimension
                        .labels()
                        .iter()
                        .map(|label| match *label {
                            "device" => "/dev/sda",
                            "interface" => "eth0",
                            other => other,
                        })
                        .collect();
                    sample.set_in(row, &labels, Reading::int(value));
                }
            },
        }
    }
}

pub(crate) fn with(container: Container, sample: Sample) -> ContainerSample {
    ContainerSample::new(container, sample, at(1_700_000_050))
}

pub(crate) fn snapshot(containers: Vec<ContainerSample>) -> Arc<Snapshot> {
    let mut snapshot = Snapshot::empty(at(1_700_000_100));
    snapshot.containers = containers;
    Arc::new(snapshot)
}

/// A web server and a finished job, with few numbers, for pages that are read by eye.
pub(crate) fn small() -> Snapshot {
    let mut web = container(1, State::Running);
    web.labels.insert("com.docker.compose.service".to_owned(), "web".to_owned());
    let mut sample = Sample::absent(Absence::NotCollected);
    sample.cgroup = Some(format!("/docker/{}", id(1)).into());
    sample.set(ids::CPU_USAGE, Reading::Value(Value::Nanos(12_500_000_000)));
    sample.set(ids::CPU_USAGE_PERCENT, Reading::float(Some(50.25)));
    sample.set(ids::CPU_SPEC_QUOTA, Reading::Max);
    sample.set(ids::MEMORY_FAILCNT, Reading::int(3));
    sample.set(ids::MEMORY_PGFAULT, Reading::int(7));
    sample.set(ids::MEMORY_PGMAJFAULT, Reading::int(1));
    sample.set_in(ids::BLKIO_READ, &["/dev/sda", "8", "0"], Reading::int(512));
    sample.set_in(ids::NETWORK_RECEIVE_BYTES, &["eth0"], Reading::int(1500));
    sample.set_in(ids::NETWORK_RECEIVE_BYTES, &["eth1"], Reading::int(0));
    let mut job = container(2, State::Exited);
    job.exit_code = Some(137);
    job.finished_at = Some(at(1_700_000_002));
    let mut stale = Sample::absent(Absence::NotRunning);
    stale.set(ids::MEMORY_FAILCNT, Reading::int(9));
    stale.set(ids::RESTARTS, Reading::int(2));

    let mut snapshot = Snapshot::empty(at(1_700_000_100));
    snapshot.containers = vec![with(web, sample), with(job, stale)];
    snapshot.host.set_in(ids::CONTAINER_COUNT, &["running"], Reading::int(1));
    snapshot.host.set_in(ids::CONTAINER_COUNT, &["exited"], Reading::int(1));
    snapshot.host.set(ids::HOST_OOM_KILLS, Reading::int(0));
    let mut root = Sample::absent(Absence::NotCollected);
    root.set(ids::CPU_USAGE, Reading::Value(Value::Nanos(1)));
    root.set_in(ids::NETWORK_RECEIVE_BYTES, &["eth0"], Reading::int(9000));
    snapshot.root = Some(Arc::new(root));
    snapshot
}

pub(crate) fn pairs(query: &[(&str, &str)]) -> Vec<(String, String)> {
    query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn bytes(
    sink: &PrometheusSink,
    snapshot: &Arc<Snapshot>,
    accept: Option<&str>,
    query: &[(&str, &str)],
) -> Vec<u8> {
    let query = pairs(query);
    let page = sink.page(snapshot, &PageRequest { accept, query: &query }).expect("a page");
    page.chunks.flatten().collect()
}

pub(crate) fn text(sink: &PrometheusSink, snapshot: &Arc<Snapshot>, query: &[(&str, &str)]) -> String {
    String::from_utf8(bytes(sink, snapshot, None, query)).expect("UTF-8")
}

/// A series: name and labels, sorted.
pub(crate) type Series = (String, BTreeMap<String, String>);

/// The series of a text page with their values, in the page's order. Panics where Prometheus would refuse the page.
pub(crate) fn parse(page: &str) -> Vec<(Series, String)> {
    let mut seen = std::collections::BTreeSet::new();
    let mut typed = std::collections::BTreeSet::new();
    let mut out = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().expect("a name");
            assert!(typed.insert(name.to_owned()), "TYPE of {name} stands twice");
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let series = line_of(line);
        assert!(seen.insert(series.0.clone()), "a series stands twice: {line}");
        out.push(series);
    }
    out
}

fn line_of(line: &str) -> (Series, String) {
    let name_end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, tail) = rest.split_once("=\"").expect("a label");
            let mut value = String::new();
            let mut characters = tail.char_indices();
            let end = loop {
                match characters.next().expect("a closing quote") {
                    (_, '\\') => match characters.next().expect("an escaped character").1 {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    (end, '"') => break end,
                    (_, other) => value.push(other),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "label {label} stands twice: {line}");
            rest = tail[end + 1..].strip_prefix(',').unwrap_or(&tail[end + 1..]);
        }
        rest = &rest[1..];
    }
    ((name.to_owned(), labels), rest.strip_prefix(' ').expect("a space").to_owned())
}

/// A series of a protobuf page.
#[derive(Debug, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) series: Series,
    pub(crate) value: f64,
    /// Seconds of the created timestamp.
    pub(crate) created: Option<u64>,
}

/// Reads delimited `io.prometheus.client.MetricFamily` messages of counters, gauges and untyped metrics.
pub(crate) fn decode(mut page: &[u8]) -> Vec<Decoded> {
    let mut out = Vec::new();
    while !page.is_empty() {
        let len = varint(&mut page) as usize;
        let (family, rest) = page.split_at(len);
        page = rest;
        let family = fields(family);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let name = family.iter().find(|(field, _)| *field == 1).map(|(_, name)| text(name)).expect("a name");
        for (_, metric) in family.iter().filter(|(field, _)| *field == 4) {
            let mut labels = BTreeMap::new();
            let (mut value, mut created) = (f64::NAN, None);
            for (field, body) in fields(metric) {
                let body = fields(&body);
                if field == 1 {
                    let of = |number| body.iter().find(|(field, _)| *field == number).map(|(_, b)| text(b));
                    let name = of(1).expect("a label name");
                    assert!(labels.insert(name, of(2).unwrap_or_default()).is_none());
                    continue;
                }
                for (inner, bytes) in &body {
                    match inner {
                        1 => value = f64::from_le_bytes(bytes[..].try_into().expect("eight bytes")),
                        3 if field == 3 => {
                            let seconds = fields(bytes).into_iter().find(|(field, _)| *field == 1);
                            created = seconds.map(|(_, raw)| varint(&mut &raw[..]));
                        }
                        _ => {}
                    }
                }
            }
            out.push(Decoded { series: (name.clone(), labels), value, created });
        }
    }
    out
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut out = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let len = match tag & 7 {
            0 => {
                let mut rest = message;
                varint(&mut rest);
                message.len() - rest.len()
            }
            1 => 8,
            _ => varint(&mut message) as usize,
        };
        let (body, rest) = message.split_at(len);
        out.push((tag >> 3, body.to_vec()));
        message = rest;
    }
    out
}
