//! The engines' sockets: there, allowed, answering.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use collector_core::Engine;
use serde::Deserialize;
use source_docker::{Endpoint, UsersNow, discover};

use super::{
    Finding, elsewhere,
    machine::{Machine, Rights},
};
use crate::config::Settings;
use crate::config::settings::{self, Sockets, Source};

/// What a proxy before the engine must let through.
const NEEDED: &str =
    "GET /_ping, /version, /info, /events, /containers/json and /containers/*/json must be allowed";

/// A socket to look at.
struct Place {
    area: &'static str,
    engine: Engine,
    owner: Owner,
    path: PathBuf,
    /// The key that names it; `None` for the usual places, which may well be empty.
    named_by: Option<&'static str>,
}

/// Whose engine it is, which says how it is started.
enum Owner {
    System,
    /// The user that this process runs as.
    Own,
    /// A user by name, or by uid where there is no name.
    User(String),
}

/// Looks at each socket that a run would try; also says whether an engine answers.
pub(super) fn check(machine: &Machine<'_>, settings: &Settings) -> (Vec<Finding>, bool) {
    match settings.source {
        Source::Sim(count) => {
            let what = format!("not asked: `general.source` simulates {count} containers");
            return (vec![Finding::ok("engines", what)], false);
        }
        Source::Cgroup => {
            let what = "not asked: `general.source` is cgroup, so containers have ids and no names";
            return (vec![Finding::ok("engines", what)], false);
        }
        Source::Auto | Source::Docker => {}
    }
    let (mut places, mut findings) = places(machine, settings);
    findings.extend(of_users(machine, settings, &mut places));
    let mut empty = Vec::new();
    let mut answers = false;
    for place in &places {
        match look(machine, place) {
            Look::Answers(finding) => {
                answers = true;
                findings.push(finding);
            }
            Look::Fault(finding) => findings.push(finding),
            Look::Empty => empty.push(place),
        }
    }
    if findings.iter().all(|finding| finding.area == "engines") {
        findings.push(none(machine, settings.source == Source::Docker, &empty));
    }
    (findings, answers)
}

fn places(machine: &Machine<'_>, settings: &Settings) -> (Vec<Place>, Vec<Finding>) {
    let mut places = Vec::new();
    let mut findings = Vec::new();
    let mut add = |engine: Engine, area, key, configured: &settings::Engine| match &configured.sockets {
        _ if !configured.enabled => {}
        Sockets::Only(paths) => places.extend(paths.iter().map(|path| Place {
            area,
            engine,
            owner: Owner::System,
            path: path.clone(),
            named_by: Some(key),
        })),
        Sockets::Auto => {
            for candidate in discover(machine.env, &machine.root) {
                let named_by = (candidate.origin == "DOCKER_HOST").then_some("DOCKER_HOST");
                match candidate.endpoint {
                    _ if candidate.engine != engine => {}
                    Ok(Endpoint::Unix(path)) => {
                        let is_own = candidate.name.contains("rootless");
                        let owner = if is_own { Owner::Own } else { Owner::System };
                        places.push(Place { area, engine, owner, path, named_by });
                    }
                    Ok(remote) => findings.extend(elsewhere::check(machine, area, &remote)),
                    Err(error) => findings.push(Finding::problem(
                        area,
                        error.to_string(),
                        format!("unset DOCKER_HOST, or set `{key}` to the engine's socket"),
                    )),
                }
            }
        }
    };
    add(Engine::Docker, "docker", "docker.socket_path", &settings.docker);
    if settings.source != Source::Docker {
        add(Engine::Podman, "podman", "podman.socket_path", &settings.podman);
    }
    if settings.docker.enabled {
        findings.extend(
            settings.docker.remotes.iter().flat_map(|remote| elsewhere::check(machine, "docker", remote)),
        );
    }
    (places, findings)
}

