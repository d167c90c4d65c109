//! Small files of the kernel's, read whole.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// More than most of them hold; the others take another read.
const FIRST_BYTES: usize = 4096;

/// Reads a file of `/proc` or a cgroup whole.
///
/// These files say that they are empty, so `std::fs::read` asks for their size and then begins with 32 bytes: nine system calls
/// for a `/proc/<pid>/stat`, which are four here.
///
/// # Errors
/// As the kernel has them.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; FIRST_BYTES];
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if length == bytes.len() {
            bytes.resize(length * 2, 0);
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// [`read_file`] of a file that is text, without the white space at its end; `None` where it cannot be read or is no text.
#[must_use]
pub fn read_text(path: &Path) -> Option<String> {
    let mut text = String::from_utf8(read_file(path).ok()?).ok()?;
    text.truncate(text.trim_end().len());
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_of_any_length_is_read_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        for length in [0, 1, FIRST_BYTES - 1, FIRST_BYTES, FIRST_BYTES + 1, 5 * FIRST_BYTES] {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
            fs::write(&path, &bytes).expect("it is written");
            assert_eq!(read_file(&path).expect("it is read"), bytes, "{length}");
        }
        assert_eq!(
            read_file(directory.path()).map_err(|error| error.kind()),
            Err(io::ErrorKind::IsADirectory)
        );
        assert_eq!(
            read_file(&directory.path().join("none")).map_err(|error| error.kind()),
            Err(io::ErrorKind::NotFound)
        );
    }

    /// What the kernel makes while it is read: no size, and in pieces.
    #[test]
    fn what_the_kernel_makes_while_it_is_read() {
        let read = |path: &str| read_file(Path::new(path)).expect("it is read");
        assert_eq!(read("/proc/self/mountinfo"), fs::read("/proc/self/mountinfo").expect("it is read"));
        assert!(read("/proc/kallsyms").len() > 16 * FIRST_BYTES);
        assert_eq!(read_text(Path::new("/proc/sys/kernel/ostype")).as_deref(), Some("Linux"));
    }
}
