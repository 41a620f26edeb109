//! `cp`: a run's output artifacts, copied out of the store.
//!
//! What goes where is settled first: nothing is written where anything is wrong with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dropforge_driver::store::{Artifacts, Place};
use dropforge_engine::view::{View, ViewNode};
use dropforge_executor::step::places::clean;
use dropforge_manifest::types::Artifact;

use crate::args::CpArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::global::Global;
use crate::home::Home;
use crate::lookup;
use crate::output::{data, say};

/// Copies artifacts to `DIR/<node>/<file>`.
///
/// # Errors
/// When there is no such run, node or artifact, a key leads out of `DIR`, two objects would become one file, or a file
/// can't be written.
#[tokio::main(flavor = "current_thread")]
pub async fn cp(global: &Global, args: &CpArgs) -> Result<Exit, CliError> {
    let store = lookup::reader(global).await?;
    let entry = lookup::entry(&store, global, &args.run).await?;
    let view = lookup::view(&store, &entry.uid).await?;
    let nodes: Vec<&ViewNode> = match &args.node {
        Some(node) => {
            let found = view.find(node);
            vec![found.ok_or_else(|| CliError::NoNode { run: entry.name.clone(), node: node.clone() })?]
        }
        None => with_attempts(&view).collect(),
    };
    let folders = Folders::of(with_attempts(&view).map(|node| view.display_name(node)));
    let mut plan = Plan::default();
    for node in nodes {
        let folder = folders.folder(&view.display_name(node), &node.name, !node.attempts.is_empty());
        for artifact in node.outputs.artifacts.iter().filter(|a| wanted(a, args)) {
            plan_artifact(&mut plan, &store, global, artifact, &folder).await?;
        }
    }
    for (to, place) in &plan.copies {
        fetch(&store, global, place, &args.dir.join(to)).await?;
    }
    if plan.copies.is_empty() {
        say(&format!("run {} has no such artifact", entry.name));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Succeeded)
}

fn with_attempts(view: &View) -> impl Iterator<Item = &ViewNode> {
    view.nodes.values().filter(|node| !node.attempts.is_empty())
}

fn wanted(artifact: &Artifact, args: &CpArgs) -> bool {
    args.artifact_name.as_ref().is_none_or(|name| artifact.name == *name)
}

/// How many nodes of a run would have a folder by their display name.
struct Folders(BTreeMap<String, usize>);

impl Folders {
    fn of(names: impl Iterator<Item = String>) -> Folders {
        let mut counts = BTreeMap::new();
        names.for_each(|name| *counts.entry(folder_name(&name)).or_default() += 1);
        Folders(counts)
    }

    /// A node's folder: by its display name where that means no other node, else by its full name.
    fn folder(&self, display: &str, full: &str, counted: bool) -> String {
        let own = folder_name(display);
        let others = self.0.get(&own).copied().unwrap_or(0) - usize::from(counted);
        if others == 0 { own } else { folder_name(full) }
    }
}

/// A node's name as one folder's.
fn folder_name(name: &str) -> String {
    name.replace(['/', '\0'], "_")
}

/// Which object becomes which file below `DIR`.
#[derive(Default)]
struct Plan {
    copies: Vec<(PathBuf, Place)>,
    taken: BTreeMap<PathBuf, String>,
}

impl Plan {
    /// Plans one object's copy; `parts` lead to it from `DIR`.
    ///
    /// # Errors
    /// When they lead elsewhere, or to another object's file.
    fn add(&mut self, parts: [&str; 3], place: Place) -> Result<(), CliError> {
        let to = below(parts).ok_or_else(|| {
            CliError::Usage(format!(
                "the key {:?} leads out of the folder that is named: nothing was copied; \
                 --artifact-name and --node leave its artifact out",
                place.key
            ))
        })?;
        if let Some(first) = self.in_the_way(&to) {
            return Err(CliError::Usage(format!(
                "the objects {first:?} and {:?} would both become {}: nothing was copied; \
                 copy them into folders of their own by --artifact-name and --node",
                place.key,
                to.display()
            )));
        }
        self.taken.insert(to.clone(), place.key.clone());
        self.copies.push((to, place));
        Ok(())
    }

    /// The object that becomes this file, or a folder of it, or a file of which it is a folder.
    fn in_the_way(&self, to: &Path) -> Option<&String> {
        let above = to.ancestors().find_map(|above| self.taken.get(above));
        // A folder's files come right behind it.
        let next = self.taken.range(to.to_path_buf()..).next();
        above.or(next.filter(|(path, _)| path.starts_with(to)).map(|(_, key)| key))
    }
}

