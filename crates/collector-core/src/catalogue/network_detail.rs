//! Group network_detail: what a network namespace counts beside its interfaces, once for its owner.

use cgroup_reader::{At, Field, Scale, SourceKey};
use metric_schema::{Alias, MetricDef, OtelMetric, Unit};

use super::{Row, Source, cpu::cadvisor, rows};
use crate::Group;

const G: &str = Group::NetworkDetail.as_str();

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        ADVANCED_ABORT_ON_MEMORY, ADVANCED_ACTIVE_OPENS, ADVANCED_ATTEMPT_FAILS, ADVANCED_BACKLOG_DROP,
        ADVANCED_CURR_ESTAB, ADVANCED_ESTAB_RESETS, ADVANCED_IN_ERRS, ADVANCED_IN_SEGS,
        ADVANCED_LISTEN_DROPS, ADVANCED_LISTEN_OVERFLOWS, ADVANCED_OUT_RSTS, ADVANCED_OUT_SEGS,
        ADVANCED_PASSIVE_OPENS, ADVANCED_RETRANS_SEGS, ADVANCED_SYN_RETRANS, ADVANCED_SYNCOOKIES_FAILED,
        ADVANCED_SYNCOOKIES_SENT, ADVANCED_TIMEOUTS, CONNTRACK_ENTRIES, IP_IN_OCTETS, IP_OUT_OCTETS,
        IP6_IN_OCTETS, IP6_OUT_OCTETS, SOCKETS_USED, TCP_ABORT_ON_MEMORY, TCP_ACTIVE_OPENS,
        TCP_ATTEMPT_FAILS, TCP_BACKLOG_DROP, TCP_CURR_ESTAB, TCP_ESTAB_RESETS, TCP_IN_ERRS, TCP_IN_SEGS,
        TCP_IN_USE, TCP_LISTEN_DROPS, TCP_LISTEN_OVERFLOWS, TCP_OUT_RSTS, TCP_OUT_SEGS, TCP_PASSIVE_OPENS,
        TCP_RCVQ_DROP, TCP_RETRANS_SEGS, TCP_SYN_RETRANS, TCP_SYNCOOKIES_FAILED, TCP_SYNCOOKIES_SENT,
        TCP_TIME_WAIT, TCP_TIMEOUTS, TCP4_CLOSE, TCP4_CLOSE_WAIT, TCP4_CLOSING, TCP4_ESTABLISHED,
        TCP4_FIN_WAIT1, TCP4_FIN_WAIT2, TCP4_LAST_ACK, TCP4_LISTEN, TCP4_SYN_RECV, TCP4_SYN_SENT,
        TCP4_TIME_WAIT, TCP6_CLOSE, TCP6_CLOSE_WAIT, TCP6_CLOSING, TCP6_ESTABLISHED, TCP6_FIN_WAIT1,
        TCP6_FIN_WAIT2, TCP6_IN_USE, TCP6_LAST_ACK, TCP6_LISTEN, TCP6_SYN_RECV, TCP6_SYN_SENT,
        TCP6_TIME_WAIT, UDP_IN_DATAGRAMS, UDP_IN_ERRORS, UDP_IN_USE, UDP_NO_PORTS, UDP_OUT_DATAGRAMS,
        UDP_RCVBUF_ERRORS, UDP_SNDBUF_ERRORS, UDP4_DROPS, UDP4_RECEIVE_QUEUE, UDP4_SOCKETS,
        UDP4_TRANSMIT_QUEUE, UDP4_USAGE_DROPPED, UDP4_USAGE_LISTEN, UDP4_USAGE_RXQUEUED, UDP4_USAGE_TXQUEUED,
        UDP6_DROPS, UDP6_IN_DATAGRAMS, UDP6_IN_ERRORS, UDP6_IN_USE, UDP6_NO_PORTS, UDP6_OUT_DATAGRAMS,
        UDP6_RCVBUF_ERRORS, UDP6_RECEIVE_QUEUE, UDP6_SNDBUF_ERRORS, UDP6_SOCKETS, UDP6_TRANSMIT_QUEUE,
        UDP6_USAGE_DROPPED, UDP6_USAGE_LISTEN, UDP6_USAGE_RXQUEUED, UDP6_USAGE_TXQUEUED,
    };
}

