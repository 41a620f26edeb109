//! The items of a loop: one text, whatever their number, of which an item is read when its child starts.

use std::fmt;
use std::sync::Arc;

use dropforge_manifest::text::Item;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::frozen::Frozen;

/// What the items of one loop may take together: as much as a manifest.
pub const ITEMS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Items in order, as one JSON list.
#[derive(Clone, PartialEq)]
pub struct Items {
    list: Frozen,
    /// Where each item ends in the list; it begins after the comma or bracket behind the one before.
    ends: Arc<[u32]>,
}

/// The items take more than [`ITEMS_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the items of the loop take more than {ITEMS_BYTES_MAX} bytes: loop over names or numbers, and let each step read \
     what it needs"
)]
pub struct TooLong;

impl From<TooLong> for String {
    fn from(why: TooLong) -> String {
        why.to_string()
    }
}

impl Items {
    /// The items of a JSON list, each with its own text.
    ///
    /// # Errors
    /// When `text` is not a JSON list; the message is the parser's.
    pub fn read(text: &str) -> Result<Items, serde_json::Error> {
        let mut parser = serde_json::Deserializer::from_str(text);
        let items = parser.deserialize_seq(Raw)?;
        parser.end()?;
        Ok(items)
    }

    /// Items, the first of which that can't be made ends it.
    ///
    /// # Errors
    /// That item's, or that they take too much.
    pub fn gather<E: From<TooLong>>(items: impl IntoIterator<Item = Result<Item, E>>) -> Result<Items, E> {
        let mut list = List::default();
        for item in items {
            list.push(&item?.0).map_err(E::from)?;
        }
        Ok(list.done())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<Item> {
        let end = *self.ends.get(index)? as usize;
        let before = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let begin = before.map_or(0, |end| end as usize) + 1;
        self.list.json().get(begin..end).map(|text| Item(text.to_owned()))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Item> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Their text.
    pub fn frozen(&self) -> &Frozen {
        &self.list
    }
}

impl Default for Items {
    fn default() -> Items {
        List::default().done()
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.fmt(f)
    }
}

/// A list that is being made.
struct List {
    text: String,
    ends: Vec<u32>,
}

impl Default for List {
    fn default() -> List {
        List { text: "[".to_owned(), ends: Vec::new() }
    }
}

impl List {
    fn push(&mut self, item: &str) -> Result<(), TooLong> {
        self.add(item)?;
        if self.text.len() > ITEMS_BYTES_MAX { Err(TooLong) } else { Ok(()) }
    }

    /// What was accepted once is read whatever its length: its text may be longer now than it was then.
    fn add(&mut self, item: &str) -> Result<(), TooLong> {
        if !self.ends.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(item);
        self.ends.push(u32::try_from(self.text.len()).map_err(|_| TooLong)?);
        Ok(())
    }

    fn done(mut self) -> Items {
        self.text.push(']');
        Items { list: Frozen::new(self.text), ends: self.ends.into() }
    }
}

/// Reads a list and keeps its items' texts as they are.
struct Raw;

impl<'de> Visitor<'de> for Raw {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Items, A::Error> {
        let mut list = List::default();
        while let Some(item) = items.next_element::<&RawValue>()? {
            list.push(item.get()).map_err(serde::de::Error::custom)?;
        }
        Ok(list.done())
    }
}

/// Reads a stored list: the items' texts as the parser prints them.
struct Stored;

impl<'de> Visitor<'de> for Stored {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Items, A::Error> {
        let mut list = List::default();
        while let Some(item) = items.next_element::<Value>()? {
            list.add(&item.to_string()).map_err(serde::de::Error::custom)?;
        }
        Ok(list.done())
    }
}

impl Serialize for Items {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Items, D::Error> {
        deserializer.deserialize_seq(Stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(items: &Items) -> Vec<String> {
        items.iter().map(|item| item.0).collect()
    }

    #[test]
    fn each_item_keeps_its_text_and_a_list_is_stored_as_a_list() {
        let items = Items::read(r#" ["a,]\"", 1.50, {"x": [1,2]}, null ] "#).unwrap();
        assert_eq!(texts(&items), [r#""a,]\"""#, "1.50", r#"{"x": [1,2]}"#, "null"]);
        assert_eq!((items.len(), items.get(4)), (4, None));
        let stored = serde_json::to_string(&items).unwrap();
        assert_eq!(stored, r#"["a,]\"",1.5,{"x":[1,2]},null]"#);
        let read: Items = serde_json::from_str(&stored).unwrap();
        assert_eq!((texts(&read)[2].as_str(), read.frozen().json()), (r#"{"x":[1,2]}"#, stored.as_str()));
        assert_eq!(serde_json::to_string(&Items::default()).unwrap(), "[]");
        for wrong in ["{}", "[1", "[1] 2", "x", ""] {
            assert!(Items::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn items_whose_stored_text_is_longer_than_the_accepted_one_are_still_read() {
        let count = ITEMS_BYTES_MAX / 16;
        let accepted = Items::read(&format!("[{}1e15]", "1e15,".repeat(count - 1))).unwrap();
        let stored = serde_json::to_string(&accepted).unwrap();
        assert!(stored.len() > ITEMS_BYTES_MAX, "{}", stored.len());
        assert_eq!(serde_json::from_str::<Items>(&stored).unwrap().len(), count);
    }

    #[test]
    fn items_that_take_too_much_are_refused_before_they_are_all_made() {
        let mut made = 0;
        let long = std::iter::repeat_with(|| {
            made += 1;
            Ok::<_, TooLong>(Item("x".repeat(1024 * 1024)))
        });
        assert_eq!(Items::gather(long), Err(TooLong));
        assert_eq!(made, 32);
    }
}
