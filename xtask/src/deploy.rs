//! What stands in `deploy/`, checked without starting it: each file by the program that reads it.
//!
//! The live check of the stack is [`crate::stack`]'s; that of the unit and the image are end-to-end tests.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::error::{Context as _, Error, Result};
use crate::process::{self, When};
use crate::stack::compose;
use crate::stack::programs::{self, Debian};
use crate::step::{Counts, Outcome};

/// How a check ended, when it did not break.
enum Checked {
    /// Nothing is wrong.
    Passed,
    /// A program is not here that no step needs and nothing installs: what is not looked at, and how it would be.
    LeftOut(String),
}

type Check = fn(&Debian) -> Result<Checked>;

const CHECKS: &[(&str, Check)] = &[
    ("compose.yaml is hardened and pinned", |debian| compose_files(debian, &[compose::FILE])),
    ("so it is behind the socket proxy", |debian| compose_files(debian, &[compose::FILE, PROXY])),
    ("prometheus.yml is Prometheus'", prometheus),
    ("alertmanager.yml is Alertmanager's", alertmanager),
    ("the bases of kustomize build", kustomize),
    ("the Helm chart is one", helm),
    ("the unit exposes little", unit),
];

const PROXY: &str = "deploy/compose/compose.socket-proxy.yaml";
const BASES: &[&str] = &["deploy/kubernetes/base", "deploy/kubernetes/podmonitor"];
const CHART: &str = "deploy/helm/container-exporter";
const UNIT: &str = "deploy/systemd/container-exporter.service";
/// Of 100, by `systemd-analyze security`.
const EXPOSURE_MAX: u32 = 20;
/// Its image has nothing in it that could check.
const WITHOUT_HEALTH_CHECK: &[&str] = &["otel-collector"];

/// The step of `cargo xtask test`.
pub(crate) fn step() -> Result<Outcome> {
    if let Some(obstacle) = programs::obstacle() {
        return Ok(Outcome::Skipped(obstacle));
    }
    let debian = programs::ensure()?;
    let mut counts = Counts::default();
    for (name, check) in CHECKS {
        match check(&debian) {
            Ok(Checked::Passed) => {
                println!("   ok {name}");
                counts.add(Counts::PASSED);
            }
            Ok(Checked::LeftOut(reason)) => println!("   left out: {name}: {reason}"),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                println!("   FAILED {name}: {error}");
                counts.add(Counts::FAILED);
            }
        }
    }
    Ok(Outcome::Tests { counts, ok: counts.failed == 0 })
}

fn succeed(mut command: Command) -> Result<String> {
    process::succeed(&mut command, When::Working).map(|finished| finished.text())
}

/// What Compose makes of the files, every profile included.
fn compose_files(debian: &Debian, files: &[&str]) -> Result<Checked> {
    let mut command = process::command(debian.compose(), &["--profile", "*"]);
    for file in files {
        command.args(["--file", file]);
    }
    command.args(["config", "--format", "json"]);
    let text = succeed(command)?;
    let model: Value =
        serde_json::from_str(&text).context(|| "failed to read what Compose says".to_owned())?;
    let services = model["services"].as_object().ok_or_else(|| Error::failed("Compose finds no services"))?;
    for (name, service) in services {
        if let Some(fault) = fault(name, service) {
            return Err(Error::failed(format!("{name}: {fault}")));
        }
    }
    Ok(Checked::Passed)
}

