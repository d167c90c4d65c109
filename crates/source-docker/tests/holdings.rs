//! What an engine holds beside containers, asked of a recorded engine.

use std::{sync::Arc, time::Duration};

use collector_core::{
    Absence, Change, Changes, Group, Groups, Inventory, Reading, Sample, SourceStatus,
    catalogue::{self, Dimension, RowId, ids},
};
use source_docker::{DockerInventory, Endpoint, Options};
use test_support::{Answer, RecordedEngine, engine::fixture};

const ENGINE: Groups = Groups::NONE.with(Group::Engine);
const DISK: Groups = Groups::NONE.with(Group::EngineDisk);

struct Rig {
    engine: RecordedEngine,
    inventory: Arc<DockerInventory>,
}

impl Rig {
    /// An inventory that has reached its engine.
    async fn start(interval: Duration) -> Self {
        let engine = RecordedEngine::start();
        engine.answer("/images/json", Answer::text(r#"[{"Id":"sha256:a","RepoTags":["app:1"],"Size":7}]"#));
        engine.answer("/volumes", Answer::text(r#"{"Volumes":[{},{}]}"#));
        engine.answer("/networks", Answer::text("[{},{},{}]"));
        engine.answer("/system/df", Answer::text(fixture("engine-20.10/system-df.json")));
        let mut options = Options::default();
        options.endpoint = Endpoint::Unix(engine.socket());
        options.holdings_interval = interval;
        options.holdings_timeout = Duration::from_millis(200);
        let inventory = Arc::new(DockerInventory::new(options));
        let (sender, mut changes) = Changes::channel(256);
        tokio::spawn(inventory.clone().run(sender));
        while let Some((_, change)) = changes.recv().await {
            if matches!(change, Change::Status(SourceStatus::Up(_))) {
                break;
            }
        }
        tokio::spawn(async move { while changes.recv().await.is_some() {} });
        Self { engine, inventory }
    }

    fn page(&self, groups: Groups) -> Sample {
        let mut sample = Sample::absent(Absence::NotCollected);
        self.inventory.holdings(groups, &mut sample);
        sample
    }

    /// Takes pages until one holds this; ten seconds are far more than it takes.
    async fn until(&self, groups: Groups, holds: impl Fn(&Sample) -> bool) -> Sample {
        let pages = async {
            loop {
                let page = self.page(groups);
                if holds(&page) {
                    return page;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), pages).await.expect("no page held what was awaited")
    }

    fn asked(&self, path: &str) -> usize {
        self.engine.requests().iter().filter(|target| target.ends_with(path)).count()
    }
}

fn value(sample: &Sample, row: RowId, labels: &[&str]) -> Option<u64> {
    let (dimension, column) = catalogue::get().column(row).expect("a column");
    let entries = &sample.table(dimension).entries;
    let entry =
        entries.iter().find(|entry| entry.labels.iter().map(AsRef::as_ref).eq(labels.iter().copied()));
    entry?.cells[column].as_u64()
}

#[tokio::test]
async fn nothing_is_asked_before_somebody_wants_it() {
    let rig = Rig::start(Duration::from_secs(600)).await;
    rig.engine.wait_for("/info", 1).await;
    rig.page(Groups::standard());
    let first = rig.page(ENGINE);
    assert!(first.table(Dimension::EngineObject).entries.is_empty(), "a page waits for no answer");
    let networks = ["docker", "networks"];
    let page = rig.until(ENGINE, |page| value(page, ids::ENGINE_OBJECTS, &networks).is_some()).await;
    for (kind, count) in [("images", 1), ("containers", 10), ("volumes", 2), ("networks", 3)] {
        assert_eq!(value(&page, ids::ENGINE_OBJECTS, &["docker", kind]), Some(count), "{kind}");
    }
    assert_eq!(value(&page, ids::ENGINE_IMAGE_SIZE, &["docker", "sha256:a", "app:1", ""]), Some(7));
    assert!(value(&page, ids::ENGINE_ANSWER_AGE, &["docker", "volumes", ""]).is_some());
    assert_eq!(rig.asked("/system/df"), 0, "its group is not wanted");
    rig.page(ENGINE);
    rig.until(DISK, |page| !page.table(Dimension::EngineDisk).entries.is_empty()).await;
    assert_eq!((rig.asked("/networks"), rig.asked("/system/df")), (1, 1), "once an interval");
}

#[tokio::test]
async fn disk_usage_is_told_by_type_in_both_shapes() {
    let rig = Rig::start(Duration::ZERO).await;
    let bytes = |page: &Sample, kind, word| value(page, ids::ENGINE_DISK_USAGE, &["docker", kind, word]);
    let page = rig.until(DISK, |page| bytes(page, "images", "true").is_some()).await;
    assert_eq!(
        (bytes(&page, "images", "true"), bytes(&page, "images", "false")),
        (Some(1_500_000), Some(5_500_000))
    );
    assert_eq!(bytes(&page, "build_cache", "false"), Some(100_000));
    let sums = fixture("engine-29/system-df.json").replace("7000000", "8000000");
    rig.engine.answer("/system/df", Answer::text(sums));
    rig.until(DISK, |page| bytes(page, "images", "false") == Some(6_500_000)).await;
}

#[tokio::test]
async fn what_a_proxy_refuses_is_absent_with_a_reason_and_the_rest_is_there() {
    let rig = Rig::start(Duration::ZERO).await;
    let forbidden = Answer::Status(403, "<html>forbidden</html>".into());
    for path in ["/images/json", "/volumes", "/networks"] {
        rig.engine.answer(path, forbidden.clone());
    }
    let refused = |page: &Sample, question, reason: Absence| {
        value(page, ids::ENGINE_UNANSWERED, &["docker", question, reason.as_str()]) == Some(1)
    };
    let page = rig.until(ENGINE, |page| refused(page, "networks", Absence::PermissionDenied)).await;
    assert!(
        refused(&page, "images", Absence::PermissionDenied)
            && refused(&page, "volumes", Absence::PermissionDenied)
    );
    assert_eq!(value(&page, ids::ENGINE_OBJECTS, &["docker", "images"]), Some(1), "/info tells it");
    assert_eq!(value(&page, ids::ENGINE_OBJECTS, &["docker", "networks"]), None);
    assert!(page.table(Dimension::Image).entries.is_empty());
    // It is asked again, and heals.
    rig.engine.answer("/networks", Answer::text("[]"));
    let networks = ["docker", "networks"];
    let page = rig.until(ENGINE, |page| value(page, ids::ENGINE_OBJECTS, &networks) == Some(0)).await;
    assert!(!refused(&page, "networks", Absence::PermissionDenied));
}

#[tokio::test]
async fn an_answer_that_never_comes_or_makes_no_sense_costs_itself_only() {
    let rig = Rig::start(Duration::ZERO).await;
    rig.engine.answer("/system/df", Answer::Stall);
    rig.engine.answer("/volumes", Answer::text("[1"));
    let refused = |page: &Sample, question, reason: Absence| {
        value(page, ids::ENGINE_UNANSWERED, &["docker", question, reason.as_str()]) == Some(1)
    };
    let both = ENGINE.with(Group::EngineDisk);
    let page = rig.until(both, |page| refused(page, "system_df", Absence::Timeout)).await;
    assert!(refused(&page, "volumes", Absence::Malformed));
    assert_eq!(value(&page, ids::ENGINE_OBJECTS, &["docker", "networks"]), Some(3));
    assert_eq!(page.get(ids::ENGINE_DISK_USAGE), Reading::Absent(Absence::NotCollected));
}
