//! Takes back everything that a [`Record`] names, whatever state the engine is in.
//!
//! Each part is tried whether or not the one before succeeded; every wait has an end. What remains is one error that lists it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::engine::record::{OWN_ENGINES, Record};
use crate::engine::{http, network};
use crate::error::{Context as _, Error, Result};

/// How long a daemon may take to end in order.
const DAEMON_ENDS: Duration = Duration::from_secs(15);
/// How long the kernel may take to forget what was killed.
const KERNEL_FORGETS: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// Undoes an engine.
pub(crate) fn undo(record: &Record) -> Result<()> {
    let containers = container_ids(record);
    let bridges = network_bridges(record);
    remove_through_the_engine(record);
    let attempts = [
        end_processes(record, "dockerd", Some(DAEMON_ENDS)),
        kill_in_cgroups(&containers),
        end_processes(record, "containerd-shim", None),
        end_processes(record, "containerd", Some(DAEMON_ENDS)),
        end_processes(record, "docker-proxy", None),
        // A guest: its processes are in a pid namespace that ends with this one, its mounts in one that ends with them.
        end_processes(record, "unshare", None),
        remove_cgroups(&containers),
        unmount(record),
        network::remove(record.bridge()),
        bridges.iter().try_for_each(|bridge| network::remove(bridge)),
        remove_shim_sockets(record),
        remove_side_effects(record),
    ];
    let mut left: Vec<String> =
        attempts.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    if left.is_empty() {
        // Last, because the record is in it, and only when nothing that needs the record is left.
        match fs::remove_dir_all(&record.directory) {
            Ok(()) => return Ok(()),
            // Another run swept it up, once its record was gone.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => left.push(format!("failed to remove {}: {error}", record.directory.display())),
        }
    }
    let directory = record.directory.display();
    Err(Error::failed(format!("not everything of {directory} was undone:\n  {}", left.join("\n  "))))
}

/// The ids of the containers, from the directories that the engines and their containerds keep for each.
fn container_ids(record: &Record) -> BTreeSet<String> {
    let own = fs::read_dir(record.path(OWN_ENGINES)).into_iter().flatten().flatten();
    let engines = own.map(|entry| entry.path()).chain([record.directory.clone()]);
    let directories = engines.flat_map(|engine| {
        ["data/containers", "containerd-run/io.containerd.runtime.v2.task/moby"].map(|name| engine.join(name))
    });
    let entries = directories.filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_id(name)).collect()
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The bridges of networks that tests created, from the engine's own database.
fn network_bridges(record: &Record) -> BTreeSet<String> {
    let database = fs::read(record.path("data/network/files/local-kv.db")).unwrap_or_default();
    bridges_in(&database)
}

/// Every `br-` and twelve hexadecimal digits in the bytes.
fn bridges_in(bytes: &[u8]) -> BTreeSet<String> {
    const LENGTH: usize = "br-".len() + 12;
    bytes
        .windows(LENGTH)
        .filter(|window| window.starts_with(b"br-") && window[3..].iter().all(u8::is_ascii_hexdigit))
        .filter_map(|window| String::from_utf8(window.to_vec()).ok())
        .collect()
}

/// Lets a living engine remove its containers and networks itself. A dead one is no error: the kernel is asked after it.
fn remove_through_the_engine(record: &Record) {
    let socket = record.docker_socket();
    let list = |path: &str| -> Vec<String> {
        let Ok(answer) = http::json(http::get(&socket, path), "list") else { return Vec::new() };
        let ids =
            answer.as_array().into_iter().flatten().filter_map(|item| item["Id"].as_str().map(str::to_owned));
        ids.collect()
    };
    for id in list("/containers/json?all=1") {
        let _ = http::delete(&socket, &format!("/containers/{id}?force=1&v=1"));
    }
    // filters={"type":["custom"]}
    for id in list("/networks?filters=%7B%22type%22%3A%5B%22custom%22%5D%7D") {
        let _ = http::delete(&socket, &format!("/networks/{id}"));
    }
}

