//! What the simulation must keep: it is exact, it moves as kernels do, and every row is there.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use collector_core::{
    Absence, Collector, Container, Groups, Inventory as _, Options, Probe, Reading, Request, Sample,
    Sampler as _, Snapshot, State,
    catalogue::{self, Dimension, Entity, Source, ids},
};
use metric_schema::Instrument;
use source_sim::{HeldClock, MAX_CONTAINERS, SimInventory, SimSampler};

const SEED: u64 = 7;

fn clock() -> HeldClock {
    HeldClock::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000))
}

fn probe(clock: &HeldClock, container: &Container) -> Box<dyn Probe> {
    SimSampler::new(clock.clone(), SEED).open(container, Arc::new(|_| {})).expect("it always opens")
}

fn sample(probe: &mut dyn Probe) -> Sample {
    let mut sample = Sample::absent(Absence::NotCollected);
    probe.sample(Groups::all(), &mut sample).expect("it is never gone");
    sample
}

fn running(clock: &HeldClock, count: usize) -> Vec<Container> {
    let containers = SimInventory::new(count, SEED).with_clock(clock.clone()).containers();
    containers.into_iter().filter(|container| container.state.has_processes()).collect()
}

async fn started(clock: &HeldClock, count: usize) -> Collector {
    let inventory = SimInventory::new(count, SEED).with_clock(clock.clone());
    let sampler = SimSampler::new(clock.clone(), SEED);
    let collector =
        Collector::start(Options::default(), vec![Arc::new(inventory)], Arc::new(sampler), Box::new(|_| {}));
    collector.wait_until(|collector| collector.known().len() == count).await;
    collector
}

async fn snapshot(collector: &Collector) -> Arc<Snapshot> {
    collector.collect(Request::new(Groups::all()).with_root(true)).await
}

#[test]
fn a_held_clock_gives_the_same_numbers_and_another_seed_others() {
    let clock = clock();
    for container in running(&clock, 20) {
        let mut one = probe(&clock, &container);
        let first = sample(&mut *one);
        assert_eq!(first, sample(&mut *one));
        assert_eq!(first, sample(&mut *probe(&clock, &container)), "it keeps no state");
        let mut other = SimSampler::new(clock.clone(), SEED + 1).open(&container, Arc::new(|_| {})).unwrap();
        assert_ne!(first, sample(&mut *other));
    }
    let ids = |seed| {
        let containers = SimInventory::new(50, seed).with_clock(clock.clone()).containers();
        containers.into_iter().map(|container| container.id).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(1), ids(1));
    assert!(ids(1).is_disjoint(&ids(2)));
}

#[test]
fn counters_never_fall_and_mostly_rise() {
    let clock = clock();
    let mut probes: Vec<_> = running(&clock, 60).iter().map(|container| probe(&clock, container)).collect();
    let mut before: Vec<Sample> = probes.iter_mut().map(|probe| sample(&mut **probe)).collect();
    for step in [1, 3, 250, 999, 15_000, 600_000].map(Duration::from_millis) {
        clock.advance(step);
        let mut rises = 0;
        for (probe, before) in probes.iter_mut().zip(&mut before) {
            let now = sample(&mut **probe);
            for (id, row) in catalogue::get().iter() {
                if row.def.instrument != Instrument::Counter {
                    continue;
                }
                let values = |sample: &Sample| match catalogue::get().column(id) {
                    None => vec![sample.get(id).as_u64()],
                    Some((dimension, column)) => {
                        let entries = &sample.table(dimension).entries;
                        entries.iter().map(|entry| entry.cells[column].as_u64()).collect()
                    }
                };
                let (old, new) = (values(before), values(&now));
                assert_eq!(old.len(), new.len());
                for (old, new) in old.iter().zip(&new) {
                    assert!(old <= new, "{}: {old:?} {new:?} after {step:?}", row.def.name);
                    rises += usize::from(old < new);
                }
            }
            *before = now;
        }
        assert!(rises >= probes.len() / 2, "{rises} rises after {step:?}");
    }
}

