//! Tests in processes of their own: for what belongs to a whole process (memory, descriptors, mounts).

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

/// Whether this process runs but that test, `module::test` below `kernel`. If not, such a process is started, behind these
/// words.
pub(super) fn is_alone(test: &str, before: &[&str]) -> bool {
    const ALONE: &str = "COLLECTOR_CORE_TEST_ALONE";
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let this = env::current_exe().expect("a program");
    let mut words = before.iter().map(std::ffi::OsStr::new).chain([this.as_os_str()]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).args(["--exact", &format!("kernel::{test}"), "--nocapture"]).env(ALONE, "1");
    let ran = command.stdin(Stdio::null()).output().expect("a process");
    let said = String::from_utf8_lossy(&ran.stdout);
    let passed = ran.status.success() && said.contains("1 passed");
    assert!(passed, "{said}{}", String::from_utf8_lossy(&ran.stderr));
    false
}

/// Whether this process is alone and may mount: nobody else sees what.
pub(super) fn may_mount_alone(test: &str) -> bool {
    let before: &[&str] =
        if rustix::process::geteuid().is_root() { &["unshare", "--mount"] } else { &["unshare", "-rm"] };
    let allowed = Command::new(before[0]).args(&before[1..]).arg("true").stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return skip("no mount namespace can be had: run the tests as root");
    }
    is_alone(test, before)
}

/// Says that a test is left out, which continuous integration may not do.
#[expect(clippy::print_stderr, reason = "whoever runs the tests is told")]
pub(super) fn skip(reason: &str) -> bool {
    assert!(!matches!(env::var("CI").as_deref(), Ok("true" | "1")), "CI leaves nothing out: {reason}");
    eprintln!("skipped: {reason}");
    false
}

/// Mounts, with the words of mount(8).
pub(super) fn mount(directory: &Path, words: &[&str]) {
    let ran = Command::new("mount").args(words).current_dir(directory).status();
    assert!(ran.expect("mount, of util-linux").success(), "mount {words:?}");
}
