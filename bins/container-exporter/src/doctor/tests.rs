//! Each fault is made in a directory; the line that mends it is the test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use cgroup_reader::Roots;
use collector_core::Absence;
use test_support::{Cgroups, Tree};

use super::machine::{Answer, Elsewhere, Rights, ask};
use super::*;
use crate::config::{self, FlagValue, Inputs};

const CGROUPS: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\ncpuacct\t0\t1\t1\nblkio\t0\t1\t1\n\
                       memory\t0\t1\t1\npids\t0\t1\t1\n";
const VERSION: &str = r#"{"Version":"29.1.0","ApiVersion":"1.52","More":{}}"#;

/// What a thing does when it is tried.
type Tried = Result<u16, ErrorKind>;

/// A machine on which all is well, to be spoiled: cgroup v2, Docker, an ordinary user in its group.
struct Bench {
    tree: Tree,
    listeners: RefCell<Vec<UnixListener>>,
    env: BTreeMap<&'static str, String>,
    uid: u32,
    groups: Vec<u32>,
    nofile_max: Option<u64>,
    is_arm: bool,
    year: u64,
    rights: Rights,
    ping: Tried,
    version: Tried,
    elsewhere: Result<Elsewhere, String>,
    listen: Option<ErrorKind>,
    livez: Tried,
    inotify: Option<ErrorKind>,
    net: Option<ErrorKind>,
    gpus: Option<Result<usize, Absence>>,
    config: String,
    flags: Vec<FlagValue>,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            tree: Tree::machine(Cgroups::V2),
            listeners: RefCell::default(),
            env: BTreeMap::new(),
            uid: 1000,
            groups: vec![998, 1000],
            nofile_max: Some(1_048_576),
            is_arm: false,
            year: 2027,
            rights: Rights { uid: 0, gid: 998, mode: 0o140_660 },
            ping: Ok(200),
            version: Ok(200),
            elsewhere: Ok(Elsewhere {
                version: "docker 29.1.0, API 1.52".to_owned(),
                running: 3,
                no_numbers: None,
            }),
            listen: None,
            livez: Err(ErrorKind::ConnectionRefused),
            inotify: None,
            net: None,
            gpus: Some(Err(Absence::NoLibrary)),
            config: String::new(),
            flags: Vec::new(),
        };
        bench.write("sys/fs/cgroup/cgroup.subtree_control", "cpuset cpu io memory pids\n");
        bench.write("proc/cgroups", CGROUPS);
        bench.write("proc/cmdline", "root=/dev/vda1 quiet\n");
        bench.write("proc/pressure/cpu", "");
        bench.write("proc/sys/fs/inotify/max_user_watches", "65536\n");
        bench.write("proc/sys/fs/inotify/max_user_instances", "128\n");
        bench.write("etc/group", "root:x:0:\ndocker:x:998:\nprocs:x:777:\n");
        bench.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n");
        bench.mounts("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "rw");
        bench.namespace("pid", 4_026_531_836);
        bench.namespace("cgroup", 4_026_531_835);
        bench.socket("var/run/docker.sock");
        bench
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.tree.path(relative)
    }

    fn write(&self, relative: &str, text: &str) {
        self.tree.write(relative, text);
    }

    fn remove(&self, relative: &str) {
        self.tree.remove(relative);
    }

    fn socket(&self, relative: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        self.listeners.borrow_mut().push(UnixListener::bind(path).unwrap());
    }

    fn mounts(&self, cgroup: &str, proc_options: &str) {
        self.write(
            "proc/self/mountinfo",
            &format!("{cgroup}22 27 0:21 / /proc rw - proc proc {proc_options}\n"),
        );
    }

    fn namespace(&self, kind: &str, inode: u64) {
        self.tree.namespace(kind, inode);
    }

    /// Cgroup v1 instead, with these controllers.
    fn v1(&self, controllers: &[&str], below: &str) {
        self.remove("sys/fs/cgroup");
        let mut mounts = String::new();
        for controller in controllers {
            fs::create_dir_all(self.path(&format!("sys/fs/cgroup/{controller}"))).unwrap();
            mounts += &format!(
                "31 30 0:9 {below} /sys/fs/cgroup/{controller} rw - cgroup cgroup rw,{controller}\n"
            );
        }
        self.mounts(&mounts, "rw");
    }

    fn hybrid(&self) {
        self.v1(&["cpu", "cpuacct", "memory", "blkio", "pids"], "/");
        self.write("sys/fs/cgroup/unified/cgroup.controllers", "\n");
        let path = self.path("proc/self/mountinfo");
        let mounts = fs::read_to_string(path).unwrap();
        self.write(
            "proc/self/mountinfo",
            &format!("{mounts}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"),
        );
    }

    fn container(&self) {
        self.write(".dockerenv", "");
    }

    fn containers(&self, count: u64) {
        for number in 0..count {
            self.tree.cgroup(&format!("/docker/{number:064x}"), &[]);
        }
    }

    fn report(&self) -> Report {
        let file = self.path("config.toml");
        fs::write(&file, &self.config).unwrap();
        let inputs = Inputs { file: Some(file), flags: self.flags.clone(), ..Inputs::default() };
        let settings = config::load(&inputs).map_err(|error| error.problems).unwrap().settings;
        let tried = |tried: Tried, body: &str| {
            tried.map(|status| Answer { status, body: body.to_owned() }).map_err(io::Error::from)
        };
        let fails = |kind: Option<ErrorKind>| kind.map_or(Ok(()), |kind| Err(io::Error::from(kind)));
        let machine = Machine {
            root: self.tree.root().to_owned(),
            roots: Roots::under(self.tree.root()),
            env: &|name| self.env.get(name).cloned(),
            uid: self.uid,
            groups: self.groups.clone(),
            nofile_max: self.nofile_max,
            is_arm: self.is_arm,
            now: UNIX_EPOCH + Duration::from_secs((self.year - 1970) * 31_557_600),
            rights: &|_| self.rights,
            ask: &|_, target| match target {
                "/_ping" => tried(self.ping, "OK"),
                "/version" => tried(self.version, VERSION),
                other => panic!("asked for {other}"),
            },
            ask_elsewhere: &|_| self.elsewhere.clone(),
            bind: &|_| fails(self.listen),
            ask_server: &|address, _| {
                assert!(!address.ip().is_unspecified());
                tried(self.livez, "")
            },
            inotify: &|| fails(self.inotify),
            read_link: &|_| fails(self.net).map(|()| PathBuf::from("net:[1]")),
            gpus: &|| self.gpus,
        };
        examine_on(&machine, &settings)
    }

    /// What is not well: verdict, area, what, fix, with the paths that the machine would have.
    fn faults(&self) -> String {
        let report = self.report();
        let faults: Vec<String> = report
            .findings
            .iter()
            .filter(|finding| finding.verdict != Verdict::Ok)
            .map(|Finding { verdict, area, what, fix }| {
                format!("{} | {area} | {what} | {}", verdict.as_str(), fix.as_deref().unwrap_or(""))
            })
            .collect();
        assert_eq!(report.is_well(), !faults.iter().any(|fault| fault.starts_with("problem")));
        faults.join("\n").replace(&self.tree.root().display().to_string(), "")
    }
}

