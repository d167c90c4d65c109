//! What every page keeps, whatever the snapshot holds.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use collector_core::{
    Absence, Container, ContainerId, Engine, Entry, Group, Groups, Reading, Sample, Snapshot, State, Value,
    catalogue::{self, Dimension, Entity, ids},
};
use exposition::{Family, Kind, LabelBlock, Number};
use proptest::prelude::*;
use sink_prometheus::{Options, PageRequest, PrometheusSink};
use support::*;

/// Of every group.
fn sink() -> PrometheusSink {
    let mut options = Options::default();
    options.groups = Groups::all();
    PrometheusSink::new(options)
}

/// Two running containers and one that has ended, with every row filled that can be.
fn everything() -> Arc<Snapshot> {
    let mut labelled = container(1, State::Running);
    labelled.labels.insert("com.docker.compose.project".to_owned(), "shop".to_owned());
    let mut snapshot = Snapshot::empty(at(1_700_000_100));
    snapshot.containers = vec![
        with(labelled, full_sample()),
        with(container(2, State::Paused), full_sample()),
        with(container(3, State::Exited), full_sample()),
    ];
    snapshot.root = Some(Arc::new(full_sample()));
    fill(&mut snapshot.host, Entity::Host);
    fill(&mut snapshot.exporter, Entity::Exporter);
    Arc::new(snapshot)
}

fn group_of(name: &str) -> Option<Group> {
    let named = |row: &catalogue::Row| {
        row.def.prometheus_name() == name || row.def.alias("cadvisor").is_some_and(|alias| alias.name == name)
    };
    catalogue::get().iter().map(|(_, row)| row).find(|row| !row.hidden && named(row)).map(|row| row.group)
}

fn label<'a>(series: &'a Series, name: &str) -> Option<&'a str> {
    series.1.get(name).map(String::as_str)
}

/// Every family that a profile shows is on the page of a snapshot that has everything.
#[test]
fn every_row_is_reachable() {
    let page = text(&sink(), &everything(), &[]);
    let shown: BTreeSet<String> = parse(&page).into_iter().map(|((name, _), _)| name).collect();
    for (_, row) in catalogue::get().iter().filter(|(_, row)| !row.hidden) {
        let name = row.def.prometheus_name();
        // The engine has not told these of the containers here.
        let untold = matches!(
            &*name,
            "container_health_state"
                | "container_exit_code"
                | "container_finished_time_seconds"
                | "container_engine_restarts"
        );
        assert_eq!(shown.contains(&name), row.def.only_aliased.is_none() && !untold, "{name}");
    }
    let page = text(&sink(), &everything(), &[("profile", "cadvisor")]);
    let shown: BTreeSet<String> = parse(&page).into_iter().map(|((name, _), _)| name).collect();
    for (_, row) in catalogue::get().iter() {
        if let Some(alias) = row.def.alias("cadvisor").filter(|alias| alias.name != "container_health_state")
        {
            assert!(shown.contains(alias.name), "{}", alias.name);
        }
    }
}

#[test]
fn each_format_has_the_same_series() {
    for profile in ["native", "cadvisor"] {
        let query = [("profile", profile)];
        let (sink, snapshot) = (sink(), everything());
        let plain = parse(&text(&sink, &snapshot, &query));
        let open = String::from_utf8(bytes(&sink, &snapshot, Some(OPEN_METRICS), &query)).expect("UTF-8");
        assert!(open.ends_with("# EOF\n"));
        assert_eq!(parse(&open), plain, "{profile}: in the same order too");
        let binary = decode(&bytes(&sink, &snapshot, Some(PROTOBUF), &query));
        assert_eq!(binary.len(), plain.len());
        for (binary, (series, value)) in binary.iter().zip(&plain) {
            assert_eq!(binary.series, *series);
            assert_eq!(Ok(binary.value), value.parse(), "{series:?}");
        }
    }
}

