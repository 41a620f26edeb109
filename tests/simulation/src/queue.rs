//! Queues whose messages are lost, doubled, late, out of order, and seen again while somebody works on them.

use std::collections::BTreeMap;

use dropforge_driver::heard::Heard;
use dropforge_driver::ingest::Notice;

use crate::plan::Fault;
use crate::world::{BEGIN, FAULTS, World};

/// A queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Queue {
    /// Of doorbells.
    Events,
    /// Of uploads and reminders.
    Uploads,
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Body {
    /// A doorbell.
    Bell(Heard),
    /// For whoever starts runs.
    Notice(Notice),
}

#[derive(Clone, Debug)]
struct Message {
    id: u64,
    body: Body,
    visible: i64,
    receives: u32,
}

/// All queues.
#[derive(Debug, Default)]
pub struct Queues {
    messages: BTreeMap<Queue, Vec<Message>>,
    next: u64,
}

/// How long a message that was received is invisible, in milliseconds.
const VISIBILITY: i64 = 30_000;
const VISIBILITY_SHORT: i64 = 200;

/// How often a message is received before it is set apart.
const RECEIVES_MAX: u32 = 5;

/// How many messages a function gets at once.
const BATCH: u64 = 10;

/// Uploads that were set apart are put back by a person, once nothing goes wrong any more; doorbells need not be.
fn redriven(message: &mut Message) -> bool {
    let upload = matches!(message.body, Body::Notice(Notice::Objects(_)));
    if upload {
        (message.receives, message.visible) = (0, message.visible.max(BEGIN + FAULTS) + 60_000);
    }
    upload
}

impl Queues {
    /// When the next message is visible.
    pub fn next_visible(&self, queue: Queue) -> i64 {
        let messages = self.messages.get(&queue).into_iter().flatten();
        messages.map(|message| message.visible).min().unwrap_or(i64::MAX)
    }

    /// Whether there is no message, but for those that are to be seen after `moment`.
    pub fn quiet_until(&self, queue: Queue, moment: i64) -> bool {
        self.next_visible(queue) > moment
    }

    fn push(&mut self, queue: Queue, body: Body, visible: i64) {
        self.next += 1;
        self.messages.entry(queue).or_default().push(Message { id: self.next, body, visible, receives: 0 });
    }
}

impl World {
    /// Puts a message into a queue; what becomes of it is the world's affair.
    pub fn send(&self, queue: Queue, body: Body, after: i64) {
        // S3 tells of every object at least once.
        let sure = matches!(body, Body::Notice(Notice::Objects(_)));
        let lost = !sure && self.fault(Fault::MessageLost);
        self.note(format_args!("send {body:?} after {after}{}", if lost { ", lost" } else { "" }));
        if lost {
            return;
        }
        let times = if self.fault(Fault::MessageDoubled) { 2 } else { 1 };
        for _ in 0..times {
            let late = self.fault(Fault::MessageLate);
            let mut inner = self.inner();
            let late = if late { inner.random.between(1_000, 300_000) } else { inner.random.between(5, 100) };
            let visible = inner.now + after.max(0) + late;
            inner.queues.push(queue, body.clone(), visible);
        }
    }

    /// Takes messages, at least one: any of those that are visible.
    pub async fn receive(&self, queue: Queue) -> Vec<(u64, Body, u32)> {
        loop {
            self.message(queue).await;
            let taken = self.take(queue);
            if !taken.is_empty() {
                return taken;
            }
        }
    }

    fn take(&self, queue: Queue) -> Vec<(u64, Body, u32)> {
        let visibility = if self.fault(Fault::VisibilityShort) { VISIBILITY_SHORT } else { VISIBILITY };
        let mut inner = self.inner();
        let inner = &mut *inner;
        let (now, mut taken) = (inner.now, Vec::new());
        let Some(messages) = inner.queues.messages.get_mut(&queue) else { return taken };
        messages.retain_mut(|message| {
            message.visible > now || message.receives < RECEIVES_MAX || redriven(message)
        });
        let many = 1 + inner.random.below(BATCH);
        for _ in 0..many {
            let visible: Vec<usize> = (0..messages.len()).filter(|at| messages[*at].visible <= now).collect();
            if visible.is_empty() {
                break;
            }
            let message = &mut messages[*inner.random.pick(&visible)];
            message.visible = now + visibility;
            message.receives += 1;
            taken.push((message.id, message.body.clone(), message.receives));
        }
        taken
    }

    /// A message is done with.
    pub fn delete(&self, queue: Queue, id: u64) {
        let mut inner = self.inner();
        inner.queues.messages.entry(queue).or_default().retain(|message| message.id != id);
    }
}
