//! Runs that wait in objects of their own, so that the trigger's document stays small however many files are dropped.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Birth, TriggerState};

/// So many objects stay at the head of the queue, for who starts runs next.
const HEAD_OBJECTS: usize = 100;

/// So many make a page: some 60 KB.
const PAGE_OBJECTS: usize = 200;

/// A page that the document names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// A hash of what it holds: two processes that write the same page write the same object.
    pub name: String,
    /// How many runs it holds.
    pub births: usize,
    /// How many objects they have.
    pub objects: usize,
}

/// A page as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Paged {
    pub(super) format: u32,
    pub(super) births: Vec<Birth>,
}

impl Paged {
    /// The name under which these births are stored, and what is said of them.
    pub(super) fn page(&self) -> Page {
        let text = serde_json::to_vec(self).expect("births become JSON");
        let name = Sha256::digest(text)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Page { name, births: self.births.len(), objects: objects(&self.births) }
    }
}

impl TriggerState {
    /// How many runs wait for their turn.
    pub fn waiting(&self) -> usize {
        let paged: usize = self.pages.iter().map(|page| page.births).sum();
        self.queue.len() + paged + self.tail.len()
    }

    /// What is to become a page, if there is enough of it: what waits behind the head of the queue, or behind the pages.
    pub(super) fn surplus(&self) -> Option<Paged> {
        let rest =
            if self.pages.is_empty() { &self.queue[until(&self.queue, HEAD_OBJECTS)..] } else { &self.tail };
        let births = rest[..until(rest, PAGE_OBJECTS)].to_vec();
        (objects(&births) >= PAGE_OBJECTS).then_some(Paged { format: 1, births })
    }

    /// Names a page that is stored now, unless somebody else was faster.
    pub(super) fn put_out(&mut self, page: &Paged) {
        if self.surplus().as_ref() != Some(page) {
            return;
        }
        let count = page.births.len();
        if self.pages.is_empty() {
            let behind = self.queue.split_off(until(&self.queue, HEAD_OBJECTS));
            self.tail = behind[count..].to_vec();
        } else {
            self.tail.drain(..count);
        }
        self.pages.push(page.page());
        self.set_format();
    }

    /// Brings the first page back into the queue, unless somebody else did.
    pub(super) fn take_in(&mut self, page: &Page, births: Vec<Birth>) {
        if self.pages.first() != Some(page) {
            return;
        }
        self.pages.remove(0);
        self.queue.extend(births);
        if self.pages.is_empty() {
            self.queue.append(&mut self.tail);
        }
        self.set_format();
    }

    /// A program that knows no pages must not write a document that names some.
    pub(super) fn set_format(&mut self) {
        self.format = if self.pages.is_empty() { 1 } else { 2 };
    }
}

/// How many births there are up to that one which makes so many objects.
fn until(births: &[Birth], count: usize) -> usize {
    let mut sum = 0;
    births
        .iter()
        .position(|birth| {
            sum += birth.objects.len();
            sum >= count
        })
        .map_or(births.len(), |at| at + 1)
}

fn objects(births: &[Birth]) -> usize {
    births.iter().map(|birth| birth.objects.len()).sum()
}
