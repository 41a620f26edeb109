use super::{Error, Quantity};

fn millis(text: &str) -> i128 {
    text.parse::<Quantity>().unwrap().millis()
}

fn units(text: &str) -> i128 {
    text.parse::<Quantity>().unwrap().units()
}

#[test]
fn suffixes_scale_exactly() {
    assert_eq!(millis("500m"), 500);
    assert_eq!(millis("2"), 2000);
    assert_eq!(millis("1.5"), 1500);
    assert_eq!(millis("2e3"), 2_000_000);
    assert_eq!(millis("2E3"), 2_000_000);
    assert_eq!(units("1E"), 1_000_000_000_000_000_000);
    assert_eq!(units("1Gi"), 1_073_741_824);
    assert_eq!(units("1.5Gi"), 1_610_612_736);
    assert_eq!(units("100M"), 100_000_000);
    assert_eq!(units("8Ei"), 9_223_372_036_854_775_808);
    assert_eq!(millis("0"), 0);
    assert_eq!(millis("000"), 0);
    assert_eq!(millis("-1"), -1000);
    assert_eq!(millis("+.5"), 500);
}

#[test]
fn fractions_of_a_thousandth_are_rounded_up() {
    assert_eq!(millis("1n"), 1);
    assert_eq!(millis("1500u"), 2);
    assert_eq!(units("500m"), 1);
    assert_eq!(units("1e-100"), 1);
}

#[test]
fn what_is_no_quantity_is_an_error() {
    for text in ["", "GB", "1GB", "1 Gi", "1,5", "1.2.3", "one", "1Kib", "1e", "--1", "0x10", "1e1000"] {
        assert_eq!(text.parse::<Quantity>(), Err(Error::Malformed { text: text.into() }), "{text}");
    }
    let huge = "9".repeat(60);
    assert_eq!(huge.parse::<Quantity>(), Err(Error::TooLarge { text: huge.clone() }));
    assert_eq!("9e99".parse::<Quantity>(), Err(Error::TooLarge { text: "9e99".into() }));
}
