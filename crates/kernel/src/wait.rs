//! Wait queues.

use std::collections::VecDeque;

use crate::ids::{TaskId, WaitQueueId};

/// All wait queues of the machine.
#[derive(Debug, Default)]
pub(crate) struct WaitQueues {
    queues: Vec<VecDeque<TaskId>>,
}

impl WaitQueues {
    /// A new queue.
    pub(crate) fn alloc(&mut self) -> WaitQueueId {
        self.queues.push(VecDeque::new());
        WaitQueueId(self.queues.len() as u32 - 1)
    }

    fn queue(&mut self, id: WaitQueueId) -> &mut VecDeque<TaskId> {
        let n = id.0 as usize + 1;
        if self.queues.len() < n {
            self.queues.resize_with(n, VecDeque::new);
        }
        &mut self.queues[id.0 as usize]
    }

    /// Puts a task at the end.
    pub(crate) fn add(&mut self, id: WaitQueueId, p: TaskId) {
        self.queue(id).push_back(p);
    }

    /// Takes the longest waiting task.
    pub(crate) fn pop(&mut self, id: WaitQueueId) -> Option<TaskId> {
        self.queue(id).pop_front()
    }

    /// Takes one task out; false if it was not there.
    pub(crate) fn remove(&mut self, id: WaitQueueId, p: TaskId) -> bool {
        let queue = self.queue(id);
        let at = queue.iter().position(|&q| q == p);
        at.map(|i| queue.remove(i)).is_some()
    }
}