#[test]
fn a_page_is_the_same_each_time_and_however_it_is_cut() {
    let (sink, snapshot) = (sink(), everything());
    let first = text(&sink, &snapshot, &[]);
    assert_eq!(text(&sink, &snapshot, &[]), first, "blocks that were kept");
    assert_eq!(text(&self::sink(), &snapshot, &[]), first, "blocks that were made");
    for name in ["HELP", "TYPE"] {
        let described = first.lines().filter_map(|line| line.strip_prefix(&format!("# {name} ")));
        let names: Vec<_> = described.map(|rest| rest.split(' ').next()).collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "{name} comes once");
    }
}

#[test]
fn stopped_containers_keep_their_state_only() {
    let page = parse(&text(&sink(), &everything(), &[]));
    let of = |number: usize| {
        let id = id(number)[..12].to_owned();
        page.iter()
            .filter(move |(series, _)| label(series, "container_id") == Some(&id))
            .map(|(series, _)| series)
    };
    assert!(of(3).all(|(name, _)| group_of(name) == Some(Group::State)));
    assert!(of(3).any(|series| series.0 == "container_state" && label(series, "state") == Some("exited")));
    assert!(of(3).any(|(name, _)| name == "container_oom_events_total"));
    for running in [1, 2] {
        assert!(of(running).any(|(name, _)| name == "container_cpu_usage_seconds_total"), "{running}");
    }

    let page = parse(&text(&sink(), &everything(), &[("profile", "cadvisor")]));
    let of_stopped: Vec<_> = page
        .iter()
        .filter(|(series, _)| label(series, "name") == Some("name3"))
        .map(|((name, _), _)| name)
        .collect();
    assert!(of_stopped.iter().any(|name| *name == "container_state"));
    for (_, row) in catalogue::get().iter() {
        if let Some(alias) = row.def.alias("cadvisor") {
            assert!(!of_stopped.iter().any(|name| *name == alias.name), "{}", alias.name);
        }
    }
}

/// A container of which nothing was read still says what its engine knows.
#[test]
fn a_container_without_numbers_has_its_state() {
    let snapshot = snapshot(vec![with(container(1, State::Running), Sample::absent(Absence::Timeout))]);
    let names: BTreeSet<_> =
        parse(&text(&sink(), &snapshot, &[])).into_iter().map(|((name, _), _)| name).collect();
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        [
            "container_creation_time_seconds",
            "container_exporter_labels_dropped",
            "container_info",
            "container_start_time_seconds",
            "container_state"
        ]
    );
}

