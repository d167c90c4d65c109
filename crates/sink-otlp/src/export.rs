//! The walk over Resources, metrics and rows that writes an export, a request at a time.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use collector_core::{
    Absence, Container, ContainerId, ContainerSample, Groups, Reading, Sample, Snapshot,
    catalogue::{Birth, Entity},
};

use crate::{
    Identity, OtlpSink,
    batch::{Batch, Point, PointValue, Writer, field},
    identity::{self, VALUE_BYTES_MAX, cut},
    plan::{MetricPlan, Moment, Read, RowPlan, TablePlan},
    series::{Now, Series},
    wire,
};

/// Containers whose points stand together where they share a Resource: metric by metric, so that a metric's head stands once
/// for all of them.
const CHUNK: usize = 64;

/// What is kept of a container from export to export.
#[derive(Debug)]
pub(crate) struct Member {
    /// Whose bytes they are; kept, so that the address cannot come to mean another.
    container: Arc<Container>,
    generation: u64,
    identity: Encoded,
    series: Series,
    /// The number of the last export that it was in.
    export: u64,
    pub(crate) labels_dropped: u64,
}

/// Who a container is, encoded.
#[derive(Debug, PartialEq, Eq)]
struct Encoded {
    /// The attributes of its Resource; empty where the exporter's is used.
    resource: Box<[u8]>,
    /// The attributes of its points.
    points: Box<[u8]>,
    /// Those of its info series.
    infos: Box<[Vec<u8>]>,
}

/// The requests of one export, each made when it is asked for.
///
/// Points that have been handed out count as exported: a series ends only once, also if the request with its end is lost.
/// An export that is dropped before its last request leaves the rest for the next one.
#[must_use = "nothing is written until it is asked for"]
#[derive(Debug)]
pub struct Batches<'a> {
    sink: &'a mut OtlpSink,
    snapshot: Arc<Snapshot>,
    at: Step,
    writer: Writer,
    /// For each container of a chunk.
    now: Vec<Now>,
}

#[derive(Debug)]
enum Step {
    /// The host and the exporter.
    Own,
    /// The containers from this one on.
    Containers(usize),
    /// Containers that are gone.
    Ended(Vec<ContainerId>),
    Finished,
}

impl<'a> Batches<'a> {
    pub(crate) fn new(sink: &'a mut OtlpSink, snapshot: Arc<Snapshot>) -> Self {
        sink.export += 1;
        sink.versions.learn(&snapshot);
        let (bytes_max, expected) = (sink.options.batch_bytes_max, sink.bytes);
        let time = nanos(snapshot.taken_at);
        let writer = Writer::new(bytes_max, expected, time, sink.schema.clone(), sink.scope.clone());
        Self { sink, snapshot, at: Step::Own, writer, now: Vec::new() }
    }

    fn step(&mut self) {
        match std::mem::replace(&mut self.at, Step::Finished) {
            Step::Own => {
                self.own();
                self.at = Step::Containers(0);
            }
            Step::Containers(from) => {
                let chunk = if self.sink.options.identity == Identity::DataPoint { CHUNK } else { 1 };
                let to = self.snapshot.containers.len().min(from + chunk);
                self.at = if from < to {
                    self.containers(from, to);
                    Step::Containers(to)
                } else {
                    let export = self.sink.export;
                    let gone = self.sink.members.iter().filter(|(_, member)| member.export != export);
                    let mut gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
                    gone.sort_unstable_by(|one, other| other.cmp(one));
                    Step::Ended(gone)
                };
            }
            Step::Ended(mut gone) => {
                let Some(id) = gone.pop() else {
                    self.writer.cut();
                    self.sink.refused += self.writer.refused;
                    self.sink.bytes = self.writer.written;
                    return;
                };
                if let Some(member) = self.sink.members.remove(&id) {
                    end(self.sink, &mut self.writer, &member);
                }
                self.at = Step::Ended(gone);
            }
            Step::Finished => {}
        }
    }

