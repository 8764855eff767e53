//! USER_RINGBUF: messages from user space, which a program drains. [kernel/bpf/ringbuf.c, bpf_user_ringbuf_drain]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::image::MapDef;

/// Bytes of a message's header.
const HEADER: u64 = 8;

/// A ring buffer that user space fills.
pub(in crate::vm) struct UserRing {
    size: u64,
    used: Cell<u64>,
    messages: RefCell<VecDeque<Vec<u8>>>,
    /// A program is draining it.
    pub(in crate::vm) busy: Cell<bool>,
}

fn room(message: &[u8]) -> u64 {
    (message.len() as u64 + HEADER).next_multiple_of(8)
}

impl UserRing {
    pub(super) fn new(def: &MapDef) -> UserRing {
        UserRing {
            size: def.max_entries.into(),
            used: Cell::new(0),
            messages: RefCell::default(),
            busy: Cell::new(false),
        }
    }

    /// Puts a message in; false: no room.
    pub(in crate::vm) fn push(&self, message: &[u8]) -> bool {
        let used = self.used.get() + room(message);
        let fits = used <= self.size;
        if fits {
            self.used.set(used);
            self.messages.borrow_mut().push_back(message.to_vec());
        }
        fits
    }

    /// Takes the oldest message out.
    pub(in crate::vm) fn pop(&self) -> Option<Vec<u8>> {
        let message = self.messages.borrow_mut().pop_front()?;
        self.used.set(self.used.get() - room(&message));
        Some(message)
    }

    /// Messages in it.
    pub(in crate::vm) fn len(&self) -> usize {
        self.messages.borrow().len()
    }
}
