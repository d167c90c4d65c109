//! Where requests go.

use std::{fmt, net::Ipv6Addr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri, uri::Authority};
use serde::{Serialize, Serializer};

use crate::{Protocol, Signal, headers::percent_decoded};

/// The port of OTLP over gRPC, for an endpoint that has neither scheme nor port.
const GRPC_PORT: u16 = 4317;

/// What an endpoint's text means: the specification has two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndpointKind {
    /// A base for all signals: by HTTP, the signal's path is added to its own.
    Base,
    /// Of one signal alone: by HTTP, the path stays as it is.
    Signal,
}

/// Where requests go: host, port, whether by TLS, and by HTTP the path. It is shown without user, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    signal: Signal,
    is_tls: bool,
    /// Without the brackets of IPv6.
    host: String,
    port: u16,
    path: String,
    query: Option<String>,
    /// For shows: by gRPC the path is always the same and says nothing.
    is_path_shown: bool,
    /// Of a user and password in the URL.
    authorization: Option<HeaderValue>,
}

impl Endpoint {
    /// Reads a URL; the error is a reason that fits after "…: ".
    pub(crate) fn parse(
        signal: Signal,
        text: &str,
        kind: EndpointKind,
        protocol: Protocol,
        insecure: bool,
    ) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text),
        };
        let is_tls = match (scheme.as_deref(), protocol) {
            (Some("http"), _) => false,
            (Some("https"), _) => true,
            (Some(other), _) => return Err(format!("{other}:// is not known; write http:// or https://")),
            (None, Protocol::Grpc) => !insecure,
            (None, Protocol::HttpProtobuf) => {
                return Err("it has no scheme; write http:// or https:// before it".to_owned());
            }
        };
        let uri: Uri = format!("http://{rest}").parse().map_err(|error| format!("it is no URL: {error}"))?;
        let authority = uri.authority().ok_or_else(|| "it names no host".to_owned())?;
        let (user, host, port) = split(authority)?;
        let port = port.unwrap_or(match (scheme.is_some(), is_tls) {
            (false, _) => GRPC_PORT,
            (true, false) => 80,
            (true, true) => 443,
        });
        let path = match (protocol, kind) {
            (Protocol::Grpc, _) => signal.grpc_path().to_owned(),
            (_, EndpointKind::Signal) => uri.path().to_owned(),
            (_, EndpointKind::Base) => format!("{}{}", uri.path().trim_end_matches('/'), signal.http_path()),
        };
        let is_path_shown = protocol == Protocol::HttpProtobuf;
        let query = uri.query().filter(|_| is_path_shown).map(str::to_owned);
        let authorization = user.map(basic).transpose()?;
        Ok(Self { signal, is_tls, host, port, path, query, is_path_shown, authorization })
    }

    /// What is sent there.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// Whether requests go by TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host: a name or an address, that of IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path of every request, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(crate) const fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Host and port as a request names them: without the port where the scheme implies it.
    pub(crate) fn authority(&self) -> String {
        match (self.is_tls, self.port) {
            (false, 80) | (true, 443) => self.bracketed(),
            (_, port) => format!("{}:{port}", self.bracketed()),
        }
    }

    pub(crate) fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

/// User (with password), host without brackets, and port.
fn split(authority: &Authority) -> Result<(Option<&str>, String, Option<u16>), String> {
    let text = authority.as_str();
    let (user, host_and_port) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, text),
    };
    let host = authority.host();
    if host.is_empty() {
        return Err("it names no host".to_owned());
    }
    let port = match host_and_port.strip_prefix(host).unwrap_or_default() {
        "" | ":" => None,
        port => match port.trim_start_matches(':').parse() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err("its port is no number from 1 to 65535".to_owned()),
        },
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) if address.parse::<Ipv6Addr>().is_ok() => address,
        None if !host.contains(['[', ']']) => host,
        _ => return Err("its host is neither a name nor an address".to_owned()),
    };
    Ok((user, host.to_owned(), port))
}

