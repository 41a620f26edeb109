//! The rules of one lock, as a table; what holds whatever happens; and several locks at once.

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::documents::fake::{FakeDocuments, Fault, now};
use crate::store::Documents;

fn claimant(run: &str, node: u64, priority: i64, second: i64) -> Claimant {
    Claimant {
        run: run.into(),
        node: Some(NodeId(node)),
        key: format!("default/{run}/{node}"),
        generation: 0,
        priority,
        created_at: Timestamp::from_second(second).unwrap(),
    }
}

fn mutex(name: &str) -> LockName {
    LockName::Mutex { namespace: "default".to_owned(), name: name.to_owned() }
}

fn keys(claimants: &[Claimant]) -> Vec<String> {
    claimants
        .iter()
        .map(|c| format!("{}{}", c.run, c.node.map_or(String::new(), |n| n.to_string())))
        .collect()
}

/// Plays lines such as `take a1 p5 t3`, or `leave a1 g2` for its second retry, on a lock and writes down what comes of each.
fn played(limit: i64, script: &str, absent: &[&str]) -> String {
    let mut lock = LockState::new(&mutex("x"), limit);
    let mut limit = limit;
    let present = |run: &RunUid| !absent.contains(&run.as_str());
    let mut out = String::new();
    for line in script.split(',').map(str::trim) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |letter: char| {
            words.iter().find_map(|w| w.strip_prefix(letter)?.parse::<i64>().ok()).unwrap_or(0)
        };
        let granted = match words[0] {
            "limit" => {
                limit = words[1].parse().unwrap();
                continue;
            }
            "forget" => {
                let over =
                    lock.claimants().filter(|c| c.run.as_str() == words[1]).map(Claimant::id).collect();
                lock.forget(&over, &present)
            }
            verb => {
                let (run, node) = words[1].split_at(1);
                let mut who = claimant(run, node.parse().unwrap(), number('p'), number('t'));
                who.generation = u32::try_from(number('g')).unwrap();
                if verb == "take" {
                    lock.take(&who, limit, &present).1
                } else {
                    lock.leave(&who.leaving(), &present)
                }
            }
        };
        let text = |list: &[Claimant]| keys(list).join(" ");
        out.push_str(&format!(
            "{line}: held {} | waiting {} | granted {}\n",
            text(&lock.holders),
            text(&lock.waiters),
            text(&granted)
        ));
    }
    out
}

#[test]
fn the_queue_is_ordered_by_priority_then_age_then_node() {
    let script = "take a1, take b1 t9, take c1 t5, take d1 p7 t8, take c2 t5, leave a1, leave d1, leave c1";
    assert_eq!(
        played(1, script, &[]),
        "take a1: held a1 | waiting  | granted 
take b1 t9: held a1 | waiting b1 | granted 
take c1 t5: held a1 | waiting c1 b1 | granted 
take d1 p7 t8: held a1 | waiting d1 c1 b1 | granted 
take c2 t5: held a1 | waiting d1 c1 c2 b1 | granted 
leave a1: held d1 | waiting c1 c2 b1 | granted d1
leave d1: held c1 | waiting c2 b1 | granted c1
leave c1: held c2 | waiting b1 | granted c2
"
    );
}

#[test]
fn a_limit_is_picked_up_and_shrinks_only_as_holders_leave() {
    let script =
        "take a1, take b1, take c1, limit 3, take c1, limit 1, take d1, leave a1, leave b1, leave c1";
    assert_eq!(
        played(2, script, &[]),
        "take a1: held a1 | waiting  | granted 
take b1: held a1 b1 | waiting  | granted 
take c1: held a1 b1 | waiting c1 | granted 
take c1: held a1 b1 c1 | waiting  | granted 
take d1: held a1 b1 c1 | waiting d1 | granted 
leave a1: held b1 c1 | waiting d1 | granted 
leave b1: held c1 | waiting d1 | granted 
leave c1: held d1 | waiting  | granted d1
"
    );
}

