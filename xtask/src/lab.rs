//! `cargo xtask lab`: the hosts that the end-to-end tests run on, and the programs that other tests send to.
//!
//! `native` and `engine29` are engines of their own on this machine; the others are User-mode Linux guests with a Debian each. What has to be
//! built for one is in [`cache`], under its recipe.

pub(crate) mod cache;
pub(crate) mod compatibility;
pub(crate) mod debian;
mod engine29;
mod go;
mod guest;
pub(crate) mod peers;
mod results;
pub(crate) mod suite;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{Host, LabCommand};
use crate::engine::{self, Engine, Keep, Programs};
use crate::error::{Error, Result};
use crate::install::{self, Kit};
use crate::lab::guest::Guest;
use crate::lab::suite::quoted;
use crate::process;

/// How every script in a guest begins: systemd gives its services next to nothing.
const PRELUDE: &str = "export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";

impl Host {
    /// Every host.
    pub(crate) const ALL: &'static [Self] = &[Self::Native, Self::Engine29, Self::Trixie, Self::Forky];

    /// As a person types it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => Programs::NATIVE.host,
            Self::Engine29 => engine29::HOST,
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Native => "an engine of its own on this machine: any dockerd that is found",
            Self::Engine29 => "Docker's newest engine, built from its Go modules, on this machine",
            Self::Trixie => "Debian 13 as a guest: cgroup v2, systemd, Docker 26.1, Podman 5.4",
            Self::Forky => "Debian 14 as a guest: cgroup v2, systemd, Docker 28.5, Podman 5.8",
        }
    }

    /// The Debian release, if the host is a guest.
    pub(crate) fn suite(self) -> Option<&'static str> {
        matches!(self, Self::Trixie | Self::Forky).then(|| self.name())
    }

    fn recipe(self) -> Option<cache::Recipe> {
        match (self, self.suite()) {
            (Self::Engine29, _) => Some(engine29::recipe()),
            (_, suite) => suite.map(debian::recipe),
        }
    }

    fn kit(self) -> Kit {
        match self {
            Self::Native => Kit::Engine,
            Self::Engine29 => Kit::NewestEngine,
            Self::Trixie | Self::Forky => Kit::Guest,
        }
    }

    /// Installs what is missing, if it may; the inner error is why the host cannot be had here, and what to do.
    pub(crate) fn prepare(self, install: bool) -> Result<std::result::Result<String, String>> {
        let answer = install::ensure_kit(self.kit(), install)?;
        let obstacle = if self.suite().is_some() { guest::obstacle() } else { Engine::obstacle() };
        Ok(answer.and_then(|done| obstacle.map_or(Ok(done), Err)))
    }
}

/// The programs of an engine that runs natively, built if need be.
fn programs(host: Host) -> Result<Programs> {
    match host {
        Host::Engine29 => engine29::ensure(),
        _ => Ok(Programs::NATIVE),
    }
}

/// The promtools of the guests that are built: other releases than this machine's, which run here as well.
pub(crate) fn promtools() -> Vec<PathBuf> {
    let built =
        Host::ALL.iter().filter(|host| host.suite().is_some()).filter_map(|host| host.recipe()?.built());
    built
        .map(|directory| directory.join(debian::ROOT).join("usr/bin/promtool"))
        .filter(|file| file.is_file())
        .collect()
}

/// Builds what the host is made of, if it is not there.
pub(crate) fn build(host: Host) -> Result<()> {
    match host.suite() {
        Some(suite) => debian::ensure(suite).map(|_| ()),
        None => programs(host).map(|_| ()),
    }
}

