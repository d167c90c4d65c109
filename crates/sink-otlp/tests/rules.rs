//! The rules of an export, one by one.

mod support;

use std::{collections::BTreeSet, sync::Arc};

use collector_core::{
    Absence, Container, ContainerSample, Group, Groups, Reading, Sample, State, Value, catalogue::ids,
};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::{AsDouble, AsInt};
use proptest::prelude::*;
use sink_otlp::{Identity, Options, OtlpSink};
use support::{Flat, at, container, decode, export, flat, snapshot, web_sample, with};

fn sink() -> OtlpSink {
    OtlpSink::new(Options::default())
}

/// The points of an export of these containers, taken at that second.
fn points(sink: &mut OtlpSink, containers: &[ContainerSample], second: u64) -> Vec<Flat> {
    let mut snapshot = snapshot(containers.to_vec());
    snapshot.taken_at = at(second);
    flat(&export(sink, &Arc::new(snapshot)))
}

fn of<'a>(points: &'a [Flat], metric: &str) -> Vec<&'a Flat> {
    points.iter().filter(|flat| flat.metric == metric).collect()
}

fn names(points: &[Flat], ended: bool) -> BTreeSet<&str> {
    points.iter().filter(|flat| flat.has_ended() == ended).map(|flat| &*flat.metric).collect()
}

fn web() -> ContainerSample {
    with(container(1, State::Running), web_sample())
}

const NOW: u64 = 1_700_000_100;

#[test]
fn requests_are_bounded_and_no_point_is_lost() {
    let containers: Vec<_> =
        (0..2_000).map(|number| with(container(number, State::Running), web_sample())).collect();
    let snapshot = Arc::new(snapshot(containers));
    let mut options = Options::default();
    options.batch_bytes_max = 300_000;
    let mut small = OtlpSink::new(options);
    let batches = export(&mut small, &snapshot);
    let whole = export(&mut sink(), &snapshot);
    assert!(batches.len() > whole.len() && whole.len() == 1, "{} and {}", batches.len(), whole.len());
    assert!(batches.iter().all(|batch| batch.body.len() <= 300_000));
    assert!(whole.iter().all(|batch| batch.body.len() <= 3_800_000));
    assert_eq!(flat(&batches), flat(&whole));
    assert_eq!(small.refused(), 0);
}

/// An export is made while it is asked for: what is held at one time is one request.
#[test]
fn nothing_is_made_before_it_is_asked_for() {
    let containers: Vec<_> =
        (0..500).map(|number| with(container(number, State::Running), web_sample())).collect();
    let snapshot = Arc::new(snapshot(containers));
    let mut options = Options::default();
    options.batch_bytes_max = 20_000;
    let mut sink = OtlpSink::new(options);
    let all = flat(&export(&mut sink, &snapshot)).len();
    // The second export is given up after its first request: what it held has left, the rest has not.
    let empty = Arc::new(support::snapshot(Vec::new()));
    let first = sink.export(Arc::clone(&empty)).next().expect("a request");
    assert!(first.points < all / 2, "{} of {all}", first.points);
    let rest = flat(&export(&mut sink, &empty));
    assert!(rest.iter().all(Flat::has_ended));
    let left = rest.len() + first.points;
    // At most the container at hand had its end in what was given up.
    assert!(left <= all && left > all - 100, "{left} of {all}");
    assert_eq!(export(&mut sink, &empty).len(), 0, "an end is told once");
}

#[test]
fn a_restart_sets_value_and_start_back_together() {
    let mut sink = sink();
    let run = |started: u64, used: u64, restarts: u64| {
        let mut container = container(1, State::Running);
        container.started_at = Some(at(started));
        let mut sample = web_sample();
        sample.set(ids::CPU_USER, Reading::Value(Value::Nanos(used * 1_000_000_000)));
        sample.set(ids::RESTARTS, Reading::int(restarts));
        [with(container, sample)]
    };
    let user = |points: &[Flat]| {
        let points: Vec<_> = of(points, "container.cpu.time").iter().map(|flat| flat.point.clone()).collect();
        let user =
            points.iter().find(|point| format!("{:?}", point.attributes).contains("user")).expect("user");
        (user.value, user.start_time_unix_nano / 1_000_000_000)
    };
    let before = points(&mut sink, &run(1_700_000_001, 10, 0), NOW);
    let after = points(&mut sink, &run(1_700_000_110, 1, 1), NOW + 15);
    assert_eq!(user(&before), (Some(AsDouble(10.0)), 1_700_000_001));
    assert_eq!(user(&after), (Some(AsDouble(1.0)), 1_700_000_110));
    assert!(names(&after, true).is_empty(), "the series go on");
    // What is counted while we watch keeps its start.
    let restarts = of(&after, "container.restarts");
    assert_eq!(restarts[0].point.value, Some(AsInt(1)));
    assert_eq!(restarts[0].point.start_time_unix_nano, 1_700_000_050_000_000_000);
}

