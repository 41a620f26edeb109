//! How a repository is reached: `https` and `http` by this program itself, `git` by a plain connection, `ssh` and `file`
//! by the programs that git itself uses for them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gix::bstr::ByteSlice;
use gix::url::Scheme;
use gix_transport::Protocol;
use gix_transport::client::blocking_io::{Transport, connect, http, ssh};

use super::{GitError, Problem};

mod smart;

pub use smart::Smart;

/// Where a repository is.
#[derive(Clone, Debug)]
pub struct Address {
    /// As the manifest writes it.
    text: String,
    url: gix::Url,
}

impl Address {
    /// Reads `repo`.
    ///
    /// # Errors
    /// When it is no URL that can be cloned from.
    pub fn of(repo: &str) -> Result<Self, GitError> {
        let failed = |why: String| GitError::Address { repo: without_password(repo), why };
        let url = gix::url::parse(repo).map_err(|error| failed(format!("{error:#}")))?;
        match url.scheme {
            Scheme::Https | Scheme::Http | Scheme::Git | Scheme::Ssh if url.host().is_some() => {}
            Scheme::File => {}
            _ => {
                let why = "write https://host/path, ssh://user@host/path or user@host:path";
                return Err(failed(why.to_owned()));
            }
        }
        Ok(Address { text: repo.to_owned(), url })
    }

    /// As the manifest writes it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// For people and records: without a password.
    pub fn shown(&self) -> String {
        without_password(&self.text)
    }

    /// Whom credentials are for: scheme, host and port; nothing for a path of this machine.
    pub fn host(&self) -> Option<(String, Option<u16>)> {
        Some((self.url.host()?.to_ascii_lowercase(), self.url.port_or_default()))
    }

    /// Whether it is a path of this machine.
    pub fn is_local(&self) -> bool {
        self.url.scheme == Scheme::File
    }

    /// What a submodule of the repository at this address calls `url`.
    ///
    /// # Errors
    /// When it can't be cloned from, or leads to this machine's files from elsewhere.
    pub fn submodule(&self, url: &str) -> Result<Self, GitError> {
        let resolved = if url.starts_with("./") || url.starts_with("../") {
            relative(&self.text, url)
        } else {
            url.to_owned()
        };
        let address = Address::of(&resolved)?;
        if address.is_local() && !self.is_local() {
            let why = "a submodule may not be a path of this machine".to_owned();
            return Err(GitError::Address { repo: resolved, why });
        }
        Ok(address)
    }
}

/// `base` with the steps of `url`, as git resolves a submodule's relative URL.
fn relative(base: &str, url: &str) -> String {
    let mut base = base.trim_end_matches('/').to_owned();
    let mut rest = url;
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            let end = base.rfind(['/', ':']).unwrap_or_default();
            base.truncate(end);
            rest = after;
        } else {
            return format!("{base}/{rest}");
        }
    }
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, host)) if user.contains(':') => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{host}{}", &rest[end..])
        }
        _ => url.to_owned(),
    }
}

/// With what a repository is reached.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Name and password.
    pub basic: Option<(String, String)>,
    /// A private key, and the file into which it may be written.
    pub ssh_key: Option<(String, PathBuf)>,
    /// Whether any host is believed to be itself.
    pub ignore_host_key: bool,
    /// Whether any certificate is taken for good.
    pub skip_tls: bool,
    /// Whom all of that is for.
    pub home: Option<(String, Option<u16>)>,
}

/// A connection that is not made yet, and what it may have to tell.
pub struct Connection {
    /// The connection.
    pub transport: Box<dyn Transport + Send>,
    problem: Arc<Mutex<Option<Problem>>>,
}

/// What a connection has to tell, where git's own words are poorer.
#[derive(Clone)]
pub struct Told(Arc<Mutex<Option<Problem>>>);

impl Told {
    /// What went wrong: what the connection said, else what git says.
    pub fn problem(&self, error: gix::Error) -> Problem {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        told.unwrap_or_else(|| Problem::from(error))
    }
}

impl Connection {
    /// What it may tell later.
    pub fn told(&self) -> Told {
        Told(Arc::clone(&self.problem))
    }
}

