//! The sockets of a network namespace by state, from `net/tcp`, `net/tcp6`, `net/udp` and `net/udp6`.
//!
//! The kernel has one table of connections for all namespaces, and looks through it whole for each of them; then it writes 150
//! bytes for each that it finds. So a file of which `net/sockstat` says that it is empty is not read; what is read is bounded, and
//! takes from the same allowance of time as the look into processes: past it the numbers are absent as [`Absence::TooMany`].

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    time::Instant,
};

use cgroup_reader::{
    Host, Process,
    parse::{self, Malformed},
};

use super::{
    processes::Allowance,
    reason::{is_gone, reason},
};
use crate::{
    Absence, Reading, Sample,
    catalogue::{RowId, TCP_HELD, TCP_STATES, UDP_HELD, UDP_NUMBERS},
};

/// Of one file: some 50,000 sockets.
const FILE_BYTES_MAX: usize = 8 << 20;
/// Read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Fills the rows of sockets by state; `absence` says why the network is not this container's to show. `out` has what
/// `net/sockstat` and `net/sockstat6` count.
pub(super) fn fill(
    host: &Host,
    process: Option<Process>,
    absence: Option<Absence>,
    allowance: &Allowance,
    out: &mut Sample,
) {
    let process = match (absence, process) {
        (Some(reason), _) => Err(reason),
        (None, process) => process.ok_or(Absence::NotReachable),
    };
    let began = Instant::now();
    let find = |file, held: &[RowId], out: &Sample| {
        let process = process?;
        if are_none(held, out) { Ok(Sockets::default()) } else { read(host, process, file, allowance) }
    };
    for (place, (tcp, udp)) in [("tcp", "udp"), ("tcp6", "udp6")].into_iter().enumerate() {
        let found = find(tcp, &TCP_HELD[place], out);
        set(out, TCP_STATES[place].into_iter().map(|row| [row]), found.map(|found| found.states));
        let found = find(udp, &UDP_HELD[place], out);
        set(out, UDP_NUMBERS[place].into_iter(), found.map(|found| found.udp));
    }
    allowance.spend(began.elapsed());
}

/// Whether the kernel's own counts of these sockets are known, and all 0.
fn are_none(held: &[RowId], out: &Sample) -> bool {
    held.iter().all(|row| out.get(*row) == Reading::int(0))
}

/// Sets rows to numbers, or all of them to the reason for none.
fn set<const N: usize, const ROWS: usize>(
    out: &mut Sample,
    rows: impl Iterator<Item = [RowId; ROWS]>,
    numbers: Result<[u64; N], Absence>,
) {
    for (place, rows) in rows.enumerate() {
        let reading = numbers.map_or_else(Reading::Absent, |numbers| Reading::int(numbers[place]));
        rows.into_iter().for_each(|row| out.set(row, reading));
    }
}

/// What the lines of a file add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sockets {
    /// By state, which the kernel counts from 1.
    states: [u64; 11],
    /// Sockets, drops, bytes received, bytes to be sent.
    udp: [u64; 4],
}

impl Sockets {
    fn add(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let socket = parse::socket(line)?;
        // A connection that is half open has a state of its own in the kernel's table (12), and the file says 3.
        if let Some(count) =
            usize::from(socket.state).checked_sub(1).and_then(|place| self.states.get_mut(place))
        {
            *count += 1;
        }
        let numbers = [1, socket.drops.unwrap_or(0), socket.receive_queue, socket.transmit_queue];
        for (sum, number) in self.udp.iter_mut().zip(numbers) {
            *sum = sum.saturating_add(number);
        }
        Ok(())
    }
}

fn read(host: &Host, process: Process, file: &str, allowance: &Allowance) -> Result<Sockets, Absence> {
    let until = allowance.until(Instant::now()).ok_or(Absence::TooMany)?;
    let path = host.roots().proc.join(process.pid.to_string()).join("net").join(file);
    let found = sum(&path, until);
    // Read first: a process that still has the pid afterwards had it before.
    if !host.is_running(process) {
        return Err(Absence::NotRunning);
    }
    match found {
        // Without IPv6 there are no such files.
        Err(error) if is_gone(&error) => Err(Absence::NoFile),
        Err(error) => Err(reason(&error)),
        Ok(found) => Ok(found),
    }
}

