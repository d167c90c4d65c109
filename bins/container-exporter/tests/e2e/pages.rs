//! Pages as their readers have them: a real Prometheus in each format, promtool, and those who ask for a part.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::harness::{Container, Exporter, Page, Scope, await_until, is_tried_here, skip, tells_time};
use crate::holdings::has_answers;
use crate::prometheus::{Format, Prometheus};

/// What promtool may object to: names that S0's, S1's and cAdvisor's users have in their queries.
const LINTS: &str = include_str!("promtool-lints.txt");

/// Containers of each kind: with a network, a limit, a health check, awkward labels; and one that has ended.
fn containers(scope: &Scope) -> Vec<Container<'_>> {
    let check = ["-m", "64m", "--cpus", "0.5", "--health-cmd", "true", "--health-interval", "1s"];
    let labels = ["--label", "a.b=1", "--label", "a-b=2", "--label", "q=a \"b\" \\ \n# EOF"];
    let options = [&["--network", "bridge"][..], &check, &labels].concat();
    let ended = scope.run("ended", &[], "exit 3");
    scope.cli(&["wait", &ended.id]);
    vec![scope.sleeper("whole", &options), scope.sleeper("plain", &[]), ended]
}

/// The series of a page that one scrape has and the next has too: not those that come with what happens meanwhile.
fn names(page: &Page) -> BTreeSet<String> {
    page.lines.iter().map(|line| line.name.clone()).collect()
}

fn target(profile: &str) -> String {
    format!("/metrics?profile={profile}")
}

/// Waits until all that will be on the page of [`containers`] is there.
#[track_caller]
fn await_all(exporter: &Exporter) {
    // A percentage needs two readings, and a walk through a layer its time.
    exporter.await_page("all that will be there is there", |page| {
        let twice = ["container_cpu_usage_percent", "container_fs_usage_bytes"];
        let all = twice.iter().all(|name| page.all(name, &[]).len() == 2);
        // An engine says what it is and what it holds after its list.
        let is_known = !page.all("container_exporter_engine_info", &[]).is_empty();
        (all && is_known && has_answers(page)).then_some(())
    });
}

#[test]
fn a_real_prometheus_reads_both_profiles_in_each_format() {
    let Some(scope) = Scope::new("formats") else { return };
    if !is_tried_here("a real Prometheus that reads each format of each profile") {
        return;
    }
    let _containers = containers(&scope);
    let exporter = scope.exporter().all_groups().start();
    await_all(&exporter);
    for profile in ["native", "cadvisor"] {
        let expected = names(&exporter.scrape_at(&target(profile)));
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            let Some(prometheus) = Prometheus::of_format(exporter.address, profile, format) else { return };
            let what = format!("{profile} as {format:?}");
            let seen = await_until(&format!("{what} is scraped"), || {
                let seen = prometheus.names();
                (seen.contains("up")).then_some(seen)
            });
            let scraped = prometheus.target();
            assert_eq!((&scraped["health"], &scraped["lastError"]), (&"up".into(), &"".into()), "{what}");
            assert_eq!(prometheus.content_type().as_deref(), Some(format.content_type()), "{what}");
            let added = ["up", "scrape_"];
            let seen: BTreeSet<String> =
                seen.into_iter().filter(|name| !added.iter().any(|own| name.starts_with(own))).collect();
            assert_eq!(seen, expected, "{what}");
            let warnings = prometheus.warnings();
            assert!(warnings.is_empty(), "{what}: {warnings:#?}");
        }
    }
}

#[test]
fn promtool_objects_to_names_only_that_others_fixed() {
    let Some(scope) = Scope::new("promtool") else { return };
    if !is_tried_here("what promtool objects to") {
        return;
    }
    let _containers = containers(&scope);
    let exporter = scope.exporter().all_groups().start();
    let allowed: BTreeSet<&str> = LINTS.lines().collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for profile in ["native", "cadvisor"] {
        let page = exporter.get(&target(profile), &[]);
        let child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else { return skip("there is no promtool on PATH").unwrap_or(()) };
        child.stdin.take().expect("piped").write_all(&page.body).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        seen.extend(said.lines().map(str::to_owned));
    }
    let seen: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, allowed, "tests/e2e/promtool-lints.txt lists them all, and no others");
}

