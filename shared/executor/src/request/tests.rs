use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use dropforge_manifest::types::HttpBodySource;

use super::*;

fn response(status: u16, body: &str) -> Response {
    let headers = [("Content-Type".to_owned(), vec!["application/json".to_owned()])].into();
    Response { status, headers, body: body.as_bytes().to_vec() }
}

fn judged(condition: Option<&str>, response: &Response) -> Result<Option<String>, String> {
    let http = HttpTemplate {
        method: Some("POST".into()),
        url: "http://models/".into(),
        body: Some("{}".into()),
        success_condition: condition.map(str::to_owned),
        ..HttpTemplate::default()
    };
    judge(&http, response)
}

#[test]
fn without_a_condition_every_2xx_is_a_success() {
    assert_eq!(judged(None, &response(204, "")), Ok(None));
    for status in [199, 304, 404, 500] {
        let message = format!("received non-2xx response code: {status}");
        assert_eq!(judged(None, &response(status, "")), Ok(Some(message)));
    }
}

#[test]
fn a_condition_sees_request_and_response() {
    for condition in [
        "response.statusCode == 404",
        "response.body contains 'missing'",
        "response.headers['Content-Type'][0] == 'application/json'",
        "request.method == 'POST' && request.url startsWith 'http://' && request.body == '{}'",
    ] {
        assert_eq!(judged(Some(condition), &response(404, "missing model")), Ok(None), "{condition}");
    }
    let failed = judged(Some("response.statusCode == 200"), &response(500, ""));
    let message = "successCondition 'response.statusCode == 200' evaluated false";
    assert_eq!(failed, Ok(Some(message.to_owned())));
    assert!(judged(Some("response.statusCode"), &response(200, "")).is_err());
}

#[test]
fn a_body_is_text_or_bytes() {
    let bytes = HttpBodySource { bytes: Some("AP8=".into()) };
    let http = HttpTemplate { body_from: Some(bytes), ..HttpTemplate::default() };
    assert_eq!(body(&http), Ok(vec![0, 255]));
    assert_eq!(body(&HttpTemplate { body: Some("a".into()), ..HttpTemplate::default() }), Ok(b"a".to_vec()));
}

/// A server of one answer; gives its address and, in the end, what it was asked.
fn server(
    answer: impl FnOnce(&mut std::net::TcpStream) + Send + 'static,
) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/x", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&asked).contains("\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            asked.extend_from_slice(&buffer[..read]);
        }
        answer(&mut stream);
        String::from_utf8_lossy(&asked).into_owned()
    });
    (address, serving)
}

#[test]
fn a_request_brings_back_status_headers_and_body() {
    let (url, serving) = server(|stream| {
        stream.write_all(b"HTTP/1.1 201 Created\r\nx-model-id: 7\r\ncontent-length: 2\r\n\r\nok").unwrap();
    });
    let request = Request {
        method: "POST".into(),
        url,
        headers: vec![("Authorization".into(), "Bearer s".into())],
        body: b"{}".to_vec(),
        ..Request::default()
    };
    let answer = request.send(RESPONSE_BYTES_MAX).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (201, b"ok".as_slice()));
    assert_eq!(answer.headers["X-Model-Id"], ["7"]);
    let asked = serving.join().unwrap().to_lowercase();
    assert!(asked.starts_with("post /x http/1.1") && asked.contains("authorization: bearer s"), "{asked}");
}

#[test]
fn an_answer_without_end_is_an_error_and_not_memory() {
    let (url, _serving) = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let refused = Request { url, ..Request::default() }.send(100_000).unwrap_err();
    assert!(matches!(refused, HttpError::TooLarge { limit: 100_000 }), "{refused:?}");
}

#[test]
fn a_server_that_hangs_or_is_not_there_is_told_in_gos_words() {
    let (url, _serving) = server(|_| thread::park_timeout(Duration::from_secs(30)));
    let limit = Some(Duration::from_millis(200));
    let late = Request { url: url.clone(), limit, ..Request::default() }.send(10).unwrap_err();
    assert_eq!(late.to_string(), format!("Get {url:?}: context deadline exceeded"));
    let url = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", gone.local_addr().unwrap())
    };
    let nobody =
        Request { url: url.clone(), method: "PUT".into(), ..Request::default() }.send(10).unwrap_err();
    assert_eq!(nobody.to_string(), format!("Put {url:?}: dial tcp: connect: connection refused"));
}

#[test]
fn a_guarded_request_reaches_no_address_of_its_own_machine() {
    let guarded = |url: String| Request { url, guarded: true, ..Request::default() }.send(10).unwrap_err();
    let (url, serving) = server(|_| {});
    let port = url.split(':').next_back().unwrap();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let told = guarded(format!("http://{host}:{port}")).to_string();
        assert!(
            told.ends_with("is an address that only this machine reaches, and a function asks none of them"),
            "{told}"
        );
    }
    assert!(!serving.is_finished(), "nobody called");
}
