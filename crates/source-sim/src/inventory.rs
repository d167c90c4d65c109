//! The simulated engine.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use collector_core::{
    BoxFuture, Change, Changes, Closed, Container, EngineInfo, Inventory, SourceCounters, SourceStatus,
};
use tokio::sync::Notify;

use crate::{
    Clock,
    world::{Life, World, unix_seconds, unix_time},
};

/// Containers at most.
pub const MAX_CONTAINERS: usize = 10_000;

/// An engine with simulated containers: most run, some end and start again, some are jobs that come and go.
#[derive(Debug)]
pub struct SimInventory {
    count: usize,
    world: World,
    clock: Clock,
    relist: Notify,
    lists: AtomicU64,
    events: AtomicU64,
}

impl SimInventory {
    /// That many containers, at most [`MAX_CONTAINERS`]. The same seed makes the same containers.
    #[must_use]
    pub fn new(count: usize, seed: u64) -> Self {
        Self {
            count: count.min(MAX_CONTAINERS),
            world: World { seed },
            clock: Clock::Real,
            relist: Notify::new(),
            lists: AtomicU64::new(0),
            events: AtomicU64::new(0),
        }
    }

    /// With another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// What a list of all containers says now.
    #[must_use]
    pub fn containers(&self) -> Vec<Container> {
        let lives = self.lives();
        lives.iter().enumerate().map(|(index, life)| self.world.describe(index, life)).collect()
    }

    fn lives(&self) -> Vec<Life> {
        let now = unix_seconds(self.clock.now());
        (0..self.count).map(|index| self.world.life(index, now)).collect()
    }

    async fn follow(&self, changes: &Changes) -> Result<(), Closed> {
        let info = EngineInfo {
            engine: "simulated".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            api_version: "1".into(),
            cgroup_driver: "simulated".into(),
            storage_driver: "overlay2".into(),
            endpoint: "simulated".into(),
        };
        changes.send(Change::Status(SourceStatus::Up(info))).await?;
        let mut lives = self.list(changes).await?;
        loop {
            // At least a second, so that many containers do not mean many looks.
            let next = lives.iter().map(|life| life.until).min();
            let next = next.map(|next| unix_time(next.max(unix_seconds(self.clock.now()) + 1)));
            let change = async {
                match next {
                    Some(next) => self.clock.wait_for(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = change => self.tell(&mut lives, changes).await?,
                () = self.relist.notified() => lives = self.list(changes).await?,
                () = changes.closed() => return Err(Closed),
            }
        }
    }

    async fn list(&self, changes: &Changes) -> Result<Vec<Life>, Closed> {
        let lives = self.lives();
        let list = lives.iter().enumerate().map(|(index, life)| self.world.describe(index, life)).collect();
        self.lists.fetch_add(1, Relaxed);
        changes.send(Change::Listed(list)).await?;
        Ok(lives)
    }

    /// Tells of each container that is no more what it was.
    async fn tell(&self, lives: &mut [Life], changes: &Changes) -> Result<(), Closed> {
        let now = unix_seconds(self.clock.now());
        for (index, life) in lives.iter_mut().enumerate().filter(|(_, life)| life.until <= now) {
            let next = self.world.life(index, now);
            if !next.is_same_container(life) {
                self.events.fetch_add(1, Relaxed);
                changes.send(Change::Gone(self.world.id(index, life))).await?;
            }
            *life = next;
            self.events.fetch_add(1, Relaxed);
            changes.send(Change::Upsert(Box::new(self.world.describe(index, life)))).await?;
        }
        Ok(())
    }
}

impl Inventory for SimInventory {
    fn name(&self) -> &str {
        "simulated"
    }

    fn run(self: Arc<Self>, changes: Changes) -> BoxFuture<()> {
        Box::pin(async move {
            // It ends with the collector, and for no other reason.
            let Err(Closed) = self.follow(&changes).await else { return };
        })
    }

    fn relist(&self) {
        self.relist.notify_one();
    }

    fn counters(&self) -> SourceCounters {
        let mut counters = SourceCounters::default();
        counters.lists = self.lists.load(Relaxed);
        counters.events = self.events.load(Relaxed);
        counters
    }
}
