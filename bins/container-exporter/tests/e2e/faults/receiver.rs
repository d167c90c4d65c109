//! A receiver of OTLP that takes connections and never answers: the worst of them, since what is sent to it is held.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::Held;
use crate::harness::{Setup, say};

/// What the whole exporter may hold meanwhile.
const RESIDENT_BYTES_MAX: f64 = 40e6;
const FAILED: &str = "container_exporter_otlp_points_failed_total";

/// A thousand containers and nobody who takes their numbers.
pub(super) fn away_for(time: Duration) {
    // Nobody accepts; the kernel does.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = silent.local_addr().expect("bound");
    let exporter = Setup::new()
        .arg("--source=sim:1000")
        .config(
            "otlp",
            &format!("endpoint = \"http://{endpoint}\"\nprotocol = \"grpc\"\ncompression = \"gzip\""),
        )
        .start();
    let end = Instant::now() + time;
    let mut scrapes = 0;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_secs(1));
        exporter.scrape();
        scrapes += 1;
    }
    let lost: f64 = exporter.scrape().all(FAILED, &[]).iter().map(|line| line.value).sum();
    let held = Held::by(&exporter);
    say(&format!(
        "figures: {scrapes} scrapes, {:.1} MB resident at most, {lost} points lost",
        held.resident_bytes_max / 1e6
    ));
    let log = exporter.log();
    let told = |signal: &str| log.matches(&format!("failed to deliver {signal} ")).count();
    assert_eq!(told("metrics"), 1, "{log}");
    assert!(told("traces") <= 1, "{log}");
    assert!(lost > 0.0);
    assert!(held.resident_bytes_max <= RESIDENT_BYTES_MAX, "{held:?}");
}
