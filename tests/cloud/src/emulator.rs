//! What a scenario does on AWS itself. The emulator asks for no signature, so plain HTTP is enough.

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Request, Response};

/// The emulator.
pub struct Emulator {
    endpoint: String,
    agent: Agent,
}

impl Emulator {
    /// The one that listens there.
    pub fn new(endpoint: String) -> Emulator {
        let agent = Agent::config_builder().http_status_as_error(false).build().into();
        Emulator { endpoint, agent }
    }

    /// Makes a bucket, unless there is one of that name.
    ///
    /// # Panics
    /// When it is refused.
    pub fn make_bucket(&self, bucket: &str) {
        let url = format!("{}/{bucket}", self.endpoint);
        let there = self.agent.head(&url).call();
        if !there.is_ok_and(|there| there.status().is_success()) {
            expect_success("make", bucket, self.agent.put(&url).send_empty());
        }
    }

    /// Puts an object, as `aws s3 cp` does.
    ///
    /// # Panics
    /// When it is refused.
    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        let answer = self.agent.put(self.url(bucket, key)).send(body);
        expect_success("put", key, answer);
    }

    /// An object's bytes, where it exists.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let answer = self.agent.get(self.url(bucket, key)).call();
        if answer.as_ref().is_ok_and(|answer| answer.status() == 404) {
            return None;
        }
        Some(expect_success("get", key, answer))
    }

    /// Deletes an object.
    ///
    /// # Panics
    /// When it is refused.
    pub fn delete(&self, bucket: &str, key: &str) {
        expect_success("delete", key, self.agent.delete(self.url(bucket, key)).call());
    }

    /// The keys below a prefix, page after page: what a benchmark left may be thousands.
    ///
    /// # Panics
    /// When they can't be listed.
    pub fn list(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().map_or_else(String::new, |key| format!("&start-after={}", escape(key)));
            let url = format!("{}/{bucket}?list-type=2&prefix={}{after}", self.endpoint, escape(prefix));
            let body = expect_success("list", prefix, self.agent.get(url).call());
            let text = String::from_utf8_lossy(&body);
            let page = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
            let before = keys.len();
            keys.extend(page.map(unescape));
            if keys.len() == before {
                return keys;
            }
        }
    }

    /// Calls a function and waits for its answer.
    ///
    /// # Panics
    /// When it fails.
    pub fn invoke(&self, function: &str, event: &Value) -> Value {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.endpoint);
        let body = expect_success("invoke", function, self.agent.post(url).send(event.to_string()));
        serde_json::from_slice(&body).unwrap_or(Value::Null)
    }

    /// One of Lambda's other calls; nothing when it is refused.
    ///
    /// # Panics
    /// When nobody answers.
    pub fn lambda(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let url = format!("{}/2015-03-31/{path}", self.endpoint);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder().method(method).uri(url).body(body).expect("the path is plain");
        let mut answer = self.agent.run(request).unwrap_or_else(|why| panic!("{method} {path}: {why}"));
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        answer.status().is_success().then(|| serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// The variables of a function.
    ///
    /// # Panics
    /// When there is no such function.
    pub fn variables(&self, function: &str) -> Value {
        let found = expect_success("look at", function, self.agent.get(self.configuration(function)).call());
        let found: Value = serde_json::from_slice(&found).expect("a configuration is JSON");
        found["Environment"]["Variables"].clone()
    }

    /// Gives a function these variables and no other.
    ///
    /// # Panics
    /// When there is no such function.
    pub fn set_variables(&self, function: &str, variables: &Value) {
        let wanted = json!({"Environment": {"Variables": variables}}).to_string();
        expect_success("change", function, self.agent.put(self.configuration(function)).send(wanted));
    }

    /// What a function has said, oldest first.
    pub fn log(&self, function: &str) -> Vec<String> {
        let group = json!({"logGroupName": format!("/aws/lambda/{function}"), "limit": 10_000});
        let Some(found) = self.call("Logs_20140328.FilterLogEvents", "1.1", &group) else {
            return Vec::new();
        };
        let events = found["events"].as_array().cloned().unwrap_or_default();
        events.iter().filter_map(|event| event["message"].as_str().map(str::to_owned)).collect()
    }

    /// Sends a message.
    ///
    /// # Panics
    /// When it is refused.
    pub fn send(&self, queue_url: &str, body: &str) {
        let message = json!({"QueueUrl": queue_url, "MessageBody": body});
        self.call("AmazonSQS.SendMessage", "1.0", &message).expect("the queue takes the message");
    }

    /// How many messages a queue holds, those that somebody works on and delayed ones included.
    ///
    /// # Panics
    /// When there is no such queue.
    pub fn depth(&self, queue_url: &str) -> u64 {
        let names = ["", "NotVisible", "Delayed"].map(|kind| format!("ApproximateNumberOfMessages{kind}"));
        let request = json!({"QueueUrl": queue_url, "AttributeNames": names});
        let found = self.call("AmazonSQS.GetQueueAttributes", "1.0", &request).expect("there is the queue");
        let number =
            |name: &String| found["Attributes"][name].as_str().and_then(|text| text.parse::<u64>().ok());
        names.iter().filter_map(number).sum()
    }

    /// One of AWS's calls that are JSON in and out; nothing when it is refused.
    pub fn call(&self, target: &str, version: &str, body: &Value) -> Option<Value> {
        let kind = format!("application/x-amz-json-{version}");
        let request =
            self.agent.post(&self.endpoint).header("X-Amz-Target", target).header("Content-Type", &kind);
        let mut answer = request.send(body.to_string()).unwrap_or_else(|why| panic!("{target}: {why}"));
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        answer.status().is_success().then(|| serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn configuration(&self, function: &str) -> String {
        format!("{}/2015-03-31/functions/{function}/configuration", self.endpoint)
    }

    fn url(&self, bucket: &str, key: &str) -> String {
        format!("{}/{bucket}/{}", self.endpoint, escape(key))
    }
}

fn expect_success(deed: &str, what: &str, answer: Result<Response<ureq::Body>, ureq::Error>) -> Vec<u8> {
    let mut answer = answer.unwrap_or_else(|why| panic!("{deed} {what}: {why}"));
    let body = answer.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap_or_default();
    assert!(
        answer.status().is_success(),
        "{deed} {what}: {}: {}",
        answer.status(),
        String::from_utf8_lossy(&body)
    );
    body
}

/// A key as it stands in a URL.
fn escape(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    key.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A key as it stood in XML.
fn unescape(text: &str) -> String {
    let marks =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#x27;", "'"), ("&amp;", "&")];
    marks.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_escaped_in_a_url_and_read_back_from_xml() {
        assert_eq!(escape("a b/é+.csv"), "a%20b/%C3%A9%2B.csv");
        assert_eq!(unescape("a&amp;lt;b&lt;"), "a&lt;b<");
    }
}
