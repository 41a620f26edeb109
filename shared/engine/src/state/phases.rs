//! The final phases of a loop's children, one byte each, in pieces: a change copies one piece, however long the
//! loop is.

use rpds::VectorSync;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PIECE: usize = 64;

/// One byte for each child of a loop, in the order of its items.
#[derive(Clone, Debug, PartialEq)]
pub struct Phases {
    pieces: VectorSync<[u8; PIECE]>,
    len: usize,
}

impl Phases {
    /// What stands for a child that is not settled.
    pub const OPEN: u8 = b'-';

    /// `len` children, none of them settled.
    pub fn open(len: usize) -> Phases {
        Phases { pieces: std::iter::repeat_n([Self::OPEN; PIECE], len.div_ceil(PIECE)).collect(), len }
    }

    /// How many children there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no child.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps a child's phase; beyond the last child nothing happens.
    pub fn set(&mut self, index: usize, phase: u8) {
        let Some(piece) = self.pieces.get(index / PIECE).filter(|_| index < self.len) else { return };
        let mut changed = *piece;
        changed[index % PIECE] = phase;
        self.pieces.set_mut(index / PIECE, changed);
    }

    /// Whether all of the `count` children from `first` on are settled; there may be fewer.
    pub fn have_ended(&self, first: usize, count: usize) -> bool {
        let end = self.len.min(first + count);
        let mut begin = first;
        while begin < end {
            let (from, to) = (begin % PIECE, PIECE.min(begin % PIECE + end - begin));
            if self.pieces.get(begin / PIECE).is_some_and(|piece| piece[from..to].contains(&Self::OPEN)) {
                return false;
            }
            begin += to - from;
        }
        true
    }

    fn at(&self, index: usize) -> Option<u8> {
        Some(self.pieces.get(index / PIECE)?[index % PIECE])
    }

    /// The same as a short text: each letter once for all that follow each other, behind their number where that is not 1.
    pub(crate) fn runs(&self) -> String {
        let mut text = String::new();
        let mut phases = self.iter().peekable();
        while let Some(phase) = phases.next() {
            let mut count = 1;
            while phases.next_if_eq(&phase).is_some() {
                count += 1;
            }
            if count > 1 {
                text.push_str(&count.to_string());
            }
            text.push(char::from(phase));
        }
        text
    }

    /// The phases that [`Self::runs`] wrote; none where there would be more than `most`, or the text is no such thing.
    pub(crate) fn of_runs(text: &str, most: usize) -> Option<Phases> {
        let mut letters: Vec<u8> = Vec::new();
        let mut digits = String::new();
        for letter in text.chars() {
            if letter.is_ascii_digit() {
                digits.push(letter);
                continue;
            }
            let count = if digits.is_empty() { 1 } else { digits.parse::<usize>().ok()? };
            digits.clear();
            if !letter.is_ascii() || count > most - letters.len() {
                return None;
            }
            letters.extend(std::iter::repeat_n(letter as u8, count));
        }
        digits.is_empty().then(|| Phases::of_letters(&letters))
    }

    fn of_letters(letters: &[u8]) -> Phases {
        let piece = |letters: &[u8]| {
            let mut piece = [Self::OPEN; PIECE];
            piece[..letters.len()].copy_from_slice(letters);
            piece
        };
        Phases { pieces: letters.chunks(PIECE).map(piece).collect(), len: letters.len() }
    }

    /// The bytes, in the order of the items.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u8> + '_ {
        (0..self.len).filter_map(|index| self.at(index))
    }
}

/// Stored as a text of one letter for each child.
impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.iter().map(char::from).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Phases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Phases, D::Error> {
        Ok(Phases::of_letters(String::deserialize(deserializer)?.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_child_has_its_byte_and_others_keep_theirs() {
        let mut phases = Phases::open(130);
        let before = phases.clone();
        for (index, byte) in [(0, b'S'), (63, b'F'), (64, b'E'), (129, b'K'), (130, b'S')] {
            phases.set(index, byte);
        }
        let set: Vec<(usize, u8)> = phases.iter().enumerate().filter(|(_, b)| *b != Phases::OPEN).collect();
        assert_eq!(set, [(0, b'S'), (63, b'F'), (64, b'E'), (129, b'K')]);
        let stored = serde_json::to_string(&phases).unwrap();
        assert_eq!(serde_json::from_str::<Phases>(&stored).unwrap(), phases);
        assert_eq!(phases.runs(), "S62-FE64-K");
        assert_eq!(Phases::of_runs(&phases.runs(), 130), Some(phases.clone()));
        assert_eq!((phases.len(), before.iter().filter(|b| *b == Phases::OPEN).count()), (130, 130));
    }

    #[test]
    fn a_text_that_is_no_runs_of_letters_is_none() {
        for wrong in ["3", "4S", "2S2F", "99999999999999999999S", "1000000000000S", "ä"] {
            assert_eq!(Phases::of_runs(wrong, 3), None, "{wrong}");
        }
        assert_eq!(Phases::of_runs("", 3), Some(Phases::open(0)));
    }

    #[test]
    fn children_have_ended_once_none_of_them_is_open() {
        let mut phases = Phases::open(70);
        (60..70).for_each(|index| phases.set(index, b'F'));
        assert!(phases.have_ended(60, 100) && phases.have_ended(60, 10) && phases.have_ended(70, 5));
        assert!(!phases.have_ended(59, 2));
    }
}
