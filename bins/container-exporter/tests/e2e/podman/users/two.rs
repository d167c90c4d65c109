//! Podman of two users: one with a socket, one without.

use std::process::Command;

use super::user::User;
use super::{await_of_user, exporter_of, is_up};
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

    let said = doctor();
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
}

/// What `doctor` says.
fn doctor() -> String {
    let output = Command::new(program()).arg("doctor").env_remove("DOCKER_HOST").output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
