use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dropforge_engine::attempt::StoredObject;
use dropforge_manifest::types::{GitLocation, KeySelector};

use crate::git::load;
use crate::step::told;
use crate::variables::LocalObjects;

mod upstream;

use upstream::{Upstream, git, has_git};

/// A machine without git can serve no repository.
macro_rules! served {
    () => {
        match has_git() {
            true => Upstream::new(),
            false => {
                println!("SKIPPED: cloning from a real git server (no `git http-backend` here)");
                return;
            }
        }
    };
}

/// A clone of `location`, in a folder of its own.
fn cloned(location: &GitLocation) -> (tempfile::TempDir, Result<StoredObject, String>) {
    let at = tempfile::tempdir().unwrap();
    let secrets = at.path().join("secrets/login");
    fs::create_dir_all(&secrets).unwrap();
    for (key, value) in [("user", "me\n"), ("password", "hunter2"), ("wrong", "hunter3"), ("key", "a key")] {
        fs::write(secrets.join(key), value).unwrap();
    }
    let secrets = LocalObjects::secrets(secrets.parent());
    let (to, key) = (at.path().join("clone"), at.path().join("key"));
    let loaded = load("code", location, &secrets, &to, &key).map_err(|error| told(&error));
    assert!(!key.exists());
    (at, loaded)
}

fn clone(location: &GitLocation) -> Clone {
    let (at, loaded) = cloned(location);
    Clone { read: loaded.unwrap(), folder: at.path().join("clone"), _at: at }
}

fn refusal(location: &GitLocation) -> String {
    cloned(location).1.unwrap_err()
}

struct Clone {
    read: StoredObject,
    folder: PathBuf,
    _at: tempfile::TempDir,
}

impl Clone {
    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(file)).ok()
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.folder, arguments)
    }
}

fn of(repo: String) -> GitLocation {
    GitLocation { repo, ..GitLocation::default() }
}

fn at(repo: String, revision: &str) -> GitLocation {
    GitLocation { revision: Some(revision.to_owned()), ..of(repo) }
}

fn selector(key: &str) -> Option<KeySelector> {
    Some(KeySelector { name: "login".to_owned(), key: key.to_owned(), optional: None })
}

#[test]
fn a_clone_is_one_that_git_itself_finds_clean() {
    let upstream = served!();
    let url = upstream.url("app");
    let clone = clone(&of(url.clone()));
    assert_eq!(clone.git(&["status", "--porcelain"]), "");
    assert_eq!(clone.git(&["fsck", "--full"]), "");
    assert_eq!(clone.git(&["branch", "--show-current"]), "main");
    assert_eq!(clone.git(&["rev-parse", "@{upstream}"]), upstream.commit("app", "main"));
    assert_eq!(clone.git(&["remote", "get-url", "origin"]), url);
    let executable =
        |file: &str| clone.folder.join(file).metadata().unwrap().permissions().mode() & 0o111 != 0;
    assert_eq!((executable("run.sh"), executable("a.txt")), (true, false));
    assert_eq!(fs::read_link(clone.folder.join("sub dir/link")).unwrap(), Path::new("../a.txt"));
    let read = StoredObject {
        name: "code".to_owned(),
        key: url,
        size: 23,
        version_id: Some(upstream.commit("app", "main")),
        ..StoredObject::default()
    };
    assert_eq!(clone.read, read);
}

#[test]
fn a_revision_is_a_branch_a_tag_or_a_commit() {
    let upstream = served!();
    let (first, short) = (upstream.commit("app", "main~1"), upstream.commit("app", "main~1")[..9].to_owned());
    let cases = [
        ("main", "two"),
        ("feature", "three"),
        ("refs/heads/feature", "three"),
        ("origin/feature", "three"),
        ("v1", "one"),
        ("light", "one"),
        (first.as_str(), "one"),
        (short.as_str(), "one"),
        ("HEAD~1", "one"),
    ];
    for (revision, text) in cases {
        let clone = clone(&at(upstream.url("app"), revision));
        assert_eq!(clone.text("a.txt").as_deref(), Some(text), "{revision}");
        assert_eq!(clone.git(&["status", "--porcelain"]), "", "{revision}");
        assert_eq!(clone.read.version_id, Some(clone.git(&["rev-parse", "HEAD"])), "{revision}");
    }
    let why = refusal(&at(upstream.url("app"), "v9"));
    assert_eq!(
        why,
        format!(
            "failed to resolve revision \"v9\": reference not found: {:?} has no such branch, tag or commit",
            upstream.url("app")
        )
    );
}