    /// The metrics of the host and of the exporter.
    fn own(&mut self) {
        let Self { sink, snapshot, writer, now, .. } = self;
        if now.is_empty() {
            now.push(Now::new(sink.plan.slots));
        }
        let now = &mut now[0];
        let births = Births { run: 0, first_seen: 0, watch: nanos(snapshot.watched_since), now: writer.time };
        for entity in [Entity::Host, Entity::Exporter] {
            let sample = if entity == Entity::Host { &snapshot.host } else { &snapshot.exporter };
            for metric in sink.plan.own.iter().filter(|metric| metric.rows[0].entity == entity) {
                let mut one = One {
                    resource: &sink.own_resource,
                    identity: &[],
                    infos: &[],
                    container: None,
                    sample,
                    births,
                    running: true,
                    left_out: Groups::NONE,
                    before: &sink.own_series[usize::from(entity == Entity::Exporter)],
                    now,
                };
                sink.refused += one.metric(writer, metric);
                writer.end_metric();
            }
            sink.own_series[usize::from(entity == Entity::Exporter)].replace(now, sample);
        }
        writer.end_resource();
    }

    fn containers(&mut self, from: usize, to: usize) {
        let snapshot = Arc::clone(&self.snapshot);
        let chunk = &snapshot.containers[from..to];
        let mut members: Vec<(Member, &ContainerSample)> = Vec::with_capacity(chunk.len());
        for one in chunk {
            let twice = members.last().is_some_and(|(_, before)| before.container.id == one.container.id);
            match self.member(one).filter(|_| !twice) {
                Some(member) => members.push((member, one)),
                None => self.sink.refused += 1,
            }
        }
        let Self { sink, writer, now, .. } = self;
        now.resize_with(now.len().max(members.len()), || Now::new(sink.plan.slots));
        let mut ones: Vec<One<'_>> = Vec::with_capacity(members.len());
        for ((member, sample), now) in members.iter().zip(now.iter_mut()) {
            let shared = member.identity.resource.is_empty();
            ones.push(One {
                resource: if shared { &sink.own_resource } else { &member.identity.resource },
                identity: &member.identity.points,
                infos: &member.identity.infos,
                container: Some(&sample.container),
                sample: &sample.sample,
                births: Births::of(sample, &snapshot, writer.time),
                running: sample.container.state.has_processes(),
                left_out: sample.left_out,
                before: &member.series,
                now,
            });
        }
        for metric in &sink.plan.containers {
            for one in &mut ones {
                sink.refused += one.metric(writer, metric);
            }
            writer.end_metric();
        }
        writer.end_resource();
        for ((mut member, sample), now) in members.into_iter().zip(now) {
            member.series.replace(now, &sample.sample);
            sink.members.insert(sample.container.id.clone(), member);
        }
    }

    /// What is kept of a container, brought up to date; `None` if this export had one of that id already.
    fn member(&mut self, one: &ContainerSample) -> Option<Member> {
        let Self { sink, writer, .. } = self;
        let export = sink.export;
        let known = sink.members.remove(&one.container.id);
        if let Some(mut known) = known {
            if known.export == export {
                sink.members.insert(one.container.id.clone(), known);
                return None;
            }
            let same =
                Arc::ptr_eq(&known.container, &one.container) && known.generation == sink.versions.generation;
            if same {
                return Some(Member { export, ..known });
            }
            let fresh = sink.encode(&one.container);
            let (old, new) = (&known.identity, &fresh.identity);
            if old.resource == new.resource && old.points == new.points {
                if old.infos != new.infos {
                    end_infos(sink, writer, &mut known, new);
                }
                return Some(Member { series: known.series, ..fresh });
            }
            // Under another name it is another set of series.
            end(sink, writer, &known);
            return Some(fresh);
        }
        Some(sink.encode(&one.container))
    }
}

impl Iterator for Batches<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        loop {
            if let Some(batch) = self.writer.take() {
                return Some(batch);
            }
            if matches!(self.at, Step::Finished) {
                return None;
            }
            self.step();
        }
    }
}

impl OtlpSink {
    fn encode(&self, container: &Arc<Container>) -> Member {
        let shared = self.options.identity == Identity::DataPoint;
        let (resource, labels_dropped) = if shared {
            Default::default()
        } else {
            identity::resource(container, &self.versions, &self.options)
        };
        let points = match self.options.identity {
            Identity::Resource => Box::default(),
            Identity::DataPoint | Identity::Both => identity::of_points(container, self.plan.names),
        };
        let infos = self.plan.infos.iter().map(|labels| {
            let mut out = Vec::new();
            for (key, value) in labels(container) {
                wire::attribute(&mut out, field::ATTRIBUTES, key, cut(&value, VALUE_BYTES_MAX));
            }
            out
        });
        Member {
            container: Arc::clone(container),
            generation: self.versions.generation,
            identity: Encoded { resource, points, infos: infos.collect() },
            series: Series::default(),
            export: self.export,
            labels_dropped,
        }
    }
}

