//! `fmt.Sprintf` for one whole number.

/// The flags and sizes between `%` and the verb.
#[derive(Default)]
struct Spec {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Go's own bound on widths and precisions.
const SIZE_MAX: usize = 1_000_000;
/// The most characters that a format may give; a name or an argument is far shorter, and Rust's own widths end at
/// 65,535.
const TEXT_MAX: usize = 60_000;

/// `number` in a Go format, with Go's own marks for what does not fit: `%!s(int=7)`, `%!d(MISSING)`, `%!(EXTRA int=7)`.
///
/// # Errors
/// When the text would be longer than 60,000 characters.
pub fn printf_integer(format: &str, number: i64) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), format);
    // Which argument comes next: there is one, number 0.
    let (mut argument, mut reordered) = (0usize, false);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut spec = Spec::default();
        rest = spec.read(rest);
        let mut bad_index = false;
        if let Some((index, after)) = explicit_index(rest) {
            (argument, bad_index, reordered, rest) = (index.wrapping_sub(1), index != 1, true, after);
        }
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        rest = &rest[verb.len_utf8()..];
        match verb {
            '%' => out.push('%'),
            _ if bad_index => out.push_str(&format!("%!{verb}(BADINDEX)")),
            _ if argument > 0 => out.push_str(&format!("%!{verb}(MISSING)")),
            _ => {
                out.push_str(&spec.number(verb, number));
                argument = 1;
            }
        }
        if out.len() > TEXT_MAX {
            return Err(format!("the format gives more than {TEXT_MAX} characters"));
        }
    }
    out.push_str(rest);
    if argument == 0 && !reordered {
        out.push_str(&format!("%!(EXTRA int={number})"));
    }
    Ok(out)
}

/// `[1]` before a verb.
fn explicit_index(text: &str) -> Option<(usize, &str)> {
    let (index, after) = text.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().unwrap_or(0), after))
}

fn size(text: &str) -> (Option<usize>, &str) {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    (text[..length].parse().ok().filter(|size| *size <= SIZE_MAX), &text[length..])
}

impl Spec {
    fn read<'a>(&mut self, mut text: &'a str) -> &'a str {
        loop {
            match text.as_bytes().first() {
                Some(b'+') => self.plus = true,
                Some(b'-') => self.minus = true,
                Some(b'#') => self.sharp = true,
                Some(b' ') => self.space = true,
                Some(b'0') => self.zero = true,
                _ => break,
            }
            text = &text[1..];
        }
        let (width, after) = size(text);
        self.width = width.map(|width| width.min(TEXT_MAX + 1));
        let Some(after_point) = after.strip_prefix('.') else { return after };
        let (precision, rest) = size(after_point);
        self.precision = Some(precision.unwrap_or(0).min(TEXT_MAX + 1));
        rest
    }

    fn number(&self, verb: char, number: i64) -> String {
        match verb {
            'd' | 'v' => self.digits(number, &number.unsigned_abs().to_string(), ""),
            'b' => self.digits(number, &format!("{:b}", number.unsigned_abs()), "0b"),
            'o' => {
                let digits = format!("{:o}", number.unsigned_abs());
                self.digits(number, &digits, if digits.starts_with('0') { "" } else { "0" })
            }
            'O' => Spec { sharp: true, ..self.copy() }.digits(
                number,
                &format!("{:o}", number.unsigned_abs()),
                "0o",
            ),
            'x' => self.digits(number, &format!("{:x}", number.unsigned_abs()), "0x"),
            'X' => self.digits(number, &format!("{:X}", number.unsigned_abs()), "0X"),
            'c' => self.pad(character(number).to_string(), self.zero),
            'q' => self.pad(quoted(character(number), self.plus), self.zero),
            'U' => self.pad(self.code_point(number), false),
            'T' => self.pad("int".to_owned(), self.zero),
            _ => format!("%!{verb}(int={number})"),
        }
    }

    fn copy(&self) -> Spec {
        Spec { ..*self }
    }

    fn digits(&self, number: i64, digits: &str, prefix: &str) -> String {
        if number == 0 && self.precision == Some(0) {
            return " ".repeat(self.width.unwrap_or(0));
        }
        let sign = match (number < 0, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        let prefix = if self.sharp { prefix } else { "" };
        let mut least = self.precision.unwrap_or(0);
        // Zeros fill the whole width, sign included, and only where the digits are to the right.
        if self.zero && !self.minus && self.precision.is_none() {
            least = self.width.unwrap_or(0).saturating_sub(sign.len());
        }
        let body = format!("{sign}{prefix}{digits:0>least$}");
        self.pad(body, false)
    }

    fn pad(&self, text: String, zero: bool) -> String {
        let width = self.width.unwrap_or(0);
        match (self.minus, zero) {
            (true, _) => format!("{text:<width$}"),
            (false, true) => format!("{text:0>width$}"),
            (false, false) => format!("{text:>width$}"),
        }
    }

    fn code_point(&self, number: i64) -> String {
        let code = format!("U+{:04X}", number);
        match u32::try_from(number).ok().and_then(char::from_u32) {
            Some(c) if self.sharp && !c.is_control() => format!("{code} '{c}'"),
            _ => code,
        }
    }
}

fn character(number: i64) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn quoted(c: char, ascii: bool) -> String {
    let escaped = match c {
        '\'' => "\\'".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        _ if (c as u32) < 0x20 || c as u32 == 0x7f => format!("\\x{:02x}", c as u32),
        _ if c.is_control() || ascii && !c.is_ascii() => match c as u32 {
            code @ 0..=0xffff => format!("\\u{code:04x}"),
            code => format!("\\U{code:08x}"),
        },
        _ => c.to_string(),
    };
    format!("'{escaped}'")
}
