//! `list`: runs, newest first, from the index alone.

use dropforge_driver::clock::{Clock, SystemClock};
use dropforge_driver::store::IndexEntry;
use serde_json::json;

use crate::args::{Global, ListArgs, ListOutput};
use crate::error::CliError;
use crate::exit::Exit;
use crate::lookup;
use crate::output::{self, tree};

/// Lists runs.
///
/// # Errors
/// When the store can't be read.
#[tokio::main(flavor = "current_thread")]
pub async fn list(global: &Global, args: &ListArgs) -> Result<Exit, CliError> {
    let store = lookup::reader(global)?;
    let entries: Vec<IndexEntry> = lookup::entries(&store, &global.namespace)
        .await?
        .into_iter()
        .filter(|e| {
            args.status.is_empty() || args.status.iter().any(|s| s.eq_ignore_ascii_case(&e.phase.to_string()))
        })
        .filter(|e| !args.running || !e.phase.completed())
        .take(args.limit.unwrap_or(usize::MAX))
        .collect();
    match args.output {
        ListOutput::Table => output::data(&table(&entries, false))?,
        ListOutput::Wide => output::data(&table(&entries, true))?,
        ListOutput::Json => output::data(&format!("{}\n", serde_json::to_string_pretty(&entries)?))?,
        ListOutput::Yaml => output::data(&output::yaml(&json!(entries)))?,
        ListOutput::Name => {
            let names: String = entries.iter().map(|e| format!("{}\n", e.name)).collect();
            output::data(&names)?;
        }
    }
    Ok(Exit::Succeeded)
}

fn table(entries: &[IndexEntry], wide: bool) -> String {
    let now = SystemClock.now();
    let mut rows = vec![vec![
        "NAME".to_owned(),
        "STATUS".to_owned(),
        "AGE".to_owned(),
        "DURATION".to_owned(),
        "PROGRESS".to_owned(),
    ]];
    if wide {
        rows[0].extend(["METRICS", "CAUSE", "UID", "MESSAGE"].map(str::to_owned));
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