/// Spoils a machine; exactly this fault is found, with this fix.
#[track_caller]
fn check(spoil: impl FnOnce(&mut Bench), expect: &str) {
    let mut bench = Bench::new();
    spoil(&mut bench);
    assert_eq!(bench.faults(), expect);
}

#[test]
fn all_is_well() {
    let bench = Bench::new();
    let text = bench.report().to_string().replace(&bench.tree.root().display().to_string(), "");
    assert_eq!(
        text,
        "ok       docker            29.1.0, API 1.52, at /var/run/docker.sock\n\
         ok       cgroups           v2 at /sys/fs/cgroup\n\
         ok       controllers       cpu, memory, io, pids\n\
         ok       pressure          kept\n\
         ok       proc              /proc shows all processes\n\
         ok       pid namespace     the host's\n\
         ok       cgroup namespace  the host's\n\
         ok       network           namespaces can be told apart\n\
         ok       open files        1048576 may be open, for 0 containers\n\
         ok       inotify           65536 watches\n\
         ok       listen            0.0.0.0:8080 is free\n\
         ok       clock             set\n\
         \n\
         All is well.\n"
    );
    check(|bench| bench.hybrid(), "");
}

#[test]
fn a_page_with_faults() {
    let mut bench = Bench::new();
    bench.listen = Some(ErrorKind::AddrInUse);
    bench.year = 1971;
    let text = bench.report().to_string();
    let tail = text.split_once("ok       inotify").unwrap().1;
    assert_eq!(
        tail,
        "           65536 watches\n\
         problem  listen            0.0.0.0:8080 is in use by another process\n\
         \u{20}                          fix: sudo ss -ltnp 'sport = :8080' shows whose; or choose another with --listen :9100\n\
         warning  clock             it is before the year 2025 by this machine's clock, so start times and ages are wrong\n\
         \u{20}                          fix: sudo timedatectl set-ntp true\n\
         \n\
         1 problem, 1 warning.\n"
    );
}