/// Ends this engine's processes of one program: asks first if they get `patience`, then kills.
fn end_processes(record: &Record, program: &str, patience: Option<Duration>) -> Result<()> {
    let alive = || processes(record, program);
    if let Some(patience) = patience {
        signal(&alive(), Signal::TERM);
        if await_end(patience, || alive().is_empty()) {
            return Ok(());
        }
    }
    signal(&alive(), Signal::KILL);
    if await_end(KERNEL_FORGETS, || alive().is_empty()) {
        return Ok(());
    }
    Err(Error::failed(format!("{program} {:?} does not end though killed", alive())))
}

fn signal(processes: &[Pid], signal: Signal) {
    for process in processes {
        // One that ended meanwhile is what was wanted.
        let _ = rustix::process::kill_process(*process, signal);
    }
}

fn await_end(limit: Duration, mut ended: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if ended() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// The processes that run this program on this engine's directory. Zombies have no command line and count as ended.
fn processes(record: &Record, program: &str) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        belongs(&command_line, program, &record.directory)
    })
    .filter_map(Pid::from_raw)
    .collect()
}

/// Does this command line start the program (or, for the shim, any version of it) on the directory?
fn belongs(command_line: &[u8], program: &str, directory: &Path) -> bool {
    let command_line = String::from_utf8_lossy(command_line);
    let mut arguments = command_line.split('\0');
    let name = arguments.next().and_then(|first| first.rsplit('/').next()).unwrap_or_default();
    let is_program =
        name == program || (program == "containerd-shim" && name.starts_with("containerd-shim-"));
    let inside = format!("{}/", directory.display());
    is_program && arguments.any(|argument| argument.trim_start_matches("unix://").starts_with(&inside))
}

/// A mounted cgroup hierarchy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CgroupMount {
    pub(crate) path: PathBuf,
    pub(crate) writable: bool,
}

/// The cgroup hierarchies of a `/proc/self/mounts`.
pub(crate) fn cgroup_mounts(mounts: &str) -> Vec<CgroupMount> {
    let parse = |line: &str| {
        let mut fields = line.split(' ');
        let (_, path, kind, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let writable = options.split(',').any(|option| option == "rw");
        matches!(kind, "cgroup" | "cgroup2").then(|| CgroupMount { path: PathBuf::from(path), writable })
    };
    mounts.lines().filter_map(parse).collect()
}

/// Every directory that can be a container's cgroup: below `docker` (cgroupfs driver) or a scope (systemd driver).
fn cgroups_of(containers: &BTreeSet<String>) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = cgroup_mounts(&mounts);
    let places =
        containers.iter().flat_map(|id| [format!("docker/{id}"), format!("system.slice/docker-{id}.scope")]);
    let all = places.flat_map(|place| mounts.iter().map(|mount| mount.path.join(&place)).collect::<Vec<_>>());
    all.filter(|path| path.is_dir()).collect()
}

/// Kills what runs in the containers of an engine that is gone and could not end them.
fn kill_in_cgroups(containers: &BTreeSet<String>) -> Result<()> {
    let gone = await_end(KERNEL_FORGETS, || {
        let alive: Vec<Pid> = cgroups_of(containers).iter().flat_map(|cgroup| members(cgroup)).collect();
        signal(&alive, Signal::KILL);
        alive.is_empty()
    });
    if gone {
        Ok(())
    } else {
        Err(Error::failed("processes in the containers' cgroups do not end though killed"))
    }
}

fn members(cgroup: &Path) -> Vec<Pid> {
    let own = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let own = own.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect::<Vec<_>>();
    children(cgroup).iter().flat_map(|child| members(child)).chain(own).collect()
}

