//! `list`: runs, newest first, from the index alone.

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::store::IndexEntry;
use jiff::Timestamp;
use serde_json::json;

use crate::args::{ListArgs, ListOutput};
use crate::error::CliError;
use crate::exit::Exit;
use crate::filter::{self, Filter};
use crate::global::Global;
use crate::lookup;
use crate::output::{self, tree};
use crate::since::moment;

/// Lists runs.
///
/// # Errors
/// When the store can't be read.
#[tokio::main(flavor = "current_thread")]
pub async fn list(global: &Global, args: &ListArgs) -> Result<Exit, CliError> {
    let filter = Filter::of(&args.filter)?;
    let now = SystemClock.now();
    let since = args.since.as_deref().map(|ago| moment("--since", ago, now)).transpose()?;
    let store = lookup::reader(global).await?;
    let namespace = filter::namespace(&args.filter, &global.namespace);
    let found = lookup::entries(&store, namespace).await?;
    if let Some(own) = namespace.filter(|_| found.is_empty()) {
        global.known(own)?;
    }
    let entries: Vec<IndexEntry> = found
        .into_iter()
        .filter(|entry| filter.selects(entry))
        .filter(|entry| !args.running || !entry.phase.completed())
        .filter(|entry| since.is_none_or(|since| entry.created_at > since))
        .take(args.limit.unwrap_or(usize::MAX))
        .collect();
    match args.output {
        ListOutput::Table | ListOutput::Wide => output::text(&table(&entries, args, now))?,
        ListOutput::Json => output::data(&format!("{}\n", serde_json::to_string_pretty(&entries)?))?,
        ListOutput::Yaml => output::data(&output::yaml(&json!(entries)))?,
        ListOutput::Name => {
            let names: String = entries.iter().map(|e| format!("{}\n", e.name)).collect();
            output::text(&names)?;
        }
    }
    Ok(Exit::Succeeded)
}

fn table(entries: &[IndexEntry], args: &ListArgs, now: Timestamp) -> String {
    let (wide, everywhere) = (args.output == ListOutput::Wide, args.filter.all_namespaces);
    let mut head = vec!["NAME", "STATUS", "AGE", "DURATION", "PROGRESS"];
    if wide {
        head.extend(["METRICS", "CAUSE", "UID", "MESSAGE"]);
    }
    if everywhere {
        head.insert(0, "NAMESPACE");
    }
    let mut rows = Vec::new();
    if !args.no_headers {
        rows.push(head.into_iter().map(str::to_owned).collect());
    }
    for e in entries {
        let duration =
            e.started_at.map(|from| tree::span(from, e.finished_at.unwrap_or(now))).unwrap_or_default();
        let mut row = vec![
            e.name.clone(),
            e.phase.to_string(),
            tree::span(e.created_at, now),
            duration,
            e.progress.clone(),
        ];
        if wide {
            row.extend([tree::metrics(&e.metrics), e.cause.clone(), e.uid.to_string(), e.message.clone()]);
        }
        if everywhere {
            row.insert(0, e.namespace.clone());
        }
        rows.push(row);
    }
    columns(&rows)
}

/// Rows with their columns below each other.
pub fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().enumerate().map(|(i, c)| format!("{c:<w$}", w = width(i))).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_without_trailing_blanks() {
        let rows = [["a", "long", ""], ["bbb", "c", "d"]].map(|r| r.map(str::to_owned).to_vec());
        assert_eq!(columns(&rows), "a    long\nbbb  c     d\n");
    }
}
