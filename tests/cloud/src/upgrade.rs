//! An upgrade of a function: the alias by which its queue calls it, and the version that the alias names.

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::faults::processes;

/// Not the alias that a deployment may have.
const ALIAS: &str = "upgraded";

/// An alias that stands before a function; dropped, the queue calls the function as it did before.
pub struct Alias<'a> {
    bed: &'a Bed,
    function: String,
    mapping: String,
    before: Value,
}

impl<'a> Alias<'a> {
    /// Publishes the function as it is, and has its queue call it by an alias of that version, as infra/ does; gives the
    /// alias and the version.
    ///
    /// # Panics
    /// When the function is called by no queue, or Lambda refuses.
    pub fn of(bed: &'a Bed, function: &str) -> (Alias<'a>, String) {
        let name = bed.function(function).to_owned();
        let found = lambda(bed, "GET", &format!("event-source-mappings/?FunctionName={name}"), &Value::Null);
        let found = &found["EventSourceMappings"][0];
        let mapping = found["UUID"].as_str().expect("a queue calls the function").to_owned();
        let alias = Alias { bed, function: name, mapping, before: found["FunctionArn"].clone() };
        let version = alias.publish();
        alias.forget();
        alias.lambda("POST", "aliases", &json!({"Name": ALIAS, "FunctionVersion": version}));
        alias.call(&json!(format!("{}:{ALIAS}", alias.function)));
        (alias, version)
    }

    /// Publishes a new version and moves the alias to it; gives the version.
    ///
    /// # Panics
    /// When Lambda refuses.
    pub fn upgrade(&self) -> String {
        let version = self.publish();
        self.lambda("PUT", &format!("aliases/{ALIAS}"), &json!({"FunctionVersion": version}));
        version
    }

    /// Whether there is a process of this version.
    pub fn runs(&self, version: &str) -> bool {
        let of_function = processes("bootstrap", &format!("AWS_LAMBDA_FUNCTION_NAME={} ", self.function));
        let of_version = processes("bootstrap", &format!("AWS_LAMBDA_FUNCTION_VERSION={version} "));
        of_function.iter().any(|pid| of_version.contains(pid))
    }

    /// Lambda publishes nothing where nothing has changed since the last version: the description has.
    fn publish(&self) -> String {
        let versions = self.lambda("GET", "versions", &Value::Null);
        let count = versions["Versions"].as_array().map_or(0, Vec::len);
        self.lambda("PUT", "configuration", &json!({"Description": format!("after {count} versions")}));
        let published = self.lambda("POST", "versions", &json!({}));
        published["Version"].as_str().expect("a version has a number").to_owned()
    }

    /// By this name the queue calls from now on.
    fn call(&self, function: &Value) {
        let path = format!("event-source-mappings/{}", self.mapping);
        lambda(self.bed, "PUT", &path, &json!({"FunctionName": function}));
    }

    /// Who was killed before may have left it.
    fn forget(&self) {
        let path = format!("functions/{}/aliases/{ALIAS}", self.function);
        self.bed.emulator.lambda("DELETE", &path, &Value::Null);
    }

    fn lambda(&self, method: &str, path: &str, body: &Value) -> Value {
        lambda(self.bed, method, &format!("functions/{}/{path}", self.function), body)
    }
}

impl Drop for Alias<'_> {
    fn drop(&mut self) {
        self.call(&self.before);
        self.forget();
    }
}

fn lambda(bed: &Bed, method: &str, path: &str, body: &Value) -> Value {
    bed.emulator.lambda(method, path, body).unwrap_or_else(|| panic!("Lambda refuses {method} {path}"))
}
