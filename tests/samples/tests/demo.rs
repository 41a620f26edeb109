//! The demo ends with a model, however often it is shown.

use dropforge_samples_tests::place::Person;
use dropforge_samples_tests::play;

#[test]
fn the_demo() {
    play::demo(&Person::default());
}
