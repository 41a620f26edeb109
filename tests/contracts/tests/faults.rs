//! What S3 and the way to it do wrong, one at a time: the store says what became of each write, and nothing happens
//! twice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use dropforge_contracts::proxy::{Fault, Proxy};
use dropforge_contracts::{configuration, emulator, store, wait};
use dropforge_driver::pods::{Stores, launch_key};
use dropforge_driver::store::{
    Attempts, Buried, Commit, Created, Documents, ErrorKind, Inbox, Launches, Logs, Runs, StoreError, Swap,
    TOMBSTONE_FORMAT, Tombstone,
};
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_engine::event::{Command, Verb};
use dropforge_engine::ids::{AttemptId, NodeId, RunUid};
use dropforge_engine::record::Record;
use dropforge_engine::spec::{Cause, RunSpec, SPEC_FORMAT, Settings};
use dropforge_manifest::types::{ObjectMeta, WorkflowSpec};
use dropforge_storage::s3::S3Store;

/// Longer than the emulator ever takes, short enough to wait for.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);

/// Two processes on the same buckets: one behind the proxy, one that sees S3 as it is.
struct Bed {
    proxy: Proxy,
    faulty: S3Store,
    other: S3Store,
    stores: Stores,
}

async fn open(endpoint: &str, stores: &Stores) -> S3Store {
    let stores = Stores { endpoint: Some(endpoint.to_owned()), ..stores.clone() };
    S3Store::new(&configuration().await, &stores).try_timeout(TRY_TIMEOUT)
}

impl Bed {
    async fn new() -> Option<Bed> {
        let endpoint = emulator::endpoint()?;
        let proxy = Proxy::before(endpoint);
        let (other, stores) = store(endpoint).await;
        let faulty = open(&proxy.endpoint, &stores).await;
        Some(Bed { proxy, faulty, other, stores })
    }

    /// A process of its own, for another thread.
    async fn another(&self) -> S3Store {
        open(emulator::endpoint().unwrap(), &self.stores).await
    }
}

/// One test on a bed.
macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident($bed:ident) $body:block)*) => {
        $($(#[$doc])* #[test]
        fn $name() {
            wait(async {
                let Some($bed) = Bed::new().await else { return };
                $body
            });
        })*
    };
}

fn spec(uid: &str) -> RunSpec {
    RunSpec {
        format: SPEC_FORMAT,
        uid: uid.into(),
        metadata: ObjectMeta { name: Some("wf".to_owned()), ..ObjectMeta::default() },
        spec: WorkflowSpec { entrypoint: Some("main".to_owned()), ..WorkflowSpec::default() },
        library: Default::default(),
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        cause: Cause::Person { by: "ada".to_owned() },
        settings: Settings::default(),
        reused: Vec::new(),
        source: None,
        packed: Default::default(),
    }
}

fn record(task: &str) -> Record {
    Record::TaskReady { node: NodeId(7), task: task.to_owned() }
}

fn command(id: &str) -> Command {
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    Command { id: id.into(), by: "ada".to_owned(), at, verb: Verb::Terminate }
}

fn verdict(message: &str) -> Verdict {
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    Verdict::without_outputs("pod".into(), Outcome::Lost, Reason::Vanished, message, at)
}

fn tombstone(uid: &str) -> Tombstone {
    Tombstone {
        format: TOMBSTONE_FORMAT,
        uid: uid.into(),
        name: "wf".to_owned(),
        namespace: "default".to_owned(),
        deleted_at: "2026-01-03T00:00:00Z".parse().unwrap(),
        deleted_by: "ada".to_owned(),
    }
}

const COMMITTED: Commit = Commit::Committed { position: 1 };

/// Every way in which a write's first try can go wrong and leave nobody the wiser.
const AMBIGUOUS: [Fault; 5] = [
    Fault::LoseAnswer,
    Fault::LoseRequest,
    Fault::Silence,
    Fault::Answer(503, "SlowDown"),
    Fault::Answer(500, "InternalError"),
];

