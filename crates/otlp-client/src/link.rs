//! The connection to the receiver: made when it is needed, kept while it works.

use std::{
    error::Error,
    fmt, io,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use crate::{Endpoint, Protocol, Settings, SettingsError, SettingsErrorKind, request::RequestBody};

/// A connection, whatever it goes over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Makes connections. Tests make them within the process, where a paused clock holds.
pub(crate) trait Dial: Send + Sync {
    /// Connects to a host's port; without TLS.
    fn dial<'a>(&'a self, endpoint: &'a Endpoint, time: Duration) -> Connecting<'a>;
}

/// By TCP.
#[derive(Debug)]
pub(crate) struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, endpoint: &'a Endpoint, time: Duration) -> Connecting<'a> {
        Box::pin(async move {
            let found = lookup_host((endpoint.host(), endpoint.port())).await;
            let addresses: Vec<_> =
                found.map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))?.collect();
            let mut last = io::Error::from(io::ErrorKind::NotFound);
            for (tried, address) in addresses.iter().enumerate() {
                // An address that does not answer leaves the others their share.
                let share = time / u32::try_from(addresses.len() - tried + 1).unwrap_or(u32::MAX);
                match timeout(share, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => {
                        stream.set_nodelay(true)?;
                        return Ok(Box::new(stream) as Box<dyn Stream>);
                    }
                    Ok(Err(error)) => last = error,
                    Err(_) => last = io::ErrorKind::TimedOut.into(),
                }
            }
            Err(last)
        })
    }
}

/// TLS to one host, from the files of the settings.
#[derive(Clone)]
pub(crate) struct TlsLayer {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for TlsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsLayer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl TlsLayer {
    /// Reads the files; `None` where the endpoint wants no TLS.
    pub(crate) fn new(settings: &Settings) -> Result<Option<Self>, SettingsError> {
        if !settings.endpoint.is_tls() {
            return Ok(None);
        }
        let host = settings.endpoint.host();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| SettingsError::new("the endpoint", SettingsErrorKind::Host(host.to_owned())))?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| SettingsError::new("TLS", SettingsErrorKind::NoAuthorities(error.to_string())))?
            .with_root_certificates(roots(settings)?);
        let mut config = match &settings.tls.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain = certificates("the client's certificate", &client.certificate)?;
                let of_key =
                    |error: &dyn fmt::Display| SettingsError::file("the client's key", &client.key, error);
                let key = PrivateKeyDer::from_pem_file(&client.key).map_err(|error| of_key(&error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| of_key(&error))?
            }
        };
        config.alpn_protocols = match settings.protocol {
            Protocol::Grpc => vec![b"h2".to_vec()],
            Protocol::HttpProtobuf => vec![b"http/1.1".to_vec()],
        };
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name }))
    }
}

fn roots(settings: &Settings) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.tls.certificate {
        let origin = "the authorities' certificates";
        for certificate in certificates(origin, path)? {
            roots.add(certificate).map_err(|error| SettingsError::file(origin, path, error))?;
        }
        return Ok(roots);
    }
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        let why = native.errors.first().map_or_else(|| "none were found".to_owned(), ToString::to_string);
        return Err(SettingsError::new("TLS", SettingsErrorKind::NoAuthorities(why)));
    }
    Ok(roots)
}

fn certificates(origin: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| SettingsError::file(origin, path, error))?;
    if found.is_empty() {
        Err(SettingsError::file(origin, path, "no certificate is in it"))
    } else {
        Ok(found)
    }
}

/// What failed between here and the head of an answer.
pub(crate) type LinkError = Box<dyn Error + Send + Sync>;

/// The tasks of one connection: they end with it, whatever they wait for, so that nothing they hold stays.
#[derive(Debug, Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(future);
    }
}

enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

struct Open {
    sender: Sender,
    tasks: Tasks,
    is_used: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        // A task may hold a clone of this set, so that it would not be dropped with the last handle here.
        self.tasks.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl Open {
    async fn new(stream: Box<dyn Stream>, protocol: Protocol) -> Result<Self, LinkError> {
        let tasks = Tasks::default();
        let io = TokioIo::new(stream);
        let sender = match protocol {
            Protocol::HttpProtobuf => {
                let (sender, connection) = http1::handshake(io).await?;
                tasks.execute(async move {
                    // The request hears of what goes wrong.
                    let _ = connection.await;
                });
                Sender::Http1(sender)
            }
            Protocol::Grpc => {
                let (sender, connection) = http2::handshake(tasks.clone(), io).await?;
                tasks.execute(async move {
                    let _ = connection.await;
                });
                Sender::Http2(sender)
            }
        };
        Ok(Self { sender, tasks, is_used: false })
    }

    async fn is_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, hyper::Error> {
        self.is_used = true;
        match &mut self.sender {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        }
    }
}

/// The one connection of a client.
pub(crate) struct Link {
    dial: Arc<dyn Dial>,
    open: Option<Open>,
}

impl Link {
    pub(crate) fn new(dial: Arc<dyn Dial>) -> Self {
        Self { dial, open: None }
    }

    /// Ends the connection; the next request makes another.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    /// Sends and waits for the head of the answer. A kept connection may have been closed by the other side while
    /// nothing was sent: a request that fails on it is sent once more on a new one.
    pub(crate) async fn send(
        &mut self,
        settings: &Settings,
        tls: Option<&TlsLayer>,
        time: Duration,
        request: impl Fn() -> Result<Request<RequestBody>, http::Error>,
    ) -> Result<Response<Incoming>, LinkError> {
        if let Some(open) = &mut self.open {
            let is_used = open.is_used;
            if open.is_ready().await {
                match open.send(request()?).await {
                    Ok(response) => return Ok(response),
                    Err(error) if !is_used => {
                        self.open = None;
                        return Err(error.into());
                    }
                    Err(_) => {}
                }
            }
            self.open = None;
        }
        let stream = self.dial.dial(&settings.endpoint, time).await?;
        let stream = match tls {
            Some(TlsLayer { connector, name }) => {
                Box::new(connector.connect(name.clone(), stream).await?) as Box<dyn Stream>
            }
            None => stream,
        };
        let open = self.open.insert(Open::new(stream, settings.protocol).await?);
        let response = open.send(request()?).await;
        if response.is_err() {
            self.open = None;
        }
        Ok(response?)
    }
}
