//! The same over real sockets on loopback: TCP, TLS, and receivers of the other protocol.

use std::{net::SocketAddr, path::Path};

use test_support::tls::{TlsAcceptor, expired_tls, mutual_tls};
use tokio::net::TcpListener;

use super::{lines::Lines, *};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// Serves what the listener accepts; who is refused by TLS is gone.
fn serve(listener: TcpListener, receiver: Arc<Receiver>, tls: Option<TlsAcceptor>) {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &tls {
                None => drop(tokio::spawn(receiver.clone().serve(stream))),
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        tokio::spawn(receiver.clone().serve(stream));
                    }
                }
            }
        }
    });
}

#[tokio::test]
async fn it_delivers_by_tcp_through_cuts_and_refusals() {
    for protocol in PROTOCOLS {
        let (listener, address) = listener().await;
        drop(listener);
        let client =
            Client::start(resolved(&values(protocol, &format!("http://{address}")))).expect("no files");
        client.submit(payload("one", 7));
        while client.stats().snapshot().attempts == 0 {
            tokio::task::yield_now().await;
        }
        let receiver = Arc::new(Receiver::new(protocol, [Reply::Cut]));
        serve(TcpListener::bind(address).await.expect("its port"), receiver.clone(), None);
        let body = vec![b'x'; 3_000_000];
        client.submit(Payload { body: body.clone().into(), points: 5 });
        let stats = settled(&client).await;
        assert_eq!((stats.exported, failed(&stats)), (12, vec![]), "{protocol}");
        assert!(stats.attempts > 3, "{protocol}");
        let seen = receiver.seen();
        assert_eq!((seen.len(), &*seen[0].message, &*seen[1].message), (3, &b"one"[..], &b"one"[..]));
        assert!(seen[2].message == body);
    }
}

fn with_tls(mut values: Values, folder: &Path) -> Values {
    values.certificate = Some(Said::new(folder.join("ca.pem"), "the test"));
    values.client_certificate = Some(Said::new(folder.join("cert.pem"), "the test"));
    values.client_key = Some(Said::new(folder.join("key.pem"), "the test"));
    values
}

#[tokio::test]
async fn it_delivers_by_tls_and_shows_its_certificate() {
    for protocol in PROTOCOLS {
        let folder = tempfile::tempdir().expect("a folder");
        let acceptor = mutual_tls(folder.path(), "localhost");
        let (listener, address) = listener().await;
        let receiver = Arc::new(Receiver::new(protocol, []));
        serve(listener, receiver.clone(), Some(acceptor));
        // A name with an address of IPv6, where nobody listens, as well.
        let values = values(protocol, &format!("https://localhost:{}", address.port()));
        let client = Client::start(resolved(&with_tls(values, folder.path()))).expect("files");
        client.submit(payload("one", 7));
        assert_eq!(settled(&client).await.exported, 7, "{protocol}");
        assert_eq!(receiver.seen()[0].message, "one");
    }
}

/// What the log says of the first try.
async fn complaint(served: Protocol, values: Values, tls: Option<TlsAcceptor>) -> String {
    let lines = Lines::default();
    let _guard = lines.listen();
    let (listener, address) = listener().await;
    serve(listener, Arc::new(Receiver::new(served, [])), tls);
    let endpoint = values.endpoint.as_ref().expect("one").value.replace("PORT", &address.port().to_string());
    let values = Values { endpoint: Some(Said::new(endpoint, "the test")), ..values };
    let client = Client::start(resolved(&values)).expect("files");
    client.submit(payload("one", 7));
    loop {
        if let Some(line) = lines.take().into_iter().next() {
            return line;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_other_protocol_is_recognised() {
    let [grpc, http] = PROTOCOLS;
    let endpoint = "http://127.0.0.1:PORT";
    let said = complaint(http, values(grpc, endpoint), None).await;
    assert!(said.contains("gRPC port"), "{said}");
    let said = complaint(grpc, values(http, endpoint), None).await;
    assert!(said.contains("speaks no HTTP/1: is it the gRPC port?"), "{said}");
}

#[tokio::test]
async fn faults_of_tls_say_what_to_do() {
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let [ours, others] = folders.each_ref().map(tempfile::TempDir::path);
    for protocol in PROTOCOLS {
        let check = async |values: Values, acceptor: Option<TlsAcceptor>, words: &str| {
            let said = complaint(protocol, values, acceptor).await;
            assert!(said.contains("failed to deliver metrics to https://") && said.contains(words), "{said}");
        };
        let to = |host: &str| values(protocol, &format!("https://{host}:PORT"));
        let server = mutual_tls(ours, "localhost");
        let _ = mutual_tls(others, "localhost");
        check(with_tls(to("localhost"), others), Some(server.clone()), "OTEL_EXPORTER_OTLP_CERTIFICATE")
            .await;
        check(with_tls(to("127.0.0.1"), ours), Some(server.clone()), "another name than \"127.0.0.1\"").await;
        let mut anonymous = with_tls(to("localhost"), ours);
        (anonymous.client_certificate, anonymous.client_key) = (None, None);
        check(anonymous, Some(server), "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE").await;
        check(with_tls(to("localhost"), ours), None, "speaks no TLS").await;
        let expired = expired_tls(ours, "localhost");
        check(with_tls(to("localhost"), ours), Some(expired), "expired").await;
    }
}

#[test]
fn files_of_tls_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let _ = mutual_tls(folder.path(), "localhost");
    let check = |wrong: &str, text: &str, words: &str| {
        let path = folder.path().join(wrong);
        let good = std::fs::read(&path).expect("a file");
        std::fs::write(&path, text).expect("writable");
        let settings = resolved(&with_tls(values(Protocol::Grpc, "https://localhost:1"), folder.path()));
        let error = crate::link::TlsLayer::new(&settings).expect_err(wrong).to_string();
        assert!(error.contains(wrong) && error.contains(words), "{error}");
        std::fs::write(&path, good).expect("writable");
    };
    check("ca.pem", "", "no certificate is in it");
    check(
        "ca.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "the authorities' certificates",
    );
    check("cert.pem", "nonsense", "the client's certificate");
    check("key.pem", "nonsense", "the client's key");
}

#[test]
fn an_unknown_name_is_told() {
    let settings = settings(Protocol::Grpc);
    let error = std::io::Error::new(std::io::ErrorKind::NotFound, "no such host");
    let said = crate::advice::connection(&settings.endpoint, Protocol::Grpc, &error);
    assert_eq!(said, "no address is known for \"receiver\": check the name");
}
