//! What to do when an engine cannot be talked to: one sentence for each thing that a person can mend.

use std::{error::Error, io, path::Path};

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::{Endpoint, TlsFiles};

/// For an engine that could not be connected to.
pub(crate) fn connect(endpoint: &Endpoint, error: &io::Error) -> String {
    match endpoint {
        Endpoint::Unix(path) => connect_unix(path, error),
        Endpoint::Tcp { .. } => broken(endpoint, error).unwrap_or_else(|| match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("nobody listens on {endpoint}: start the engine, or open its port")
            }
            io::ErrorKind::TimedOut => {
                format!("{endpoint} does not accept connections: is it up, is a firewall between?")
            }
            _ => format!("failed to connect to {endpoint}: {error}"),
        }),
    }
}

/// For a connection that broke; `None` if its end says nothing of what to do.
pub(crate) fn broken(endpoint: &Endpoint, error: &(dyn Error + 'static)) -> Option<String> {
    let Endpoint::Tcp { host, tls, .. } = endpoint else { return None };
    match (tls, find::<TlsError>(error)) {
        (Some(files), Some(error)) => Some(of_tls(endpoint, host, files, error)),
        (Some(files), None) if is_hung_up(error) => Some(format!(
            "{endpoint} hung up once TLS was agreed on: {}, or it has stopped",
            refused_certificate(files)
        )),
        (None, _) if is_no_http(error) => Some(format!(
            "what listens on {endpoint} speaks no HTTP: if it speaks TLS, name the folder of the certificates with \
             docker.cert_path"
        )),
        _ => None,
    }
}

fn of_tls(endpoint: &Endpoint, host: &str, files: &TlsFiles, error: &TlsError) -> String {
    let ca = files.folder.join("ca.pem");
    let ca = ca.display();
    match error {
        TlsError::InvalidCertificate(fault) => match fault {
            // Authorities may have one name and different keys.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                format!(
                    "the certificate of {endpoint} comes from no authority of {ca}: put the engine's there"
                )
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
                "the certificate of {endpoint} has expired: renew it, or set this machine's clock if that is wrong"
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the certificate of {endpoint} is not valid yet: set this machine's clock")
            }
            CertificateError::NotValidForName => {
                format!(
                    "the certificate of {endpoint} is for another name than {host:?}: call the engine by that"
                )
            }
            CertificateError::NotValidForNameContext { presented, .. } => format!(
                "the certificate of {endpoint} is for another name than {host:?}: call the engine by one of {}",
                presented.join(", ")
            ),
            fault => format!("the certificate of {endpoint} cannot be used: {fault}"),
        },
        TlsError::AlertReceived(alert) if is_about_certificates(*alert) => {
            format!("{endpoint} ended TLS ({alert:?}): {}", refused_certificate(files))
        }
        TlsError::InvalidMessage(_) => format!(
            "what listens on {endpoint} speaks no TLS: name the port on which the engine does, or leave docker.cert_path out"
        ),
        error => format!("failed to agree on TLS with {endpoint}: {error}"),
    }
}

const fn is_about_certificates(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::DecryptError
            | Alert::AccessDenied
            // What OpenSSL and old Go say to whom they miss the certificate of.
            | Alert::HandshakeFailure
    )
}

fn refused_certificate(files: &TlsFiles) -> String {
    let certificate = files.folder.join("cert.pem");
    if certificate.exists() {
        return format!("it refuses our certificate, {}", certificate.display());
    }
    format!("it wants a certificate of ours: put cert.pem and key.pem into {}", files.folder.display())
}

fn is_hung_up(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind as Kind;
    let kind = |error: &io::Error| {
        matches!(
            error.kind(),
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof
        )
    };
    find::<io::Error>(error).is_some_and(kind)
        || find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message)
}

fn is_no_http(error: &(dyn Error + 'static)) -> bool {
    find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse)
}

/// The first error of a kind in a chain. An `io::Error` hides the one that it was made of from `source`.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn connect_unix(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no socket {shown}: start the engine, or name its socket in the configuration")
        }
        io::ErrorKind::PermissionDenied => {
            use std::os::unix::fs::MetadataExt;
            let group = std::fs::metadata(path).map_or_else(
                |_| "the group that owns it".to_owned(),
                |metadata| format!("the group that owns it (gid {})", metadata.gid()),
            );
            format!("permission denied on {shown}: run as root, or add this user to {group}")
        }
        io::ErrorKind::ConnectionRefused => {
            format!("nobody listens on {shown}: the engine is stopped, start it")
        }
        io::ErrorKind::TimedOut => {
            format!("{shown} does not accept connections: the engine is overloaded or stopped")
        }
        _ => format!("failed to connect to {shown}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_socket_and_what_to_do() {
        let check = |kind: io::ErrorKind, expect: &str| {
            let text = connect_unix(Path::new("/nowhere/docker.sock"), &kind.into());
            assert!(text.contains("/nowhere/docker.sock") && text.contains(expect), "{text}");
        };
        check(io::ErrorKind::NotFound, "start the engine");
        check(io::ErrorKind::PermissionDenied, "add this user to the group that owns it");
        check(io::ErrorKind::ConnectionRefused, "nobody listens");
        check(io::ErrorKind::TimedOut, "overloaded");
        check(io::ErrorKind::Other, "failed to connect");
    }

    #[test]
    fn it_tells_the_faults_of_tls_apart() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { folder: folder.path().to_owned() };
        let plain = Endpoint::parse("tcp://far:2376").unwrap();
        let endpoint = plain.clone().with_tls(Some(files));
        let check = |error: io::Error, expect: &str| {
            let text = connect(&endpoint, &error);
            assert!(text.contains("tcp://far:2376") && text.contains(expect), "{text}");
            assert!(!text.contains('\n'), "{text}");
        };
        let certificate = |fault| io::Error::other(TlsError::InvalidCertificate(fault));
        let alert = |alert| io::Error::other(TlsError::AlertReceived(alert));
        check(certificate(CertificateError::UnknownIssuer), "no authority");
        check(certificate(CertificateError::Expired), "expired");
        check(certificate(CertificateError::NotValidYet), "clock");
        check(certificate(CertificateError::NotValidForName), "another name than \"far\"");
        check(certificate(CertificateError::Revoked), "cannot be used");
        check(alert(AlertDescription::CertificateRequired), "wants a certificate of ours");
        check(alert(AlertDescription::ProtocolVersion), "failed to agree on TLS");
        check(io::ErrorKind::ConnectionReset.into(), "wants a certificate of ours");
        check(io::ErrorKind::ConnectionRefused.into(), "nobody listens");
        std::fs::write(folder.path().join("cert.pem"), "").unwrap();
        check(alert(AlertDescription::UnknownCA), "refuses our certificate");
        // Inside of what hyper or the standard library wrap it in.
        check(io::Error::other(alert(AlertDescription::UnknownCA)), "refuses our certificate");
        assert!(connect(&plain, &io::ErrorKind::ConnectionReset.into()).contains("failed to connect"));
    }
}
