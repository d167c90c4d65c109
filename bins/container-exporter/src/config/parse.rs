//! The small languages inside values: addresses, sources, rules, globs, lengths of time.
//!
//! Every parser answers with a reason in words that fit after "found …: ".

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use collector_core::select::Selection;
use source_cgroup::Include;
use source_docker::Endpoint;

/// The most containers that can be simulated.
pub(crate) const SIMULATED_MAX: u32 = 10_000;

/// Where containers are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Every engine that answers; the cgroup tree while none ever has.
    Auto,
    /// Docker only.
    Docker,
    /// The cgroup tree only.
    Cgroup,
    /// So many simulated containers, from 1 to [`SIMULATED_MAX`].
    Sim(u32),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Docker => f.write_str("docker"),
            Self::Cgroup => f.write_str("cgroup"),
            Self::Sim(count) => write!(f, "sim:{count}"),
        }
    }
}

/// Reads `auto`, `docker`, `cgroup` or `sim:N`.
///
/// # Errors
/// The reason, in words.
pub(crate) fn source(text: &str) -> Result<Source, String> {
    match text {
        "auto" => Ok(Source::Auto),
        "docker" => Ok(Source::Docker),
        "cgroup" => Ok(Source::Cgroup),
        _ => match text.strip_prefix("sim:").map(str::parse) {
            Some(Ok(count @ 1..=SIMULATED_MAX)) => Ok(Source::Sim(count)),
            Some(_) => Err(format!("the number behind sim: goes from 1 to {SIMULATED_MAX}")),
            None => Err("there is no such source".to_owned()),
        },
    }
}

/// Reads an address to listen at: `IP:PORT`, `[IPv6]:PORT`, `localhost:PORT`, `:PORT` or the port alone; without an
/// IP all IPv4 addresses are meant, as in the default.
///
/// # Errors
/// The reason, in words.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = match text.rsplit_once(':') {
        None if text.bytes().all(|b| b.is_ascii_digit()) => ("", text),
        None => return Err("the port is missing".to_owned()),
        Some(_) if text.parse::<IpAddr>().is_ok() => {
            return Err("write an IPv6 address in brackets, with a port: [::]:8080".to_owned());
        }
        Some(split) => split,
    };
    let ip = match host {
        "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map_err(|_| "the host must be an IP address of this machine".to_owned())?,
    };
    let port = port.parse().map_err(|_| "a port goes from 0 to 65535".to_owned())?;
    Ok(SocketAddr::new(ip, port))
}

/// Reads a socket's path and takes a leading `unix://` off.
///
/// # Errors
/// The reason, in words.
pub(crate) fn socket(text: &str) -> Result<String, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    if path.starts_with('/') {
        Ok(path.to_owned())
    } else if path.contains("://") {
        Err("only local sockets can be reached: unix:///path or /path".to_owned())
    } else {
        Err("the path must be absolute".to_owned())
    }
}

/// Reads an engine's address: a socket, or `tcp://host:port`.
///
/// # Errors
/// The reason, in words.
pub(crate) fn host(text: &str) -> Result<String, String> {
    if !text.starts_with("tcp://") {
        return socket(text);
    }
    Endpoint::parse(text).map(|endpoint| endpoint.to_string()).map_err(|error| error.kind().to_string())
}

/// Reads an `http://` or `https://` URL, or what may stand behind that: gRPC's endpoints need no scheme.
///
/// # Errors
/// The reason, in words.
pub(crate) fn url(text: &str) -> Result<String, String> {
    let rest = match text.split_once("://") {
        None => text,
        Some(("http" | "https", rest)) => rest,
        Some(_) => return Err("it must begin with http:// or https://".to_owned()),
    };
    if rest.contains(char::is_whitespace) {
        return Err("it has spaces".to_owned());
    }
    if rest.split(['/', '?', '#']).next().unwrap_or_default().is_empty() {
        return Err("the host is missing".to_owned());
    }
    Ok(text.to_owned())
}

/// Takes user, password and query out of a URL: a token may stand in each.
pub(crate) fn without_secrets(url: &str) -> String {
    let mask = super::kind::MASK;
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, format!("?{mask}")),
        None => (rest, String::new()),
    };
    let end = rest.find(['/', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}{mask}{}{query}", &rest[at..]),
        None => format!("{scheme}{rest}{query}"),
    }
}

/// Checks a rule that chooses containers.
///
/// # Errors
/// The reason, in words.
pub(crate) fn rule(text: &str) -> Result<&str, String> {
    match Selection::new(&[text], &[] as &[&str]) {
        Ok(_) => Ok(text),
        Err(error) => Err(error.problem.to_string()),
    }
}

/// Checks a pattern that chooses cgroups.
///
/// # Errors
/// The reason, in words.
pub(crate) fn pattern(text: &str) -> Result<&str, String> {
    match Include::new(&[text]) {
        Ok(_) => Ok(text),
        Err(error) => Err(error.problem.to_string()),
    }
}

/// Reads seconds, or a number with `ms`, `s`, `m` or `h` behind it.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, scale) = match text.trim_end_matches(|c: char| c.is_ascii_alphabetic()) {
        number if number.len() == text.len() => (number, 1.0),
        number => match &text[number.len()..] {
            "ms" => return number.trim_end().parse::<f64>().ok().map(|number| number / 1000.0),
            "s" => (number, 1.0),
            "m" => (number, 60.0),
            "h" => (number, 3600.0),
            _ => return None,
        },
    };
    number.trim_end().parse::<f64>().ok().map(|number| number * scale)
}

/// Splits at commas, but not within the braces and brackets of a glob.
pub(crate) fn split_outside_braces(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (c, items.last_mut()) {
            (',', _) if depth == 0 => items.push(String::new()),
            (c, Some(last)) => last.push(c),
            (_, None) => {}
        }
    }
    items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// Reads `name=value,name=value`, each value percent-encoded, as `OTEL_EXPORTER_OTLP_HEADERS` and
/// `OTEL_RESOURCE_ATTRIBUTES` write it.
pub(crate) fn pairs(text: &str) -> Option<BTreeMap<String, String>> {
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (percent_decoded(name.trim())?, percent_decoded(value.trim())?);
            (!name.is_empty() && !value.chars().any(char::is_control)).then_some((name, value))
        })
        .collect()
}

/// Undoes percent-encoding; `None` where the result is not UTF-8. A lone `%` stands for itself.
fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| {
            let digit = |b: u8| char::from(b).to_digit(16);
            u8::try_from(digit(hex[0])? * 16 + digit(hex[1])?).ok()
        });
        match hex {
            Some(value) if byte == b'%' => {
                decoded.push(value);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
