//! `dropforge-scale [memory|directory|s3]… [STEPS]…`: what a step costs in runs of these sizes. Each run is played in a
//! process of its own, so that its memory is its own.

mod counted;
mod played;
mod traffic;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

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
/// The word by which this program asks itself for one run.
const ONE: &str = "one";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [one, store, steps] = words.as_slice()
        && one == ONE
    {
        return one_run(store, steps.parse()?);
    }
    let sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { SIZES.to_vec() } else { sizes };
    let stores: Vec<&str> =
        STORES.into_iter().filter(|store| words.iter().any(|word| word == store)).collect();
    if stores.len() + sizes.len() < words.len() {
        return Err(format!("usage: dropforge-scale [{}]… [STEPS]…", STORES.join("|")).into());
    }
    println!("store        steps      CPU µs   bytes written   store requests   of them GET   peak memory");
    println!("                        a step          a step           a step        a step           MiB");
    for store in if stores.is_empty() { STORES.to_vec() } else { stores } {
        for steps in sizes.iter().filter(|steps| store != "s3" || **steps <= S3_STEPS_MAX) {
            let program = std::env::current_exe()?;
            let run = Command::new(program).args([ONE, store, &steps.to_string()]).status()?;
            if !run.success() {
                return Err(format!("{steps} steps on {store} failed").into());
            }
        }
    }
    Ok(())
}

/// What one run took.
struct Cost {
    bytes: u64,
    requests: u64,
    /// Where the store is asked in requests that have a price.
    reads: Option<u64>,
}

/// Plays one run and prints its line.
fn one_run(store: &str, steps: usize) -> Result<()> {
    let cost = match store {
        "memory" => {
            let store = Counted::forgetful(MemoryStore::new());
            counted(steps, store).map(|requests| Cost { bytes: 0, requests, reads: None })?
        }
        "directory" => {
            let folder = tempfile::tempdir()?;
            let access = Access::Owner { what: "scale" };
            let store = Counted::new(DirectoryStore::open(&folder.path().join("store"), access)?);
            let requests = counted(steps, store)?;
            Cost { bytes: kept("/proc/self/io", "wchar:")?, requests, reads: None }
        }
        _ => {
            let Some(endpoint) = emulator::endpoint() else { return Ok(()) };
            dropforge_contracts::wait(async {
                let (store, traffic) = traffic::store(endpoint).await;
                played::play(Arc::new(store), steps).await?;
                let (bytes, requests) = (traffic.bytes(), traffic.requests());
                Result::Ok(Cost { bytes, requests, reads: Some(traffic.reads()) })
            })?
        }
    };
    let each = |total: u64| total as f64 / steps as f64;
    let reads = cost.reads.map_or("-".to_owned(), |reads| format!("{:.2}", each(reads)));
    println!(
        "{store:<10}{steps:>10}{:>12.1}{:>16.0}{:>17.2}{reads:>14}{:>14.0}",
        each(cpu_micros()),
        each(cost.bytes),
        each(cost.requests),
        kept("/proc/self/status", "VmHWM:")? as f64 / 1024.0,
    );
    Ok(())
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
