//! What an inventory is told.

use std::{path::PathBuf, time::Duration};

use crate::{Endpoint, PodmanStore};

/// How to follow one engine. Made by [`Options::default`] and the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Value of the label `source`; unique among a collector's inventories.
    pub name: String,
    /// Where the engine listens.
    pub endpoint: Endpoint,
    /// Owner of a rootless engine, for [`Container::uid`](collector_core::Container::uid).
    pub uid: Option<u32>,
    /// Time for connecting and for one answer, body included; the list has three times as much.
    pub request_timeout: Duration,
    /// Time for one inspect, body included.
    pub inspect_timeout: Duration,
    /// Pause between pings.
    pub ping_interval: Duration,
    /// Time for a ping. A second one must fail before the engine counts as lost.
    pub ping_timeout: Duration,
    /// Pause between lists that nobody asked for. They heal lost events that leave no trace in the kernel.
    pub list_interval: Duration,
    /// Least time between two lists, however many are asked for.
    pub relist_pause: Duration,
    /// How long a list may wait for its running containers' inspects, to be sent whole.
    pub list_hold: Duration,
    /// First pause before connecting again.
    pub backoff_min: Duration,
    /// Longest pause before connecting again.
    pub backoff_max: Duration,
    /// Nobody asked for this engine: until its socket is there nothing is said of it.
    pub optional: bool,
    /// Pause between looks for the socket of an optional engine.
    pub look_interval: Duration,
    /// How long the socket of an optional engine may be gone before the engine is as one that was never there, with its
    /// containers. At once where the folder of the socket is gone too: the user has logged out.
    pub gone_after: Duration,
    /// Where the engine keeps its containers: their names are read there while the engine cannot be asked.
    pub store: Option<PodmanStore>,
    /// Least time between two questions about what the engine holds beside containers.
    pub holdings_interval: Duration,
    /// Time for the answer to such a question: measuring all volumes takes an engine minutes.
    pub holdings_timeout: Duration,
    /// How many containers without processes are kept and inspected: the newest.
    pub stopped_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "docker".to_owned(),
            endpoint: Endpoint::Unix(PathBuf::from("/var/run/docker.sock")),
            uid: None,
            request_timeout: Duration::from_secs(10),
            inspect_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(2),
            list_interval: Duration::from_secs(600),
            relist_pause: Duration::from_secs(1),
            list_hold: Duration::from_millis(100),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            optional: false,
            look_interval: Duration::from_secs(5),
            gone_after: Duration::from_secs(30),
            store: None,
            holdings_interval: Duration::from_secs(600),
            holdings_timeout: Duration::from_secs(120),
            stopped_max: 500,
        }
    }
}
