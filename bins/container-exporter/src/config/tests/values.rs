//! What is refused, and how it is told.

use proptest::prelude::*;

use super::*;

#[test]
fn everything_that_is_wrong_is_told_at_once_with_line_and_advice() {
    let case = Case::new()
        .file(&fixture("wrong.toml"))
        .env("CONTAINER_EXPORTER__SERVER__MAX_SCRAPES", "many")
        .env("CONTAINER_EXPORTER__SERVER__LISTN", ":1")
        .flag("--source", "sim:20000")
        .flag("--log-level", "loud");
    let groups = collector_core::Group::ALL.map(collector_core::Group::as_str).join(", ");
    insta::assert_snapshot!(case.errors().replace(&groups, "GROUPS"), @r#"
    CONFIG:1: the key `interval` stands in no section; did you mean `interval` in the section `[general]`?
    CONFIG:4: `general.interval` expects seconds from 1 to 3600, or text like "500ms" or "2m", found "soon"; write for example `interval = 15`
    CONFIG:5: unknown key `general.sorce`; did you mean `general.source`?
    CONFIG:7: unknown section `metrcs`; did you mean `metrics`?
    CONFIG:11: unknown key `metrics.enable_cpus`; did you mean `metrics.enable_cpu`?
    CONFIG:12: `metrics.groups` expects a list, each item one of GROUPS, all, standard, found "flux"; write for example `groups = ["standard"]`
    CONFIG:13: `metrics.timeout` expects seconds from 0.1 to 60, or text like "500ms" or "2m", found the number nan; write for example `timeout = 10`
    CONFIG:16: `server.listen` expects an address with a port, found "0.0.0.0": the port is missing; write for example `listen = "0.0.0.0:8080"`
    CONFIG:17: `server.max_connections` expects a whole number from 1 to 65536, found the number 99999999999999999999; write for example `max_connections = 128`
    CONFIG:20: `otlp.headers` expects a table of texts, found a value that is not shown here: each value is text; write for example `headers = {}`
    CONFIG:21: `otlp.endpoint` expects an http:// or https:// URL, or HOST:PORT, found a value that is not shown here: it must begin with http:// or https://; write for example `endpoint = "http://otel-collector:4318"`
    CONFIG:24: unknown key `docker.colour`; the keys of `docker` are enabled, socket_path, hosts, cert_path
    CONTAINER_EXPORTER__SERVER__LISTN: unknown key `server.listn`; did you mean `CONTAINER_EXPORTER__SERVER__LISTEN`?
    CONTAINER_EXPORTER__SERVER__MAX_SCRAPES: `server.max_scrapes` expects a whole number from 1 to 1024, found "many"; write for example `CONTAINER_EXPORTER__SERVER__MAX_SCRAPES=8`
    --source: `general.source` expects auto, docker, cgroup or sim:N with N from 1 to 10000, found "sim:20000": the number behind sim: goes from 1 to 10000; write for example `--source auto`
    --log-level: `logging.level` expects one of off, error, warn, info, debug, trace, found "loud"; write for example `--log-level info`
    "#);
}

#[test]
fn a_misspelt_key_gets_the_nearest_known_one() {
    for (text, meant) in [
        ("[server]\nlisen = \"x\"", "server.listen"),
        ("[metrics]\nenable_cpus = true", "metrics.enable_cpu"),
        ("[metrics]\nlisten = \":1\"", "server.listen"),
        ("[docker]\nsocket-path = \"/x\"", "docker.socket_path"),
        ("[otlp]\nresource_atributes = {}", "otlp.resource_attributes"),
        ("[loging]\nlevel = \"info\"", "logging"),
        ("server.lisetn = \":1\"", "server.listen"),
    ] {
        let errors = Case::new().file(text).errors();
        assert!(errors.contains(&format!("did you mean `{meant}`?")), "{text}: {errors}");
    }
    let errors = Case::new().file("[general]\nfoo = 1").errors();
    insta::assert_snapshot!(errors, @"CONFIG:2: unknown key `general.foo`; the keys of `general` are interval, source");
    let errors = Case::new().file("[zzz]\nfoo = 1").errors();
    insta::assert_snapshot!(errors, @"CONFIG:1: unknown section `zzz`; the sections are general, telemetry, docker, podman, remote, cgroup, containers, metrics, labels, limits, server, otlp, traces, logging");
    let errors = Case::new().env("CONTAINER_EXPORTER__GENERAL__INTERVALL", "1").errors();
    insta::assert_snapshot!(errors, @"CONTAINER_EXPORTER__GENERAL__INTERVALL: unknown key `general.intervall`; did you mean `CONTAINER_EXPORTER__GENERAL__INTERVAL`?");
}

/// One value of each TOML type for each key: accepted or told with line, key and example; never a panic.
#[test]
fn wrong_types_are_told_for_every_key() {
    let samples =
        ["true", "5", "1.5", "\"\\u0000\"", "1979-05-27", "[1]", "[[]]", "{ a = 1 }", "-1", "nan", "-inf"];
    for key in KEYS {
        let mut refused = 0;
        for sample in samples {
            let case = Case::new().file(&format!("[{}]\n{} = {sample}\n", key.section(), key.name()));
            let Err(error) = case.load() else { continue };
            let path = case.inputs.file.as_ref().expect("just given").display().to_string();
            let errors = error.to_string().replace(&path, "CONFIG");
            refused += 1;
            assert!(errors.starts_with("CONFIG:2: `"), "{errors}");
            assert!(errors.contains(&format!("`{}` expects ", key.path)), "{errors}");
            let advice = format!("write for example `{} = {}`", key.name(), key.example());
            assert!(errors.contains(&advice), "{errors}");
        }
        assert!(refused >= 8, "{} accepts too much", key.path);
    }
}

#[test]
fn bounds_hold_in_files_and_variables() {
    for key in KEYS {
        let outside: Vec<String> = match key.kind {
            Kind::Integer { min, max } => {
                vec![
                    (min - 1).to_string(),
                    (max + 1).to_string(),
                    "9".repeat(30),
                    format!("-{}", "9".repeat(30)),
                ]
            }
            Kind::Seconds { min, max } => {
                vec![(min - 0.01).to_string(), (max + 1.0).to_string(), "1e300".to_owned(), "-1".to_owned()]
            }
            Kind::Ratio => vec!["-0.01".to_owned(), "1.01".to_owned(), "2".to_owned(), "nan".to_owned()],
            _ => continue,
        };
        for value in outside {
            let file = Case::new().file(&format!("[{}]\n{} = {value}\n", key.section(), key.name()));
            assert!(file.errors().contains("expects"), "{} = {value}", key.path);
            let env = Case::new().env(&key.env_name(), &value);
            assert!(env.errors().starts_with(&format!("{}: ", key.env_name())), "{} = {value}", key.path);
        }
    }
}

#[test]
fn empty_and_hostile_texts_are_told() {
    let long = "x".repeat(1 << 16);
    for key in KEYS {
        for value in ["", " ", "NaN", "inf", "-0", "\u{7f}", "\n", "💥", long.as_str()] {
            // Accepted or refused: no panic, no unbounded message.
            if let Err(error) = Case::new().env(&key.env_name(), value).load() {
                assert!(error.to_string().len() < 1000, "{}: {error}", key.path);
            }
        }
    }
    for path in
        ["docker.socket_path", "server.listen", "logging.level", "general.interval", "telemetry.service_name"]
    {
        let key = Key::find(path).expect("a known key");
        let errors = Case::new().env(&key.env_name(), "").errors();
        assert!(errors.contains("found \"\""), "{errors}");
    }
    let raw = OsString::from_vec(vec![0xff, 0xfe]);
    let mut case = Case::new();
    case.inputs.env.push(("CONTAINER_EXPORTER__LOGGING__LEVEL".into(), raw.clone()));
    case.inputs.env.push((OsString::from_vec(b"CONTAINER_EXPORTER__\xff".to_vec()), raw));
    let errors = case.errors();
    assert!(errors.contains("found bytes that are not UTF-8"), "{errors}");
    assert_eq!(errors.lines().count(), 2, "{errors}");
    let many =
        format!("[labels]\non_series = [{}]", (0..2000).map(|n| format!("\"l{n}\",")).collect::<String>());
    assert!(Case::new().file(&many).errors().contains("more than 1024 items"));
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let mut case = Case::new();
    case.inputs.file = Some("/nonexistent/x.toml".into());
    assert!(case.errors().starts_with("--config: failed to read CONFIG: No such file"), "{}", case.errors());
    case.inputs.file = Some("/".into());
    assert!(case.errors().contains("Is a directory"), "{}", case.errors());
    case.inputs.file = Some("/dev/zero".into());
    assert!(case.errors().contains("longer than 1 MiB"), "{}", case.errors());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), [0xff, 0xfe, 0x00]).expect("written");
    case.inputs.file = Some(file.path().to_owned());
    assert!(case.errors().contains("not UTF-8"), "{}", case.errors());
}

