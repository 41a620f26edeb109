//! A sample whose command is broken off comes to the same outcome when a person goes on with it.

use dropforge_samples_tests::place::Place;
use dropforge_samples_tests::play::play_broken_off;
use dropforge_samples_tests::program::Running;

#[test]
fn after_a_crash_the_training_goes_on_and_no_model_is_trained_twice() {
    let place = play_broken_off("train-until-accurate", Running::kill);
    assert_eq!(trainings(&place), 4);
}

#[test]
fn after_ctrl_c_the_training_goes_on() {
    play_broken_off("train-until-accurate", |running| {
        let ended = running.interrupt();
        assert_eq!(ended.status.code(), Some(130), "{}", ended.describe());
    });
}

/// How often `train_model.py` came to its end, by its own account.
fn trainings(place: &Place) -> usize {
    let log = place.call(&["logs", "@latest"]).data();
    log.lines().filter(|line| line.contains("held-out rows")).count()
}
