//! What a network namespace counts, found a second time by `str::split`.

use cgroup_reader::parse::{self, Malformed};

use crate::kernel::{lines, number, words};

/// A word that is looked for by its name: none, or its number.
type Found = Result<Option<u64>, Malformed>;

fn hex(word: &str) -> Result<u64, Malformed> {
    let is_hex = !word.is_empty() && word.len() <= 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { u64::from_str_radix(word, 16).map_err(|_| Malformed) } else { Err(Malformed) }
}

/// The word of the second line that stands where the name stands in the first.
fn below(
    names: Option<&str>,
    numbers: Option<&str>,
    name: &str,
    read: fn(&str) -> Result<u64, Malformed>,
) -> Found {
    let place = names.and_then(|names| words(names).position(|word| word == name));
    let Some(place) = place else { return Ok(None) };
    numbers.and_then(|numbers| words(numbers).nth(place)).map_or(Err(Malformed), read).map(Some)
}

/// `net/snmp`, `net/netstat`, `net/sockstat` and `net/stat/nf_conntrack`: every name that stands anywhere is looked for.
pub(crate) fn counts(data: &[u8]) {
    for name in ["RetransSegs", "inuse"] {
        let _ = (parse::protocol_pair(data, "Tcp", name), parse::named_pair(data, "TCP", name));
        let _ = parse::hex_column(data, name);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    for protocol in ["Tcp", "TcpExt", "TCP", "sockets"] {
        let own: Vec<&str> =
            lines(text).filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(':')).collect();
        for name in words(text).take(64) {
            let expected = below(own.first().copied(), own.get(1).copied(), name, number);
            assert_eq!(parse::protocol_pair(data, protocol, name), expected, "{protocol} {name} in {text:?}");
            let pairs: Vec<&str> = own.first().map(|line| words(line).collect()).unwrap_or_default();
            let pair = pairs.chunks(2).find(|pair| pair[0] == name);
            let expected: Found =
                pair.map(|pair| pair.get(1).map_or(Err(Malformed), |word| number(word))).transpose();
            assert_eq!(parse::named_pair(data, protocol, name), expected, "{protocol} {name} in {text:?}");
        }
    }
    let all: Vec<&str> = lines(text).collect();
    for name in words(text).take(64) {
        let found = parse::hex_column(data, name);
        assert_eq!(found, below(all.first().copied(), all.get(1).copied(), name, hex), "{name} in {text:?}");
    }
}

/// `net/tcp` and `net/udp`, line by line.
pub(crate) fn sockets(data: &[u8]) {
    for line in parse::lines(data) {
        let found = parse::socket(line);
        let Ok(text) = std::str::from_utf8(line) else { continue };
        let words: Vec<&str> = words(text).collect();
        let state = words.get(3).filter(|word| word.len() == 2).map_or(Err(Malformed), |word| hex(word));
        let queues = words.get(4).and_then(|word| word.split_once(':'));
        let queues = queues.map_or(Err(Malformed), |(sent, received)| Ok((hex(sent)?, hex(received)?)));
        match (state, queues) {
            (Ok(state), Ok((transmit_queue, receive_queue))) => {
                let socket = found.unwrap_or_else(|error| panic!("{error}: {text:?}"));
                assert_eq!(u64::from(socket.state), state, "{text:?}");
                assert_eq!(
                    (socket.transmit_queue, socket.receive_queue),
                    (transmit_queue, receive_queue),
                    "{text:?}"
                );
                assert_eq!(socket.drops, words.get(12).and_then(|word| number(word).ok()), "{text:?}");
            }
            _ => assert_eq!(found, Err(Malformed), "{text:?}"),
        }
    }
}