fn basic(user: &str) -> Result<HeaderValue, String> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut credentials = percent_decoded(name);
    credentials.push(b':');
    credentials.extend(percent_decoded(password));
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(credentials)))
        .map_err(|_| "its user or password cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The text of an endpoint as an error may show it: without user, password and query.
pub(crate) fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // A password with a slash in it: what stands before the last @ is not told apart from a host.
    let host_and_path = match path.rsplit_once('@') {
        Some((_, rest)) => rest.to_owned(),
        None => format!("{host}{path}"),
    };
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{host_and_path}").chars().take(200).collect()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.bracketed(), self.port)?;
        if self.is_path_shown { f.write_str(&self.path) } else { Ok(()) }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use EndpointKind::{Base, Signal};
    use Protocol::{Grpc, HttpProtobuf};

    #[track_caller]
    fn check(text: &str, kind: EndpointKind, protocol: Protocol, expect: Result<&str, &str>) {
        match (Endpoint::parse(crate::Signal::Metrics, text, kind, protocol, false), expect) {
            (Ok(endpoint), Ok(expect)) => assert_eq!(endpoint.to_string(), expect, "{text}"),
            (Err(reason), Err(expect)) => assert!(reason.contains(expect), "{text}: {reason}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn a_base_gets_the_path_and_a_signals_url_stays() {
        check("http://collector:4318", Base, HttpProtobuf, Ok("http://collector:4318/v1/metrics"));
        check("http://collector:4318/", Base, HttpProtobuf, Ok("http://collector:4318/v1/metrics"));
        check("https://x.example/otlp/", Base, HttpProtobuf, Ok("https://x.example:443/otlp/v1/metrics"));
        check(
            "http://p:9090/api/v1/otlp/v1/metrics",
            Signal,
            HttpProtobuf,
            Ok("http://p:9090/api/v1/otlp/v1/metrics"),
        );
        check("http://collector:4318", Signal, HttpProtobuf, Ok("http://collector:4318/"));
        check("HTTP://[::1]:4318", Base, HttpProtobuf, Ok("http://[::1]:4318/v1/metrics"));
        check("collector:4318", Base, HttpProtobuf, Err("write http:// or https://"));
    }

    #[test]
    fn grpc_knows_tls_by_the_scheme_and_by_insecure_without_one() {
        check("http://collector:4317", Base, Grpc, Ok("http://collector:4317"));
        check("https://collector:4317/ignored", Signal, Grpc, Ok("https://collector:4317"));
        check("collector:4317", Base, Grpc, Ok("https://collector:4317"));
        check("collector", Base, Grpc, Ok("https://collector:4317"));
        check("https://collector", Base, Grpc, Ok("https://collector:443"));
        let endpoint = |insecure| {
            Endpoint::parse(crate::Signal::Metrics, "collector:1", Base, Grpc, insecure).expect("an endpoint")
        };
        assert!(endpoint(false).is_tls() && !endpoint(true).is_tls());
        // The scheme decides where there is one.
        assert!(
            Endpoint::parse(crate::Signal::Metrics, "https://collector", Base, Grpc, true)
                .expect("an endpoint")
                .is_tls()
        );
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        check("grpc://collector:4317", Base, Grpc, Err("grpc:// is not known"));
        check("http://", Base, Grpc, Err("it "));
        check("http://:4317", Base, Grpc, Err("it "));
        check("", Base, Grpc, Err("it "));
        check("http://a b", Base, Grpc, Err("no URL"));
        check("http://collector:99999", Base, Grpc, Err("1 to 65535"));
        check("http://collector:0", Base, Grpc, Err("1 to 65535"));
        check("http://[::1]x", Base, Grpc, Err("it"));
        check("http://a[]", Base, Grpc, Err("neither a name nor an address"));
        check("http://[a]", Base, Grpc, Err("neither a name nor an address"));
    }

    #[test]
    fn a_user_is_sent_and_never_shown() {
        let endpoint = Endpoint::parse(
            crate::Signal::Metrics,
            "http://me:s3%20cret@c:4318/x?token=s3cret",
            Base,
            HttpProtobuf,
            false,
        )
        .expect("an endpoint");
        assert_eq!(
            endpoint.authorization().and_then(|value| value.to_str().ok()),
            Some("Basic bWU6czMgY3JldA==")
        );
        assert_eq!(endpoint.path_and_query(), "/x/v1/metrics?token=s3cret");
        let json = serde_json::to_string(&endpoint).expect("serialisable");
        assert_eq!(format!("{endpoint} {endpoint:?} {json}").matches("s3").count(), 0);
    }

    #[test]
    fn errors_show_no_user() {
        assert_eq!(shown("http://me:s3cret@c:4318/x?t=s3cret"), "http://c:4318/x");
        assert_eq!(shown("me:s3cret@c:4317"), "c:4317");
        assert_eq!(shown("http://me:s3/cret@c:4318"), "http://c:4318");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<String>(), insecure: bool) {
            for protocol in [Grpc, HttpProtobuf] {
                for kind in [Base, Signal] {
                    let _ = Endpoint::parse(crate::Signal::Metrics, &text, kind, protocol, insecure);
                }
            }
            let _ = shown(&text);
        }

        #[test]
        fn what_is_shown_is_read_as_the_same(host in "[a-z][a-z0-9.-]{0,20}[a-z0-9]", port in 1_u16.., path in "(/[a-z0-9]{1,5}){1,3}") {
            let text = format!("http://{host}:{port}{path}");
            let endpoint = Endpoint::parse(crate::Signal::Metrics, &text, Signal, HttpProtobuf, false).expect("an endpoint");
            prop_assert_eq!(endpoint.to_string(), text);
        }
    }
}
