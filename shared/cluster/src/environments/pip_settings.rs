//! pip's settings, handed on to uv, which does not read them itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::probe;

/// Settings by pip's long option name, such as `index-url`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PipSettings(BTreeMap<String, String>);

/// What uv is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Handed {
    /// Environment variables; addresses go here, since they may hold passwords and arguments can be seen by all.
    pub environment: Vec<(&'static str, String)>,
    /// Arguments of `uv pip`.
    pub arguments: Vec<String>,
}

impl PipSettings {
    /// The settings of `python`'s pip: its files and the environment. An interpreter without pip has only the
    /// environment's.
    pub fn of(python: &Path) -> Self {
        let list = probe::ask(Command::new(python).args(["-I", "-m", "pip", "config", "list"]));
        let mut settings = Self::listed(&list.unwrap_or_default());
        for (name, value) in std::env::vars() {
            if let Some(key) = name.strip_prefix("PIP_") {
                settings.0.insert(key.to_lowercase().replace('_', "-"), value);
            }
        }
        settings
    }

    /// Reads `pip config list`. Environment variables stand over the section of the command, and that over
    /// `global`.
    pub fn listed(text: &str) -> Self {
        let mut ranked: Vec<(usize, String, String)> = text.lines().filter_map(line).collect();
        ranked.sort_by_key(|(rank, ..)| *rank);
        Self(ranked.into_iter().map(|(_, key, value)| (key, value)).collect())
    }

    /// What uv must be given to do as pip would. What the person set for uv itself (`is_set`) stands.
    pub fn for_uv(&self, is_set: impl Fn(&str) -> bool) -> Handed {
        const VARIABLES: [(&str, &str, &[&str]); 8] = [
            ("index-url", "UV_INDEX_URL", &["UV_INDEX_URL", "UV_DEFAULT_INDEX"]),
            ("extra-index-url", "UV_EXTRA_INDEX_URL", &["UV_EXTRA_INDEX_URL", "UV_INDEX"]),
            ("cert", "SSL_CERT_FILE", &["SSL_CERT_FILE"]),
            ("client-cert", "SSL_CLIENT_CERT", &["SSL_CLIENT_CERT"]),
            (
                "proxy",
                "ALL_PROXY",
                &["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "https_proxy", "http_proxy"],
            ),
            ("trusted-host", "UV_INSECURE_HOST", &["UV_INSECURE_HOST"]),
            ("default-timeout", "UV_HTTP_TIMEOUT", &["UV_HTTP_TIMEOUT"]),
            ("timeout", "UV_HTTP_TIMEOUT", &["UV_HTTP_TIMEOUT"]),
        ];
        let mut handed = Handed::default();
        for (key, variable, owners) in VARIABLES {
            if let Some(value) = self.0.get(key).filter(|_| !owners.iter().any(|name| is_set(name))) {
                let words = value.split_whitespace().collect::<Vec<_>>().join(" ");
                handed.environment.push((variable, words));
            }
        }
        // pip takes the best version of all indexes; uv by itself takes the first index that knows the name.
        if self.0.contains_key("extra-index-url") && !is_set("UV_INDEX_STRATEGY") {
            handed.environment.push(("UV_INDEX_STRATEGY", "unsafe-best-match".to_owned()));
        }
        handed.arguments = self.arguments();
        handed
    }

    fn arguments(&self) -> Vec<String> {
        let mut all = Vec::new();
        for place in self.words("find-links") {
            // pip passes over a folder that is not there; to uv it is an error.
            if place.contains("://") || Path::new(place).exists() {
                all.extend(["--find-links".to_owned(), place.to_owned()]);
            }
        }
        for key in ["only-binary", "no-binary"] {
            for name in self.words(key).flat_map(|names| names.split(',')).filter(|name| !name.is_empty()) {
                all.extend([format!("--{key}"), name.to_owned()]);
            }
        }
        if self.is_on("no-index") {
            all.push("--no-index".to_owned());
        }
        if self.is_on("pre") {
            all.push("--prerelease=allow".to_owned());
        }
        all
    }

    fn words(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flat_map(|value| value.split_whitespace())
    }

    fn is_on(&self, key: &str) -> bool {
        self.0
            .get(key)
            .is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str()))
    }
}

/// Reads `global.index-url='https://…'`.
fn line(text: &str) -> Option<(usize, String, String)> {
    let (name, value) = text.split_once('=')?;
    let (section, key) = name.trim().rsplit_once('.')?;
    let rank = ["global", "install", ":env:"].iter().position(|known| *known == section)?;
    Some((rank, key.to_owned(), unquoted(value.trim())))
}

/// A string as Python's `repr` writes it.
fn unquoted(text: &str) -> String {
    let inner =
        text.strip_prefix(['\'', '"']).and_then(|rest| rest.strip_suffix(['\'', '"'])).unwrap_or(text);
    let mut plain = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    plain
}
