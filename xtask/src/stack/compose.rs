//! Docker Compose on our engine, with the project's files and what a test has to change about them.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::engine::{Engine, network};
use crate::error::{Context as _, Error, Result};
use crate::process::{self, When};
use crate::stack::drive;
use crate::stack::programs::Debian;

/// The project's name: containers and volumes are called after it.
const PROJECT: &str = "stack";

/// Nobody outside is asked or told: the network has no way out, and no port of this machine is taken.
const OVERRIDE: &str = "networks: { stack: { internal: true } }\nservices:\n";

/// The files of the stack.
pub(crate) const FILE: &str = "deploy/compose/compose.yaml";

/// The stack on one engine.
pub(crate) struct Compose {
    /// What is started of it.
    pub(crate) services: Vec<&'static str>,
    program: PathBuf,
    docker_host: String,
    files: Vec<PathBuf>,
    secrets: PathBuf,
    socket: String,
    empty: PathBuf,
    /// Once containers on it are let through to each other.
    bridge: OnceCell<String>,
}

impl Compose {
    /// Prepares it: secrets of its own, no ports.
    pub(crate) fn new(engine: &Engine, debian: &Debian, services: Vec<&'static str>) -> Result<Self> {
        let directory = engine.path("stack");
        let secrets = directory.join("secrets");
        let empty = directory.join("docker-config");
        let failed = || format!("failed to make {}", directory.display());
        for path in [&secrets, &empty] {
            fs::create_dir_all(path).context(failed)?;
        }
        for name in ["grafana_admin_password", "pagerduty_routing_key", "slack_api_url"] {
            fs::write(secrets.join(name), "http://nobody.invalid/").context(failed)?;
        }
        let changes = directory.join("override.yaml");
        let text: String = OVERRIDE.to_owned()
            + &services
                .iter()
                .map(|service| format!("  {service}: {{ ports: !reset [] }}\n"))
                .collect::<String>();
        fs::write(&changes, text).context(failed)?;
        let docker_host = engine.docker_host();
        let socket = docker_host.trim_start_matches("unix://").to_owned();
        let files = vec![PathBuf::from(FILE), changes];
        Ok(Self {
            services,
            program: debian.compose(),
            docker_host,
            files,
            secrets,
            socket,
            empty,
            bridge: OnceCell::new(),
        })
    }

    /// The file of a secret.
    pub(crate) fn secret(&self, name: &str) -> PathBuf {
        self.secrets.join(name)
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = process::command(&self.program, &["--project-name", PROJECT]);
        for file in &self.files {
            command.arg("--file").arg(file);
        }
        command.args(words).env("DOCKER_HOST", &self.docker_host).env("DOCKER_CONFIG", &self.empty);
        command.env("DOCKER_SOCKET", &self.socket).env("SECRETS", &self.secrets);
        command
    }

    /// Starts what can be had here and waits until all of it is healthy.
    pub(crate) fn up(&self) -> Result<()> {
        let mut words =
            vec!["up", "--detach", "--wait", "--wait-timeout", "180", "--no-build", "--pull", "never"];
        words.extend(&self.services);
        let finished = process::capture(&mut self.command(&words), When::Working)?;
        if finished.status.success() {
            let id = self.network("{{.Id}}")?;
            // As the engine calls it.
            let bridge = format!("br-{}", id.get(..12).unwrap_or(&id));
            return network::let_through(self.bridge.get_or_init(|| bridge));
        }
        let said = String::from_utf8_lossy(&finished.stderr).into_owned();
        let logs = process::capture(&mut self.command(&["logs", "--tail", "20"]), When::Working)?.text();
        Err(Error::failed(format!("`docker compose up` ended with {}: {said}\n{logs}", finished.status)))
    }

    /// Takes everything away again, as well as it can: the engine goes after it in any case.
    pub(crate) fn down(&self) {
        let words = ["down", "--volumes", "--remove-orphans", "--timeout", "5"];
        let down = process::succeed(&mut self.command(&words), When::Guarded).map(|_| ());
        // The engine's undoing knows the bridges of networks that are still there.
        let rule = self.bridge.get().map_or(Ok(()), |bridge| network::remove(bridge));
        for error in [down, rule].into_iter().filter_map(Result::err) {
            eprintln!("{error}");
        }
    }

    fn network(&self, template: &str) -> Result<String> {
        let name = format!("{PROJECT}_stack");
        self.docker(&["network", "inspect", "--format", template, &name]).map(|text| text.trim().to_owned())
    }

    /// What the last lines of a service's log are.
    pub(crate) fn log(&self, service: &str) -> String {
        let finished = process::capture(&mut self.command(&["logs", "--tail", "30", service]), When::Working);
        finished.map_or_else(|error| error.to_string(), |finished| finished.text())
    }

    /// Runs the engine's own client.
    pub(crate) fn docker(&self, words: &[&str]) -> Result<String> {
        drive(&self.docker_host, Path::new("docker"), words)
    }

    /// What the engine knows of a service's container.
    pub(crate) fn inspect(&self, service: &str) -> Result<Value> {
        let text = self.docker(&["inspect", &format!("{PROJECT}-{service}-1")])?;
        let known: Value =
            serde_json::from_str(&text).context(|| format!("failed to read what is known of {service}"))?;
        Ok(known[0].clone())
    }

    fn in_network(&self, service: &str, key: &str) -> Result<IpAddr> {
        let known = self.inspect(service)?;
        let text =
            known["NetworkSettings"]["Networks"][format!("{PROJECT}_stack")][key].as_str().unwrap_or("");
        text.parse().context(|| format!("failed to read the {key} of {service}, {text:?}"))
    }

    /// Where a service answers, seen from this machine.
    pub(crate) fn address(&self, service: &str, port: u16) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.in_network(service, "IPAddress")?, port))
    }

    /// This machine's address, seen from a container whose network has a way out of it; an internal one has none, but its bridge has
    /// the first address all the same.
    pub(crate) fn this_machine(&self) -> Result<IpAddr> {
        let text = self.network("{{(index .IPAM.Config 0).Gateway}}")?;
        text.parse().context(|| format!("failed to read the network's gateway, {text:?}"))
    }

    /// Where a person looks, a line each.
    pub(crate) fn addresses(&self) -> Result<String> {
        let mut text = String::new();
        for (service, port) in [("prometheus", 9090), ("alertmanager", 9093), ("container-exporter", 8080)] {
            let _ = writeln!(text, "  {service:<20} http://{}", self.address(service, port)?);
        }
        Ok(text)
    }
}
