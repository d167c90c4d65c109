//! What a network namespace counts: `net/snmp`, `net/netstat`, `net/sockstat`, `net/stat/nf_conntrack`, and the sockets of
//! `net/tcp` and `net/udp`.

use super::{Malformed, lines, number, words};

/// What follows a line's first word, which is the protocol and a colon.
fn of<'a>(line: &'a [u8], protocol: &str) -> Option<&'a [u8]> {
    line.strip_prefix(protocol.as_bytes())?.strip_prefix(b":")
}

/// A number of `net/snmp` or `net/netstat`: each protocol has a line of names and then one of numbers (`Tcp: InSegs OutSegs`,
/// `Tcp: 12 5`). `None` where the kernel has no such name.
///
/// # Errors
/// [`Malformed`] if there is a name and no number for it.
pub fn protocol_pair(bytes: &[u8], protocol: &str, name: &str) -> Result<Option<u64>, Malformed> {
    let mut lines = lines(bytes).filter_map(|line| of(line, protocol));
    let Some(names) = lines.next() else { return Ok(None) };
    let Some(place) = words(names).position(|word| word == name.as_bytes()) else { return Ok(None) };
    let numbers = lines.next().ok_or(Malformed)?;
    words(numbers).nth(place).ok_or(Malformed).and_then(number).map(Some)
}

/// A number of `net/sockstat`: a protocol's line holds pairs of a name and a number (`TCP: inuse 2 orphan 0`). `None` where the
/// kernel has no such name.
///
/// # Errors
/// [`Malformed`] if there is a name and no number behind it.
pub fn named_pair(bytes: &[u8], protocol: &str, name: &str) -> Result<Option<u64>, Malformed> {
    let Some(pairs) = lines(bytes).find_map(|line| of(line, protocol)) else { return Ok(None) };
    let mut words = words(pairs);
    while let Some(word) = words.next() {
        let value = words.next();
        if word == name.as_bytes() {
            return value.ok_or(Malformed).and_then(number).map(Some);
        }
    }
    Ok(None)
}

/// A number of a file with a line of names and, for each CPU, a line of hexadecimal numbers, as `net/stat/nf_conntrack`; that of
/// the first CPU. `None` where the kernel has no such name.
///
/// # Errors
/// [`Malformed`] if there is a name and no number for it.
pub fn hex_column(bytes: &[u8], name: &str) -> Result<Option<u64>, Malformed> {
    let mut lines = lines(bytes);
    let names = lines.next().ok_or(Malformed)?;
    let Some(place) = words(names).position(|word| word == name.as_bytes()) else { return Ok(None) };
    let numbers = lines.next().ok_or(Malformed)?;
    words(numbers).nth(place).and_then(hex).ok_or(Malformed).map(Some)
}

/// One to sixteen hexadecimal digits.
fn hex(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > 16 {
        return None;
    }
    word.iter().try_fold(0_u64, |value, byte| Some(value << 4 | u64::from(char::from(*byte).to_digit(16)?)))
}

/// One line of `net/tcp`, `net/tcp6`, `net/udp` or `net/udp6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// The state's number in the kernel: 1 is established, 10 listens (`include/net/tcp_states.h`).
    pub state: u8,
    /// Bytes that were not sent, or not confirmed, yet.
    pub transmit_queue: u64,
    /// Bytes that the process has not read; of a TCP socket that listens, connections not accepted.
    pub receive_queue: u64,
    /// The thirteenth column: what a UDP socket has dropped. TCP has another number there.
    pub drops: Option<u64>,
}