/// What a back end has counted of a cumulative sum, as the data model of OpenTelemetry tells it to: a point of another start
/// begins at 0, whatever its value.
#[derive(Default)]
struct BackEnd {
    last: Option<(u64, f64)>,
    total: f64,
}

impl BackEnd {
    fn take(&mut self, point: &Flat) {
        let Some(AsDouble(value)) = point.point.value else { panic!("no value: {point:?}") };
        let start = point.point.start_time_unix_nano;
        self.total += match self.last {
            Some((before, counted)) if before == start => {
                assert!(value >= counted, "a sum fell without another start");
                value - counted
            }
            _ => value,
        };
        self.last = Some((start, value));
    }
}

#[test]
fn a_back_end_counts_each_run_once_and_nothing_twice() {
    let mut sink = sink();
    let mut back_end = BackEnd::default();
    // Runs by their start, and the CPU seconds that exports saw of each; one begins above the end of the last, one is
    // gone between two exports but for its end, one is the same at two exports.
    let runs: [(u64, &[u64]); 3] =
        [(1_700_000_001, &[4, 10, 10, 12]), (1_700_000_110, &[15, 20]), (1_700_000_200, &[1])];
    let mut now = NOW;
    for (started, seen) in runs {
        for used in seen {
            let mut container = container(1, State::Running);
            container.started_at = Some(at(started));
            let mut sample = web_sample();
            sample.set(ids::CPU_USER, Reading::Value(Value::Nanos(used * 1_000_000_000)));
            now += 15;
            let points = points(&mut sink, &[with(container, sample)], now.max(started + 1));
            let times = of(&points, "container.cpu.time");
            let is_user = |flat: &&&Flat| format!("{:?}", flat.point.attributes).contains("user");
            back_end.take(times.iter().find(is_user).expect("user time"));
        }
    }
    assert_eq!(back_end.total, 12.0 + 20.0 + 1.0);
}

#[test]
fn no_sum_begins_after_its_point() {
    let mut container = container(1, State::Running);
    container.started_at = Some(at(NOW + 1_000));
    let points = points(&mut sink(), &[with(container, web_sample())], NOW);
    assert!(points.iter().all(|flat| flat.point.start_time_unix_nano <= flat.point.time_unix_nano));
    assert_eq!(of(&points, "container.uptime")[0].point.value, Some(AsDouble(0.0)));
}

#[test]
fn a_removed_container_ends_each_of_its_series_once() {
    for identity in [Identity::Resource, Identity::DataPoint, Identity::Both] {
        let mut options = Options::default();
        options.identity = identity;
        let mut sink = OtlpSink::new(options);
        let before = points(&mut sink, &[web()], NOW);
        let after = points(&mut sink, &[], NOW + 15);
        let series = |points: &[Flat]| points.iter().map(Flat::series).collect::<BTreeSet<_>>();
        assert_eq!(series(&before), series(&after));
        assert!(before.iter().all(|flat| flat.point.flags == 0 && flat.point.value.is_some()));
        assert!(after.iter().all(|flat| flat.has_ended() && flat.point.value.is_none()));
        assert!(after.iter().all(|flat| flat.point.time_unix_nano == (NOW + 15) * 1_000_000_000));
        assert_eq!(points(&mut sink, &[], NOW + 30), []);
    }
}

#[test]
fn a_stopped_container_keeps_its_state_only() {
    let mut sink = sink();
    let running = points(&mut sink, &[web()], NOW);
    let stopped = points(&mut sink, &[with(container(1, State::Exited), web_sample())], NOW + 15);
    let ended = names(&stopped, true);
    assert!(ended.contains("container.cpu.time") && ended.contains("container.uptime"), "{ended:?}");
    let left = names(&stopped, false);
    assert_eq!(&left | &ended, names(&running, false));
    assert!(left.contains("container.state.status") && !left.contains("container.cpu.time"), "{left:?}");
    let state = of(&stopped, "container.state.status");
    let current: Vec<_> = state.iter().filter(|flat| flat.point.value == Some(AsInt(1))).collect();
    assert_eq!((state.len(), current.len()), (State::ALL.len(), 1));
    assert!(format!("{:?}", current[0].point.attributes).contains("exited"));
}

