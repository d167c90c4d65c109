//! What has to be true of the running stack, one line each.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bench::http::Scraper;
use crate::error::{Context as _, Error, Result};
use crate::process;
use crate::stack::compose::Compose;
use crate::stack::image;
use crate::stack::listener::Listener;
use crate::step::Counts;

/// How long an event may take: several scrapes and evaluations of 15 s each, on a machine that does other things.
const PATIENCE: Duration = Duration::from_mins(4);
/// One scrape in ten is traced: with so many there is a trace, whatever Prometheus' few come to.
const TRACED_BY_CHANCE: usize = 200;
const POLL: Duration = Duration::from_millis(500);
const RULES: &str = "deploy/prometheus/rules";
/// The jobs of services that are started here; the others' targets are down, and are to be.
const JOBS: &[&str] = &["alertmanager", "container-exporter", "node-exporter", "otlp-service", "prometheus"];

/// The alert that a container's end of memory raises, without waiting.
const ALERT: &str = "OomKilled";
const VICTIM: &str = "stack-victim";
/// Waits for a word, then takes more memory than it may have. The shell outlives it.
const EAT: &str =
    "while [ ! -e /go ]; do sleep 0.2; done; dd if=/dev/zero of=/dev/null bs=96M count=1; sleep 100000";

type Check = fn(&Compose) -> Result<String>;

const CHECKS: &[(&str, Check)] = &[
    ("every service starts and is healthy", start),
    ("every service is as hardened as its file says", hardened),
    ("every target is up", targets),
    ("every file of rules is loaded and evaluated", rules),
    ("every series is there once", once),
    ("traces and metrics reach the collector", collector),
    ("an alert goes its way from a container to the webhook", alert),
];

/// Makes all checks in order; each is told of on a line. After the first one that fails there is no stack to ask.
pub(super) fn all(compose: &Compose) -> Result<Counts> {
    let mut counts = Counts::default();
    for (name, check) in CHECKS {
        process::check_interrupted()?;
        let start = Instant::now();
        match check(compose) {
            Ok(remark) => {
                println!("   ok {name} ({:.1} s){remark}", start.elapsed().as_secs_f64());
                counts.add(Counts::PASSED);
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                println!("   FAILED {name}: {error}");
                counts.add(Counts::FAILED);
                if counts.passed == 0 {
                    break;
                }
            }
        }
    }
    Ok(counts)
}

fn start(compose: &Compose) -> Result<String> {
    compose.up().map(|()| String::new())
}

/// The engine's word on it, as a key that Compose does not know would be left out silently.
fn hardened(compose: &Compose) -> Result<String> {
    for service in &compose.services {
        let known = compose.inspect(service)?;
        let host = &known["HostConfig"];
        let wanted = [
            ("Privileged", Value::Bool(false)),
            ("ReadonlyRootfs", Value::Bool(true)),
            ("CapDrop", serde_json::json!(["ALL"])),
            ("CapAdd", Value::Null),
        ];
        for (key, value) in wanted {
            if host[key] != value {
                return Err(Error::failed(format!("{key} of {service} is {}, not {value}", host[key])));
            }
        }
        // The engine adds to it where the host's processes are seen.
        let options = host["SecurityOpt"].as_array().cloned().unwrap_or_default();
        if !options.contains(&Value::from("no-new-privileges:true")) {
            return Err(Error::failed(format!("{service} may gain privileges: {options:?}")));
        }
        for key in ["Memory", "NanoCpus", "PidsLimit"] {
            if host[key].as_i64().unwrap_or(0) <= 0 {
                return Err(Error::failed(format!("{service} has no limit {key}")));
            }
        }
    }
    Ok(String::new())
}

fn targets(compose: &Compose) -> Result<String> {
    let prometheus = compose.address("prometheus", 9090)?;
    wait("every target to be up", || {
        let data = ask(prometheus, "/api/v1/targets?state=active")?;
        let targets = data["activeTargets"].as_array().cloned().unwrap_or_default();
        let of = |job: &&str| targets.iter().find(|target| target["labels"]["job"] == **job);
        let collector = compose.services.iter().find(|service| **service == image::COLLECTOR);
        let down =
            JOBS.iter().chain(collector).find(|job| of(job).is_none_or(|target| target["health"] != "up"));
        Ok(match down {
            None => Ok(String::new()),
            Some(job) => {
                Err(format!("{job}: {}", of(job).map_or(&Value::Null, |target| &target["lastError"])))
            }
        })
    })
}

fn rules(compose: &Compose) -> Result<String> {
    let prometheus = compose.address("prometheus", 9090)?;
    let files = files()?;
    wait("every rule to be evaluated", || {
        let data = ask(prometheus, "/api/v1/rules")?;
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        let loaded = |name: &String| {
            groups
                .iter()
                .any(|group| group["file"].as_str().is_some_and(|file| file.ends_with(&format!("/{name}"))))
        };
        if let Some(name) = files.iter().find(|name| !loaded(name)) {
            return Err(Error::failed(format!("{RULES}/{name} is not loaded")));
        }
        let rules: Vec<&Value> =
            groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
        Ok(match rules.iter().find(|rule| rule["health"] != "ok") {
            None => Ok(format!(": {} rules of {} files", rules.len(), files.len())),
            Some(rule) => Err(format!("{} is {}: {}", rule["name"], rule["health"], rule["lastError"])),
        })
    })
}

/// The names of the files of rules; there are some.
fn files() -> Result<Vec<String>> {
    let failed = || format!("failed to list {RULES}");
    let entries = fs::read_dir(Path::new(RULES)).context(failed)?.flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<String> = names.filter(|name| name.ends_with(".yml")).collect();
    if names.is_empty() { Err(Error::failed(format!("{RULES} has no file"))) } else { Ok(names) }
}