#[test]
fn absent_and_unlimited_have_no_series() {
    let mut sample = Sample::absent(Absence::NoFile);
    sample.set(ids::CPU_SPEC_QUOTA, Reading::Max);
    sample.set(ids::MEMORY_LIMIT_OWN, Reading::int(5));
    sample.set(ids::THREADS, Reading::int(0));
    sample.set_in(ids::NETWORK_RECEIVE_BYTES, &["eth0"], Reading::Max);
    let snapshot = snapshot(vec![with(container(1, State::Running), sample)]);
    for profile in ["native", "cadvisor"] {
        let query =
            [("profile", profile), ("collect[]", "cpu"), ("collect[]", "memory"), ("collect[]", "pids")];
        let page = parse(&text(&sink(), &snapshot, &query));
        let names: Vec<_> = page.iter().map(|((name, _), value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(names, [("container_threads", "0")], "{profile}");
    }
}

#[test]
fn filters_choose_families() {
    let (sink, snapshot) = (sink(), everything());
    let names = |query: &[(&str, &str)]| -> Vec<String> {
        let mut names: Vec<_> =
            parse(&text(&sink, &snapshot, query)).into_iter().map(|((name, _), _)| name).collect();
        names.dedup();
        names
    };
    for group in Group::ALL {
        let of_group = names(&[("collect[]", group.as_str())]);
        assert!(!of_group.is_empty(), "{group:?}");
        assert!(of_group.iter().all(|name| group_of(name) == Some(group)), "{group:?}: {of_group:?}");
    }
    let chosen = [
        ("name[]", "container_memory_rss"),
        ("name[]", "container_cpu_usage_seconds_total"),
        ("name[]", "container_network_receive_bytes"),
        ("name[]", "container_memory_rss"),
        ("name[]", "no_such_metric"),
        ("format", "anything"),
    ];
    assert_eq!(
        names(&chosen),
        [
            "container_cpu_usage_seconds_total",
            "container_memory_rss",
            "container_network_receive_bytes_total"
        ],
        "in the order of the catalogue; OpenMetrics' family name is one too"
    );
    assert_eq!(names(&[("name[]", "no_such_metric")]), Vec::<String>::new());
    let both = [("collect[]", "cpu"), ("name[]", "container_memory_rss")];
    assert_eq!(names(&both), Vec::<String>::new());
    let many: Vec<_> = (0..10_000).map(|_| ("name[]", "container_threads")).collect();
    assert_eq!(names(&many), ["container_threads"]);

    let empty = bytes(&sink, &snapshot, Some(OPEN_METRICS), &[("name[]", "no_such_metric")]);
    assert_eq!(String::from_utf8_lossy(&empty), "# EOF\n", "a page of nothing is a page");
}

#[test]
fn wrong_queries_are_told() {
    let (sink, snapshot) = (sink(), everything());
    let query = pairs(&[("collect[]", "disk")]);
    assert!(sink.groups(&query).is_err());
    assert!(sink.page(&snapshot, &PageRequest { accept: None, query: &query }).is_err());
}

#[test]
fn created_timestamps_tell_when_a_counter_was_zero() {
    let mut snapshot = Snapshot::clone(&everything());
    snapshot.watched_since = at(1_600_000_000);
    let mut unknown = container(4, State::Running);
    unknown.started_at = None;
    snapshot.containers.push(with(unknown, full_sample()));
    let page = decode(&bytes(&sink(), &Arc::new(snapshot), Some(PROTOBUF), &[]));
    let created = |name: &str, number: Option<usize>| {
        let id = number.map(|number| id(number)[..12].to_owned());
        let one = page
            .iter()
            .find(|one| one.series.0 == name && label(&one.series, "container_id") == id.as_deref())
            .unwrap_or_else(|| panic!("{name}"));
        one.created
    };
    assert_eq!(created("container_cpu_usage_seconds_total", Some(1)), Some(1_700_000_001), "the run's start");
    assert_eq!(created("container_network_receive_bytes_total", Some(1)), Some(1_700_000_001));
    assert_eq!(
        created("container_cpu_usage_seconds_total", Some(4)),
        None,
        "not first sight: a phantom rise"
    );
    assert_eq!(created("container_oom_events_total", Some(1)), Some(1_700_000_050), "first sight");
    assert_eq!(created("container_oom_events_total", Some(4)), Some(1_700_000_050));
    assert_eq!(created("host_containers_oom_kills_total", None), Some(1_600_000_000));
    assert_eq!(created("container_exporter_collections_total", None), Some(1_600_000_000));
    assert_eq!(created("host_pressure_cpu_waiting_seconds_total", None), None);
    assert_eq!(created("container_memory_usage_bytes", Some(1)), None, "no counter");
}

/// systemd's services, and a container that no engine runs.
#[test]
fn units_are_told_from_containers_by_their_labels() {
    let told = |id: &str, name: &str, unit: Option<&str>| {
        let mut told = Container::new(ContainerId::new(id), Engine::Kernel, State::Running);
        (told.name, told.cgroup, told.unit) = (Some(name.into()), Some(id.into()), unit.map(Into::into));
        told.slice = unit.map(|_| "system.slice".into());
        with(told, full_sample())
    };
    let ssh = told("/system.slice/ssh.service", "ssh.service", Some("ssh.service"));
    let snapshot = snapshot(vec![told("/default/web", "web", None), ssh]);
    let labels = |profile: &str| {
        let page = parse(&text(&sink(), &snapshot, &[("profile", profile)]));
        let threads = page.into_iter().filter(|((name, _), _)| name == "container_threads");
        threads.map(|((_, labels), _)| labels).collect::<Vec<_>>()
    };
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let unit = [("slice", "system.slice"), ("unit", "ssh.service")];
    let native = |id, name| [("container_id", id), ("container_name", name)];
    assert_eq!(
        labels("native"),
        [
            map(&native("/default/web", "web")),
            map(&[&native("/system.slice/ssh.service", "ssh.service")[..], &unit].concat()),
        ]
    );
    assert_eq!(
        labels("cadvisor"),
        [
            map(&[("id", "/default/web"), ("name", "web")]),
            map(&[&[("id", "/system.slice/ssh.service")][..], &unit].concat()),
        ]
    );
}

#[test]
fn labels_of_strangers_cost_no_page() {
    let mut options = Options::default();
    let keys = ["a.b", "a-b", "image", "device", "__name__", "pod", "huge", "quote", ""];
    options.on_series = keys.map(str::to_owned).into();
    let sink = PrometheusSink::new(options);
    let mut hostile = container(1, State::Running);
    hostile.name = Some("na\"me\\\n}".into());
    hostile.image = Some("\u{0}\u{feff}image{x=\"1\"} 1\n".into());
    hostile.pod = Some("the pod".into());
    for key in keys {
        hostile.labels.insert(key.to_owned(), format!("of {key}"));
    }
    hostile.labels.insert("quote".to_owned(), "\"\\\n".to_owned());
    hostile.labels.insert("huge".to_owned(), "x".repeat(1 << 20));
    hostile.labels.extend((0..10_000).map(|number| (format!("l{number}"), "v".to_owned())));
    hostile.labels.insert("com.docker.compose.project".to_owned(), "é".repeat(1 << 19));
    let snapshot =
        snapshot(vec![with(hostile, full_sample()), with(container(2, State::Running), full_sample())]);

    let page = parse(&text(&sink, &snapshot, &[]));
    let (info, _) = page.iter().find(|((name, _), _)| name == "container_info").expect("info");
    assert_eq!(label(info, "a_b"), Some("of a-b"), "the first in sorted order");
    assert_eq!(label(info, "container_name"), Some("na\"me\\\n}"));
    assert_eq!(label(info, "image"), Some("\u{0}\u{feff}image{x=\"1\"} 1\n"), "not the label of that name");
    assert_eq!(label(info, "device"), None, "rows have it");
    assert_eq!(label(info, "pod"), Some("of pod"), "asked for on every series");
    assert_eq!(label(info, "quote"), Some("\"\\\n"));
    assert_eq!(label(info, "huge").map(str::len), Some(256));
    assert_eq!(label(info, "compose_project").map(str::len), Some(256));
    assert!(
        page.iter().any(|(series, _)| label(series, "container_name") == Some("name2")),
        "the good one is there"
    );
    // a.b, image, device, __name__, the empty key, our pod, and two that are cut.
    assert_eq!(sink.labels_dropped(), 8);
    let dropped =
        page.iter().find(|((name, _), _)| name == "container_exporter_labels_dropped").expect("row");
    assert_eq!(dropped.1, "8");

    let page = parse(&text(&sink, &snapshot, &[("profile", "cadvisor")]));
    let (series, _) = page.iter().find(|((name, _), _)| name == "container_threads").expect("threads");
    let foreign = series.1.keys().filter(|name| name.starts_with("container_label_")).count();
    assert_eq!(foreign, 128);
    assert_eq!(label(series, "container_label_a_b"), Some("of a-b"));
    assert_eq!(label(series, "container_label_huge"), None, "dropped, not cut");
    assert!(sink.labels_dropped() > 9_000);
    assert_eq!(sink.refused(), 0);
}

#[test]
fn a_policy_that_reserves_nothing_loses_labels_not_identities() {
    let mut options = Options::default();
    options.on_series = vec!["image".to_owned()];
    options.native_labels.reserved.clear();
    let sink = PrometheusSink::new(options);
    let mut container = container(1, State::Running);
    container.labels.insert("image".to_owned(), "mine".to_owned());
    let page = parse(&text(&sink, &snapshot(vec![with(container, full_sample())]), &[("collect[]", "pids")]));
    assert_eq!(label(&page[0].0, "image"), Some("nginx:1.29"));
    assert_eq!(sink.labels_dropped(), 1);
}

#[test]
fn duplicates_are_refused_but_for_the_first() {
    // Two ids with the same first 12 digits, name and image.
    let mut first = container(1, State::Running);
    first.id = ContainerId::new(&format!("{}a", &id(1)[..63]));
    let mut second = container(1, State::Running);
    second.id = ContainerId::new(&format!("{}b", &id(1)[..63]));
    let mut sample = full_sample();
    // Two devices of one name.
    for minor in ["1", "2"] {
        sample.set_in(ids::FS_READS_BYTES, &["/dev/x", "8", minor], Reading::int(1));
        sample.set_in(ids::BLKIO_READ, &["/dev/x", "8", minor], Reading::int(1));
    }
    let snapshot = snapshot(vec![with(first, sample.clone()), with(second, sample.clone())]);
    let sink = sink();
    let count = |query: &[(&str, &str)]| parse(&text(&sink, &snapshot, query)).len();
    // One container, /dev/sda and /dev/x.
    assert_eq!(count(&[("name[]", "container_fs_reads_bytes_total")]), 2);
    assert_eq!(sink.refused(), 2, "a container and a device");
    assert_eq!(count(&[("name[]", "container_threads")]), 1, "with the kept blocks too");

    // Under cAdvisor's names the ids differ, and the devices are told apart by their numbers where these are shown.
    let cadvisor = ("profile", "cadvisor");
    assert_eq!(count(&[cadvisor, ("name[]", "container_fs_reads_bytes_total")]), 4);
    let blkio = count(&[cadvisor, ("name[]", "container_blkio_device_usage_total")]);
    assert_eq!(blkio, 2 * (2 + 2), "of each container: sda read and written, x:1 and x:2 read");
}

#[test]
fn a_table_has_a_bound() {
    let mut sample = Sample::absent(Absence::NotCollected);
    let width = catalogue::get().columns(Dimension::Interface).len();
    let table = sample.table_mut(Dimension::Interface);
    table.entries.extend((0..5_000).map(|number| Entry {
        labels: Arc::new([format!("veth{number}").into()]),
        cells: vec![Reading::int(1); width],
    }));
    let sink = sink();
    let snapshot = snapshot(vec![with(container(1, State::Running), sample)]);
    let page = parse(&text(&sink, &snapshot, &[("name[]", "container_network_receive_bytes_total")]));
    assert_eq!(page.len(), 64);
    assert_eq!(sink.refused(), 5_000 - 64);
}

/// Where no path is known, one is made of the id; a path that a late sample lacks stays.
#[test]
fn cgroup_paths_do_not_flicker() {
    let sink = sink();
    let web = Arc::new(container(1, State::Running));
    let ids = |cgroup: Option<&str>| -> BTreeSet<String> {
        let mut sample = full_sample();
        sample.cgroup = cgroup.map(Into::into);
        let mut one = with(Container::clone(&web), sample);
        one.container = Arc::clone(&web);
        let page =
            parse(&text(&sink, &snapshot(vec![one]), &[("profile", "cadvisor"), ("collect[]", "pids")]));
        page.iter().map(|(series, _)| label(series, "id").expect("an id").to_owned()).collect()
    };
    let path = "/system.slice/docker-1.scope";
    assert_eq!(ids(None), [format!("/docker/{}", id(1))].into());
    assert_eq!(ids(Some(path)), [path.to_owned()].into());
    assert_eq!(ids(None), [path.to_owned()].into());
    assert_eq!(ids(Some("/moved")), ["/moved".to_owned()].into());
}

/// A change of name, and only another `Arc` tells of it, is on the next page; what has gone is forgotten.
#[test]
fn kept_blocks_follow_changes() {
    let sink = sink();
    let names = |snapshot: &Arc<Snapshot>| -> Vec<String> {
        let page = parse(&text(&sink, snapshot, &[("collect[]", "pids"), ("name[]", "container_threads")]));
        page.iter().map(|(series, _)| label(series, "container_name").expect("a name").to_owned()).collect()
    };
    let one = |number| with(container(number, State::Running), full_sample());
    let before = snapshot(vec![one(1), one(2), one(4)]);
    assert_eq!(names(&before), ["name1", "name2", "name4"]);
    let gone = Arc::downgrade(&before.containers[1].container);
    let mut renamed = container(4, State::Running);
    renamed.name = Some("new".into());
    let after = snapshot(vec![before.containers[0].clone(), one(3), with(renamed, full_sample()), one(5)]);
    drop(before);
    assert_eq!(names(&after), ["name1", "name3", "new", "name5"]);
    assert!(gone.upgrade().is_none(), "what is not in the last snapshot is not kept");
}

/// What another profile kept goes too, once nobody has asked for it for a while.
#[test]
fn an_idle_profile_is_forgotten() {
    let sink = sink();
    let old = snapshot(vec![with(container(1, State::Running), full_sample())]);
    let kept = Arc::downgrade(&old.containers[0].container);
    text(&sink, &old, &[("profile", "cadvisor")]);
    drop(old);
    assert!(kept.upgrade().is_some());
    text(&sink, &Arc::new(Snapshot::empty(at(1_700_000_100 + 599))), &[]);
    assert!(kept.upgrade().is_some());
    text(&sink, &Arc::new(Snapshot::empty(at(1_700_000_100 + 601))), &[]);
    assert!(kept.upgrade().is_none());
}

#[test]
fn others_can_add_families() {
    let mut options = Options::default();
    options.extra = Some(Arc::new(|encoder, wanted| {
        for name in ["process_threads", "container_threads"] {
            if wanted.has(name) && encoder.family(&Family::new(name, "Threads.", Kind::Gauge)).is_ok() {
                encoder.sample(&[&LabelBlock::default()], Number::Integer(3), None);
            }
        }
    }));
    let sink = PrometheusSink::new(options);
    let snapshot = everything();
    let page = text(&sink, &snapshot, &[]);
    assert!(page.ends_with("# TYPE process_threads gauge\nprocess_threads 3\n"), "a taken name is refused");
    parse(&page);
    assert!(!text(&sink, &snapshot, &[("collect[]", "cpu")]).contains("process_threads"));
    assert_eq!(
        text(&sink, &snapshot, &[("name[]", "process_threads")]),
        "# HELP process_threads Threads.\n# TYPE process_threads gauge\nprocess_threads 3\n"
    );
}

/// 10,000 containers: the chunks stay small, and the page is whole.
#[test]
fn large_pages_come_in_small_chunks() {
    let sample = Arc::new(full_sample());
    let containers = (0..10_000).map(|number| {
        let mut one = with(container(number, State::Running), Sample::absent(Absence::NotCollected));
        one.sample = Arc::clone(&sample);
        one
    });
    let snapshot = snapshot(containers.collect());
    let sink = sink();
    let query = pairs(&[("collect[]", "network"), ("collect[]", "pids")]);
    let page = sink.page(&snapshot, &PageRequest { accept: None, query: &query }).expect("a page");
    let mut lines = 0;
    for chunk in page.chunks {
        assert!(chunk.len() <= 68 << 10, "{} bytes", chunk.len());
        assert_eq!(chunk.last(), Some(&b'\n'));
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(lines, 10 * (10_000 + 2));

    // Dropped half-way, it keeps nothing.
    let mut page = sink.page(&snapshot, &PageRequest { accept: None, query: &query }).expect("a page");
    assert!(page.chunks.next().is_some());
    drop(page);
    assert_eq!(Arc::strong_count(&snapshot), 1);
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        Just(Reading::Absent(Absence::NoKey)),
        Just(Reading::Max),
        any::<u64>().prop_map(Reading::int),
        any::<u64>().prop_map(|nanos| Reading::Value(Value::Nanos(nanos))),
        float().prop_map(|float| Reading::Value(Value::Float(float))),
    ]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0)]
}

