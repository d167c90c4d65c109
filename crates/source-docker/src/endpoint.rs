//! Where engines listen: addresses, and the places where sockets are looked for.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use collector_core::Engine;

/// The address of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Reads an address as `DOCKER_HOST` spells it: `unix:///var/run/docker.sock`, or a bare absolute path.
    ///
    /// # Errors
    ///
    /// The scheme is not supported, or there is no path.
    pub fn parse(address: &str) -> Result<Self, EndpointError> {
        let fault = |kind| EndpointError { address: address.to_owned(), kind };
        let path = match address.split_once("://") {
            Some(("unix", path)) => path,
            Some(("tcp" | "http" | "https" | "npipe" | "ssh" | "fd", _)) => {
                return Err(fault(EndpointErrorKind::NotYet));
            }
            Some(_) => return Err(fault(EndpointErrorKind::UnknownScheme)),
            None => address,
        };
        if !path.starts_with('/') {
            return Err(fault(EndpointErrorKind::RelativePath));
        }
        Ok(Self::Unix(path.into()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// An address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to use the engine address {address:?}: {kind}")]
pub struct EndpointError {
    address: String,
    kind: EndpointErrorKind,
}

impl EndpointError {
    /// What is wrong with it.
    #[must_use]
    pub const fn kind(&self) -> EndpointErrorKind {
        self.kind
    }
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointErrorKind {
    /// A scheme that engines have and this version has not.
    #[error("only unix sockets are supported so far, give unix:///path/to/docker.sock")]
    NotYet,
    /// A scheme that no engine has.
    #[error("unknown scheme, give unix:///path/to/docker.sock")]
    UnknownScheme,
    /// A unix socket without an absolute path.
    #[error("the path of the socket must be absolute, as in unix:///var/run/docker.sock")]
    RelativePath,
}

/// A place where an engine may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// Name for the label `source`, unique among the candidates of one call: `docker`, `podman`,
    /// `docker-rootless`, `podman-rootless`.
    pub name: String,
    /// The kind that usually listens there. What the engine says of itself counts more.
    pub engine: Engine,
    /// The address, or why `DOCKER_HOST` cannot be used.
    pub endpoint: Result<Endpoint, EndpointError>,
    /// Where it was found: `DOCKER_HOST`, or `default` for the usual places.
    pub origin: &'static str,
    /// Whether something is there now.
    pub exists: bool,
    /// Owner of a rootless engine.
    pub uid: Option<u32>,
}

/// Looks for engines in the usual places: `DOCKER_HOST` or else Docker's sockets, then Podman's, those of root and
/// of the user (`XDG_RUNTIME_DIR`). Places without a socket are given too: an engine may start later.
///
/// `env` reads an environment variable; `root` stands before each of the usual paths: `/`, or where the host's
/// file system is mounted. One socket under two names (`/var/run` is mostly a link to `/run`) is given once.
#[must_use]
pub fn discover(env: &dyn Fn(&str) -> Option<String>, root: &Path) -> Vec<Candidate> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let mut found = Vec::new();
    if let Some(address) = set("DOCKER_HOST") {
        let endpoint = Endpoint::parse(&address);
        let exists = endpoint.as_ref().is_ok_and(|Endpoint::Unix(path)| path.exists());
        let engine = if address.contains("podman") { Engine::Podman } else { Engine::Docker };
        found.push(Candidate {
            name: engine.as_str().to_owned(),
            engine,
            endpoint,
            origin: "DOCKER_HOST",
            exists,
            uid: None,
        });
    } else {
        let (first, second) = (below("/var/run/docker.sock"), below("/run/docker.sock"));
        let path = if !first.exists() && second.exists() { second } else { first };
        found.push(usual("docker", Engine::Docker, path, false));
    }
    let user = set("XDG_RUNTIME_DIR").map(|directory| below(&directory));
    if set("DOCKER_HOST").is_none()
        && let Some(user) = &user
    {
        found.push(usual("docker-rootless", Engine::Docker, user.join("docker.sock"), true));
    }
    found.push(usual("podman", Engine::Podman, below("/run/podman/podman.sock"), false));
    if let Some(user) = &user {
        found.push(usual("podman-rootless", Engine::Podman, user.join("podman/podman.sock"), true));
    }
    distinct(found)
}

fn usual(name: &str, engine: Engine, path: PathBuf, rootless: bool) -> Candidate {
    let exists = path.exists();
    let uid = if rootless { owner(&path) } else { None };
    let endpoint = Ok(Endpoint::Unix(path));
    Candidate { name: name.to_owned(), engine, endpoint, origin: "default", exists, uid }
}

/// Owner of a socket; root's engines are not rootless.
fn owner(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|metadata| metadata.uid()).filter(|uid| *uid != 0)
}

/// Drops what leads to a socket that an earlier candidate leads to, or has its name.
fn distinct(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut seen = Vec::new();
    let mut kept: Vec<Candidate> = Vec::new();
    for mut candidate in candidates {
        if let Ok(Endpoint::Unix(path)) = &candidate.endpoint {
            let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            if seen.contains(&path) {
                continue;
            }
            seen.push(path);
        }
        if kept.iter().any(|other| other.name == candidate.name) {
            candidate.name.push_str("-2");
        }
        kept.push(candidate);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |address: &str, expect: Result<&str, EndpointErrorKind>| {
            let parsed = Endpoint::parse(address);
            let parsed = parsed.as_ref().map(ToString::to_string).map_err(EndpointError::kind);
            assert_eq!(parsed, expect.map(str::to_owned), "{address}");
        };
        check("unix:///var/run/docker.sock", Ok("unix:///var/run/docker.sock"));
        check("/run/podman/podman.sock", Ok("unix:///run/podman/podman.sock"));
        check("unix://docker.sock", Err(EndpointErrorKind::RelativePath));
        check("unix://", Err(EndpointErrorKind::RelativePath));
        check("", Err(EndpointErrorKind::RelativePath));
        check("tcp://10.0.0.1:2375", Err(EndpointErrorKind::NotYet));
        check("ssh://host", Err(EndpointErrorKind::NotYet));
        check("npipe:////./pipe/docker_engine", Err(EndpointErrorKind::NotYet));
        check("gopher://host", Err(EndpointErrorKind::UnknownScheme));
        let text = Endpoint::parse("tcp://10.0.0.1:2375").unwrap_err().to_string();
        assert_eq!(
            text,
            "failed to use the engine address \"tcp://10.0.0.1:2375\": only unix sockets are supported so far, \
             give unix:///path/to/docker.sock"
        );
    }

    fn names(env: &[(&str, &str)], root: &Path) -> Vec<(String, String, bool)> {
        let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let place = |candidate: &Candidate| match &candidate.endpoint {
            Ok(Endpoint::Unix(path)) => {
                path.strip_prefix(root).map_or(path.display().to_string(), |path| path.display().to_string())
            }
            Err(error) => error.kind().to_string(),
        };
        discover(&env, root).iter().map(|c| (c.name.clone(), place(c), c.exists)).collect()
    }

    fn row(name: &str, place: &str, exists: bool) -> (String, String, bool) {
        (name.to_owned(), place.to_owned(), exists)
    }

    #[test]
    fn places() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        assert_eq!(
            names(&[], root),
            [row("docker", "var/run/docker.sock", false), row("podman", "run/podman/podman.sock", false)]
        );
        let user = [("XDG_RUNTIME_DIR", "/run/user/1000")];
        std::fs::create_dir_all(root.join("run/user/1000/podman")).unwrap();
        std::fs::create_dir_all(root.join("var")).unwrap();
        std::os::unix::fs::symlink(root.join("run"), root.join("var/run")).unwrap();
        std::fs::write(root.join("run/docker.sock"), "").unwrap();
        std::fs::write(root.join("run/user/1000/podman/podman.sock"), "").unwrap();
        assert_eq!(
            names(&user, root),
            [
                row("docker", "var/run/docker.sock", true),
                row("docker-rootless", "run/user/1000/docker.sock", false),
                row("podman", "run/podman/podman.sock", false),
                row("podman-rootless", "run/user/1000/podman/podman.sock", true),
            ]
        );
    }

    #[test]
    fn docker_host_wins_and_no_socket_is_named_twice() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("run/podman")).unwrap();
        let socket = root.join("run/podman/podman.sock");
        std::fs::write(&socket, "").unwrap();
        let host = format!("unix://{}", socket.display());
        assert_eq!(names(&[("DOCKER_HOST", &host)], root), [row("podman", "run/podman/podman.sock", true)]);
        let remote = names(&[("DOCKER_HOST", "tcp://10.0.0.1:2375")], root);
        assert_eq!(remote[0], row("docker", &EndpointErrorKind::NotYet.to_string(), false));
        assert_eq!(remote.len(), 2);
    }
}
