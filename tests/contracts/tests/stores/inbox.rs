use dropforge_driver::store::{Created, Inbox, Runs};
use dropforge_engine::event::{Command, Verb};
use dropforge_engine::ids::RunUid;

pub async fn contract<S: Inbox + Runs>(store: &S) {
    commands_come_by_time_and_once(store).await;
    a_command_marks_its_run_live(store).await;
    inboxes_are_apart(store).await;
}

fn command(id: &str, at: &str) -> Command {
    Command { id: id.into(), by: "ada".to_owned(), at: at.parse().unwrap(), verb: Verb::Suspend }
}

async fn commands_come_by_time_and_once<S: Inbox>(store: &S) {
    let run = RunUid::from("timely");
    assert_eq!(store.commands(&run).await.unwrap(), []);
    let late = command("a", "2026-01-02T00:00:02Z");
    let early = command("../z", "2026-01-02T00:00:01.5Z");
    let same_time = command("b", "2026-01-02T00:00:02Z");
    for command in [&same_time, &late, &early] {
        assert_eq!(store.put_command(&run, command).await.unwrap(), Created::New);
    }
    let again = Command { by: "bob".to_owned(), ..late.clone() };
    assert_eq!(store.put_command(&run, &again).await.unwrap(), Created::Exists);
    assert_eq!(store.commands(&run).await.unwrap(), [early.clone(), late.clone(), same_time.clone()]);
    assert_eq!(store.command(&run, &late.id).await.unwrap(), Some(late.clone()));
    store.remove_command(&run, &late.id).await.unwrap();
    assert_eq!(store.command(&run, &late.id).await.unwrap(), None);
    store.remove_command(&run, &late.id).await.unwrap();
    assert_eq!(store.commands(&run).await.unwrap(), [early, same_time]);
}

async fn a_command_marks_its_run_live<S: Inbox + Runs>(store: &S) {
    let run = RunUid::from("finished");
    assert!(!store.live_runs().await.unwrap().contains(&run));
    store.put_command(&run, &command("c", "2026-01-02T00:00:00Z")).await.unwrap();
    assert!(store.live_runs().await.unwrap().contains(&run));
    // Said twice: the first may have died between command and marker.
    store.put_command(&run, &command("c", "2026-01-02T00:00:00Z")).await.unwrap();
    assert!(store.live_runs().await.unwrap().contains(&run));
}

async fn inboxes_are_apart<S: Inbox>(store: &S) {
    store.put_command(&"one".into(), &command("c", "2026-01-02T00:00:00Z")).await.unwrap();
    assert_eq!(store.commands(&"other".into()).await.unwrap(), []);
}
