//! From cgroup paths to containers: which component holds the id, whose it is, and where the container's own cgroup ends.

use std::fmt;
use std::sync::Arc;

use crate::key::Controller;

/// Who made a cgroup, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Runtime {
    /// Docker, or cri-dockerd.
    Docker,
    /// Podman.
    Podman,
    /// containerd's Kubernetes plugin.
    Containerd,
    /// CRI-O.
    Crio,
    /// nerdctl.
    Nerdctl,
    /// The name does not tell.
    Unknown,
}

impl Runtime {
    /// A lower-case word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Runtime::Docker => "docker",
            Runtime::Podman => "podman",
            Runtime::Containerd => "containerd",
            Runtime::Crio => "crio",
            Runtime::Nerdctl => "nerdctl",
            Runtime::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A container that a cgroup path names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Found {
    /// The 64 hexadecimal digits.
    pub id: String,
    /// Who made it.
    pub runtime: Runtime,
    /// The Kubernetes pod's uid, with dashes.
    pub pod_uid: Option<String>,
    /// The container's own cgroup: the path up to the component with the id.
    pub path: String,
}

/// What a component of a path says of a container.
struct Component<'a> {
    id: &'a str,
    prefix: &'a str,
}

/// Takes a component apart: `[prefix-]<id>[.scope]`, or `<slice>:<prefix>:<id>` (containerd told to use systemd but given a
/// cgroupfs parent). The monitors beside containers (`conmon`) carry ids too, but are not containers.
fn component(name: &str) -> Option<Component<'_>> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let start = name.len().checked_sub(64)?;
    let (before, id) = (name.get(..start)?, name.get(start..)?);
    if !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let prefix = match before.as_bytes().last() {
        None => before,
        Some(b'-' | b':') => &before[..before.len() - 1],
        Some(_) => return None,
    };
    (!prefix.ends_with("conmon")).then_some(Component { id, prefix })
}

/// The container that a cgroup path leads to: the **last** component with a 64-digit id counts, since containers nest, and
/// processes may sit in cgroups of their own below it. `None` if no component has one.
#[must_use]
pub fn classify(path: &str) -> Option<Found> {
    let mut best = None;
    let mut parent = "";
    let mut end = 0;
    for name in path.split('/') {
        end += name.len() + 1;
        // Podman's pods have ids of the same form in the cgroupfs layout; their containers carry the prefix.
        if let Some(found) = component(name)
            && !(found.prefix.is_empty() && parent == "libpod_parent")
        {
            best = Some((found, parent, end - 1));
        }
        parent = name;
    }
    let (component, parent, end) = best?;
    let path = &path[..end];
    Some(Found {
        id: component.id.to_owned(),
        runtime: runtime(component.prefix, parent, path),
        pod_uid: pod_uid(path),
        path: path.to_owned(),
    })
}

fn runtime(prefix: &str, parent: &str, path: &str) -> Runtime {
    match prefix.rsplit(':').next().unwrap_or(prefix) {
        "docker" => Runtime::Docker,
        "libpod" | "libpod-payload" => Runtime::Podman,
        "cri-containerd" => Runtime::Containerd,
        "crio" => Runtime::Crio,
        "nerdctl" => Runtime::Nerdctl,
        "" if parent == "docker" => Runtime::Docker,
        "" if path.contains("kubepods") => Runtime::Containerd,
        _ => Runtime::Unknown,
    }
}

/// The uid in the last `pod<uid>` or `…-pod<uid_>.slice` below a `kubepods` component; slices write `_` for `-`.
fn pod_uid(path: &str) -> Option<String> {
    let inside = &path[path.rfind("kubepods")?..];
    let uid = inside.split(['/', ':']).rev().find_map(|name| match name.strip_suffix(".slice") {
        Some(slice) => slice.rsplit_once("-pod").map(|(_, uid)| uid),
        None => name.strip_prefix("pod"),
    })?;
    (!uid.is_empty()).then(|| uid.replace('_', "-"))
}

/// The cgroups of one process: what `/proc/<pid>/cgroup` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CgroupPath {
    /// By controller; [`Controller::Core`] is the line `0::` of the unified hierarchy.
    paths: [Option<Arc<str>>; Controller::ALL.len()],
}

