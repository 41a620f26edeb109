//! `[workflow-defaults]`, `[workflow-restrictions]`, `parallelism` and `namespace-parallelism`: what holds for every run, as in Argo's controller.

use dropforge_driver::births::Referencing;
use dropforge_manifest::defaults;
use dropforge_manifest::diagnostic::Diagnostic;
use dropforge_manifest::types::WorkflowDefaults;
use toml::de::{DeTable, DeValue};

use super::read::{Reader, Value};
use super::{Finding, Place};

impl Reader<'_> {
    /// The defaults in a file of their own, or written here with Argo's field names.
    pub(super) fn workflow_defaults(&mut self, value: &Value) -> WorkflowDefaults {
        let name = "[workflow-defaults]";
        let Some(table) = self.table(value, name) else { return WorkflowDefaults::default() };
        self.know(table, &["file", "metadata", "spec"], name);
        if let Some(file) = table.get("file") {
            if table.len() > 1 {
                let reason = format!("{name} names a file and says something itself");
                self.find(file.span(), reason, Some("keep one of the two".to_owned()));
            }
            return self.defaults_file(file);
        }
        let text = json(table).to_string();
        let (defaults, findings) = defaults::read(&self.file.display().to_string(), &text);
        let place = self.place(value.span());
        for finding in findings.into_iter().filter(Diagnostic::is_error) {
            let reason = format!("{}: {}", finding.path, finding.message);
            let remedy = Some(finding.remedy).filter(|remedy| !remedy.is_empty());
            self.findings.push(Finding { file: self.file.to_owned(), place, reason, remedy });
        }
        defaults
    }

    fn defaults_file(&mut self, value: &Value) -> WorkflowDefaults {
        let Some(path) = self.path(value) else { return WorkflowDefaults::default() };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(why) => {
                self.find(value.span(), format!("{} cannot be read: {why}", path.display()), None);
                return WorkflowDefaults::default();
            }
        };
        let (defaults, findings) = defaults::read(&path.display().to_string(), &text);
        for finding in findings.into_iter().filter(Diagnostic::is_error) {
            let place = Place { line: finding.line as usize, column: finding.column as usize };
            let remedy = Some(finding.remedy).filter(|remedy| !remedy.is_empty());
            self.findings.push(Finding { file: path.clone(), place, reason: finding.message, remedy });
        }
        defaults
    }

    /// How many runs go on side by side.
    pub(super) fn limit_of_runs(&mut self, value: &Value) -> Option<u32> {
        let given = value.get_ref().as_integer();
        let limit = given.and_then(|limit| u32::from_str_radix(limit.as_str(), limit.radix()).ok());
        if limit.is_none_or(|limit| limit == 0) {
            let remedy = "write a whole number above 0, or nothing: then there is no limit";
            self.find(value.span(), "this is no number of runs".to_owned(), Some(remedy.to_owned()));
        }
        limit
    }

    /// Whether runs may only be made of stored templates.
    pub(super) fn referencing(&mut self, value: &Value) -> Option<Referencing> {
        let table = self.table(value, "[workflow-restrictions]")?;
        self.know(table, &["template-referencing"], "[workflow-restrictions]");
        let value = table.get("template-referencing")?;
        match self.string(value)?.as_str() {
            "Strict" => Some(Referencing::Strict),
            "Secure" => Some(Referencing::Secure),
            other => {
                let reason = format!("`{other}` is no way of referencing templates");
                self.find(value.span(), reason, Some("write \"Strict\" or \"Secure\"".to_owned()));
                None
            }
        }
    }
}

fn json(table: &DeTable) -> serde_json::Value {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), value_json(value.get_ref()))).collect()
}

fn value_json(value: &DeValue) -> serde_json::Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(truth) => (*truth).into(),
        DeValue::Array(items) => items.iter().map(|item| value_json(item.get_ref())).collect(),
        DeValue::Table(table) => json(table),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => number.into(),
            Err(_) => number.as_str().into(),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) => number.into(),
            Err(_) => number.as_str().into(),
        },
        DeValue::Datetime(moment) => moment.to_string().into(),
    }
}