/// Does what the command says; the exit code is that of the command run, if one was.
pub(crate) fn run(command: &LabCommand) -> Result<ExitCode> {
    match command {
        LabCommand::List => {
            for host in Host::ALL {
                println!("{:<8} {}", host.name(), host.about());
                if let Some(recipe) = host.recipe() {
                    let command = format!("cargo xtask lab build {}", host.name());
                    println!("         {}", recipe.state(&command));
                }
            }
            peers::ALL.iter().for_each(|peer| println!("{}", peer.describe()));
            engine::list()?.iter().for_each(|engine| println!("{engine}"));
        }
        LabCommand::Check { host, install } => return check(*host, *install),
        LabCommand::Build { host } => {
            require(*host)?;
            match host.suite() {
                Some(suite) => println!("{}", debian::ensure(suite)?.display()),
                None => println!(
                    "{}",
                    programs(*host)?.built.map_or_else(String::new, |b| b.dockerd.display().to_string())
                ),
            }
        }
        LabCommand::Peers { install } => peers::run(*install)?,
        LabCommand::Up { host } => up(*host)?,
        LabCommand::Run { host, test, shell, limit, command } => {
            require(*host)?;
            let limit = Duration::from_secs(*limit);
            if !*shell && command.is_empty() {
                let options = suite::Options { filter: test.as_deref(), limit, ..suite::Options::default() };
                let results = suite::run(*host, &suite::build()?, options)?;
                return Ok(if results.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            return match host.suite() {
                Some(suite) => run_in_guest(suite, *shell, limit, command),
                None => run_beside_engine(*host, *shell, command),
            };
        }
        LabCommand::Compatibility => {
            compatibility::write()?;
            println!("{} is written", compatibility::FILE);
        }
        LabCommand::Down => {
            let ended = engine::end_all()?;
            println!("{ended} ended");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(host: Host, install: bool) -> Result<ExitCode> {
    let answer = host.prepare(install)?;
    print!("{}", install::table(host.kit()));
    println!("{}", answer.as_ref().unwrap_or_else(|reason| reason));
    Ok(if answer.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn require(host: Host) -> Result<()> {
    host.prepare(false)?.map(|_| ()).map_err(Error::Failed)
}

fn up(host: Host) -> Result<()> {
    if host.suite().is_some() {
        return Err(Error::failed(format!(
            "a guest has a console only: `cargo xtask lab run {} --shell`",
            host.name()
        )));
    }
    require(host)?;
    let mut engine = Engine::start_with(programs(host)?, Keep::Nothing)?;
    println!("DOCKER_HOST={}\nCtrl-C ends it.", engine.docker_host());
    while !process::interrupted() && !engine.has_died() {
        process::wait_for_signal(Duration::from_secs(1));
    }
    let died = engine.has_died();
    if died {
        engine.print_log_tail();
    }
    engine.stop()?;
    if died {
        return Err(Error::failed("the engine ended by itself; its log is above"));
    }
    Ok(())
}

fn run_beside_engine(host: Host, shell: bool, command: &[String]) -> Result<ExitCode> {
    let engine = Engine::start_with(programs(host)?, Keep::Nothing)?;
    let default_shell = || std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let (program, arguments) = match command.split_first() {
        Some((program, arguments)) if !shell => (program.clone(), arguments),
        _ => (default_shell(), [].as_slice()),
    };
    let mut child = std::process::Command::new(program);
    child.args(arguments).env("DOCKER_HOST", engine.docker_host());
    child
        .env("CONTAINER_EXPORTER_E2E_ENGINE", engine.docker_host())
        .env("CONTAINER_EXPORTER_E2E_HOST", host.name())
        .envs(engine.for_own_engines()?);
    let status =
        if shell { process::interactive(&mut child) } else { process::show(&mut child).map(|f| f.status) };
    engine.stop()?;
    Ok(exit_code(status?.code()))
}

fn run_in_guest(suite: &'static str, shell: bool, limit: Duration, command: &[String]) -> Result<ExitCode> {
    let root = debian::ensure(suite)?;
    if shell {
        let script = format!("{PRELUDE}export TERM=linux\ncd\n/bin/bash -l\n");
        let status = Guest::create(suite, root, &script)?.interactive()?;
        return Ok(exit_code(status.code()));
    }
    let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    let script = format!("{PRELUDE}cd\n{}\necho $? > /lab/status\nsync\n", words.join(" "));
    let guest = Guest::create(suite, root, &script)?;
    let console = guest.lab("console");
    guest.run(limit, &console, |line| println!("{line}"))?;
    let status = std::fs::read_to_string(guest.lab("status")).ok().and_then(|text| text.trim().parse().ok());
    Ok(exit_code(status))
}

fn exit_code(status: Option<i32>) -> ExitCode {
    status.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_host_is_named_as_it_is_typed() {
        let typed: Vec<String> = Host::value_variants()
            .iter()
            .filter_map(|host| Some(host.to_possible_value()?.get_name().to_owned()))
            .collect();
        let mut named: Vec<&str> = Host::ALL.iter().map(|host| host.name()).collect();
        assert_eq!(named.len(), typed.len());
        named.retain(|name| !typed.iter().any(|typed| typed == name));
        assert!(named.is_empty(), "{named:?}");
    }
}
