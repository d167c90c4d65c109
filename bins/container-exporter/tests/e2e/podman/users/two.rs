//! Podman of two users: one with a socket, one without.

use std::process::Command;

use super::user::User;
use super::{INFO, await_of_user, exporter_of, is_up};
use crate::harness::{Scope, program};

#[test]
fn podmans_of_two_users_with_a_socket_and_without() {
    let Some(scope) = Scope::new("users") else { return };
    let Some(alice) = User::new("alice") else { return };
    let Some(bob) = User::new("bob") else { return };
    let exporter = exporter_of(&scope);
    let [hers, his] = [scope.name("hers"), scope.name("his")];

    // Her socket comes while the exporter runs, he has none.
    alice.start("podman.socket");
    alice.run_container("podman", &hers);
    bob.run_container("podman", &his);
    await_of_user(&exporter, &hers, "podman", &alice);
    await_of_user(&exporter, &his, "podman", &bob);
    let page = exporter.scrape();
    assert_eq!(is_up(&page, "podman", &alice), Some(1.0));
    assert_eq!(is_up(&page, "podman", &bob), None, "nobody misses a socket that never was");

    let said = doctor(None);
    let socket = |user: &User| format!("/run/user/{}/podman/podman.sock", user.uid);
    let of = |path: &str| {
        said.lines().find(|line| line.contains(path)).unwrap_or_else(|| panic!("{path}: {said}"))
    };
    // A guest may be too slow for the patience that doctor has; that it is there is said in any case.
    let of_alice = of(&socket(&alice));
    assert!(!of_alice.starts_with("problem ") && !of_alice.contains("there is no"), "{said}");
    assert!(of(&socket(&bob)).starts_with("warning "), "{said}");
    let fix = format!("sudo systemctl --user -M {}@ enable --now podman.socket", bob.name);
    assert!(said.contains(&fix), "{said}");
    let said = doctor(Some(65_534));
    let closed = said.lines().find(|line| line.contains("only root may look there"));
    let line = closed.unwrap_or_else(|| panic!("whose directories are closed is told: {said}"));
    assert!([&alice, &bob].iter().all(|user| line.contains(&format!("/run/user/{}", user.uid))), "{line}");

    // A socket appears, and goes: he is there once, under his name, all the time.
    bob.start("podman.socket");
    exporter
        .await_page("his engine answers", |page| (is_up(page, "podman", &bob) == Some(1.0)).then_some(()));
    await_of_user(&exporter, &his, "podman", &bob);
    bob.stop("podman.socket");
    bob.stop("podman.service");
    // systemd leaves the file where it is.
    std::fs::remove_file(socket(&bob)).expect("root may remove it");
    exporter
        .await_page("his engine is gone", |page| (is_up(page, "podman", &bob) != Some(1.0)).then_some(()));
    await_of_user(&exporter, &his, "podman", &bob);

    // She logs out, and with her go her engine and what it ran.
    drop(alice);
    exporter.await_page("hers is gone", |page| {
        page.all(INFO, &[("container_name", &hers)]).is_empty().then_some(())
    });
    await_of_user(&exporter, &his, "podman", &bob);
}

/// What `doctor` says, as root or another user.
fn doctor(uid: Option<u32>) -> String {
    let mut command = match uid {
        None => Command::new(program()),
        Some(uid) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={uid}")).arg(format!("--regid={uid}")).arg("--clear-groups");
            command.arg(program());
            command
        }
    };
    let output = command.arg("doctor").env_remove("DOCKER_HOST").output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