/// What strangers may write into a name or a label.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{1,12}",
        any::<String>().prop_filter("no word", |word| !word.is_empty()),
        "[\\\\\"\n\r{},=# \\x00]{1,12}"
    ]
}

/// As a page writes it; what follows `NaN` in its bits is lost.
fn number(text: &str) -> u64 {
    let value = match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().expect("a number"),
    };
    bits(value)
}

fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever engines and the kernel say, text and OpenMetrics pages are legal and equal, and protobuf has as many
    /// series.
    #[test]
    fn any_snapshot_is_a_legal_page(
        names in prop::collection::vec(("\\PC{0,8}", any::<Option<String>>(), any::<Option<String>>()), 0..4),
        labels in prop::collection::btree_map(any::<String>(), any::<String>(), 0..6),
        devices in prop::collection::vec((any::<String>(), "[0-9]{0,2}", reading()), 0..4),
        readings in prop::collection::vec((any::<prop::sample::Index>(), reading()), 0..40),
    ) {
        let mut sample = Sample::absent(Absence::NotCollected);
        let rows: Vec<_> = catalogue::get().iter().map(|(id, _)| id).collect();
        for (index, reading) in readings {
            sample.set(*index.get(&rows), reading);
        }
        for (device, minor, reading) in devices {
            sample.set_in(ids::FS_READS_BYTES, &[&device, "8", &minor], reading);
            sample.set_in(ids::BLKIO_WRITE, &[&device, "8", &minor], reading);
        }
        let mut containers: Vec<_> = names.into_iter().map(|(id, name, image)| {
            let mut container = Container::new(ContainerId::new(&id), Engine::Podman, State::Running);
            container.name = name.map(Into::into);
            container.image = image.map(Into::into);
            container.labels = BTreeMap::clone(&labels);
            with(container, sample.clone())
        }).collect();
        containers.sort_by(|a, b| a.container.id.cmp(&b.container.id));
        let snapshot = snapshot(containers);
        let mut options = Options::default();
        options.on_series = labels.keys().cloned().collect();
        let sink = PrometheusSink::new(options);
        for profile in ["native", "cadvisor"] {
            let query = [("profile", profile)];
            let plain = parse(&text(&sink, &snapshot, &query));
            let open = String::from_utf8(bytes(&sink, &snapshot, Some(OPEN_METRICS), &query)).expect("UTF-8");
            prop_assert_eq!(&parse(&open), &plain);
            let binary = decode(&bytes(&sink, &snapshot, Some(PROTOBUF), &query));
            prop_assert_eq!(
                binary.into_iter().map(|one| (one.series, self::bits(one.value))).collect::<Vec<_>>(),
                plain.into_iter().map(|(series, value)| (series, number(&value))).collect::<Vec<_>>()
            );
        }
    }

    /// What engines and the kernel say stands on the page as they said it, in the snapshot's order, in every format.
    #[test]
    fn a_page_says_what_the_snapshot_says(
        all in prop::collection::vec((word(), word(), word(), float(), any::<u64>()), 1..5),
    ) {
        let containers = all.iter().enumerate().map(|(at, (name, image, device, percent, read))| {
            let mut one = container(at, State::Running);
            one.name = Some(name.as_str().into());
            one.image = Some(image.as_str().into());
            let mut sample = Sample::absent(Absence::NotCollected);
            sample.set(ids::CPU_USAGE_PERCENT, Reading::Value(Value::Float(*percent)));
            sample.set_in(ids::FS_READS_BYTES, &[device, "8", "0"], Reading::int(*read));
            with(one, sample)
        });
        let snapshot = snapshot(containers.collect());
        let sink = sink();
        let lines = |name: &'static str| all.iter().enumerate().map(move |(at, said)| {
            let mut labels = BTreeMap::from([
                ("container_id".to_owned(), id(at)[..12].to_owned()),
                ("container_name".to_owned(), said.0.clone()),
                ("image".to_owned(), said.1.clone()),
            ]);
            let value = if name == "container_cpu_usage_percent" {
                said.3
            } else {
                labels.insert("device".to_owned(), said.2.clone());
                said.4 as f64
            };
            ((name.to_owned(), labels), self::bits(value))
        }).collect::<Vec<_>>();
        for name in ["container_cpu_usage_percent", "container_fs_reads_bytes_total"] {
            let query = [("name[]", name)];
            for accept in [None, Some(OPEN_METRICS)] {
                let page = String::from_utf8(bytes(&sink, &snapshot, accept, &query)).expect("UTF-8");
                let found: Vec<_> = parse(&page).into_iter().map(|(series, value)| (series, number(&value))).collect();
                prop_assert_eq!(found, lines(name));
            }
            let binary = decode(&bytes(&sink, &snapshot, Some(PROTOBUF), &query));
            let found: Vec<_> = binary.into_iter().map(|one| (one.series, self::bits(one.value))).collect();
            prop_assert_eq!(found, lines(name));
        }
    }
}