#[test]
fn a_device_that_is_gone_ends_its_series() {
    let mut sink = sink();
    let with_interfaces = |interfaces: &[&str]| {
        let mut sample = Sample::absent(Absence::NotCollected);
        for interface in interfaces {
            sample.set_in(ids::NETWORK_RECEIVE_BYTES, &[interface], Reading::int(1));
        }
        [with(container(1, State::Running), sample)]
    };
    points(&mut sink, &with_interfaces(&["eth0", "eth1"]), NOW);
    let after = points(&mut sink, &with_interfaces(&["eth1", "eth2"]), NOW + 15);
    let ended: Vec<_> =
        of(&after, "container.network.io").into_iter().filter(|flat| flat.has_ended()).collect();
    assert_eq!(ended.len(), 1);
    assert!(format!("{:?}", ended[0].point.attributes).contains("eth0"));
    assert_eq!(of(&after, "container.network.io").len(), 3);
}

/// The name is a part of the Resource: under another one it is another set of series.
#[test]
fn a_renamed_container_ends_its_old_series() {
    let mut sink = sink();
    let before = points(&mut sink, &[web()], NOW);
    let mut renamed = container(1, State::Running);
    renamed.name = Some("other".into());
    let after = points(&mut sink, &[with(renamed, web_sample())], NOW + 15);
    let (ended, fresh): (Vec<_>, Vec<_>) = after.into_iter().partition(Flat::has_ended);
    assert_eq!(ended.len(), before.len());
    assert!(ended.iter().all(|flat| flat.around.contains("name1") && !flat.around.contains("other")));
    assert_eq!(fresh.len(), before.len());
    assert!(fresh.iter().all(|flat| flat.around.contains("other")));
}

#[test]
fn an_engine_that_is_silent_for_a_while_changes_nobody() {
    let mut sink = sink();
    let mut told = snapshot(vec![web()]);
    let engine = ["docker", "docker", "29.0.1", "1.52", "systemd", "overlay2", "unix:///run/docker.sock"];
    told.exporter.set_in(ids::ENGINE_INFO, &engine, Reading::int(1));
    let before = flat(&export(&mut sink, &Arc::new(told)));
    assert!(of(&before, "container.uptime")[0].around.contains("29.0.1"));
    let after = flat(&export(&mut sink, &Arc::new(snapshot(vec![web()]))));
    assert_eq!(names(&after, true), BTreeSet::from(["container_exporter.engine_info"]));
    assert!(of(&after, "container.uptime")[0].around.contains("29.0.1"));
}

/// Moded points or the bare total: where an engine tells the total only, that.
#[test]
fn the_total_stands_where_its_parts_are_not_known() {
    let mut sink = sink();
    let mut total = web_sample();
    total.set(ids::CPU_USER, Reading::Absent(Absence::NotInStatsApi));
    total.set(ids::CPU_SYSTEM, Reading::Absent(Absence::NotInStatsApi));
    let parts = points(&mut sink, &[web()], NOW);
    assert_eq!(of(&parts, "container.cpu.time").len(), 2);
    let total = points(&mut sink, &[with(container(1, State::Running), total)], NOW + 15);
    let (ended, left): (Vec<_>, Vec<_>) =
        of(&total, "container.cpu.time").into_iter().partition(|flat| flat.has_ended());
    assert_eq!((ended.len(), left.len()), (2, 1));
    assert_eq!((&left[0].point.attributes[..], left[0].point.value), (&[][..], Some(AsDouble(12.5))));
}

#[test]
fn what_stands_twice_is_refused() {
    let mut sink = sink();
    let mut sample = Sample::absent(Absence::NotCollected);
    sample.set_in(ids::FS_READS_BYTES, &["/dev/sda", "8", "0"], Reading::int(1));
    sample.set_in(ids::FS_READS_BYTES, &["/dev/sda", "8", "1"], Reading::int(2));
    let twice = points(&mut sink, &[with(container(1, State::Running), sample)], NOW);
    let read = of(&twice, "container.disk.io");
    assert_eq!((read.len(), read[0].point.value, sink.refused()), (1, Some(AsInt(1)), 1));
    for identity in [Identity::Resource, Identity::DataPoint] {
        let mut options = Options::default();
        options.identity = identity;
        let mut sink = OtlpSink::new(options);
        let uptime = points(&mut sink, &[web(), web()], NOW);
        assert_eq!((of(&uptime, "container.uptime").len(), sink.refused()), (1, 1));
    }
}