#[test]
fn a_page_is_well_formed_and_its_order_stays() {
    let Some(scope) = Scope::new("order") else { return };
    let _containers = containers(&scope);
    let exporter = scope.exporter().all_groups().start();
    await_all(&exporter);
    for profile in ["native", "cadvisor"] {
        let text = |_| exporter.get(&target(profile), &[]).text().to_owned();
        let [first, second] = [0, 1].map(text);
        let (mut helps, mut types) = (BTreeMap::new(), BTreeMap::new());
        for line in first.lines() {
            for (prefix, counts) in [("# HELP ", &mut helps), ("# TYPE ", &mut types)] {
                if let Some(name) = line.strip_prefix(prefix).and_then(|rest| rest.split(' ').next()) {
                    *counts.entry(name.to_owned()).or_insert(0) += 1;
                }
            }
        }
        assert!(helps.values().chain(types.values()).all(|count| *count == 1), "once per family");
        assert_eq!(helps, types);
        let page = Page::parse(&first);
        for name in names(&page) {
            assert!(types.contains_key(&name), "{name} has no type");
        }
        let mut series = BTreeSet::new();
        for line in &page.lines {
            assert!(series.insert((&line.name, &line.labels)), "twice: {line:?}");
        }
        type Line = (String, BTreeMap<String, String>);
        let order = |text: &str| -> Vec<Line> {
            Page::parse(text).lines.into_iter().map(|line| (line.name, line.labels)).collect()
        };
        let (first, second) = (order(&first), order(&second));
        let lacks = |page: &[Line], other: &[Line]| -> Vec<Line> {
            other.iter().filter(|line| !page.contains(line)).cloned().collect()
        };
        assert!(
            first == second,
            "{profile}: the first lacks {:?}, the second {:?}, or others changed places",
            lacks(&first, &second),
            lacks(&second, &first)
        );
    }
}

#[test]
fn a_part_of_a_page_can_be_asked_for() {
    if !is_tried_here("parts of a page") {
        return;
    }
    let Some(scope) = Scope::new("parts") else { return };
    let _containers = containers(&scope);
    let exporter = scope.exporter().all_groups().start();
    await_all(&exporter);
    let whole = names(&exporter.scrape());
    let cpu = names(&exporter.scrape_at("/metrics?collect[]=cpu"));
    assert!(cpu.contains("container_cpu_usage_seconds_total") && !cpu.contains("container_memory_rss"));
    assert!(cpu.is_subset(&whole));
    let two = names(&exporter.scrape_at("/metrics?collect%5B%5D=cpu&collect%5B%5D=memory"));
    assert!(two.is_superset(&cpu) && two.contains("container_memory_rss") && !two.contains("container_info"));
    let asked =
        "/metrics?name[]=container_threads&name[]=process_open_fds&name[]=container_cpu_usage_seconds_total";
    let expected = ["container_cpu_usage_seconds_total", "container_threads", "process_open_fds"];
    assert_eq!(names(&exporter.scrape_at(asked)), expected.map(str::to_owned).into());
    for (query, part) in [
        ("collect[]=flux", "unknown group \"flux\" in collect[]: ask for state, cpu, "),
        ("profile=cadviser", "unknown profile \"cadviser\": ask for native, cadvisor"),
    ] {
        let answer = exporter.get(&format!("/metrics?{query}"), &[]);
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.text().contains(part), "{}", answer.text());
    }
}

/// A value under cAdvisor's names.
#[track_caller]
fn of(page: &Page, name: &str, container: &Container<'_>) -> Option<f64> {
    page.value(name, &[("name", &container.name)])
}