fn once(compose: &Compose) -> Result<String> {
    let prometheus = compose.address("prometheus", 9090)?;
    let none = [
        r#"{__name__=~"container_.+|host_containers_.+",job!="container-exporter"}"#,
        r#"{__name__=~"otlp_.+",job!="otlp-service"}"#,
    ];
    for query in none {
        let found = query_vector(prometheus, query)?;
        if let Some(series) = found.first() {
            return Err(Error::failed(format!("{} of {query}, such as {}", found.len(), series["metric"])));
        }
    }
    wait("series of both jobs", || {
        let counted = |query| query_vector(prometheus, query).map(|found| found.len());
        let containers = counted(r#"container_memory_usage_bytes{container_name=~"stack-.+"}"#)?;
        let spans = counted(r#"otlp_spans_created_total"#)?;
        let all = containers == compose.services.len() && spans > 0;
        Ok(if all {
            Ok(String::new())
        } else {
            Err(format!("{containers} containers, {spans} series of spans"))
        })
    })
}

/// What the collector says of itself, and so of what it was sent.
fn collector(compose: &Compose) -> Result<String> {
    if !compose.services.contains(&image::COLLECTOR) {
        return Ok(format!(": left out, there is no collector; {} names one", super::COLLECTOR_VARIABLE));
    }
    let mut scraper = Scraper::connect(compose.address("container-exporter", 8080)?)?;
    for _ in 0..TRACED_BY_CHANCE {
        scraper.get("/metrics?collect[]=exporter", false)?;
    }
    let prometheus = compose.address("prometheus", 9090)?;
    wait("both signals, and the spans as it counts them for the alert", || {
        for name in [
            "otelcol_receiver_accepted_metric_points_total",
            "otelcol_receiver_accepted_spans_total",
            "sum by (service_name, status_code) (traces_span_metrics_calls_total{job=\"otel-spans\"})",
        ] {
            if query_vector(prometheus, &format!("{name} > 0"))?.is_empty() {
                return Ok(Err(format!("{name} is not above 0")));
            }
        }
        Ok(Ok(String::new()))
    })
}

/// The whole way: kernel, exporter, Prometheus and its rule, Alertmanager and its route, the webhook in a file of secrets.
fn alert(compose: &Compose) -> Result<String> {
    let prometheus = compose.address("prometheus", 9090)?;
    let listener = Listener::at(compose.this_machine()?)?;
    // In place: the container has the file itself mounted.
    let secret = compose.secret("slack_api_url");
    fs::write(&secret, format!("http://{}/", listener.address))
        .context(|| format!("failed to write {}", secret.display()))?;
    let limits = ["--memory", "48m", "--memory-swap", "48m", "--network", "none"];
    let mut words = vec!["run", "--detach", "--name", VICTIM];
    words.extend(limits);
    words.extend(["busybox:local", "sh", "-c", EAT]);
    compose.docker(&words)?;
    // A counter has to be seen before it rises.
    let query = format!("container_oom_events_total{{container_name=\"{VICTIM}\"}}");
    wait("the container's series", || {
        let seen = !query_vector(prometheus, &query)?.is_empty();
        Ok(if seen { Ok(()) } else { Err("none".to_owned()) })
    })?;
    compose.docker(&["exec", VICTIM, "touch", "/go"])?;
    let mut last = "nothing".to_owned();
    let delivered = wait("the alert at the webhook", || {
        while let Ok(body) = listener.bodies.try_recv() {
            last = body;
            if last.contains(ALERT) && last.contains(VICTIM) {
                return Ok(Ok(()));
            }
        }
        Ok(Err(format!("the last that came was {last}")))
    });
    delivered.map(|()| String::new()).map_err(|error| match error {
        Error::Failed(reason) => Error::Failed(format!("{reason}\n{}", compose.log("alertmanager"))),
        Error::Interrupted => Error::Interrupted,
    })
}

/// Tries until it is so; the inner error says how it is instead.
fn wait<T>(what: &str, mut attempt: impl FnMut() -> Result<std::result::Result<T, String>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        process::check_interrupted()?;
        match attempt()? {
            Ok(found) => return Ok(found),
            Err(instead) if Instant::now() > end => {
                return Err(Error::failed(format!("waited {} s for {what}: {instead}", PATIENCE.as_secs())));
            }
            Err(_) => process::wait_for_signal(POLL),
        }
    }
}

/// The data of an answer of Prometheus' API.
fn ask(prometheus: SocketAddr, path: &str) -> Result<Value> {
    let page = Scraper::connect(prometheus)?.get(path, false)?;
    let answer: Value = serde_json::from_slice(&page.body)
        .context(|| format!("failed to read the answer to {path}, {}", page.status))?;
    if answer["status"] == "success" {
        return Ok(answer["data"].clone());
    }
    Err(Error::failed(format!("Prometheus answers {path} with {}", answer["error"])))
}

fn query_vector(prometheus: SocketAddr, query: &str) -> Result<Vec<Value>> {
    let data = ask(prometheus, &format!("/api/v1/query?query={}", encoded(query)))?;
    Ok(data["result"].as_array().cloned().unwrap_or_default())
}

/// Percent-encoded for a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_its_way() {
        assert_eq!(encoded("up{a=\"b\"}"), "up%7Ba%3D%22b%22%7D");
        assert_eq!(encoded("é"), "%C3%A9");
    }

    #[test]
    fn every_job_that_is_waited_for_is_configured() {
        let config = include_str!("../../../deploy/compose/config/prometheus.yml");
        for job in JOBS {
            assert!(config.contains(&format!("- job_name: {job}\n")), "{job}");
        }
    }
}
