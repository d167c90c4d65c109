//! What Prometheus answered, written down for the pictures of the dashboards (`cargo xtask render-dashboards`).
//!
//! Made where `CONTAINER_EXPORTER_E2E_RECORD` names a folder. Names that are the test's own become ones that a person can read:
//! the host, the job, the start of each container's name, the addresses, and the machine's ids. Nothing else is changed but the number of digits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use container_mixin::dashboards;
use mixin::Profile;
use serde_json::{Value, json};

use super::sent_of;
use crate::harness::{Container, Scope};
use crate::prometheus::{Over, Prometheus};

/// How many scrapes a recording has: 3 minutes.
pub(super) const SCRAPES: u32 = 90;

/// The time between two points of a recording, in seconds, as [`Over::Time`] asks.
const STEP: u64 = 2;

/// The dashboard of one container shows this one.
const SHOWN: &str = "web";

/// Where the recording is to be written; `None` where none is wanted.
pub(super) fn folder() -> Option<PathBuf> {
    std::env::var_os("CONTAINER_EXPORTER_E2E_RECORD").map(PathBuf::from)
}

/// Containers besides, since a dashboard of three of which one sleeps shows little: they compute, send and fill memory.
pub(super) fn company(scope: &Scope) -> Vec<Container<'_>> {
    let service = |name: &'static str| {
        ["--label", "com.docker.compose.project=shop", "--label", name, "--network", "bridge"]
    };
    let grows = "httpd -h /; n=0; while :; do n=$((n % 24 + 1)); dd if=/dev/zero of=/dev/shm/kept bs=1M count=$n; sleep 3; done 2>/dev/null";
    let cache = scope.run(
        "cache",
        &[&service("com.docker.compose.service=cache")[..], &["-m", "64m"]].concat(),
        grows,
    );
    let at = cache.inspect("{{.NetworkSettings.IPAddress}}");
    let fetches = format!("while :; do wget -q -O /dev/null http://{at}/bin/busybox; sleep 0.2; done");
    let api = scope.run(
        "api",
        &[&service("com.docker.compose.service=api")[..], &["--cpus", "0.2", "-m", "64m"]].concat(),
        &fetches,
    );
    let worker = scope.run(
        "worker",
        &[&service("com.docker.compose.service=worker")[..], &["--cpus", "0.3"]].concat(),
        "while :; do i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; sleep 2; done",
    );
    vec![cache, api, worker]
}

/// Who is who in a recording.
pub(super) struct Names<'a> {
    /// The test's containers.
    pub(super) scope: &'a Scope,
    /// What Prometheus calls the exporter.
    pub(super) instance: String,
}

impl Names<'_> {
    fn readable(&self, label: &str, value: &str) -> String {
        match label {
            "job" => "container-exporter".to_owned(),
            // Of the machine that made the recording.
            "machine_id" | "boot_id" => "0".repeat(32),
            "endpoint" => value.replace(self.scope.host(), "unix:///var/run/docker.sock"),
            _ => value.replace(&self.scope.name(""), "shop-").replace(&self.instance, "host-a:9558"),
        }
    }
}

/// Writes a file for each dashboard: every query's answer, by the query as it stands in the dashboard.
pub(super) fn write(folder: &Path, prometheus: &Prometheus, names: &Names<'_>, from: u64, to: u64) {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    for entry in dashboards::ALL {
        let built = dashboards::build(entry, Profile::NATIVE).expect("no mistakes");
        let name = match entry.file {
            "container.json" => names.scope.name(SHOWN),
            _ => ".+".to_owned(),
        };
        let dashboard: Value = serde_json::from_str(&built.json).expect("JSON");
        let marks = dashboard["annotations"]["list"].as_array().into_iter().flatten();
        let marks = marks.filter_map(|mark| Some((mark["expr"].as_str()?.to_owned(), false)));
        let queries = built.queries.into_iter().map(|query| (query.text, query.instant)).chain(marks);
        let (mut instant, mut range) = (BTreeMap::new(), BTreeMap::new());
        for (query, is_instant) in queries {
            let over = if is_instant { Over::Now } else { Over::Time { from, to } };
            let answer = prometheus.answer(&sent_of(&query, &name), over).expect("an answer");
            let series: Vec<Value> = answer.iter().map(|one| series(one, names, from, to)).collect();
            if is_instant { &mut instant } else { &mut range }.insert(query, series);
        }
        let name = names.readable("container_name", &name).replace(".+", "All");
        let head = json!({"name": name, "from": from, "to": to, "step": STEP});
        let text = format!(
            "{{\"head\": {head},\n\"instant\": {},\n\"range\": {}}}\n",
            by_line(&instant),
            by_line(&range)
        );
        std::fs::write(folder.join(entry.file), text).expect("it can be written");
    }
}

/// One query a line, so that a new recording can be compared.
fn by_line(answers: &BTreeMap<String, Vec<Value>>) -> String {
    let lines: Vec<String> =
        answers.iter().map(|(query, series)| format!("{}: {}", json!(query), json!(series))).collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}

/// Labels, and a value for each point of time; `null` where there was none.
fn series(answered: &Value, names: &Names<'_>, from: u64, to: u64) -> Value {
    let labels = answered["metric"].as_object().into_iter().flatten();
    let labels: serde_json::Map<String, Value> = labels
        .map(|(name, value)| (name.clone(), names.readable(name, value.as_str().unwrap_or_default()).into()))
        .collect();
    let values = match answered["values"].as_array() {
        Some(points) => {
            let at = |point: &Value| Some((point[0].as_f64()?.round(), rounded(&point[1])));
            let points: Vec<(f64, Value)> = points.iter().filter_map(at).collect();
            let value = |time: u64| {
                let found = points.iter().find(|(at, _)| (at - time as f64).abs() < 0.5);
                found.map_or(Value::Null, |(_, value)| value.clone())
            };
            (from..=to).step_by(STEP as usize).map(value).collect()
        }
        None => vec![rounded(&answered["value"][1])],
    };
    json!({"labels": labels, "values": values})
}

/// Four digits are more than a picture can show; what is no number JSON has, Grafana does not draw either. Whole numbers stay: a time
/// in seconds would be another day.
fn rounded(value: &Value) -> Value {
    let Some(number) = value.as_str().and_then(|text| text.parse::<f64>().ok()).filter(|it| it.is_finite())
    else {
        return Value::Null;
    };
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return json!(number as i64);
    }
    let short: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    if number.abs() >= 1e4 { json!(number.round() as i64) } else { json!(short) }
}