/// What is not as it has to be for every service.
fn fault(name: &str, service: &Value) -> Option<String> {
    let is = |key: &str, value: Value| (service[key] != value).then(|| format!("{key} is {}", service[key]));
    let image = service["image"].as_str().unwrap_or_default();
    let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
    let limits = &service["deploy"]["resources"]["limits"];
    is("read_only", Value::Bool(true))
        .or_else(|| is("cap_drop", serde_json::json!(["ALL"])))
        .or_else(|| is("cap_add", Value::Null))
        .or_else(|| is("privileged", Value::Null))
        .or_else(|| is("restart", Value::from("unless-stopped")))
        .or_else(|| is("security_opt", serde_json::json!(["no-new-privileges:true"])))
        .or_else(|| (!is_version(tag)).then(|| format!("{image} is no pinned version")))
        .or_else(|| {
            let missing = ["cpus", "memory", "pids"].into_iter().find(|key| limits[key].is_null());
            missing.map(|key| format!("it has no limit of {key}"))
        })
        .or_else(|| {
            let wanted = !WITHOUT_HEALTH_CHECK.contains(&name);
            (service["healthcheck"]["test"].is_array() != wanted).then(|| "the health check".to_owned())
        })
        .or_else(|| {
            let ports = service["ports"].as_array().into_iter().flatten();
            let open = ports.filter(|port| port["host_ip"] != "127.0.0.1").count();
            (open > 0).then(|| "a port is open to other machines".to_owned())
        })
}

/// At least two numbers with a dot between them, as in `v3.5.3` or `0.50.0-alpine`.
fn is_version(tag: &str) -> bool {
    let numbers = tag.strip_prefix('v').unwrap_or(tag).split('-').next().unwrap_or_default();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers.contains('.') && numbers.split('.').all(digits)
}

fn prometheus(debian: &Debian) -> Result<Checked> {
    let program = debian.file("usr/bin/promtool");
    // The paths in it are those of the container.
    let words = ["check", "config", "--syntax-only", "deploy/compose/config/prometheus.yml"];
    succeed(process::command(program, &words)).map(|_| Checked::Passed)
}

fn alertmanager(debian: &Debian) -> Result<Checked> {
    let program = debian.file("usr/bin/amtool");
    let words = ["check-config", "deploy/alertmanager/alertmanager.yml"];
    succeed(process::command(program, &words)).map(|_| Checked::Passed)
}

fn kustomize(debian: &Debian) -> Result<Checked> {
    for base in BASES {
        let built = succeed(process::command(debian.file("usr/bin/kustomize"), &["build", base]))?;
        least_privilege(&built).map_err(|fault| Error::failed(format!("{base}: {fault}")))?;
        conform(&built)?;
    }
    Ok(Checked::Passed)
}

/// Lints the chart, and looks at what it makes with its defaults and with everything switched.
fn helm(_: &Debian) -> Result<Checked> {
    let Some(helm) = process::find_program("helm") else {
        let how = "helm is not on PATH; `go install helm.sh/helm/v3/cmd/helm@latest` brings it";
        return Ok(Checked::LeftOut(how.to_owned()));
    };
    succeed(process::command(&helm, &["lint", "--strict", CHART]))?;
    let variants: [&[&str]; 2] =
        [&[], &["--set", "podMonitor.enabled=true,engineSockets.enabled=false,serviceAccount.create=false"]];
    for variant in variants {
        // One that was not built by its makers takes itself for a very old Kubernetes.
        let mut command =
            process::command(&helm, &["template", "release", CHART, "--kube-version", KUBERNETES]);
        command.args(variant);
        let built = succeed(command)?;
        least_privilege(&built).map_err(|fault| Error::failed(format!("{variant:?}: {fault}")))?;
        conform(&built)?;
    }
    Ok(Checked::Passed)
}

/// The version whose schemas are asked.
const KUBERNETES: &str = "1.33.0";

/// What every pod has to be.
fn least_privilege(built: &str) -> std::result::Result<(), String> {
    let wanted = [
        "kind: DaemonSet",
        "automountServiceAccountToken: false",
        "enableServiceLinks: false",
        "hostPID: true",
        "privileged: false",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "type: RuntimeDefault",
    ];
    if let Some(missing) = wanted.iter().find(|line| !built.contains(*line)) {
        return Err(format!("{missing:?} is not in it"));
    }
    let mounts = built.matches("mountPath:").count();
    let read_only = built.matches("readOnly: true").count();
    if mounts == read_only { Ok(()) } else { Err(format!("{mounts} mounts, {read_only} of them read-only")) }
}

