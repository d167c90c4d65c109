//! What can go wrong before a server serves.

use std::io;
use std::net::SocketAddr;

/// Listening on an address failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {addr}: {}", self.advice())]
pub struct BindError {
    addr: SocketAddr,
    source: io::Error,
}

/// The reasons for a [`BindError`] that a program may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindErrorKind {
    /// Something listens there already.
    InUse,
    /// The port is below 1024 and this process may not use it.
    NotPermitted,
    /// No interface of this host has the address.
    NoSuchAddress,
    /// Anything else that the kernel said.
    Other,
}

impl BindError {
    pub(crate) fn new(addr: SocketAddr, source: io::Error) -> Self {
        Self { addr, source }
    }

    /// The address that was asked for.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The reason.
    #[must_use]
    pub fn kind(&self) -> BindErrorKind {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => BindErrorKind::InUse,
            io::ErrorKind::PermissionDenied => BindErrorKind::NotPermitted,
            io::ErrorKind::AddrNotAvailable => BindErrorKind::NoSuchAddress,
            _ => BindErrorKind::Other,
        }
    }

    fn advice(&self) -> String {
        let port = self.addr.port();
        match self.kind() {
            BindErrorKind::InUse => {
                format!("port {port} is in use; stop the process that has it or choose another port")
            }
            BindErrorKind::NotPermitted => {
                format!("port {port} needs privileges; choose one above 1023 or grant CAP_NET_BIND_SERVICE")
            }
            BindErrorKind::NoSuchAddress => format!(
                "no interface of this host has the address {}; choose one that it has or {} for all",
                self.addr.ip(),
                if self.addr.is_ipv4() { "0.0.0.0" } else { "[::]" }
            ),
            BindErrorKind::Other => self.source.to_string(),
        }
    }
}

/// Serving could not begin: there is no Tokio runtime with I/O here, or it refused the socket.
#[derive(Debug, thiserror::Error)]
#[error("failed to hand the listening socket of {addr} to the runtime")]
pub struct ServeError {
    pub(crate) addr: SocketAddr,
    pub(crate) source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_says_where_and_what_to_do() {
        let check = |addr: &str, kind: io::ErrorKind, expect: &str| {
            let error = BindError::new(addr.parse().expect("an address"), kind.into());
            assert_eq!(error.to_string(), expect);
        };
        check(
            "0.0.0.0:80",
            io::ErrorKind::PermissionDenied,
            "failed to listen on 0.0.0.0:80: port 80 needs privileges; choose one above 1023 or grant CAP_NET_BIND_SERVICE",
        );
        check(
            "[2001:db8::1]:8080",
            io::ErrorKind::AddrNotAvailable,
            "failed to listen on [2001:db8::1]:8080: no interface of this host has the address 2001:db8::1; choose one that it has or [::] for all",
        );
        check(
            "127.0.0.1:8080",
            io::ErrorKind::AddrInUse,
            "failed to listen on 127.0.0.1:8080: port 8080 is in use; stop the process that has it or choose another port",
        );
        check(
            "127.0.0.1:8080",
            io::ErrorKind::OutOfMemory,
            "failed to listen on 127.0.0.1:8080: out of memory",
        );
    }
}
