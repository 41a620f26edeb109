//! Against a registry of this machine that wants a login.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use super::*;

/// Serves one image, `team/app:1`, in two platforms, to who has a token; gives its address.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let own = address.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &own);
        }
    });
    address
}

fn answer(mut stream: TcpStream, own: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() <= 2 {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    let authorization =
        lines.iter().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default();
    let (status, body) = match path.split('?').next().unwrap() {
        "/token" if authorization == "Basic bWU6c2VjcmV0" => {
            assert!(path.contains("scope=repository%3Ateam%2Fapp%3Apull"), "{path}");
            ("200 OK", json!({"token": "t0"}))
        }
        "/token" => ("401 Unauthorized", json!({})),
        _ if authorization != "Bearer t0" => ("401 Unauthorized", json!({})),
        "/v2/team/app/manifests/1" => (
            "200 OK",
            json!({"manifests": [
            {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": "sha256:x86", "platform": {"os": "linux", "architecture": "amd64"}}]}),
        ),
        "/v2/team/app/manifests/sha256:x86" => ("200 OK", json!({"config": {"digest": "sha256:config"}})),
        "/v2/team/app/blobs/sha256:config" => {
            ("200 OK", json!({"config": {"Entrypoint": ["/app"], "Cmd": ["serve", "--all"]}}))
        }
        _ => ("404 Not Found", json!({})),
    };
    let challenge = format!(
        "www-authenticate: Bearer realm=\"http://{own}/token\",service=\"x\",scope=\"repository:team/app:pull\"\r\n"
    );
    let challenge = if status.starts_with("401") { &challenge } else { "" };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{challenge}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}

#[test]
fn an_images_command_is_read_with_a_pull_secrets_login() {
    let address = registry();
    let secret =
        json!({"auths": {format!("http://{address}/v2/"): {"username": "me", "password": "secret"}}});
    let logins = logins(secret.to_string().as_bytes());
    let image = format!("{address}/team/app:1");
    let wanted = ImageCommand {
        entrypoint: vec!["/app".to_owned()],
        cmd: vec!["serve".to_owned(), "--all".to_owned()],
    };
    assert_eq!(starts(&image, &logins).unwrap(), wanted);
    let why = |image: &str, logins: &Logins| starts(image, logins).unwrap_err().to_string();
    let missing = format!("{address}/team/app:2");
    assert_eq!(
        why(&missing, &logins),
        format!("ask the registry what the image {missing} starts: there is no such image")
    );
    let nobody = why(&image, &Logins::new());
    assert!(
        nobody.ends_with(&format!("http://{address}/token gives no token: 401 Unauthorized")),
        "{nobody}"
    );
}

/// A registry that wants a name and a password, and takes no token, as Amazon's; it gives one answer.
fn basic(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        let challenge =
            "www-authenticate: Basic realm=\"https://ecr.example/\",service=\"ecr.amazonaws.com\"";
        write!(
            stream,
            "HTTP/1.1 {status}\r\n{challenge}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
        )
        .unwrap();
    });
    address
}

#[test]
fn a_registry_that_takes_names_and_passwords_says_whether_one_is_missing_or_not_enough() {
    let why = |logins: &dyn Fn(&str) -> Logins| {
        let address = basic("401 Unauthorized");
        starts(&format!("{address}/team/app:1"), &logins(&address)).unwrap_err().why.clone()
    };
    let missing = "it may not be read without a login; name a pull secret in `imagePullSecrets`";
    assert_eq!(why(&|_| Logins::new()), missing);
    let refused = why(&|address| Logins::from([(address.to_owned(), login_of("bWU6c2VjcmV0"))]));
    assert!(
        refused.starts_with("the login for 127.0.0.1:") && refused.ends_with(" is not enough for it"),
        "{refused}"
    );
}

#[test]
fn names_of_images_are_taken_apart_as_engines_do() {
    let parts = |image: &str| {
        let Name { registry, repository, reference } = Name::of(image);
        (registry, repository, reference)
    };
    let owned = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(parts("python:3.9"), owned("docker.io", "library/python", "3.9"));
    assert_eq!(parts("argoproj/argosay"), owned("docker.io", "argoproj/argosay", "latest"));
    assert_eq!(parts("localhost:5000/a/b:1@sha256:ab"), owned("localhost:5000", "a/b", "sha256:ab"));
    assert_eq!(Name::of("python:3.9").base(), "https://registry-1.docker.io/v2/library/python");
}

#[test]
fn a_pull_secret_is_read_in_both_its_forms() {
    let config = br#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"},"ghcr.io":{"username":"a","password":"b"},"bad":{}}}"#;
    let login = || Login { basic: "YTpi".to_owned() };
    assert!(
        logins(config) == Logins::from([("docker.io".to_owned(), login()), ("ghcr.io".to_owned(), login())])
    );
    assert!(logins(b"no json").is_empty());
}

#[test]
fn a_registry_that_does_not_answer_may_answer_later() {
    // Nobody listens there any more.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(starts(&format!("{address}/team/app:1"), &Logins::new()).unwrap_err().passes());
    assert!(!starts(&format!("{}/team/other:1", registry()), &Logins::new()).unwrap_err().passes());
}