#[test]
fn numbers_agree_with_each_other() {
    let clock = clock();
    for _ in 0..20 {
        clock.advance(Duration::from_secs(777));
        for container in running(&clock, 100) {
            let sample = sample(&mut *probe(&clock, &container));
            let int = |row| sample.get(row).as_u64().expect("a number");
            let usage = int(ids::MEMORY_USAGE);
            assert!(usage > 0 && usage <= int(ids::MEMORY_LIMIT));
            assert!(usage <= int(ids::MEMORY_MAX_USAGE));
            assert!(int(ids::MEMORY_INACTIVE_FILE) <= int(ids::MEMORY_CACHE));
            assert!(int(ids::MEMORY_RSS) + int(ids::MEMORY_CACHE) + int(ids::MEMORY_KERNEL) <= usage);
            assert!(int(ids::CPU_USER) + int(ids::CPU_SYSTEM) <= int(ids::CPU_USAGE));
            assert!(int(ids::CPU_THROTTLED_PERIODS) <= int(ids::CPU_PERIODS));
            let own = container.limits.memory.and_then(collector_core::effective::Limit::value);
            assert_eq!(sample.get(ids::MEMORY_LIMIT_OWN).as_u64(), own, "kernel and engine agree");
            for (some, full) in [
                (ids::PRESSURE_CPU_WAITING, ids::PRESSURE_CPU_STALLED),
                (ids::PRESSURE_MEMORY_WAITING, ids::PRESSURE_MEMORY_STALLED),
                (ids::PRESSURE_IO_WAITING, ids::PRESSURE_IO_STALLED),
            ] {
                assert!(int(full) <= int(some));
                assert!(int(some) < 50_000_000 * 3600 * 24 * 90, "pressure is small");
            }
        }
    }
}

/// CPU use stays within the limit: between two moments no more than the cores allow.
#[test]
fn nobody_uses_more_cpu_than_allowed() {
    let clock = clock();
    for container in running(&clock, 100) {
        let mut probe = probe(&clock, &container);
        let before = sample(&mut *probe);
        clock.advance(Duration::from_secs(60));
        let after = sample(&mut *probe);
        let used = after.get(ids::CPU_USAGE).as_u64().unwrap() - before.get(ids::CPU_USAGE).as_u64().unwrap();
        let Reading::Value(limit) = after.get(ids::CPU_LIMIT) else { panic!("a limit: the host's at least") };
        assert!(used as f64 / 60e9 <= limit.as_f64(), "{used} {limit:?}");
    }
}

#[tokio::test]
async fn every_row_of_the_kernel_is_filled() {
    let snapshot = snapshot(&started(&clock(), 100).await).await;
    let filled = |sample: &Sample, id| match catalogue::get().column(id) {
        None => sample.get(id) != Reading::Absent(Absence::NotCollected),
        Some((dimension, column)) => {
            let cell =
                |entry: &collector_core::Entry| entry.cells[column] != Reading::Absent(Absence::NotCollected);
            sample.table(dimension).entries.iter().any(cell)
        }
    };
    for (id, row) in catalogue::get().iter() {
        let ours = matches!(
            row.source,
            Source::Key(_)
                | Source::PerKey(..)
                | Source::Sampler
                | Source::SamplerTable(_)
                | Source::SamplerWatched
        );
        let there = match row.entity {
            Entity::Container => {
                let root = snapshot.root.as_ref().expect("the root was asked for");
                filled(root, id) && snapshot.containers.iter().any(|shown| filled(&shown.sample, id))
            }
            Entity::Host => filled(&snapshot.host, id),
            Entity::Exporter => continue,
        };
        assert!(there || !ours, "{}", row.def.name);
    }
    let some = |predicate: &dyn Fn(&Sample) -> bool| {
        snapshot.containers.iter().any(|shown| predicate(&shown.sample))
    };
    assert!(some(&|sample| sample.get(ids::MEMORY_LIMIT_OWN) == Reading::Max));
    assert!(some(&|sample| sample.get(ids::CPU_SPEC_QUOTA) == Reading::Max));
    assert!(some(&|sample| sample.get(ids::CPU_SHARES) == Reading::Absent(Absence::NoSourceOnVersion)));
    assert!(some(&|sample| sample.table(Dimension::Device).entries.len() == 2));
    assert!(some(&|sample| sample.table(Dimension::Interface).absence == Some(Absence::HostNetwork)));
}

