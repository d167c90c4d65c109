//! The built program's command line: what it prints where, and its exit codes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The program in an empty environment.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_container-exporter"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "config", name].iter().collect()
}

fn run(words: &str) -> Output {
    program().args(words.split_whitespace()).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Runs and expects an exit code; gives stdout and stderr.
#[track_caller]
fn expect(command: &mut Command, code: i32) -> (String, String) {
    let output = command.output().expect("the program starts");
    let (out, err) = (text(&output.stdout).to_owned(), text(&output.stderr).to_owned());
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    (out, err)
}

#[test]
fn show_prints_values_and_where_they_came_from() {
    let s0 = fixture("s0.toml");
    let (out, err) = expect(
        program()
            .args(["config", "show", "-b", ":9100", "--config"])
            .arg(&s0)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hidden")
            .env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=hidden")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:hidden@c:4318/x?token=hidden")
            .env("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://hidden@c:4318")
            .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c:4318/x?token=hidden")
            .env("CONTAINER_EXPORTER__LOGGING__FORMAT", "json"),
        0,
    );
    let line = |key: &str| {
        let line = out.lines().find(|line| line.trim_start_matches("# ").starts_with(key)).expect("a line");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let s0 = s0.display();
    assert_eq!(line("server.listen"), "server.listen = \"0.0.0.0:9100\" # --listen");
    assert_eq!(
        line("docker.socket_path"),
        format!("docker.socket_path = \"/var/run/docker.sock\" # {s0}:12")
    );
    assert_eq!(line("logging.format"), "logging.format = \"json\" # CONTAINER_EXPORTER__LOGGING__FORMAT");
    assert_eq!(
        line("otlp.headers"),
        "otlp.headers = { \"authorization\" = \"****\" } # OTEL_EXPORTER_OTLP_HEADERS"
    );
    assert_eq!(line("labels.max_value_bytes"), "labels.max_value_bytes = 256 # default");
    assert_eq!(line("limits.fds"), "# limits.fds # not set");
    assert!(!err.contains("telemetry"), "{err}");
    assert_eq!(
        line("otlp.endpoint"),
        "otlp.endpoint = \"https://****@c:4318/x?****\" # OTEL_EXPORTER_OTLP_ENDPOINT"
    );
    assert!(!out.contains("hidden") && !err.contains("hidden"), "{out}{err}");
}

#[test]
fn check_accepts_the_fixtures_that_are_right() {
    for name in ["s0.toml", "all.toml", "../../default-config.toml"] {
        let (out, _) = expect(program().args(["config", "check", "--config"]).arg(fixture(name)), 0);
        assert_eq!(out, "the configuration is right\n", "{name}");
    }
}

#[test]
fn configuration_errors_go_to_stderr_with_exit_code_2() {
    for command in ["config check", "config show", "run", "once", "metrics", "health", "doctor", ""] {
        let (out, err) =
            expect(program().args(command.split_whitespace()).arg("--config").arg(fixture("wrong.toml")), 2);
        assert_eq!(out, "", "{command}");
        assert_eq!(err.lines().count(), 12, "{err}");
        assert!(err.lines().all(|line| line.starts_with("error: ")), "{err}");
    }
    let (_, err) = expect(program().args(["config", "check", "--config", "/nonexistent.toml"]), 2);
    assert!(err.starts_with("error: --config: failed to read /nonexistent.toml: "), "{err}");
}

#[test]
fn usage_errors_have_exit_code_2() {
    for words in ["--nonsense", "nonsense", "config", "once --format xml", "--listen", "run --config"] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{words}");
    }
    let (_, err) = expect(program().args(["config", "check", "--source", "sim:10001"]), 2);
    assert!(err.starts_with("error: --source: `general.source` expects "), "{err}");
    let not_utf8 = OsString::from_vec(vec![0xff]);
    expect(program().args(["config", "check", "--listen"]).arg(not_utf8), 2);
}

#[test]
fn a_service_link_of_kubernetes_does_not_stop_the_start() {
    let mut command = program();
    command.args(["config", "check"]).env("CONTAINER_EXPORTER_PORT", "tcp://10.0.0.1:8080");
    let (_, err) = expect(&mut command, 0);
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.starts_with("warning: ignored CONTAINER_EXPORTER_PORT; "), "{err}");
}

#[test]
fn default_and_docs_need_no_configuration() {
    let broken = fixture("wrong.toml");
    let (out, _) = expect(program().args(["config", "default", "--config"]).arg(&broken), 0);
    assert_eq!(out, include_str!("../default-config.toml"));
    let (out, _) = expect(program().args(["config", "docs", "--config"]).arg(&broken), 0);
    assert!(out.starts_with("# Configuration\n"));
    let (help, _) = expect(program().args(["config", "--help"]), 0);
    assert!(help.contains("show") && help.contains("check") && !help.contains("docs"), "{help}");
}

