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

    /// The bytes, in the order of the items.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u8> + '_ {
        (0..self.len).filter_map(|index| Some(self.pieces.get(index / PIECE)?[index % PIECE]))
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
        let text = String::deserialize(deserializer)?;
        let mut phases = Phases::open(text.len());
        text.bytes().enumerate().for_each(|(index, phase)| phases.set(index, phase));
        Ok(phases)
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
        assert_eq!((phases.len(), before.iter().filter(|b| *b == Phases::OPEN).count()), (130, 130));
    }
}
