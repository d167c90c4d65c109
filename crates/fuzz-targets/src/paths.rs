//! Paths: mounts, the cgroups of a process, the container that a path names.

use cgroup_reader::{CgroupPath, Controller, classify, parse};

/// `/proc/<pid>/mountinfo`: written again with every odd byte escaped as the kernel escapes it, it is read as the same.
pub(crate) fn mountinfo(data: &[u8]) {
    let mounts: Vec<_> = parse::mountinfo(data).collect();
    assert!(mounts.len() <= data.len() / 10 + 1, "{} mounts in {} bytes", mounts.len(), data.len());
    let line = |mount: &parse::Mount| {
        let [root, point, fs_type, source] =
            [&mount.root, &mount.point, &mount.fs_type, &mount.source].map(|text| escaped(text));
        let options: Vec<String> =
            mount.options().map(|option| escaped(option).replace(',', "\\054")).collect();
        let options = options.join(",");
        let (major, minor) = mount.device;
        format!("1 2 {major}:{minor} {root} {point} rw shared:4 - {fs_type} {source} {options}\n")
    };
    let written: String = mounts.iter().map(line).collect();
    let again: Vec<_> = parse::mountinfo(written.as_bytes()).collect();
    assert_eq!(again, mounts);
}

fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'!'..=b'[' | b']'..=b'~' => char::from(byte).to_string(),
        odd => format!("\\{odd:03o}"),
    };
    text.bytes().map(escape).collect()
}

/// `/proc/<pid>/cgroup`.
pub(crate) fn proc_cgroup(data: &[u8]) {
    let paths = CgroupPath::parse(data);
    // A path with a carriage return or the like is one all the same; only a newline ends it.
    let line = |controller: Controller| {
        let path = paths.get(controller)?;
        let controllers = if controller == Controller::Core { "" } else { controller.as_str() };
        assert!(path.starts_with('/') && !path.contains('\n'), "{path:?}");
        let hierarchy = if controllers.is_empty() { 0 } else { 7 };
        // The kernel's mark of an ended process is taken off once.
        Some(format!("{hierarchy}:{controllers}:{path} (deleted)\n"))
    };
    let written: String = Controller::ALL.into_iter().filter_map(line).collect();
    assert_eq!(CgroupPath::parse(written.as_bytes()), paths);

    let cut = paths.cut();
    assert_eq!(cut.cut(), cut);
    assert_eq!(cut.container(), paths.container());
    let mut above = paths.parent();
    let mut steps = 0;
    while let Some(parent) = above {
        steps += 1;
        assert!(steps <= data.len(), "a path without a top");
        above = parent.parent();
    }
    let _ = (paths.is_foreign(), paths.unified());
}

/// A cgroup's path, or several, one a line.
pub(crate) fn cgroup_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for path in text.lines() {
        let Some(found) = classify(path) else {
            // Nothing of that form may be overlooked: a whole component is an id.
            let id = |name: &str| name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit());
            assert!(!path.split('/').any(id) || path.contains("libpod_parent"), "{path:?}");
            continue;
        };
        assert!(path.starts_with(&found.path), "{path:?}");
        assert!(
            found.id.len() == 64 && found.path.trim_end_matches(".scope").ends_with(&found.id),
            "{path:?}"
        );
        assert!(found.id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
        let rest = &path[found.path.len()..];
        assert!(rest.is_empty() || rest.starts_with('/'), "{path:?}");
        assert_eq!(classify(&found.path).as_ref(), Some(&found), "{path:?}");
        assert_eq!(classify(&format!("{}/init", found.path)).as_ref(), Some(&found), "{path:?}");
    }
}
