//! Small files of the kernel's, read whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
    read_whole(&File::open(path)?)
}

fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; FIRST_BYTES];
    let mut length = 0;
    loop {
        match file.read_at(&mut bytes[length..], length as u64) {
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

/// A small file of the kernel's that is read again and again, on a descriptor that is kept.
///
/// It does not count in an [`FdBudget`](crate::FdBudget): it is for the few files that are not a container's.
#[derive(Debug)]
pub struct KeptFile {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl KeptFile {
    /// The file at this path; nothing is opened yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: Mutex::default() }
    }

    /// What it holds now.
    ///
    /// # Errors
    /// As the kernel has them; the next read opens it anew.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut kept = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match kept.take() {
            Some(file) => file,
            None => File::open(&self.path)?,
        };
        let bytes = read_whole(&file)?;
        *kept = Some(file);
        Ok(bytes)
    }
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

    #[test]
    fn a_kept_file_is_as_it_is_now() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        let kept = KeptFile::new(path.clone());
        assert_eq!(kept.read().map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
        for text in ["a long text", "short", ""] {
            fs::write(&path, text).expect("it is written");
            assert_eq!(kept.read().expect("it is read"), text.as_bytes());
        }
        let uptime = KeptFile::new("/proc/uptime".into());
        let first = uptime.read().expect("it is read");
        while uptime.read().expect("it is read") == first {}
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