#[test]
fn version_and_help() {
    let (out, _) = expect(program().arg("--version"), 0);
    assert!(out.starts_with(concat!("container-exporter ", env!("CARGO_PKG_VERSION"))), "{out}");
    let (out, _) = expect(program().arg("--help"), 0);
    for word in ["run", "once", "metrics", "config", "health", "doctor", "--web.listen-address", "--bind"] {
        assert!(out.contains(word), "{word}");
    }
}

/// As in `container-exporter config docs | head -1`.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = program()
        .args(["config", "docs"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let mut stdout = BufReader::with_capacity(16, child.stdout.take().expect("piped"));
    stdout.read_line(&mut line).expect("a line");
    drop(stdout);
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    // Also where nobody was there from the start.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = program().args(["config", "show"]).stdout(writer).status().expect("the program starts");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_full_disk_is_told() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let (_, err) = expect(program().args(["config", "show"]).stdout(full), 1);
    assert!(err.starts_with("error: failed to write to stdout: "), "{err}");
}

/// How many series a page has of each container in each group of the catalogue, and how many it says it left out.
fn series_by_group(page: &str, profile: &str) -> BTreeMap<(String, String), u64> {
    let (catalogue, _) = expect(program().args(["metrics", "--format", "json"]), 0);
    let rows: serde_json::Value = serde_json::from_str(&catalogue).expect("JSON");
    let name = if profile == "cadvisor" { "cadvisor" } else { "name" };
    let named = rows.as_array().into_iter().flatten();
    let groups: BTreeMap<&str, &str> =
        named.filter_map(|row| Some((row[name].as_str()?, row["group"].as_str()?))).collect();
    let id = if profile == "cadvisor" { "{id=\"" } else { "{container_id=\"" };
    let mut found = BTreeMap::new();
    for (family, labels) in page.lines().filter_map(|line| line.split_once(id)) {
        let (Some(group), Some((container, _))) = (groups.get(family), labels.split_once('"')) else {
            continue;
        };
        *found.entry(((*group).to_owned(), container.to_owned())).or_default() += 1;
    }
    found
}

#[test]
fn no_group_has_more_series_than_its_budget_and_containers_are_left_out_whole() {
    const MOST: u64 = 500;
    for profile in ["native", "cadvisor"] {
        let once = |most: u64| {
            let mut command = program();
            command.args(["once", "--format", "prometheus", "--source", "sim:60", "--profile", profile]);
            command.env("CONTAINER_EXPORTER__METRICS__GROUPS", "all");
            command.env("CONTAINER_EXPORTER__METRICS__SERIES_PER_GROUP", most.to_string());
            let (page, log) = expect(&mut command, 0);
            (series_by_group(&page, profile), page, log)
        };
        let ((whole, ..), (bounded, page, log)) = (once(1_000_000), once(MOST));
        let (mut cut, mut kept) = (0, 0);
        for group in whole.keys().map(|(group, _)| group).collect::<BTreeSet<_>>() {
            let of = |found: &BTreeMap<(String, String), u64>| -> BTreeMap<String, u64> {
                let of_group = found.iter().filter(|((other, _), _)| other == group);
                // The root cgroup is one, and beside the budget.
                let containers = of_group.filter(|((_, id), _)| id != "/");
                containers.map(|((_, id), series)| (id.clone(), *series)).collect()
            };
            let (before, after) = (of(&whole), of(&bounded));
            assert!(after.values().sum::<u64>() <= MOST, "{profile} {group}: {after:?}");
            for (id, series) in &after {
                assert_eq!(before.get(id), Some(series), "{profile} {group}: all of it or nothing");
            }
            let left_out =
                format!("container_exporter_metric_absent{{group=\"{group}\",reason=\"over_budget\"}} ");
            let told = page.lines().find_map(|line| line.strip_prefix(&left_out)).unwrap_or("0");
            let missing = (before.len() - after.len()) as u64;
            assert!(
                told.parse::<u64>().is_ok_and(|told| told >= missing),
                "{profile} {group}: {told}, {missing}"
            );
            let lines = log.lines().filter(|line| line.contains(&format!("group=\"{group}\"")));
            assert_eq!(lines.count(), usize::from(told != "0"), "two collections, one line: {log}");
            if missing > 0 { cut += 1 } else { kept += 1 }
        }
        assert!(cut >= 3 && kept >= 3, "{profile}: {cut} groups are over, {kept} are not");
    }
}