impl CgroupPath {
    /// Reads the bytes of `/proc/<pid>/cgroup`; lines out of format or of unknown controllers are left out.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> CgroupPath {
        let mut found = CgroupPath::default();
        for line in crate::parse::lines(bytes) {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let mut parts = line.splitn(3, ':');
            let (Some(hierarchy), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if !path.starts_with('/') {
                continue;
            }
            // Appended for a process that has ended but is not yet reaped.
            let path: Arc<str> = path.strip_suffix(" (deleted)").unwrap_or(path).into();
            if hierarchy == "0" && controllers.is_empty() {
                found.paths[Controller::Core.index()] = Some(path);
                continue;
            }
            for controller in controllers.split(',').filter_map(Controller::from_kernel) {
                found.paths[controller.index()] = Some(path.clone());
            }
        }
        found
    }

    /// The same path in every hierarchy.
    #[must_use]
    pub fn everywhere(path: &str) -> CgroupPath {
        let path: Arc<str> = path.into();
        CgroupPath { paths: std::array::from_fn(|_| Some(path.clone())) }
    }

    /// The path in a controller's own v1 hierarchy; for [`Controller::Core`] that of the unified one.
    #[must_use]
    pub fn get(&self, controller: Controller) -> Option<&str> {
        self.paths[controller.index()].as_deref()
    }

    #[cfg(all(feature = "reader", target_os = "linux"))]
    pub(crate) fn shared(&self, controller: Controller) -> Option<&Arc<str>> {
        self.paths[controller.index()].as_ref()
    }

    /// The path in the unified hierarchy.
    #[must_use]
    pub fn unified(&self) -> Option<&str> {
        self.get(Controller::Core)
    }

    /// The container, by the first hierarchy whose path names one.
    #[must_use]
    pub fn container(&self) -> Option<Found> {
        self.paths.iter().flatten().find_map(|path| classify(path))
    }

    /// The paths of the container's own cgroups: each cut after the component with the last id.
    #[must_use]
    pub fn cut(&self) -> CgroupPath {
        let mut cut = self.clone();
        for path in cut.paths.iter_mut().flatten() {
            if let Some(found) = classify(path)
                && found.path.len() < path.len()
            {
                *path = found.path.into();
            }
        }
        cut
    }

    /// The cgroups above: each path without its last component, those at the top left out. `None` if that leaves nothing.
    /// What limits a cgroup's ancestors limits it too.
    #[must_use]
    pub fn parent(&self) -> Option<CgroupPath> {
        let above = |path: &Option<Arc<str>>| {
            let (parent, name) = path.as_deref()?.rsplit_once('/')?;
            (!name.is_empty()).then(|| if parent.is_empty() { "/".into() } else { parent.into() })
        };
        let paths = std::array::from_fn(|at| above(&self.paths[at]));
        paths.iter().any(Option::is_some).then_some(CgroupPath { paths })
    }

    /// Whether the paths are relative to a private cgroup namespace that the process is not below: `/../<id>`. They lead to
    /// no directory; look for the id instead.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.paths.iter().flatten().any(|path| path.starts_with("/.."))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "3f8a2b1c-0d4e-4f5a-8b6c-7d8e9f0a1b2c";

