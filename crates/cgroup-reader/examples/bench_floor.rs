//! The floor of what reading costs: a bare loop of `pread` on kept descriptors, driven by `cargo xtask bench`.
//!
//! Reads paths from stdin, one a line, up to an empty line, and opens them. Each further line is one pass, answered by a
//! line: nanoseconds of CPU, files and bytes read.
#![expect(clippy::print_stdout, reason = "it is what the example is for")]

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::BufRead as _;
use std::os::unix::fs::FileExt as _;

use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn Error>> {
    cgroup_reader::raise_fd_limit()?;
    let mut lines = std::io::stdin().lock().lines();
    let mut files = Vec::new();
    for path in lines.by_ref() {
        let path = path?;
        if path.is_empty() {
            break;
        }
        // What vanished since it was listed is not read by anybody.
        files.extend(File::open(path));
    }
    let mut buffer = vec![0; 16 << 10];
    for line in lines {
        line?;
        let (mut read, mut bytes) = (0, 0);
        let start = cpu_nanos();
        for file in &files {
            if let Ok(length) = black_box(file.read_at(&mut buffer, 0)) {
                read += 1;
                bytes += length;
            }
        }
        println!("{} {read} {bytes}", cpu_nanos() - start);
    }
    Ok(())
}

/// CPU time of this thread, so that a busy machine disturbs little.
fn cpu_nanos() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