const TCP4_HELP: &str = "TCP sockets over IPv4 by state.";
const TCP6_HELP: &str = "TCP sockets over IPv6 by state.";
const UDP4_HELP: &str =
    "UDP sockets over IPv4 (listen), what they have dropped, and the bytes in their queues.";
const UDP6_HELP: &str =
    "UDP sockets over IPv6 (listen), what they have dropped, and the bytes in their queues.";
const ADVANCED_HELP: &str = "What TCP counts in /proc/net/snmp and /proc/net/netstat, by its name there.";

const fn proc(file: &'static str, field: Field) -> Source {
    Source::Key(SourceKey::same(At::proc(file, field, Scale::One)))
}

const fn tcp(name: &'static str) -> Source {
    proc("net/snmp", Field::ProtocolPair("Tcp", name))
}

const fn udp(name: &'static str) -> Source {
    proc("net/snmp", Field::ProtocolPair("Udp", name))
}

const fn tcp_ext(name: &'static str) -> Source {
    proc("net/netstat", Field::ProtocolPair("TcpExt", name))
}

const fn snmp6(name: &'static str) -> Source {
    proc("net/snmp6", Field::Key(name))
}

const fn counted(name: &'static str, what: &'static str, help: &'static str, source: Source) -> Row {
    Row::container(Group::NetworkDetail, MetricDef::counter(name, Unit::Count(what), G, help), source)
}

const fn held(name: &'static str, what: &'static str, help: &'static str, source: Source) -> Row {
    Row::container(Group::NetworkDetail, MetricDef::up_down(name, Unit::Count(what), G, help), source)
}

const fn bytes(name: &'static str, help: &'static str, source: Source) -> Row {
    Row::container(Group::NetworkDetail, MetricDef::counter(name, Unit::Bytes, G, help), source)
}

/// Sockets in one state.
macro_rules! sockets {
    ($family:literal, $cadvisor:literal, $help:expr, $state:literal) => {
        Row::container(
            Group::NetworkDetail,
            MetricDef::up_down(
                concat!("container.network.", $family, "_sockets.", $state),
                Unit::Count("{socket}"),
                G,
                $help,
            )
            .named(concat!("container_network_", $family, "_sockets"), "one family for all states")
            .otel(
                OtelMetric::up_down(
                    concat!("container.network.", $family, "_sockets"),
                    Unit::Count("{socket}"),
                )
                .with(&[("network.connection.state", $state)]),
            )
            .with(&[("tcp_state", $state)])
            .aliased(cadvisor!($cadvisor)),
            Source::Sampler,
        )
    };
}

macro_rules! tcp4 {
    ($state:literal) => {
        sockets!("tcp", "container_network_tcp_usage_total", TCP4_HELP, $state)
    };
}

macro_rules! tcp6 {
    ($state:literal) => {
        sockets!("tcp6", "container_network_tcp6_usage_total", TCP6_HELP, $state)
    };
}

/// cAdvisor's family of UDP numbers, whatever they measure.
macro_rules! udp_usage {
    ($family:literal, $cadvisor:literal, $help:expr, $state:literal) => {
        Row::container(
            Group::NetworkDetail,
            MetricDef::up_down(
                concat!("container.network.", $family, "_usage.", $state),
                Unit::One,
                G,
                $help,
            )
            .named($cadvisor, "cAdvisor's name")
            .with(&[("udp_state", $state)])
            .aliased(cadvisor!($cadvisor))
            .only_aliased("the numbers have names of their own, as they are of different units"),
            Source::Sampler,
        )
    };
}

/// A number of TCP under cAdvisor's name for all of them.
macro_rules! advanced {
    ($state:literal, $source:expr) => {
        Row::container(
            Group::NetworkDetail,
            MetricDef::up_down(
                concat!("container.network.advance_tcp_stats.", $state),
                Unit::One,
                G,
                ADVANCED_HELP,
            )
            .named("container_network_advance_tcp_stats_total", "cAdvisor's name")
            .with(&[("tcp_state", $state)])
            .aliased(cadvisor!("container_network_advance_tcp_stats_total"))
            .only_aliased("the numbers have names of their own, most as counters"),
            $source,
        )
    };
}

