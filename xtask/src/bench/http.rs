//! A scraper: HTTP/1.1 on one connection that is kept, as a Prometheus server does.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Context as _, Error, Result};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest body that is read: 10,000 containers make 140 MB.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// A kept connection.
#[derive(Debug)]
pub(crate) struct Scraper {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Page {
    /// Series on a text page.
    pub(crate) fn samples(&self) -> usize {
        self.lines().count()
    }

    /// The lines of series.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.body
            .split(|byte| *byte == b'\n')
            .filter_map(|line| std::str::from_utf8(line).ok())
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
    }
}

impl Scraper {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let failed = || format!("failed to connect to {address}");
        let stream = TcpStream::connect_timeout(&address, PATIENCE).context(failed)?;
        stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE))).context(failed)?;
        Ok(Self { address, stream: BufReader::with_capacity(256 << 10, stream) })
    }

    /// `GET path`, gzip accepted or not; a packed body is left as it is.
    pub(crate) fn get(&mut self, path: &str, gzip: bool) -> Result<Page> {
        let mut body = Vec::new();
        let status = self.get_into(path, gzip, &mut body)?;
        Ok(Page { status, body })
    }

    /// The same with the body written elsewhere; returns the status.
    pub(crate) fn get_into(&mut self, path: &str, gzip: bool, body: &mut impl Write) -> Result<u16> {
        let address = self.address;
        let accepted = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{accepted}\r\n");
        let failed = || format!("failed to get http://{address}{path}");
        self.stream.get_mut().write_all(request.as_bytes()).context(failed)?;
        let mut head = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let status = head.first().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| Error::failed(format!("{}: the answer is not HTTP", failed())))?;
        let header = |name: &str| {
            head.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            loop {
                let size = self.line()?;
                let size = u64::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16)
                    .context(failed)?
                    .min(BODY_BYTES_MAX);
                io::copy(&mut self.stream.by_ref().take(size), body).context(failed)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            io::copy(&mut self.stream.by_ref().take(length), body).context(failed)?;
        }
        Ok(status)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read =
            self.stream.read_line(&mut line).context(|| format!("failed to read from {}", self.address))?;
        if read == 0 {
            return Err(Error::failed(format!(
                "{} closed the connection in the middle of an answer",
                self.address
            )));
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that gives these bytes for whatever is asked.
    fn serve(answer: &'static [u8]) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepts");
            let mut request = [0; 1024];
            while stream.read(&mut request).is_ok_and(|read| read > 0) {
                stream.write_all(answer).expect("writes");
            }
        });
        address
    }

    #[test]
    fn chunked_and_plain_bodies_are_read_on_one_connection() {
        for answer in [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n# a\n\r\n4\r\nb 1\n\r\n0\r\n\r\n"
                .as_slice(),
            b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n# a\nb 1\n",
        ] {
            let mut scraper = Scraper::connect(serve(answer)).expect("connects");
            for _ in 0..2 {
                let page = scraper.get("/metrics", false).expect("a page");
                assert_eq!((page.status, page.samples()), (200, 1));
            }
        }
    }
}
