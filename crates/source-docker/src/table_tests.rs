//! Answers and events that overtake one another.

use std::time::UNIX_EPOCH;

use collector_core::{Engine, Health};

use super::*;
use crate::event::Reading;

const OWNER: Owner = Owner { engine: Engine::Docker, uid: None };

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000 + second)
}

fn event(kind: Kind, second: u64) -> Event {
    let labels = BTreeMap::new();
    Event { id: id(), kind, at: Some(at(second)), name: Some("one".into()), image: None, labels }
}

fn id() -> ContainerId {
    ContainerId::new("aa")
}

fn run(pid: u32, started: u64) -> Seen {
    let mut container = Container::new(id(), Engine::Docker, State::Running);
    container.pid = Some(pid);
    container.started_at = Some(at(started));
    container.restart_count = Some(1);
    Seen { container, malformed: false, status: String::new() }
}

fn listed(state: State, status: &str) -> List {
    let container = Container::new(id(), Engine::Docker, state);
    List { containers: vec![Seen { container, malformed: false, status: status.to_owned() }], nameless: 0 }
}

fn told(changes: &[Change]) -> Vec<(State, Option<u32>)> {
    let told = |change: &Change| match change {
        Change::Upsert(container) => Some((container.state, container.pid)),
        _ => None,
    };
    changes.iter().filter_map(told).collect()
}

/// Answers the next inspect.
fn answer(table: &mut Table, seen: Seen) -> Vec<(State, Option<u32>)> {
    let asked = table.next_inspect().expect("an inspect is asked for");
    told(&table.inspected(&asked, Ok(seen)).changes)
}

#[test]
fn an_answer_asked_for_before_an_end_does_not_revive() {
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 10));
    let asked = table.next_inspect().unwrap();
    let end = table.event(&event(Kind::Died(Some(1)), 20));
    assert_eq!(told(&end), [(State::Running, None), (State::Exited, None)]);
    let late = table.inspected(&asked, Ok(run(7, 9)));
    assert_eq!(told(&late.changes), [(State::Exited, None)], "with its restart count, but ended");
    assert_eq!(table.next_inspect(), Some(id()), "asked again");
}

#[test]
fn no_run_is_lost_between_two_others() {
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 10));
    assert_eq!(answer(&mut table, run(7, 9)), [(State::Running, Some(7))]);
    assert_eq!(told(&table.event(&event(Kind::Died(Some(1)), 20))), [(State::Exited, None)]);
    // The second run is seen by the answer to the inspect that followed the first end.
    let asked = table.next_inspect().unwrap();
    table.event(&event(Kind::Started, 21));
    let answer = table.inspected(&asked, Ok(run(8, 21)));
    assert_eq!(told(&answer.changes), [(State::Running, Some(8))], "taken: it is of the new run");
    assert_eq!(told(&table.event(&event(Kind::Died(Some(2)), 22))), [(State::Exited, None)]);
}

#[test]
fn a_run_that_is_over_before_anybody_was_told_of_it_is_told_with_its_end() {
    let over = || {
        let mut container = Container::new(id(), Engine::Docker, State::Exited);
        container.started_at = Some(at(9));
        container.finished_at = Some(at(20));
        Seen { container, malformed: false, status: String::new() }
    };
    let both = [(State::Running, None), (State::Exited, None)];
    // By its events,
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Created, 8));
    table.event(&event(Kind::Started, 10));
    assert_eq!(told(&table.event(&event(Kind::Died(Some(0)), 20))), both);
    // by an answer that is faster than the event of its end,
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 10));
    assert_eq!(answer(&mut table, over()), both);
    assert_eq!(told(&table.event(&event(Kind::Died(Some(0)), 20))), [], "it is told once");
    // or than all of its events.
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Created, 8));
    assert_eq!(answer(&mut table, over()), [(State::Created, None), (State::Exited, None)]);
    assert_eq!(told(&table.event(&event(Kind::Started, 10))), []);
    assert_eq!(told(&table.event(&event(Kind::Died(Some(0)), 20))), [], "it is told once");
    // What a list shows as stopped ended before.
    let mut table = Table::new(OWNER, 10);
    table.listed(listed(State::Exited, "Exited (0) 5 minutes ago"), at(300));
    table.whole();
    assert_eq!(answer(&mut table, over()), [(State::Exited, None)]);
}

#[test]
fn an_answer_of_the_run_before_is_not_the_new_run() {
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 10));
    let asked = table.next_inspect().unwrap();
    table.event(&event(Kind::Died(Some(1)), 20));
    table.event(&event(Kind::Started, 21));
    let late = table.inspected(&asked, Ok(run(7, 9)));
    assert!(told(&late.changes).iter().all(|(_, pid)| pid.is_none()), "the old pid is no one's");
    assert_eq!(answer(&mut table, run(8, 21)), [(State::Running, Some(8))]);
}

