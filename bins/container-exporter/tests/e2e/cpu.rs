//! CPU in percent, and what a quota takes away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Exporter, Kernel, Scope, tells_time};

const PERCENT: &str = "container_cpu_usage_percent";
const BUSY: &str = "while :; do :; done";
/// The configured time of the percentage; the default of 15 s would only make the tests longer.
const INTERVAL: f64 = 8.0;

/// The kernel's own counter over time.
struct Usage(Vec<(Instant, f64)>);

impl Usage {
    /// Reads it every 50 ms until `done`.
    fn watch(kernel: &Kernel, done: &AtomicBool) -> Self {
        let mut readings = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let at = Instant::now();
            readings.push((at, kernel.cpu_seconds().expect("the container runs")));
            std::thread::sleep(Duration::from_millis(50));
        }
        Self(readings)
    }

    /// Percent of a core in the time that ends at `end`.
    fn percent(&self, end: Instant, span: f64) -> Option<f64> {
        let last = self.0.iter().rfind(|(at, _)| *at <= end)?;
        let first = self.0.iter().rfind(|(at, _)| last.0.duration_since(*at).as_secs_f64() >= span)?;
        Some((last.1 - first.1) / last.0.duration_since(first.0).as_secs_f64() * 100.0)
    }

    /// What the kernel says of all times of about the interval that end about then: a shared page may be a second old.
    fn percents(&self, end: Instant) -> Vec<f64> {
        let spans = (0..=20).map(|step| INTERVAL * (0.8 + 0.025 * f64::from(step)));
        let ends = (0..=15).map(|step| end - Duration::from_millis(100 * step));
        ends.flat_map(|end| spans.clone().filter_map(move |span| self.percent(end, span))).collect()
    }

    /// How far a percentage is from what the kernel says.
    fn distance(&self, end: Instant, shown: f64) -> f64 {
        self.percents(end).iter().map(|rate| (rate - shown).abs()).fold(f64::INFINITY, f64::min)
    }

    /// How much the kernel's own percentage depends on which of these times is asked for: hardly, on a quiet host.
    fn spread(&self, end: Instant) -> f64 {
        let percents = self.percents(end);
        percents.iter().copied().fold(0.0, f64::max) - percents.iter().copied().fold(100.0, f64::min)
    }
}

/// Scrapes on a rhythm; each percentage with its time.
fn scrape_every(period: Duration, exporter: &Exporter, name: &str, until: Instant) -> Vec<(Instant, f64)> {
    let mut seen = Vec::new();
    let mut next = Instant::now();
    while next < until {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let page = exporter.scrape();
        seen.extend(page.of(PERCENT, name).map(|percent| (Instant::now(), percent)));
        next += period;
    }
    seen
}

#[test]
fn a_busy_loop_at_half_a_core_shows_it_to_scrapers_of_any_rhythm() {
    let Some(scope) = Scope::new("half") else { return };
    let container = scope.run("loop", &["--cpus", "0.5"], BUSY);
    let name = &container.name;
    let kernel = container.kernel();
    // Scrapes that come together share a collection, as they do by default.
    let config = format!("interval = {INTERVAL}");
    let exporter = scope.exporter().config("metrics", "max_age_ms = 1000").config("general", &config).start();
    exporter.await_container(name);
    let done = AtomicBool::new(false);
    let until = Instant::now() + Duration::from_secs(18);
    let (usage, fast, slow) = std::thread::scope(|threads| {
        let usage = threads.spawn(|| Usage::watch(&kernel, &done));
        let fast = threads.spawn(|| scrape_every(Duration::from_millis(700), &exporter, name, until));
        let slow = scrape_every(Duration::from_millis(5300), &exporter, name, until);
        let fast = fast.join().expect("it scraped");
        done.store(true, Ordering::Relaxed);
        (usage.join().expect("it read"), fast, slow)
    });
    // Before there is a whole interval to look back on, the gauge spans what there is.
    let settled = |seen: &[(Instant, f64)]| -> Vec<(Instant, f64)> {
        let start = usage.0[0].0 + Duration::from_secs_f64(INTERVAL * 1.3);
        seen.iter().copied().filter(|(at, _)| *at > start).collect()
    };
    let (fast, slow) = (settled(&fast), settled(&slow));
    assert!(fast.len() >= 8 && !slow.is_empty(), "too few scrapes: {} and {}", fast.len(), slow.len());
    for (at, percent) in fast.iter().chain(&slow) {
        let distance = usage.distance(*at, *percent);
        assert!(distance <= 3.0, "{percent} %, which is {distance} points from what the kernel says");
    }
    for (at, percent) in &slow {
        let nearest =
            fast.iter().min_by_key(|(other, _)| if other > at { *other - *at } else { *at - *other });
        let (_, other) = nearest.expect("there are some");
        let tolerance = 3.0 + usage.spread(*at);
        assert!((percent - other).abs() <= tolerance, "{percent} % for one scraper, {other} % for the other");
    }
    check_throttling(&exporter, name);
}

#[track_caller]
fn check_throttling(exporter: &Exporter, name: &str) {
    let page = exporter.scrape();
    let of = |metric: &str| page.of(metric, name).unwrap_or_else(|| panic!("no {metric}"));
    let periods = of("container_cpu_cfs_periods_total");
    let throttled = of("container_cpu_cfs_throttled_periods_total");
    assert!(periods > 100.0, "18 s have 180 periods: {periods}");
    // How often depends on what else the host does: where others leave less than the quota, it takes nothing away.
    if tells_time("that a loop without a core of its own reaches its quota") {
        assert!(throttled > 0.0, "a loop that wants a whole core was never stopped in {periods} periods");
        assert!(of("container_cpu_cfs_throttled_seconds_total") > 0.0);
    }
    assert_eq!(page.of("container_cpu_limit_cores", name), Some(0.5));
}

#[test]
fn a_first_scrape_has_no_percentage_of_nothing() {
    let Some(scope) = Scope::new("first") else { return };
    let exporter = scope.exporter().start();
    let container = scope.run("loop", &["--cpus", "0.5"], BUSY);
    let page = exporter.await_container(&container.name);
    // Absent or measured over at least 0.9 s; never the 0 that a first sample would give.
    let first = page.of(PERCENT, &container.name);
    let least =
        if tells_time("that a busy loop gets a twentieth of a core") { 5.0 } else { f64::MIN_POSITIVE };
    assert!(first.is_none_or(|percent| percent >= least), "{first:?}");
    let percent = exporter.await_page("a percentage", |page| page.of(PERCENT, &container.name));
    assert!((least..=60.0).contains(&percent), "half a core at most, and it is busy: {percent}");
}