/// Adds the sockets of users' engines to the places; says of the others why they are not asked.
fn of_users(machine: &Machine<'_>, settings: &Settings, places: &mut Vec<Place>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if ![Engine::Docker, Engine::Podman].into_iter().any(|kind| settings.follows_users_of(kind)) {
        return findings;
    }
    let now = UsersNow::look(&machine.root);
    for candidate in now.engines {
        let (Ok(Endpoint::Unix(path)), Some(uid)) = (candidate.endpoint, candidate.uid) else { continue };
        let is_known = places.iter().any(|place| place.path == path);
        if is_known || !settings.follows_users_of(candidate.engine) {
            continue;
        }
        let name = machine.name_of("/etc/passwd", uid).unwrap_or_else(|| uid.to_string());
        let area = if candidate.engine == Engine::Podman { "podman" } else { "docker" };
        let place = Place { area, engine: candidate.engine, owner: Owner::User(name), path, named_by: None };
        if candidate.exists {
            places.push(place);
            continue;
        }
        let what = format!(
            "there is no {}: the names are from Podman's files, and what has ended, pods and health are not shown",
            place.path.display()
        );
        findings.push(Finding::warning(area, what, start(machine, &place)));
    }
    if !now.closed.is_empty() {
        let closed: Vec<String> = now.closed.iter().map(|path| path.display().to_string()).collect();
        let what = format!(
            "users' engines below {} are not seen: only root may look there (run as root to follow them)",
            closed.join(", ")
        );
        findings.push(Finding::ok("engines", what));
    }
    findings
}

enum Look {
    Answers(Finding),
    Fault(Finding),
    /// Nothing there, and nobody said that there is.
    Empty,
}

fn look(machine: &Machine<'_>, place: &Place) -> Look {
    let shown = place.path.display();
    let problem = |what: String, fix: String| Look::Fault(Finding::problem(place.area, what, fix));
    let metadata = match fs::metadata(&place.path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let what = format!("{shown} is in a directory that this user may not enter");
            return problem(what, "run as the user who owns the engine, or as root".to_owned());
        }
        Err(_) => match place.named_by {
            None => return Look::Empty,
            Some(key) => {
                let what = format!("{shown}, which {key} names, does not exist");
                return problem(what, start(machine, place));
            }
        },
    };
    if metadata.is_dir() {
        let what = format!("{shown} is a directory: it was mounted while the engine's socket did not exist");
        return problem(
            what,
            format!("on the host: sudo rmdir {shown}; {}; then make this container again", restart(place)),
        );
    }
    if !metadata.file_type().is_socket() {
        let key = place.named_by.unwrap_or("docker.socket_path");
        return problem(format!("{shown} is not a socket"), format!("set `{key}` to the engine's socket"));
    }
    match (machine.ask)(&place.path, "/_ping") {
        Ok(answer) if answer.status == 200 => Look::Answers(version(machine, place)),
        Ok(answer) => {
            let what = format!("{shown} answers /_ping with status {}", answer.status);
            problem(what, format!("if a socket proxy stands before the engine, {NEEDED}"))
        }
        Err(error) => fault(machine, place, &metadata, &error),
    }
}

fn fault(machine: &Machine<'_>, place: &Place, metadata: &fs::Metadata, error: &io::Error) -> Look {
    let shown = place.path.display();
    let (what, fix) = match error.kind() {
        ErrorKind::PermissionDenied => denied(machine, place, metadata),
        ErrorKind::ConnectionRefused => (format!("nobody listens at {shown}"), start(machine, place)),
        ErrorKind::TimedOut => (format!("{shown} does not answer within 2 s"), restart(place)),
        _ => (format!("failed to ask {shown}: {error}"), restart(place)),
    };
    Look::Fault(Finding::problem(place.area, what, fix))
}

