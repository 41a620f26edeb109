//! Values by number. A copy shares every branch with the original, and a change copies at most the few branches above
//! it; finding a value costs the same few steps among a hundred and among a million, and neighbours lie side by side.

use std::sync::Arc;

/// Bits of a number that choose the way at one branch.
const BITS: u32 = 5;
const WIDTH: usize = 1 << BITS;

/// Values in the order of their numbers.
#[derive(Clone, Debug)]
pub struct Trie<T> {
    root: Option<Branch<T>>,
    /// Branches between the root and a value.
    height: u32,
    size: usize,
}

#[derive(Clone, Debug)]
enum Branch<T> {
    Above(Arc<[Option<Branch<T>>; WIDTH]>),
    Leaves(Arc<[Option<T>; WIDTH]>),
}

impl<T: Clone> Branch<T> {
    fn new(height: u32) -> Branch<T> {
        match height {
            0 => Branch::Leaves(Arc::new([const { None }; WIDTH])),
            _ => Branch::Above(Arc::new([const { None }; WIDTH])),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Branch::Above(below) => below.iter().all(Option::is_none),
            Branch::Leaves(values) => values.iter().all(Option::is_none),
        }
    }

    fn insert(&mut self, height: u32, number: u64, value: T) -> Option<T> {
        match self {
            Branch::Leaves(values) => Arc::make_mut(values)[way(number, 0)].replace(value),
            Branch::Above(below) => Arc::make_mut(below)[way(number, height)]
                .get_or_insert_with(|| Branch::new(height - 1))
                .insert(height - 1, number, value),
        }
    }

    /// Takes a value out that is there; a branch that is empty then goes too.
    fn remove(&mut self, height: u32, number: u64) {
        match self {
            Branch::Leaves(values) => Arc::make_mut(values)[way(number, 0)] = None,
            Branch::Above(below) => {
                let place = &mut Arc::make_mut(below)[way(number, height)];
                if let Some(branch) = place {
                    branch.remove(height - 1, number);
                    if branch.is_empty() {
                        *place = None;
                    }
                }
            }
        }
    }

    fn collect<'b>(&'b self, found: &mut Vec<&'b T>) {
        match self {
            Branch::Above(below) => below.iter().flatten().for_each(|branch| branch.collect(found)),
            Branch::Leaves(values) => found.extend(values.iter().flatten()),
        }
    }

    /// The first number from this one on that has a value; `from` and what is given count within this branch.
    fn first_from(&self, height: u32, from: u64) -> Option<u64> {
        let first = way(from, height);
        match self {
            Branch::Leaves(values) => (first..WIDTH).find(|&at| values[at].is_some()).map(|at| at as u64),
            Branch::Above(below) => (first..WIDTH).find_map(|at| {
                let rest = if at == first { from & ((1 << (height * BITS)) - 1) } else { 0 };
                let found = below[at].as_ref()?.first_from(height - 1, rest)?;
                Some(((at as u64) << (height * BITS)) + found)
            }),
        }
    }
}

fn way(number: u64, height: u32) -> usize {
    (number >> (height * BITS)) as usize % WIDTH
}

/// Whether a tree of this height has a place for the number.
fn fits(number: u64, height: u32) -> bool {
    number.checked_shr((height + 1) * BITS).unwrap_or(0) == 0
}

impl<T> Default for Trie<T> {
    fn default() -> Trie<T> {
        Trie { root: None, height: 0, size: 0 }
    }
}

impl<T: Clone> Trie<T> {
    /// How many there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The value of this number.
    pub fn get(&self, number: u64) -> Option<&T> {
        let mut branch = self.root.as_ref().filter(|_| fits(number, self.height))?;
        let mut height = self.height;
        loop {
            match branch {
                Branch::Leaves(values) => return values[way(number, 0)].as_ref(),
                Branch::Above(below) => branch = below[way(number, height)].as_ref()?,
            }
            height -= 1;
        }
    }

    /// The value of this number, to be changed.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        // Nothing is copied for a value that is not there.
        self.get(number)?;
        let mut branch = self.root.as_mut()?;
        let mut height = self.height;
        loop {
            match branch {
                Branch::Leaves(values) => return Arc::make_mut(values)[way(number, 0)].as_mut(),
                Branch::Above(below) => branch = Arc::make_mut(below)[way(number, height)].as_mut()?,
            }
            height -= 1;
        }
    }

    /// Adds a value, or replaces the one of this number.
    pub fn insert_mut(&mut self, number: u64, value: T) {
        while !fits(number, self.height) {
            self.height += 1;
            if let Some(root) = self.root.take() {
                let mut below = [const { None }; WIDTH];
                below[0] = Some(root);
                self.root = Some(Branch::Above(Arc::new(below)));
            }
        }
        let root = self.root.get_or_insert_with(|| Branch::new(self.height));
        if root.insert(self.height, number, value).is_none() {
            self.size += 1;
        }
    }

    /// Takes a value out, if it is there.
    pub fn remove_mut(&mut self, number: u64) {
        if self.get(number).is_some()
            && let Some(root) = &mut self.root
        {
            root.remove(self.height, number);
            self.size -= 1;
        }
    }

    /// The values in the order of their numbers.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let mut found = Vec::with_capacity(self.size);
        if let Some(root) = &self.root {
            root.collect(&mut found);
        }
        found.into_iter()
    }

    /// The first number from this one on that has a value.
    pub fn first_from(&self, from: u64) -> Option<u64> {
        self.root.as_ref().filter(|_| fits(from, self.height))?.first_from(self.height, from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = u64> {
        prop_oneof![0..40_u64, 0..40_000_u64, any::<u64>()]
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map_whose_copies_do_not_change(
            changes in proptest::collection::vec((0..3_u8, numbers()), 0..200),
            from in numbers(),
        ) {
            let (mut trie, mut expected) = (Trie::default(), BTreeMap::new());
            for (change, number) in changes {
                let copy = trie.clone();
                let before: Vec<String> = trie.values().cloned().collect();
                match change {
                    0 => {
                        trie.insert_mut(number, number.to_string());
                        expected.insert(number, number.to_string());
                    }
                    1 => {
                        trie.remove_mut(number);
                        expected.remove(&number);
                    }
                    _ => {
                        let found = trie.get_mut(number).map(|value| value.push('x'));
                        prop_assert_eq!(found, expected.get_mut(&number).map(|value| value.push('x')));
                    }
                }
                prop_assert_eq!(copy.values().cloned().collect::<Vec<_>>(), before);
            }
            prop_assert_eq!(trie.size(), expected.len());
            prop_assert!(expected.iter().all(|(number, value)| trie.get(*number) == Some(value)));
            prop_assert_eq!(trie.first_from(from), expected.range(from..).next().map(|(number, _)| *number));
            prop_assert_eq!(trie.values().cloned().collect::<Vec<_>>(), expected.into_values().collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_left_of_what_was_taken_out() {
        let mut trie = Trie::default();
        (0..5_000).for_each(|number| trie.insert_mut(number, number));
        (0..5_000).for_each(|number| trie.remove_mut(number));
        assert!(trie.root.is_some_and(|root| root.is_empty()));
    }
}
