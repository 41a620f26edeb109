//! Repositories made and served by git itself: `git http-backend` behind a small server on loopback.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Repositories and their server, which ends with the process.
pub struct Upstream {
    at: tempfile::TempDir,
    port: u16,
}

/// Whether git and its http server are here.
pub fn has_git() -> bool {
    Command::new("git").args(["http-backend"]).output().is_ok_and(|out| !out.stdout.is_empty())
}

/// What git says; it must succeed.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    fed(folder, arguments, b"")
}

fn fed(folder: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let done = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "git {arguments:?}: {out}{err}");
    out.trim().to_owned()
}

impl Upstream {
    /// Makes `app` and `empty`, and serves all that is made.
    pub fn new() -> Self {
        let at = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Upstream { port: listener.local_addr().unwrap().port(), at };
        upstream.app();
        git(upstream.at.path(), &["init", "-q", "--bare", "empty"]);
        let root = upstream.at.path().to_path_buf();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let root = root.clone();
                thread::spawn(move || serve(&root, stream));
            }
        });
        upstream
    }

    /// Where a repository is served.
    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// Where a repository lies.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.at.path().join(name)
    }

    /// The commit that a revision names.
    pub fn commit(&self, name: &str, revision: &str) -> String {
        git(&self.folder(name), &["rev-parse", revision])
    }

    /// A file that exists once something of a repository was run.
    pub fn marker(&self) -> PathBuf {
        self.at.path().join("was-run")
    }

    fn init(&self, name: &str) -> PathBuf {
        git(self.at.path(), &["init", "-q", "-b", "main", name]);
        self.folder(name)
    }

    fn app(&self) {
        let app = self.init("app");
        let commit = |text: &str| {
            fs::write(app.join("a.txt"), text).unwrap();
            git(&app, &["add", "."]);
            git(&app, &["commit", "-qm", text]);
        };
        fs::create_dir(app.join("sub dir")).unwrap();
        std::os::unix::fs::symlink("../a.txt", app.join("sub dir/link")).unwrap();
        fs::write(app.join("run.sh"), "#!/bin/sh\necho running\n").unwrap();
        git(&app, &["add", "--chmod=+x", "run.sh"]);
        fs::set_permissions(app.join("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(app.join("run.sh"), "#!/bin/sh\necho hi\n\n\n").unwrap();
        commit("one");
        git(&app, &["tag", "-a", "v1", "-m", "first"]);
        git(&app, &["tag", "light"]);
        commit("two");
        git(&app, &["checkout", "-qb", "feature"]);
        commit("half");
        commit("three");
        commit("pulled");
        git(&app, &["update-ref", "refs/pull/7/head", "HEAD"]);
        git(&app, &["reset", "-q", "--hard", "HEAD~1"]);
        git(&app, &["checkout", "-q", "main"]);
    }

    /// Adds a repository with submodules: `inner` is `app` at its first commit, `nested` holds `app` itself.
    pub fn outer(&self) {
        let nested = self.init("nested");
        git(&nested, &["submodule", "--quiet", "add", "../app", "app"]);
        git(&nested, &["config", "-f", ".gitmodules", "submodule.app.url", "../app"]);
        git(&nested, &["add", "."]);
        git(&nested, &["commit", "-qm", "one"]);
        let outer = self.init("outer");
        for (url, path) in [("../app", "inner"), ("../nested", "nested")] {
            git(&outer, &["submodule", "--quiet", "add", url, path]);
        }
        git(&outer.join("inner"), &["checkout", "-q", "v1"]);
        git(&outer, &["add", "."]);
        git(&outer, &["commit", "-qm", "one"]);
        git(&outer, &["checkout", "-qb", "broken"]);
        git(&outer, &["config", "-f", ".gitmodules", "submodule.inner.url", "../none"]);
        git(&outer, &["commit", "-qam", "broken"]);
        git(&outer, &["checkout", "-q", "main"]);
    }

    /// Adds a repository with a branch for each trick.
    pub fn hostile(&self) {
        let repo = self.init("hostile");
        let blob = |text: &str| fed(&repo, &["hash-object", "-w", "--stdin"], text.as_bytes());
        let tree = |entries: &[(&str, &str, &str)]| {
            let entry = |(mode, name, id): &(&str, &str, &str)| {
                let id: Vec<u8> =
                    (0..40).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()).collect();
                [format!("{mode} {name}\0").as_bytes(), &id].concat()
            };
            let raw: Vec<u8> = entries.iter().flat_map(entry).collect();
            fed(&repo, &["hash-object", "-w", "-t", "tree", "--literally", "--stdin"], &raw)
        };
        let branch = |name: &str, tree: &str| {
            let commit = git(&repo, &["commit-tree", tree, "-m", name]);
            git(&repo, &["update-ref", &format!("refs/heads/{name}"), &commit]);
        };
        let (text, out, absolute) = (blob("text"), blob("../../out"), blob("/tmp"));
        branch("main", &tree(&[("100644", "a", &text)]));
        branch("out", &tree(&[("40000", "dir", &tree(&[("120000", "out", &out)]))]));
        branch("absolute", &tree(&[("120000", "out", &absolute)]));
        branch("dotgit", &tree(&[("40000", ".git", &tree(&[("100644", "config", &text)]))]));
        branch("parent", &tree(&[("40000", "..", &tree(&[("100644", "a", &text)]))]));
        let inside = tree(&[("100644", "b", &text)]);
        branch("twice", &tree(&[("120000", "a", &blob(".")), ("40000", "a", &inside)]));
        let mut bomb = tree(&[("100644", "a", &text)]);
        for _ in 0..8 {
            let names: Vec<String> = (0..16).map(|n| format!("{n:02}")).collect();
            let entries: Vec<(&str, &str, &str)> =
                names.iter().map(|name| ("40000", name.as_str(), bomb.as_str())).collect();
            bomb = tree(&entries);
        }
        branch("bomb", &bomb);
        let command = format!("touch {}", self.marker().display());
        let modules = blob(&format!(
            "[submodule \"m\"]\n\tpath = m\n\turl = ../app\n\tupdate = !{command}\n[filter \"f\"]\n\tsmudge = {command}\n[core]\n\tfsmonitor = {command}\n"
        ));
        let attributes = blob("* filter=f\n");
        let app = self.commit("app", "main");
        branch(
            "programs",
            &tree(&[
                ("100644", ".gitattributes", &attributes),
                ("100644", ".gitmodules", &modules),
                ("100644", "a.txt", &text),
                ("160000", "m", &app),
            ]),
        );
        let theft =
            blob(&format!("[submodule \"m\"]\n\tpath = m\n\turl = {}\n", self.folder("app").display()));
        branch("theft", &tree(&[("100644", ".gitmodules", &theft), ("160000", "m", &app)]));
    }
}

