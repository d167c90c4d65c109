//! Real containers on a real engine: an idle many and a writing few.

use std::path::{Path, PathBuf};

use super::proc;
use crate::engine::{Engine, Keep, http};
use crate::error::{Error, Result};
use crate::process;

/// What a container of the fleet does all day.
const IDLE: &[&str] = &["sleep", "1000000"];
const WRITING: &[&str] = &[
    "sh",
    "-c",
    "while :; do dd if=/dev/zero of=/tmp/x bs=64k count=16 conv=fsync 2>/dev/null; sleep 1; done",
];

/// An engine, ours or one that runs anyway.
#[derive(Debug)]
pub(crate) struct Lab {
    /// Present where it is ours to end.
    engine: Option<Engine>,
    socket: PathBuf,
}

impl Lab {
    /// The engine at that endpoint, or a new one.
    pub(crate) fn open(endpoint: Option<&str>) -> Result<Self> {
        if let Some(endpoint) = endpoint {
            let socket = endpoint.strip_prefix("unix://").ok_or_else(|| {
                Error::failed(format!(
                    "`{endpoint}` is not of the form unix:///path; only local engines can be measured"
                ))
            })?;
            http::get(Path::new(socket), "/_ping")?;
            return Ok(Self { engine: None, socket: socket.into() });
        }
        if let Some(obstacle) = Engine::obstacle() {
            return Err(Error::failed(obstacle));
        }
        let engine = Engine::start(Keep::Nothing)?;
        let host = engine.docker_host();
        let socket = host.strip_prefix("unix://").unwrap_or(&host).into();
        Ok(Self { engine: Some(engine), socket })
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What DOCKER_HOST wants.
    pub(crate) fn docker_host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Seconds of CPU of the engine, its supervisor and its shims. Of an engine that is not ours, of all engines here.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let pids = match (&self.engine, self.socket.parent()) {
            (Some(_), Some(directory)) => proc::naming(directory),
            _ => proc::running(&["dockerd", "containerd", "containerd-shim", "docker-containerd"]),
        };
        pids.into_iter().map(proc::cpu_seconds).sum()
    }

    /// Makes and starts a container, as `docker run -d` does; its id.
    pub(crate) fn run(&self, name: &str, command: &[&str], limited: bool) -> Result<String> {
        process::check_interrupted()?;
        let limits = if limited {
            serde_json::json!({ "Memory": 64 << 20, "NanoCpus": 1_000_000_000_u64 })
        } else {
            serde_json::json!({})
        };
        let body =
            serde_json::json!({ "Image": "busybox:local", "Cmd": command, "HostConfig": limits }).to_string();
        let path = format!("/containers/create?name={name}");
        let created = http::json(
            http::post(&self.socket, &path, "application/json", body.as_bytes()),
            "create a container",
        )?;
        let id = created["Id"]
            .as_str()
            .ok_or_else(|| Error::failed("the engine made a container without an id"))?;
        let started = http::post(&self.socket, &format!("/containers/{id}/start"), "application/json", &[])?;
        if started.status != 204 {
            let said = String::from_utf8_lossy(&started.body).into_owned();
            return Err(Error::failed(format!("failed to start the container {name}: {}", said.trim())));
        }
        Ok(id.to_owned())
    }

    /// As `docker rm -f` does.
    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        http::delete(&self.socket, &format!("/containers/{id}?force=1&v=1")).map(drop)
    }

    /// Ends the engine, if it is ours.
    pub(crate) fn close(mut self) -> Result<()> {
        self.engine.take().map_or(Ok(()), Engine::stop)
    }
}

/// Accepts connections, and holds none.
const LISTENING: &[&str] = &["nc", "-ll", "-p", "80", "-e", "true"];

/// Containers that are removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Fleet<'a> {
    lab: &'a Lab,
    ids: Vec<String>,
}

impl<'a> Fleet<'a> {
    pub(crate) const LISTENING: &'static str = "bench-listening-";

    /// Starts that many containers; one in twenty writes to its disk, the others sleep.
    pub(crate) fn start(lab: &'a Lab, size: usize) -> Result<Self> {
        Self::of(
            lab,
            size,
            "bench-",
            |number| if number % 20 == 19 { (WRITING, false) } else { (IDLE, true) },
        )
    }

    /// Starts that many containers that listen for TCP, and do nothing else; their names begin with [`Self::LISTENING`].
    pub(crate) fn listening(lab: &'a Lab, size: usize) -> Result<Self> {
        Self::of(lab, size, Self::LISTENING, |_| (LISTENING, true))
    }

    /// Starts containers by what each does, and whether it is limited.
    fn of(
        lab: &'a Lab,
        size: usize,
        prefix: &str,
        what: impl Fn(usize) -> (&'static [&'static str], bool),
    ) -> Result<Self> {
        // Those that run are removed also where a later one does not start.
        let mut fleet = Self { lab, ids: Vec::new() };
        for number in 0..size {
            let (command, limited) = what(number);
            fleet.ids.push(lab.run(&format!("{prefix}{}-{number}", std::process::id()), command, limited)?);
        }
        Ok(fleet)
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        for id in &self.ids {
            // An engine of ours goes with all that is on it.
            if self.lab.engine.is_none() && self.lab.remove(id).is_err() {
                eprintln!("the container {id} stays; remove it");
            }
        }
    }
}
