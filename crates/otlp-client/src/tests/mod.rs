//! A client against receivers that misbehave on purpose.
//!
//! Where time matters the connections are made within the process, on a paused clock: with real sockets such a clock
//! runs on while bytes are still under way. `sockets` has what only real ones show.

mod answers;
mod compression;
mod connections;
mod courier;
mod lines;
mod receiver;
mod retries;
mod sockets;
mod variables;
mod waiting;

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Client, DropReason, Headers, Payload, Protocol, Said, Settings, StatsSnapshot, Values, queue::OVERHEAD,
};
use receiver::{Inside, Receiver, Reply, Seen};

/// Both.
const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

fn values(protocol: Protocol, endpoint: &str) -> Values {
    Values {
        endpoint: Some(Said::new(endpoint.to_owned(), "the test")),
        protocol: Some(Said::new(protocol, "the test")),
        ..Values::default()
    }
}

fn resolved(values: &Values) -> Settings {
    values.resolve().expect("settings").expect("an endpoint")
}

fn settings(protocol: Protocol) -> Settings {
    resolved(&values(protocol, "http://receiver:4318"))
}

/// A client of a receiver that has these replies ready, and then takes everything.
fn client(settings: Settings, replies: impl IntoIterator<Item = Reply>) -> (Client, Arc<Receiver>) {
    let receiver = Arc::new(Receiver::new(settings.protocol, replies));
    (Client::start_with(settings, Arc::new(Inside(receiver.clone()))).expect("a client"), receiver)
}

fn payload(text: &str, points: usize) -> Payload {
    Payload { body: Bytes::copy_from_slice(text.as_bytes()), points }
}

/// Waits until nothing waits or is in flight: until there is room for as much as the queue may hold.
async fn settled(client: &Client) -> StatsSnapshot {
    let bytes_max = client.stats().snapshot().queue_bytes_max;
    client.has_room(usize::try_from(bytes_max).expect("a size") - OVERHEAD).await;
    let stats = client.stats().snapshot();
    assert_eq!((stats.queue_bytes, stats.queue_points, stats.inflight), (0, 0, 0));
    stats
}

/// What was not delivered, by reason, without the reasons that have none.
fn failed(stats: &StatsSnapshot) -> Vec<(DropReason, u64)> {
    stats.failed.into_iter().filter(|(_, points)| *points > 0).collect()
}

/// Sends one payload of 7 points to a receiver with these replies: what was counted, and what the receiver saw.
async fn send_one(
    settings: Settings,
    replies: impl IntoIterator<Item = Reply>,
) -> (StatsSnapshot, Vec<Seen>) {
    let (client, receiver) = client(settings, replies);
    client.submit(payload("one", 7));
    let stats = settled(&client).await;
    (stats, receiver.seen())
}
