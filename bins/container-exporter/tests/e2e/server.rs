//! The server: its routes, its end, its reload, and what concurrent scrapes cost.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{
    Answer, Exporter, Page, Setup, await_until, exchange, get, is_emulated, is_tried_here, patience,
    tells_time,
};

fn simulated(count: u32) -> Setup {
    Setup::new().all_groups().arg(&format!("--source=sim:{count}"))
}

/// One request without a body; the connection is closed after its answer.
#[track_caller]
fn ask(exporter: &Exporter, method: &str, target: &str) -> Answer {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    exchange(exporter.address, request.as_bytes())
        .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

#[test]
fn each_route_answers_in_its_form() {
    let exporter = simulated(5).start();
    for (target, kind, part) in [
        ("/", "text/html", "href=\"/metrics\""),
        ("/metrics", "text/plain; version=0.0.4", "# TYPE container_info gauge"),
        ("/health", "application/json", "\"status\":\"ok\""),
        ("/livez", "text/plain", "alive"),
        ("/api/v1/containers", "application/json", "\"containers\":["),
    ] {
        let answer = ask(&exporter, "GET", target);
        assert_eq!(answer.status, 200, "{target}");
        assert!(answer.headers["content-type"].starts_with(kind), "{target}: {:?}", answer.headers);
        assert!(answer.text().contains(part), "{target}: {}", answer.text());
        if kind == "application/json" {
            serde_json::from_slice::<serde_json::Value>(&answer.body).expect("JSON");
        }
        let refused = ask(&exporter, "POST", target);
        assert_eq!(refused.status, 405, "{target}");
        let allowed: Vec<&str> = refused.headers["allow"].split(',').map(str::trim).collect();
        assert!(allowed.contains(&"GET") && allowed.contains(&"HEAD"), "{allowed:?}");
    }
    let missing = ask(&exporter, "GET", "/metric");
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("/metrics"), "it says what there is: {}", missing.text());
    let health: serde_json::Value =
        serde_json::from_slice(&ask(&exporter, "GET", "/health").body).expect("JSON");
    let sources = health["sources"].as_array().expect("a list");
    assert!(sources.iter().all(|source| source["up"] == true), "{health}");
    let listed: serde_json::Value =
        serde_json::from_slice(&ask(&exporter, "GET", "/api/v1/containers").body).expect("JSON");
    assert_eq!(listed["containers"].as_array().map(Vec::len), Some(5));
    let page = exporter.scrape();
    let count = |handler: &str, code: &str| {
        page.expect("container_exporter_http_requests_total", &[("handler", handler), ("code", code)])
    };
    assert_eq!((count("/livez", "4xx"), count("other", "4xx")), (1.0, 1.0));
}

#[test]
fn a_head_request_has_the_head_and_nothing_else() {
    if !is_tried_here("HEAD requests") {
        return;
    }
    let exporter = simulated(5).start();
    for target in ["/", "/metrics", "/health", "/livez"] {
        let mut stream = TcpStream::connect(exporter.address).expect("it listens");
        stream.set_read_timeout(Some(patience())).expect("a socket");
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{target}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\ncontent-type: "), "{target}: {answer}");
    }
}

/// As many containers as make a page that fits into no socket's buffer, and are collected in time.
fn many() -> u32 {
    if is_emulated() { 3_000 } else { 10_000 }
}

#[test]
fn a_scrape_that_is_read_slowly_is_finished_before_the_end() {
    if !is_tried_here("a scrape that is read slowly while the exporter ends") {
        return;
    }
    let exporter = simulated(many()).start_unlisted();
    let mut stream = TcpStream::connect(exporter.address).expect("it listens");
    stream.set_read_timeout(Some(patience())).expect("a socket");
    stream
        .write_all(b"GET /metrics?collect[]=cpu HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("it reads");
    let mut bytes = vec![0; 1 << 20];
    stream.read_exact(&mut bytes[..100_000]).expect("it answers");
    let begun = Instant::now();
    exporter.signal("TERM");
    await_until("new connections are refused", || {
        get(exporter.address, "/livez", &[]).is_err().then_some(())
    });
    // Slower than it could be written, and well within the time there is.
    let mut end = bytes[..100_000].to_vec();
    loop {
        let count = stream.read(&mut bytes).expect("the answer goes on");
        if count == 0 {
            break;
        }
        end.extend_from_slice(&bytes[..count]);
        let excess = end.len().saturating_sub(64);
        end.drain(..excess);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(end.ends_with(b"\r\n0\r\n\r\n"), "the page is whole: {:?}", String::from_utf8_lossy(&end));
    assert!(exporter.await_end().success());
    if tells_time("that the end comes soon") {
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_reader_that_stands_still_does_not_hold_up_the_end() {
    if !is_tried_here("a reader that stands still while the exporter ends") {
        return;
    }
    let exporter = simulated(many()).start_unlisted();
    let mut stream = TcpStream::connect(exporter.address).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    stream.read_exact(&mut [0; 1000]).expect("it answers");
    let begun = Instant::now();
    exporter.signal("TERM");
    assert!(exporter.await_end().success());
    if tells_time("that the end comes soon") {
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_reload_takes_effect_and_a_broken_one_does_not() {
    let exporter = simulated(3).start();
    let named = |label: &str| {
        let page = exporter.scrape();
        page.all("container_cpu_usage_seconds_total", &[]).iter().any(|line| !line.label(label).is_empty())
    };
    assert!(named("container_name") && !named("name"));
    let config = exporter.config_path();
    std::fs::write(&config, "[metrics]\nprofile = \"cadvisor\"\n").expect("it can be written");
    exporter.signal("HUP");
    await_until("the profile has changed", || named("name").then_some(()));
    std::fs::write(&config, "[metrics]\nprofile = \"native\"\n[server]\nlisen = 1\n")
        .expect("it can be written");
    exporter.signal("HUP");
    let errors = || {
        let log = exporter.log();
        log.lines().filter(|line| line.contains(" ERROR ")).map(str::to_owned).collect::<Vec<_>>()
    };
    await_until("the error is logged", || (!errors().is_empty()).then_some(()));
    assert!(named("name"), "the old configuration stays");
    let errors = errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    for part in ["the old configuration stays", "config.toml:4", "server.listen"] {
        assert!(errors[0].contains(part), "{part}: {errors:?}");
    }
}

#[test]
fn concurrent_scrapes_share_a_collection() {
    const SCRAPES: usize = 6;
    const CONTAINERS: u32 = 3_000;
    const SEEN: &str = "container_last_seen";
    let exporter = simulated(CONTAINERS).start_unlisted();
    let collections = || {
        exporter.scrape_at("/metrics?collect[]=exporter").expect("container_exporter_collections_total", &[])
    };
    let before = collections();
    let pages: Vec<Page> = std::thread::scope(|scope| {
        let scrapes: Vec<_> = (0..SCRAPES)
            .map(|_| scope.spawn(|| exporter.scrape_at(&format!("/metrics?name[]={SEEN}"))))
            .collect();
        scrapes.into_iter().map(|scrape| scrape.join().expect("it is answered")).collect()
    });
    assert!(pages.iter().all(|page| page.all(SEEN, &[]).len() == CONTAINERS as usize));
    // Two of them are the askings themselves.
    let made = collections() - before;
    assert!(made < SCRAPES as f64, "{made} collections for {SCRAPES} scrapes");
    // Within `max_age_ms`, scrapers that come one after another share one too.
    let exporter = simulated(10).config("metrics", "max_age_ms = 60000").start();
    let used = || exporter.scrape().expect("container_exporter_collections_total", &[]);
    assert_eq!(used(), used());
}