/// The end of each series of a container.
fn end(sink: &OtlpSink, writer: &mut Writer, member: &Member) {
    let nothing = Sample::of_container(Absence::NotRunning, Groups::all());
    let mut now = Now::new(sink.plan.slots);
    let shared = member.identity.resource.is_empty();
    for metric in &sink.plan.containers {
        let mut one = One {
            resource: if shared { &sink.own_resource } else { &member.identity.resource },
            identity: &member.identity.points,
            infos: &member.identity.infos,
            container: None,
            sample: &nothing,
            births: Births { run: 0, first_seen: 0, watch: 0, now: writer.time },
            running: false,
            left_out: Groups::NONE,
            before: &member.series,
            now: &mut now,
        };
        one.metric(writer, metric);
        writer.end_metric();
    }
    writer.end_resource();
}

/// The end of the info series that say something else now.
fn end_infos(sink: &OtlpSink, writer: &mut Writer, known: &mut Member, fresh: &Encoded) {
    let own = if known.identity.resource.is_empty() { &sink.own_resource } else { &known.identity.resource };
    for metric in &sink.plan.containers {
        for row in &metric.rows {
            let Read::Info { place, slot } = row.read else { continue };
            let (old, new) = (known.identity.infos.get(place), fresh.infos.get(place));
            let Some(old) = old.filter(|old| Some(*old) != new) else { continue };
            if known.series.end(slot) {
                let attributes = [&known.identity.points[..], &row.fixed, old];
                let point = Point { attributes, start: 0, value: PointValue::None };
                writer.point(own, &metric.head, &point);
            }
        }
        writer.end_metric();
    }
    writer.end_resource();
}

/// When the sums of an entity were 0, in nanoseconds since 1970; 0 is not known.
#[derive(Debug, Clone, Copy)]
struct Births {
    run: u64,
    first_seen: u64,
    watch: u64,
    /// No sum begins after its point, whatever clocks say.
    now: u64,
}

impl Births {
    fn of(one: &ContainerSample, snapshot: &Snapshot, now: u64) -> Self {
        // A run whose start nobody told has none: first sight would be too late, and what was counted before would be taken
        // for a rise.
        let run = one.container.started_at.map_or(0, nanos);
        Self { run, first_seen: nanos(one.first_seen), watch: nanos(snapshot.watched_since), now }
    }

    fn get(&self, birth: Birth) -> u64 {
        let at = match birth {
            Birth::Unknown => 0,
            Birth::Run => self.run,
            Birth::FirstSeen => self.first_seen,
            Birth::Watch => self.watch,
        };
        at.min(self.now)
    }
}

/// One entity and where its points go.
struct One<'a> {
    resource: &'a [u8],
    identity: &'a [u8],
    infos: &'a [Vec<u8>],
    container: Option<&'a Container>,
    sample: &'a Sample,
    births: Births,
    running: bool,
    /// Groups that have no points.
    left_out: Groups,
    before: &'a Series,
    now: &'a mut Now,
}

