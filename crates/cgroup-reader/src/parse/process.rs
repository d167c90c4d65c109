//! `/proc/<pid>/stat`, `schedstat` and `limits`.

use super::{Malformed, lines, number, words};
use crate::slot::{Absence, Slot};

/// When the process started, in clock ticks after boot: field 22 (proc(5)). Together with the pid it names a process for good.
///
/// # Errors
/// [`Malformed`] if the line ends before it.
pub fn start_ticks(stat: &[u8]) -> Result<u64, Malformed> {
    words(after_name(stat)?).nth(19).ok_or(Malformed).and_then(number)
}

/// The command's name may hold blanks and parentheses, so its last one ends it.
fn after_name(stat: &[u8]) -> Result<&[u8], Malformed> {
    let end = stat.iter().rposition(|&byte| byte == b')').ok_or(Malformed)?;
    Ok(&stat[end + 1..])
}

/// What a process or thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// It runs, or waits for a CPU.
    Running,
    /// It waits for something, and a signal would wake it; or it is idle or parked, as threads of the kernel are.
    Sleeping,
    /// It waits for something, mostly a disk, and no signal wakes it.
    Uninterruptible,
    /// It was stopped by a signal or a debugger.
    Stopped,
    /// It has ended, and its parent has not asked how.
    Zombie,
    /// It is on its way out.
    Dead,
}

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// What its first thread is doing.
    pub state: TaskState,
    /// How many threads it has.
    pub threads: u64,
    /// When it started: as [`start_ticks`].
    pub start_ticks: u64,
}

/// State, number of threads and start of a process: fields 3, 20 and 22 of `/proc/<pid>/stat` (proc(5)).
///
/// # Errors
/// [`Malformed`] if the line ends before them, or no kernel has such a state.
pub fn task(stat: &[u8]) -> Result<Task, Malformed> {
    let mut words = words(after_name(stat)?);
    let state = match words.next().ok_or(Malformed)? {
        b"R" => TaskState::Running,
        b"S" | b"I" | b"P" => TaskState::Sleeping,
        // Waking and "killable only" are of kernels before 4.14.
        b"D" | b"W" | b"K" => TaskState::Uninterruptible,
        b"T" | b"t" => TaskState::Stopped,
        b"Z" => TaskState::Zombie,
        b"X" | b"x" => TaskState::Dead,
        _ => return Err(Malformed),
    };
    let mut number_after = |skipped| words.nth(skipped).ok_or(Malformed).and_then(number);
    Ok(Task { state, threads: number_after(16)?, start_ticks: number_after(1)? })
}

/// What `/proc/<pid>/schedstat` says of a thread: nanoseconds on a CPU, nanoseconds that it waited for one, times that it got one.
///
/// # Errors
/// [`Malformed`] if there are not three numbers.
pub fn schedstat(bytes: &[u8]) -> Result<[u64; 3], Malformed> {
    let mut words = words(bytes);
    let mut next = || words.next().ok_or(Malformed).and_then(number);
    Ok([next()?, next()?, next()?])
}

/// Where the kernel's table has its second column.
const LIMIT_NAME_BYTES: usize = 25;

/// The limits in `/proc/<pid>/limits`, by name (`Max open files`), with the soft one: [`Slot::Max`] for `unlimited`, in the
/// unit that the kernel counts in.
pub fn limits(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Slot)> {
    // The first line names the columns.
    lines(bytes).skip(1).filter_map(|line| {
        let (name, values) = line.split_at_checked(LIMIT_NAME_BYTES)?;
        let soft = match words(values).next()? {
            b"unlimited" => Slot::Max,
            word => number(word).map_or(Slot::Absent(Absence::Malformed), Slot::Value),
        };
        Some((name.trim_ascii_end(), soft))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses() {
        let stat = b"42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 100 200 18446744073709551615\n";
        assert_eq!(start_ticks(stat), Ok(987_654));
        assert_eq!(start_ticks(&stat[..40]), Err(Malformed));
        assert_eq!(start_ticks(b""), Err(Malformed));
    }

    #[test]
    fn states_and_threads() {
        let of = |text: &str| task(text.as_bytes());
        let line = |state: &str, threads: &str| {
            format!("42 (a) b ({state} 1 42 42 0 -1 0 1 2 3 4 5 6 7 8 20 0 {threads}")
        };
        let expect = |state| Ok(Task { state, threads: 7, start_ticks: 987 });
        for (letter, state) in [
            (") R", TaskState::Running),
            (") S", TaskState::Sleeping),
            (") I", TaskState::Sleeping),
            (") D", TaskState::Uninterruptible),
            (") t", TaskState::Stopped),
            (") Z", TaskState::Zombie),
            (") X", TaskState::Dead),
        ] {
            assert_eq!(of(&line(letter, "7 0 987")), expect(state), "{letter}");
        }
        for bad in [
            line(") Q", "7 0 987"),
            line(") RS", "7 0 987"),
            line(") R", "x 0 987"),
            line(") R", "7 0 x"),
            line(") R", "7 0"),
            line(") R", ""),
            line("R", "7 0 987"),
            String::new(),
        ] {
            assert_eq!(of(&bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn times_of_a_thread() {
        assert_eq!(schedstat(b"1200 63904 7\n"), Ok([1200, 63_904, 7]));
        for bad in [&b""[..], b"1 2\n", b"1 x 3\n"] {
            assert_eq!(schedstat(bad), Err(Malformed));
        }
    }

    #[test]
    fn soft_limits() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max cpu time              unlimited            unlimited            seconds   \n\
            Max open files            1024                 524288               files     \n\
            Max nice priority         -1                   0                    \nMax\n";
        let found: Vec<_> = limits(text.as_bytes()).collect();
        assert_eq!(
            found,
            [
                (&b"Max cpu time"[..], Slot::Max),
                (b"Max open files", Slot::Value(1024)),
                (b"Max nice priority", Slot::Absent(Absence::Malformed)),
            ]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (start_ticks(&bytes), task(&bytes), schedstat(&bytes), limits(&bytes).count());
        }
    }
}
