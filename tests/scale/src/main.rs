//! `dropforge-scale [memory|directory|s3]… [STEPS]…`: what a step costs in runs of these sizes, and whether that grows with
//! the run: then it says what does, and ends with 1. Each run is played in a process of its own, so that its memory is its
//! own. `gathers`: plays a run that gathers 100,000 outputs.

mod costs;
mod counted;
mod gathers;
mod played;
mod traffic;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use costs::Cost;
use counted::Counted;
use dropforge_contracts::emulator;
use dropforge_driver::store::RunStore;
use dropforge_storage::directory::{Access, DirectoryStore};
use dropforge_storage::memory::MemoryStore;
use rustix::time::{ClockId, clock_gettime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const STORES: [&str; 3] = ["memory", "directory", "s3"];
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// What the emulator takes in some minutes; it keeps all of it in memory.
const S3_STEPS_MAX: usize = 100_000;
/// Runs of so many steps are played so often.
const SHORT_STEPS: usize = 10_000;
const SHORT_TIMES: usize = 3;
/// The word for a run that gathers so many outputs.
const GATHERS: &str = "gathers";
const GATHERED: usize = 100_000;
/// The word by which this program asks itself for one run.
const ONE: &str = "one";

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [one, store, steps] = words.as_slice()
        && one == ONE
    {
        let cost = one_run(store, steps.parse()?)?;
        cost.iter().for_each(|cost| println!("{cost}"));
        return Ok(ExitCode::SUCCESS);
    }
    let sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let given = sizes.len();
    let mut sizes = if sizes.is_empty() { SIZES.to_vec() } else { sizes };
    sizes.sort_unstable();
    let stores: Vec<&str> =
        STORES.into_iter().filter(|store| words.iter().any(|word| word == store)).collect();
    let gathers = words.iter().any(|word| word == GATHERS);
    if stores.len() + given + usize::from(gathers) < words.len() {
        return Err(format!("usage: dropforge-scale [{GATHERS}|{}]… [STEPS]…", STORES.join("|")).into());
    }
    if gathers || words.is_empty() {
        let began = Instant::now();
        gathers::gather(GATHERED)?;
        println!("{GATHERED} outputs gathered in {:.1} s", began.elapsed().as_secs_f64());
        if words.len() == 1 {
            return Ok(ExitCode::SUCCESS);
        }
    }
    println!("store        steps      CPU µs   bytes written   store requests   of them GET   peak memory");
    println!("                        a step          a step           a step        a step           MiB");
    let mut grown = Vec::new();
    for store in if stores.is_empty() { STORES.to_vec() } else { stores } {
        let mut costs = Vec::new();
        for steps in sizes.iter().filter(|steps| store != "s3" || **steps <= S3_STEPS_MAX) {
            let cost = usual(store, *steps)?;
            cost.iter().for_each(|cost| println!("{}", cost.line(store)));
            costs.extend(cost);
        }
        grown.extend(costs::grown(&costs).into_iter().map(|what| format!("{store}: {what}")));
    }
    grown.iter().for_each(|what| println!("TOO MUCH: {what}"));
    Ok(ExitCode::from(u8::from(!grown.is_empty())))
}

/// Plays short runs more than once, and gives the one in the middle: what else the machine does counts for much in them.
fn usual(store: &str, steps: usize) -> Result<Option<Cost>> {
    let times = if steps <= SHORT_STEPS { SHORT_TIMES } else { 1 };
    let mut costs = Vec::new();
    for _ in 0..times {
        let Some(cost) = elsewhere(store, steps)? else { return Ok(None) };
        costs.push(cost);
    }
    costs.sort_unstable_by_key(|cost| cost.cpu_micros);
    Ok(Some(costs.swap_remove(times / 2)))
}

/// Plays one run in a process of its own; gives nothing where its store can't be had.
fn elsewhere(store: &str, steps: usize) -> Result<Option<Cost>> {
    let mut program = Command::new(std::env::current_exe()?);
    let run = program.args([ONE, store, &steps.to_string()]).stderr(Stdio::inherit()).output()?;
    if !run.status.success() {
        return Err(format!("{steps} steps on {store} failed").into());
    }
    let told = String::from_utf8(run.stdout)?;
    let (said, last) = told.trim_end().rsplit_once('\n').unwrap_or(("", told.trim_end()));
    let cost = last.parse().ok();
    // Without a cost it has said why there is none.
    let said = if cost.is_some() { said } else { told.trim_end() };
    said.lines().for_each(|line| println!("{line}"));
    Ok(cost)
}

/// Plays one run in this process.
fn one_run(store: &str, steps: usize) -> Result<Option<Cost>> {
    let (bytes, requests, reads) = match store {
        "memory" => {
            let store = Counted::forgetful(MemoryStore::new());
            (0, counted(steps, store)?, None)
        }
        "directory" => {
            let folder = tempfile::tempdir()?;
            let access = Access::Owner { what: "scale" };
            let store = Counted::new(DirectoryStore::open(&folder.path().join("store"), access)?);
            let requests = counted(steps, store)?;
            (kept("/proc/self/io", "wchar:")?, requests, None)
        }
        _ => {
            let Some(endpoint) = emulator::endpoint() else { return Ok(None) };
            dropforge_contracts::wait(async {
                let (store, traffic) = traffic::store(endpoint).await;
                played::play(Arc::new(store), steps).await?;
                Result::Ok((traffic.bytes(), traffic.requests(), Some(traffic.reads())))
            })?
        }
    };
    let memory_kib = kept("/proc/self/status", "VmHWM:")?;
    Ok(Some(Cost { steps, cpu_micros: cpu_micros(), bytes, requests, reads, memory_kib }))
}

/// Plays one run on a store of this process; gives how often the store was asked.
fn counted<S: RunStore>(steps: usize, store: Counted<S>) -> Result<u64> {
    let store = Arc::new(store);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(played::play(store.clone(), steps))?;
    Ok(store.requests())
}

/// What this process has computed, its calls of the kernel included.
fn cpu_micros() -> u64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec.unsigned_abs() * 1_000_000 + spent.tv_nsec.unsigned_abs() / 1_000
}

/// A number that the kernel keeps of this process.
fn kept(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(Path::new(file))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let number =
        value.and_then(|value| value.split_whitespace().next()).ok_or(format!("{file} has no {name}"))?;
    Ok(number.parse()?)
}
