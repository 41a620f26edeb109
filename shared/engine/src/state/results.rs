//! What a loop's succeeded children gave, by their index, in pieces: one of which all children have ended is packed into
//! a text, and only one piece at a time is unpacked to be read.

use std::fmt;
use std::sync::{Arc, OnceLock};

use dropforge_manifest::go;
use dropforge_manifest::types::Outputs;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Phases;
use crate::frozen::Frozen;

/// Children of one piece. Tests have small ones, so that their loops cross them.
pub(crate) const PIECE: u32 = if cfg!(test) { 3 } else { 1024 };

type Pairs = RedBlackTreeMapSync<u32, Arc<Outputs>>;

/// Outputs by child.
#[derive(Clone, Default)]
pub struct Results {
    pieces: RedBlackTreeMapSync<u32, Piece>,
    /// Every later task of a DAG asks, and to answer takes reading all of them.
    unreadable: OnceLock<Option<String>>,
}

#[derive(Clone, Debug)]
enum Piece {
    Open(Pairs),
    /// The same as a list of pairs.
    Packed(Frozen),
}

impl Piece {
    fn pairs(&self) -> Vec<(u32, Arc<Outputs>)> {
        match self {
            Piece::Open(pairs) => pairs.iter().map(|(index, outputs)| (*index, outputs.clone())).collect(),
            Piece::Packed(text) => {
                serde_json::from_str(text.json()).expect("a piece was written here, or read when it came")
            }
        }
    }
}

impl Results {
    /// Keeps what a child gave.
    pub fn insert(&mut self, index: u32, outputs: Arc<Outputs>) {
        let piece = self.pieces.get(&(index / PIECE));
        let mut pairs = match piece {
            Some(Piece::Open(pairs)) => pairs.clone(),
            Some(packed @ Piece::Packed(_)) => packed.pairs().into_iter().collect(),
            None => Pairs::default(),
        };
        pairs.insert_mut(index, outputs);
        self.unreadable.take();
        self.pieces.insert_mut(index / PIECE, Piece::Open(pairs));
    }

    /// Packs the piece of a child, if all of its children have ended.
    pub fn pack_around(&mut self, index: u32, phases: &Phases) {
        let number = index / PIECE;
        if let Some(Piece::Open(pairs)) = self.pieces.get(&number)
            && phases.have_ended(number as usize * PIECE as usize, PIECE as usize)
        {
            let list: Vec<_> = pairs.iter().collect();
            let text = serde_json::to_string(&list).expect("outputs can be written as JSON");
            self.pieces.insert_mut(number, Piece::Packed(Frozen::new(text)));
        }
    }

    /// Packs every piece that can be: a state that was read is then as the one that was kept.
    pub fn pack(&mut self, phases: &Phases) {
        let numbers: Vec<u32> = self.pieces.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.pack_around(number * PIECE, phases));
    }

    /// The outputs in the order of the children.
    pub fn values(&self) -> impl Iterator<Item = Arc<Outputs>> + '_ {
        self.pairs().map(|(_, outputs)| outputs)
    }

    /// Why the first that is not JSON is none, in Go's words; nothing where all are.
    pub fn unreadable(&self) -> Option<&str> {
        let first = || self.values().find_map(|outputs| go::json_error(outputs.result.as_deref()?));
        self.unreadable.get_or_init(first).as_deref()
    }

    fn pairs(&self) -> impl Iterator<Item = (u32, Arc<Outputs>)> + '_ {
        self.pieces.values().flat_map(Piece::pairs)
    }

    /// Takes the packed pieces out, each with its number.
    pub(crate) fn take_packed(&mut self) -> Vec<(u32, Frozen)> {
        let packed = |(number, piece): (&u32, &Piece)| match piece {
            Piece::Packed(text) => Some((*number, text.clone())),
            Piece::Open(_) => None,
        };
        let taken: Vec<(u32, Frozen)> = self.pieces.iter().filter_map(packed).collect();
        for (number, _) in &taken {
            self.pieces.remove_mut(number);
        }
        self.unreadable.take();
        taken
    }

    /// Puts a packed piece back.
    ///
    /// # Errors
    /// When the text is no such piece.
    pub(crate) fn put_packed(&mut self, number: u32, text: Frozen) -> Result<(), serde_json::Error> {
        serde_json::from_str::<Vec<(u32, Arc<Outputs>)>>(text.json())?;
        self.pieces.insert_mut(number, Piece::Packed(text));
        self.unreadable.take();
        Ok(())
    }
}

