//! Changing the form of words, and small algorithms of sprig.

/// The words of a text: they end at anything that is no letter or digit, and before a capital in the middle.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, chars) = (Vec::new(), String::new(), text.chars().collect::<Vec<_>>());
    for (i, &c) in chars.iter().enumerate() {
        if matches!(c, '_' | '-' | ' ' | '.') {
            words.push(std::mem::take(&mut word));
            continue;
        }
        let before = i.checked_sub(1).map(|i| chars[i]);
        let after = chars.get(i + 1);
        let begins = c.is_uppercase()
            && (before.is_some_and(|b| b.is_lowercase() || b.is_ascii_digit())
                || before.is_some_and(char::is_uppercase) && after.is_some_and(|a| a.is_lowercase()));
        if begins {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// `snakecase` and `kebabcase`.
pub(super) fn joined(text: &str, glue: &str) -> String {
    split(text).join(glue).to_lowercase()
}

/// `camelcase`.
pub(super) fn camel(text: &str) -> String {
    split(text).iter().map(|word| capital(&word.to_lowercase())).collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// `title`: every word with a capital, the rest as it is.
pub(super) fn title(text: &str) -> String {
    each_first(text, |c| c.to_uppercase().collect())
}

/// `untitle`.
pub(super) fn untitle(text: &str) -> String {
    each_first(text, |c| c.to_lowercase().collect())
}

fn each_first(text: &str, change: impl Fn(char) -> String) -> String {
    let (mut out, mut begins) = (String::with_capacity(text.len()), true);
    for c in text.chars() {
        if begins {
            out.push_str(&change(c))
        } else {
            out.push(c)
        }
        begins = !(c.is_alphanumeric() || c == '_' || c == '\'');
    }
    out
}

/// `swapcase`.
pub(super) fn swap(text: &str) -> String {
    let swapped = |c: char| -> String {
        if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
    };
    text.chars().map(swapped).collect()
}

/// `initials`.
pub(super) fn initials(text: &str) -> String {
    text.split_whitespace().filter_map(|word| word.chars().next()).collect()
}

/// `wrap`: lines of at most `width` characters, broken at spaces.
pub(super) fn wrap(text: &str, width: usize, newline: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(newline)
}

/// `adler32sum`.
pub(super) fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

/// A stream of numbers decided by a seed: SplitMix64.
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A version-4 UUID decided by a seed.
pub(super) fn uuid(seed: u64) -> String {
    let mut random = Random::new(seed);
    let (high, low) = (random.next(), random.next());
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}