#[test]
fn depth_leaves_history_out_and_a_commit_beyond_it_can_still_be_named() {
    let upstream = served!();
    let shallow = |revision| GitLocation { depth: Some(1), ..at(upstream.url("app"), revision) };
    let newest = clone(&shallow(""));
    assert_eq!(newest.git(&["rev-list", "--count", "HEAD"]), "1");
    assert_eq!(newest.git(&["rev-parse", "--is-shallow-repository"]), "true");
    assert_eq!(newest.git(&["status", "--porcelain"]), "");
    assert_eq!(clone(&shallow("feature")).text("a.txt").as_deref(), Some("three"));
    assert_eq!(clone(&shallow("v1")).text("a.txt").as_deref(), Some("one"));
    let middle = upstream.commit("app", "feature~1");
    assert_eq!(clone(&shallow(&middle)).text("a.txt").as_deref(), Some("half"));
    assert!(refusal(&shallow("HEAD~1")).contains("`depth` and `singleBranch` leave most commits out"));
}

#[test]
fn a_single_branch_comes_alone() {
    let upstream = served!();
    let single = |branch: Option<&str>| GitLocation {
        single_branch: true,
        branch: branch.map(str::to_owned),
        ..of(upstream.url("app"))
    };
    let clone = clone(&single(Some("feature")));
    assert_eq!(clone.text("a.txt").as_deref(), Some("three"));
    assert_eq!(clone.git(&["branch", "-r", "--format=%(refname)"]), "refs/remotes/origin/feature");
    assert_eq!(clone.git(&["branch", "--show-current"]), "feature");
    let missing = refusal(&single(Some("none")));
    assert!(missing.ends_with("reference not found: there is no branch \"none\""), "{missing}");
    assert!(refusal(&single(None)).starts_with("single branch mode without a branch specified"));
}

#[test]
fn what_fetch_names_is_there_too() {
    let upstream = served!();
    let pull = |spec: &str| GitLocation {
        fetch: vec![spec.to_owned()],
        ..at(upstream.url("app"), "refs/pull/7/head")
    };
    let clone = clone(&pull("refs/pull/*/head:refs/pull/*/head"));
    assert_eq!(clone.text("a.txt").as_deref(), Some("pulled"));
    let missing = refusal(&pull("refs/pull/8/head:refs/pull/8/head"));
    assert!(missing.starts_with("failed to fetch \"refs/pull/8/head:refs/pull/8/head\": "), "{missing}");
    let damaged = refusal(&pull("a:b:c"));
    assert!(damaged.starts_with("failed to fetch \"a:b:c\": "), "{damaged}");
}

#[test]
fn submodules_come_along_unless_they_are_not_wanted() {
    let upstream = served!();
    upstream.outer();
    let with = clone(&of(upstream.url("outer")));
    assert_eq!(with.text("inner/a.txt").as_deref(), Some("one"));
    assert_eq!(with.text("nested/app/a.txt").as_deref(), Some("two"));
    assert_eq!(with.git(&["status", "--porcelain"]), "");
    assert!(with.git(&["submodule", "status"]).starts_with(&upstream.commit("app", "main~1")[..7]));
    let without = clone(&GitLocation { disable_submodules: true, ..of(upstream.url("outer")) });
    assert_eq!(fs::read_dir(without.folder.join("inner")).unwrap().count(), 0);
    assert!(with.read.size > without.read.size);
    let broken = refusal(&at(upstream.url("outer"), "broken"));
    assert!(broken.starts_with("failed to update submodule \"inner\""), "{broken}");
}

#[test]
fn an_empty_repository_is_an_empty_clone() {
    let upstream = served!();
    let clone = clone(&of(upstream.url("empty")));
    assert_eq!(clone.read.version_id, None);
    assert_eq!(clone.git(&["branch", "--show-current"]), "master");
    assert_eq!(clone.git(&["remote", "get-url", "origin"]), upstream.url("empty"));
}