faults! {
    /// A pod writes its own result, and nobody can write another after it.
    what_is_no_result_ends_the_attempt_it_lies_under_and_no_other(bed) {
        let client = dropforge_contracts::client(emulator::endpoint().unwrap()).await;
        let forged = serde_json::to_vec(&Verdict { attempt: "another".into(), ..verdict("forged") }).unwrap();
        let mut huge = serde_json::to_vec(&Verdict { attempt: "huge".into(), ..verdict("huge") }).unwrap();
        huge.resize(5 * 1024 * 1024, b' ');
        for (attempt, body) in [("forged", forged), ("text", b"done".to_vec()), ("huge", huge)] {
            let key = format!("attempts/default/{attempt}/result.json");
            client.put_object().bucket(&bed.stores.control).key(key).body(body.into()).send().await.unwrap();
            let attempt = AttemptId::from(attempt);
            let read = bed.other.verdict("default", &attempt).await.unwrap().unwrap();
            let stop = Verdict { attempt: attempt.clone(), ..verdict("stopped") };
            let first = bed.other.put_verdict("default", &stop).await.unwrap();
            for verdict in [read, first] {
                assert_eq!((verdict.attempt, verdict.outcome), (attempt.clone(), Outcome::Error));
            }
        }
    }

    /// The executor reads it where the pod's variable says, as it was written.
    a_launch_too_large_for_a_pod_is_an_object(bed) {
        let attempt = AttemptId::from("wf-large-1");
        for launch in [b"{}".to_vec(), vec![b'x'; 300 * 1024]] {
            bed.proxy.fault("PUT", "launch.json", Fault::LoseAnswer);
            bed.faulty.put_launch("team-a", &attempt, launch.clone()).await.unwrap();
            let client = dropforge_contracts::client(emulator::endpoint().unwrap()).await;
            let get = client.get_object().bucket(&bed.stores.control).key(launch_key("team-a", &attempt));
            let stored = get.send().await.unwrap().body.collect().await.unwrap();
            assert_eq!(stored.into_bytes(), launch);
        }
    }

    /// Rule 1: the nonce tells one's own segment from another's.
    a_commit_is_made_once_whatever_becomes_of_its_first_answer(bed) {
        for (n, fault) in AMBIGUOUS.into_iter().enumerate() {
            let run = &RunUid::from(format!("once-{n}"));
            bed.other.create_run(&spec(run.as_str())).await.unwrap();
            bed.proxy.fault("PUT", "/journals/", fault);
            let answer = bed.faulty.commit(run, 0, &[record("a")]).await.unwrap();
            assert_eq!(answer, COMMITTED, "{fault:?}");
            let loaded = bed.other.load_run(run).await.unwrap();
            assert_eq!((loaded.records, loaded.position), (vec![record("a")], 1), "{fault:?}");
        }
    }

    a_lost_answer_costs_a_read_and_no_second_write(bed) {
        let run = &RunUid::from("read-back");
        bed.other.create_run(&spec("read-back")).await.unwrap();
        bed.proxy.fault("PUT", "/journals/", Fault::LoseAnswer);
        assert_eq!(bed.faulty.commit(run, 0, &[record("a")]).await.unwrap(), COMMITTED);
        assert_eq!((bed.proxy.count("PUT", "/journals/"), bed.proxy.count("GET", "/journals/")), (1, 1));
    }

    /// Rule 1: 409 decides nothing; taken for a lost race it would have the same decision made again for nothing, and
    /// taken for a won one it would lose a commit.
    a_409_is_answered_with_the_same_put(bed) {
        let run = &RunUid::from("conflict");
        bed.other.create_run(&spec("conflict")).await.unwrap();
        bed.proxy.fault("PUT", "/journals/", Fault::Answer(409, "ConditionalRequestConflict"));
        assert_eq!(bed.faulty.commit(run, 0, &[record("a")]).await.unwrap(), COMMITTED);
        assert_eq!(bed.proxy.count("PUT", "/journals/"), 2);
    }

    /// Rules 1 and 10: two functions decide the very same; one of them commits it.
    of_two_equal_commits_one_wins(bed) {
        let run = &RunUid::from("equal");
        bed.other.create_run(&spec("equal")).await.unwrap();
        let first = bed.other.commit(run, 0, &[record("a")]).await.unwrap();
        let second = bed.faulty.commit(run, 0, &[record("a")]).await.unwrap();
        assert_eq!((first, second), (COMMITTED, Commit::Conflict));
    }

    a_commit_that_another_overtook_while_its_answer_was_out_is_lost(bed) {
        let run = RunUid::from("overtaken");
        bed.other.create_run(&spec("overtaken")).await.unwrap();
        let (another, theirs) = (bed.another().await, run.clone());
        bed.proxy.fault("PUT", "/journals/", Fault::LoseRequest);
        bed.proxy.before_next("GET", "/journals/", move || {
            assert_eq!(wait(another.commit(&theirs, 0, &[record("theirs")])).unwrap(), COMMITTED);
        });
        assert_eq!(bed.faulty.commit(&run, 0, &[record("mine")]).await.unwrap(), Commit::Conflict);
        assert_eq!(bed.other.load_run(&run).await.unwrap().records, [record("theirs")]);
    }

    what_is_never_answered_is_an_error_to_try_again(bed) {
        let run = &RunUid::from("down");
        bed.other.create_run(&spec("down")).await.unwrap();
        for _ in 0..6 {
            bed.proxy.fault("PUT", "/journals/", Fault::Answer(503, "SlowDown"));
        }
        let error = bed.faulty.commit(run, 0, &[record("a")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry);
        assert_eq!(bed.other.load_run(run).await.unwrap().position, 0);
        assert_eq!(bed.faulty.commit(run, 0, &[record("a")]).await.unwrap(), COMMITTED);
    }

    what_is_forbidden_is_denied_and_not_tried_again(bed) {
        let run = &RunUid::from("denied");
        bed.other.create_run(&spec("denied")).await.unwrap();
        bed.proxy.fault("PUT", "/journals/", Fault::Answer(403, "AccessDenied"));
        let error = bed.faulty.commit(run, 0, &[record("a")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(bed.proxy.count("PUT", "/journals/"), 1);
    }

    /// Rule 3: the marker that is taken away is the one from before the inbox was listed.
    a_command_that_comes_at_any_moment_of_a_removal_keeps_the_marker(bed) {
        for (n, (method, target)) in [("GET", "inbox"), ("DELETE", "/live/")].into_iter().enumerate() {
            let run = RunUid::from(format!("meanwhile-{n}"));
            bed.other.create_run(&spec(run.as_str())).await.unwrap();
            let (another, theirs) = (bed.another().await, run.clone());
            bed.proxy.before_next(method, target, move || {
                wait(another.put_command(&theirs, &command("c"))).unwrap();
            });
            bed.faulty.unmark_live(&run, 0).await.unwrap();
            assert!(bed.other.live_runs().await.unwrap().contains(&run), "{method} {target}");
        }
    }

    /// Rule 3: the command was there when the marker was looked at, and its run has been opened again since.
    a_command_that_is_carried_out_at_any_moment_of_a_removal_keeps_the_marker(bed) {
        for (n, (method, target)) in [("GET", "inbox"), ("HEAD", "/journals/")].into_iter().enumerate() {
            let run = RunUid::from(format!("reopened-{n}"));
            bed.other.create_run(&spec(run.as_str())).await.unwrap();
            bed.other.put_command(&run, &command("c")).await.unwrap();
            let (another, theirs) = (bed.another().await, run.clone());
            bed.proxy.before_next(method, target, move || {
                assert_eq!(wait(another.commit(&theirs, 0, &[record("c")])).unwrap(), COMMITTED);
                wait(another.remove_command(&theirs, &"c".into())).unwrap();
            });
            bed.faulty.unmark_live(&run, 0).await.unwrap();
            assert!(bed.other.live_runs().await.unwrap().contains(&run), "{method} {target}");
        }
    }

    /// Rule 3: the command's first marker is seen and taken away before its letter is there.
    a_removal_between_a_commands_marker_and_its_letter_is_made_good(bed) {
        let run = RunUid::from("between");
        bed.other.create_run(&spec("between")).await.unwrap();
        let (another, theirs) = (bed.another().await, run.clone());
        bed.proxy.before_next("PUT", "/inbox/", move || wait(another.unmark_live(&theirs, 0)).unwrap());
        bed.faulty.put_command(&run, &command("c")).await.unwrap();
        assert_eq!(bed.other.live_runs().await.unwrap(), [run]);
    }

    a_removal_whose_answer_was_lost_is_made(bed) {
        for (n, fault) in AMBIGUOUS.into_iter().enumerate() {
            let run = RunUid::from(format!("unmarked-{n}"));
            bed.other.create_run(&spec(run.as_str())).await.unwrap();
            bed.proxy.fault("DELETE", "/live/", fault);
            bed.faulty.unmark_live(&run, 0).await.unwrap();
            assert!(!bed.other.live_runs().await.unwrap().contains(&run), "{fault:?}");
        }
    }

    /// Rule 4: an attempt executes at most once, and once.
    a_claim_is_its_claimers_whatever_becomes_of_its_first_answer(bed) {
        for (n, fault) in AMBIGUOUS.into_iter().enumerate() {
            let attempt = &AttemptId::from(format!("claimed-{n}"));
            bed.proxy.fault("PUT", "claim.json", fault);
            assert_eq!(bed.faulty.claim("ns", attempt, "mine").await.unwrap(), Created::New, "{fault:?}");
            assert_eq!(bed.other.claim("ns", attempt, "theirs").await.unwrap(), Created::Exists, "{fault:?}");
        }
    }

    a_claim_that_another_made_while_ours_was_out_is_theirs(bed) {
        let attempt = AttemptId::from("raced");
        let (another, theirs) = (bed.another().await, attempt.clone());
        bed.proxy.fault("PUT", "claim.json", Fault::LoseRequest);
        bed.proxy.before_next("GET", "claim.json", move || {
            assert_eq!(wait(another.claim("ns", &theirs, "theirs")).unwrap(), Created::New);
        });
        assert_eq!(bed.faulty.claim("ns", &attempt, "mine").await.unwrap(), Created::Exists);
    }

    /// Rule 5: the first verdict counts, for whoever asks.
    the_first_verdict_counts_whatever_becomes_of_its_answer(bed) {
        for (n, fault) in AMBIGUOUS.into_iter().enumerate() {
            let namespace = &format!("ns-{n}");
            bed.proxy.fault("PUT", "result.json", fault);
            assert_eq!(bed.faulty.put_verdict(namespace, &verdict("a")).await.unwrap(), verdict("a"), "{fault:?}");
            assert_eq!(bed.other.put_verdict(namespace, &verdict("b")).await.unwrap(), verdict("a"), "{fault:?}");
        }
    }

    /// Rule 6: whoever dies after the marker leaves a run that the sweep finds.
    a_run_is_marked_before_it_is_born(bed) {
        let run = RunUid::from("half");
        for _ in 0..6 {
            bed.proxy.fault("PUT", "spec.json", Fault::LoseRequest);
        }
        bed.faulty.create_run(&spec("half")).await.unwrap_err();
        assert_eq!(bed.other.live_runs().await.unwrap(), std::slice::from_ref(&run));
        assert!(matches!(bed.other.load_run(&run).await, Err(StoreError::NotFound { .. })));
        assert_eq!(bed.other.create_run(&spec("half")).await.unwrap(), Created::New);
    }

    /// Rule 6: an advance that finds a marker and no spec may take the marker away at that moment.
    a_run_whose_marker_is_taken_away_while_it_is_born_is_live(bed) {
        let run = RunUid::from("born");
        let (another, theirs) = (bed.another().await, run.clone());
        bed.proxy.before_next("PUT", "spec.json", move || wait(another.unmark_live(&theirs, 0)).unwrap());
        assert_eq!(bed.faulty.create_run(&spec("born")).await.unwrap(), Created::New);
        assert_eq!(bed.other.live_runs().await.unwrap(), [run]);
    }

    /// Rule 7: a command on a finished run and its deletion at the same moment.
    a_command_that_comes_while_a_run_is_buried_brings_it_back(bed) {
        let run = RunUid::from("undead");
        bed.other.create_run(&spec("undead")).await.unwrap();
        bed.other.unmark_live(&run, 0).await.unwrap();
        let (another, theirs) = (bed.another().await, run.clone());
        bed.proxy.before_next("PUT", "spec.json", move || {
            assert_eq!(wait(another.put_command(&theirs, &command("c"))).unwrap(), Created::New);
        });
        assert_eq!(bed.faulty.bury(&tombstone("undead")).await.unwrap(), Buried::Live);
        assert_eq!(bed.other.load_run(&run).await.unwrap().spec, spec("undead"));
        assert_eq!(bed.other.commands(&run).await.unwrap(), [command("c")]);
    }

    a_burial_is_made_whatever_becomes_of_its_first_answer(bed) {
        for (n, fault) in AMBIGUOUS.into_iter().enumerate() {
            let run = RunUid::from(format!("buried-{n}"));
            bed.other.create_run(&spec(run.as_str())).await.unwrap();
            bed.other.unmark_live(&run, 0).await.unwrap();
            bed.proxy.fault("PUT", "spec.json", fault);
            assert_eq!(bed.faulty.bury(&tombstone(run.as_str())).await.unwrap(), Buried::Hidden, "{fault:?}");
            assert!(bed.other.load_run(&run).await.is_err());
        }
    }

    /// Rule 7: journals and attempts go by the bucket's lifecycle alone.
    nothing_deletes_a_journal_or_an_attempt(bed) {
        let run = RunUid::from("kept");
        bed.faulty.create_run(&spec("kept")).await.unwrap();
        bed.faulty.commit(&run, 0, &[record("a")]).await.unwrap();
        bed.faulty.claim("ns", &"pod".into(), "n").await.unwrap();
        bed.faulty.put_verdict("ns", &verdict("a")).await.unwrap();
        bed.faulty.put_command(&run, &command("c")).await.unwrap();
        bed.faulty.remove_command(&run, &"c".into()).await.unwrap();
        bed.faulty.unmark_live(&run, 1).await.unwrap();
        bed.faulty.bury(&tombstone("kept")).await.unwrap();
        let removed = bed.proxy.take().into_iter().filter(|request| request.method == "DELETE");
        let removed: Vec<String> = removed.map(|request| request.target).collect();
        assert!(removed.iter().all(|key| key.contains("/inbox/") || key.contains("/live/")), "{removed:?}");
        assert_eq!(removed.len(), 2);
    }

    /// Rule 8: what locks, triggers and schedules stand on.
    no_change_of_a_document_is_lost_or_made_twice(bed) {
        let key = "locks/default/count.json";
        for fault in AMBIGUOUS.into_iter().chain([Fault::Answer(409, "ConditionalRequestConflict")]) {
            bed.proxy.fault("PUT", "count.json", fault);
            // Between them another adds as well, from the same number to the same number.
            increment(&bed.faulty, key).await;
            increment(&bed.other, key).await;
        }
        assert_eq!(bed.other.get(key).await.unwrap().unwrap().body, b"12");
    }

    /// Rule 8: equal bytes of two writers are two documents.
    of_two_equal_changes_one_wins(bed) {
        let key = "locks/default/lock.json";
        let (another, theirs) = (bed.another().await, key.to_owned());
        bed.proxy.fault("PUT", "lock.json", Fault::LoseRequest);
        bed.proxy.before_next("GET", "lock.json", move || {
            assert_ne!(wait(another.swap(&theirs, None, b"held")).unwrap(), Swap::Conflict);
        });
        assert_eq!(bed.faulty.swap(key, None, b"held").await.unwrap(), Swap::Conflict);
    }

    /// `If-Match` on a missing key is answered with 404.
    a_change_of_what_is_gone_is_a_conflict(bed) {
        let key = "crons/default/gone.json";
        let Swap::Stored { version } = bed.other.swap(key, None, b"a").await.unwrap() else { panic!() };
        bed.other.remove(key, &version).await.unwrap();
        assert_eq!(bed.faulty.swap(key, Some(&version), b"b").await.unwrap(), Swap::Conflict);
        assert_eq!(bed.faulty.remove(key, &version).await.unwrap(), Swap::Conflict);
    }

    a_piece_of_a_log_is_stored_once(bed) {
        let pod = &AttemptId::from("pod");
        for (n, fault) in AMBIGUOUS.into_iter().enumerate() {
            let main = &format!("main-{n}");
            bed.faulty.append_log("ns", pod, main, b"tick\n").await.unwrap();
            bed.proxy.fault("PUT", "/00001", fault);
            bed.faulty.append_log("ns", pod, main, b"tick\n").await.unwrap();
            // Another process goes on where this one ended.
            bed.other.append_log("ns", pod, main, b"tock\n").await.unwrap();
            assert_eq!(bed.other.read_log("ns", pod, main, 0, 99).await.unwrap(), b"tick\ntick\ntock\n", "{fault:?}");
        }
    }
}

async fn increment(store: &S3Store, key: &str) {
    loop {
        let now = store.get(key).await.unwrap();
        let count: u32 = now.as_ref().map_or(0, |d| String::from_utf8_lossy(&d.body).parse().unwrap());
        let version = now.as_ref().map(|d| d.version.as_str());
        if store.swap(key, version, (count + 1).to_string().as_bytes()).await.unwrap() != Swap::Conflict {
            return;
        }
    }
}
