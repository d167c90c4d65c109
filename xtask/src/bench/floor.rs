//! The bare loop of `pread`, in a process of its own that is built as the exporter is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use crate::error::{Context as _, Error, Result};
use crate::process;

/// The loop over some files.
#[derive(Debug)]
pub(crate) struct Floor {
    child: Child,
    answers: BufReader<ChildStdout>,
    pub(crate) files: usize,
}

impl Floor {
    /// Opens the files and reads them once.
    pub(crate) fn open(program: &Path, files: &[PathBuf]) -> Result<Self> {
        let failed = || format!("failed to run {}", program.display());
        let mut command = process::command(program, &[]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context(failed)?;
        let mut list: String = files.iter().map(|path| format!("{}\n", path.display())).collect();
        list.push('\n');
        let stdout = child.stdout.take().ok_or_else(|| Error::failed(failed()))?;
        let stdin = child.stdin.as_mut().ok_or_else(|| Error::failed(failed()))?;
        stdin.write_all(list.as_bytes()).context(failed)?;
        let mut floor = Self { child, answers: BufReader::new(stdout), files: 0 };
        floor.pass()?;
        Ok(floor)
    }

    /// One pass; its seconds of CPU.
    pub(crate) fn pass(&mut self) -> Result<f64> {
        let failed = || "failed to drive the loop of pread".to_owned();
        let stdin = self.child.stdin.as_mut().ok_or_else(|| Error::failed(failed()))?;
        stdin.write_all(b"\n").context(failed)?;
        let mut line = String::new();
        self.answers.read_line(&mut line).context(failed)?;
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let &[nanos, files, _] = numbers.as_slice() else { return Err(Error::failed(failed())) };
        self.files = files as usize;
        Ok(nanos / 1e9)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It ends by itself when its input does; killed, it is waited for less long.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
