//! Which source wins, and what each is told apart by.

use super::*;

#[test]
fn each_source_wins_over_the_one_before() {
    let path = "otlp.timeout";
    let case = Case::new();
    assert_eq!(shown(&case.loaded(), path), ("10".to_owned(), "default".to_owned()));
    let case = case.file("\n[otlp]\ntimeout = 20\n");
    let (value, origin) = shown(&case.loaded(), path);
    assert_eq!(value, "20");
    assert!(origin.ends_with(":3"), "{origin}");
    let case = case.env("OTEL_EXPORTER_OTLP_TIMEOUT", "30000");
    assert_eq!(shown(&case.loaded(), path), ("30".to_owned(), "OTEL_EXPORTER_OTLP_TIMEOUT".to_owned()));
    let case = case.env("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "31000");
    assert_eq!(shown(&case.loaded(), path).0, "31", "the variable of the signal is the nearer one");
    let case = case.env("CONTAINER_EXPORTER__OTLP__TIMEOUT", "40");
    let expect = ("40".to_owned(), "CONTAINER_EXPORTER__OTLP__TIMEOUT".to_owned());
    assert_eq!(shown(&case.loaded(), path), expect);

    let path = "server.listen";
    let case = case.env("CONTAINER_EXPORTER__SERVER__LISTEN", ":9200");
    assert_eq!(shown(&case.loaded(), path).0, "\"0.0.0.0:9200\"");
    let case = case.flag("--listen", ":9300");
    assert_eq!(shown(&case.loaded(), path), ("\"0.0.0.0:9300\"".to_owned(), "--listen".to_owned()));
    assert_eq!(case.settings().server.listen.port(), 9300);
}

#[test]
fn every_flag_sets_its_key() {
    let settings = Case::new()
        .flag("--listen", "[::1]:1")
        .flag("--source", "sim:7")
        .flag("--profile", "cadvisor")
        .flag("--log-level", "warn")
        .flag("--log-format", "json")
        .settings();
    assert_eq!(settings.server.listen.to_string(), "[::1]:1");
    assert_eq!(settings.source, Source::Sim(7));
    assert_eq!(settings.metrics.profile, Profile::Cadvisor);
    assert_eq!(settings.logging.level, LogLevel::Warn);
    assert_eq!(settings.logging.format, LogFormat::Json);
}

/// Figment's own reading of variables takes `123` for a number and `a` for no list.
#[test]
fn variables_are_read_by_the_type_of_their_key() {
    let loaded = Case::new()
        .env("CONTAINER_EXPORTER__TELEMETRY__SERVICE_NAME", "007")
        .env("CONTAINER_EXPORTER__LABELS__ON_SERIES", "true, 5")
        .env("CONTAINER_EXPORTER__CONTAINERS__INCLUDE", "name={a,b}-*,label=team")
        .env("CONTAINER_EXPORTER__METRICS__ENABLE_CPU", "0")
        .env("CONTAINER_EXPORTER__GENERAL__INTERVAL", "2m")
        .env("CONTAINER_EXPORTER__CONTAINERS__MAX", " 12 ")
        .env("CONTAINER_EXPORTER__OTLP__HEADERS", "authorization=Bearer%20x,y=1")
        .loaded();
    for (path, expect) in [
        ("telemetry.service_name", "\"007\""),
        ("labels.on_series", "[\"true\", \"5\"]"),
        ("containers.include", "[\"name={a,b}-*\", \"label=team\"]"),
        ("metrics.enable_cpu", "false"),
        ("general.interval", "120"),
        ("containers.max", "12"),
        ("otlp.headers", "{ \"authorization\" = \"Bearer x\", \"y\" = \"1\" }"),
    ] {
        assert_eq!(shown(&loaded, path).0, expect, "{path}");
    }
    assert_eq!(loaded.settings.labels.on_series, ["true", "5"]);
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    for key in KEYS {
        let text = reference_value(key).expect("checked elsewhere").to_text();
        let loaded = Case::new().env(&key.env_name(), &text).loaded();
        assert_eq!(shown(&loaded, key.path).1, key.env_name());
    }
}

#[test]
fn tables_and_lists_of_a_later_source_replace_and_do_not_mix() {
    let loaded = Case::new()
        .file("[otlp]\nheaders = { a = \"1\", b = \"2\" }\n[labels]\non_series = [\"x\"]\n")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "c=3")
        .env("CONTAINER_EXPORTER__LABELS__ON_SERIES", "y")
        .loaded();
    assert_eq!(shown(&loaded, "otlp.headers").0, "{ \"c\" = \"3\" }");
    assert_eq!(loaded.settings.labels.on_series, ["y"]);
}