impl One<'_> {
    /// Writes its points of one metric, and the ends of those that were there before; how many were refused.
    fn metric(&mut self, writer: &mut Writer, metric: &MetricPlan) -> u64 {
        let is_shown = self.running || !metric.running_only;
        let (mut any, mut refused) = (false, 0);
        for row in &metric.rows {
            let is_shown = is_shown && !self.left_out.has(row.group) && !(row.is_total && any);
            any |= match &row.read {
                Read::Sample { slot } => {
                    let reading = if is_shown { self.sample.get(row.id) } else { NOTHING };
                    self.reading(writer, metric, row, reading, *slot, &row.fixed)
                }
                Read::Engine { read, slot } => {
                    let reading = self.container.filter(|_| is_shown).map_or(NOTHING, read);
                    self.reading(writer, metric, row, reading, *slot, &row.fixed)
                }
                Read::Info { place, slot } => {
                    let reading = self.container.filter(|_| is_shown).map_or(NOTHING, |_| Reading::int(1));
                    let infos = self.infos;
                    self.reading(writer, metric, row, reading, *slot, &infos[*place])
                }
                Read::States { current, first, attributes } => {
                    let current = self.container.filter(|_| is_shown).and_then(current);
                    for (state, attributes) in attributes.iter().enumerate() {
                        let is_in = |current| Reading::int(u64::from(state == current));
                        let reading = current.map_or(NOTHING, is_in);
                        self.reading(writer, metric, row, reading, first + state, attributes);
                    }
                    current.is_some()
                }
                Read::Table(table) => {
                    let (written, more) = self.table(writer, metric, row, table, is_shown);
                    refused += more;
                    written
                }
            };
        }
        refused
    }

    /// Writes a point, or the end of the series if it had one before; whether it has one now.
    #[inline]
    fn reading(
        &mut self,
        writer: &mut Writer,
        metric: &MetricPlan,
        row: &RowPlan,
        reading: Reading,
        slot: usize,
        attributes: &[u8],
    ) -> bool {
        let value = row.value(reading, self.moment());
        if value.is_some() {
            self.now.add(slot);
        } else if !self.before.has(slot) {
            return false;
        }
        self.point(writer, metric, row, value, [attributes, &[]]);
        value.is_some()
    }

    fn moment(&self) -> Moment {
        Moment { now: self.births.now, running: self.running }
    }

    #[inline]
    fn point(
        &self,
        writer: &mut Writer,
        metric: &MetricPlan,
        row: &RowPlan,
        value: Option<PointValue>,
        [fixed, shown]: [&[u8]; 2],
    ) {
        let attributes = [self.identity, fixed, shown];
        let point = match value {
            Some(value) => Point { attributes, start: self.births.get(row.birth), value },
            None => Point { attributes, start: 0, value: PointValue::None },
        };
        writer.point(self.resource, &metric.head, &point);
    }

    /// A point for each entry of a table that has a value in this column, and the ends of those that had. Of entries that
    /// show the same attributes, which would be one series, the first stays. Whether there is a point, and how many entries
    /// were refused.
    fn table(
        &mut self,
        writer: &mut Writer,
        metric: &MetricPlan,
        row: &RowPlan,
        plan: &TablePlan,
        is_shown: bool,
    ) -> (bool, u64) {
        let TablePlan { dimension, column, .. } = *plan;
        let entries = if is_shown { &self.sample.table(dimension).entries[..] } else { &[] };
        let same = |one: &[Arc<str>], other: &[Arc<str>]| {
            plan.shown.iter().all(|&(at, _)| label(one, at) == label(other, at))
        };
        let (mut written, mut refused) = (0, 0);
        let mut shown = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            let reading = entry.cells.get(column).copied().unwrap_or(NOTHING);
            let Some(value) = row.value(reading, self.moment()) else { continue };
            let is_there = |other: usize| same(&entries[other].labels, &entry.labels);
            if written >= plan.entries_max || self.now.entries(dimension, column).any(is_there) {
                refused += 1;
                continue;
            }
            written += 1;
            self.now.add_entry(dimension, place, column);
            attributes(&mut shown, plan, &entry.labels);
            self.point(writer, metric, row, Some(value), [&row.fixed, &shown]);
        }
        let now = &*self.now;
        let is_gone = |labels: &[Arc<str>]| {
            !now.entries(dimension, column).any(|entry| same(&entries[entry].labels, labels))
        };
        for sent in self.before.entries(dimension, column).filter(|sent| is_gone(&sent.labels)) {
            attributes(&mut shown, plan, &sent.labels);
            self.point(writer, metric, row, None, [&row.fixed, &shown]);
        }
        (written > 0, refused)
    }
}

const NOTHING: Reading = Reading::Absent(Absence::NotCollected);

fn label(labels: &[Arc<str>], at: usize) -> &str {
    labels.get(at).map_or("", |label| cut(label, VALUE_BYTES_MAX))
}

/// The attributes that tell an entry's point from those of other entries.
fn attributes(out: &mut Vec<u8>, plan: &TablePlan, labels: &[Arc<str>]) {
    out.clear();
    for &(at, key) in &plan.shown {
        let value = label(labels, at);
        if !value.is_empty() {
            wire::attribute(out, field::ATTRIBUTES, key, value);
        }
    }
}

/// Nanoseconds since 1970; 0 before.
pub(crate) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