fn sum(path: &Path, until: Instant) -> io::Result<Sockets> {
    let mut file = File::open(path)?;
    let mut sockets = Sockets::default();
    let (mut room, mut length, mut total) = (vec![0; CHUNK_BYTES], 0, 0);
    let mut is_head = true;
    loop {
        let read = file.read(&mut room[length..])?;
        total += read;
        if total > FILE_BYTES_MAX || Instant::now() >= until {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        length += read;
        let whole = match room[..length].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            // The end, or a line as long as the room, which none is.
            None if read == 0 || length == room.len() => length,
            None => continue,
        };
        for line in parse::lines(&room[..whole]) {
            // The first line names the columns.
            if !std::mem::take(&mut is_head) {
                sockets.add(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            }
        }
        room.copy_within(whole..length, 0);
        length -= whole;
        if read == 0 {
            return Ok(sockets);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fmt::Write as _,
        fs,
        net::{TcpListener, UdpSocket},
        time::Duration,
    };

    use cgroup_reader::Roots;

    use super::*;
    use crate::catalogue::ids::{TCP_IN_USE, TCP_TIME_WAIT, TCP4_LISTEN, UDP_IN_USE, UDP4_SOCKETS};

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n";

    fn check(text: &str) -> io::Result<Sockets> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("a file");
        sum(file.path(), Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn lines_add_up_over_chunks() {
        let mut text = HEAD.to_owned();
        for at in 0..5000 {
            let state = if at % 5 == 0 { "0A" } else { "01" };
            let _ = writeln!(
                text,
                "{at:4}: 0100007F:98DB 00000000:0000 {state} 00000002:00000003 00:0 0 0 0 1 2 0 {at}"
            );
        }
        assert!(text.len() > 2 * CHUNK_BYTES);
        let found = check(&text).expect("sums");
        assert_eq!((found.states[0], found.states[9]), (4000, 1000));
        assert_eq!(found.udp, [5000, 4999 * 2500, 15_000, 10_000]);
        assert_eq!(check(text.trim_end()).expect("sums"), found, "the last line needs no newline");
        assert_eq!(check(HEAD).expect("sums"), Sockets::default());
        assert_eq!(check("").expect("sums"), Sockets::default());
    }

    #[test]
    fn too_much_and_nonsense_are_no_numbers() {
        let line = "1: 0100007F:98DB 00000000:0000 01 00000000:00000000 00:0 0 0 0 1 2 0 0\n";
        let long = format!("{HEAD}{}", line.repeat(FILE_BYTES_MAX / line.len() + 1));
        assert_eq!(check(&long).expect_err("too long").kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(
            check(&format!("{HEAD}nonsense\n")).expect_err("nonsense").kind(),
            io::ErrorKind::InvalidData
        );
        let endless = format!("{HEAD}{}", "x".repeat(CHUNK_BYTES * 2));
        assert_eq!(check(&endless).expect_err("one line").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_file_is_read_unless_the_kernel_counts_no_socket_for_it() {
        let _held = (
            TcpListener::bind("127.0.0.1:0").expect("binds"),
            UdpSocket::bind("127.0.0.1:0").expect("binds"),
        );
        let host = Host::detect(&Roots::default()).expect("a host");
        let own = host.process(std::process::id()).expect("this process");
        let check = |counted: &[(RowId, Reading)]| {
            let mut out = Sample::absent(Absence::NotCollected);
            counted.iter().for_each(|(row, count)| out.set(*row, *count));
            fill(&host, Some(own), None, &Allowance::default(), &mut out);
            [TCP4_LISTEN, UDP4_SOCKETS].map(|row| out.get(row) == Reading::int(0))
        };
        let none = Reading::int(0);
        assert_eq!(check(&[(TCP_IN_USE, none), (TCP_TIME_WAIT, none), (UDP_IN_USE, none)]), [true, true]);
        assert_eq!(check(&[(TCP_IN_USE, none), (TCP_TIME_WAIT, Reading::int(1))]), [false, false]);
        assert_eq!(
            check(&[(TCP_IN_USE, Reading::int(1)), (TCP_TIME_WAIT, none), (UDP_IN_USE, none)]),
            [false, true]
        );
        assert_eq!(check(&[]), [false, false], "what is not known is not 0");
    }
}