/// One request: some paths have a meaning of their own, the rest is git's.
fn serve(root: &Path, mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = headers(&mut reader)?;
    let header =
        |name: &str| headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let mut body = vec![0; header("content-length").parse().unwrap_or_default()];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    if path.starts_with("/page/") {
        return answer(&mut stream, "200 OK", "content-type: text/html\r\n", b"<html>hello</html>");
    }
    if let Some(rest) = target.strip_prefix("/moved/") {
        return answer(&mut stream, "302 Found", &format!("location: /{rest}\r\n"), b"");
    }
    if let Some(rest) = target.strip_prefix("/elsewhere/") {
        let port = stream.local_addr().ok()?.port();
        return answer(
            &mut stream,
            "302 Found",
            &format!("location: http://localhost:{port}/{rest}\r\n"),
            b"",
        );
    }
    let login = format!("Basic {}", BASE64_STANDARD.encode("me:hunter2"));
    if path.starts_with("/private/") && header("authorization") != login {
        return answer(&mut stream, "401 Unauthorized", "www-authenticate: Basic realm=x\r\n", b"");
    }
    let own =
        ["/private", "/claims", "/cut"].into_iter().find_map(|way| Some((way, path.strip_prefix(way)?)));
    let (way, path) = own.filter(|(_, path)| path.starts_with('/')).unwrap_or(("", path));
    let (status, head, mut content) = backend(root, &method, path, query, &headers, &body)?;
    if let Some(pack) = content.windows(4).position(|four| four == b"PACK") {
        match way {
            "/claims" => content[pack + 8..pack + 12].fill(0xff),
            "/cut" => content.truncate(pack + 40),
            _ => {}
        }
    }
    answer(&mut stream, &status, &head, &content)
}

fn headers(reader: &mut impl BufRead) -> Option<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Some(headers) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn answer(stream: &mut TcpStream, status: &str, head: &str, body: &[u8]) -> Option<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).ok()
}

/// Runs git's own server as a web server does; gives status, headers and body.
fn backend(
    root: &Path,
    method: &str,
    path: &str,
    query: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Option<(String, String, Vec<u8>)> {
    let header =
        |name: &str| headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(body).ok()?;
    let out = child.wait_with_output().ok()?.stdout;
    let end = out.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (mut status, mut head) = ("200 OK".to_owned(), String::new());
    for line in String::from_utf8_lossy(&out[..end]).lines() {
        match line.strip_prefix("Status: ") {
            Some(told) => status = told.to_owned(),
            None => head += &format!("{line}\r\n"),
        }
    }
    Some((status, head, out[end + 4..].to_vec()))
}
