//! The address to listen at, and the clock that stamps what is served.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use super::{Finding, machine::Machine};

/// The first second of 2025: no clock that was ever set is before it.
const WRITTEN: Duration = Duration::from_secs(1_735_689_600);

pub(super) fn check(machine: &Machine<'_>, address: SocketAddr) -> Vec<Finding> {
    vec![listen(machine, address), clock(machine)]
}

fn listen(machine: &Machine<'_>, address: SocketAddr) -> Finding {
    let port = address.port();
    let Err(error) = (machine.bind)(address) else {
        return Finding::ok("listen", format!("{address} is free"));
    };
    match error.kind() {
        ErrorKind::AddrInUse => {
            // Mostly it is the exporter that the doctor was called for.
            if (machine.ask_server)(reachable(address), "/livez").is_ok_and(|answer| answer.status == 200) {
                return Finding::ok(
                    "listen",
                    format!("{address} is in use, and answers /livez: an exporter runs"),
                );
            }
            Finding::problem(
                "listen",
                format!("{address} is in use by another process"),
                format!("sudo ss -ltnp 'sport = :{port}' shows whose; or choose another with --listen :9100"),
            )
        }
        ErrorKind::PermissionDenied => Finding::problem(
            "listen",
            format!("{address}: only root may listen at ports below 1024"),
            "choose another with --listen :8080, or: sudo setcap cap_net_bind_service=+ep \"$(command -v container-exporter)\"",
        ),
        ErrorKind::AddrNotAvailable => Finding::problem(
            "listen",
            format!("no interface has the address {}", address.ip()),
            format!("--listen :{port} listens at all addresses; ip -brief address shows which there are"),
        ),
        _ => Finding::problem(
            "listen",
            format!("failed to listen at {address}: {error}"),
            "choose another address with --listen",
        ),
    }
}

/// Where a server that listens at this address is asked.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn clock(machine: &Machine<'_>) -> Finding {
    let since_1970 = machine.now.duration_since(UNIX_EPOCH).unwrap_or_default();
    if since_1970 < WRITTEN {
        return Finding::warning(
            "clock",
            "it is before the year 2025 by this machine's clock, so start times and ages are wrong",
            "sudo timedatectl set-ntp true",
        );
    }
    Finding::ok("clock", "set")
}