/// Spoils what is said by or of an engine on another machine.
#[track_caller]
fn check_elsewhere(config: &str, spoil: impl FnOnce(&mut Bench), expect: &str) {
    let spoil = |bench: &mut Bench| {
        config.clone_into(&mut bench.config);
        spoil(bench);
    };
    check(spoil, expect);
}

#[test]
fn engines_elsewhere_are_asked() {
    const HOSTS: &str = "docker.hosts = [\"tcp://127.0.0.1:2375\"]\n";
    const FAR: &str = "docker.hosts = [\"tcp://10.0.0.1:2376\"]\n";
    const TLS: &str = "docker.hosts = [\"tcp://10.0.0.1:2376\"]\ndocker.cert_path = \"/certs\"\n";
    let mut bench = Bench::new();
    TLS.clone_into(&mut bench.config);
    let text = bench.report().to_string();
    let line = text.lines().next().unwrap();
    assert_eq!(
        line,
        "ok       docker            docker 29.1.0, API 1.52, at tcp://10.0.0.1:2376 by TLS with the certificates of /certs; \
         its stats API gives the numbers: no pressure, no writable layer, nothing of its host"
    );
    check_elsewhere(HOSTS, |_| {}, "");
    check_elsewhere(
        FAR,
        |_| {},
        "warning | docker | anyone on the way to tcp://10.0.0.1:2376 can read along and become root there | \
         start that engine with --tlsverify, and set `docker.cert_path` to the folder of our certificates",
    );
    check_elsewhere(
        TLS,
        |bench| bench.elsewhere = Err("nobody listens on it".to_owned()),
        "problem | docker | nobody listens on it | make this work here: docker -H tcp://10.0.0.1:2376 --tlsverify \
         --tlscacert /certs/ca.pem version",
    );
    check_elsewhere(
        HOSTS,
        |bench| {
            let said = bench.elsewhere.as_mut().unwrap();
            said.no_numbers = Some("it answered with status 403".to_owned());
        },
        "problem | docker | 3 containers run at tcp://127.0.0.1:2375, and there are no numbers of them: it answered with \
         status 403 | if a proxy stands before the engine, GET /containers/*/stats must be allowed, too",
    );
    check_elsewhere(
        "docker.hosts = [\"tcp://127.0.0.1:2375\"]\ndocker.enabled = false\n",
        |bench| bench.elsewhere = Err("asked all the same".to_owned()),
        "warning | engines | no engine's socket at /run/podman/podman.sock: containers are found by their cgroups, without \
         names | sudo systemctl start docker, or name another socket with `docker.socket_path`",
    );
}

#[test]
fn what_an_engine_says_stays_on_its_line() {
    let report = Report { findings: vec![Finding::ok("docker", "29\nproblem  \u{1b}[31mdocker")] };
    assert_eq!(report.to_string(), "ok       docker  29 problem   [31mdocker\n\nAll is well.\n");
}

