//! A page of a listing: which keys and common prefixes come next.

/// What is asked of a listing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) prefix: &'a str,
    pub(super) delimiter: Option<&'a str>,
    /// Only names after this one: a key, or a common prefix, which stands for all keys below it.
    pub(super) after: Option<&'a str>,
    pub(super) max: usize,
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page<'a> {
    /// Positions of the keys in what was listed.
    pub(super) keys: Vec<usize>,
    pub(super) prefixes: Vec<&'a str>,
    /// The last name on the page, where there are more after it.
    pub(super) next: Option<&'a str>,
}

/// The page that `question` asks for, of keys that are sorted and begin with its prefix.
pub(super) fn page<'a>(keys: &[&'a str], question: Question<'_>) -> Page<'a> {
    let mut page = Page::default();
    let mut last: Option<&'a str> = None;
    for (position, key) in keys.iter().enumerate() {
        let rolled_up = common_prefix(key, question);
        let name = rolled_up.unwrap_or(key);
        if question.after.is_some_and(|after| name <= after) || (rolled_up.is_some() && last == rolled_up) {
            continue;
        }
        if page.keys.len() + page.prefixes.len() == question.max {
            page.next = last;
            break;
        }
        match rolled_up {
            Some(prefix) => page.prefixes.push(prefix),
            None => page.keys.push(position),
        }
        last = Some(name);
    }
    page
}

fn common_prefix<'a>(key: &'a str, question: Question<'_>) -> Option<&'a str> {
    let delimiter = question.delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let rest = &key[question.prefix.len()..];
    let end = rest.find(delimiter)? + delimiter.len();
    Some(&key[..question.prefix.len() + end])
}

/// A text as `encoding-type=url` asks for it.
pub(super) fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = ["a", "a/b", "a/c", "b/d", "c", "d/e"];

    fn all<'a>(question: Question<'a>) -> Vec<Vec<&'static str>> {
        let keys: Vec<&'static str> =
            KEYS.into_iter().filter(|key| key.starts_with(question.prefix)).collect();
        let mut pages = Vec::new();
        let mut after = question.after;
        loop {
            let page = page(&keys, Question { after, ..question });
            let mut names: Vec<_> = page.keys.iter().map(|at| keys[*at]).collect();
            names.extend(&page.prefixes);
            names.sort_unstable();
            pages.push(names);
            match page.next {
                Some(next) => after = Some(next),
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_hold_every_name_once_whatever_their_size() {
        for delimiter in [None, Some("/")] {
            let question = Question { prefix: "", delimiter, after: None, max: 1_000 };
            let whole = all(question);
            assert_eq!(whole.len(), 1);
            for max in 1..8 {
                assert_eq!(all(Question { max, ..question }).concat(), whole[0], "{delimiter:?} {max}");
            }
        }
    }

    #[test]
    fn a_delimiter_rolls_keys_up() {
        let question = Question { prefix: "", delimiter: Some("/"), after: None, max: 1_000 };
        assert_eq!(all(question), [["a", "a/", "b/", "c", "d/"]]);
        assert_eq!(all(Question { prefix: "a/", ..question }), [["a/b", "a/c"]]);
        assert_eq!(all(Question { after: Some("b/"), ..question }), [["c", "d/"]]);
    }

    #[test]
    fn a_page_of_nothing_is_the_last() {
        let question = Question { prefix: "", delimiter: None, after: None, max: 0 };
        assert_eq!(page(&KEYS, question), Page::default());
    }

    #[test]
    fn keys_are_url_encoded_byte_by_byte() {
        assert_eq!(url_encoded("a b+c%/ä"), "a%20b%2Bc%25/%C3%A4");
    }
}
