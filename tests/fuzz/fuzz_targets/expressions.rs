//! The small languages inside a manifest: expressions, `when`, `depends`, and what Go reads as numbers and times.
#![no_main]

use dropforge_manifest::expr::depends::{self, ContinueOn};
use dropforge_manifest::expr::{Env, evaluate, evaluate_bool, parse};
use dropforge_manifest::quantity::Quantity;
use dropforge_manifest::schedule::Schedule;
use dropforge_manifest::{go, when};
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

#[path = "../scope.rs"]
mod scope;

fuzz_target!(|text: &str| {
    let scope = scope::Sample::new(text);
    if let Ok(expression) = parse(text) {
        let _ = (expression.reads(), expression.needs(), expression.mistake());
        let _ = evaluate(&expression, &Env::of(&scope));
        let _ = evaluate_bool(&expression, &Env::of(&scope));
    }
    let _ = when::evaluate(text);
    if let Ok(depends) = depends::parse(text, &|_| ContinueOn::default()) {
        let _ = depends.evaluate(&|task, _| task.len() % 2 == 0);
    }
    let _ = text.parse::<Quantity>();
    let _ = go::parse_duration(text);
    let _ = go::atoi(text);
    let _ = go::item_text(text);
    let _ = go::item_fields(text);
    let _ = go::compile_pattern(text);
    if let Some((layout, time)) = text.split_once('|') {
        let _ = go::parse_layout(layout, time, &TimeZone::UTC);
        let _ = go::printf_integer(layout, 7);
    }
    if let Ok(schedule) = Schedule::parse(text, None) {
        let _ = schedule.next_after(jiff::Timestamp::UNIX_EPOCH);
    }
});
