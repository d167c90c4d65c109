//! Connections to an engine: unix socket, TCP, TLS.

use std::{io, path::Path, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use crate::{Endpoint, TlsFiles};

/// A connection, whatever it goes over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How an engine is connected to. The files of TLS are read once, here: a new session reads them again.
#[derive(Clone)]
pub(crate) struct Transport {
    endpoint: Endpoint,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Transport {
    /// Reads the files that the endpoint names.
    ///
    /// # Errors
    ///
    /// A file of TLS is missing or is not what it should be.
    pub(crate) fn new(endpoint: &Endpoint) -> io::Result<Self> {
        let tls = match endpoint {
            Endpoint::Tcp { host, tls: Some(files), .. } => {
                let name = ServerName::try_from(host.clone()).map_err(|error| {
                    io::Error::other(format!("no certificate can name {host:?}: {error}"))
                })?;
                Some((TlsConnector::from(Arc::new(config(files)?)), name))
            }
            _ => None,
        };
        Ok(Self { endpoint: endpoint.clone(), tls })
    }

    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Connects; without a deadline of its own.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let (host, port) = match &self.endpoint {
            Endpoint::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            Endpoint::Tcp { host, port, .. } => (host.as_str(), *port),
        };
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
            None => Ok(Box::new(stream)),
        }
    }
}

fn config(files: &TlsFiles) -> io::Result<ClientConfig> {
    let in_file = |path: &Path, error: &dyn std::fmt::Display| {
        io::Error::other(format!("failed to use {} for TLS: {error}", path.display()))
    };
    let certificates = |path: &Path| -> io::Result<Vec<CertificateDer<'static>>> {
        let found = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| in_file(path, &error))?;
        if found.is_empty() { Err(in_file(path, &"no certificate is in it")) } else { Ok(found) }
    };
    let ca = files.folder.join("ca.pem");
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&ca)? {
        roots.add(certificate).map_err(|error| in_file(&ca, &error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let (certificate, key) = (files.folder.join("cert.pem"), files.folder.join("key.pem"));
    if !certificate.exists() && !key.exists() {
        return Ok(builder.with_no_client_auth());
    }
    let chain = certificates(&certificate)?;
    let secret = PrivateKeyDer::from_pem_file(&key).map_err(|error| in_file(&key, &error))?;
    builder.with_client_auth_cert(chain, secret).map_err(|error| in_file(&key, &error))
}