#[test]
fn errors_of_syntax_are_told_with_their_lines() {
    let errors = Case::new().file("[general]\ninterval = \nsource = \"auto\"\n[server\n").errors();
    assert!(errors.contains("CONFIG:2: failed to read as TOML: "), "{errors}");
    assert!(errors.contains("CONFIG:4: failed to read as TOML: "), "{errors}");
    let errors = Case::new().file("[general]\ninterval = 1\ninterval = 2\n").errors();
    assert!(errors.starts_with("CONFIG:3: "), "{errors}");
    let deep = format!("[general]\ninterval = {}", "[".repeat(100_000));
    assert!(Case::new().file(&deep).load().is_err());
    // A byte order mark, as some editors write it, is none.
    assert_eq!(Case::new().file("\u{feff}[general]\ninterval = 3\n").settings().interval.as_secs(), 3);
}

#[test]
fn secrets_do_not_stand_in_errors() {
    let case = Case::new()
        .file("[otlp]\nheaders = \"hidden\"\nendpoint = \"ftp://me:hidden@x\"\n")
        .env("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "hidden")
        .env("CONTAINER_EXPORTER__OTLP__HEADERS", "hidden");
    let errors = case.errors();
    assert_eq!(errors.lines().count(), 3, "{errors}");
    assert!(!errors.contains("hidden"), "{errors}");
    let settings = Case::new().env("OTEL_EXPORTER_OTLP_HEADERS", "hidden").settings();
    assert!(!settings.warnings[0].to_string().contains("hidden"));
}

#[test]
fn what_does_not_go_together_is_told() {
    let errors = Case::new().file("[docker]\nsocket_path = \"/a\"\nhosts = [\"/b\"]\n").errors();
    insta::assert_snapshot!(errors, @"CONFIG:3: `docker.hosts` is set, and `docker.socket_path` too (by CONFIG:2); leave one of them out");
    let errors = Case::new().file("[docker]\nenabled = false\n").flag("--source", "docker").errors();
    insta::assert_snapshot!(errors, @"CONFIG:2: `general.source` is docker, but `docker.enabled` is false; leave one of them out");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a file holds, it is loaded or refused with a line; never a panic.
    #[test]
    fn any_file_is_loaded_or_refused_with_a_line(
        text in "((\\[(general|server|otlp|x)\\]|interval|listen|headers|=|\"|\\{|\\}|\\[|,|[0-9.-]{1,6}|:1|é|\\\\u0000|#)[ \n]?){0,24}"
    ) {
        if let Err(error) = Case::new().file(&text).load() {
            for problem in &error.problems {
                let placed = matches!(problem.origin, Some(Origin::File { line, .. }) if line >= 1);
                prop_assert!(placed, "{}", problem);
            }
        }
    }
}