/// Without the answer, which says nothing that they don't hold.
impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.fmt(f)
    }
}

/// What they hold, packed or not.
impl PartialEq for Results {
    fn eq(&self, other: &Results) -> bool {
        self.pairs().eq(other.pairs())
    }
}

/// Stored as a list of pairs.
impl Serialize for Results {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.pairs())
    }
}

impl<'de> Deserialize<'de> for Results {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Results, D::Error> {
        let pairs = Vec::<(u32, Arc<Outputs>)>::deserialize(deserializer)?;
        let mut results = Results::default();
        pairs.into_iter().for_each(|(index, outputs)| results.insert(index, outputs));
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gave(text: &str) -> Arc<Outputs> {
        Arc::new(Outputs { result: Some(text.to_owned()), ..Outputs::default() })
    }

    fn texts(results: &Results) -> Vec<String> {
        results.values().filter_map(|o| o.result.clone()).collect()
    }

    #[test]
    fn what_is_no_json_is_found_however_often_results_come_and_go() {
        let mut results = Results::default();
        results.insert(0, gave("1"));
        assert_eq!(results.unreadable(), None);
        results.insert(1, gave("hello"));
        assert_eq!(results.unreadable(), Some("invalid character 'h' looking for beginning of value"));
        let mut phases = Phases::open(3);
        (0..3).for_each(|child| phases.set(child, b'S'));
        results.pack(&phases);
        let packed = results.take_packed();
        assert_eq!((packed.len(), results.unreadable()), (1, None));
        for (number, text) in packed {
            results.put_packed(number, text).unwrap();
        }
        assert!(results.unreadable().is_some());
    }

    #[test]
    fn pieces_whose_children_have_ended_are_packed_and_read_in_order() {
        let (mut results, mut phases) = (Results::default(), Phases::open(8));
        for index in [4, 0, 2, 7, 5, 6] {
            results.insert(index, gave(&index.to_string()));
            phases.set(index as usize, b'S');
            results.pack_around(index, &phases);
        }
        // Of the first piece a child is open, of the second too; the last has fewer, which have ended.
        let numbers = |packed: &[(u32, Frozen)]| packed.iter().map(|(number, _)| *number).collect::<Vec<_>>();
        assert_eq!(numbers(&results.clone().take_packed()), [2]);
        for (index, phase) in [(1, b'F'), (3, b'K')] {
            phases.set(index, phase);
            results.pack_around(u32::try_from(index).unwrap(), &phases);
        }
        assert_eq!(texts(&results), ["0", "2", "4", "5", "6", "7"]);
        let mut short = results.clone();
        let taken = short.take_packed();
        assert_eq!((numbers(&taken), texts(&short)), (vec![0, 1, 2], vec![]));
        for (number, text) in taken {
            short.put_packed(number, text).unwrap();
        }
        assert_eq!(short, results);
        assert!(short.put_packed(0, Frozen::new("[[0]]".to_owned())).is_err());
    }

    #[test]
    fn a_child_that_ends_again_is_kept_in_a_packed_piece_too() {
        let (mut results, mut phases) = (Results::default(), Phases::open(3));
        for index in 0..3 {
            results.insert(index, gave("old"));
            phases.set(index as usize, b'S');
            results.pack_around(index, &phases);
        }
        results.insert(1, gave("new"));
        assert_eq!(texts(&results), ["old", "new", "old"]);
        let stored = serde_json::to_string(&results).unwrap();
        let mut read: Results = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, results);
        read.pack(&phases);
        assert_eq!((read.take_packed().len(), texts(&results).len()), (1, 3));
    }
}
