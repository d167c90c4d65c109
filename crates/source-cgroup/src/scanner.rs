//! One look at the tree after another: who is there, and which run of it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use cgroup_reader::{Found, Host, HostError, Namespace, Process, Roots, ScanLimits, scan_within};
use collector_core::{Container, ContainerId, Engine, Hearing, State};

use crate::clock::Clock;
use crate::follow::{ENGINES_FIRST, Eyes, Look};
use crate::processes::{Occupants, Place, occupants};

/// A container this young is not told yet: runtimes start it through helpers that are in its cgroup for some ten
/// milliseconds, and one of them would be taken for its first process.
pub(crate) const SETTLE: Duration = Duration::from_millis(250);

/// One run of one container, or of one unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) inode: u64,
    /// Its oldest process when it was first seen, as far as it can be seen.
    pub(crate) first: Option<Process>,
    pub(crate) started_at: Option<SystemTime>,
}

/// What is remembered from one look to the next.
#[derive(Debug)]
pub(crate) struct Scanner {
    roots: Roots,
    limits: ScanLimits,
    host: Option<Host>,
    runs: BTreeMap<String, Run>,
    /// When the last look was, after boot.
    looked_at: Option<Duration>,
}

impl Scanner {
    pub(crate) fn new(roots: Roots, limits: ScanLimits) -> Scanner {
        Scanner { roots, limits, host: None, runs: BTreeMap::new(), looked_at: None }
    }

    /// The run that a container is in; `None` if it has no processes, or has gone.
    fn run(&self, host: &Host, clock: &Clock, found: &Found) -> Option<Run> {
        let place = Place::of(host, &found.path)?;
        let before = self.runs.get(&found.id).filter(|run| run.inode == place.inode);
        if let Some(run) = before
            && run.first.is_some_and(|first| host.is_running(first))
        {
            return Some(*run);
        }
        let first = match occupants(host, &found.path, &place) {
            Occupants::Nobody => return None,
            Occupants::Unseen => None,
            Occupants::Seen(process) => Some(process),
        };
        // The same directory without its first process: the same run if somebody was there at the last look already.
        let is_younger =
            |process| self.looked_at.is_some_and(|looked_at| clock.after_boot(process) > looked_at);
        match before {
            Some(run) if !first.is_some_and(is_younger) => Some(Run { first, ..*run }),
            _ => {
                let started_at = first.and_then(|process| clock.started_at(process));
                Some(Run { inode: place.inode, first, started_at })
            }
        }
    }
}

impl Scanner {
    /// Whether the last look told of that run.
    fn knows(&self, id: &str, run: &Run) -> bool {
        let is_it = |before: &Run| before.inode == run.inode && before.started_at == run.started_at;
        self.runs.get(id).is_some_and(is_it)
    }
}

impl Eyes for Scanner {
    fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    fn look(&mut self, hearing: Hearing) -> Result<Look, HostError> {
        let mut host = match self.host.take() {
            Some(host) => host,
            None => Host::detect(&self.roots)?,
        };
        let mut scan = scan_within(&host, self.limits);
        if scan.found.is_empty() {
            // Perhaps the tree is mounted elsewhere by now, or not at all.
            host = Host::detect(&self.roots)?;
            scan = scan_within(&host, self.limits);
        }
        let clock = Clock::read(&host);
        let foreign = host.pid_namespace() == Namespace::Private;
        let mut look = Look { containers: Vec::new(), settling: false, truncated: scan.truncated };
        let told_from = if hearing == Hearing::Alone { SETTLE } else { ENGINES_FIRST };
        let mut runs = BTreeMap::new();
        for found in scan.found {
            // An id that is there twice is shown where it has processes, outside first.
            if runs.contains_key(&found.id) {
                continue;
            }
            let Some(run) = self.run(&host, &clock, &found) else { continue };
            let age = || run.first.and_then(|first| clock.age(first));
            if !self.knows(&found.id, &run) && age().is_some_and(|age| age < told_from) {
                look.settling = true;
                continue;
            }
            let pid = run.first.map(|first| first.pid).filter(|_| !foreign);
            look.containers.push(describe(&found, &run, pid));
            runs.insert(found.id, run);
        }
        look.containers.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.runs = runs;
        self.looked_at = clock.uptime;
        self.host = Some(host);
        Ok(look)
    }
}

fn describe(found: &Found, run: &Run, pid: Option<u32>) -> Container {
    let mut container = Container::new(ContainerId::new(&found.id), Engine::Kernel, State::Running);
    container.cgroup = Some(found.path.as_str().into());
    container.started_at = run.started_at;
    container.pid = pid;
    container
}