#[test]
fn engines() {
    check(
        |bench| bench.remove("var/run/docker.sock"),
        "warning | engines | no engine's socket at /var/run/docker.sock, /run/podman/podman.sock: containers are found by their \
         cgroups, without names | sudo systemctl start docker, or name another socket with `docker.socket_path`",
    );
    check(
        |bench| {
            bench.remove("var/run/docker.sock");
            bench.container();
            bench.config = "[general]\nsource = \"docker\"".to_owned();
        },
        "problem | engines | no engine's socket at /var/run/docker.sock | start this container with -v \
         /var/run/docker.sock:/var/run/docker.sock:ro",
    );
    check(
        |bench| bench.config = "[docker]\nenabled = false\n[podman]\nenabled = false".to_owned(),
        "warning | engines | every engine is switched off, so containers have ids and no names | set `docker.enabled = true` or \
         `podman.enabled = true`",
    );
    check(
        |bench| {
            let path = bench.path("x.sock").display().to_string();
            bench.config = format!("[docker]\nsocket_path = \"{path}\"");
        },
        "problem | docker | /x.sock, which docker.socket_path names, does not exist | sudo systemctl start docker",
    );
    check(
        |bench| {
            bench.remove("var/run/docker.sock");
            fs::create_dir_all(bench.path("var/run/docker.sock")).unwrap();
        },
        "problem | docker | /var/run/docker.sock is a directory: it was mounted while the engine's socket did not exist | on the \
         host: sudo rmdir /var/run/docker.sock; sudo systemctl restart docker; then make this container again",
    );
    check(
        |bench| {
            bench.env.insert("DOCKER_HOST", "tcp://127.0.0.1:2375".to_owned());
        },
        "",
    );
    check(
        |bench| {
            bench.env.insert("DOCKER_HOST", "ssh://10.0.0.1".to_owned());
        },
        "problem | docker | failed to use the engine address \"ssh://10.0.0.1\": this scheme is not supported, give \
         unix:///path/to/docker.sock or tcp://host:port | unset DOCKER_HOST, or set `docker.socket_path` to the engine's socket",
    );
    check(
        |bench| bench.ping = Err(ErrorKind::ConnectionRefused),
        "problem | docker | nobody listens at /var/run/docker.sock | sudo systemctl start docker",
    );
    check(
        |bench| bench.ping = Err(ErrorKind::TimedOut),
        "problem | docker | /var/run/docker.sock does not answer within 2 s | sudo systemctl restart docker",
    );
    const NEEDED: &str =
        "GET /_ping, /version, /info, /events, /containers/json and /containers/*/json must be allowed";
    check(
        |bench| bench.ping = Ok(403),
        &format!(
            "problem | docker | /var/run/docker.sock answers /_ping with status 403 | if a socket proxy stands before the engine, {NEEDED}"
        ),
    );
    check(
        |bench| bench.version = Ok(403),
        &format!(
            "warning | docker | /var/run/docker.sock answers /_ping, but /version with status 403 | in the socket proxy, {NEEDED}"
        ),
    );
    check(
        |bench| {
            bench.socket("run/podman/podman.sock");
            bench.config = "[docker]\nenabled = false".to_owned();
            bench.ping = Err(ErrorKind::ConnectionRefused);
        },
        "problem | podman | nobody listens at /run/podman/podman.sock | sudo systemctl enable --now podman.socket",
    );
    check(|bench| bench.config = "[general]\nsource = \"cgroup\"".to_owned(), "");
}

#[test]
fn engines_of_users() {
    let bench = Bench::new();
    bench.socket("run/user/1000/podman/podman.sock");
    bench.socket("run/user/1001/docker.sock");
    let text = bench.report().to_string().replace(&bench.tree.root().display().to_string(), "");
    let engines: Vec<&str> = text.lines().take_while(|line| !line.contains("cgroups")).collect();
    assert_eq!(
        engines,
        [
            "ok       docker            29.1.0, API 1.52, at /var/run/docker.sock",
            "ok       podman            29.1.0, API 1.52, at /run/user/1000/podman/podman.sock",
            "ok       docker            29.1.0, API 1.52, at /run/user/1001/docker.sock",
        ]
    );
    check(
        |bench| {
            bench.remove("var/run/docker.sock");
            bench.socket("run/user/1000/podman/podman.sock");
            bench.ping = Err(ErrorKind::ConnectionRefused);
        },
        "problem | podman | nobody listens at /run/user/1000/podman/podman.sock | sudo systemctl --user -M ana@ enable --now \
         podman.socket",
    );
    check(
        |bench| {
            fs::create_dir_all(bench.path("run/user/1000")).unwrap();
            bench.write("home/ana/.local/share/containers/storage/overlay-containers/containers.json", "[]");
        },
        "warning | podman | there is no /run/user/1000/podman/podman.sock: the names are from Podman's files, and what has ended, \
         pods and health are not shown | sudo systemctl --user -M ana@ enable --now podman.socket",
    );
    // Nobody looks for what is not followed.
    check(
        |bench| {
            bench.socket("run/user/1001/docker.sock");
            bench.config = "[docker]\nenabled = false\n".to_owned();
        },
        "warning | engines | no engine's socket at /run/podman/podman.sock: containers are found by their cgroups, without names | \
         sudo systemctl start docker, or name another socket with `docker.socket_path`",
    );
}

