//! TLS between the exporter and an engine elsewhere: it works, and each way in which it does not is one clear line.

use std::fs;
use std::path::Path;

use test_support::{
    Relay,
    tls::{TlsAcceptor, expired_tls, mutual_tls},
};

use super::far;
use crate::harness::{Exporter, Scope, Setup, await_until, is_tried_here, skip};

fn relay(scope: &Scope, tls: Option<TlsAcceptor>) -> Option<Relay> {
    match scope.socket() {
        Some(socket) => Some(Relay::to(Path::new(socket), tls)),
        None => skip("the engine has no socket"),
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for certificates")
}

/// An exporter that takes the files of TLS from a folder.
fn with_files(scope: &Scope, port: u16, folder: &Path) -> Setup {
    far(scope, port).config("docker", &format!("cert_path = {:?}", folder.display().to_string()))
}

/// The lines of its log that are no news of an ordinary start.
fn complaints(exporter: &Exporter) -> Vec<String> {
    let is_bad = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
    exporter.log().lines().filter(is_bad).map(str::to_owned).collect()
}

#[test]
fn certificates_of_both_sides_open_the_way() {
    if !is_tried_here("TLS with certificates on both sides") {
        return;
    }
    let Some(scope) = Scope::new("remotetls") else { return };
    let folder = folder();
    let Some(relay) = relay(&scope, Some(mutual_tls(folder.path(), "127.0.0.1"))) else { return };
    let container = scope.sleeper("one", &[]);
    let exporter = with_files(&scope, relay.port(), folder.path()).start();
    let page = exporter.await_container(&container.name);
    super::shows_an_answer(&page, &relay, &container).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(complaints(&exporter), Vec::<String>::new());

    // As Docker's own client is told of it.
    let host = format!("tcp://127.0.0.1:{}", relay.port());
    let exporter = Setup::of_docker(&host)
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &folder.path().display().to_string())
        .config("general", "source = \"docker\"")
        .start();
    exporter.await_container(&container.name);
}

/// Starts an exporter that cannot come to its engine, and lets it try a few times.
#[track_caller]
fn one_line(setup: Setup, relay: &Relay, expect: &[&str]) {
    let exporter = setup.start_unlisted();
    let said = await_until("it complains", || Some(complaints(&exporter)).filter(|said| !said.is_empty()));
    let tried = relay.connections();
    await_until("it tries again", || (relay.connections() >= tried + 2).then_some(()));
    assert_eq!(complaints(&exporter), said, "nothing is said twice");
    assert_eq!(said.len(), 1, "one line: {said:#?}");
    for words in expect {
        assert!(said[0].contains(words), "not a word of {words:?}: {}", said[0]);
    }
    assert_eq!(exporter.scrape().value("container_exporter_source_up", &[("source", "docker")]), Some(0.0));
    assert_eq!(relay.targets(), Vec::<String>::new(), "nothing was asked");
}

#[test]
fn each_fault_of_tls_is_one_clear_line() {
    if !is_tried_here("faults of TLS") {
        return;
    }
    let Some(scope) = Scope::new("remotetlsfaults") else { return };
    let (ours, theirs) = (folder(), folder());
    let Some(relay_of_theirs) = relay(&scope, Some(mutual_tls(theirs.path(), "127.0.0.1"))) else { return };
    _ = mutual_tls(ours.path(), "127.0.0.1");
    let ca = format!("{}/ca.pem", ours.path().display());
    let setup = with_files(&scope, relay_of_theirs.port(), ours.path());
    one_line(setup, &relay_of_theirs, &["127.0.0.1", "no authority", &ca]);

    // The right authority, but a certificate of ours that it has not signed.
    fs::copy(theirs.path().join("ca.pem"), ours.path().join("ca.pem")).expect("a copy");
    let setup = with_files(&scope, relay_of_theirs.port(), ours.path());
    one_line(setup, &relay_of_theirs, &["refuses our certificate", "cert.pem"]);

    // The right authority, and nothing to show.
    for name in ["cert.pem", "key.pem"] {
        fs::remove_file(ours.path().join(name)).expect("it is there");
    }
    let setup = with_files(&scope, relay_of_theirs.port(), ours.path());
    one_line(setup, &relay_of_theirs, &["wants a certificate of ours", "cert.pem and key.pem"]);

    let expired = folder();
    let Some(relay_expired) = relay(&scope, Some(expired_tls(expired.path(), "127.0.0.1"))) else { return };
    let setup = with_files(&scope, relay_expired.port(), expired.path());
    one_line(setup, &relay_expired, &["expired", "127.0.0.1"]);

    let other = folder();
    let Some(relay_other) = relay(&scope, Some(mutual_tls(other.path(), "somebody.else"))) else { return };
    let setup = with_files(&scope, relay_other.port(), other.path());
    one_line(setup, &relay_other, &["another name", "127.0.0.1", "somebody.else"]);
}

/// `0.0.0.0` leads to this machine, but nothing says so.
#[test]
fn without_tls_a_way_that_leaves_the_machine_is_warned_of() {
    if !is_tried_here("the warning of a way without TLS") {
        return;
    }
    let Some(scope) = Scope::new("remoteopen") else { return };
    let Some(relay) = relay(&scope, None) else { return };
    let exporter = far(&scope, relay.port()).start();
    assert_eq!(complaints(&exporter), Vec::<String>::new(), "the loopback is nobody's way");
    let hosts = format!("hosts = [\"tcp://0.0.0.0:{}\"]", relay.port());
    let exporter = far(&scope, relay.port()).config("docker", &hosts).start();
    let said = complaints(&exporter);
    assert!(said.len() == 1 && said[0].contains("without TLS") && said[0].contains("root"), "{said:?}");
}

#[test]
fn tls_on_one_side_only_is_one_clear_line() {
    if !is_tried_here("TLS on one side only") {
        return;
    }
    let Some(scope) = Scope::new("remotehalftls") else { return };
    let folder = folder();
    let Some(with_tls) = relay(&scope, Some(mutual_tls(folder.path(), "127.0.0.1"))) else { return };
    one_line(far(&scope, with_tls.port()), &with_tls, &["docker.cert_path"]);
    let Some(without) = relay(&scope, None) else { return };
    let setup = with_files(&scope, without.port(), folder.path());
    one_line(setup, &without, &["speaks no TLS", "docker.cert_path"]);
}