/// Reads one line; the first of a file names the columns and is none.
///
/// # Errors
/// [`Malformed`] if it has no state or no queues.
pub fn socket(line: &[u8]) -> Result<Socket, Malformed> {
    let mut words = words(line).skip(3);
    let state = words.next().filter(|word| word.len() == 2).and_then(hex).ok_or(Malformed)?;
    let queues = words.next().ok_or(Malformed)?;
    let colon = queues.iter().position(|byte| *byte == b':').ok_or(Malformed)?;
    Ok(Socket {
        state: u8::try_from(state).map_err(|_| Malformed)?,
        transmit_queue: hex(&queues[..colon]).ok_or(Malformed)?,
        receive_queue: hex(&queues[colon + 1..]).ok_or(Malformed)?,
        drops: words.nth(7).and_then(|word| number(word).ok()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SNMP: &[u8] = b"Ip: Forwarding\nIp: 1\nTcp: RtoMin MaxConn RetransSegs\nTcp: 200 -1 7\nUdp: InErrors\nUdpLite: InErrors\n";

    #[test]
    fn pairs_of_lines() {
        assert_eq!(protocol_pair(SNMP, "Tcp", "RetransSegs"), Ok(Some(7)));
        assert_eq!(protocol_pair(SNMP, "Tcp", "MaxConn"), Err(Malformed));
        assert_eq!(protocol_pair(SNMP, "Tcp", "InSegs"), Ok(None));
        assert_eq!(protocol_pair(SNMP, "TcpExt", "InSegs"), Ok(None));
        assert_eq!(protocol_pair(SNMP, "Udp", "InErrors"), Err(Malformed));
        assert_eq!(protocol_pair(b"Tcp: A B\nTcp: 1\n", "Tcp", "B"), Err(Malformed));
        assert_eq!(protocol_pair(b"", "Tcp", "B"), Ok(None));
    }

    #[test]
    fn pairs_of_words() {
        let text = b"sockets: used 138\nTCP: inuse 2 orphan 0 tw 5 alloc\n";
        assert_eq!(named_pair(text, "sockets", "used"), Ok(Some(138)));
        assert_eq!(named_pair(text, "TCP", "tw"), Ok(Some(5)));
        assert_eq!(named_pair(text, "TCP", "alloc"), Err(Malformed));
        assert_eq!(named_pair(text, "TCP", "2"), Ok(None), "a value is no name");
        assert_eq!(named_pair(text, "UDP", "inuse"), Ok(None));
    }

    #[test]
    fn hexadecimal_columns() {
        let text = b"entries  clashres found\n0000000f  00000001 00000002\n0000000f  00000000 00000000\n";
        assert_eq!(hex_column(text, "entries"), Ok(Some(15)));
        assert_eq!(hex_column(text, "found"), Ok(Some(2)));
        assert_eq!(hex_column(text, "drop"), Ok(None));
        assert_eq!(hex_column(b"entries\n", "entries"), Err(Malformed));
        assert_eq!(hex_column(b"entries\n0x1\n", "entries"), Err(Malformed));
        assert_eq!(hex_column(b"entries\n11112222333344445\n", "entries"), Err(Malformed));
    }

    #[test]
    fn sockets() {
        let tcp = b"   1: 0100007F:98DB 00000000:0000 0A 00000001:00000002 00:00000000 00000000     0        0 19394946 1 00000000 100 0 0 10 0";
        let expect = Socket { state: 10, transmit_queue: 1, receive_queue: 2, drops: Some(100) };
        assert_eq!(socket(tcp), Ok(expect));
        let udp = b"  77: 00000000:0035 00000000:0000 07 00000000:00000F00 00:00000000 00000000 0 0 1 2 0000000098725d90 9";
        assert_eq!(
            socket(udp),
            Ok(Socket { state: 7, transmit_queue: 0, receive_queue: 3840, drops: Some(9) })
        );
        let head = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!(socket(head), Err(Malformed));
        for bad in ["", "1: a b 0A", "1: a b 0A 1", "1: a b 0A 1:", "1: a b A 1:1", "1: a b 0A x:1"] {
            assert_eq!(socket(bad.as_bytes()), Err(Malformed), "{bad:?}");
        }
        assert_eq!(socket(b"1: a b 01 0:0").map(|socket| socket.drops), Ok(None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "(Tcp:|TCP:|A| |\n|entries|[0-9a-fA-F]{0,18}|:){0,20}",
        ) {
            for input in [&bytes[..], text.as_bytes()] {
                let _ = (protocol_pair(input, "Tcp", "A"), named_pair(input, "TCP", "A"));
                let _ = (hex_column(input, "entries"), socket(input));
            }
        }
    }
}
