//! The way to the engine breaks: events are cut or lost, answers do not come, the socket changes or may not be opened.

use std::os::unix::fs::PermissionsExt as _;

use super::proxy::{Fault, Proxy};
use super::{USED, exits, losses, source};
use crate::harness::{Exporter, Scope, await_until, is_tried_here, tells_time};

/// An exporter that watches a test's containers through a proxy.
#[track_caller]
fn through(scope: &Scope, proxy: &Proxy) -> Exporter {
    scope.exporter().env("DOCKER_HOST", &proxy.host()).start()
}

#[test]
fn an_event_stream_cut_in_the_middle_of_a_document_is_taken_up_again() {
    if !is_tried_here("an event stream that is cut") {
        return;
    }
    let Some(scope) = Scope::new("cut") else { return };
    let Some(proxy) = Proxy::of(&scope) else { return };
    let first = scope.sleeper("first", &[]);
    let exporter = through(&scope, &proxy);
    let before = exporter.await_container(&first.name);
    proxy.set(Fault::EventCut);
    let second = scope.sleeper("second", &[]);
    let page = exporter.await_container(&second.name);
    assert_eq!(proxy.played(), 1);
    assert!(page.of(USED, &first.name) >= before.of(USED, &first.name), "the first one went on");
    assert_eq!(source(&page, "reconnects_total"), 1.0);
    assert_eq!(source(&page, "up"), 1.0);
    assert_eq!(losses(&exporter), 1, "one line: {}", exporter.log());
    // Nothing is counted twice by the new list, and the new stream is heard.
    assert_eq!(exits(&page), 0.0);
    second.remove();
    exporter.await_page("the end is counted", |page| (exits(page) >= 1.0).then_some(()));
    assert_eq!(exits(&exporter.scrape()), 1.0);
}

#[test]
fn what_lost_events_would_have_told_is_seen_by_the_cgroup_tree() {
    let Some(scope) = Scope::new("lost") else { return };
    let Some(proxy) = Proxy::of(&scope) else { return };
    let gone = scope.sleeper("gone", &[]);
    let exporter = through(&scope, &proxy);
    exporter.await_container(&gone.name);
    proxy.set(Fault::EventsLost);
    let come = scope.sleeper("come", &[]);
    let page = exporter.await_container(&come.name);
    assert!(proxy.played() >= 1, "its start was told, and lost");
    assert!(source(&page, "lists_total") >= 2.0, "a list healed it");
    let name = gone.name.clone();
    gone.remove();
    // A slow engine still lists it when its cgroup is gone, and nothing in the kernel shows its removal.
    let is_removed_at_once =
        tells_time("that an engine has removed a container as soon as its cgroup is gone");
    exporter.await_page("the removed one is gone and its end counted", |page| {
        let is_gone = page.all("container_info", &[("container_name", &name)]).is_empty();
        let has_ended = page.of(USED, &name).is_none();
        ((is_gone || !is_removed_at_once) && has_ended && exits(page) >= 1.0).then_some(())
    });
    let page = exporter.scrape();
    assert_eq!(exits(&page), 1.0);
    assert_eq!(
        (source(&page, "up"), source(&page, "reconnects_total")),
        (1.0, 0.0),
        "the stream never ended"
    );
}

#[test]
fn inspects_that_are_never_answered_hold_nobody_up() {
    if !is_tried_here("an engine that never answers an inspect") {
        return;
    }
    let Some(scope) = Scope::new("inspect") else { return };
    let Some(proxy) = Proxy::of(&scope) else { return };
    let known = scope.sleeper("known", &[]);
    let exporter = through(&scope, &proxy);
    exporter.await_container(&known.name);
    proxy.set(Fault::InspectsLost);
    let new = scope.sleeper("new", &[]);
    await_until("the new one is asked for", || (proxy.played() >= 1).then_some(()));
    let page = exporter.await_page("the new one is there by what its event says", |page| {
        let lines = page.all("container_info", &[("container_name", &new.name)]);
        (!lines.is_empty()).then(|| page.clone())
    });
    assert!(page.of(USED, &known.name).is_some(), "the others keep their numbers");
    let name = known.name.clone();
    known.remove();
    exporter.await_page("events are still heard", |page| {
        page.all("container_info", &[("container_name", &name)]).is_empty().then_some(())
    });
    exporter.await_page("the failure is counted", |page| {
        (source(page, "request_errors_total") >= 1.0).then_some(())
    });
    let told = exporter.log().lines().filter(|line| line.contains("failed to inspect a container")).count();
    assert_eq!(told, 1, "one line: {}", exporter.log());
    proxy.set(Fault::None);
    exporter.await_container(&new.name);
}

