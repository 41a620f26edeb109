use dropforge_driver::store::Logs;
use dropforge_engine::ids::AttemptId;

pub async fn contract<S: Logs>(store: &S) {
    let attempt = AttemptId::from("wf-train-0123");
    let read = async |container: &str, offset, limit| {
        store.read_log("default", &attempt, container, offset, limit).await.unwrap()
    };
    assert_eq!(read("main", 0, 10).await, b"");
    for bytes in [&b"one\n"[..], b"", b"tw\xff\n"] {
        store.append_log("default", &attempt, "main", bytes).await.unwrap();
    }
    assert_eq!(read("main", 0, 100).await, b"one\ntw\xff\n");
    assert_eq!(read("main", 4, 2).await, b"tw");
    assert_eq!(read("main", 8, 100).await, b"");
    assert_eq!(read("main", 1_000, 100).await, b"");
    assert_eq!(read("main", 0, 0).await, b"");
    // Containers are apart.
    store.append_log("default", &attempt, "wait", b"x").await.unwrap();
    assert_eq!(read("wait", 0, 100).await, b"x");
    if let Some(path) = store.log_file("default", &attempt, "main") {
        assert_eq!(std::fs::read(path).unwrap(), b"one\ntw\xff\n");
    }
}
