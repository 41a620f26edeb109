//! What a look reads of many attempts at once.

use dropforge_driver::store::Attempts;
use dropforge_driver::verdicts::verdicts;
use dropforge_engine::attempt::{Outcome, Reason, Verdict};
use dropforge_engine::ids::AttemptId;
use dropforge_storage::memory::MemoryStore;
use jiff::Timestamp;

#[tokio::test]
async fn large_verdicts_are_left_for_another_look_and_small_ones_are_not() {
    let store = MemoryStore::new();
    let mut attempts = Vec::new();
    for n in 0..100 {
        let id = AttemptId::from(format!("a{n:02}"));
        let (outcome, at) = (Outcome::Succeeded, Timestamp::UNIX_EPOCH);
        let mut verdict = Verdict::without_outputs(id.clone(), outcome, Reason::Exited, "", at);
        verdict.outputs.result = (n >= 50).then(|| "x".repeat(4_000_000));
        store.put_verdict("ml", &verdict).await.unwrap();
        attempts.push(id);
    }
    let first = verdicts(&store, "ml", attempts.clone()).await;
    // Sixteen at once: the fourth of these makes it more than memory should hold.
    assert_eq!((first.read.len(), &first.unread[..]), (64, &attempts[64..]));
    for ((id, verdict), asked) in first.read.iter().zip(&attempts) {
        assert_eq!((id, &verdict.as_ref().unwrap().as_ref().unwrap().attempt), (asked, asked));
    }
    let small = verdicts(&store, "ml", attempts[..50].to_vec()).await;
    assert_eq!((small.read.len(), small.unread.len()), (50, 0));
    let unknown = verdicts(&store, "ml", vec!["nobody".into()]).await;
    assert!(matches!(unknown.read[..], [(_, Ok(None))]));
}