#[test]
fn a_point_larger_than_a_request_is_refused() {
    let mut options = Options::default();
    options.batch_bytes_max = 400;
    let mut sink = OtlpSink::new(options);
    let mut large = container(1, State::Running);
    large.name = Some("n".repeat(1_000).into());
    let batches = export(&mut sink, &Arc::new(snapshot(vec![with(large, web_sample())])));
    assert_eq!(flat(&batches), []);
    assert!(sink.refused() > 0);
}

#[test]
fn groups_that_are_off_do_not_leave() {
    let mut options = Options::default();
    options.groups = Groups::NONE.with(Group::Cpu);
    let points = points(&mut OtlpSink::new(options), &[web()], NOW);
    let expect = ["container.cpu.cfs.quota", "container.cpu.time", "container.cpu.usage"];
    assert_eq!(names(&points, false), BTreeSet::from(expect));
}

#[test]
fn labels_are_bounded_and_counted() {
    let mut options = Options::default();
    options.labels_max = 2;
    options.label_value_bytes_max = 4;
    let mut sink = OtlpSink::new(options);
    let mut labelled = container(1, State::Running);
    for (key, value) in [("a", "12345"), ("b", "äää"), ("c", "1"), ("", "no key")] {
        labelled.labels.insert(key.to_owned(), value.to_owned());
    }
    let points = points(&mut sink, &[with(labelled, web_sample())], NOW);
    let around = &points[0].around;
    assert!(around.contains("container.label.a") && around.contains("\"1234\""), "{around}");
    assert!(around.contains("container.label.b") && around.contains("\"ää\""), "{around}");
    assert!(!around.contains("container.label.c"));
    assert_eq!(sink.labels_dropped(), 4, "two cut, one too many, one without a key");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Decoding checks that each text is UTF-8: what strangers write, and where it is cut, must keep it so.
    #[test]
    fn hostile_texts_stay_valid(
        texts in proptest::collection::vec("\\PC{0,40}|[\u{0}-\u{20}]{0,8}|\\p{Any}{0,2000}", 9),
        value_max in 0..40usize,
        by_point in any::<bool>(),
    ) {
        let mut options = Options::default();
        options.label_value_bytes_max = value_max;
        options.identity = if by_point { Identity::DataPoint } else { Identity::Both };
        options.resource = vec![(texts[0].clone(), texts[1].clone().into())];
        let mut sink = OtlpSink::new(options);
        let mut hostile: Container = container(1, State::Running);
        hostile.name = Some(texts[2].as_str().into());
        hostile.image = Some(texts[3].as_str().into());
        hostile.labels.insert(texts[4].clone(), texts[5].clone());
        hostile.runtime = Some(texts[6].as_str().into());
        let mut sample = web_sample();
        sample.set_in(ids::NETWORK_RECEIVE_BYTES, &[&texts[7]], Reading::int(1));
        sample.set_in(ids::FS_READS_BYTES, &[&texts[8], "8", "1"], Reading::int(1));
        let batches = export(&mut sink, &Arc::new(snapshot(vec![with(hostile, sample)])));
        let decoded: usize = batches.iter().map(|batch| support::flatten(decode(batch)).len()).sum();
        prop_assert_eq!(decoded, batches.iter().map(|batch| batch.points).sum::<usize>());
    }
}

#[test]
fn what_the_budget_leaves_out_of_a_group_ends_and_the_rest_goes_on() {
    let mut sink = sink();
    let before = points(&mut sink, &[web()], NOW);
    for group in [Group::Memory, Group::Network, Group::State] {
        let mut left_out = web();
        left_out.left_out = Groups::NONE.with(group);
        let after = points(&mut sink, &[left_out.clone()], NOW + 15);
        let (shown, ended) = (names(&after, false), names(&after, true));
        assert!(!ended.is_empty() && shown.is_disjoint(&ended), "{group:?}: {ended:?}");
        assert_eq!(&shown | &ended, names(&before, false), "{group:?}");
        let again = points(&mut sink, &[left_out], NOW + 30);
        assert_eq!(names(&again, false), shown, "{group:?}");
        assert!(names(&again, true).is_empty(), "an end is told once");
        assert_eq!(names(&points(&mut sink, &[web()], NOW + 45), false), names(&before, false), "it is back");
    }
}
