//! Kubernetes quantities, exact: `500m`, `2`, `1.5`, `1Gi`, `2e3`.

use std::str::FromStr;

#[cfg(test)]
mod tests;

/// An amount in thousandths of its unit (of a core, a byte, a device), rounded up as Kubernetes rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    millis: i128,
}

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not of the form number and suffix.
    #[error(
        "'{text}' is not a quantity: expected a number and one of the suffixes n u m k M G T P E Ki Mi Gi Ti Pi Ei"
    )]
    Malformed {
        /// The text.
        text: String,
    },
    /// The amount does not fit.
    #[error("the quantity '{text}' is too large")]
    TooLarge {
        /// The text.
        text: String,
    },
}

impl Quantity {
    /// The amount in thousandths: `500m` of cpu is 500.
    pub fn millis(self) -> i128 {
        self.millis
    }

    /// The amount in whole units, rounded up: `1Gi` of memory is 1,073,741,824 bytes.
    pub fn units(self) -> i128 {
        self.millis.div_euclid(1000) + i128::from(self.millis.rem_euclid(1000) != 0)
    }
}

impl FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = || Error::Malformed { text: text.to_owned() };
        let too_large = || Error::TooLarge { text: text.to_owned() };
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let length = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(length);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(malformed());
        }
        let digits = format!("{whole}{fraction}");
        let digits: i128 = digits
            .trim_start_matches('0')
            .parse()
            .or_else(|_| if digits.bytes().all(|b| b == b'0') { Ok(0) } else { Err(too_large()) })?;
        let decimals = i32::try_from(fraction.len()).map_err(|_| too_large())?;
        let (binary, exponent) = scale(suffix).ok_or_else(malformed)?;
        let scaled = digits.checked_mul(1_i128 << binary).ok_or_else(too_large)?;
        // Thousandths, hence the 3.
        let millis = shift(scaled, exponent + 3 - decimals).ok_or_else(too_large)?;
        Ok(Quantity { millis: if negative { -millis } else { millis } })
    }
}

/// A suffix as powers of 2 and of 10.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "" => (0, 0),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        exponent => (0, exponent.strip_prefix(['e', 'E'])?.parse().ok().filter(|e: &i32| e.abs() <= 100)?),
    })
}

/// `value` × 10^`exponent`, rounded up.
fn shift(value: i128, exponent: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    match (exponent >= 0, power) {
        _ if value == 0 => Some(0),
        (true, power) => value.checked_mul(power?),
        (false, Some(power)) => Some(value.div_euclid(power) + i128::from(value.rem_euclid(power) != 0)),
        (false, None) => Some(1),
    }
}
