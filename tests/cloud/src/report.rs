//! What is known when a scenario has failed.

use crate::bed::Bed;

/// So many lines of a function's log show what went wrong.
const LOG_LINES: usize = 60;

/// Live runs, dead letters, pods and their events, and the ends of the functions' logs.
pub fn all(bed: &Bed) -> String {
    [live(bed), letters(bed), pods(bed), logs(bed)].concat()
}

fn live(bed: &Bed) -> String {
    let keys = bed.emulator.list(bed.named("control_bucket"), "live/");
    format!("-- live\n{}\n", keys.join("\n"))
}

fn letters(bed: &Bed) -> String {
    let depth = |url: &str| bed.emulator.depth(url);
    let dead = bed.deployment["dead_letter_queue_urls"].as_object().into_iter().flatten();
    let dead =
        dead.filter_map(|(name, url)| Some(format!("{name}: {} dead letters\n", depth(url.as_str()?))));
    let queues =
        ["events_queue_url", "upload_queue_url"].map(|name| format!("{name}: {}\n", depth(bed.named(name))));
    format!("-- queues\n{}{}", queues.concat(), dead.collect::<String>())
}

fn pods(bed: &Bed) -> String {
    let ask = |words: &[&str]| String::from_utf8_lossy(&bed.cluster.try_ask(words).stdout).into_owned();
    let pods = ask(&["get", "pods,pvc", "-o", "wide"]);
    let events = ask(&["get", "events", "--sort-by", ".lastTimestamp"]);
    let events: Vec<&str> = events.lines().rev().take(LOG_LINES).collect();
    let events: Vec<&str> = events.into_iter().rev().collect();
    format!("-- pods\n{pods}\n-- events\n{}\n", events.join("\n"))
}

fn logs(bed: &Bed) -> String {
    let of = |function: &str| {
        let lines = bed.emulator.log(bed.function(function));
        let own = |line: &&String| !["START ", "END ", "REPORT "].iter().any(|word| line.starts_with(word));
        let own: Vec<&str> = lines.iter().filter(own).map(String::as_str).collect();
        format!("-- {function}\n{}\n", own[own.len().saturating_sub(LOG_LINES)..].join("\n"))
    };
    ["ingest", "advance", "sweep"].map(of).concat()
}
