//! Containers that only the kernel knows: those of `ctr run`, and machines of systemd-nspawn.

use std::process::{Child, Command, Stdio};

use super::{CPU, MEMORY, has_systemd, including, mounts};
use crate::harness::{Exporter, IMAGE, Kernel, Scope, assert_near, await_until, number, skip};

/// Some work, and then nothing that would be counted.
const SCRIPT: &str = "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; exec sleep 600";

/// What a program printed; panics if it failed.
#[track_caller]
fn output(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("failed to run {program}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(
        output.status.success(),
        "{program} {words:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

fn is_installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|found| found.status.success())
}

/// Waits until the exporter and the kernel agree on a container that sleeps.
#[track_caller]
fn assert_kernels_numbers(exporter: &Exporter, name: &str, kernel: &Kernel) {
    await_until("the kernel and the page agree on the CPU", || {
        let used = kernel.cpu_seconds()?;
        let shown = exporter.try_scrape()?.of(CPU, name)?;
        ((shown - used).abs() < 1e-9 && used > 0.0).then_some(())
    });
    let bytes = kernel.v1("memory", "memory.usage_in_bytes").or_else(|| kernel.v2("memory.current"));
    if let Some(bytes) = bytes.as_deref().and_then(number) {
        let shown = exporter.scrape().of(MEMORY, name).expect("it is there");
        assert_near("memory", shown, bytes, 1_048_576.0);
    }
}

/// A containerd of this test's own. Its containers' cgroups are below the name of its namespace.
struct Containerd {
    directory: tempfile::TempDir,
    namespace: String,
    image: String,
    child: Child,
}

impl Containerd {
    /// `None` where there is none.
    fn start(scope: &Scope) -> Option<Self> {
        if !["containerd", "ctr", "runc"].into_iter().all(is_installed) {
            return skip("no containerd, ctr or runc (enable with: cargo xtask test --install)");
        }
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().display();
        let config = format!(
            "version = 2\nroot = \"{at}/root\"\nstate = \"{at}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{at}/sock\"\n[ttrpc]\naddress = \"{at}/ttrpc\"\n"
        );
        let file = directory.path().join("config.toml");
        std::fs::write(&file, config).expect("it can be written");
        let log = std::fs::File::create(directory.path().join("log")).expect("it can be written");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("containerd starts");
        let image = directory.path().join("image.tar").display().to_string();
        let mut containerd = Self { directory, namespace: scope.name("ctr"), image: String::new(), child };
        await_until("containerd answers", || {
            let answer = containerd.command(&["version"]).output().expect("ctr runs");
            answer.status.success().then_some(())
        });
        scope.cli(&["save", "-o", &image, IMAGE]);
        // `run` unpacks it, with a snapshotter that works on any file system.
        containerd.ctr(&["image", "import", "--no-unpack", &image]);
        containerd.image = containerd.ctr(&["image", "ls", "-q"]);
        Some(containerd)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.directory.path().join("sock"));
        command.args(["--namespace", &self.namespace]).args(words);
        command
    }

    #[track_caller]
    fn ctr(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("ctr runs");
        let log = || std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        assert!(
            output.status.success(),
            "ctr {words:?}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            log()
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// `ctr run -d`.
    #[track_caller]
    fn run(&self, name: &str) -> Task<'_> {
        let task = Task { containerd: self, name: name.to_owned() };
        self.ctr(&["run", "-d", "--snapshotter", "native", &self.image, name, "sh", "-c", SCRIPT]);
        task
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        // Runtimes remove the cgroups of containers, not what is around them.
        for (mount, _) in mounts() {
            _ = std::fs::remove_dir(mount.join(&self.namespace));
        }
    }
}

/// A container of [`Containerd`]; dropping it ends and removes it.
struct Task<'a> {
    containerd: &'a Containerd,
    name: String,
}

impl Task<'_> {
    /// What the exporter calls it.
    fn id(&self) -> String {
        format!("/{}/{}", self.containerd.namespace, self.name)
    }

    #[track_caller]
    fn kernel(&self) -> Kernel {
        let list = self.containerd.ctr(&["task", "ls"]);
        let line = list.lines().find(|line| line.starts_with(&self.name)).expect("it runs");
        let pid = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a process id");
        Kernel::of(pid, &self.name)
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        // Without its task a container can be removed.
        for words in [&["task", "rm", "--force", &self.name][..], &["container", "rm", &self.name]] {
            _ = self.containerd.command(words).output();
        }
    }
}

