//! The command line, as a person or a script uses it, on real containers and on simulated ones.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Page, Scope, Setup, is_tried_here, program, say, tells_time};

/// Exit code, stdout and stderr.
type Said = (Option<i32>, String, String);

fn run(words: &[&str], environment: &[(&str, &str)]) -> Said {
    let mut command = Command::new(program());
    command.env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    let output = command.args(words).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Runs what has to succeed, with nothing on stderr; its stdout.
#[track_caller]
fn succeed(words: &[&str], environment: &[(&str, &str)]) -> String {
    let (code, out, err) = run(words, environment);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{words:?}: {out}");
    out
}

/// What `once` is started with to see one test's containers only.
fn once_environment(scope: &Scope) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("DOCKER_HOST", scope.host().to_owned()),
        ("CONTAINER_EXPORTER__PODMAN__ENABLED", "false".to_owned()),
        ("CONTAINER_EXPORTER__CONTAINERS__INCLUDE", format!("name={}", scope.name("*"))),
    ])
}

#[test]
fn once_shows_real_containers_in_three_forms() {
    let Some(scope) = Scope::new("once") else { return };
    let busy =
        scope.run("busy", &["-m", "64m", "--cpus", "0.5", "--pids-limit", "50"], "while :; do :; done");
    let stopped = scope.run("stopped", &[], "exit 4");
    scope.cli(&["wait", &stopped.id]);
    let environment = once_environment(&scope);
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();

    let begun = Instant::now();
    let table = succeed(&["once"], &environment);
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1), "a percentage takes two readings: {took:?}");
    if tells_time("that `once` takes about a second") {
        assert!(took < Duration::from_secs(3), "about 1.1 s on an idle machine: {took:?}");
    }
    let rows: Vec<Vec<String>> = table
        .lines()
        .map(|line| {
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
        })
        .collect();
    assert_eq!(rows.len(), 3, "{table}");
    let cell = |row: usize, heading: &str| -> &str {
        let column =
            rows[0].iter().position(|cell| cell == heading).unwrap_or_else(|| panic!("{heading}: {table}"));
        &rows[row][column]
    };
    assert_eq!((cell(1, "NAME"), cell(1, "ID"), cell(1, "STATE")), (&*busy.name, busy.short_id(), "running"));
    let percent: f64 = cell(1, "CPU %").trim_end_matches('%').parse().expect("a percentage");
    // How near to the kernel is asked elsewhere; here the machine may have no half core to give.
    let most =
        if tells_time("that half a core is half a core at most, over one second") { 60.0 } else { 200.0 };
    assert!((1.0..most).contains(&percent), "half a core at most: {table}");
    assert_eq!(cell(1, "CPUS"), "0.50");
    assert!(cell(1, "MEM USAGE / LIMIT").ends_with(" / 64.00MiB"), "{table}");
    assert_eq!((cell(1, "PIDS"), cell(1, "PIDS MAX")), ("1", "50"));
    assert_eq!((cell(2, "NAME"), cell(2, "STATE"), cell(2, "CPU %")), (&*stopped.name, "exited", "--"));

    let json: serde_json::Value =
        serde_json::from_str(&succeed(&["once", "--format", "json"], &environment)).expect("JSON");
    let containers = json["containers"].as_array().expect("a list");
    let of = |id: &str| containers.iter().find(|one| one["id"] == id).expect("it is there");
    let (busy_json, stopped_json) = (of(&busy.id), of(&stopped.id));
    assert_eq!((&busy_json["state"], &stopped_json["exit_code"]), (&"running".into(), &4.into()));
    assert_eq!(busy_json["metrics"]["container_spec_memory_limit_bytes"], 67_108_864);
    let percent = busy_json["metrics"]["container_cpu_usage_percent"].as_f64().expect("it was read twice");
    assert!((1.0..most).contains(&percent), "{percent}");
    assert!(stopped_json["metrics"].get("container_cpu_usage_percent").is_none());

    for profile in ["native", "cadvisor"] {
        let page =
            Page::parse(&succeed(&["once", "--format=prometheus", "--profile", profile], &environment));
        let label = if profile == "native" { "container_name" } else { "name" };
        assert_eq!(page.expect("container_spec_memory_limit_bytes", &[(label, &busy.name)]), 67_108_864.0);
    }
}

#[test]
fn the_catalogue_is_printed_in_three_forms() {
    if !is_tried_here("the printed catalogue") {
        return;
    }
    let table = succeed(&["metrics"], &[]);
    assert!(table.contains("container_cpu_usage_seconds_total"), "{table}");
    let markdown = succeed(&["metrics", "--format", "markdown"], &[]);
    // Taken in at compile time: the test program runs on hosts that have no source tree.
    assert_eq!(markdown, include_str!("../../../../docs/metrics.md"), "docs/metrics.md is stale");
    let json: serde_json::Value =
        serde_json::from_str(&succeed(&["metrics", "--format", "json"], &[])).expect("JSON");
    let rows = json.as_array().or_else(|| json["metrics"].as_array()).expect("a list");
    assert!(rows.len() > 50, "{} rows", rows.len());
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_on_stderr() {
    if !is_tried_here("what is wrong with a configuration") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.toml");
    std::fs::write(&path, "[server]\nlisen = \":9100\"\n").expect("it can be written");
    let file = path.to_str().expect("UTF-8");
    for command in [&["run"][..], &["once"], &["config", "check"], &[]] {
        let (code, out, err) = run(&[command, &["--config", file]].concat(), &[]);
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(2), "", 1), "{err}");
        for part in ["error: ", &format!("{file}:2"), "lisen", "server.listen"] {
            assert!(err.contains(part), "{part} is missing: {err}");
        }
    }
    let nonsense = [("CONTAINER_EXPORTER__CONTAINERS__INCLUDE", "nmae=web")];
    let (code, _, err) = run(&["config", "check"], &nonsense);
    assert_eq!(code, Some(2));
    assert!(err.contains("unknown subject `nmae`; write name=GLOB"), "{err}");
    assert!(err.contains("`CONTAINER_EXPORTER__CONTAINERS__INCLUDE=ITEM,ITEM`"), "{err}");
    assert_eq!(succeed(&["config", "check"], &[]), "the configuration is right\n");
}