#[test]
fn taking_twice_changes_nothing_and_a_run_that_is_over_holds_nothing() {
    let script = "take a1, take a1, take b1, take b1, forget a, leave b1, leave b1";
    assert_eq!(
        played(1, script, &[]),
        "take a1: held a1 | waiting  | granted 
take a1: held a1 | waiting  | granted 
take b1: held a1 | waiting b1 | granted 
take b1: held a1 | waiting b1 | granted 
forget a: held b1 | waiting  | granted b1
leave b1: held  | waiting  | granted 
leave b1: held  | waiting  | granted 
"
    );
}

#[test]
fn a_run_that_nobody_advances_is_passed_over_and_keeps_its_place() {
    let script = "take a1, take z1 t1, take b1 t2, leave a1, take z1 t1, leave b1";
    assert_eq!(
        played(1, script, &["z"]),
        "take a1: held a1 | waiting  | granted 
take z1 t1: held a1 | waiting z1 | granted 
take b1 t2: held a1 | waiting z1 b1 | granted 
leave a1: held b1 | waiting z1 | granted b1
take z1 t1: held b1 | waiting z1 | granted 
leave b1: held  | waiting z1 | granted 
"
    );
}

#[test]
fn who_gives_back_late_takes_nothing_from_the_runs_retry() {
    let script =
        "take a1, take a1 g1, take b1 t2, leave a1, take a1, leave a1, leave a1 g1, take a1 g2, leave a1 g1";
    assert_eq!(
        played(1, script, &[]),
        "take a1: held a1 | waiting  | granted 
take a1 g1: held a1 | waiting  | granted 
take b1 t2: held a1 | waiting b1 | granted 
leave a1: held a1 | waiting b1 | granted 
take a1: held a1 | waiting b1 | granted 
leave a1: held a1 | waiting b1 | granted 
leave a1 g1: held b1 | waiting  | granted b1
take a1 g2: held b1 | waiting a1 | granted 
leave a1 g1: held b1 | waiting a1 | granted 
"
    );
}

#[test]
fn a_block_takes_all_its_locks_or_stands_in_one_queue() {
    let store = FakeDocuments::default();
    let (a, b) = (claimant("a", 1, 0, 1), claimant("b", 1, 0, 2));
    let both = [(mutex("y"), 1), (mutex("x"), 1)];
    assert_eq!(now(keep::take(&store, &a, &both[..1], &|_| true)).unwrap().wait, None);
    let taking = now(keep::take(&store, &b, &both, &|_| true)).unwrap();
    let wait = taking.wait.expect("y is held");
    assert_eq!(wait.message(), "Waiting for default/Mutex/y lock. Lock status: 0/1");
    assert_eq!(wait.held_by, [HeldBy { key: "default/a/1".to_owned(), run: "a".into() }]);
    let holders = |name: &str| {
        now(keep::state(&store, &mutex(name))).unwrap().map_or(Vec::new(), |state| keys(&state.holders))
    };
    assert_eq!((holders("x"), holders("y")), (vec![], vec!["a1".to_owned()]));
    let granted = now(keep::leave(&store, &mutex("y"), &a.leaving(), &|_| true)).unwrap();
    assert_eq!(keys(&granted), ["b1"]);
    assert_eq!(now(keep::take(&store, &b, &both, &|_| true)).unwrap().wait, None);
    assert_eq!((holders("x"), holders("y")), (vec!["b1".to_owned()], vec!["b1".to_owned()]));
}

#[test]
fn a_block_asks_for_its_locks_in_the_order_of_their_names() {
    let store = FakeDocuments::default();
    store.fail_at(1, Fault::Before);
    let both = [(mutex("y"), 1), (mutex("x"), 1)];
    now(keep::take(&store, &claimant("a", 1, 0, 1), &both, &|_| true)).expect_err("the second write fails");
    store.restart();
    assert_eq!(now(store.keys("locks/")).unwrap(), [keep::key(&mutex("x"))]);
}

