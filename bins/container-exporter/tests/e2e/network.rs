//! Traffic: that of the container's own network, once, and the right way round.

use crate::harness::{Exporter, Scope, await_until};

const RECEIVED: &str = "container_network_receive_bytes_total";
const SENT: &str = "container_network_transmit_bytes_total";
/// Its input stays open: at the end of that, nc would end the connection.
const LISTEN: &str = "tail -f /dev/null | nc -l -p 5000 >/received; sleep 100000";
const MIB: f64 = 1024.0 * 1024.0;

#[test]
fn a_known_transfer_shows_on_both_ends_the_right_way_round() {
    let Some(scope) = Scope::new("bridge") else { return };
    let bridge = ["--network", "bridge"];
    let receiver = scope.run("receiver", &bridge, LISTEN);
    let sender = scope.sleeper("sender", &bridge);
    let exporter = scope.exporter().start();
    exporter.await_container(&receiver.name);
    exporter.await_container(&sender.name);
    let address = receiver.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
    let counts = |name: &str| {
        let page = exporter.scrape();
        let labels = [("container_name", name), ("interface", "eth0")];
        (page.expect(RECEIVED, &labels), page.expect(SENT, &labels))
    };
    let before = (counts(&receiver.name), counts(&sender.name));
    await_until("nc listens", || receiver.exec("netstat -lnt | grep -q :5000").0.then_some(()));
    let (ok, said) = sender.exec(&format!("dd if=/dev/zero bs=64k count=64 2>/dev/null | nc {address} 5000"));
    assert!(ok, "nc: {said}");
    await_until("all has arrived", || receiver.exec("[ $(stat -c %s /received) = 4194304 ]").0.then_some(()));
    let after = (counts(&receiver.name), counts(&sender.name));
    // Headers come on top; what goes back is acknowledgements.
    let (payload, most, back) = (4.0 * MIB, 4.6 * MIB, 0.5 * MIB);
    let check = |what: &str, bytes: f64, least: f64, most: f64| {
        assert!(
            (least..=most).contains(&bytes),
            "{what}: {bytes} bytes, which is not from {least} to {most}"
        );
    };
    check("received by the receiver", after.0.0 - before.0.0, payload, most);
    check("sent by the receiver", after.0.1 - before.0.1, 1.0, back);
    check("sent by the sender", after.1.1 - before.1.1, payload, most);
    check("received by the sender", after.1.0 - before.1.0, 1.0, back);
}

/// The interfaces that a container has series of.
#[track_caller]
fn interfaces(exporter: &Exporter, name: &str) -> Vec<String> {
    let page = exporter.await_container(name);
    let mut found = Vec::new();
    for line in page.lines.iter().filter(|line| line.label("container_name") == name) {
        let interface = line.label("interface").to_owned();
        if line.name.starts_with("container_network_") && !interface.is_empty() && !found.contains(&interface)
        {
            found.push(interface);
        }
    }
    found
}

#[test]
fn without_a_network_there_is_no_series() {
    let Some(scope) = Scope::new("none") else { return };
    let container = scope.sleeper("alone", &["--network", "none"]);
    let exporter = scope.exporter().start();
    assert_eq!(interfaces(&exporter, &container.name), Vec::<String>::new());
}

#[test]
fn the_hosts_network_is_not_the_containers() {
    let Some(scope) = Scope::new("host") else { return };
    let container = scope.sleeper("shared", &["--network", "host"]);
    let exporter = scope.exporter().start();
    assert_eq!(interfaces(&exporter, &container.name), Vec::<String>::new());
    assert_eq!(exporter.scrape().absent("network", "host_network"), 1.0, "and says why");
}

#[test]
fn a_shared_network_is_its_owners() {
    let Some(scope) = Scope::new("shared") else { return };
    let owner = scope.sleeper("owner", &["--network", "bridge"]);
    let network = format!("container:{}", owner.name);
    let guest = scope.sleeper("guest", &["--network", &network]);
    let exporter = scope.exporter().all_groups().start();
    assert_eq!(interfaces(&exporter, &owner.name), ["eth0"]);
    assert_eq!(interfaces(&exporter, &guest.name), Vec::<String>::new());
    let page = exporter.scrape();
    let sockets = |name: &str| page.of("container_sockstat_sockets_used", name);
    assert!(sockets(&owner.name).is_some() && sockets(&guest.name).is_none(), "so is what it counts beside");
}