/// A path that stays below where it begins; an empty part is left out.
fn below(parts: [&str; 3]) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let clean = clean(&format!("/{part}")).ok()?;
        let relative = clean.strip_prefix("/").ok().filter(|relative| *relative != Path::new(""))?;
        path.push(relative);
    }
    Some(path)
}

async fn plan_artifact(
    plan: &mut Plan,
    store: &Home,
    global: &Global,
    artifact: &Artifact,
    folder: &str,
) -> Result<(), CliError> {
    let Some(s3) = &artifact.s3 else { return Ok(()) };
    let place = Place::of(s3);
    if store.head(&global.namespace, &place).await?.is_some() {
        let last = place.key.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or(&artifact.name);
        return plan.add([folder, "", last], place.clone());
    }
    let below = store.list(&global.namespace, &place).await?;
    // A key that ends in `/` is a folder that somebody made by hand.
    for key in below.iter().filter(|key| !key.ends_with('/')) {
        let one =
            Place { bucket: place.bucket.clone(), key: format!("{}/{key}", place.key.trim_end_matches('/')) };
        plan.add([folder, &artifact.name, key], one)?;
    }
    Ok(())
}

async fn fetch(store: &Home, global: &Global, place: &Place, to: &PathBuf) -> Result<(), CliError> {
    if let Some(parent) = to.parent() {
        let failed = |source| CliError::File { action: "make", path: parent.to_path_buf(), source };
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // A fetched file may be a link into the store: the person gets a copy of their own.
    let part = to.with_extension("dropforge-part");
    store.fetch(&global.namespace, place, &part, &|_, _| {}).await?;
    let failed = |source| CliError::File { action: "write", path: to.clone(), source };
    std::fs::copy(&part, to).map_err(failed)?;
    std::fs::remove_file(&part).map_err(failed)?;
    data(&format!("{}\n", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str) -> Place {
        Place { bucket: None, key: key.to_owned() }
    }

    #[test]
    fn a_key_that_leads_out_of_the_folder_is_refused_by_name() {
        let mut plan = Plan::default();
        for parts in [["n", "a", "x/../../../etc"], ["n", "", ".."], ["..", "", "f"], ["n", "../..", "f"]] {
            let why = plan.add(parts, object("the/key")).unwrap_err().text();
            assert!(why.starts_with("the key \"the/key\" leads out"), "{why}");
        }
        assert!(plan.copies.is_empty());
        assert_eq!(below(["n", "a", "/etc/passwd"]), Some("n/a/etc/passwd".into()), "absolute is below, too");
        assert_eq!(below(["n", "a", "./b//c"]), Some("n/a/b/c".into()));
        assert_eq!(below(["n", "", "."]), None, "the folder itself is no file");
    }

    #[test]
    fn two_objects_never_become_one_file() {
        let mut plan = Plan::default();
        plan.add(["n", "", "model"], object("a/model")).unwrap();
        let why = plan.add(["n", "", "model"], object("b/model")).unwrap_err().text();
        assert!(
            why.starts_with("the objects \"a/model\" and \"b/model\" would both become n/model"),
            "{why}"
        );
        assert_eq!(plan.copies, [(PathBuf::from("n/model"), object("a/model"))]);
        // Nor one a file and the other something in a folder of its name.
        let mut plan = Plan::default();
        plan.add(["n", "", "x/y"], object("a/x/y")).unwrap();
        plan.add(["n", "", "x.y"], object("a/x.y")).unwrap();
        plan.add(["n", "", "x"], object("a/x")).unwrap_err();
        plan.add(["n", "", "x/y/z"], object("a/x/y/z")).unwrap_err();
    }

    #[test]
    fn a_folder_has_the_full_name_where_nodes_share_their_display_name() {
        let folders = Folders::of(["train", "train", "eval/0", "eval_1"].map(str::to_owned).into_iter());
        assert_eq!(folders.folder("train", "run.a.train", true), "run.a.train");
        assert_eq!(folders.folder("eval/0", "run.eval/0", true), "eval_0");
        assert_eq!(folders.folder("eval/1", "run.eval/1", false), "run.eval_1", "another node's folder");
        assert_eq!(folders.folder("report", "run.report", false), "report");
    }
}
