//! Where engines listen: addresses, and the places where sockets are looked for.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use collector_core::Engine;

/// The address of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// Another machine, by TCP.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// How TLS is spoken; `None` for none.
        tls: Option<TlsFiles>,
    },
}

/// The folder with the files of TLS, as `DOCKER_CERT_PATH` names it: `ca.pem`, of which the engine's certificate must
/// come, and `cert.pem` with `key.pem`, which prove to the engine who we are (both may be missing).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// The folder.
    pub folder: PathBuf,
}

impl TlsFiles {
    /// TLS as Docker's client takes it from the environment: `DOCKER_CERT_PATH`, or `~/.docker` where
    /// `DOCKER_TLS_VERIFY` is set. Unlike there, the engine's certificate is checked in any case.
    #[must_use]
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let home = || Some(Path::new(&set("HOME")?).join(".docker"));
        let folder = set("DOCKER_CERT_PATH")
            .map(PathBuf::from)
            .or_else(|| set("DOCKER_TLS_VERIFY").and_then(|_| home()))?;
        Some(Self { folder })
    }
}

impl Endpoint {
    /// Reads an address as `DOCKER_HOST` spells it: `unix:///var/run/docker.sock`, a bare absolute path, or
    /// `tcp://host:2375`, which speaks TLS only [`with_tls`](Self::with_tls).
    ///
    /// # Errors
    ///
    /// The scheme is not supported, or there is no path.
    pub fn parse(address: &str) -> Result<Self, EndpointError> {
        let fault = |kind| EndpointError { address: address.to_owned(), kind };
        let path = match address.split_once("://") {
            Some(("unix", path)) => path,
            Some(("tcp", rest)) => {
                return tcp(rest).ok_or_else(|| fault(EndpointErrorKind::NoHostAndPort));
            }
            Some(("http" | "https" | "npipe" | "ssh" | "fd", _)) => {
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

    /// The same with TLS, where it is reached by TCP.
    #[must_use]
    pub fn with_tls(self, files: Option<TlsFiles>) -> Self {
        match self {
            Self::Tcp { host, port, tls } => Self::Tcp { host, port, tls: files.or(tls) },
            Self::Unix(path) => Self::Unix(path),
        }
    }

    /// Whether the kernel that counts its containers is another machine's.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }

    /// Whether anyone on the way to it can read and change what is said, and so be root there: TCP beyond this machine,
    /// without TLS.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let Self::Tcp { host, tls: None, .. } = self else { return false };
        let is_loopback = host.parse().map_or_else(
            |_| host == "localhost" || host.ends_with(".localhost"),
            |address: IpAddr| address.to_canonical().is_loopback(),
        );
        !is_loopback
    }

    /// Where its files of TLS are, if it speaks TLS.
    #[must_use]
    pub const fn tls(&self) -> Option<&TlsFiles> {
        match self {
            Self::Tcp { tls, .. } => tls.as_ref(),
            Self::Unix(_) => None,
        }
    }
}

/// Reads `host:port` or `[::1]:port`, with at most a slash after it.
fn tcp(rest: &str) -> Option<Endpoint> {
    let (host, port) = rest.strip_suffix('/').unwrap_or(rest).rsplit_once(':')?;
    let bare = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '?' | '#' | '[' | ']');
    let port: u16 = port.parse().ok()?;
    if bare.is_empty() || bare.contains(odd) || port == 0 {
        return None;
    }
    Some(Endpoint::Tcp { host: bare.to_owned(), port, tls: None })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
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
    #[error("this scheme is not supported, give unix:///path/to/docker.sock or tcp://host:port")]
    NotYet,
    /// A scheme that no engine has.
    #[error("unknown scheme, give unix:///path/to/docker.sock or tcp://host:port")]
    UnknownScheme,
    /// TCP without a host or a port.
    #[error("give host and port, as in tcp://host:2375, or tcp://host:2376 with TLS")]
    NoHostAndPort,
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
        let endpoint = Endpoint::parse(&address).map(|endpoint| endpoint.with_tls(TlsFiles::from_env(env)));
        let exists = match &endpoint {
            Ok(Endpoint::Unix(path)) => path.exists(),
            // Only connecting can tell.
            Ok(Endpoint::Tcp { .. }) => true,
            Err(_) => false,
        };
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
        check("tcp://10.0.0.1:2375", Ok("tcp://10.0.0.1:2375"));
        check("tcp://[::1]:2376/", Ok("tcp://[::1]:2376"));
        for odd in [
            "tcp://",
            "tcp://host",
            "tcp://:2375",
            "tcp://::1:2375",
            "tcp://[::1:2375",
            "tcp://[[::1]:2375",
            "tcp://h:0",
            "tcp://h:99999",
            "tcp://u@h:1",
            "tcp://h/x:1",
        ] {
            check(odd, Err(EndpointErrorKind::NoHostAndPort));
        }
        check("ssh://host", Err(EndpointErrorKind::NotYet));
        check("npipe:////./pipe/docker_engine", Err(EndpointErrorKind::NotYet));
        check("gopher://host", Err(EndpointErrorKind::UnknownScheme));
        let text = Endpoint::parse("ssh://10.0.0.1").unwrap_err().to_string();
        assert_eq!(
            text,
            "failed to use the engine address \"ssh://10.0.0.1\": this scheme is not supported, \
             give unix:///path/to/docker.sock or tcp://host:port"
        );
    }

    #[test]
    fn what_goes_through_foreign_wires_in_clear() {
        let check = |address: &str, expect: bool| {
            let endpoint = Endpoint::parse(address).unwrap();
            assert_eq!(endpoint.is_exposed(), expect, "{address}");
            let files = TlsFiles { folder: "/certs".into() };
            assert!(!endpoint.with_tls(Some(files)).is_exposed(), "{address} with TLS");
        };
        for near in ["127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "localhost", "engine.localhost"]
        {
            check(&format!("tcp://{near}:2375"), false);
        }
        for far in ["10.0.0.1", "[fe80::1]", "0.0.0.0", "docker", "localhost.example", "127.0.0.1.example"] {
            check(&format!("tcp://{far}:2375"), true);
        }
        check("/var/run/docker.sock", false);
    }

    fn names(env: &[(&str, &str)], root: &Path) -> Vec<(String, String, bool)> {
        let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let place = |candidate: &Candidate| match &candidate.endpoint {
            Ok(Endpoint::Unix(path)) => {
                path.strip_prefix(root).map_or(path.display().to_string(), |path| path.display().to_string())
            }
            Ok(remote) => remote.to_string(),
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
        assert_eq!(remote[0], row("docker", "tcp://10.0.0.1:2375", true));
        assert_eq!(remote.len(), 2);
    }

    #[test]
    fn tls_as_dockers_client_spells_it() {
        let check = |env: &[(&str, &str)], expect: Option<&str>| {
            let read =
                |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            let files = TlsFiles::from_env(&read);
            assert_eq!(files.map(|files| files.folder), expect.map(PathBuf::from), "{env:?}");
        };
        check(&[], None);
        check(&[("HOME", "/root")], None);
        check(&[("HOME", "/root"), ("DOCKER_TLS_VERIFY", "")], None);
        check(&[("HOME", "/root"), ("DOCKER_TLS_VERIFY", "1")], Some("/root/.docker"));
        check(&[("HOME", "/root"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/c")], Some("/c"));
        check(&[("DOCKER_CERT_PATH", "/c")], Some("/c"));
    }
}
