use std::sync::Mutex;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

use super::*;

/// What a call of the API gives over a function that answers this; and what the function was asked.
async fn listed(answer: Result<Answered, NotCarried>) -> (kube::Result<usize>, Vec<Asked>) {
    let answer = Mutex::new(Some(answer));
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let heard = asked.clone();
    let carrier = Carrier::new(move |document| {
        heard.lock().unwrap().push(serde_json::from_slice(&document).unwrap());
        let answer = answer.lock().unwrap().take().unwrap();
        Box::pin(async move { answer.map(|answered| serde_json::to_vec(&answered).unwrap()) })
    });
    let api: Api<Pod> = Api::namespaced(carrier.client(), "ml");
    let pods = api.list(&ListParams::default().labels("a=b").limit(2)).await;
    let asked = asked.lock().unwrap().clone();
    (pods.map(|pods| pods.items.len()), asked)
}

#[tokio::test]
async fn a_call_of_the_api_is_one_document_each_way() {
    let page = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {},
        "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]});
    let (pods, asked) = listed(Ok(Answered::new(200, None, page.to_string().as_bytes()))).await;
    assert_eq!(pods.unwrap(), 2);
    let path = "/api/v1/namespaces/ml/pods?&labelSelector=a%3Db&limit=2".to_owned();
    assert_eq!(asked, [Asked { format: 1, method: "GET".to_owned(), path, body: String::new() }]);
}

#[tokio::test]
async fn the_apis_refusal_and_a_busy_function_are_answers_and_a_failed_one_is_none() {
    let code = |answer| async {
        match listed(answer).await.0.unwrap_err() {
            kube::Error::Api(status) => status.code,
            _ => 0,
        }
    };
    assert_eq!(code(Ok(Answered::own(403, "Forbidden", "no"))).await, 403);
    assert_eq!(code(Err(NotCarried::Busy)).await, 429);
    assert_eq!(code(Err(NotCarried::Failed(io::ErrorKind::BrokenPipe.into()))).await, 0);
    assert_eq!(code(Ok(Answered { format: 2, ..Answered::too_large() })).await, 0);
}

#[test]
fn a_body_comes_out_as_it_went_in_and_one_that_is_too_long_does_not_go_in() {
    let long = r#"{"name":"pod"},"#.repeat(500_000);
    for body in [&b""[..], b"{}", b"\x00\xff", long.as_bytes()] {
        assert_eq!(unpacked(&packed(body).unwrap()).unwrap(), body);
    }
    assert!(packed(long.as_bytes()).unwrap().len() < 100_000);
    // Nothing packs what looks like chance.
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(PACKED_MAX)
    .collect();
    assert_eq!(packed(&noise), None);
    assert_eq!(Answered::new(200, None, &noise), Answered::too_large());
    assert_eq!(packed(&vec![0; BODY_MAX + 1]), None);
}