rows! { super::filesystem_detail::END;
    TCP4_ESTABLISHED = tcp4!("established");
    TCP4_SYN_SENT = tcp4!("synsent");
    TCP4_SYN_RECV = tcp4!("synrecv");
    TCP4_FIN_WAIT1 = tcp4!("finwait1");
    TCP4_FIN_WAIT2 = tcp4!("finwait2");
    TCP4_TIME_WAIT = tcp4!("timewait");
    TCP4_CLOSE = tcp4!("close");
    TCP4_CLOSE_WAIT = tcp4!("closewait");
    TCP4_LAST_ACK = tcp4!("lastack");
    TCP4_LISTEN = tcp4!("listen");
    TCP4_CLOSING = tcp4!("closing");
    TCP6_ESTABLISHED = tcp6!("established");
    TCP6_SYN_SENT = tcp6!("synsent");
    TCP6_SYN_RECV = tcp6!("synrecv");
    TCP6_FIN_WAIT1 = tcp6!("finwait1");
    TCP6_FIN_WAIT2 = tcp6!("finwait2");
    TCP6_TIME_WAIT = tcp6!("timewait");
    TCP6_CLOSE = tcp6!("close");
    TCP6_CLOSE_WAIT = tcp6!("closewait");
    TCP6_LAST_ACK = tcp6!("lastack");
    TCP6_LISTEN = tcp6!("listen");
    TCP6_CLOSING = tcp6!("closing");
    UDP4_SOCKETS = held("container.network.udp_sockets", "{socket}", "UDP sockets over IPv4.", Source::Sampler);
    UDP4_DROPS = held("container.network.udp_socket_drops", "{packet}",
        "Datagrams that the UDP sockets over IPv4 that are open now have dropped.", Source::Sampler);
    UDP4_RECEIVE_QUEUE = Row::container(Group::NetworkDetail,
        MetricDef::up_down("container.network.udp_receive_queue", Unit::Bytes, G,
            "Bytes that wait for their process in UDP sockets over IPv4."), Source::Sampler);
    UDP4_TRANSMIT_QUEUE = Row::container(Group::NetworkDetail,
        MetricDef::up_down("container.network.udp_transmit_queue", Unit::Bytes, G,
            "Bytes that wait to be sent in UDP sockets over IPv4."), Source::Sampler);
    UDP6_SOCKETS = held("container.network.udp6_sockets", "{socket}", "UDP sockets over IPv6.", Source::Sampler);
    UDP6_DROPS = held("container.network.udp6_socket_drops", "{packet}",
        "Datagrams that the UDP sockets over IPv6 that are open now have dropped.", Source::Sampler);
    UDP6_RECEIVE_QUEUE = Row::container(Group::NetworkDetail,
        MetricDef::up_down("container.network.udp6_receive_queue", Unit::Bytes, G,
            "Bytes that wait for their process in UDP sockets over IPv6."), Source::Sampler);
    UDP6_TRANSMIT_QUEUE = Row::container(Group::NetworkDetail,
        MetricDef::up_down("container.network.udp6_transmit_queue", Unit::Bytes, G,
            "Bytes that wait to be sent in UDP sockets over IPv6."), Source::Sampler);
    UDP4_USAGE_LISTEN = udp_usage!("udp", "container_network_udp_usage_total", UDP4_HELP, "listen");
    UDP4_USAGE_DROPPED = udp_usage!("udp", "container_network_udp_usage_total", UDP4_HELP, "dropped");
    UDP4_USAGE_RXQUEUED = udp_usage!("udp", "container_network_udp_usage_total", UDP4_HELP, "rxqueued");
    UDP4_USAGE_TXQUEUED = udp_usage!("udp", "container_network_udp_usage_total", UDP4_HELP, "txqueued");
    UDP6_USAGE_LISTEN = udp_usage!("udp6", "container_network_udp6_usage_total", UDP6_HELP, "listen");
    UDP6_USAGE_DROPPED = udp_usage!("udp6", "container_network_udp6_usage_total", UDP6_HELP, "dropped");
    UDP6_USAGE_RXQUEUED = udp_usage!("udp6", "container_network_udp6_usage_total", UDP6_HELP, "rxqueued");
    UDP6_USAGE_TXQUEUED = udp_usage!("udp6", "container_network_udp6_usage_total", UDP6_HELP, "txqueued");
    TCP_ACTIVE_OPENS = counted("container.netstat.tcp.active_opens", "{connection}",
        "Connections that were opened to others.", tcp("ActiveOpens"));
    TCP_PASSIVE_OPENS = counted("container.netstat.tcp.passive_opens", "{connection}",
        "Connections that others opened.", tcp("PassiveOpens"));
    TCP_ATTEMPT_FAILS = counted("container.netstat.tcp.attempt_fails", "{connection}",
        "Connections that failed before they were established.", tcp("AttemptFails"));
    TCP_ESTAB_RESETS = counted("container.netstat.tcp.estab_resets", "{connection}",
        "Established connections that were reset.", tcp("EstabResets"));
    TCP_CURR_ESTAB = held("container.netstat.tcp.curr_estab", "{connection}",
        "Connections that are established or wait to be closed, over IPv4 and IPv6.", tcp("CurrEstab"));
    TCP_IN_SEGS = counted("container.netstat.tcp.in_segs", "{segment}", "Segments received.", tcp("InSegs"));
    TCP_OUT_SEGS = counted("container.netstat.tcp.out_segs", "{segment}",
        "Segments sent, without those sent again.", tcp("OutSegs"));
    TCP_RETRANS_SEGS = counted("container.netstat.tcp.retrans_segs", "{segment}", "Segments sent again.", tcp("RetransSegs"));
    TCP_IN_ERRS = counted("container.netstat.tcp.in_errs", "{segment}", "Segments received that were broken.", tcp("InErrs"));
    TCP_OUT_RSTS = counted("container.netstat.tcp.out_rsts", "{segment}", "Resets sent.", tcp("OutRsts"));
    TCP_LISTEN_OVERFLOWS = counted("container.netstat.tcp_ext.listen_overflows", "{connection}",
        "Connections refused because the queue of a socket that listens was full.", tcp_ext("ListenOverflows"));
    TCP_LISTEN_DROPS = counted("container.netstat.tcp_ext.listen_drops", "{connection}",
        "Connections that a socket that listens has dropped, for whatever reason.", tcp_ext("ListenDrops"));
    TCP_SYNCOOKIES_SENT = counted("container.netstat.tcp_ext.syncookies_sent", "{connection}",
        "Connections answered with a SYN cookie, as the queue was full.", tcp_ext("SyncookiesSent"));
    TCP_SYNCOOKIES_FAILED = counted("container.netstat.tcp_ext.syncookies_failed", "{connection}",
        "SYN cookies received that were wrong.", tcp_ext("SyncookiesFailed"));
    TCP_TIMEOUTS = counted("container.netstat.tcp_ext.timeouts", "{event}",
        "Times that nothing was confirmed before the timer ran out.", tcp_ext("TCPTimeouts"));
    TCP_SYN_RETRANS = counted("container.netstat.tcp_ext.syn_retrans", "{segment}",
        "Openings of connections that were sent again.", tcp_ext("TCPSynRetrans"));
    TCP_RCVQ_DROP = counted("container.netstat.tcp_ext.rcvq_drop", "{segment}",
        "Segments dropped because the receive queue was full.", tcp_ext("TCPRcvQDrop"));
    TCP_BACKLOG_DROP = counted("container.netstat.tcp_ext.backlog_drop", "{segment}",
        "Segments dropped because the backlog of a socket was full.", tcp_ext("TCPBacklogDrop"));
    TCP_ABORT_ON_MEMORY = counted("container.netstat.tcp_ext.abort_on_memory", "{connection}",
        "Connections given up for want of memory.", tcp_ext("TCPAbortOnMemory"));
    UDP_IN_DATAGRAMS = counted("container.netstat.udp.in_datagrams", "{packet}", "Datagrams received over IPv4.", udp("InDatagrams"));
    UDP_NO_PORTS = counted("container.netstat.udp.no_ports", "{packet}",
        "Datagrams over IPv4 to a port that nobody has open.", udp("NoPorts"));
    UDP_IN_ERRORS = counted("container.netstat.udp.in_errors", "{packet}",
        "Datagrams over IPv4 that could not be delivered.", udp("InErrors"));
    UDP_OUT_DATAGRAMS = counted("container.netstat.udp.out_datagrams", "{packet}", "Datagrams sent over IPv4.", udp("OutDatagrams"));
    UDP_RCVBUF_ERRORS = counted("container.netstat.udp.rcvbuf_errors", "{packet}",
        "Datagrams over IPv4 dropped because the receive buffer was full.", udp("RcvbufErrors"));
    UDP_SNDBUF_ERRORS = counted("container.netstat.udp.sndbuf_errors", "{packet}",
        "Datagrams over IPv4 not sent because the send buffer was full.", udp("SndbufErrors"));
    UDP6_IN_DATAGRAMS = counted("container.netstat.udp6.in_datagrams", "{packet}",
        "Datagrams received over IPv6.", snmp6("Udp6InDatagrams"));
    UDP6_NO_PORTS = counted("container.netstat.udp6.no_ports", "{packet}",
        "Datagrams over IPv6 to a port that nobody has open.", snmp6("Udp6NoPorts"));
    UDP6_IN_ERRORS = counted("container.netstat.udp6.in_errors", "{packet}",
        "Datagrams over IPv6 that could not be delivered.", snmp6("Udp6InErrors"));
    UDP6_OUT_DATAGRAMS = counted("container.netstat.udp6.out_datagrams", "{packet}",
        "Datagrams sent over IPv6.", snmp6("Udp6OutDatagrams"));
    UDP6_RCVBUF_ERRORS = counted("container.netstat.udp6.rcvbuf_errors", "{packet}",
        "Datagrams over IPv6 dropped because the receive buffer was full.", snmp6("Udp6RcvbufErrors"));
    UDP6_SNDBUF_ERRORS = counted("container.netstat.udp6.sndbuf_errors", "{packet}",
        "Datagrams over IPv6 not sent because the send buffer was full.", snmp6("Udp6SndbufErrors"));
    IP_IN_OCTETS = bytes("container.netstat.ip_ext.in_octets", "Bytes received over IPv4.",
        proc("net/netstat", Field::ProtocolPair("IpExt", "InOctets")));
    IP_OUT_OCTETS = bytes("container.netstat.ip_ext.out_octets", "Bytes sent over IPv4.",
        proc("net/netstat", Field::ProtocolPair("IpExt", "OutOctets")));
    IP6_IN_OCTETS = bytes("container.netstat.ip6.in_octets", "Bytes received over IPv6.", snmp6("Ip6InOctets"));
    IP6_OUT_OCTETS = bytes("container.netstat.ip6.out_octets", "Bytes sent over IPv6.", snmp6("Ip6OutOctets"));
    SOCKETS_USED = held("container.sockstat.sockets_used", "{socket}", "Sockets of any kind.",
        proc("net/sockstat", Field::NamedPair("sockets", "used")));
    TCP_IN_USE = held("container.sockstat.tcp_inuse", "{socket}", "TCP sockets over IPv4 in use.",
        proc("net/sockstat", Field::NamedPair("TCP", "inuse")));
    TCP_TIME_WAIT = held("container.sockstat.tcp_tw", "{socket}",
        "TCP connections over IPv4 and IPv6 that were closed and wait for stragglers.",
        proc("net/sockstat", Field::NamedPair("TCP", "tw")));
    UDP_IN_USE = held("container.sockstat.udp_inuse", "{socket}", "UDP sockets over IPv4 in use.",
        proc("net/sockstat", Field::NamedPair("UDP", "inuse")));
    TCP6_IN_USE = held("container.sockstat.tcp6_inuse", "{socket}", "TCP sockets over IPv6 in use.",
        proc("net/sockstat6", Field::NamedPair("TCP6", "inuse")));
    UDP6_IN_USE = held("container.sockstat.udp6_inuse", "{socket}", "UDP sockets over IPv6 in use.",
        proc("net/sockstat6", Field::NamedPair("UDP6", "inuse")));
    CONNTRACK_ENTRIES = held("container.nf_conntrack.entries", "{connection}",
        "Connections that the firewall of the namespace tracks.",
        proc("net/stat/nf_conntrack", Field::HexColumn("entries")));
    ADVANCED_ACTIVE_OPENS = advanced!("activeopens", tcp("ActiveOpens"));
    ADVANCED_PASSIVE_OPENS = advanced!("passiveopens", tcp("PassiveOpens"));
    ADVANCED_ATTEMPT_FAILS = advanced!("attemptfails", tcp("AttemptFails"));
    ADVANCED_ESTAB_RESETS = advanced!("estabresets", tcp("EstabResets"));
    ADVANCED_CURR_ESTAB = advanced!("currestab", tcp("CurrEstab"));
    ADVANCED_IN_SEGS = advanced!("insegs", tcp("InSegs"));
    ADVANCED_OUT_SEGS = advanced!("outsegs", tcp("OutSegs"));
    ADVANCED_RETRANS_SEGS = advanced!("retranssegs", tcp("RetransSegs"));
    ADVANCED_IN_ERRS = advanced!("inerrs", tcp("InErrs"));
    ADVANCED_OUT_RSTS = advanced!("outrsts", tcp("OutRsts"));
    ADVANCED_LISTEN_OVERFLOWS = advanced!("listenoverflows", tcp_ext("ListenOverflows"));
    ADVANCED_LISTEN_DROPS = advanced!("listendrops", tcp_ext("ListenDrops"));
    ADVANCED_SYNCOOKIES_SENT = advanced!("syncookiessent", tcp_ext("SyncookiesSent"));
    ADVANCED_SYNCOOKIES_FAILED = advanced!("syncookiesfailed", tcp_ext("SyncookiesFailed"));
    ADVANCED_TIMEOUTS = advanced!("tcptimeouts", tcp_ext("TCPTimeouts"));
    ADVANCED_SYN_RETRANS = advanced!("tcpsynretrans", tcp_ext("TCPSynRetrans"));
    ADVANCED_BACKLOG_DROP = advanced!("tcpbacklogdrop", tcp_ext("TCPBacklogDrop"));
    ADVANCED_ABORT_ON_MEMORY = advanced!("tcpabortonmemory", tcp_ext("TCPAbortOnMemory"));
}

