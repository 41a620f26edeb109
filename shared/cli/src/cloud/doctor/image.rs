//! The executor's image where it lies in somebody else's registry, as far as the person who asks may look into that.

use dropforge_cluster::kubernetes::{RegistryError, seen};

use super::{Check, Found};
use crate::cloud::Cloud;

/// Looks it up, with a login of ECR's where the registry is one of that and without any elsewhere. None where the image is
/// in the deployment's own repository.
pub async fn elsewhere(cloud: &Cloud) -> Option<Check> {
    let deployment = &cloud.context.deployment;
    let image = &deployment.executor_image;
    if image.is_empty() || deployment.tag_of_executor().is_some() {
        return None;
    }
    let credentials = cloud.config.credentials_provider();
    let found = found(seen(image, credentials.as_ref()).await.map(drop));
    Some(Check::new(format!("image {image}"), found))
}

fn found(seen: Result<(), RegistryError>) -> Found {
    match seen {
        Ok(()) => Found::Good("is there, in a registry that is not this deployment's own".to_owned()),
        Err(why) if why.is_missing() => Found::Bad(
            "its registry, which is not this deployment's own, knows no such image: no step starts"
                .to_owned(),
            "have it put there, or correct `executor_image` of the Terraform module".to_owned(),
        ),
        // Nodes have logins of their own, and other ways.
        Err(why) => Found::Unknown(format!(
            "was not seen from here, and nodes may get it: it is not in this deployment's own registry, and to {why}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    /// What is found of an image in a registry that gives this answer to everything.
    async fn of(status: &'static str, body: &'static str) -> Found {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let image = format!("{}/team/executor:1", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let _head: Vec<_> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let head =
                    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}", body.len());
                write!(stream, "{head}\r\n\r\n{body}").unwrap();
            }
        });
        found(seen(&image, None).await.map(drop))
    }

    #[tokio::test]
    async fn an_image_of_another_registry_is_there_or_not_or_hidden() {
        let there = r#"{"config": {"digest": "sha256:1", "Entrypoint": ["/dropforge-executor"]}}"#;
        assert!(matches!(of("200 OK", there).await, Found::Good(_)));
        let missing = of("404 Not Found", "{}").await;
        assert!(matches!(&missing, Found::Bad(why, _) if why.contains("no step starts")), "{missing:?}");
        for hidden in ["401 Unauthorized", "503 Service Unavailable"] {
            let hidden = of(hidden, "{}").await;
            let Found::Unknown(why) = &hidden else { panic!("{hidden:?}") };
            assert!(why.contains("nodes may get it") && why.contains("team/executor:1"), "{why}");
        }
    }
}
