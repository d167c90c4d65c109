//! `cargo xtask lab`: the hosts that the end-to-end tests use, by hand.

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{Host, LabCommand};
use crate::engine::{self, Engine, Keep};
use crate::error::{Error, Result};
use crate::install;
use crate::process;

/// Does what the command says; the exit code is that of the command run, if one was.
pub(crate) fn run(command: &LabCommand) -> Result<ExitCode> {
    match command {
        LabCommand::List => {
            println!("native   an engine of its own on this machine: any dockerd that is found");
            for engine in engine::list()? {
                println!("         {engine}");
            }
        }
        LabCommand::Check { install } => return check(*install),
        LabCommand::Up { host: Host::Native } => {
            let mut engine = start()?;
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
        }
        LabCommand::Run { host: Host::Native, shell, command } => return run_in(*shell, command),
        LabCommand::Down => {
            let ended = engine::end_all()?;
            println!("{ended} ended");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(install: bool) -> Result<ExitCode> {
    let answer = install::ensure(install)?;
    print!("{}", install::table());
    let obstacle = Engine::obstacle();
    match (&answer, &obstacle) {
        (Ok(done), None) => println!("{done}"),
        (Ok(_), Some(obstacle)) => println!("{obstacle}"),
        (Err(missing), _) => println!("{missing}"),
    }
    Ok(if answer.is_ok() && obstacle.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn start() -> Result<Engine> {
    if let Err(missing) = install::ensure(false)? {
        return Err(Error::Failed(missing));
    }
    if let Some(obstacle) = Engine::obstacle() {
        return Err(Error::Failed(obstacle));
    }
    Engine::start(Keep::Nothing)
}

fn run_in(shell: bool, command: &[String]) -> Result<ExitCode> {
    let engine = start()?;
    let default_shell = || std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let (program, arguments) = match command.split_first() {
        Some((program, arguments)) if !shell => (program.clone(), arguments),
        _ => (default_shell(), [].as_slice()),
    };
    let mut child = std::process::Command::new(program);
    child.args(arguments).env("DOCKER_HOST", engine.docker_host());
    child
        .env("CONTAINER_EXPORTER_E2E_ENGINE", engine.docker_host())
        .env("CONTAINER_EXPORTER_E2E_LAB", "native");
    let status =
        if shell { process::interactive(&mut child) } else { process::show(&mut child).map(|f| f.status) };
    engine.stop()?;
    Ok(status?.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
