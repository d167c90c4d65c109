//! Finding a machine's mounts, namespaces, processes and containers.
#![cfg(all(feature = "reader", target_os = "linux"))]

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use cgroup_reader::{
    CgroupPath, Controller, Directories, Host, HostError, Layout, Namespace, Roots, Runtime, ScanLimits,
    Version, find_by_id, scan, scan_within,
};
use common::{ID, Tree};

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// Where the controllers are mounted, below the tree's root.
fn mounts(tree: &Tree, host: &Host) -> Vec<(Controller, String)> {
    let mount = |controller| {
        let path = host.mount(controller)?.strip_prefix(tree.root()).ok()?.to_str()?.to_owned();
        Some((controller, path))
    };
    Controller::ALL.into_iter().filter_map(mount).collect()
}

#[test]
fn layouts_with_and_without_a_mount_table() {
    for (layout, version) in
        [(Layout::V1, Version::V1), (Layout::Hybrid, Version::V1), (Layout::V2, Version::V2)]
    {
        let tree = Tree::new(layout);
        let host = tree.host();
        assert_eq!((host.layout(), host.version()), (layout, version));
        let by_table = mounts(&tree, &host);
        fs::remove_file(tree.path("proc/self/mountinfo")).unwrap();
        let by_looking = tree.host();
        assert_eq!(by_looking.layout(), layout);
        let names =
            |mounts: Vec<(Controller, String)>| mounts.into_iter().map(|(one, _)| one).collect::<Vec<_>>();
        assert_eq!(names(mounts(&tree, &by_looking)), names(by_table.clone()));
        match layout {
            Layout::V2 => {
                assert!(
                    by_table.iter().all(|(_, path)| path == "sys/fs/cgroup")
                        && by_table.len() == Controller::ALL.len()
                )
            }
            _ => {
                assert!(by_table.contains(&(Controller::Cpuacct, "sys/fs/cgroup/cpu,cpuacct".to_owned())));
                assert_eq!(host.mount(Controller::Hugetlb), None);
                assert_eq!(host.mount(Controller::Core).is_some(), layout == Layout::Hybrid);
            }
        }
        let controllers = host.controllers();
        assert!(controllers.contains(&Controller::Memory) && !controllers.contains(&Controller::Hugetlb));
    }
}

#[test]
fn no_cgroups_is_an_error_that_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let error = Host::detect(&Roots::under(directory.path())).unwrap_err();
    assert!(matches!(error, HostError::NoCgroups(_)));
    assert!(error.to_string().contains("sys/fs/cgroup"), "{error}");
}

#[test]
fn escaped_mount_points_and_partial_mounts() {
    let tree = Tree::new(Layout::V1);
    fs::create_dir_all(tree.path("sys/fs/cgroup/my memory/sub")).unwrap();
    tree.write(
        "proc/self/mountinfo",
        "1 0 0:1 / /sys/fs/cgroup/gone rw - cgroup cgroup rw,blkio\n\
         2 0 0:2 /docker/outer /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,memory\n\
         3 0 0:3 / /proc rw - proc proc rw\n",
    );
    let host = tree.host();
    assert_eq!(mounts(&tree, &host), [(Controller::Memory, "sys/fs/cgroup/my memory".to_owned())]);
    for (path, expect) in [
        ("/docker/outer/sub", Some("sys/fs/cgroup/my memory/sub")),
        ("/docker/outer", Some("sys/fs/cgroup/my memory")),
        ("/docker/outerx", None),
        ("/", None),
        ("/docker/outer/../x", None),
    ] {
        let directories = Directories::of(&host, &CgroupPath::everywhere(path));
        assert_eq!(directories.path(Controller::Memory), expect.map(|path| tree.path(path)), "{path}");
    }
}

#[test]
fn namespaces_processes_and_networks() {
    let tree = Tree::new(Layout::V2);
    let host = tree.host();
    assert_eq!(host.cgroup_namespace(), Namespace::Initial);
    assert_eq!(host.pid_namespace(), Namespace::Private);
    fs::remove_file(tree.path("proc/self/ns/pid")).unwrap();
    assert_eq!(host.pid_namespace(), Namespace::Unknown);

    tree.process(1, "/", 1);
    tree.process(42, "/x", 777);
    for (pid, namespace) in [(1, 4_026_531_840_u64), (42, 4_026_532_000)] {
        fs::create_dir_all(tree.path(&format!("proc/{pid}/ns"))).unwrap();
        symlink(format!("net:[{namespace}]"), tree.path(&format!("proc/{pid}/ns/net"))).unwrap();
    }
    assert_eq!(host.network_namespace(42).unwrap(), 4_026_532_000);
    assert!(!host.uses_host_network(42).unwrap());
    assert!(host.uses_host_network(1).unwrap());
    assert!(host.network_namespace(43).is_err());

    let process = host.process(42).unwrap();
    assert_eq!(process.start_ticks, 777);
    assert!(host.is_running(process));
    tree.process(42, "/x", 778);
    assert!(!host.is_running(process));
    tree.write("proc/42/stat", "42 (cut) S 1");
    assert!(host.process(42).is_err());
}