#[test]
fn rights_on_the_socket() {
    let denied = |spoil: &dyn Fn(&mut Bench), expect: &str| {
        check(
            |bench| {
                bench.ping = Err(ErrorKind::PermissionDenied);
                bench.groups = vec![1000];
                spoil(bench);
            },
            &format!("problem | docker | /var/run/docker.sock {expect}"),
        );
    };
    let not_in = "may be used by group docker (998) only, and this process (uid 1000) is not in it";
    denied(&|_| {}, &format!("{not_in} | sudo usermod -aG docker ana, then log in again"));
    denied(&|bench| bench.container(), &format!("{not_in} | start this container with --group-add 998"));
    denied(
        &|bench| bench.write("etc/group", ""),
        "may be used by group 998 only, and this process (uid 1000) is not in it | start this container with --group-add 998",
    );
    denied(
        &|bench| bench.rights = Rights { uid: 0, gid: 0, mode: 0o140_600 },
        "may be used by group root (0) only, and this process (uid 1000) is not in it | run as root",
    );
    denied(
        &|bench| bench.rights = Rights { uid: 1001, gid: 998, mode: 0o140_600 },
        &format!("{not_in} | run as the user with uid 1001"),
    );
    denied(
        &|bench| {
            bench.groups = vec![998];
            bench.container();
        },
        "is refused although its group docker (998) is ours: SELinux or AppArmor forbids it | start this container with \
         --security-opt label=disable",
    );
}

#[test]
fn cgroup_tree() {
    let none = "failed to find a cgroup file system at /sys/fs/cgroup: mount one there, or name the directory where the host's is \
                mounted";
    check(
        |bench| bench.remove("sys"),
        &format!(
            "problem | cgroups | {none} | sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup, or name the directory with `cgroup.root`"
        ),
    );
    check(
        |bench| {
            bench.remove("sys");
            bench.container();
        },
        &format!(
            "problem | cgroups | {none} | start this container with -v /sys/fs/cgroup:/sys/fs/cgroup:ro"
        ),
    );
    let fix = "start this container with -v /sys/fs/cgroup:/sys/fs/cgroup:ro --cgroupns host";
    let own = "shows this container's own cgroup and no other: nothing that the kernel counts of others, only their states";
    check(
        |bench| bench.write("sys/fs/cgroup/cgroup.type", "domain\n"),
        &format!("problem | cgroups | /sys/fs/cgroup {own} | {fix}"),
    );
    check(
        |bench| bench.v1(&["cpu", "memory"], "/docker/ab"),
        &format!("problem | cgroups | /sys/fs/cgroup shows only what is below /docker/ab | {fix}"),
    );
    check(
        |bench| {
            bench.hybrid();
            bench.namespace("cgroup", 4_026_539_999);
        },
        &format!("problem | cgroups | /sys/fs/cgroup {own} | {fix}"),
    );
    // All of it, seen from a private cgroup namespace.
    check(
        |bench| {
            bench.v1(&["cpu", "cpuacct", "memory", "blkio", "pids"], "/../..");
            bench.write("sys/fs/cgroup/memory/release_agent", "\n");
        },
        "warning | pressure | kept for the machine, but not for containers: no unified hierarchy is mounted | sudo mkdir -p \
         /sys/fs/cgroup/unified && sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified, then start the containers again",
    );
}