/// Readings are taken ahead for label sets that are few; each container's own set must come to the same page.
#[test]
fn every_container_may_have_interfaces_of_its_own() {
    let containers = 200_usize;
    let one = |number: usize| {
        let mut sample = full_sample();
        sample.set_in(ids::NETWORK_RECEIVE_BYTES, &["eth0"], Reading::int(number as u64));
        let own = format!("veth{number}");
        sample.set_in(ids::NETWORK_RECEIVE_BYTES, &[&own], Reading::int(1_000_000 + number as u64));
        with(container(number, State::Running), sample)
    };
    let page = text(&sink(), &snapshot((0..containers).map(one).collect()), &[("collect[]", "network")]);
    let mut seen = 0;
    for (series, value) in parse(&page) {
        if series.0 != "container_network_receive_bytes_total" {
            continue;
        }
        let number = label(&series, "container_name").and_then(|name| name.strip_prefix("name"));
        let number: u64 = number.and_then(|number| number.parse().ok()).expect("the container's number");
        let interface = label(&series, "interface").expect("an interface");
        if interface == "eth0" {
            assert_eq!(value, number.to_string());
            seen += 1;
        } else if let Some(own) = interface.strip_prefix("veth") {
            assert_eq!(own, number.to_string());
            assert_eq!(value, (1_000_000 + number).to_string());
            seen += 1;
        }
    }
    assert_eq!(seen, 2 * containers);
}

/// What the budget of series left out of a group has none of it, on whatever page, and everything else.
#[test]
fn what_is_left_out_of_a_group_has_no_series_of_it() {
    let whole = everything();
    for group in [Group::State, Group::Memory, Group::Network] {
        let mut snapshot = Snapshot::clone(&whole);
        snapshot.containers[0].left_out = Groups::NONE.with(group);
        let snapshot = Arc::new(snapshot);
        for profile in ["native", "cadvisor"] {
            let query = [("profile", profile)];
            let [before, after] = [&whole, &snapshot].map(|snapshot| parse(&text(&sink(), snapshot, &query)));
            let is_of_first = |series: &Series| {
                let id = label(series, "container_id").or(label(series, "name"));
                id == label(&before[0].0, "container_id").or(label(&before[0].0, "name"))
            };
            let expected: Vec<_> = before
                .iter()
                .filter(|(series, _)| !(is_of_first(series) && group_of(&series.0) == Some(group)))
                .cloned()
                .collect();
            assert!(expected.len() < before.len(), "{group:?} {profile}");
            assert_eq!(after, expected, "{group:?} {profile}");
        }
    }
}
