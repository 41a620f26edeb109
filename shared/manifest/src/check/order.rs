//! Which tasks of a DAG come before which.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Step, Template};

use super::language;

/// The tasks that a task names as its dependencies.
fn dependencies(task: &Step) -> BTreeSet<String> {
    match &task.depends {
        Some(depends) => {
            language::depends(depends).unwrap_or_default().into_iter().map(|(name, _)| name).collect()
        }
        None => task.dependencies.iter().cloned().collect(),
    }
}

/// The dependencies of a DAG.
pub(super) struct Order {
    /// Task and what it names, in the order of the tasks.
    tasks: Vec<(String, BTreeSet<String>)>,
    index: BTreeMap<String, usize>,
}

impl Order {
    pub(super) fn new(template: &Template) -> Self {
        let tasks = template.dag.iter().flat_map(|dag| &dag.tasks);
        Order::of(tasks.map(|task| (task.name.clone(), dependencies(task))).collect())
    }

    /// The order of whatever has a name and names what comes before it.
    pub(super) fn of(tasks: Vec<(String, BTreeSet<String>)>) -> Self {
        let index = tasks.iter().enumerate().map(|(index, (name, _))| (name.clone(), index)).collect();
        Order { tasks, index }
    }

    fn direct(&self, task: usize) -> impl Iterator<Item = usize> {
        self.tasks[task].1.iter().filter_map(|name| self.index.get(name).copied())
    }

    /// Whether `task` waits for `earlier`, directly or by others.
    pub(super) fn is_before(&self, earlier: &str, task: &str) -> bool {
        let (Some(&earlier), Some(&task)) = (self.index.get(earlier), self.index.get(task)) else {
            return false;
        };
        let mut seen = vec![false; self.tasks.len()];
        let mut open: Vec<usize> = vec![task];
        while let Some(next) = open.pop() {
            for before in self.direct(next) {
                if before == earlier {
                    return true;
                }
                if !std::mem::replace(&mut seen[before], true) {
                    open.push(before);
                }
            }
        }
        false
    }

    /// The first circle of tasks that wait for each other, as names that end where they begin.
    pub(super) fn circle(&self) -> Option<Vec<&str>> {
        let mut done = vec![false; self.tasks.len()];
        for start in 0..self.tasks.len() {
            // The path from the start, each with the dependencies still to be followed.
            let mut path: Vec<(usize, Vec<usize>)> = vec![(start, self.direct(start).collect())];
            let mut on_path = BTreeSet::from([start]);
            while let Some((task, rest)) = path.last_mut() {
                let Some(next) = rest.pop() else {
                    done[*task] = true;
                    on_path.remove(task);
                    path.pop();
                    continue;
                };
                if on_path.contains(&next) {
                    let circle = path.iter().map(|(task, _)| *task).skip_while(|task| *task != next);
                    let circle = circle.chain([next]).map(|task| self.tasks[task].0.as_str());
                    return Some(circle.collect());
                }
                if !done[next] {
                    on_path.insert(next);
                    path.push((next, self.direct(next).collect()));
                }
            }
        }
        None
    }
}
