//! Git's smart protocol over http: each request made when its answer is first read, since only then is its body whole.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix_transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use ureq::ResponseExt;

use super::super::Problem;
use crate::http::{Request, basic};

/// Makes the requests of one connection.
pub struct Smart {
    basic: Option<(String, String)>,
    insecure: bool,
    /// The scheme, host and port that the name and password are for: those of the first request.
    home: Option<String>,
    /// Where the server sent the first request to.
    moved: Option<String>,
    problem: Arc<Mutex<Option<Problem>>>,
}

impl Smart {
    /// Asks with this name and password; what goes wrong is left in `problem`.
    pub fn new(
        basic: Option<(String, String)>,
        insecure: bool,
        problem: Arc<Mutex<Option<Problem>>>,
    ) -> Self {
        Smart { basic, insecure, home: None, moved: None, problem }
    }

    fn exchange(
        &mut self,
        method: &str,
        url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Exchange {
        let mut request = Request { method: method.to_owned(), url: url.to_owned(), ..Request::default() };
        request.insecure = self.insecure;
        let lines = headers.into_iter().filter_map(|line| {
            let (name, value) = line.as_ref().split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        });
        request.headers = lines.collect();
        let home = self.home.get_or_insert_with(|| origin(url));
        if let Some((user, password)) = self.basic.as_ref().filter(|_| is_home(home, &origin(url))) {
            request.headers.push(("Authorization".to_owned(), basic(user, password)));
        }
        let known = self.basic.is_some();
        let problem = Arc::clone(&self.problem);
        Exchange(Arc::new(Mutex::new(State { request, known, problem, answer: None })))
    }
}

/// As long is a list of refs at most: some hundred thousand of them.
const REFS_BYTES_MAX: u64 = 64 << 20;

/// Whether the answer is a list of refs: of the first request where the protocol is old, of a command of its own else.
fn lists_refs(request: &Request) -> bool {
    // The first line's length is said in four letters before it.
    request.method != "POST" || request.body.get(4..).is_some_and(|line| line.starts_with(b"command=ls-refs"))
}

/// A server may send its visitors on to its own encrypted self, credentials and all; to nobody else.
fn is_home(home: &str, other: &str) -> bool {
    let encrypted = home.strip_prefix("http://").map(|host| format!("https://{host}"));
    home == other || encrypted.as_deref() == Some(other)
}

fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    format!("{scheme}://{}", rest[..end].to_ascii_lowercase())
}

impl Http for Smart {
    type Headers = Headers;
    type ResponseBody = Body;
    type PostBody = PostBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Headers, Body>> {
        let exchange = self.exchange("GET", url, headers);
        let at = exchange.lock().send().map_err(gix::Error::from_error)?;
        let tail = url.strip_prefix(base_url).unwrap_or_default();
        self.moved = at.strip_suffix(tail).filter(|base| *base != base_url).map(str::to_owned);
        Ok(GetResponse { headers: Headers::of(&exchange), body: Body::of(exchange) })
    }

    fn post(
        &mut self,
        url: &str,
        _: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Headers, Body, PostBody>> {
        let exchange = self.exchange("POST", url, headers);
        Ok(PostResponse {
            post_body: PostBody(Exchange(Arc::clone(&exchange.0))),
            headers: Headers::of(&exchange),
            body: Body::of(exchange),
        })
    }

    fn configure(&mut self, _: &dyn std::any::Any) -> gix::Result<()> {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.moved.clone()
    }
}

/// A request and its answer.
struct Exchange(Arc<Mutex<State>>);

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct State {
    request: Request,
    /// Whether a name and password are known.
    known: bool,
    problem: Arc<Mutex<Option<Problem>>>,
    answer: Option<Answer>,
}

struct Answer {
    headers: Vec<u8>,
    body: Option<BufReader<ureq::BodyReader<'static>>>,
}

impl State {
    /// Makes the request; gives where the answer came from.
    fn send(&mut self) -> io::Result<String> {
        match self.answer() {
            Ok((answer, at)) => {
                self.answer = Some(answer);
                Ok(at)
            }
            Err(problem) => {
                let text = problem.to_string();
                *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
                Err(io::Error::other(text))
            }
        }
    }

    fn answer(&self) -> Result<(Answer, String), Problem> {
        let response = self.request.open()?;
        let status = crate::http::status(&response);
        match status.code {
            200..300 => {}
            401 if self.known => return Err(Problem::Refused),
            401 => return Err(Problem::AuthenticationRequired),
            403 => return Err(Problem::Forbidden(status.text)),
            404 => return Err(Problem::NotFound),
            _ => return Err(Problem::Status { url: self.request.url.clone(), status: status.text }),
        }
        let at = response.get_uri().to_string();
        let mut headers = Vec::new();
        for (name, value) in response.headers() {
            headers.extend([name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"].concat());
        }
        let body = response.into_body();
        // Packs go to the disk; refs lie in memory, however long their list is.
        let body = match lists_refs(&self.request) {
            true => body.into_with_config().limit(REFS_BYTES_MAX).reader(),
            false => body.into_reader(),
        };
        let body = BufReader::with_capacity(1 << 16, body);
        Ok((Answer { headers, body: Some(body) }, at))
    }

    fn answered(&mut self) -> io::Result<&mut Answer> {
        if self.answer.is_none() {
            self.send()?;
        }
        self.answer.as_mut().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// The lines of an answer's head.
pub struct Headers {
    exchange: Exchange,
    lines: Option<Cursor<Vec<u8>>>,
}

impl Headers {
    fn of(exchange: &Exchange) -> Self {
        Headers { exchange: Exchange(Arc::clone(&exchange.0)), lines: None }
    }
}

impl BufRead for Headers {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.lines.is_none() {
            let headers = std::mem::take(&mut self.exchange.lock().answered()?.headers);
            self.lines = Some(Cursor::new(headers));
        }
        self.lines.get_or_insert_default().fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.lines.get_or_insert_default().consume(amount);
    }
}

impl Read for Headers {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        read(self, to)
    }
}

/// An answer's body.
pub struct Body {
    exchange: Exchange,
    reader: Option<BufReader<ureq::BodyReader<'static>>>,
}

impl Body {
    fn of(exchange: Exchange) -> Self {
        Body { exchange, reader: None }
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.reader.is_none() {
            self.reader = self.exchange.lock().answered()?.body.take();
        }
        self.reader.as_mut().map_or(Ok(&[]), BufRead::fill_buf)
    }

    fn consume(&mut self, amount: usize) {
        if let Some(reader) = &mut self.reader {
            reader.consume(amount);
        }
    }
}

impl Read for Body {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        read(self, to)
    }
}

fn read(from: &mut impl BufRead, to: &mut [u8]) -> io::Result<usize> {
    let read = from.fill_buf()?.read(to)?;
    from.consume(read);
    Ok(read)
}

/// Takes what is asked.
pub struct PostBody(Exchange);

impl Write for PostBody {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().request.body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_the_first_host_and_its_encrypted_self_only() {
        let home = origin("http://H:80/a/b?c");
        assert_eq!(home, "http://h:80");
        let asked = ["http://h:80", "https://h:80", "http://h", "https://other", "https://h.evil"];
        assert_eq!(asked.map(|other| is_home(&home, other)), [true, true, false, false, false]);
        assert!(!is_home("https://h", "http://h"));
    }
}
