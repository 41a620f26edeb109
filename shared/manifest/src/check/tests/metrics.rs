//! `metrics`.

use super::*;

#[test]
fn a_metric_has_a_name_a_help_one_kind_and_a_value() {
    let metric = |metric: &str| format!("{{name: main, metrics: {{prometheus: [{metric}]}}, suspend: {{}}}}");
    expect(
        &metric(
            "{name: made, help: h, when: '{{status}} == Failed', labels: [{key: a, value: '{{workflow.name}}'}], counter: {value: 1}}",
        ),
        &[],
    );
    expect(
        &metric("{name: 'm-1', labels: [{key: 'a b', value: x}]}"),
        &[
            "E108 5: metric 'm-1' must contain a help string under 'help: ' field",
            "E108 5: metric 'm-1' is of no kind",
            "E101 5: metric name 'm-1' is invalid: names may only contain alphanumeric characters or '_'",
            "E101 5: metric label 'a b' is invalid: keys may only contain alphanumeric characters or '_'",
        ],
    );
    expect(
        &metric("{name: m, help: h, counter: {value: ''}}"),
        &["E108 5: metric 'm': its value is missing"],
    );
    expect(
        &metric("{name: m, help: h, counter: {value: 1}, gauge: {value: 1}}"),
        &["E108 5: metric 'm' is of several kinds"],
    );
    expect(
        &metric(
            "{name: m, help: h, gauge: {realtime: true, operation: Mul, value: '{{resourcesDuration.cpu}}'}}",
        ),
        &[
            "E108 5: 'resourcesDuration.*' metrics cannot be used in real-time",
            "E503 5: metric 'm': operation 'Mul' is not one of Set, Add, Sub",
        ],
    );
}