#[test]
fn a_private_repository_opens_for_its_secrets_only() {
    let upstream = served!();
    let url = upstream.url("private/app");
    let asked = refusal(&of(url.clone()));
    assert!(asked.starts_with(&format!("failed to clone {url:?}: authentication required: ")), "{asked}");
    let login = |key| GitLocation {
        username_secret: selector("user"),
        password_secret: selector(key),
        ..of(url.clone())
    };
    let refused = refusal(&login("wrong"));
    assert!(refused.contains(": authorization failed: the server refuses"), "{refused}");
    assert!(!refused.contains("hunter3"));
    assert!(refusal(&login("none")).contains("\"login\" has no key \"none\""));
    let clone = clone(&login("password"));
    assert_eq!(clone.text("a.txt").as_deref(), Some("two"));
    assert!(!clone.text(".git/config").unwrap().contains("hunter2"));
    // A redirection to another path of the same server keeps them, one to another server does not.
    let moved = GitLocation { repo: upstream.url("moved/private/app"), ..login("password") };
    assert_eq!(cloned(&moved).1.unwrap().version_id, clone.read.version_id);
    let elsewhere = GitLocation { repo: upstream.url("elsewhere/private/app"), ..login("password") };
    assert!(refusal(&elsewhere).contains("authorization failed"));
}

#[test]
fn a_repository_that_is_not_there_says_so() {
    let upstream = served!();
    let missing = refusal(&of(upstream.url("none")));
    assert!(missing.contains(": repository not found (404 Not Found)"), "{missing}");
    let unknown = refusal(&of("https://no-such-host.invalid/a".to_owned()));
    assert_eq!(
        unknown,
        "failed to clone \"https://no-such-host.invalid/a\": Get \"https://no-such-host.invalid/a/info/refs?service=git-upload-pack\": dial tcp: lookup: no such host"
    );
    let refused = refusal(&of("http://127.0.0.1:1/a".to_owned()));
    assert!(refused.ends_with("connect: connection refused"), "{refused}");
    let page = refusal(&of(upstream.url("page")));
    assert!(page.contains("smart"), "{page}");
    let url = refusal(&of("ext::sh -c id".to_owned()));
    assert!(url.starts_with("the git repo \"ext::sh -c id\" can't be cloned: "), "{url}");
}

#[test]
fn a_folder_of_this_machine_can_be_cloned() {
    let upstream = served!();
    for url in
        [format!("file://{}", upstream.folder("app").display()), upstream.folder("app").display().to_string()]
    {
        assert_eq!(clone(&at(url, "v1")).text("a.txt").as_deref(), Some("one"));
    }
    let missing = refusal(&of("file:///no/such/folder".to_owned()));
    assert!(missing.starts_with("failed to clone \"file:///no/such/folder\": "), "{missing}");
}

#[test]
fn hostile_content_is_refused_and_nothing_of_it_is_run() {
    let upstream = served!();
    upstream.hostile();
    let marker = upstream.marker();
    let cases = [
        ("out", "\"dir/out\" is a link that may lead out of the repository's folder"),
        ("absolute", "\"out\" is a link that may lead out of the repository's folder"),
        ("dotgit", "\".git\" is no name of a file"),
        ("parent", "\"..\" is no name of a file"),
        ("twice", "\"a\" is in its folder twice"),
        ("bomb", "it has more than 1000000 files and folders"),
    ];
    for (revision, why) in cases {
        let refused = refusal(&at(upstream.url("hostile"), revision));
        assert!(refused.starts_with("failed to checkout ") && refused.contains(why), "{revision}: {refused}");
    }
    let clone = clone(&at(upstream.url("hostile"), "programs"));
    assert_eq!(clone.text("a.txt").as_deref(), Some("text"));
    assert!(!marker.exists());
    // A file of this machine, named as a submodule by a repository from elsewhere.
    let theft = refusal(&at(upstream.url("hostile"), "theft"));
    assert!(theft.contains("a submodule may not be a path of this machine"), "{theft}");
}

#[test]
fn a_pack_that_claims_four_billion_objects_or_ends_early_is_an_error() {
    let upstream = served!();
    let claimed = refusal(&of(upstream.url("claims/app")));
    assert!(claimed.starts_with("failed to clone "), "{claimed}");
    let cut = refusal(&of(upstream.url("cut/app")));
    assert!(cut.starts_with("failed to clone "), "{cut}");
}