/// The socket is there, but not for us.
fn denied(machine: &Machine<'_>, place: &Place, metadata: &fs::Metadata) -> (String, String) {
    let Rights { uid: owner, gid, mode } = (machine.rights)(metadata);
    let group = machine.name_of("/etc/group", gid);
    let shown = place.path.display();
    let named = group.as_ref().map_or_else(|| format!("group {gid}"), |name| format!("group {name} ({gid})"));
    if machine.uid == 0 || machine.uid == owner || machine.groups.contains(&gid) {
        let what = format!("{shown} is refused although its {named} is ours: SELinux or AppArmor forbids it");
        let fix = if machine.in_container() {
            "start this container with --security-opt label=disable"
        } else {
            "sudo ausearch -m avc -ts recent shows the rule that forbids it"
        };
        return (what, fix.to_owned());
    }
    let what =
        format!("{shown} may be used by {named} only, and this process (uid {}) is not in it", machine.uid);
    let opens_to_group = mode & 0o060 == 0o060 && gid != 0;
    let fix = match (opens_to_group, machine.in_container(), group) {
        (true, false, Some(group)) => {
            let user = machine.name_of("/etc/passwd", machine.uid).unwrap_or_else(|| "$USER".to_owned());
            format!("sudo usermod -aG {group} {user}, then log in again")
        }
        (true, _, _) => format!("start this container with --group-add {gid}"),
        (false, true, _) => format!("start this container with --user {owner}"),
        (false, false, _) if owner != 0 => format!("run as the user with uid {owner}"),
        (false, false, _) => "run as root".to_owned(),
    };
    (what, fix)
}

/// `/version` of the Engine API.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Version {
    version: Option<String>,
    api_version: Option<String>,
}

fn version(machine: &Machine<'_>, place: &Place) -> Finding {
    let shown = place.path.display();
    let answer = match (machine.ask)(&place.path, "/version") {
        Ok(answer) if answer.status == 200 => answer,
        Ok(answer) => {
            let what = format!("{shown} answers /_ping, but /version with status {}", answer.status);
            return Finding::warning(place.area, what, format!("in the socket proxy, {NEEDED}"));
        }
        Err(error) => {
            let what = format!("{shown} answers /_ping, but not /version: {error}");
            return Finding::warning(place.area, what, restart(place));
        }
    };
    let said: Version = serde_json::from_str(&answer.body).unwrap_or_default();
    let unknown = || "of unknown version".to_owned();
    let (version, api) = (said.version.unwrap_or_else(unknown), said.api_version.unwrap_or_else(unknown));
    Finding::ok(place.area, format!("{version}, API {api}, at {shown}"))
}

/// No engine anywhere.
fn none(machine: &Machine<'_>, is_needed: bool, empty: &[&Place]) -> Finding {
    let places: Vec<String> = empty.iter().map(|place| place.path.display().to_string()).collect();
    if places.is_empty() {
        let what = "every engine is switched off, so containers have ids and no names";
        return Finding::warning("engines", what, "set `docker.enabled = true` or `podman.enabled = true`");
    }
    let fix = if machine.in_container() {
        "start this container with -v /var/run/docker.sock:/var/run/docker.sock:ro"
    } else {
        "sudo systemctl start docker, or name another socket with `docker.socket_path`"
    };
    let found = format!("no engine's socket at {}", places.join(", "));
    if is_needed {
        return Finding::problem("engines", found, fix);
    }
    Finding::warning("engines", format!("{found}: containers are found by their cgroups, without names"), fix)
}

/// How to start an engine whose socket is missing or dead.
fn start(machine: &Machine<'_>, place: &Place) -> String {
    match (place.engine, &place.owner) {
        (Engine::Podman, owner) => format!("{} enable --now podman.socket", systemctl(owner)),
        (_, Owner::System) if machine.in_container() => mount(&place.path),
        (_, owner) => format!("{} start docker", systemctl(owner)),
    }
}

fn systemctl(owner: &Owner) -> String {
    match owner {
        Owner::System => "sudo systemctl".to_owned(),
        Owner::Own => "systemctl --user".to_owned(),
        Owner::User(name) => format!("sudo systemctl --user -M {name}@"),
    }
}

fn mount(path: &Path) -> String {
    let path = path.display();
    format!("on the host: sudo systemctl start docker; then start this container with -v {path}:{path}:ro")
}

fn restart(place: &Place) -> String {
    let unit = if place.engine == Engine::Podman { "podman.socket" } else { "docker" };
    format!("{} restart {unit}", systemctl(&place.owner))
}
