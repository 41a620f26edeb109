//! `demo`: the main job once, start to end: a dev server, a dropped CSV, a trained model.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::store::{Index, IndexEntry};
use dropforge_storage::directory::{Access, DirectoryStore};

use crate::args::{DemoArgs, RunOutput};
use crate::commands::dev::READY;
use crate::commands::run::exit_of;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::lookup;
use crate::output::{self, say};

/// The sample that the demo runs, in the program itself, so that it needs no checkout.
const FILES: [(&str, &str); 4] = [
    ("pipeline.yaml", include_str!("../../../../samplepipelines/ml-pipeline/pipeline.yaml")),
    ("trigger.yaml", include_str!("../../../../samplepipelines/ml-pipeline/trigger.yaml")),
    ("dropforge.toml", include_str!("../../../../samplepipelines/ml-pipeline/dropforge.toml")),
    ("data/first.csv", include_str!("../../../../samplepipelines/ml-pipeline/data/first.csv")),
];

const BUCKET: &str = "uploads";
const KEY: &str = "ml-pipeline/first.csv";

/// Runs the demo; the exit code is the run's.
///
/// # Errors
/// When the folder can't be written, or the dev server ends too early.
pub fn demo(global: &Global, args: &DemoArgs) -> Result<Exit, CliError> {
    lay_out(&args.dir)?;
    let store = if global.store == Path::new(".dropforge") {
        args.dir.join(".dropforge")
    } else {
        global.store.clone()
    };
    let global = Global { store, ..global.clone() };
    say(&format!("1. the pipeline, its trigger and a table lie in {}", args.dir.display()));
    say("2. starting the dev server: dropforge dev");
    let mut server = Server::start(&global, args)?;
    let before = SystemClock.now();
    server.wait_until_ready()?;
    drop_file(&global, &args.dir)?;
    let entry = server.wait_for_run(&global, before)?;
    let exit = report(&global, &entry)?;
    server.stop()?;
    say("");
    say(&format!("again, by hand: dropforge dev {}   (then drop your own CSV)", args.dir.display()));
    Ok(exit)
}

fn lay_out(dir: &Path) -> Result<(), CliError> {
    for (name, text) in FILES {
        let path = dir.join(name);
        let failed = |source| CliError::File { action: "write", path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(there) if there == text => continue,
            Ok(_) => {
                return Err(CliError::Usage(format!(
                    "{} is there and is not the demo's: give the demo a folder of its own, `dropforge demo DIR`",
                    path.display()
                )));
            }
            Err(_) => {}
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, text).map_err(failed)?;
    }
    Ok(())
}

/// Puts the table into the bucket's folder, as `cp` or `aws s3 cp` would.
fn drop_file(global: &Global, dir: &Path) -> Result<(), CliError> {
    let from = dir.join("data/first.csv");
    let to = global.store.join("buckets").join(BUCKET).join(KEY);
    let failed = |source| CliError::File { action: "write", path: to.clone(), source };
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    say(&format!("3. dropping the table: cp {} {}", from.display(), to.display()));
    fs::copy(&from, &to).map_err(failed)?;
    Ok(())
}

/// The dev server as a process of its own, as a person would start it.
struct Server {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Server {
    fn start(global: &Global, args: &DemoArgs) -> Result<Server, CliError> {
        let failed = |source| CliError::Machine { what: "start the dev server".to_owned(), source };
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("--store").arg(&global.store).arg("dev").arg(&args.dir).args(["--port", "0"]);
        if args.offline {
            command.arg("--offline");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (tell, lines) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    say(&format!("   | {line}"));
                    if tell.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Server { child, lines })
    }

    fn wait_until_ready(&mut self) -> Result<(), CliError> {
        loop {
            match self.lines.recv() {
                Ok(line) if line.contains(READY) => return Ok(()),
                Ok(_) => {}
                Err(mpsc::RecvError) => return Err(self.ended()),
            }
        }
    }

    /// Waits for the end of the run that the drop started.
    fn wait_for_run(&mut self, global: &Global, since: jiff::Timestamp) -> Result<IndexEntry, CliError> {
        loop {
            let over = match DirectoryStore::open(&global.store, Access::Reader) {
                Ok(store) => finished(&store, global, since)?,
                Err(_) => None,
            };
            if let Some(entry) = over {
                return Ok(entry);
            }
            // The server says a line for whatever happens; without one the list is looked at again all the same.
            if let Err(mpsc::RecvTimeoutError::Disconnected) =
                self.lines.recv_timeout(Duration::from_millis(200))
            {
                return Err(self.ended());
            }
        }
    }

    fn ended(&mut self) -> CliError {
        let how = self.child.wait().map_or_else(|why| why.to_string(), |status| status.to_string());
        CliError::Below {
            what: "run the dev server",
            why: format!("it ended early ({how}); its last lines say why"),
        }
    }

    fn stop(&mut self) -> Result<(), CliError> {
        let failed = |source| CliError::Machine { what: "end the dev server".to_owned(), source };
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::INT).map_err(|e| failed(e.into()))?;
        }
        self.child.wait().map_err(failed)?;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn finished(
    store: &DirectoryStore,
    global: &Global,
    since: jiff::Timestamp,
) -> Result<Option<IndexEntry>, CliError> {
    let entries = store.entries(Some(&global.namespace)).await?;
    Ok(entries.into_iter().find(|e| e.created_at >= since && e.phase.completed()))
}

#[tokio::main(flavor = "current_thread")]
async fn report(global: &Global, entry: &IndexEntry) -> Result<Exit, CliError> {
    let store = lookup::reader(global).await?;
    let view = lookup::view(&store, &entry.uid).await?;
    say("");
    output::run(&view, SystemClock.now(), RunOutput::Tree)?;
    if let Some(accuracy) = view.state.metrics.get("accuracy") {
        output::text(&format!("\naccuracy on rows it has not seen: {:.1} %\n", accuracy * 100.0))?;
        let model = model(global, &entry.name);
        output::text(&format!("the model: {}\n", model.display()))?;
        output::text(&format!(
            "what it was made from: dropforge --store {} explain {} model-training\n",
            global.store.display(),
            entry.name
        ))?;
    }
    Ok(exit_of(view.state.phase))
}

fn model(global: &Global, run: &str) -> PathBuf {
    global
        .store
        .join("artifacts")
        .join(&global.namespace)
        .join("models/ml-pipeline")
        .join(run)
        .join("model.joblib")
}
