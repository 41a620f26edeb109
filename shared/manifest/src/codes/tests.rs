use super::Code;
use crate::diagnostic::Severity;

#[test]
fn every_code_has_a_page_under_its_own_title() {
    for code in Code::ALL {
        let page = code.page();
        assert!(page.starts_with(&format!("# {}: {}\n", code.name(), code.title())), "{}", code.name());
        assert!(page.contains("## Likely causes") && page.contains("## What to change"), "{}", code.name());
        assert!((10..=30).contains(&page.lines().count()), "{}: {} lines", code.name(), page.lines().count());
    }
}

#[test]
fn a_code_is_found_by_its_name_in_either_case() {
    assert_eq!(Code::parse("E104"), Some(Code::E104));
    assert_eq!(Code::parse("w705"), Some(Code::W705));
    assert_eq!(Code::parse("E999"), None);
}

#[test]
fn the_first_letter_of_a_code_is_its_severity() {
    for code in Code::ALL {
        let expected = match code.name().as_bytes()[0] {
            b'E' => Severity::Error,
            b'W' => Severity::Warning,
            _ => Severity::Note,
        };
        assert_eq!(code.severity(), expected, "{}", code.name());
    }
}
