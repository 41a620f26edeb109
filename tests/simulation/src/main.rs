//! `simulate --schedules N [--seed S]`: lets worlds go on from seed S, tells which of them fail, and shrinks the first of
//! those, unless `--unshrunk` says not to. `--verbose` writes down what happens. `--requests` makes worlds on a bucket,
//! `--hasty` such in which all come at once, `--narrow` those of the first seeds, `--items N` such in which the first
//! workflow loops over so many; `--replays` compares every commit with what is on record. `--bugs` plants each bug in turn and tells how many seeds it takes until one catches it;
//! `--bug NAME` plants one in all worlds.

use dropforge_simulation_tests::bugs::Bug;
use dropforge_simulation_tests::plan::Plan;
use dropforge_simulation_tests::shrink::shrink;
use dropforge_simulation_tests::simulate;

/// A world makes and drops small things most of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// After so many worlds it is told how far it has come, so that one who is interrupted knows.
const TOLD_EVERY: u64 = 1_000;

/// Failing seeds that are shrunk: that takes hundreds of worlds each.
const SHRUNK_MAX: u64 = 1;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (first, many) = (number("--seed").unwrap_or(0), number("--schedules").unwrap_or(1));
    if flag("--bugs") {
        return plant(first, many);
    }
    let bug = Bug::ALL.iter().find(|bug| flag("--bug") && flag(&format!("{bug:?}")));
    let plan = Plan {
        verbose: flag("--verbose"),
        wide: !flag("--narrow"),
        requests: flag("--requests") || bug.is_some_and(|bug| bug.is_of_requests()),
        hasty: flag("--hasty") || bug.is_some_and(|bug| bug.is_of_haste()),
        replays: flag("--replays"),
        items: number("--items").and_then(|items| u32::try_from(items).ok()),
        bug: bug.copied(),
        ..Plan::new(first)
    };
    let failed = schedules(&plan, many, if flag("--unshrunk") { 0 } else { SHRUNK_MAX });
    std::process::exit(i32::from(failed > 0));
}

/// Worlds as this one, from its seed on.
fn schedules(like: &Plan, many: u64, shrunk_max: u64) -> u64 {
    let (mut failed, mut turns, first) = (0, 0, like.seed);
    for seed in first..first + many {
        let plan = Plan { seed, ..like.clone() };
        let report = simulate(&plan);
        turns += report.turns;
        report.story.iter().for_each(|line| println!("{line}"));
        let done = seed + 1 - first;
        if done.is_multiple_of(TOLD_EVERY) && done < many {
            println!("{done} schedules from seed {first} so far, {failed} failed, {turns} turns");
        }
        if report.wrong.is_empty() {
            continue;
        }
        failed += 1;
        let mut wrong = report.wrong;
        wrong.dedup();
        println!("seed {seed} fails: {}", wrong.join("\n  "));
        if failed <= shrunk_max && !plan.verbose {
            let Plan { without, dropped, .. } = shrink(&plan);
            println!("  it still fails without {without:?} and the parts {dropped:?}");
        }
    }
    println!("{many} schedules from seed {first}, {failed} failed, {turns} turns");
    failed
}

/// How many seeds it takes until each planted bug is caught.
fn plant(first: u64, many: u64) {
    for bug in Bug::ALL {
        let caught =
            (first..first + many).position(|seed| !simulate(&Plan::with_bug(seed, *bug)).wrong.is_empty());
        match caught {
            Some(seeds) => println!("| `{bug:?}` | {} |", seeds + 1),
            None => println!("| `{bug:?}` | not within {many} |"),
        }
    }
}
