//! Artifacts that come from elsewhere in the run: `from` and `fromExpression`.

use std::fmt;

use dropforge_manifest::expr;
use dropforge_manifest::tags::{self, Scope, Strictness};
use dropforge_manifest::types::Artifact;
use serde_json::{Value, json};

use super::Why;
use crate::scope::artifact;

/// What says where an artifact comes from. It names a place, not a text.
pub(super) enum Source {
    /// `from`: one tag.
    Tag(String),
    /// `fromExpression`: an expression whose value is an artifact.
    Expression(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Tag(text) | Source::Expression(text) => f.write_str(text),
        }
    }
}

impl Source {
    /// The source of an artifact that is declared to have one.
    pub(super) fn of(declared: &Artifact) -> Option<Source> {
        let expression = declared.from_expression.clone().filter(|text| !text.is_empty());
        expression.map(Source::Expression).or_else(|| declared.from.clone().map(Source::Tag))
    }

    /// The artifact under its new name; none where there is none. What a skipped step declares is one without a location.
    pub(super) fn artifact(&self, declared: &Artifact, scope: &dyn Scope) -> Result<Option<Artifact>, Why> {
        let found = match self {
            Source::Tag(tag) => artifact(scope, tag)?,
            Source::Expression(text) => chosen(text, scope)?,
        };
        let Some(found) = found else { return Ok(None) };
        let mut found = Artifact {
            name: declared.name.clone(),
            path: None,
            from: None,
            from_expression: None,
            global_name: None,
            sub_path: None,
            optional: declared.optional,
            mode: declared.mode,
            ..found
        };
        if let Some(below) = &declared.sub_path
            && let Some(key) = found.s3.as_mut().and_then(|s3| s3.key.as_mut())
        {
            let below = tags::replace(below, scope, Strictness::Lenient).map_err(|e| e.to_string())?;
            *key = format!("{}/{}", key.trim_end_matches('/'), below.trim_start_matches('/'));
        }
        Ok(Some(found))
    }
}

/// The artifact that an expression chooses.
fn chosen(text: &str, scope: &dyn Scope) -> Result<Option<Artifact>, Why> {
    let text = tags::replace(text, scope, Strictness::Lenient).map_err(|e| e.to_string())?;
    let parsed = expr::parse(&text).map_err(|e| e.to_string())?;
    match expr::evaluate(&parsed, &expr::Env::of(scope)) {
        Ok(Value::Null) => Ok(None),
        // Every artifact has a name; anything else is another part of the scope.
        Ok(value) if value.get("name").is_some_and(Value::is_string) => {
            serde_json::from_value(value).map(Some).map_err(|e| format!("{text:?} gives no artifact: {e}"))
        }
        Ok(_) => Err(format!("{text:?} gives no artifact; name one, such as steps.a.outputs.artifacts.x")),
        Err(e) if matches!(e.kind, expr::ExprErrorKind::Missing(_)) => Ok(None),
        Err(e) => Err(format!("failed to evaluate expression: {e}")),
    }
}

/// Takes the sources of the arguments' artifacts out, before texts are replaced.
pub(super) fn take_sources(json: &mut Value) -> Vec<Option<Source>> {
    let Some(artifacts) = json.pointer_mut("/arguments/artifacts").and_then(Value::as_array_mut) else {
        return Vec::new();
    };
    let mut take = |artifact: &mut Value| {
        let fields = artifact.as_object_mut()?;
        let (from, expression) = (fields.remove("from"), fields.remove("fromExpression"));
        match (expression, from) {
            (Some(Value::String(text)), _) => Some(Source::Expression(text)),
            (_, Some(Value::String(tag))) => Some(Source::Tag(tag)),
            _ => None,
        }
    };
    artifacts.iter_mut().map(&mut take).collect()
}

/// Puts the artifacts in the place of their sources; optional ones that do not exist are dropped.
pub(super) fn put_artifacts(
    json: &mut Value,
    sources: &[Option<Source>],
    scope: &dyn Scope,
) -> Result<(), Why> {
    let Some(artifacts) = json.pointer_mut("/arguments/artifacts").and_then(Value::as_array_mut) else {
        return Ok(());
    };
    let mut kept = Vec::with_capacity(artifacts.len());
    for (value, source) in artifacts.drain(..).zip(sources) {
        let Some(source) = source else {
            kept.push(value);
            continue;
        };
        let declared: Artifact = serde_json::from_value(value).map_err(|e| e.to_string())?;
        match source.artifact(&declared, scope)? {
            Some(found) => kept.push(json!(found)),
            None if declared.optional => {}
            None => return Err(format!("unable to resolve references: Unable to resolve: {source}")),
        }
    }
    *artifacts = kept;
    Ok(())
}
