//! A running exporter, ours or another, and scrapes of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::http::{Page, Scraper};
use super::proc::{self, Threads};
use crate::error::{Context as _, Error, Result};
use crate::process;

/// How long an exporter may take until it answers.
const READY: Duration = Duration::from_secs(30);
/// After an answer, until all threads have gone to sleep.
const SETTLE: Duration = Duration::from_millis(5);

/// A process that serves metrics; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Exporter {
    child: Child,
    pub(crate) address: SocketAddr,
    path: String,
}

/// A loopback address that nobody listens at.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context(|| "failed to find a free port".to_owned())?;
    listener.local_addr().context(|| "failed to find a free port".to_owned())
}

impl Exporter {
    /// Ours, on that source of containers: arguments and environment.
    pub(crate) fn ours(binary: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let address = free_address()?;
        let mut command = process::command(binary, arguments);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CONTAINER_EXPORTER_")
                || text.starts_with("DOCKER_")
                || text.starts_with("OTEL_")
            {
                command.env_remove(&name);
            }
        }
        command
            .args(["--listen", &address.to_string(), "--log-level", "warn"])
            .envs(environment.iter().copied());
        Self::start(command, address, "/metrics")
    }

    /// Starts a program that serves at that address; it need not answer yet.
    pub(crate) fn start(mut command: Command, address: SocketAddr, path: &str) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        process::check_interrupted()?;
        let failed = format!("failed to run `{}`", process::shown(&command));
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let child = command.spawn().context(|| failed)?;
        Ok(Self { child, address, path: path.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a page satisfies `done`; the connection that got it.
    pub(crate) fn until(&mut self, mut done: impl FnMut(&Page) -> bool) -> Result<Scraper> {
        let end = Instant::now() + READY;
        loop {
            process::check_interrupted()?;
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::failed(format!("the exporter ended with {status} before it answered")));
            }
            if let Ok(mut scraper) = Scraper::connect(self.address)
                && scraper.get(&self.path, false).is_ok_and(|page| page.status == 200 && done(&page))
            {
                return Ok(scraper);
            }
            if Instant::now() > end {
                let seconds = READY.as_secs();
                return Err(Error::failed(format!(
                    "no complete page came from {} within {seconds} s",
                    self.address
                )));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// One scrape: the page, and the seconds of CPU that it cost.
    pub(crate) fn scrape(&self, scraper: &mut Scraper, gzip: bool) -> Result<(Page, f64)> {
        let mut body = Vec::new();
        let cost = self.scrape_into(scraper, &self.path, gzip, &mut body)?;
        Ok((Page { status: 200, body }, cost))
    }

    /// The seconds of CPU that one scrape costs. The page is not kept: a hundred megabytes in the hands of who scrapes would
    /// take the processor's caches from who is measured.
    pub(crate) fn cost(&self, scraper: &mut Scraper, gzip: bool) -> Result<f64> {
        self.cost_at(scraper, &self.path, gzip)
    }

    /// The same of another path.
    pub(crate) fn cost_at(&self, scraper: &mut Scraper, path: &str, gzip: bool) -> Result<f64> {
        self.scrape_into(scraper, path, gzip, &mut io::sink())
    }

    fn scrape_into(
        &self,
        scraper: &mut Scraper,
        path: &str,
        gzip: bool,
        body: &mut impl io::Write,
    ) -> Result<f64> {
        process::check_interrupted()?;
        let before = Threads::of(self.pid());
        let status = scraper.get_into(path, gzip, body)?;
        thread::sleep(SETTLE);
        let cost = Threads::of(self.pid()).since(&before);
        if status == 200 {
            Ok(cost)
        } else {
            Err(Error::failed(format!("a scrape was answered with {status}")))
        }
    }

    /// Seconds of CPU since it was started.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        proc::cpu_seconds(self.pid())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // One that has ended already is as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
