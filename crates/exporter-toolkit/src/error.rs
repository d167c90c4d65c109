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
                "no interface of this host has the address {}; choose one that it has or 0.0.0.0 for all",
                self.addr.ip()
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