#[tokio::test]
async fn only_what_is_asked_for_is_filled() {
    let collector = started(&clock(), 30).await;
    let groups = Groups::NONE.with(collector_core::Group::Network);
    let snapshot = collector.collect(Request::new(groups)).await;
    for shown in snapshot.containers.iter().filter(|shown| shown.container.state.has_processes()) {
        assert!(shown.sample.get(ids::CPU_USAGE).value().is_none());
        assert!(shown.sample.table(Dimension::Device).entries.is_empty());
    }
    let interfaces =
        |shown: &collector_core::ContainerSample| shown.sample.table(Dimension::Interface).entries.len();
    assert!(snapshot.containers.iter().map(interfaces).sum::<usize>() > 0);
}

#[test]
fn ten_thousand_plausible_containers() {
    let containers = SimInventory::new(20_000, SEED).with_clock(clock()).containers();
    assert_eq!(containers.len(), MAX_CONTAINERS);
    let distinct =
        |text: fn(&Container) -> String| containers.iter().map(text).collect::<BTreeSet<_>>().len();
    assert_eq!(distinct(|container| container.id.to_string()), MAX_CONTAINERS);
    assert_eq!(distinct(|container| container.display_name().to_owned()), MAX_CONTAINERS);
    let count = |state| containers.iter().filter(|container| container.state == state).count();
    assert!(count(State::Running) > 9_500);
    for state in [State::Exited, State::Paused, State::Created] {
        assert!((10..300).contains(&count(state)), "{state:?}");
    }
    for container in &containers {
        assert_eq!(container.id.as_str().len(), 64);
        assert_eq!(container.pid.is_some(), container.state.has_processes());
        assert_eq!(container.started_at.is_some(), container.state != State::Created);
        assert!(container.finished_at.is_some() || container.state != State::Exited);
        assert!(container.finished_at.is_none() || container.exit_code.is_some());
        assert!(container.started_at.is_none_or(|at| at >= container.created_at.unwrap()));
    }
    let compose =
        containers.iter().filter(|container| container.labels.contains_key("com.docker.compose.project"));
    assert!(compose.count() > 7_000);
}

/// In an hour of simulated time containers end by themselves, restart, and jobs are replaced by others.
#[tokio::test]
async fn time_brings_restarts_and_jobs() {
    let clock = clock();
    let collector = started(&clock, 200).await;
    let first = snapshot(&collector).await;
    // Whoever looks sees each change once it is told: the inventory is waited for, not the clock.
    for _ in 0..720 {
        clock.advance(Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
    let oom = |shown: &&collector_core::ContainerSample| {
        shown.container.restart_count.is_some_and(|count| count > 0)
    };
    collector
        .wait_until(|collector| {
            let restarted = |id| {
                collector.known().iter().any(|now| {
                    now.id == id && now.started_at > first.container(&id).unwrap().container.started_at
                })
            };
            let all: Vec<_> =
                first.containers.iter().filter(oom).map(|shown| shown.container.id.clone()).collect();
            !all.is_empty()
                && all.into_iter().all(restarted)
                && first.containers.iter().filter(|shown| !collector.knows(&shown.container.id)).count() >= 3
        })
        .await;
    let last = snapshot(&collector).await;
    assert_eq!(last.containers.len(), 200);
    let restarts = last.containers.iter().filter_map(|shown| shown.sample.get(ids::RESTARTS).as_u64());
    assert!(restarts.sum::<u64>() >= 2);
}

#[tokio::test]
async fn a_relist_lists() {
    let inventory = Arc::new(SimInventory::new(5, SEED).with_clock(clock()));
    let (changes, mut told) = collector_core::Changes::channel(4);
    let running = tokio::spawn(Arc::clone(&inventory).run(changes));
    for expect_list in [false, true] {
        let (_, change) = told.recv().await.unwrap();
        assert_eq!(matches!(change, collector_core::Change::Listed(list) if list.len() == 5), expect_list);
    }
    inventory.relist();
    assert!(matches!(told.recv().await, Some((_, collector_core::Change::Listed(_)))));
    assert_eq!(inventory.counters().lists, 2);
    drop(told);
    running.await.unwrap();
}
