//! Floating-point numbers as Go writes them.

/// A finite number as its shortest decimal digits and the exponent of the first of them.
fn shortest(value: f64) -> (bool, String, i32) {
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').expect("LowerExp always writes an exponent");
    let digits = mantissa.replace('.', "");
    (value.is_sign_negative(), digits, exponent.parse().expect("LowerExp writes a decimal exponent"))
}

fn special(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN"),
        _ if value == f64::INFINITY => Some("+Inf"),
        _ if value == f64::NEG_INFINITY => Some("-Inf"),
        _ => None,
    }
}

fn with_exponent(negative: bool, digits: &str, exponent: i32, width: usize) -> String {
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    let minus = if negative { "-" } else { "" };
    format!("{minus}{first}{point}{rest}e{sign}{:0width$}", exponent.abs())
}

/// The number as `fmt.Sprintf("%v", x)` prints it: an exponent below -4 or above 5 is written as such.
pub fn float_text(value: f64) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let (negative, digits, exponent) = shortest(value);
    if !(-4..6).contains(&exponent) {
        return with_exponent(negative, &digits, exponent, 2);
    }
    format!("{value}")
}

/// The number as `encoding/json` writes it, or None for what JSON cannot hold.
pub fn float_json(value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let (negative, digits, exponent) = shortest(value);
        return Some(with_exponent(negative, &digits, exponent, if exponent < 0 { 1 } else { 2 }));
    }
    Some(format!("{value}"))
}
