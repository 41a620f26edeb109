//! A failing world made smaller: faults and parts of workflows are left out as long as it still fails.

use std::collections::BTreeSet;

use crate::plan::{Fault, Plan};
use crate::simulate;

/// Parts of one workflow, and workflows of one world, at most: those of people, of a trigger and of a schedule.
const PARTS_MAX: u32 = 120;
const WORKFLOWS_MAX: u32 = 5;

/// The smallest plan that was found to fail as this one does.
pub fn shrink(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for fault in Fault::ALL {
        let mut without = plan.clone();
        without.without.insert(*fault);
        keep_if_it_fails(&mut plan, without);
    }
    for n in 0..WORKFLOWS_MAX {
        for part in 0..=PARTS_MAX {
            let mut smaller = plan.clone();
            smaller.dropped.insert(n * 1000 + part);
            keep_if_it_fails(&mut plan, smaller);
        }
    }
    plan.dropped = needed(&plan);
    plan
}

fn keep_if_it_fails(plan: &mut Plan, smaller: Plan) {
    if !simulate(&smaller).wrong.is_empty() {
        *plan = smaller;
    }
}

/// The dropped parts without those that change nothing.
fn needed(plan: &Plan) -> BTreeSet<u32> {
    let plan = Plan { digested: true, ..plan.clone() };
    let digest = simulate(&plan).digest;
    let mut dropped = plan.dropped.clone();
    for part in &plan.dropped {
        let mut with = Plan { dropped: dropped.clone(), ..plan.clone() };
        with.dropped.remove(part);
        if simulate(&with).digest == digest {
            dropped.remove(part);
        }
    }
    dropped
}