#[test]
fn a_list_does_not_undo_what_events_said_since() {
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 10));
    answer(&mut table, run(7, 9));
    table.list_asked();
    table.event(&event(Kind::Died(Some(1)), 20));
    table.listed(listed(State::Running, "Up 9 seconds"), at(20));
    let Change::Listed(whole) = table.whole() else { unreachable!() };
    assert_eq!(whole[0].state, State::Exited);
    table.list_asked();
    table.event(&event(Kind::Removed, 21));
    table.listed(listed(State::Exited, "Exited (1) 1 second ago"), at(21));
    assert!(matches!(table.whole(), Change::Listed(whole) if whole.is_empty()));
}

#[test]
fn a_list_that_does_not_know_of_an_end_yet_does_not_revive() {
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 10));
    answer(&mut table, run(7, 10));
    table.event(&event(Kind::Died(Some(0)), 11));
    let mut over = run(0, 10);
    over.container.state = State::Exited;
    over.container.finished_at = Some(at(11));
    answer(&mut table, over);
    table.list_asked();
    table.listed(listed(State::Running, "Up Less than a second"), at(12));
    let Change::Listed(list) = table.whole() else { panic!("a list") };
    assert_eq!(list[0].state, State::Exited);
    // It may have been started by an event that was lost: an inspect tells.
    assert_eq!(answer(&mut table, run(8, 12)), [(State::Running, Some(8))]);
}

#[test]
fn a_list_shows_lost_events() {
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 10));
    answer(&mut table, run(7, 9));
    table.list_asked();
    table.listed(listed(State::Running, "Up 5 minutes (unhealthy)"), at(309));
    assert_eq!(table.next_inspect(), None, "nothing is amiss");
    table.whole();
    table.list_asked();
    table.listed(listed(State::Running, "Up 3 seconds"), at(409));
    assert_eq!(table.next_inspect(), Some(id()), "another run");
}

#[test]
fn a_list_that_overtakes_the_end_is_the_end() {
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 10));
    answer(&mut table, run(7, 9));
    table.list_asked();
    table.listed(List { containers: Vec::new(), nameless: 0 }, at(20));
    assert!(matches!(table.whole(), Change::Listed(list) if list.is_empty()));
    // Told again, it would be a run of its own, and its end would count twice.
    for kind in [Kind::Died(Some(137)), Kind::Removed] {
        assert_eq!(table.event(&event(kind, 19)).len(), 0);
    }
    assert_eq!(table.next_inspect(), None);
}

#[test]
fn a_clock_set_back_does_not_hide_a_run() {
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 900));
    answer(&mut table, run(7, 899));
    table.event(&event(Kind::Died(Some(0)), 950));
    table.event(&event(Kind::Started, 50));
    assert_eq!(answer(&mut table, run(8, 49)), [(State::Running, Some(8))]);
}

#[test]
fn failures_are_retried_a_bounded_number_of_times() {
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 10));
    let mut retries = 0;
    while let Some(asked) = table.next_inspect() {
        if table.inspected(&asked, Err(Miss::Failed)).retry.is_some() {
            retries += 1;
            table.want(&id(), false);
        }
    }
    assert_eq!(retries, RETRIES_MAX);
}

#[test]
fn what_was_only_listed_says_so_until_its_inspect_came_or_failed() {
    let mut table = Table::new(OWNER, 10);
    table.list_asked();
    table.listed(listed(State::Running, "Up 5 seconds"), at(20));
    let Change::Listed(whole) = table.whole() else { panic!("no list") };
    assert!(whole[0].awaits_inspect);
    let asked = table.next_inspect().expect("what runs is inspected");
    let awaits = |told: Inspected| match &told.changes[..] {
        [Change::Upsert(container)] => container.awaits_inspect,
        others => panic!("{others:?}"),
    };
    assert!(!awaits(table.inspected(&asked, Err(Miss::Failed))), "asked in vain");
    let mut table = Table::new(OWNER, 10);
    table.event(&event(Kind::Started, 10));
    let asked = table.next_inspect().expect("what started is inspected");
    assert!(!awaits(table.inspected(&asked, Ok(run(7, 9)))));
}

#[test]
fn removals_are_kept_only_while_a_list_is_on_its_way() {
    let mut table = Table::new(OWNER, 10);
    table.list_asked();
    table.event(&event(Kind::Removed, 5));
    table.listed(listed(State::Running, "Up 5 seconds"), at(20));
    assert!(
        matches!(table.whole(), Change::Listed(list) if list.is_empty()),
        "the list is older than its removal"
    );
    table.event(&event(Kind::Removed, 30));
    assert_eq!(
        table.removed_since_list, None,
        "or each container that ever was would cost memory until the next list"
    );
}

#[test]
fn every_recorded_event_is_understood() {
    let mut table = Table::new(OWNER, 100);
    let mut known = 0;
    for line in test_support::engine::fixture("engine-20.10/events.ndjson").lines() {
        match crate::event::read(line.as_bytes()) {
            Reading::Event(event) => {
                known += 1;
                if event.kind == Kind::Health(None) {
                    panic!("{line}");
                }
                table.event(&event);
            }
            Reading::Ignored => {}
            Reading::Malformed => panic!("{line}"),
        }
    }
    assert!(known > 40, "{known}");
    assert!(table.entries.is_empty(), "all were removed: {:?}", table.entries);
    let health = crate::read::health_named("starting");
    assert_eq!(health, Some(Health::Starting));
}