#[test]
fn memory_on_a_raspberry_pi() {
    let off = "problem | memory | the controller memory is switched off in the kernel";
    let spoil = |bench: &mut Bench| {
        bench.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n");
        bench.write("proc/cgroups", &CGROUPS.replace("memory\t0\t1\t1", "memory\t0\t1\t0"));
        bench.write("proc/cmdline", "cgroup_disable=memory console=tty1\n");
        bench.is_arm = true;
    };
    check(
        spoil,
        &format!(
            "{off} | sudo sed -i '1s/$/ cgroup_enable=memory cgroup_memory=1/' /boot/firmware/cmdline.txt && sudo reboot"
        ),
    );
    check(
        |bench| {
            spoil(bench);
            bench.write("boot/cmdline.txt", "console=tty1\n");
        },
        &format!(
            "{off} | sudo sed -i '1s/$/ cgroup_enable=memory cgroup_memory=1/' /boot/cmdline.txt && sudo reboot"
        ),
    );
    check(
        |bench| {
            spoil(bench);
            bench.write("proc/cmdline", "console=tty1 cgroup_enable=memory cgroup_memory=1\n");
        },
        &format!("{off} | run a kernel with CONFIG_MEMCG=y"),
    );
    check(
        |bench| {
            spoil(bench);
            bench.is_arm = false;
        },
        &format!("{off} | remove `cgroup_disable=memory` from the kernel's command line and reboot"),
    );
}

#[test]
fn controllers() {
    check(
        |bench| {
            bench.v1(&["cpu", "cpuacct", "memory", "blkio"], "/");
            bench.write("sys/fs/cgroup/unified/cgroup.controllers", "\n");
            bench.remove("proc/self/mountinfo");
            bench.mounts("", "rw");
        },
        "warning | pids | the controller pids is not mounted | sudo mkdir -p /sys/fs/cgroup/pids && sudo mount -t cgroup -o pids \
         cgroup /sys/fs/cgroup/pids",
    );
    check(
        |bench| bench.write("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n"),
        "warning | block I/O | the controller io is not in cgroup.controllers: a v1 hierarchy holds it | add \
         `systemd.unified_cgroup_hierarchy=1` to GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo update-grub && sudo reboot",
    );
    check(
        |bench| bench.write("sys/fs/cgroup/cgroup.subtree_control", "cpu pids\n"),
        "warning | controllers | the root cgroup does not hand down memory, io: no container has their files | echo '+memory +io' | \
         sudo tee /sys/fs/cgroup/cgroup.subtree_control",
    );
    check(
        |bench| {
            let own = "sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers";
            bench.write(own, "memory pids\n");
        },
        "warning | controllers | rootless containers of uid 1000 have no cpu, io: systemd does not delegate it | printf \
         '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo install -D /dev/stdin \
         /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload, then log in again",
    );
}

#[test]
fn block_io_on_v1() {
    let disks =
        "254 0 vda 10 0 9 9 7 0 0\n254 1 vda1 10 0 9 9 7 0 0\n7 0 loop0 1 0 0 0 0 0\n8 0 sda 0 0 0 0 0 0 0\n";
    let spoil = |bench: &mut Bench, counted: &str| {
        bench.hybrid();
        bench.write("proc/diskstats", disks);
        bench.write("sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes_recursive", counted);
    };
    check(
        |bench| spoil(bench, "Total 0\n"),
        "warning | block I/O | not counted on vda: with cgroup v1 this kernel counts on a disk only after a limit was set there \
         once | sudo sh -c 'mkdir /sys/fs/cgroup/blkio/count-io && echo \"254:0 1099511627776\" > \
         /sys/fs/cgroup/blkio/count-io/blkio.throttle.write_bps_device; rmdir /sys/fs/cgroup/blkio/count-io'",
    );
    check(|bench| spoil(bench, "254:0 Read 0\n254:0 Write 0\nTotal 0\n"), "");
}

#[test]
fn pressure() {
    let none = "warning | pressure | the kernel keeps no pressure stall information (PSI)";
    check(
        |bench| bench.remove("proc/pressure"),
        &format!(
            "{none} | add `psi=1` to GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo update-grub && sudo reboot"
        ),
    );
    check(
        |bench| {
            bench.remove("proc/pressure");
            bench.write("boot/firmware/cmdline.txt", "quiet\n");
        },
        &format!("{none} | sudo sed -i '1s/$/ psi=1/' /boot/firmware/cmdline.txt && sudo reboot"),
    );
    check(
        |bench| {
            bench.remove("proc/pressure");
            bench.write("proc/cmdline", "quiet psi=1\n");
        },
        &format!("{none} | run a kernel from 4.20 on with CONFIG_PSI=y"),
    );
    check(
        |bench| bench.v1(&["cpu", "cpuacct", "memory", "blkio", "pids"], "/"),
        "warning | pressure | kept for the machine, but not for containers: no unified hierarchy is mounted | sudo mkdir -p \
         /sys/fs/cgroup/unified && sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified, then start the containers again",
    );
}

