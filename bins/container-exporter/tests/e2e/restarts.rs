//! Restarts, as a real Prometheus sees them: the rise of a counter is what was used, and the exporter's own restarts are
//! nothing.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::{Container, Kernel, Scope, assert_near, await_until, get, is_emulated, skip};

const USED: &str = "container_cpu_usage_seconds_total";
const RESTARTS: &str = "container_restarts_total";
const STARTED: &str = "container_start_time_seconds";
/// Of the container; what is used between two scrapes is at most this times the interval.
const CPUS: &str = "0.4";
/// Seconds. In an emulated guest a scrape takes longer.
fn scrape_interval() -> f64 {
    if is_emulated() { 5.0 } else { 1.0 }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// A free port: taken and left again, because it has to be known before its owner starts.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").to_string()
}

/// A Prometheus that scrapes one address every second.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("prometheus.yml");
        let interval = scrape_interval();
        let text = format!(
            "global: {{scrape_interval: {interval}s, scrape_timeout: {interval}s}}\n\
             scrape_configs: [{{job_name: e2e, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        std::fs::write(&config, text).expect("it can be written");
        let address = free_address();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else { return skip("there is no prometheus on PATH") };
        let address = address.parse().expect("an address");
        let prometheus = Self { child, address, _directory: directory };
        await_until("Prometheus is ready", || {
            get(address, "/-/ready", &[]).ok().filter(|answer| answer.status == 200)
        });
        Some(prometheus)
    }

    /// The result of an instant query.
    #[track_caller]
    fn query(&self, query: &str, at: f64) -> serde_json::Value {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = get(self.address, &format!("/api/v1/query?query={encoded}&time={at:.3}"), &[]);
        let answer = answer.unwrap_or_else(|error| panic!("{query}: {error}"));
        let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(json["status"], "success", "{query}: {json}");
        json["data"]["result"].clone()
    }

    /// The samples of one series since `since`, each with its time.
    #[track_caller]
    fn samples(&self, selector: &str, since: f64) -> Vec<(f64, f64)> {
        let end = now();
        let result = self.query(&format!("{selector}[{:.0}ms]", ((end - since) * 1000.0).max(1.0)), end);
        let series = result.as_array().expect("a list");
        assert!(series.len() < 2, "{selector}: {} series", series.len());
        let values =
            series.first().and_then(|series| series["values"].as_array()).cloned().unwrap_or_default();
        let number =
            |value: &serde_json::Value| value.as_str().and_then(|text| text.parse().ok()).expect("a number");
        values.iter().map(|pair| (pair[0].as_f64().expect("a time"), number(&pair[1]))).collect()
    }

    /// `increase()` from one sample to another, so that Prometheus has nothing to guess beyond them.
    #[track_caller]
    fn increase(&self, selector: &str, first: f64, last: f64) -> f64 {
        // From 3.0 on a range leaves its oldest instant out.
        let window = (last - first) * 1000.0 + 1.0;
        let result = self.query(&format!("increase({selector}[{window:.0}ms])"), last);
        result[0]["value"][1]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("no increase: {result}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What the kernel says over several runs: the time of a reading, and all that was used until then.
struct Truth(Vec<(f64, f64)>);

impl Truth {
    /// The first reading.
    fn begin(kernel: &Kernel) -> Self {
        Self(vec![(now(), kernel.cpu_seconds().expect("it runs"))])
    }

    /// Reads every 10 ms until `done`, and goes on with the next run when one is over.
    fn watch(self, container: &Container<'_>, kernel: Kernel, done: &AtomicBool) -> Self {
        let Self(mut readings) = self;
        let mut before = 0.0;
        let mut kernel = Some(kernel);
        while !done.load(Ordering::Relaxed) {
            match kernel.as_ref().map(Kernel::cpu_seconds) {
                Some(Some(used)) => readings.push((now(), before + used)),
                Some(None) => {
                    before = readings.last().map_or(0.0, |reading| reading.1);
                    kernel = None;
                }
                None => {
                    let pid: u32 = container.inspect("{{.State.Pid}}").parse().expect("a number");
                    let running = std::path::Path::new(&format!("/proc/{pid}/cgroup")).exists() && pid != 0;
                    kernel = running.then(|| Kernel::of(pid, &container.id));
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(readings)
    }

    fn until(&self, time: f64) -> f64 {
        self.0.iter().rfind(|(at, _)| *at <= time).expect("it was watched from the start").1
    }
}

#[test]
fn prometheus_sees_what_was_used_over_restarts_of_either() {
    let Some(scope) = Scope::new("increase") else { return };
    let address = free_address();
    let Some(prometheus) = Prometheus::start(&address) else { return };
    let container = scope.run("loop", &["--cpus", CPUS], "while :; do :; done");
    let setup = scope.exporter().listen(&address);
    let exporter = setup.clone().start();
    exporter.await_container(&container.name);
    let of = |metric: &str| format!("{metric}{{container_name=\"{}\"}}", container.name);
    let kernel = container.kernel();
    let truth = Truth::begin(&kernel);
    let begin = now();
    let await_samples = |count: usize, since: f64| {
        await_until("Prometheus has scraped", || {
            let samples = prometheus.samples(&of(USED), since);
            (samples.len() >= count).then_some(samples)
        })
    };
    let start_times = |since: f64| {
        let mut times: Vec<f64> =
            prometheus.samples(&of(STARTED), since).iter().map(|sample| sample.1).collect();
        times.dedup();
        times
    };
    let done = AtomicBool::new(false);
    let per_interval = CPUS.parse::<f64>().expect("a number") * scrape_interval();
    std::thread::scope(|threads| {
        let truth = threads.spawn(|| truth.watch(&container, kernel, &done));
        let _stop = Stop(&done);
        // The exporter first: the longer the run, the greater a phantom rise by its whole counter would be.
        await_samples(4, begin);
        drop(exporter);
        let restarted = now();
        let exporter = setup.start();
        await_samples(3, restarted);
        let over_exporter = (begin, now());
        assert_eq!(start_times(begin).len(), 1, "a restart of the exporter is none of the container's");

        let hand = now();
        container.cli(&["restart", "-t", "0"]);
        exporter.await_page("the new run is seen", |page| {
            (page.of(RESTARTS, &container.name)? >= 1.0).then_some(())
        });
        await_samples(3, now());
        assert_eq!(
            start_times(hand - 1.5 * scrape_interval()).len(),
            2,
            "a restart of the container moves its start time, once"
        );
        let over_container = (hand - 2.5 * scrape_interval(), now());
        done.store(true, Ordering::Relaxed);
        let truth = truth.join().expect("it read");

        for (what, (since, until)) in [("the exporter", over_exporter), ("the container", over_container)] {
            let samples: Vec<_> =
                prometheus.samples(&of(USED), since).into_iter().filter(|sample| sample.0 <= until).collect();
            let (first, last) = (samples[0].0, samples[samples.len() - 1].0);
            let used = truth.until(last) - truth.until(first);
            assert!(used > 1.0, "hardly anything was used over the restart of {what}: {used}");
            let rise = prometheus.increase(&of(USED), first, last);
            assert_near(&format!("increase() over a restart of {what}"), rise, used, per_interval);
            let restarts = prometheus.increase(&of(RESTARTS), first, last);
            assert_eq!(
                restarts.round(),
                if what == "the exporter" { 0.0 } else { 1.0 },
                "restarts over {what}'s"
            );
        }
    });
}

/// Ends the watching also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn restarts_count_one_by_hand_one_by_policy_and_none_by_the_exporter() {
    let Some(scope) = Scope::new("restarts") else { return };
    let container =
        scope.run("one", &["--restart", "always"], "until [ -e /end ]; do sleep 0.05; done; rm /end; exit 3");
    let exporter = scope.exporter().start();
    exporter.await_container(&container.name);
    let count = |expected: f64, what: &str| {
        let at = await_until(what, || {
            let page = exporter.try_scrape()?;
            (page.of(RESTARTS, &container.name)? >= expected && page.of(USED, &container.name).is_some())
                .then_some(page)
        });
        assert_eq!(at.of(RESTARTS, &container.name), Some(expected), "{what}");
        at.of(STARTED, &container.name).expect("it runs")
    };
    let first = count(0.0, "before");
    container.cli(&["restart", "-t", "0"]);
    let second = count(1.0, "a restart by hand");
    assert!(second > first, "the start time moves");
    assert!(container.exec("touch /end").0);
    let third = count(2.0, "a restart by policy");
    assert!(third > second, "the start time moves");
    assert_eq!(exporter.scrape().expect("host_containers_exits_total", &[("outcome", "error")]), 1.0);

    drop(exporter);
    let exporter = scope.exporter().start();
    let page = exporter.await_container(&container.name);
    assert_eq!(page.of(RESTARTS, &container.name), Some(0.0));
    assert_eq!(page.of(STARTED, &container.name), Some(third));
}