#[test]
fn a_death_at_any_write_leaves_nothing_that_asking_again_does_not_mend() {
    let both = [(mutex("x"), 1), (mutex("y"), 1)];
    let (a, b) = (claimant("a", 1, 0, 1), claimant("b", 1, 0, 2));
    for at in 0..4 {
        for fault in [Fault::Before, Fault::After] {
            let store = FakeDocuments::default();
            now(keep::take(&store, &a, &both[1..], &|_| true)).unwrap();
            store.fail_at(at, fault);
            let _ = now(keep::take(&store, &b, &both, &|_| true));
            store.restart();
            now(keep::take(&store, &b, &both, &|_| true)).unwrap();
            now(keep::leave(&store, &mutex("y"), &a.leaving(), &|_| true)).unwrap();
            let taken = now(keep::take(&store, &b, &both, &|_| true)).unwrap();
            assert_eq!(taken.wait, None, "write {at}, {fault:?}");
        }
    }
}

#[test]
fn a_lock_that_nobody_uses_leaves_no_document() {
    let store = FakeDocuments::default();
    let (a, b) = (claimant("a", 1, 0, 1), claimant("b", 1, 0, 2));
    let both = [(mutex("x"), 1), (mutex("y"), 1)];
    now(keep::take(&store, &a, &both[1..], &|_| true)).unwrap();
    now(keep::take(&store, &b, &both, &|_| true)).unwrap();
    assert_eq!(
        now(store.keys("locks/")).unwrap(),
        [keep::key(&mutex("y"))],
        "b holds nothing while it waits"
    );
    let leave = |who: &Claimant| now(keep::leave(&store, &mutex("y"), &who.leaving(), &|_| true)).unwrap();
    assert_eq!(keys(&leave(&a)), ["b1"]);
    assert_eq!(leave(&b), []);
    assert_eq!(now(store.keys("")).unwrap(), Vec::<String>::new());
    let writes = store.writes();
    assert_eq!((leave(&b), store.writes()), (vec![], writes), "and nothing makes one but who takes it");
}

#[test]
fn keys_are_apart_bounded_and_lead_nowhere_else() {
    let names = ["x", "a/b", "a~2fb", "..", "", "É", &"n".repeat(500), &format!("{}m", "n".repeat(500))];
    let keys: BTreeSet<String> = names.iter().map(|name| keep::key(&mutex(name))).collect();
    assert_eq!(keys.len(), names.len());
    assert!(
        keys.iter().all(|key| key.len() < 180 && key.matches('/').count() == 2 && !key.contains("..")),
        "{keys:?}"
    );
}

proptest! {
    #[test]
    fn no_lock_has_more_holders_than_its_limit_and_nobody_is_forgotten(
        limit in 1..4i64,
        moves in prop::collection::vec((0..3u8, 0..5usize, 0..3u64), 1..60),
    ) {
        let mut lock = LockState::new(&mutex("x"), limit);
        let runs = ["a", "b", "c", "d", "e"];
        let mut wanted: BTreeSet<(usize, u64)> = BTreeSet::new();
        for (verb, run, node) in moves {
            let order = i64::try_from(run).unwrap();
            let who = claimant(runs[run], node, order % 2, 10 - order);
            match verb {
                0 | 1 => {
                    lock.take(&who, limit, &|_| true);
                    wanted.insert((run, node));
                }
                _ => {
                    lock.leave(&who.leaving(), &|_| true);
                    wanted.remove(&(run, node));
                }
            }
            let held = i64::try_from(lock.holders.len()).unwrap();
            prop_assert!(held <= limit);
            prop_assert!(held == limit || lock.waiters.is_empty(), "a free lock and somebody who waits");
            prop_assert_eq!(lock.holders.len() + lock.waiters.len(), wanted.len());
            prop_assert!(lock.waiters.windows(2).all(|w| w[0].rank() < w[1].rank()));
        }
    }
}
