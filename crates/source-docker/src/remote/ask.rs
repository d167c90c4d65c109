//! One look at an engine, for people: does it answer, what is it, does it give numbers.

use std::{fmt, sync::Arc, time::Duration};

use collector_core::Engine;

use super::poller::stats_target;
use crate::{
    Endpoint,
    client::{Client, Fault},
    read::{self, ApiVersion, Owner},
};

/// Most bytes of the list and of the version.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What an engine said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answered {
    /// Docker or Podman.
    pub engine: Engine,
    /// Its version, as `/version` has it; empty if it keeps that to itself.
    pub version: String,
    /// The API that it is spoken to by.
    pub api_version: String,
    /// Containers that run.
    pub running: usize,
    /// Why the stats API gives no numbers of one that runs; `None` if it does, or nothing runs.
    pub no_numbers: Option<String>,
}

/// Why an engine could not be asked: one sentence, with what to do.
#[derive(Debug)]
pub struct AskError(Fault);

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for AskError {}

impl Endpoint {
    /// Asks the engine once: `/_ping`, `/version`, the list of what runs, and the numbers of one of those. `limit` is the
    /// time for each.
    ///
    /// # Errors
    ///
    /// It does not answer `/_ping` or the list.
    pub async fn ask(&self, limit: Duration) -> Result<Answered, AskError> {
        self.ask_all(limit).await.map_err(AskError)
    }

    async fn ask_all(&self, limit: Duration) -> Result<Answered, Fault> {
        let client = Client::connect(self, limit, Arc::default()).await?;
        let hello = client.ping(limit).await?;
        let version = client.get("/version", limit, ANSWER_BYTES_MAX).await;
        let version = version.map(|text| read::version(&text)).unwrap_or_default();
        let is_podman = hello.is_podman || version.is_podman;
        let engine = if is_podman { Engine::Podman } else { Engine::Docker };
        let api = ApiVersion::negotiate(hello.api, version.api_min);
        let target = format!("/v{api}/containers/json");
        let text = client.get(&target, limit, ANSWER_BYTES_MAX).await?;
        let list = read::list(&text, Owner { engine, uid: None }).ok_or(Fault::Answer { target })?;
        let mut no_numbers = None;
        if let Some(one) = list.containers.first() {
            let target = stats_target(api, &one.container.id);
            no_numbers =
                client.get(&target, limit, ANSWER_BYTES_MAX).await.err().map(|fault| fault.to_string());
        }
        let running = list.containers.len();
        let version = version.version.unwrap_or_default();
        Ok(Answered { engine, version, api_version: api.to_string(), running, no_numbers })
    }
}