#[test]
fn what_proc_hides() {
    let hidden = |value: &str| {
        format!(
            "problem | proc | /proc is mounted with hidepid={value}: other users' processes cannot be read"
        )
    };
    check(
        |bench| bench.mounts("", "rw,hidepid=invisible"),
        &format!(
            "{} | sudo mount -o remount,hidepid=invisible,gid=1000 /proc on the host, or without hiding: sudo mount -o \
             remount,hidepid=0 /proc",
            hidden("invisible")
        ),
    );
    check(
        |bench| bench.mounts("", "rw,gid=777,hidepid=2"),
        &format!("{} | sudo usermod -aG procs ana, then log in again", hidden("2")),
    );
    check(
        |bench| {
            bench.mounts("", "rw,gid=777,hidepid=2");
            bench.container();
        },
        &format!("{} | start this container with --group-add 777", hidden("2")),
    );
    check(
        |bench| {
            bench.mounts("", "rw,gid=777,hidepid=2");
            bench.groups.push(777);
        },
        "",
    );
    check(
        |bench| {
            bench.mounts("", "rw,hidepid=2");
            bench.uid = 0;
        },
        "",
    );
    check(
        |bench| bench.remove("proc/self/mountinfo"),
        "problem | proc | /proc is no proc file system that can be read | sudo mount -t proc proc /proc, or name the directory with \
         `cgroup.proc_root`",
    );
}

#[test]
fn namespaces() {
    check(
        |bench| {
            bench.namespace("pid", 4_026_539_999);
            // Process 1 is this container's own: what it hides says nothing of the others.
            bench.net = Some(ErrorKind::PermissionDenied);
            bench.config = "[general]\nsource = \"cgroup\"".to_owned();
        },
        "warning | pid namespace | this container's own: networks and writable layers of containers cannot be read, nor their \
         last samples where no event of cgroups tells of an end | start this container with --pid host (in Compose: pid: host)",
    );
    check(
        |bench| bench.namespace("cgroup", 4_026_539_999),
        "warning | cgroup namespace | this container's own: cgroups are found by their ids, which costs a walk through the tree | \
         start this container with --cgroupns host (in Compose: cgroup: host)",
    );
    check(|bench| bench.net = Some(ErrorKind::PermissionDenied), "");
    check(
        |bench| {
            bench.net = Some(ErrorKind::PermissionDenied);
            bench.config = "[general]\nsource = \"cgroup\"".to_owned();
            bench.container();
        },
        "warning | network | namespaces cannot be told apart, so a container on the host's network shows the host's bytes | start \
         this container with --cap-add SYS_PTRACE",
    );
}

#[test]
fn limits() {
    let dear = "some are opened anew each time, which costs four times as much";
    check(
        |bench| bench.nofile_max = Some(1024),
        &format!(
            "warning | open files | at most 1024 may be open: with 100 containers {dear} | set LimitNOFILE=4096 in the service's \
             unit, or in the shell: ulimit -n 4096"
        ),
    );
    check(
        |bench| {
            bench.containers(200);
            bench.nofile_max = Some(4096);
            bench.container();
        },
        &format!(
            "warning | open files | at most 4096 may be open: with 200 containers {dear} | start this container with --ulimit \
             nofile=8192:8192"
        ),
    );
    check(
        |bench| bench.write("proc/sys/fs/inotify/max_user_watches", "128\n"),
        "warning | inotify | a user may have 128 watches: new containers are found later, by lists | echo \
         'fs.inotify.max_user_watches = 8192' | sudo tee -a /etc/sysctl.d/90-container-exporter.conf && sudo sysctl --system",
    );
    let mut bench = Bench::new();
    bench.inotify = Some(ErrorKind::Other);
    let faults = bench.faults();
    assert!(
        faults.starts_with("warning | inotify | no instance is left of the 128 that a user may have ("),
        "{faults}"
    );
    let fix = "| echo 'fs.inotify.max_user_instances = 512' | sudo tee -a /etc/sysctl.d/90-container-exporter.conf && sudo sysctl \
               --system";
    assert!(faults.ends_with(fix), "{faults}");
}

