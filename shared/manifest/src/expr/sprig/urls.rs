//! Addresses taken apart and put together, after Go's `net/url`.

mod escape;

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use super::Takes::{Map, Text};
use super::cast::kind;
use super::{Args, Function, Made, function};
use crate::expr::eval::Eval;
use crate::expr::value::{Fields, Val};
use escape::{In, escaped, unescaped};

pub(super) const FUNCTIONS: &[Function] =
    &[function("urlParse", &[Text], parse), function("urlJoin", &[Map], join)];

/// The parts of an address, each with its escapes resolved.
#[derive(Default)]
struct Url {
    scheme: String,
    /// What follows the scheme where no `/` does: `mailto:someone`.
    opaque: String,
    user: Option<User>,
    host: String,
    path: String,
    query: String,
    fragment: String,
}

struct User {
    name: String,
    password: Option<String>,
}

type Parsed<T> = Result<T, String>;

fn parse(_: &mut Eval<'_>, a: &Args) -> Made {
    let url = read(a.text(0)).map_err(|why| format!("unable to parse url: parse {:?}: {why}", a.text(0)))?;
    let hostname = hostname(&url.host).to_owned();
    let userinfo = url.user.as_ref().map(User::shown).unwrap_or_default();
    let fields: [(&str, String); 8] = [
        ("scheme", url.scheme),
        ("host", url.host),
        ("hostname", hostname),
        ("path", url.path),
        ("query", url.query),
        ("opaque", url.opaque),
        ("fragment", url.fragment),
        ("userinfo", userinfo),
    ];
    let fields: BTreeMap<Arc<str>, Val> =
        fields.into_iter().map(|(name, value)| (name.into(), Val::text(value))).collect();
    Val::map(fields)
}

fn join(_: &mut Eval<'_>, a: &Args) -> Made {
    let part = |name: &str| part(a.map(0), name);
    let mut url = Url {
        scheme: part("scheme")?,
        opaque: part("opaque")?,
        user: None,
        host: part("host")?,
        path: part("path")?,
        query: part("query")?,
        fragment: part("fragment")?,
    };
    let userinfo = part("userinfo")?;
    if !userinfo.is_empty() {
        let whole = read(&format!("proto://{userinfo}@host"));
        url.user = whole.map_err(|why| format!("unable to parse userinfo in dict: {why}"))?.user;
    }
    Ok(Val::text(url.shown()))
}

fn part(map: &Fields, name: &str) -> Parsed<String> {
    match map.fields.get(name) {
        None => Ok(String::new()),
        Some(Val::Text(text)) => Ok(text.to_string()),
        Some(other) => {
            Err(format!("unable to parse {name} key, must be of type string, but {} found", kind(other)))
        }
    }
}

fn cut(text: &str, separator: char) -> (&str, &str) {
    text.split_once(separator).unwrap_or((text, ""))
}

fn read(text: &str) -> Parsed<Url> {
    let (text, fragment) = cut(text, '#');
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (scheme, rest) = scheme(text)?;
    let (rest, query) = cut(rest, '?');
    let mut url = Url {
        scheme: scheme.to_ascii_lowercase(),
        query: query.to_owned(),
        fragment: unescaped(fragment, In::Fragment)?,
        ..Url::default()
    };
    if text == "*" {
        url.path = text.to_owned();
        return Ok(url);
    }
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            url.opaque = rest.to_owned();
            return Ok(url);
        }
        if cut(rest, '/').0.contains(':') {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let mut path = rest;
    if rest.starts_with("//") && (!scheme.is_empty() || !rest.starts_with("///")) {
        let end = rest[2..].find('/').map_or(rest.len(), |at| at + 2);
        (url.user, url.host) = authority(&rest[2..end])?;
        path = &rest[end..];
    }
    url.path = unescaped(path, In::Path)?;
    Ok(url)
}

fn scheme(text: &str) -> Parsed<(&str, &str)> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at > 0 => return Ok((&text[..at], &text[at + 1..])),
            ':' => return Err("missing protocol scheme".to_owned()),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn authority(text: &str) -> Parsed<(Option<User>, String)> {
    let Some((userinfo, host)) = text.rsplit_once('@') else { return Ok((None, read_host(text)?)) };
    let host = read_host(host)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !userinfo.chars().all(allowed) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    let (name, password) = userinfo.split_once(':').map_or((userinfo, None), |(a, b)| (a, Some(b)));
    let name = unescaped(name, In::User)?;
    let password = password.map(|password| unescaped(password, In::User)).transpose()?;
    Ok((Some(User { name, password }), host))
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

fn read_host(text: &str) -> Parsed<String> {
    let port = |text: &str| match is_port(text) {
        true => Ok(()),
        false => Err(format!("invalid port {text:?} after host")),
    };
    match text.rfind('[') {
        Some(0) => {
            let end = text.rfind(']').ok_or_else(|| "missing ']' in host".to_owned())?;
            port(&text[end + 1..])?;
            let address = match text[1..end].split_once("%25") {
                Some((host, zone)) => {
                    format!("{}%{}", unescaped(host, In::Host)?, unescaped(zone, In::Zone)?)
                }
                None => unescaped(&text[1..end], In::Host)?,
            };
            let (number, zone) = address.split_once('%').unwrap_or((&address, "zone"));
            if number.parse::<Ipv6Addr>().is_err() || zone.is_empty() {
                return Err(format!("invalid host: {address}"));
            }
            return Ok(format!("[{address}]{}", &text[end + 1..]));
        }
        Some(_) => return Err("invalid IP-literal".to_owned()),
        None => {}
    }
    if let Some(at) = text.find(':') {
        port(&text[at..])?;
    }
    unescaped(text, In::Host)
}

fn hostname(host: &str) -> &str {
    let name = match host.rfind(':') {
        Some(at) if is_port(&host[at..]) => &host[..at],
        _ => host,
    };
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

impl User {
    fn shown(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{}", escaped(password, In::User)));
        format!("{}{}", escaped(&self.name, In::User), password.unwrap_or_default())
    }
}

impl Url {
    fn shown(&self) -> String {
        let mut out = String::new();
        if !self.scheme.is_empty() {
            out.push_str(&format!("{}:", self.scheme));
        }
        if self.opaque.is_empty() {
            self.show_place(&mut out);
        } else {
            out.push_str(&self.opaque);
        }
        if !self.query.is_empty() {
            out.push_str(&format!("?{}", self.query));
        }
        if !self.fragment.is_empty() {
            out.push_str(&format!("#{}", escaped(&self.fragment, In::Fragment)));
        }
        out
    }

    fn show_place(&self, out: &mut String) {
        let named = !self.host.is_empty() || self.user.is_some();
        if named || !self.scheme.is_empty() && !self.path.is_empty() {
            out.push_str("//");
        }
        if let Some(user) = &self.user {
            out.push_str(&format!("{}@", user.shown()));
        }
        out.push_str(&escaped(&self.host, In::Host));
        let path = if self.path == "*" { "*".to_owned() } else { escaped(&self.path, In::Path) };
        if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
            out.push('/');
        }
        if out.is_empty() && cut(&path, '/').0.contains(':') {
            out.push_str("./");
        }
        out.push_str(&path);
    }
}
