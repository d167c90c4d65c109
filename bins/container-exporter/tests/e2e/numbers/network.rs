//! What a network namespace counts, found a second time and by hand.

use std::fs;

use super::compare;
use super::table::{
    Kind::{self, Counter, Gauge},
    Reading,
};
use crate::harness::{Kernel, Scope, number};

/// A metric, and where its number stands: the file under `net`, the protocol in it, the name behind that.
type Count = (&'static str, Kind, &'static str, &'static str, &'static str);

const COUNTS: &[Count] = &[
    ("container_netstat_tcp_active_opens_total", Counter, "snmp", "Tcp", "ActiveOpens"),
    ("container_netstat_tcp_passive_opens_total", Counter, "snmp", "Tcp", "PassiveOpens"),
    ("container_netstat_tcp_attempt_fails_total", Counter, "snmp", "Tcp", "AttemptFails"),
    ("container_netstat_tcp_estab_resets_total", Counter, "snmp", "Tcp", "EstabResets"),
    ("container_netstat_tcp_curr_estab", Gauge, "snmp", "Tcp", "CurrEstab"),
    ("container_netstat_tcp_in_segs_total", Counter, "snmp", "Tcp", "InSegs"),
    ("container_netstat_tcp_out_segs_total", Counter, "snmp", "Tcp", "OutSegs"),
    ("container_netstat_tcp_retrans_segs_total", Counter, "snmp", "Tcp", "RetransSegs"),
    ("container_netstat_tcp_in_errs_total", Counter, "snmp", "Tcp", "InErrs"),
    ("container_netstat_tcp_out_rsts_total", Counter, "snmp", "Tcp", "OutRsts"),
    ("container_netstat_tcp_ext_listen_overflows_total", Counter, "netstat", "TcpExt", "ListenOverflows"),
    ("container_netstat_tcp_ext_listen_drops_total", Counter, "netstat", "TcpExt", "ListenDrops"),
    ("container_netstat_tcp_ext_syncookies_sent_total", Counter, "netstat", "TcpExt", "SyncookiesSent"),
    ("container_netstat_tcp_ext_syncookies_failed_total", Counter, "netstat", "TcpExt", "SyncookiesFailed"),
    ("container_netstat_tcp_ext_timeouts_total", Counter, "netstat", "TcpExt", "TCPTimeouts"),
    ("container_netstat_tcp_ext_syn_retrans_total", Counter, "netstat", "TcpExt", "TCPSynRetrans"),
    ("container_netstat_tcp_ext_rcvq_drop_total", Counter, "netstat", "TcpExt", "TCPRcvQDrop"),
    ("container_netstat_tcp_ext_backlog_drop_total", Counter, "netstat", "TcpExt", "TCPBacklogDrop"),
    ("container_netstat_tcp_ext_abort_on_memory_total", Counter, "netstat", "TcpExt", "TCPAbortOnMemory"),
    ("container_netstat_udp_in_datagrams_total", Counter, "snmp", "Udp", "InDatagrams"),
    ("container_netstat_udp_no_ports_total", Counter, "snmp", "Udp", "NoPorts"),
    ("container_netstat_udp_in_errors_total", Counter, "snmp", "Udp", "InErrors"),
    ("container_netstat_udp_out_datagrams_total", Counter, "snmp", "Udp", "OutDatagrams"),
    ("container_netstat_udp_rcvbuf_errors_total", Counter, "snmp", "Udp", "RcvbufErrors"),
    ("container_netstat_udp_sndbuf_errors_total", Counter, "snmp", "Udp", "SndbufErrors"),
    ("container_netstat_udp6_in_datagrams_total", Counter, "snmp6", "", "Udp6InDatagrams"),
    ("container_netstat_udp6_no_ports_total", Counter, "snmp6", "", "Udp6NoPorts"),
    ("container_netstat_udp6_in_errors_total", Counter, "snmp6", "", "Udp6InErrors"),
    ("container_netstat_udp6_out_datagrams_total", Counter, "snmp6", "", "Udp6OutDatagrams"),
    ("container_netstat_udp6_rcvbuf_errors_total", Counter, "snmp6", "", "Udp6RcvbufErrors"),
    ("container_netstat_udp6_sndbuf_errors_total", Counter, "snmp6", "", "Udp6SndbufErrors"),
    ("container_netstat_ip_ext_in_octets_bytes_total", Counter, "netstat", "IpExt", "InOctets"),
    ("container_netstat_ip_ext_out_octets_bytes_total", Counter, "netstat", "IpExt", "OutOctets"),
    ("container_netstat_ip6_in_octets_bytes_total", Counter, "snmp6", "", "Ip6InOctets"),
    ("container_netstat_ip6_out_octets_bytes_total", Counter, "snmp6", "", "Ip6OutOctets"),
    ("container_sockstat_sockets_used", Gauge, "sockstat", "sockets", "used"),
    ("container_sockstat_tcp_inuse", Gauge, "sockstat", "TCP", "inuse"),
    ("container_sockstat_tcp_tw", Gauge, "sockstat", "TCP", "tw"),
    ("container_sockstat_udp_inuse", Gauge, "sockstat", "UDP", "inuse"),
    ("container_sockstat_tcp6_inuse", Gauge, "sockstat6", "TCP6", "inuse"),
    ("container_sockstat_udp6_inuse", Gauge, "sockstat6", "UDP6", "inuse"),
    ("container_nf_conntrack_entries", Gauge, "stat/nf_conntrack", "", "entries"),
];

