//! Every sample does what its `expected.json` says, with the real command, on a fresh store.

use std::collections::BTreeSet;

use dropforge_samples_tests::place::{Person, samples};
use dropforge_samples_tests::play;

/// One test for each, so that the runner shows them by name and beside each other.
macro_rules! samples {
    ($($test:ident: $sample:literal,)*) => {
        $(#[test]
        fn $test() {
            play::play($sample, &Person::default());
        })*

        const TESTED: &[&str] = &[$($sample),*];
    };
}

samples! {
    approval: "approval",
    data_drop: "data-drop",
    gpu_training: "gpu-training",
    hyperparameter_search: "hyperparameter-search",
    ml_pipeline: "ml-pipeline",
    notebook: "notebook",
    scheduled_retraining: "scheduled-retraining",
    train_until_accurate: "train-until-accurate",
}

#[test]
fn no_sample_is_left_out() {
    let folders = std::fs::read_dir(samples()).unwrap().map(|entry| entry.unwrap());
    let there: BTreeSet<String> = folders
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, TESTED.iter().map(|name| (*name).to_owned()).collect());
}