    /// `A`, `B` and `UID`, `U_D` (with underscores) stand for ids and the pod's uid. The third column is what is cut off.
    #[test]
    fn known_shapes() {
        use Runtime::{Containerd, Crio, Docker, Nerdctl, Podman, Unknown};
        let pod = Some(UID);
        let table: &[(&str, Runtime, &str, Option<&str>)] = &[
            ("/docker/A", Docker, "", None),
            ("/system.slice/docker-A.scope", Docker, "", None),
            ("/foo/bar/A", Unknown, "", None),
            ("/foo.slice/foo-bar.slice/docker-A.scope", Docker, "", None),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-A.scope", Docker, "", None),
            ("/libpod_parent/libpod-A", Podman, "", None),
            ("/libpod_parent/B/libpod-A", Podman, "", None),
            ("/machine.slice/libpod-A.scope", Podman, "", None),
            ("/machine.slice/libpod-A.scope", Podman, "/container", None),
            ("/machine.slice/machine-libpod_pod_B.slice/libpod-A.scope", Podman, "/container", None),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-A.scope",
                Podman,
                "/container",
                None,
            ),
            ("/system.slice/web.service/libpod-payload-A", Podman, "", None),
            ("/kubepods/burstable/podUID/A", Containerd, "", pod),
            ("/kubepods/besteffort/podUID/A", Containerd, "", pod),
            ("/kubepods/podUID/A", Containerd, "", pod),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_D.slice/cri-containerd-A.scope",
                Containerd,
                "",
                pod,
            ),
            ("/kubepods.slice/kubepods-podU_D.slice/cri-containerd-A.scope", Containerd, "", pod),
            ("/kubepods.slice/kubepods-podU_D.slice/crio-A.scope", Crio, "/container", pod),
            ("/kubepods/burstable/podUID/crio-A", Crio, "", pod),
            ("/kubepods/burstable/podUID/A", Containerd, "/init.scope", pod),
            ("/kubepods.slice/kubepods-podU_D.slice/docker-A.scope", Docker, "", pod),
            ("/system.slice/containerd.service/kubepods-podU_D.slice:cri-containerd:A", Containerd, "", pod),
            ("/default/A", Unknown, "", None),
            ("/system.slice/nerdctl-A.scope", Nerdctl, "", None),
            // The last id counts, and what is below it is cut off.
            ("/docker/B/docker/A", Docker, "", None),
            ("/docker/B/kubelet/kubepods/burstable/podUID/A", Containerd, "", pod),
            (
                "/system.slice/docker-B.scope/kubelet.slice/kubelet-kubepods.slice/\
                 kubelet-kubepods-podU_D.slice/cri-containerd-A.scope",
                Containerd,
                "",
                pod,
            ),
            ("/docker/A", Docker, "/system.slice/ssh.service", None),
            ("/docker/A", Docker, "/init.scope", None),
            // The monitor inside a container belongs to that container.
            ("/docker/A", Docker, "/libpod_parent/libpod-conmon-B", None),
            ("/../A", Unknown, "", None),
            ("/../../kubepods/podUID/A", Containerd, "", pod),
        ];
        for (path, runtime, below, pod_uid) in table {
            let expand = |text: &str| {
                text.replace("UID", UID)
                    .replace("U_D", &UID.replace('-', "_"))
                    .replace('A', A)
                    .replace('B', B)
            };
            let path = expand(path);
            let found = classify(&format!("{path}{}", expand(below)));
            let expect = Found {
                id: A.to_owned(),
                runtime: *runtime,
                pod_uid: pod_uid.map(str::to_owned),
                path: path.clone(),
            };
            assert_eq!(found, Some(expect), "{path}");
        }
    }

    #[test]
    fn what_is_no_container() {
        for path in [
            "/",
            "",
            "/system.slice/docker.service",
            "/machine.slice/libpod-conmon-A.scope",
            "/kubepods.slice/kubepods-podX.slice/crio-conmon-A.scope",
            "/libpod_parent/A",
            "/machine.slice/machine-libpod_pod_A.slice",
            "/docker/AA",
            "/docker/xA",
            "/docker/0123456789abcdef0123456789abcdef",
            "/user.slice/äA",
        ] {
            assert_eq!(classify(&path.replace('A', A)), None, "{path}");
        }
        assert_eq!(classify(&format!("/docker/{}", A.to_uppercase())), None);
    }

    #[test]
    fn lines_of_a_hybrid_host() {
        let text = format!(
            "12:memory:/docker/{A}/init.scope\n4:cpu,cpuacct:/docker/{A}\n3:name=systemd:/x\n2:cpuset:/\nnonsense\n\
             1:pids:relative\n0::/docker/{A}/init.scope (deleted)\n"
        );
        let paths = CgroupPath::parse(text.as_bytes());
        assert_eq!(paths.get(Controller::Memory), Some(format!("/docker/{A}/init.scope").as_str()));
        assert_eq!(paths.get(Controller::Pids), None);
        let own = format!("/docker/{A}");
        let cut = paths.cut();
        for controller in [Controller::Memory, Controller::Cpu, Controller::Cpuacct, Controller::Core] {
            assert_eq!(cut.get(controller), Some(own.as_str()), "{controller:?}");
        }
        assert_eq!(cut.get(Controller::Cpuset), Some("/"));
        assert_eq!(paths.container().unwrap().id, A);
        let above = cut.parent().unwrap();
        assert_eq!((above.get(Controller::Memory), above.get(Controller::Cpuset)), (Some("/docker"), None));
        assert_eq!(above.parent().unwrap().get(Controller::Memory), Some("/"));
        assert_eq!(above.parent().unwrap().parent(), None);
        assert!(!paths.is_foreign());
        assert!(CgroupPath::parse(format!("0::/../{A}\n").as_bytes()).is_foreign());
        assert_eq!(CgroupPath::parse(b"0::/\n").container(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "(/|docker-|[0-9a-f]{60,66}|\\.scope|kubepods|pod|:|-pod|ä|\\.slice){0,12}",
        ) {
            let _ = CgroupPath::parse(&bytes).cut();
            if let Some(found) = classify(&text) {
                prop_assert!(text.starts_with(&found.path));
                prop_assert_eq!(classify(&found.path), Some(found));
            }
        }
    }
}
