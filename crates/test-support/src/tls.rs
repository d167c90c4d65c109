//! Certificates made for one test: an authority, a server and a client.

use std::{path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
pub use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};

/// Writes `ca.pem`, `cert.pem` and `key.pem` of a client into a folder, as Docker's client wants them, and makes the
/// server: it is called `server_name`, and lets in nobody without a certificate of the same authority.
///
/// # Panics
///
/// The folder cannot be written to.
#[must_use]
pub fn mutual_tls(folder: &Path, server_name: &str) -> TlsAcceptor {
    issued(folder, server_name, |_| {})
}

/// The same, but the server's certificate was good for the year 2001 only.
///
/// # Panics
///
/// The folder cannot be written to.
#[must_use]
pub fn expired_tls(folder: &Path, server_name: &str) -> TlsAcceptor {
    issued(folder, server_name, |server| {
        server.not_before = rcgen::date_time_ymd(2001, 1, 1);
        server.not_after = rcgen::date_time_ymd(2002, 1, 1);
    })
}

fn issued(folder: &Path, server_name: &str, server: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("failed to make a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("failed to sign");
    let params = |names: Vec<String>, purpose| {
        let mut params = CertificateParams::new(names).expect("the name is one");
        params.extended_key_usages = vec![purpose];
        params
    };
    let sign = |params: &CertificateParams| {
        let key = KeyPair::generate().expect("failed to make a key");
        (params.signed_by(&key, &authority).expect("failed to sign"), key)
    };
    let mut of_server = params(vec![server_name.to_owned()], ExtendedKeyUsagePurpose::ServerAuth);
    server(&mut of_server);
    let (server, server_key) = sign(&of_server);
    let (client, client_key) = sign(&params(Vec::new(), ExtendedKeyUsagePurpose::ClientAuth));
    let files =
        [("ca.pem", authority.pem()), ("cert.pem", client.pem()), ("key.pem", client_key.serialize_pem())];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("failed to write a file of TLS");
    }
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("the authority is one");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .expect("the authority is one");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.der().clone()], key)
        .expect("certificate and key belong together");
    TlsAcceptor::from(Arc::new(config))
}
