use dropforge_driver::store::{Attempts, Created};
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_engine::ids::AttemptId;

pub async fn contract<S: Attempts>(store: &S) {
    a_claim_is_its_creators(store).await;
    of_racing_claimers_one_wins(store).await;
    the_first_verdict_counts(store).await;
    of_racing_verdicts_all_learn_the_same(store).await;
    namespaces_are_apart(store).await;
}

fn verdict(attempt: &str, message: &str) -> Verdict {
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    Verdict::without_outputs(attempt.into(), Outcome::Lost, Reason::Vanished, message, at)
}

async fn a_claim_is_its_creators<S: Attempts>(store: &S) {
    let attempt = AttemptId::from("claimed");
    assert!(!store.claimed("default", &attempt).await.unwrap());
    assert_eq!(store.claim("default", &attempt, "mine").await.unwrap(), Created::New);
    assert!(store.claimed("default", &attempt).await.unwrap());
    // The first answer was lost: my nonce means that I won.
    assert_eq!(store.claim("default", &attempt, "mine").await.unwrap(), Created::New);
    assert_eq!(store.claim("default", &attempt, "another's").await.unwrap(), Created::Exists);
    assert_eq!(store.claim("default", &attempt, "mine").await.unwrap(), Created::New);
}

async fn of_racing_claimers_one_wins<S: Attempts>(store: &S) {
    let attempt = &AttemptId::from("raced");
    let claim = |n: u32| dropforge_contracts::wait(store.claim("default", attempt, &n.to_string())).unwrap();
    let won = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|n| scope.spawn(move || claim(n))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).filter(|c| *c == Created::New).count()
    });
    assert_eq!(won, 1);
}

async fn the_first_verdict_counts<S: Attempts>(store: &S) {
    let (first, second) = (verdict("ended", "first"), verdict("ended", "second"));
    assert_eq!(store.verdict("default", &first.attempt).await.unwrap(), None);
    assert_eq!(store.put_verdict("default", &first).await.unwrap(), first);
    assert_eq!(store.put_verdict("default", &second).await.unwrap(), first);
    assert_eq!(store.verdict("default", &first.attempt).await.unwrap(), Some(first));
}

async fn of_racing_verdicts_all_learn_the_same<S: Attempts>(store: &S) {
    let put = |n: u32| {
        dropforge_contracts::wait(store.put_verdict("default", &verdict("race", &n.to_string()))).unwrap()
    };
    let told: Vec<Verdict> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|n| scope.spawn(move || put(n))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let stored = store.verdict("default", &"race".into()).await.unwrap().unwrap();
    assert!(told.iter().all(|verdict| *verdict == stored), "{told:?}");
}

async fn namespaces_are_apart<S: Attempts>(store: &S) {
    let attempt = AttemptId::from("apart");
    store.claim("a", &attempt, "n").await.unwrap();
    store.put_verdict("a", &verdict("apart", "")).await.unwrap();
    assert!(!store.claimed("b", &attempt).await.unwrap());
    assert_eq!(store.verdict("b", &attempt).await.unwrap(), None);
}
