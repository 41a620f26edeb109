//! Every sample does on the cluster what its `expected.json` says, and its node trees equal the laptop's.

use dropforge_cloud_tests::bed::scenario;
use dropforge_cloud_tests::play;

macro_rules! samples {
    ($($test:ident: $sample:literal,)*) => {
        $(#[test]
        fn $test() {
            scenario(concat!("sample ", $sample), |bed| play::sample(bed, $sample));
        })*
    };
}

samples! {
    sample_approval: "approval",
    sample_data_drop: "data-drop",
    sample_hyperparameter_search: "hyperparameter-search",
    sample_ml_pipeline: "ml-pipeline",
    sample_notebook: "notebook",
    sample_scheduled_retraining: "scheduled-retraining",
    sample_train_until_accurate: "train-until-accurate",
}

#[test]
fn sample_gpu_training() {
    scenario("sample gpu-training", |bed| {
        let _gpu = bed.cluster.with_gpu();
        play::sample(bed, "gpu-training");
    });
}