#[test]
fn a_socket_that_is_replaced_is_found_again() {
    if !is_tried_here("a socket that is replaced") {
        return;
    }
    let Some(scope) = Scope::new("replaced") else { return };
    let Some(proxy) = Proxy::of(&scope) else { return };
    let first = scope.sleeper("first", &[]);
    let exporter = through(&scope, &proxy);
    exporter.await_container(&first.name);
    proxy.replace();
    let second = scope.sleeper("second", &[]);
    let page = exporter.await_container(&second.name);
    assert_eq!(source(&page, "reconnects_total"), 1.0);
    assert!(page.of(USED, &first.name).is_some());
    assert_eq!((exits(&page), losses(&exporter)), (0.0, 1));
}

#[test]
fn a_socket_without_permission_is_told_with_what_to_do() {
    if !is_tried_here("a socket without permission") {
        return;
    }
    let Some(scope) = Scope::new("permission") else { return };
    let Some(proxy) = Proxy::of(&scope) else { return };
    let container = scope.sleeper("one", &[]);
    let allow = |mode: u32| {
        let rights = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(proxy.socket(), rights).expect("it is ours");
    };
    let directory = proxy.socket().parent().expect("a directory").to_owned();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    allow(0o600);
    let setup = scope.exporter_of_all().env("DOCKER_HOST", &proxy.host());
    let exporter = setup.with_user(65_534).start_unlisted();
    let page = exporter.await_page("the engine is down", |page| {
        let up = page.value("container_exporter_source_up", &[("source", "docker")])?;
        (up == 0.0).then(|| page.clone())
    });
    let id = container.short_id();
    if page.value(USED, &[("container_id", id)]).is_none() {
        exporter.await_page("it is found by its cgroup", |page| page.value(USED, &[("container_id", id)]));
    }
    let log = exporter.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("permission")).collect();
    assert_eq!(told.len(), 1, "one line: {log}");
    assert!(told[0].contains(&proxy.socket().display().to_string()), "it names the socket: {log}");
    allow(0o666);
    exporter.await_page("it has its name", |page| page.of(USED, &container.name));
    assert_eq!(source(&exporter.scrape(), "up"), 1.0);
}

#[test]
fn an_engine_that_stands_still_leaves_the_kernels_numbers() {
    if !is_tried_here("an engine that stands still") {
        return;
    }
    let Some(scope) = Scope::new("still") else { return };
    let Some(proxy) = Proxy::of(&scope) else { return };
    let busy = scope.run("busy", &["--cpus", "0.1"], "while :; do :; done");
    let exporter = through(&scope, &proxy);
    exporter.await_container(&busy.name);
    proxy.set(Fault::Frozen);
    let mut last = exporter.scrape().of(USED, &busy.name);
    let page = exporter.await_page("the loss is seen", |page| {
        let used = page.of(USED, &busy.name);
        assert!(used >= last, "{used:?} after {last:?}");
        last = used;
        (source(page, "up") == 0.0).then(|| page.clone())
    });
    assert!(source(&page, "request_errors_total") >= 1.0);
    let before = last;
    exporter.await_page("numbers are fresh without an engine", |page| {
        (source(page, "up") == 0.0 && page.of(USED, &busy.name) > before).then_some(())
    });
    assert_eq!(losses(&exporter), 1, "one line: {}", exporter.log());
    proxy.set(Fault::None);
    let page =
        exporter.await_page("the engine is back", |page| (source(page, "up") == 1.0).then(|| page.clone()));
    assert!(page.of(USED, &busy.name) >= before);
    assert_eq!(exits(&page), 0.0, "nothing ended");
}
