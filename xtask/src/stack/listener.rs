//! The end of an alert's way: what a webhook is sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::error::{Context as _, Result};

/// The longest body that is taken.
const BODY_BYTES_MAX: u64 = 1 << 20;
/// How long a sender may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// A web server that says yes to everything and hands on what it was sent. Its thread ends with the program.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) bodies: Receiver<String>,
}

impl Listener {
    /// Listens at an address of this machine that containers reach.
    pub(crate) fn at(address: IpAddr) -> Result<Self> {
        let failed = || format!("failed to listen at {address}");
        let listener = TcpListener::bind((address, 0)).context(failed)?;
        let address = listener.local_addr().context(failed)?;
        let (sender, bodies) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(std::result::Result::ok) {
                // A sender that breaks off has sent nothing.
                let _ = answer(stream, &sender);
            }
        });
        Ok(Self { address, bodies })
    }
}

fn answer(stream: TcpStream, bodies: &Sender<String>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = Vec::new();
    reader.by_ref().take(std::cmp::min(length, BODY_BYTES_MAX)).read_to_end(&mut body)?;
    let said =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nok";
    reader.get_mut().write_all(said.as_bytes())?;
    // Nobody waits any more.
    let _ = bodies.send(String::from_utf8_lossy(&body).into_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_handed_on() {
        let listener = Listener::at(IpAddr::from([127, 0, 0, 1])).expect("listens");
        let mut stream = TcpStream::connect(listener.address).expect("connects");
        stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").expect("writes");
        assert_eq!(listener.bodies.recv_timeout(SILENCE).expect("handed on"), "hello");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("answers");
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    }
}