/// Sockets by state, over IPv4 and IPv6; the kernel's numbers of the states.
const TCP: [(&str, &str); 2] =
    [("container_network_tcp_sockets", "tcp"), ("container_network_tcp6_sockets", "tcp6")];
const STATES: [(&str, &str); 11] = [
    ("established", "01"),
    ("synsent", "02"),
    ("synrecv", "03"),
    ("finwait1", "04"),
    ("finwait2", "05"),
    ("timewait", "06"),
    ("close", "07"),
    ("closewait", "08"),
    ("lastack", "09"),
    ("listen", "0A"),
    ("closing", "0B"),
];

/// Sockets, what they have dropped, bytes received and bytes to be sent.
const UDP: [(&str, [&str; 4]); 2] = [
    (
        "udp",
        [
            "container_network_udp_sockets",
            "container_network_udp_socket_drops",
            "container_network_udp_receive_queue_bytes",
            "container_network_udp_transmit_queue_bytes",
        ],
    ),
    (
        "udp6",
        [
            "container_network_udp6_sockets",
            "container_network_udp6_socket_drops",
            "container_network_udp6_receive_queue_bytes",
            "container_network_udp6_transmit_queue_bytes",
        ],
    ),
];

/// Every name.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let udp = UDP.iter().flat_map(|(_, names)| names.iter().copied());
    COUNTS.iter().map(|count| count.0).chain(TCP.iter().map(|tcp| tcp.0)).chain(udp)
}

/// The values now.
pub(super) fn add(kernel: &Kernel, all: &mut Vec<Reading>) {
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/net/{file}", kernel.pid)).ok();
    for (name, kind, file, protocol, word) in COUNTS {
        let value = read(file).and_then(|text| count(&text, file, protocol, word));
        all.extend(value.map(|value| Reading { name, labels: Vec::new(), kind: *kind, value }));
    }
    for (name, file) in TCP {
        let Some(text) = read(file) else { continue };
        for (state, digits) in STATES {
            let is_it = |line: &&str| line.split_whitespace().nth(3) == Some(digits);
            let value = text.lines().skip(1).filter(is_it).count() as f64;
            all.push(Reading { name, labels: vec![("tcp_state", state.to_owned())], kind: Gauge, value });
        }
    }
    for (file, names) in UDP {
        let Some(text) = read(file) else { continue };
        let mut sums = [0.0; 4];
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (sent, received) = words[4].split_once(':').expect("two queues");
            let hex = |word: &str| u64::from_str_radix(word, 16).expect("a number") as f64;
            let numbers = [1.0, words[12].parse().expect("a number"), hex(received), hex(sent)];
            sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        }
        for (name, value) in names.into_iter().zip(sums) {
            all.push(Reading { name, labels: Vec::new(), kind: Gauge, value });
        }
    }
}

fn count(text: &str, file: &str, protocol: &str, word: &str) -> Option<f64> {
    let head = format!("{protocol}:");
    let mut own = text.lines().filter_map(|line| line.strip_prefix(&head)).map(str::split_whitespace);
    match file {
        "snmp6" => text.lines().find_map(|line| number(line.strip_prefix(word)?.strip_prefix(' ')?)),
        "snmp" | "netstat" => {
            own.next()?.zip(own.next()?).find_map(|(name, value)| (name == word).then(|| number(value))?)
        }
        "sockstat" | "sockstat6" => {
            let mut words = own.next()?;
            words.find(|name| *name == word)?;
            number(words.next()?)
        }
        _ => u64::from_str_radix(text.lines().nth(1)?.split_whitespace().next()?, 16)
            .ok()
            .map(|count| count as f64),
    }
}

#[test]
fn sockets_by_state_and_what_tcp_counts_show() {
    let Some(scope) = Scope::new("sockets") else { return };
    // It listens twice, and holds a connection with itself. At the end of its input, nc would end.
    let script = "listen() { tail -f /dev/null | nc -l -p $1 >/dev/null & }; listen 7001; listen 7002; \
        until netstat -lnt | grep -q :7001; do sleep 0.1; done; (tail -f /dev/null | nc 127.0.0.1 7001) & \
        until grep -q ' 01 ' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done; \
        echo | nc 127.0.0.1 7999; touch /done; exec sleep 100000";
    let container = scope.run("talks", &["--network", "bridge"], script);
    crate::harness::await_until("it is connected", || container.exec("test -e /done").0.then_some(()));
    let exporter = scope.exporter().all_groups().start();
    exporter.await_container(&container.name);
    let compared = compare(&exporter, &container);
    assert!(compared["container_netstat_tcp_in_segs_total"] > 0.0, "{compared:#?}");
    assert!(compared["container_netstat_tcp_out_rsts_total"] > 0.0, "nobody listened there: {compared:#?}");
    assert!(compared["container_sockstat_sockets_used"] >= 4.0, "{compared:#?}");
    let page = exporter.scrape();
    let of = |state: &str| -> f64 {
        let labels = [("container_name", container.name.as_str()), ("tcp_state", state)];
        TCP.iter().filter_map(|(name, _)| page.value(name, &labels)).sum()
    };
    assert_eq!(of("established"), 2.0, "both ends");
    assert!(of("listen") >= 1.0);
    let page = exporter.scrape_at("/metrics?collect[]=network");
    assert_eq!(page.of("container_netstat_tcp_in_segs_total", &container.name), None, "it was not asked for");
}