#[test]
fn containers_of_ctr_are_there_where_they_are_asked_for() {
    let Some(scope) = Scope::new("ctr") else { return };
    let Some(containerd) = Containerd::start(&scope) else { return };
    let (web, db) = (containerd.run(&scope.name("web")), containerd.run(&scope.name("db")));
    let unasked = scope.exporter().start();
    let exporter = including(scope.exporter(), &format!("{}/*-web*", containerd.namespace));
    exporter.await_container(&web.name);
    assert_kernels_numbers(&exporter, &web.name, &web.kernel());
    // While we watch, long before the next scan is due.
    let second = containerd.run(&scope.name("web-2"));
    let page = exporter.await_container(&second.name);
    let info = page.all("container_info", &[("container_id", &second.id()), ("engine", "kernel")]);
    assert_eq!(info.len(), 1);
    assert_eq!(page.expect("container_count", &[("state", "running")]), 2.0, "they are containers");
    for page in [&page, &unasked.scrape()] {
        assert!(page.all("container_info", &[("container_id", &db.id())]).is_empty(), "nobody asked for it");
    }
    assert!(unasked.scrape().all("container_info", &[("container_id", &web.id())]).is_empty());
    let id = second.id();
    drop(second);
    exporter.await_page("the second is gone", |page| {
        page.all("container_info", &[("container_id", &id)]).is_empty().then_some(())
    });
    assert!(exporter.scrape().of(CPU, &web.name).is_some(), "the first is still there");
}

/// A machine; dropping it ends it.
struct Machine {
    name: String,
    child: Child,
    _root: tempfile::TempDir,
}

impl Machine {
    fn start(name: &str) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let script = "set -e; mkdir -p bin usr etc proc sys dev tmp; cp \"$(command -v busybox)\" bin/busybox; \
            for one in sh sleep; do ln -s busybox bin/$one; done";
        let made = Command::new("sh").args(["-c", script]).current_dir(root.path()).status();
        assert!(made.is_ok_and(|status| status.success()), "a system of busybox is made");
        let mut command = Command::new("systemd-nspawn");
        command.args(["--quiet", "--as-pid2", "--machine", name, "--directory"]).arg(root.path());
        command.args(["sh", "-c", SCRIPT]).stdin(Stdio::null()).stdout(Stdio::null());
        Self { name: name.to_owned(), child: command.spawn().expect("systemd-nspawn starts"), _root: root }
    }

    #[track_caller]
    fn kernel(&self) -> Kernel {
        let leader = output("machinectl", &["show", "--value", "-p", "Leader", &self.name]);
        let unit = output("machinectl", &["show", "--value", "-p", "Unit", &self.name]);
        Kernel::of(leader.parse().expect("a process id"), &unit)
    }

    fn end(&mut self) {
        _ = Command::new("machinectl").args(["terminate", &self.name]).output();
        _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn a_machine_of_systemd_nspawn_is_there_by_its_name_where_it_is_asked_for() {
    let Some(scope) = Scope::new("machine") else { return };
    if !has_systemd("machines of systemd-nspawn") {
        return;
    }
    if !is_installed("systemd-nspawn") {
        _ = skip::<()>("no systemd-nspawn (Debian's package systemd-container)");
        return;
    }
    let exporter = including(scope.exporter(), "machine.slice/*");
    let unasked = scope.exporter().start();
    let mut machine = Machine::start(&scope.name("box"));
    let page = exporter.await_container(&machine.name);
    assert_kernels_numbers(&exporter, &machine.name, &machine.kernel());
    let shown = page.all(CPU, &[("container_name", &machine.name), ("unit", ""), ("slice", "")]);
    assert_eq!(shown.len(), 1);
    assert_eq!(page.expect("container_count", &[("state", "running")]), 1.0, "it is a container");
    assert!(unasked.scrape().of(CPU, &machine.name).is_none(), "nobody asked for it");
    machine.end();
    exporter.await_page("it is gone", |page| page.of(CPU, &machine.name).is_none().then_some(()));
}