#[test]
fn a_busy_port_is_one_clear_sentence() {
    if !is_tried_here("a busy port") {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let (code, out, err) = run(&["--source", "sim:1", "--listen", &address], &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let port = address.rsplit(':').next().expect("a port");
    let expected = format!(
        "error: failed to listen on {address}: port {port} is in use; stop the process that has it or choose another \
         port (the address is from --listen)\n"
    );
    assert_eq!(err, expected);
}

#[test]
fn health_asks_a_running_exporter() {
    let exporter = Setup::new().arg("--source=sim:3").start();
    let url = format!("http://{}/health", exporter.address);
    assert!(succeed(&["health", "--url", &url], &[]).contains("\"status\":\"ok\""));
    // A HEALTHCHECK has the exporter's own configuration, and no URL.
    let listen = [("CONTAINER_EXPORTER__SERVER__LISTEN", exporter.address.to_string())];
    succeed(&["health"], &listen.each_ref().map(|(name, value)| (*name, value.as_str())));
    drop(exporter);
    let (code, out, err) = run(&["health", "--url", &url], &[]);
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{err}");
    assert!(err.starts_with(&format!("error: failed to ask {url}: ")), "{err}");
}

#[test]
fn doctor_examines_the_host() {
    let Some(scope) = Scope::new("doctor") else { return };
    let (code, out, err) = run(&["doctor", "--listen", "127.0.0.1:0"], &[("DOCKER_HOST", scope.host())]);
    assert!(matches!(code, Some(0 | 1)), "{code:?}: {err}");
    for subject in ["docker", "cgroups", "controllers", "pressure", "listen"] {
        assert!(out.lines().any(|line| line.split_whitespace().nth(1) == Some(subject)), "{subject}: {out}");
    }
    let engine = out.lines().find(|line| line.split_whitespace().nth(1) == Some("docker")).expect("seen");
    assert!(engine.starts_with("ok") && engine.contains("API"), "{engine}");
    let finding = |subject: &str| {
        let line =
            out.lines().find(|line| line.split_whitespace().nth(1) == Some(subject)).expect("seen above");
        let words: Vec<&str> = line.split_whitespace().skip(2).take_while(|word| *word != "at").collect();
        words.join(" ").trim_end_matches(',').to_owned()
    };
    // For docs/compatibility.md.
    say(&format!("host: Docker {}, cgroup {}", finding("docker"), finding("cgroups")));
    let nowhere = [("DOCKER_HOST", "unix:///nonexistent/docker.sock")];
    let (_, out, _) = run(&["doctor", "--listen", "127.0.0.1:0"], &nowhere);
    let engine =
        out.lines().find(|line| line.contains("/nonexistent/docker.sock")).unwrap_or_else(|| panic!("{out}"));
    assert!(!engine.starts_with("ok"), "{engine}");
    assert!(out.contains("fix: "), "{out}");
}

#[test]
fn simulated_containers_move() {
    if !is_tried_here("simulated containers") {
        return;
    }
    let exporter = Setup::new().arg("--source=sim:100").start();
    let first = exporter.scrape();
    let running = first.expect("container_count", &[("state", "running")]);
    let total: f64 = first.all("container_count", &[]).iter().map(|line| line.value).sum();
    assert!((90.0..=110.0).contains(&total) && running > 50.0, "{running} of {total} run");
    std::thread::sleep(Duration::from_millis(1100));
    let second = exporter.scrape();
    let used = "container_cpu_usage_seconds_total";
    let moved = first
        .all(used, &[])
        .into_iter()
        .filter(|line| second.of(used, line.label("container_name")).is_some_and(|now| now > line.value));
    assert!(moved.count() > 50, "most of them use CPU");
    let log = exporter.log();
    assert_eq!(log.lines().count(), 3, "what it is, what it found, where it serves: {log}");
}

#[test]
fn the_configuration_of_container_monitoring_serves() {
    if !is_tried_here("the configuration of a predecessor") {
        return;
    }
    let text = include_str!("../config/s0.toml");
    let Some(scope) = Scope::new("s0") else { return };
    let Some(socket) = scope.socket() else { return };
    let container = scope.sleeper("one", &["--network", "bridge"]);
    let text = text.replace("/var/run/docker.sock", socket);
    let exporter = Setup::new().whole_config(&text).start();
    let page = exporter.await_container(&container.name);
    for (name, labels) in [
        ("container_cpu_usage_percent", &[][..]),
        ("container_memory_usage_bytes", &[]),
        ("container_memory_limit_bytes", &[]),
        ("container_memory_usage_percent", &[]),
        ("container_network_receive_bytes_total", &["interface"]),
        ("container_network_transmit_bytes_total", &["interface"]),
    ] {
        let line = exporter.await_page(name, |page| {
            page.all(name, &[("container_name", &container.name)]).first().map(|line| (*line).clone())
        });
        let mut expected = vec!["container_id", "container_name", "image"];
        expected.extend(labels);
        assert_eq!(line.labels.keys().map(String::as_str).collect::<Vec<_>>(), expected, "{name}");
        assert_eq!(line.label("image"), "busybox:local");
    }
    assert!(page.expect("container_count", &[("state", "running")]) >= 1.0);
    assert!(exporter.log().contains("sending metrics to http://otel-collector:4317 by grpc"));
}