/// Rows of TCP sockets over IPv4 and IPv6, by the kernel's number for the state, which counts from 1.
#[cfg(feature = "kernel")]
pub(crate) const TCP_STATES: [[super::RowId; 11]; 2] = [
    [
        TCP4_ESTABLISHED,
        TCP4_SYN_SENT,
        TCP4_SYN_RECV,
        TCP4_FIN_WAIT1,
        TCP4_FIN_WAIT2,
        TCP4_TIME_WAIT,
        TCP4_CLOSE,
        TCP4_CLOSE_WAIT,
        TCP4_LAST_ACK,
        TCP4_LISTEN,
        TCP4_CLOSING,
    ],
    [
        TCP6_ESTABLISHED,
        TCP6_SYN_SENT,
        TCP6_SYN_RECV,
        TCP6_FIN_WAIT1,
        TCP6_FIN_WAIT2,
        TCP6_TIME_WAIT,
        TCP6_CLOSE,
        TCP6_CLOSE_WAIT,
        TCP6_LAST_ACK,
        TCP6_LISTEN,
        TCP6_CLOSING,
    ],
];

/// Rows of UDP sockets over IPv4 and IPv6, under our names and cAdvisor's: sockets, drops, bytes received, bytes to be sent.
#[cfg(feature = "kernel")]
pub(crate) const UDP_NUMBERS: [[[super::RowId; 2]; 4]; 2] = [
    [
        [UDP4_SOCKETS, UDP4_USAGE_LISTEN],
        [UDP4_DROPS, UDP4_USAGE_DROPPED],
        [UDP4_RECEIVE_QUEUE, UDP4_USAGE_RXQUEUED],
        [UDP4_TRANSMIT_QUEUE, UDP4_USAGE_TXQUEUED],
    ],
    [
        [UDP6_SOCKETS, UDP6_USAGE_LISTEN],
        [UDP6_DROPS, UDP6_USAGE_DROPPED],
        [UDP6_RECEIVE_QUEUE, UDP6_USAGE_RXQUEUED],
        [UDP6_TRANSMIT_QUEUE, UDP6_USAGE_TXQUEUED],
    ],
];

/// What the kernel counts of the TCP sockets over IPv4 and IPv6: where all of it is 0, there are none in any state. Connections
/// that wait for stragglers are counted for both together.
#[cfg(feature = "kernel")]
pub(crate) const TCP_HELD: [[super::RowId; 2]; 2] =
    [[TCP_IN_USE, TCP_TIME_WAIT], [TCP6_IN_USE, TCP_TIME_WAIT]];

/// What the kernel counts of the UDP sockets over IPv4 and IPv6.
#[cfg(feature = "kernel")]
pub(crate) const UDP_HELD: [[super::RowId; 1]; 2] = [[UDP_IN_USE], [UDP6_IN_USE]];
