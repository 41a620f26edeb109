//! `get` and `watch`: a run as a tree, once or until it ends.

use std::io::IsTerminal;
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_engine::ids::RunUid;

use crate::args::{GetArgs, RunOutput};
use crate::bell;
use crate::commands::run::exit_of;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::lookup;
use crate::output::{self, say, terminal, tree};

/// Shows a run.
///
/// # Errors
/// When there is no such run.
#[tokio::main(flavor = "current_thread")]
pub async fn get(global: &Global, args: &GetArgs) -> Result<Exit, CliError> {
    let store = lookup::reader(global).await?;
    let entry = lookup::entry(&store, global, &args.run).await?;
    let selectors: Vec<_> = args.node_field_selector.iter().chain(&args.status).collect();
    if selectors.is_empty() {
        output::stored_run(&store, &entry.uid, args.output).await?;
        return Ok(Exit::Succeeded);
    }
    let mut view = lookup::view(&store, &entry.uid).await?;
    view.choose(&selectors);
    output::run(&view, SystemClock.now(), args.output)?;
    Ok(Exit::Succeeded)
}

/// Follows a run until it ends; the exit code is the run's.
///
/// # Errors
/// When there is no such run.
#[tokio::main(flavor = "current_thread")]
pub async fn watch(global: &Global, run: &str) -> Result<Exit, CliError> {
    let store = lookup::reader(global).await?;
    let entry = lookup::entry(&store, global, run).await?;
    follow(&store, &entry.uid, &entry.name).await
}

/// Draws a run's tree until it ends; the exit code is the run's.
///
/// # Errors
/// When it can't be read.
pub async fn follow(store: &Home, uid: &RunUid, name: &str) -> Result<Exit, CliError> {
    let live = std::io::stderr().is_terminal();
    let mut sketch = lookup::sketch(store, uid).await?;
    let mut first = true;
    loop {
        // Asked before the journal is read: what an owner wrote before it left is seen.
        let answered = store.is_answered();
        let news = sketch.look_again(store, uid).await? || std::mem::take(&mut first);
        let view = &sketch.view;
        if view.state.phase.completed() || !answered {
            output::run(view, SystemClock.now(), RunOutput::Tree)?;
        }
        if view.state.phase.completed() {
            return Ok(exit_of(view.state.phase));
        }
        if !answered {
            say(bell::UNANSWERED);
            return Ok(Exit::Trouble);
        }
        if live {
            let drawn = tree::draw(view, SystemClock.now(), output::style(false));
            let fitted = terminal::fit(&drawn, terminal::size());
            say(&format!("\u{1b}[2J\u{1b}[H{}", fitted.trim_end()));
        } else if news {
            say(&format!("{name} {} {}/{}", view.state.phase, view.state.progress.0, view.state.progress.1));
        }
        tokio::time::sleep(store.pause(Duration::from_millis(300))).await;
    }
}

/// Waits until a run ends; the exit code is the run's.
///
/// # Errors
/// When it can't be read.
pub async fn wait(store: &Home, uid: &RunUid) -> Result<Exit, CliError> {
    let mut sketch = lookup::sketch(store, uid).await?;
    loop {
        // Asked before the journal is read: what an owner wrote before it left is seen.
        let answered = store.is_answered();
        sketch.look_again(store, uid).await?;
        let phase = sketch.view.state.phase;
        if phase.completed() {
            return Ok(exit_of(phase));
        }
        if !answered {
            say(bell::UNANSWERED);
            return Ok(Exit::Trouble);
        }
        tokio::time::sleep(store.pause(Duration::from_millis(150))).await;
    }
}