fn children(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn remove_cgroups(containers: &BTreeSet<String>) -> Result<()> {
    // A cgroup is busy until the kernel has let its last process go.
    let gone = await_end(KERNEL_FORGETS, || {
        cgroups_of(containers).iter().for_each(|cgroup| remove_cgroup(cgroup));
        cgroups_of(containers).is_empty()
    });
    if gone { Ok(()) } else { Err(Error::failed(format!("cgroups stay: {:?}", cgroups_of(containers)))) }
}

fn remove_cgroup(cgroup: &Path) {
    children(cgroup).iter().for_each(|child| remove_cgroup(child));
    // Busy for now, perhaps: the caller looks again.
    let _ = fs::remove_dir(cgroup);
}

/// Unmounts layers, shared memory and network namespaces under the engine's directory, deepest first.
fn unmount(record: &Record) -> Result<()> {
    let mounts =
        fs::read_to_string("/proc/self/mounts").context(|| "failed to read /proc/self/mounts".to_owned())?;
    let under = |line: &str| {
        line.split(' ').nth(1).map(PathBuf::from).filter(|path| path.starts_with(&record.directory))
    };
    mounts
        .lines()
        .rev()
        .filter_map(under)
        .try_for_each(|path| detach(&path).context(|| format!("failed to unmount {}", path.display())))
}

#[cfg(target_os = "linux")]
fn detach(path: &Path) -> std::io::Result<()> {
    Ok(rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH)?)
}

/// Never reached: engines are started on Linux only, and the other tasks run anywhere.
#[cfg(not(target_os = "linux"))]
fn detach(_: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Shims put their sockets in a directory that all containerds share; each wrote its address into its container's directory.
fn remove_shim_sockets(record: &Record) -> Result<()> {
    let tasks = record.path("containerd-run/io.containerd.runtime.v2.task/moby");
    for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
        let Ok(address) = fs::read_to_string(task.path().join("address")) else { continue };
        let socket = PathBuf::from(address.trim().trim_start_matches("unix://"));
        if socket.starts_with("/run/containerd/s") {
            remove_file(&socket)?;
        }
    }
    Ok(())
}

/// Removes what the engine created outside its directory, if it was not there before and nobody has put anything in.
fn remove_side_effects(record: &Record) -> Result<()> {
    for path in &record.absent_before {
        if path.is_dir() {
            // Not empty: somebody else uses it by now.
            let _ = fs::remove_dir(path);
        } else {
            remove_file(path)?;
        }
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::failed(format!("failed to remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_engines_processes_are_ended() {
        let directory = Path::new("/var/lib/lab/native-12");
        let check =
            |arguments: &[&str], program: &str| belongs(arguments.join("\0").as_bytes(), program, directory);
        let socket = "unix:///var/lib/lab/native-12/docker.sock";
        let address = "/var/lib/lab/native-12/containerd.sock";
        assert!(check(&["/usr/sbin/dockerd", "--host", socket], "dockerd"));
        assert!(check(&["/usr/bin/containerd", "--address", address], "containerd"));
        assert!(check(&["/usr/bin/containerd-shim-runc-v2", "-address", address], "containerd-shim"));
        assert!(!check(&["/usr/bin/containerd-shim-runc-v2", "-address", address], "containerd"));
        assert!(!check(&["dockerd", "--host", "unix:///var/lib/lab/native-123/docker.sock"], "dockerd"));
        assert!(!check(&["dockerd", "--host", "unix:///var/run/docker.sock"], "dockerd"));
        assert!(!check(&["docker", "-H", socket, "logs", "-f", "x"], "dockerd"));
        assert!(!check(&["tail", "-f", "/var/lib/lab/native-12/dockerd.log"], "dockerd"));
        assert!(!check(&[], "dockerd"));
    }

    #[test]
    fn cgroup_mounts_are_found_with_their_rights() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0\n\
            cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 ro,relatime 0 0\n";
        let found = cgroup_mounts(mounts);
        assert_eq!(
            found,
            [
                CgroupMount { path: "/sys/fs/cgroup/memory".into(), writable: true },
                CgroupMount { path: "/sys/fs/cgroup/unified".into(), writable: false },
            ]
        );
    }

    #[test]
    fn bridges_are_found_in_the_database() {
        let bytes = b"\x00{\"BridgeName\":\"br-0123456789ab\"}\xffbr-short br-0123456789ab";
        assert_eq!(bridges_in(bytes).into_iter().collect::<Vec<_>>(), ["br-0123456789ab"]);
    }

    #[test]
    fn an_id_is_64_hexadecimal_digits() {
        assert!(is_id(&"0a".repeat(32)));
        assert!(!is_id("moby") && !is_id(&"0g".repeat(32)));
    }
}
