//! The way of a request to the dispatch function: one call of it.

use std::io;

use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use dropforge_cluster::kubernetes::remote::{Carrier, NotCarried};

/// How much of what a failed function says of itself is told.
const WORDS_MAX: usize = 500;

/// Carries requests to the function of this name or ARN.
pub fn to(aws: &SdkConfig, function: &str) -> Carrier {
    let client = Client::new(aws);
    let function = function.to_owned();
    Carrier::new(move |document| {
        let (client, function) = (client.clone(), function.clone());
        Box::pin(async move { call(&client, &function, document).await })
    })
}

/// The SDK repeats a call whose outcome it does not know: whoever asks Kubernetes bears that its request is performed twice.
async fn call(client: &Client, function: &str, document: Vec<u8>) -> Result<Vec<u8>, NotCarried> {
    let called = client.invoke().function_name(function).payload(Blob::new(document)).send().await;
    let answer = called.map_err(|error| {
        match error.as_service_error().is_some_and(|error| error.is_too_many_requests_exception()) {
            true => NotCarried::Busy,
            false => failed(DisplayErrorContext(&error).to_string()),
        }
    })?;
    let payload = answer.payload.unwrap_or_else(|| Blob::new(Vec::new())).into_inner();
    match answer.function_error {
        Some(error) => Err(failed(format!("it failed ({error}): {}", words(&payload)))),
        None => Ok(payload),
    }
}

fn failed(why: String) -> NotCarried {
    NotCarried::Failed(io::Error::other(why))
}

fn words(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).chars().take(WORDS_MAX).collect()
}
