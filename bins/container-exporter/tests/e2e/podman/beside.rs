//! Docker and Podman at once on one host: each container once, whichever of them answers.

use super::{USED, once};
use crate::harness::{Page, Scope, Setup};

/// An exporter that finds both engines in the places where they usually are, Docker's by the variable.
fn of_both(docker: &Scope, podman: &Scope) -> Setup {
    let include = format!("include = [\"{}\", \"{}\"]", docker.pattern(), podman.pattern());
    docker.exporter_of_all().config("podman", "enabled = true").config("containers", &include)
}

#[test]
fn each_container_is_there_once_with_its_engine() {
    let Some(docker) = Scope::new("both-docker") else { return };
    let Some(podman) = Scope::of_podman("both-podman") else { return };
    let before = [docker.sleeper("before", &[]), podman.sleeper("before", &[])];
    let exporter = of_both(&docker, &podman).start();
    let after = [docker.sleeper("after", &[]), podman.sleeper("after", &[])];
    for [of_docker, of_podman] in [&before, &after] {
        for (container, engine) in [(of_docker, "docker"), (of_podman, "podman")] {
            exporter.await_container(&container.name);
            let labels = once(&exporter, container.short_id());
            assert_eq!(labels["engine"], engine, "{labels:?}");
            assert_eq!(labels["container_name"], container.name);
        }
    }
    let page = exporter.scrape();
    for source in ["docker", "podman"] {
        assert_eq!(page.expect("container_exporter_source_up", &[("source", source)]), 1.0, "{source}");
        assert_eq!(
            page.expect("container_exporter_source_containers", &[("source", source)]),
            2.0,
            "{source}"
        );
    }
    assert_eq!(page.expect("container_count", &[("state", "running")]), 4.0);
    assert_eq!(page.all(USED, &[]).len(), 4, "nobody else is there");
    for [of_docker, of_podman] in [before, after] {
        for container in [of_docker, of_podman] {
            let id = container.short_id().to_owned();
            container.remove();
            exporter.await_page("the removed container is gone", |page: &Page| {
                page.lines.iter().all(|line| line.label("container_id") != id).then_some(())
            });
        }
    }
}

#[test]
fn what_docker_runs_is_shown_while_docker_is_down_and_podman_answers() {
    let Some(docker) = Scope::new("down-docker") else { return };
    let Some(podman) = Scope::of_podman("down-podman") else { return };
    let Some(socket) = docker.socket() else { return };
    let [of_docker, of_podman] = [docker.sleeper("one", &[]), podman.sleeper("one", &[])];
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("docker.sock");
    // No rules: what has no name could not be chosen by it.
    let setup = Setup::new().env("DOCKER_HOST", &format!("unix://{}", path.display()));
    let exporter = setup.start();
    let used = |page: &Page, id: &str| page.all(USED, &[("container_id", id)]).len();
    let page = exporter.await_page("Podman's has its name, and Docker's is there by its id", |page| {
        let both = page.of(USED, &of_podman.name).is_some() && used(page, of_docker.short_id()) == 1;
        both.then(|| page.clone())
    });
    assert_eq!(page.expect("container_exporter_source_up", &[("source", "docker")]), 0.0);
    let labels = once(&exporter, of_docker.short_id());
    assert_eq!(labels.get("container_name"), None, "nobody knows its name");
    assert_eq!(labels["engine"], "kernel");
    assert_eq!(once(&exporter, of_podman.short_id())["engine"], "podman");
    // Others come: Docker's by its id, Podman's by its name.
    let [second_of_docker, second_of_podman] = [docker.sleeper("two", &[]), podman.sleeper("two", &[])];
    exporter.await_page("both are there", |page| {
        let both =
            page.of(USED, &second_of_podman.name).is_some() && used(page, second_of_docker.short_id()) == 1;
        both.then_some(())
    });
    assert_eq!(once(&exporter, second_of_podman.short_id())["engine"], "podman");

    std::os::unix::fs::symlink(socket, &path).expect("the socket can be linked to");
    for container in [&of_docker, &second_of_docker] {
        exporter.await_container(&container.name);
        assert_eq!(once(&exporter, container.short_id())["engine"], "docker");
    }
    assert_eq!(once(&exporter, of_podman.short_id())["engine"], "podman");
}