/// Asks kubeconform, where it is and has schemas: `KUBECONFORM_SCHEMAS` names where it finds them, as its `-schema-location` does.
fn conform(built: &str) -> Result<()> {
    let (Some(program), Ok(schemas)) =
        (process::find_program("kubeconform"), std::env::var("KUBECONFORM_SCHEMAS"))
    else {
        return Ok(());
    };
    let directory = std::env::temp_dir().join(format!("container-exporter-conform-{}", std::process::id()));
    let failed = || format!("failed to write {}", directory.display());
    std::fs::create_dir_all(&directory).context(failed)?;
    let file = directory.join("built.yaml");
    std::fs::write(&file, built).context(failed)?;
    let words = ["-strict", "-summary", "-kubernetes-version", KUBERNETES, "-skip", "PodMonitor"];
    let mut command = process::command(program, &words);
    command.args(["-schema-location", &schemas]).arg(&file);
    let said = process::capture(&mut command, When::Working);
    std::fs::remove_dir_all(&directory).context(|| format!("failed to remove {}", directory.display()))?;
    let said = said?;
    if said.status.success() { Ok(()) } else { Err(Error::failed(said.text())) }
}

fn unit(_: &Debian) -> Result<Checked> {
    let help = process::find_program("systemd-analyze").map(|program| {
        process::capture(&mut process::command(program, &["--help"]), When::Working).map(|said| said.text())
    });
    if !help.transpose()?.is_some_and(|text| text.contains("--offline")) {
        return Ok(Checked::LeftOut("systemd-analyze of systemd 250 or newer is not here".to_owned()));
    }
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let unit = Path::new(UNIT).canonicalize().context(|| format!("failed to find {UNIT}"))?;
    let mut command =
        process::command("systemd-analyze", &["security", "--no-pager", "--offline=true", &threshold]);
    command.arg(unit);
    succeed(command).map(|_| Checked::Passed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use yaml_rust2::{Yaml, YamlLoader};

    use super::*;

    #[test]
    fn a_version_is_numbers() {
        for tag in ["v3.5.3", "0.150.0", "1.12.2", "0.50.0-alpine"] {
            assert!(is_version(tag), "{tag}");
        }
        for tag in ["", "latest", "v3", "main-1.2", "nightly"] {
            assert!(!is_version(tag), "{tag}");
        }
    }

    #[test]
    fn what_is_not_as_it_has_to_be_is_named() {
        let good = serde_json::json!({
            "image": "a:1.2", "read_only": true, "cap_drop": ["ALL"], "restart": "unless-stopped",
            "security_opt": ["no-new-privileges:true"], "healthcheck": { "test": ["CMD"] },
            "deploy": { "resources": { "limits": { "cpus": 1, "memory": "1", "pids": 1 } } },
            "ports": [{ "host_ip": "127.0.0.1" }],
        });
        assert_eq!(fault("a", &good), None);
        let with = |key: &str, value: Value| {
            let mut service = good.clone();
            service[key] = value;
            fault("a", &service)
        };
        assert_eq!(with("privileged", Value::Bool(true)).as_deref(), Some("privileged is true"));
        for (key, value) in [
            ("read_only", Value::Null),
            ("cap_add", serde_json::json!(["SYS_ADMIN"])),
            ("image", Value::from("a:latest")),
            ("deploy", Value::Null),
            ("healthcheck", Value::Null),
            ("ports", serde_json::json!([{ "host_ip": "0.0.0.0" }])),
        ] {
            assert!(with(key, value).is_some(), "{key}");
        }
    }

    fn parse(path: &str) -> Yaml {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut documents =
            YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(documents.len(), 1, "{path}");
        documents.remove(0)
    }

    /// Read by programs that are not to be had here: Grafana, Vector, the collector, GitHub.
    #[test]
    fn what_no_program_here_reads_is_yaml_at_least() {
        for path in [
            "deploy/compose/config/otel-collector.yaml",
            "deploy/compose/config/vector.yaml",
            ".github/workflows/ci.yml",
            ".github/workflows/release.yml",
            ".github/dependabot.yml",
        ] {
            assert!(parse(path).as_hash().is_some(), "{path}");
        }
    }

    #[test]
    fn a_pipeline_of_the_collector_names_what_is_there() {
        let config = parse("deploy/compose/config/otel-collector.yaml");
        let pipelines = config["service"]["pipelines"].as_hash().expect("it has some");
        assert_eq!(pipelines.len(), 3, "traces, metrics, and what is counted of traces");
        for (name, pipeline) in pipelines {
            for kind in ["receivers", "processors", "exporters"] {
                for part in pipeline[kind].as_vec().expect("a list") {
                    let part = part.as_str().expect("a name");
                    let connects = kind != "processors" && !config["connectors"][part].is_badvalue();
                    assert!(!config[kind][part].is_badvalue() || connects, "{name:?}: {kind} has no {part}");
                }
            }
        }
    }

    /// The alert SpanErrors is silent without them.
    #[test]
    fn spans_are_counted_by_the_collector_and_scraped() {
        let config = parse("deploy/compose/config/otel-collector.yaml");
        let has = |pipeline: &str, end: &str, part: &str| {
            let parts = config["service"]["pipelines"][pipeline][end].as_vec().expect("a list");
            assert!(parts.iter().any(|one| one.as_str() == Some(part)), "{pipeline} has no {part} as {end}");
        };
        has("traces", "exporters", "spanmetrics");
        has("metrics/spans", "receivers", "spanmetrics");
        has("metrics/spans", "exporters", "prometheus/spans");
        let endpoint = config["exporters"]["prometheus/spans"]["endpoint"].as_str().expect("an address");
        let wanted = endpoint.replace("0.0.0.0", "otel-collector");
        let prometheus = parse("deploy/compose/config/prometheus.yml");
        let jobs = prometheus["scrape_configs"].as_vec().expect("jobs");
        let scrapes = |job: &Yaml| job["static_configs"][0]["targets"][0].as_str() == Some(&*wanted);
        let job = jobs.iter().find(|job| scrapes(job)).unwrap_or_else(|| panic!("nobody scrapes {wanted}"));
        let kept =
            job["metric_relabel_configs"][0]["regex"].as_str().and_then(|regex| regex.strip_suffix(".*"));
        let rules = include_str!("../../deploy/prometheus/rules/otlp_alerts.yml");
        assert!(rules.contains(&format!("{}calls_total", kept.expect("it keeps some"))), "{kept:?}");
        // The collector of few components has no connector that counts.
        let image = &parse(compose::FILE)["services"]["otel-collector"]["image"];
        assert!(image.as_str().is_some_and(|image| image.contains("-contrib:")), "{image:?}");
    }

    #[test]
    fn a_part_of_vectors_pipeline_has_its_inputs() {
        let config = parse("deploy/compose/config/vector.yaml");
        let known =
            |name: &str| ["sources", "transforms"].iter().any(|kind| !config[*kind][name].is_badvalue());
        for kind in ["transforms", "sinks"] {
            for (name, part) in config[kind].as_hash().expect("it has some") {
                for input in part["inputs"].as_vec().expect("inputs") {
                    assert!(known(input.as_str().expect("a name")), "{name:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_deployed_is_the_workspaces_version() {
        let version = env!("CARGO_PKG_VERSION");
        let image = format!("ghcr.io/container-exporter/container-exporter:{version}");
        assert_eq!(parse(compose::FILE)["services"]["container-exporter"]["image"].as_str(), Some(&*image));
        let base = parse("deploy/kubernetes/base/kustomization.yaml");
        assert_eq!(base["images"][0]["newTag"].as_str(), Some(version));
        let chart = parse("deploy/helm/container-exporter/Chart.yaml");
        assert_eq!([chart["version"].as_str(), chart["appVersion"].as_str()], [Some(version); 2]);
    }

    #[test]
    fn every_variable_of_the_stack_is_documented() {
        let documented = include_str!("../../docs/deploying.md");
        let files = [
            include_str!("../../deploy/compose/compose.yaml"),
            include_str!("../../deploy/compose/compose.socket-proxy.yaml"),
        ];
        let used =
            files.iter().flat_map(|text| text.split("${").skip(1)).filter_map(|rest| rest.split(":-").next());
        let mut counted = 0;
        for name in used {
            assert!(documented.contains(&format!("`{name}`")), "docs/deploying.md says nothing of {name}");
            counted += 1;
        }
        assert!(counted > 10, "{counted}");
    }

    /// Whatever an action's tag means tomorrow, a release is made by what was looked at.
    #[test]
    fn the_release_is_made_by_pinned_actions() {
        let workflow = include_str!("../../.github/workflows/release.yml");
        let uses = workflow.lines().filter_map(|line| line.split_once("uses: "));
        let mut counted = 0;
        for (_, action) in uses {
            let commit = action.split_once('@').and_then(|(_, rest)| rest.split_once(" # v"));
            let is_commit = |(commit, _): (&str, &str)| {
                commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            assert!(commit.is_some_and(is_commit), "{action}");
            counted += 1;
        }
        assert!(counted > 4, "{counted}");
    }

    #[test]
    fn grafana_is_given_prometheus_and_the_dashboards() {
        let source = &parse("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"][0];
        assert_eq!(source["access"].as_str(), Some("proxy"));
        assert_eq!(source["isDefault"].as_bool(), Some(true));
        assert_eq!(source["editable"].as_bool(), Some(false));
        assert_eq!(source["jsonData"]["timeInterval"].as_str(), Some("30s"));
        assert_eq!(source["jsonData"]["httpMethod"].as_str(), Some("POST"));
        let compose = parse(compose::FILE);
        let service = source["url"].as_str().and_then(|url| url.strip_prefix("http://")?.split(':').next());
        assert!(!compose["services"][service.expect("a host")].is_badvalue());

        let provider = &parse("deploy/grafana/provisioning/dashboards/dashboards.yml")["providers"][0];
        assert_eq!(provider["updateIntervalSeconds"].as_i64(), Some(30));
        assert_eq!(provider["options"]["foldersFromFilesStructure"].as_bool(), Some(true));
        let path = provider["options"]["path"].as_str().expect("a directory");
        let mounts = compose["services"]["grafana"]["volumes"].as_vec().expect("some");
        let mounted: BTreeSet<&str> = mounts
            .iter()
            .filter_map(Yaml::as_str)
            .filter(|mount| mount.starts_with("../../dashboards"))
            .collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
        let files = std::fs::read_dir(&folder).expect("listed").map(|entry| entry.expect("listed").path());
        let wanted: BTreeSet<String> = files
            .filter(|file| file.extension().is_some_and(|end| end == "json"))
            .map(|file| {
                let text = std::fs::read_to_string(&file).expect("a dashboard");
                let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                let tags = dashboard["tags"].as_array().expect("tags");
                let is_ours = tags.iter().any(|tag| tag == "containers");
                let name = file.file_name().expect("a name").to_string_lossy().into_owned();
                let folder = if is_ours { "Containers" } else { "OTLP" };
                format!("../../dashboards/{name}:{path}/{folder}/{name}:ro")
            })
            .collect();
        assert_eq!(mounted, wanted.iter().map(String::as_str).collect());
    }
}
