//! The few requests that starting and undoing an engine takes, over its socket.
//!
//! HTTP/1.0: the engine closes the connection after the body and never sends chunks. Reading has a deadline.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::{Context as _, Error, Result};

/// How long an engine may be silent; ending a container takes it up to 10 s.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// `GET path`.
pub(crate) fn get(socket: &Path, path: &str) -> Result<Answer> {
    request(socket, "GET", path, "application/json", &[])
}

/// `DELETE path`.
pub(crate) fn delete(socket: &Path, path: &str) -> Result<Answer> {
    request(socket, "DELETE", path, "application/json", &[])
}

/// `POST path` with a body of this type.
pub(crate) fn post(socket: &Path, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
    request(socket, "POST", path, content_type, body)
}

/// An answer whose status says success, as JSON; else an error with what the engine said.
pub(crate) fn json(answer: Result<Answer>, attempt: &str) -> Result<serde_json::Value> {
    let answer = answer?;
    if !(200..300).contains(&answer.status) {
        let said = String::from_utf8_lossy(&answer.body);
        return Err(Error::failed(format!("failed to {attempt}: {} {}", answer.status, said.trim())));
    }
    serde_json::from_slice(&answer.body).context(|| format!("failed to read the answer to: {attempt}"))
}

fn request(socket: &Path, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
    let attempt = || format!("failed to {method} {path} at {}", socket.display());
    let mut stream = UnixStream::connect(socket).context(attempt)?;
    stream
        .set_read_timeout(Some(SILENCE))
        .and_then(|()| stream.set_write_timeout(Some(SILENCE)))
        .context(attempt)?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).context(attempt)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).context(attempt)?;
    parse(&answer).ok_or_else(|| Error::failed(format!("{}: the answer is not HTTP", attempt())))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: answer[end + 4..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = parse(b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n{}\r\n\r\n").expect("HTTP");
        assert_eq!((answer.status, answer.body.as_slice()), (404, b"{}\r\n\r\n".as_slice()));
        assert!(parse(b"HTTP/1.0 200 OK\r\n").is_none(), "no end of the head");
        assert!(parse(b"hello\r\n\r\n").is_none());
    }

    #[test]
    fn a_refusal_says_what_the_engine_said() {
        let refusal = Answer { status: 409, body: b"{\"message\":\"busy\"}".to_vec() };
        let error = json(Ok(refusal), "remove it").expect_err("409").to_string();
        assert!(error.contains("failed to remove it: 409") && error.contains("busy"), "{error}");
    }
}
