//! A fixed budget of worlds, those that once failed, and that the simulation is honest.

use dropforge_simulation_tests::bugs::Bug;
use dropforge_simulation_tests::plan::Plan;
use dropforge_simulation_tests::simulate;

/// As many as take half a minute without optimisation on a machine with two cores.
const BUDGET: u64 = 200;

/// Seeds that once failed (README.md says what they found), before there were wide worlds and since.
const KEPT_NARROW: [u64; 12] =
    [1171, 1333, 1870, 6608, 7156, 10322, 10930, 12257, 15502, 19194, 101_943, 111_729];
const KEPT: [u64; 19] = [
    4, 369, 1107, 2259, 1_000_909, 1_006_219, 1_008_869, 1_013_195, 1_500_577, 2_003_370, 3_015_052,
    3_017_790, 3_033_047, 3_051_448, 4_040_546, 4_050_229, 10_012_112, 30_003_978, 30_013_497,
];

fn fails(plans: impl Iterator<Item = Plan>) -> Vec<(u64, Vec<String>)> {
    let reports = plans.map(|plan| (plan.seed, simulate(&plan).wrong));
    reports.filter(|(_, wrong)| !wrong.is_empty()).collect()
}

#[test]
fn worlds_come_to_rest_as_the_reference_says_and_nothing_is_lost_or_done_twice() {
    assert_eq!(fails((0..BUDGET).map(Plan::new)), []);
}

#[test]
fn worlds_on_a_bucket_do_so_whatever_each_request_is_answered() {
    assert_eq!(fails((0..BUDGET / 2).chain([6_002_488]).map(Plan::on_a_bucket)), []);
}

#[test]
fn worlds_in_which_all_come_at_once_do_so_too() {
    assert_eq!(fails((0..BUDGET / 2).map(Plan::hasty)), []);
}

#[test]
fn loops_over_hundreds_of_items_come_to_what_the_reference_says() {
    let many = |seed| Plan { items: Some(300), requests: seed % 2 == 0, ..Plan::new(seed) };
    assert_eq!(fails((0..8).map(many)), []);
}

#[test]
fn worlds_that_once_failed_do_so_no_more() {
    let narrow = KEPT_NARROW.into_iter().map(Plan::narrow);
    assert_eq!(fails(narrow.chain(KEPT.into_iter().map(Plan::new))), []);
}

#[test]
fn one_seed_twice_is_one_transcript_and_another_seed_another() {
    let told = |seed| simulate(&Plan { verbose: true, ..Plan::new(seed) });
    for seed in 0..20 {
        assert_eq!(told(seed), told(seed));
    }
    assert_ne!(told(1).digest, told(2).digest);
}

#[test]
fn planted_bugs_are_caught() {
    let caught = |bug: &Bug| (0..BUDGET).any(|seed| !simulate(&Plan::with_bug(seed, *bug)).wrong.is_empty());
    // Those that few seeds catch, so that this takes seconds.
    let bugs =
        [Bug::LostCommitTaken, Bug::CommitDropped, Bug::ClaimOfNode, Bug::LossBlamed, Bug::BornUnmarked];
    assert_eq!(bugs.iter().filter(|bug| !caught(bug)).collect::<Vec<_>>(), Vec::<&Bug>::new());
}
