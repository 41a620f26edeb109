use dropforge_driver::store::{INDEX_FORMAT, Index, IndexEntry};
use dropforge_engine::phase::RunPhase;

pub async fn contract<S: Index>(store: &S) {
    assert_eq!(store.entries(None).await.unwrap(), []);
    let old = entry("zz", "a", "2026-01-01T00:00:00Z");
    let same_time = entry("aa", "b/../c", "2026-01-02T00:00:00Z");
    let new = entry("bb", "a", "2026-01-02T00:00:00Z");
    for entry in [&old, &new, &same_time] {
        store.put_entry(entry).await.unwrap();
    }
    // Newest first, whatever the namespace.
    let all = [same_time.clone(), new.clone(), old.clone()];
    assert_eq!(store.entries(None).await.unwrap(), all);
    assert_eq!(store.entries(Some("a")).await.unwrap(), [new.clone(), old.clone()]);
    assert_eq!(store.entries(Some("b/../c")).await.unwrap(), std::slice::from_ref(&same_time));
    assert_eq!(store.entries(Some("nobody's")).await.unwrap(), []);
    let mut paged = Vec::new();
    let mut page = store.entries_after(None, 2).await.unwrap();
    loop {
        paged.append(&mut page.entries);
        let Some(end) = page.end else { break };
        page = store.entries_after(Some(&end), 2).await.unwrap();
    }
    paged.sort_by(|a, b| (b.created_at, &a.uid).cmp(&(a.created_at, &b.uid)));
    assert_eq!(paged, all, "in pages, each once");
    // An entry replaces the older one of its run.
    let ended = IndexEntry { phase: RunPhase::Succeeded, ..old.clone() };
    store.put_entry(&ended).await.unwrap();
    assert_eq!(store.entries(Some("a")).await.unwrap(), [new.clone(), ended]);
    // Any entry of the run names it.
    store.remove_entry(&old).await.unwrap();
    store.remove_entry(&old).await.unwrap();
    assert_eq!(store.entries(None).await.unwrap(), [same_time, new]);
}

fn entry(uid: &str, namespace: &str, created_at: &str) -> IndexEntry {
    IndexEntry {
        format: INDEX_FORMAT,
        uid: uid.into(),
        name: "wf".to_owned(),
        namespace: namespace.to_owned(),
        position: 0,
        phase: RunPhase::Running,
        message: String::new(),
        created_at: created_at.parse().unwrap(),
        started_at: None,
        finished_at: None,
        progress: "1/2".to_owned(),
        metrics: [("accuracy".to_owned(), 0.75)].into(),
        cause: "trigger churn".to_owned(),
        expires_at: None,
        labels: Default::default(),
    }
}