#[test]
fn listen_wins_over_prometheus_port_from_any_source() {
    let port = "[telemetry]\nprometheus_port = 9000\n";
    assert_eq!(Case::new().file(port).settings().server.listen.to_string(), "0.0.0.0:9000");
    let both = format!("{port}[server]\nlisten = \"127.0.0.1:1\"\n");
    assert_eq!(Case::new().file(&both).settings().server.listen.to_string(), "127.0.0.1:1");
    let case = Case::new()
        .file("[server]\nlisten = \"127.0.0.1:1\"\n")
        .env("CONTAINER_EXPORTER__TELEMETRY__PROMETHEUS_PORT", "9000");
    assert_eq!(case.settings().server.listen.port(), 1);
    assert_eq!(Case::new().file(port).flag("--listen", ":2").settings().server.listen.port(), 2);
    // Also where it says the same as the default.
    let same = format!("{port}[server]\nlisten = \"0.0.0.0:8080\"\n");
    assert_eq!(Case::new().file(&same).settings().server.listen.port(), 8080);
}

#[test]
fn what_kubernetes_sets_for_a_service_is_ignored_with_one_warning() {
    let settings = Case::new()
        .env("CONTAINER_EXPORTER_PORT", "tcp://10.0.0.1:8080")
        .env("CONTAINER_EXPORTER_SERVICE_HOST", "10.0.0.1")
        .env("CONTAINER_EXPORTER_PORT_8080_TCP", "tcp://10.0.0.1:8080")
        .env("CONTAINER_EXPORTERS", "another program's")
        .settings();
    let warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"), @"ignored CONTAINER_EXPORTER_PORT and 2 more like it; Kubernetes sets such variables for a Service of this name (enableServiceLinks: false stops it)");
    let settings = Case::new().env("CONTAINER_EXPORTER_SERVER_LISTEN", ":1").settings();
    assert_eq!(settings.server.listen.port(), 8080);
    insta::assert_snapshot!(settings.warnings[0], @"ignored CONTAINER_EXPORTER_SERVER_LISTEN; settings have two underscores: CONTAINER_EXPORTER__SERVER__LISTEN");
}

/// The OpenTelemetry specification: what cannot be used is ignored with a warning, what is empty is unset.
#[test]
fn unusable_otel_variables_are_warnings() {
    let settings = Case::new()
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "")
        .env("OTEL_TRACES_SAMPLER", "always_on")
        .env("OTEL_SERVICE_NAME", "shop")
        .settings();
    let warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r#"
    OTEL_EXPORTER_OTLP_PROTOCOL: `otlp.protocol` expects one of grpc, http/protobuf, found "http/json"; the variable is ignored
    OTEL_EXPORTER_OTLP_TIMEOUT: `otlp.timeout` expects seconds from 0.1 to 3600, or text like "500ms" or "2m", found "10s": the variable counts milliseconds, in whole numbers; the variable is ignored
    "#);
    assert_eq!(settings.otlp, None);
}

#[test]
fn show_is_itself_a_configuration_and_keeps_secrets() {
    let case = Case::new()
        .file(&fixture("all.toml"))
        .env("CONTAINER_EXPORTER__OTLP__ENDPOINT", "https://user:hidden@collector:4318/x");
    let loaded = case.loaded();
    let text = show(&loaded.effective);
    let debug = format!("{loaded:?}");
    assert!(!debug.contains("secret") && !debug.contains("hidden"), "{debug}");
    assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
    assert!(text.contains("otlp.headers = { \"authorization\" = \"****\" }"), "{text}");
    assert!(text.contains("\"https://****@collector:4318/x\""), "{text}");
    let again = Case::new().file(&text).loaded();
    for (one, two) in loaded.effective.iter().zip(&again.effective) {
        let same = one.key.secret || matches!(one.key.kind, Kind::Url) || one.value == two.value;
        assert!(same, "{}: {:?} became {:?}", one.key.path, one.value, two.value);
    }
}

#[test]
fn a_reload_tells_what_applies_and_what_waits() {
    let old = Case::new().file("[logging]\nlevel = \"info\"\n").loaded();
    let new = Case::new()
        .file("[logging]\nlevel = \"debug\"\n[server]\nlisten = \":1\"\n[general]\ninterval = 15.0\n")
        .loaded();
    let changes = old.changes(&new);
    assert_eq!(changes.applied, ["logging.level"]);
    assert_eq!(changes.need_restart, ["server.listen"]);
    assert_eq!(old.changes(&old), Changes::default());
}
