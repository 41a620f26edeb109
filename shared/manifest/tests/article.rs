//! The article's loop "train until accurate", as it was published: every mistake in it is found.

use dropforge_manifest::{check, parse};

const FILE: &str = "article-train-until-accurate.yaml";
const TEXT: &str = include_str!("fixtures/article-train-until-accurate.yaml");

fn line_of(needle: &str) -> u32 {
    let line = TEXT.lines().position(|line| line.contains(needle)).expect("the fixture has the line");
    u32::try_from(line).expect("the fixture is short") + 1
}

#[test]
fn every_mistake_of_the_article_is_found_with_line_reason_and_remedy() {
    let parsed = parse::parse(FILE, TEXT);
    let mut findings = parsed.diagnostics;
    findings.extend(check::check(&parsed.documents, &check::Options::default()));
    let found = |code: &str, line: u32, reason: &str, remedy: &str| {
        findings.iter().any(|finding| {
            finding.code.name() == code
                && finding.line == line
                && finding.message.contains(reason)
                && finding.remedy.contains(remedy)
        })
    };
    let all = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    // `when` stands on a template, where Argo has no such field.
    assert!(
        found(
            "E005",
            line_of("when: \"{{inputs.parameters.test-accuracy}} >= 75"),
            "unknown field \"when\"",
            "step or task"
        ),
        "{all}"
    );
    // The entry template gets an argument that it does not declare, and the first call gives none.
    let handed_on = line_of("value: \"{{inputs.parameters.iteration}}\"") - 1;
    assert!(
        found(
            "W703",
            handed_on,
            "does not declare the input parameter 'iteration'",
            "`default` (such as \"0\")"
        ),
        "{all}"
    );
    // The script reads sys.argv, which a script template does not receive.
    assert!(found("W707", line_of("sys.argv[1]"), "reads sys.argv", "{{inputs.parameters.NAME}}"), "{all}");
    // Nothing mounts /mnt/data.
    assert!(found("W708", line_of("aws s3 cp /mnt/data"), "/mnt/data", "volumeMounts"), "{all}");
    // The iteration is never passed into the evaluation.
    assert!(
        found(
            "W705",
            line_of("- - name: evaluate-accuracy"),
            "given nothing that changes from round to round",
            "hand the previous value to 'evaluate-accuracy'"
        ),
        "{all}"
    );
    // The image may change under the pipeline.
    assert!(found("W701", line_of("your-ml-image:latest"), "`latest`", "version"), "{all}");
}

#[test]
fn the_findings_are_these_and_no_others() {
    let parsed = parse::parse(FILE, TEXT);
    let mut findings = parsed.diagnostics;
    findings.extend(check::check(&parsed.documents, &check::Options::default()));
    let found: Vec<(&str, u32)> =
        findings.iter().map(|finding| (finding.code.name(), finding.line)).collect();
    assert_eq!(
        found,
        [
            ("E005", 82), // `when` on a template
            ("W705", 12), // the evaluation never learns the iteration
            ("W701", 29), // your-ml-image:latest
            ("W702", 40), // test-accuracy is declared and read by sys.argv instead
            ("W707", 46), // sys.argv
            ("W703", 78), // `iteration` is not an input of the entry template
            ("W701", 87), // amazon/aws-cli without a tag
            ("W708", 89), // /mnt/data is mounted nowhere
        ]
    );
}
