//! `health`: asks a running exporter whether it is well. For a HEALTHCHECK in an image without a shell.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::AppError;
use crate::config::settings::Settings;

/// Time for connecting, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(5);
/// More of an answer than this is not read.
const ANSWER_MAX: u64 = 64 << 10;

/// Fails unless the answer is 200.
pub(super) fn ask(url: Option<&str>, settings: &Settings) -> Result<(), AppError> {
    let (authority, path) = match url {
        Some(url) => split(url)?,
        None => (local(settings.server.listen).to_string(), "/health".to_owned()),
    };
    let answer = get(&authority, &path)
        .map_err(|error| AppError::Unhealthy(format!("failed to ask http://{authority}{path}: {error}")))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) == Some("200") {
        return super::print(body);
    }
    Err(AppError::Unhealthy(format!("http://{authority}{path} answered {status:?}: {}", body.trim())))
}

fn split(url: &str) -> Result<(String, String), AppError> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| AppError::Unhealthy(format!("`{url}` is not of the form http://host:port/health")))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, "health"));
    let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    Ok((authority, format!("/{path}")))
}

/// Where a server that listens at `listen` is reached from here.
fn local(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(address) if address.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        other => other.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

fn get(authority: &str, path: &str) -> std::io::Result<String> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes())?;
                let mut answer = Vec::new();
                stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parts = |url| split(url).ok();
        assert_eq!(parts("http://a:1/health"), Some(("a:1".into(), "/health".into())));
        assert_eq!(parts("http://a"), Some(("a:80".into(), "/health".into())));
        assert_eq!(parts("https://a"), None);
    }

    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        let ask = |address: &str| local(address.parse().expect("an address")).to_string();
        assert_eq!(ask("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(ask("[::]:1"), "[::1]:1");
        assert_eq!(ask("10.0.0.1:2"), "10.0.0.1:2");
    }
}