impl Access {
    /// The connection to `address`. Only the host of the artifact's own repository gets to see the credentials.
    ///
    /// # Errors
    /// When there can't be one.
    pub fn connect(&self, address: &Address) -> Result<Connection, Problem> {
        let problem = Arc::new(Mutex::new(None));
        let own = address.host() == self.home;
        let mut url = address.url.clone();
        if matches!(url.scheme, Scheme::Http | Scheme::Https) {
            let named =
                url.user().map(|user| (user.to_owned(), url.password().unwrap_or_default().to_owned()));
            let basic = self.basic.clone().filter(|_| own).or(named);
            url.set_user(None);
            url.set_password(None);
            let smart = Smart::new(basic, self.skip_tls && own, Arc::clone(&problem));
            let transport = http::connect_http(smart, url, Protocol::V2, false);
            return Ok(Connection { transport: Box::new(transport), problem });
        }
        let mut ssh = ssh::connect::Options::default();
        match url.scheme {
            Scheme::Ssh => {
                find("ssh", "use an https URL with `usernameSecret` and `passwordSecret`")?;
                ssh = self.ssh(own)?;
                if url.user().is_none() {
                    url.set_user(Some("git".to_owned()));
                }
            }
            Scheme::File => find("git-upload-pack", "install git, or use an https URL")?,
            _ => {}
        }
        let options = connect::Options { version: Protocol::V2, ssh, trace: false };
        Ok(Connection { transport: connect::connect(url, options)?, problem })
    }

    /// The program and its options. It never asks anybody anything, and gives up on a silent host.
    fn ssh(&self, own: bool) -> Result<ssh::connect::Options, Problem> {
        let mut command =
            "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=30 -o ServerAliveCountMax=4"
                .to_owned();
        if self.ignore_host_key && own {
            command += " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
        } else {
            command += " -o StrictHostKeyChecking=yes";
        }
        if let Some((key, file)) = self.ssh_key.as_ref().filter(|_| own) {
            write_key(key, file).map_err(|source| Problem::Write { path: file.clone(), source })?;
            let file = gix::path::into_bstr(file).map_err(Problem::from)?;
            command += &format!(" -o IdentitiesOnly=yes -i {}", gix::quote::single(file.as_bstr()));
        }
        let kind = Some(ssh::ProgramKind::Ssh);
        Ok(ssh::connect::Options { command: Some(command.into()), disallow_shell: false, kind })
    }
}

/// `ssh` takes no key that others may read.
fn write_key(key: &str, file: &Path) -> io::Result<()> {
    let _ = fs::remove_file(file);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(key.trim_end().as_bytes())?;
    file.write_all(b"\n")
}

fn find(program: &'static str, remedy: &'static str) -> Result<(), Problem> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if found { Ok(()) } else { Err(Problem::NoProgram { program, remedy }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submodules_relative_url_is_resolved_as_git_does() {
        let cases = [
            ("https://h/a/b", "../c", "https://h/a/c"),
            ("https://h/a/b/", "./c", "https://h/a/b/c"),
            ("https://h/a/b.git", "../../x/c.git", "https://h/x/c.git"),
            ("git@h:a/b.git", "../c.git", "git@h:a/c.git"),
            ("/srv/a", "../c", "/srv/c"),
        ];
        for (base, url, resolved) in cases {
            assert_eq!(relative(base, url), resolved, "{base} {url}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        let cases = [
            ("https://me:secret@h/a@b", "https://me:***@h/a@b"),
            ("https://me@h/a", "https://me@h/a"),
            ("git@h:a/b.git", "git@h:a/b.git"),
            ("https://h/a:b@c", "https://h/a:b@c"),
        ];
        for (url, shown) in cases {
            assert_eq!(Address::of(url).unwrap().shown(), shown);
        }
    }

    #[test]
    fn what_a_submodule_calls_its_url_can_not_reach_this_machines_files_or_programs() {
        let far = Address::of("https://h/a").unwrap();
        for url in ["/etc", "file:///etc", "../../../../etc", "ext::sh -c id", "ssh:///x"] {
            let refused = match far.submodule(url) {
                Err(_) => true,
                Ok(address) => !address.is_local() && address.host().is_some(),
            };
            assert!(refused, "{url}");
        }
        assert!(far.submodule("file:///etc").is_err());
        assert!(far.submodule("ext::sh -c id").is_err());
        assert!(Address::of("/srv/a").unwrap().submodule("/srv/b").is_ok());
    }
}