#[test]
fn disks_have_names() {
    let tree = Tree::new(Layout::V2);
    tree.write("sys/dev/block/254:0/uevent", "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n");
    tree.write(
        "proc/partitions",
        "major minor  #blocks  name\n\n   8        0  1024 sda\n   8       10  1024 sda10\n",
    );
    let host = tree.host();
    assert_eq!(host.device_name(254, 0).as_deref(), Some("vda"));
    assert_eq!(host.device_name(8, 0).as_deref(), Some("sda"));
    assert_eq!(host.device_name(8, 10).as_deref(), Some("sda10"));
    assert_eq!(host.device_name(8, 1), None);
}

#[test]
fn the_walk_finds_containers_and_nothing_else() {
    for layout in [Layout::V2, Layout::Hybrid, Layout::V1] {
        let tree = Tree::new(layout);
        let make = |path: &str| fs::create_dir_all(tree.path(&tree.file("memory", path, ""))).unwrap();
        let (a, b, c, d) = (id('a'), id('b'), id('c'), id('d'));
        make(&format!("/docker/{a}/docker/{b}"));
        make(&format!("/machine.slice/libpod-{c}.scope/container"));
        make(&format!("/machine.slice/libpod-conmon-{c}.scope"));
        make(&format!("/kubepods/burstable/pod12-34/{d}"));
        make("/system.slice/ssh.service");
        symlink(tree.path("sys/fs/cgroup"), tree.path(&tree.file("memory", "", "loop"))).unwrap();
        let host = tree.host();

        let found = scan(&host);
        let mut seen: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.runtime)).collect();
        seen.sort();
        let expect = [
            (a.as_str(), Runtime::Docker),
            (&b, Runtime::Docker),
            (&c, Runtime::Podman),
            (&d, Runtime::Containerd),
        ];
        assert_eq!(seen, expect, "{layout:?}");
        let pod: Vec<_> = found.iter().filter_map(|one| one.pod_uid.as_deref()).collect();
        assert_eq!(pod, ["12-34"]);

        let nested = find_by_id(&host, &b).unwrap();
        assert_eq!(nested.unified(), Some(format!("/docker/{a}/docker/{b}").as_str()));
        assert_eq!(
            find_by_id(&host, &c).unwrap().unified(),
            Some(format!("/machine.slice/libpod-{c}.scope").as_str())
        );
        assert_eq!(find_by_id(&host, ID), None);
        assert_eq!(find_by_id(&host, ""), None);

        for limits in [
            ScanLimits { depth_max: 1, ..ScanLimits::default() },
            ScanLimits { directories_max: 2, ..ScanLimits::default() },
            ScanLimits { found_max: 1, ..ScanLimits::default() },
        ] {
            let scan = scan_within(&host, limits);
            assert!(scan.truncated && scan.found.len() <= 1, "{limits:?}");
        }
        assert!(!scan_within(&host, ScanLimits::default()).truncated);
    }
}

#[test]
fn a_path_from_a_private_namespace_is_found_by_its_id() {
    let tree = Tree::new(Layout::V2);
    let own = format!("/system.slice/docker-{ID}.scope");
    tree.container(&own);
    tree.process(7, &format!("/../docker-{ID}.scope/init.scope"), 1);
    let host = tree.host();
    let path = host.cgroup_path(7).unwrap();
    assert!(path.is_foreign());
    let directories = host.directories(&path).unwrap();
    assert_eq!(directories.path(Controller::Memory), Some(tree.path(&format!("sys/fs/cgroup{own}"))));
    // The mount itself may be of the parent of the namespace's root; then the path can be followed.
    tree.write("proc/self/mountinfo", "30 23 0:26 /.. /sys/fs/cgroup/system.slice rw - cgroup2 cgroup2 rw\n");
    tree.write("sys/fs/cgroup/system.slice/cgroup.controllers", "memory\n");
    let directories = Directories::of(&tree.host(), &path.cut());
    assert_eq!(directories.path(Controller::Memory), Some(tree.path(&format!("sys/fs/cgroup{own}"))));
    assert_eq!(host.directories(&CgroupPath::parse(b"0::/nowhere\n")), None);
}

/// However far down the root stands, and where it is not there.
#[test]
fn the_root_of_a_process_is_found_in_any_table() {
    let tree = Tree::new(Layout::V2);
    let host = tree.host();
    let root = "9 1 0:50 / / rw - overlay overlay rw,upperdir=/up\n";
    let others = |count: usize| -> String {
        (0..count).map(|at| format!("{at} 1 0:3 / /mnt/{at} rw - tmpfs tmpfs rw,mode=755\n")).collect()
    };
    for (table, expect) in [
        (format!("{root}{}", others(3)), true),
        (format!("{}{root}{}", others(3000), others(10)), true),
        (format!("{}{}", others(100), root.trim_end()), true),
        (others(100), false),
        (String::new(), false),
    ] {
        tree.write("proc/7/mountinfo", &table);
        let found = host.root_mount(7).unwrap();
        let upper = found.as_ref().and_then(|root| root.options().last().map(str::to_owned));
        assert_eq!(upper.as_deref(), expect.then_some("upperdir=/up"), "{} bytes", table.len());
    }
    assert!(host.root_mount(8).is_err(), "there is no such process");
}
