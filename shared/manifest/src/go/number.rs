//! Numbers read as Go's `strconv` does, and its power.

use std::num::{IntErrorKind, ParseIntError};

/// A decimal number, as `strconv.Atoi` reads it.
///
/// # Errors
/// In Go's words.
pub fn atoi(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error: ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {text:?}: {why}")
    })
}

/// `strconv.ParseInt(text, 0, 64)`: the base is decided by a prefix, and underscores may separate digits.
pub fn parse_integer(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some(_) if lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let prefixed = digits.len() < lower.len();
    let misplaced = digits.ends_with('_') || digits.contains("__") || digits.starts_with('_') && !prefixed;
    if misplaced || digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    i64::try_from(if text.starts_with('-') { -magnitude } else { magnitude }).ok()
}

/// `strconv.ParseFloat(text, 64)`, which refuses what is out of range.
pub fn parse_float(text: &str) -> Option<f64> {
    let number: f64 = match text.split('_').collect::<Vec<_>>()[..] {
        [_] => text.parse().ok()?,
        // Underscores stand between digits.
        ref parts => {
            let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
            let apart = |pair: &[&str]| digit(pair[0].chars().last()) && digit(pair[1].chars().next());
            parts.windows(2).all(apart).then(|| parts.concat().parse().ok()).flatten()?
        }
    };
    let named = text.to_ascii_lowercase().contains("inf");
    (!number.is_infinite() || named).then_some(number)
}

/// Go's `math.Pow`, step by step: the C library's differs in the last digit.
pub fn power(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if y == 1.0 {
        return x;
    }
    let special = x == 0.0 || !x.is_finite() || !y.is_finite();
    if special || y.abs() >= (1u64 << 63) as f64 {
        return x.powf(y);
    }
    if y.abs() == 0.5 {
        return if y > 0.0 { x.sqrt() } else { 1.0 / x.sqrt() };
    }
    let (mut whole, mut fraction) = (y.abs().trunc(), y.abs().fract());
    if fraction != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    // The answer is `result * 2 ** exponent`.
    let (mut result, mut exponent) = (1.0, 0i64);
    if fraction != 0.0 {
        if fraction > 0.5 {
            fraction -= 1.0;
            whole += 1.0;
        }
        result = (fraction * x.ln()).exp();
    }
    let (mut base, mut base_exponent) = fraction_and_exponent(x);
    let mut bits = whole as i64;
    while bits != 0 {
        if !(-(1 << 12)..=1 << 12).contains(&base_exponent) {
            // It is certain to overflow or to vanish.
            exponent += base_exponent;
            break;
        }
        if bits & 1 == 1 {
            result *= base;
            exponent += base_exponent;
        }
        base *= base;
        base_exponent *= 2;
        if base < 0.5 {
            base += base;
            base_exponent -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        result = 1.0 / result;
        exponent = -exponent;
    }
    scaled(result, exponent)
}

/// `x` as a number from 0.5 up to 1 and a power of two.
fn fraction_and_exponent(x: f64) -> (f64, i64) {
    let (x, shift) = if x.abs() < f64::MIN_POSITIVE { (x * 2f64.powi(52), -52) } else { (x, 0) };
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1022;
    (f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52), exponent + shift)
}

/// `number * 2 ** exponent`, without leaving the range on the way.
fn scaled(number: f64, exponent: i64) -> f64 {
    let mut left = exponent.clamp(-3000, 3000) as i32;
    let mut number = number;
    while left.abs() > 900 {
        let step = left.signum() * 900;
        number *= 2f64.powi(step);
        left -= step;
    }
    number * 2f64.powi(left)
}