#[track_caller]
fn await_cadvisor(exporter: &Exporter, container: &Container<'_>) -> Page {
    await_until("it is on the page for cAdvisor's users", || {
        let page = exporter.scrape_at("/metrics?profile=cadvisor");
        of(&page, "container_cpu_usage_seconds_total", container).map(|_| page)
    })
}

/// What cAdvisor's own black-box tests ask of it.
#[test]
fn the_cadvisor_profile_passes_cadvisors_own_checks() {
    let Some(scope) = Scope::new("cadvisor") else { return };
    let exporter = scope.exporter().all_groups().start();
    let begun = std::time::SystemTime::now();
    let options = ["-m", "128m", "--network", "bridge", "--label", "com.example.team=core"];
    let container = scope.run("busy", &options, "while :; do :; done");
    let page = await_cadvisor(&exporter, &container);
    let visible = std::time::SystemTime::now();
    if tells_time("that a container is visible within 10 s") {
        assert!(begun.elapsed().is_ok_and(|time| time.as_secs() < 10), "visible within 10 s");
    }
    let used = await_until("the busy loop uses CPU", || {
        let page = exporter.scrape_at("/metrics?profile=cadvisor");
        of(&page, "container_cpu_usage_seconds_total", &container).filter(|used| *used > 0.0)
    });
    assert!(used > 0.0);
    assert_eq!(of(&page, "container_spec_memory_limit_bytes", &container), Some(134_217_728.0));
    let line = page.all("container_start_time_seconds", &[("name", &container.name)])[0];
    let [begun, visible] = [begun, visible]
        .map(|at| at.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64());
    assert!((begun..=visible).contains(&line.value), "{} is not in {begun}..={visible}", line.value);
    assert_eq!(
        (line.label("image"), line.label("container_label_com_example_team")),
        ("busybox:local", "core")
    );
    // systemd's driver calls it `docker-<id>.scope`.
    let kernel = container.kernel();
    let directory = kernel.directory("memory").expect("it has a cgroup");
    assert!(line.label("id").contains(&container.id), "its cgroup's path: {}", line.label("id"));
    assert!(directory.ends_with(line.label("id").trim_start_matches('/')), "{directory:?}");
    let cpu = page.all("container_cpu_usage_seconds_total", &[("name", &container.name)]);
    assert_eq!(cpu[0].label("cpu"), "total");
    for (name, label) in
        [("container_network_receive_bytes_total", "interface"), ("container_fs_limit_bytes", "device")]
    {
        let lines = page.all(name, &[("name", &container.name)]);
        assert!(
            !lines.is_empty() && lines.iter().all(|line| !line.label(label).is_empty()),
            "{name}: {lines:?}"
        );
    }
    assert!(
        page.value("container_memory_working_set_bytes", &[("id", "/")]) > Some(0.0),
        "the root is there"
    );
    assert_eq!(page.expect("machine_cpu_cores", &[]), page.expect("machine_cpu_cores", &[]));
    for (name, kind) in [
        ("container_cpu_usage_seconds_total", "counter"),
        ("container_memory_usage_bytes", "gauge"),
        ("container_last_seen", "gauge"),
        ("container_network_receive_bytes_total", "counter"),
    ] {
        assert_eq!(page.types[name], kind, "{name}");
    }
    // With a limit on memory and swap of the same size, cgroup v1 would count at the other of its two files.
    let limited = scope.sleeper("oom", &["-m", "32m"]);
    await_cadvisor(&exporter, &limited);
    limited.exec("dd if=/dev/zero of=/dev/null bs=96M count=1");
    await_until("an OOM kill raises container_memory_events_max_total", || {
        let page = exporter.scrape_at("/metrics?profile=cadvisor");
        of(&page, "container_memory_events_max_total", &limited).filter(|events| *events > 0.0)
    });
}
