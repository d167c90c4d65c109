//! Engines that users run for themselves, without root: all of them from one process.

mod two;
mod user;

use super::{INFO, USED, once};
use crate::harness::{Exporter, Page, Scope, Setup};
use user::User;

/// An exporter of the engines in their usual places, that watches this test's containers only.
fn exporter_of(scope: &Scope) -> Exporter {
    // The variable is for the system's Docker: it keeps nobody from finding users' engines.
    let setup = Setup::new().env("DOCKER_HOST", scope.host());
    setup.config("containers", &format!("include = [\"{}\"]", scope.pattern())).start()
}

/// Waits until a user's container is there, once, with its owner; panics if that is said of it otherwise.
#[track_caller]
fn await_of_user(exporter: &Exporter, name: &str, engine: &str, user: &User) {
    let id = exporter.await_page(&format!("{name} is there with numbers"), |page| {
        let used = page.all(USED, &[("container_name", name)]);
        used.first().map(|line| line.label("container_id").to_owned())
    });
    let labels = once(exporter, &id);
    assert_eq!(labels["engine"], engine);
    assert_eq!(labels["uid"], user.uid.to_string());
    assert!(labels["image"].ends_with("busybox:local"), "{labels:?}");
    assert_eq!(exporter.scrape().of("container_spec_memory_limit_bytes", name), Some(67_108_864.0));
}

/// Whether the source of a user's engine answers; `None` while nothing is said of it.
fn is_up(page: &Page, engine: &str, user: &User) -> Option<f64> {
    page.value("container_exporter_source_up", &[("source", &format!("{engine}-{}", user.uid))])
}

#[test]
fn a_users_docker_is_found_when_it_comes() {
    let Some(scope) = Scope::new("rootless") else { return };
    let Some(carol) = User::new("carol") else { return };
    let exporter = exporter_of(&scope);
    let of_system = scope.sleeper("system", &["-m", "64m"]);
    exporter.await_container(&of_system.name);
    carol.start_docker();
    let hers = scope.name("hers");
    carol.run_container("docker", &hers);
    await_of_user(&exporter, &hers, "docker", &carol);
    assert_eq!(is_up(&exporter.scrape(), "docker", &carol), Some(1.0));
    let labels = once(&exporter, of_system.short_id());
    assert!(!labels.contains_key("uid"), "the system's engine is no user's: {labels:?}");
    carol.stop("docker.service");
    exporter.await_page("hers is gone", |page| {
        page.all(INFO, &[("container_name", &hers)]).is_empty().then_some(())
    });
    assert_eq!(once(&exporter, of_system.short_id())["engine"], "docker");
}