/// The bench's machine lacks the library: where the group is off, that is no fault.
#[test]
fn gpus() {
    let check = |gpus, spoil: fn(&Bench), expect: &str| {
        let wanted = |bench: &mut Bench| {
            bench.config = "metrics.groups = [\"standard\", \"gpu\"]".to_owned();
            bench.gpus = gpus;
            spoil(bench);
        };
        check(wanted, expect);
    };
    check(Some(Ok(2)), |_| {}, "");
    check(None, |_| {}, "");
    check(
        Some(Err(Absence::NoLibrary)),
        |_| {},
        "warning | gpus | libnvidia-ml.so.1 is not there, or not fit | install NVIDIA's driver with its tools: nvidia-smi must work here",
    );
    check(
        Some(Err(Absence::NoLibrary)),
        Bench::container,
        "warning | gpus | libnvidia-ml.so.1 is not there, or not fit | start this container, of an image with glibc, with --gpus all -e \
         NVIDIA_DRIVER_CAPABILITIES=utility",
    );
    check(
        Some(Err(Absence::NoDriver)),
        |_| {},
        "warning | gpus | libnvidia-ml.so.1 is there, and the kernel's driver does not answer it, or is of another version | sudo \
         modprobe nvidia; after an update of the driver a reboot; nvidia-smi must work on the host",
    );
    check(
        Some(Err(Absence::PermissionDenied)),
        Bench::container,
        "warning | gpus | libnvidia-ml.so.1 is there, and its devices may not be used | start this container with --gpus all, or \
         --device /dev/nvidiactl --device /dev/nvidia0 and so on",
    );
    check(
        Some(Err(Absence::Timeout)),
        |_| {},
        "warning | gpus | libnvidia-ml.so.1 is there, and does not come back | sudo dmesg | grep -i xid shows a GPU that hangs; sudo \
         systemctl start nvidia-persistenced, where it only starts slowly",
    );
    let mut bench = Bench::new();
    bench.config = "metrics.groups = [\"all\"]".to_owned();
    bench.gpus = Some(Ok(1));
    assert!(
        bench.report().to_string().contains("ok       gpus              libnvidia-ml.so.1 tells of 1 GPU\n")
    );
    bench.namespace("pid", 4_026_532_000);
    bench.container();
    let faults = bench.faults();
    assert!(faults.contains("warning | gpus | the driver names processes by the host's numbers"), "{faults}");
}

#[test]
fn address() {
    check(
        |bench| bench.listen = Some(ErrorKind::PermissionDenied),
        "problem | listen | 0.0.0.0:8080: only root may listen at ports below 1024 | choose another with --listen :8080, or: sudo \
         setcap cap_net_bind_service=+ep \"$(command -v container-exporter)\"",
    );
    check(
        |bench| {
            bench.listen = Some(ErrorKind::AddrNotAvailable);
            bench.config = "[server]\nlisten = \"192.0.2.1:9100\"".to_owned();
        },
        "problem | listen | no interface has the address 192.0.2.1 | --listen :9100 listens at all addresses; ip -brief address \
         shows which there are",
    );
    check(
        |bench| {
            bench.listen = Some(ErrorKind::AddrInUse);
            bench.livez = Ok(200);
        },
        "",
    );
}

/// What a socket's owner answers is read as it comes over the wire.
#[test]
fn asking_a_real_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let answers =
        ["HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\n\r\nOK", "HTTP/1.1 503 Busy\r\n\r\n", "SSH-2.0-x\r\n", ""];
    let engine = thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 64];
            let length = stream.read(&mut head).unwrap();
            assert!(head[..length].starts_with(b"GET /_ping HTTP/1.0\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let ping = || ask(Path::new(&path), "/_ping").map_err(|error| error.kind());
    assert_eq!(ping(), Ok(Answer { status: 200, body: "OK".to_owned() }));
    assert_eq!(ping(), Ok(Answer { status: 503, body: String::new() }));
    assert_eq!(ping(), Err(ErrorKind::InvalidData));
    assert_eq!(ping(), Err(ErrorKind::InvalidData));
    engine.join().unwrap();
    assert_eq!(ping(), Err(ErrorKind::ConnectionRefused));
    assert_eq!(
        ask(&directory.path().join("none"), "/").map_err(|error| error.kind()),
        Err(ErrorKind::NotFound)
    );
}
