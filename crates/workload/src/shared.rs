//! What the simulated tasks of one workload share: mutexes, condition variables, barriers, pipes and timers.
//!
//! Nothing here blocks: each operation says whether the caller may go on, and whom to wake. A task decides to wait and is
//! queued by the kernel in one step, so the order in which tasks were told to wait is the order in which the kernel
//! wakes them; counts of waiters kept here agree with the kernel's queues.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use scxr_kernel::behavior::Action;
use scxr_kernel::ids::{Ns, WaitQueueId};

use crate::ir::{KernelPipe, Workload};

/// A queue in the kernel and how many were told to wait there.
#[derive(Debug)]
pub(crate) struct Waiters {
    queue: WaitQueueId,
    nr: u32,
}

impl Waiters {
    fn new(queue: WaitQueueId) -> Waiters {
        Waiters { queue, nr: 0 }
    }

    /// The step that waits here.
    pub(crate) fn wait(&mut self) -> Action {
        self.nr += 1;
        Action::Wait(self.queue)
    }

    /// The step that wakes up to `nr` of those who wait, if there are any.
    pub(crate) fn wake(&mut self, nr: u32, sync: bool) -> Option<Action> {
        let nr = nr.min(self.nr);
        self.nr -= nr;
        let queue = self.queue;
        (nr > 0).then_some(Action::Wake { queue, nr, sync })
    }

    pub(crate) fn wake_all(&mut self) -> Option<Action> {
        self.wake(u32::MAX, false)
    }
}

/// A mutex as POSIX threads have it: whoever comes first when it is free takes it; a waiter that was woken tries again.
#[derive(Debug)]
pub(crate) struct Mutex {
    locked: bool,
    pub(crate) waiters: Waiters,
}

impl Mutex {
    pub(crate) fn try_lock(&mut self) -> bool {
        !std::mem::replace(&mut self.locked, true)
    }

    /// Releases it; unlocking a mutex that is free does nothing.
    pub(crate) fn unlock(&mut self) -> Option<Action> {
        self.locked = false;
        self.waiters.wake(1, false)
    }
}

/// A waiter's place at a condition variable: has a signal been given to it?
pub(crate) type Ticket = Rc<Cell<bool>>;

/// A condition variable. A signal goes to exactly one of those that were registered when it was given, and is lost where
/// there are none. `arriving` have released their mutex but are not yet in the kernel's queue.
#[derive(Debug)]
pub(crate) struct Cond {
    queue: WaitQueueId,
    arriving: VecDeque<Ticket>,
    queued: VecDeque<Ticket>,
}

impl Cond {
    /// Registers the caller.
    pub(crate) fn register(&mut self) -> Ticket {
        let ticket = Ticket::default();
        self.arriving.push_back(Rc::clone(&ticket));
        ticket
    }

    /// The step that waits, unless the signal came while the caller released its mutex.
    pub(crate) fn wait(&mut self, ticket: &Ticket) -> Option<Action> {
        if ticket.get() {
            return None;
        }
        self.arriving.retain(|t| !Rc::ptr_eq(t, ticket));
        self.queued.push_back(Rc::clone(ticket));
        Some(Action::Wait(self.queue))
    }

    /// Gives up to `nr` signals; those in the kernel's queue come first, in its order.
    pub(crate) fn signal(&mut self, nr: usize) -> Option<Action> {
        let wake = nr.min(self.queued.len());
        self.queued.drain(..wake).for_each(|t| t.set(true));
        let rest = (nr - wake).min(self.arriving.len());
        self.arriving.drain(..rest).for_each(|t| t.set(true));
        let queue = self.queue;
        (wake > 0).then_some(Action::Wake { queue, nr: wake as u32, sync: false })
    }
}

/// Something that all who wait pass together: a barrier, or a suspend point.
#[derive(Debug)]
pub(crate) struct Gate {
    /// How often it has opened.
    pub(crate) opened: u64,
    /// Arrivals since it opened last.
    arrived: u32,
    /// Arrivals that open it; 0: it opens only when told to.
    users: u32,
    pub(crate) waiters: Waiters,
}

impl Gate {
    /// One more has arrived: `Some` if that opens the gate, with the step that wakes the others.
    pub(crate) fn arrive(&mut self) -> Option<Option<Action>> {
        self.arrived += 1;
        (self.arrived >= self.users).then(|| self.open())
    }

    /// Lets all pass that wait.
    pub(crate) fn open(&mut self) -> Option<Action> {
        self.arrived = 0;
        self.opened += 1;
        self.waiters.wake_all()
    }
}

/// A counting semaphore.
#[derive(Debug)]
pub(crate) struct Sem {
    pub(crate) count: u64,
    pub(crate) waiters: Waiters,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Msg {
    /// When it was put in.
    pub(crate) sent: Ns,
    /// Instance number of the sender.
    pub(crate) from: u32,
}

/// A page of a kernel's pipe.
#[derive(Clone, Copy, Debug)]
struct Page {
    /// Messages that were put in it.
    put: u32,
    /// Those that are still there.
    left: u32,
}

/// Room for messages.
#[derive(Debug)]
enum Room {
    /// A queue in memory holds so many. Whoever waits for room is woken when there is some.
    Messages(usize),
    /// A pipe of the kernel holds so many pages of so many messages ([`crate::call`]).
    Pages { pages: VecDeque<Page>, max: usize, each: u32 },
}

/// A bounded queue of messages.
#[derive(Debug)]
pub(crate) struct Pipe {
    messages: VecDeque<Msg>,
    room: Room,
    /// Names the mutex of a pipe of the kernel.
    pub(crate) mutex: WaitQueueId,
    pub(crate) readers: Waiters,
    pub(crate) writers: Waiters,
}

impl Pipe {
    /// Putting in and taking out are system calls.
    pub(crate) fn is_kernel(&self) -> bool {
        matches!(self.room, Room::Pages { .. })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// A queue in memory has no room; a pipe has no page that is free [pipe_full]: there may be room on the last one in use.
    pub(crate) fn is_full(&self) -> bool {
        match &self.room {
            Room::Messages(capacity) => self.messages.len() >= *capacity,
            Room::Pages { pages, max, .. } => pages.len() >= *max,
        }
    }

    /// Puts a message in; false if there is no room.
    pub(crate) fn push(&mut self, msg: Msg) -> bool {
        let is_full = self.is_full();
        match &mut self.room {
            Room::Messages(_) if is_full => return false,
            Room::Messages(_) => {}
            Room::Pages { pages, each, .. } => {
                match pages.back_mut().filter(|p| p.put < *each && !self.messages.is_empty()) {
                    Some(page) => (page.put, page.left) = (page.put + 1, page.left + 1),
                    None if is_full => return false,
                    None => pages.push_back(Page { put: 1, left: 1 }),
                }
            }
        }
        self.messages.push_back(msg);
        true
    }

    /// Takes a message out.
    pub(crate) fn pop(&mut self) -> Option<Msg> {
        let msg = self.messages.pop_front()?;
        if let Room::Pages { pages, .. } = &mut self.room
            && let Some(page) = pages.front_mut()
        {
            page.left -= 1;
            if page.left == 0 {
                pages.pop_front();
            }
        }
        Some(msg)
    }
}

/// A timer: when it was due last, once it has been used.
pub(crate) type Timer = Option<Ns>;

/// All that the tasks of one workload share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) mutexes: Vec<Mutex>,
    pub(crate) conds: Vec<Cond>,
    pub(crate) barriers: Vec<Gate>,
    pub(crate) suspends: Vec<Gate>,
    pub(crate) sems: Vec<Sem>,
    pub(crate) pipes: Vec<Pipe>,
    pub(crate) timers: Vec<Timer>,
    /// When the first of its tasks began.
    pub(crate) start: Option<Ns>,
    /// For each template, how many were forked.
    pub(crate) forked: Vec<u32>,
}

impl Shared {
    pub(crate) fn new(workload: &Workload, alloc: &mut dyn FnMut() -> WaitQueueId) -> Shared {
        let resources = &workload.resources;
        let kernel = workload.kernel_pipes();
        let mut gate = |users| Gate { opened: 0, arrived: 0, users, waiters: Waiters::new(alloc()) };
        let barriers = resources.barriers.iter().map(|&users| gate(users)).collect();
        let suspends = (0..resources.suspends).map(|_| gate(0)).collect();
        let mut waiters = || Waiters::new(alloc());
        let mutex = |waiters| Mutex { locked: false, waiters };
        let mutexes = (0..resources.mutexes).map(|_| mutex(waiters())).collect();
        let sem = |waiters| Sem { count: 0, waiters };
        let sems = (0..resources.sems).map(|_| sem(waiters())).collect();
        let mut pipe = |(i, &capacity): (usize, &u32)| {
            let of = KernelPipe::new(capacity);
            let pages = Room::Pages { pages: VecDeque::new(), max: of.pages(), each: of.messages_per_page() };
            let room = if kernel[i] { pages } else { Room::Messages(capacity as usize) };
            let mutex = waiters().queue;
            Pipe { messages: VecDeque::new(), room, mutex, readers: waiters(), writers: waiters() }
        };
        let pipes = resources.pipes.iter().enumerate().map(&mut pipe).collect();
        let cond = |queue| Cond { queue, arriving: VecDeque::new(), queued: VecDeque::new() };
        Shared {
            mutexes,
            conds: (0..resources.conds).map(|_| cond(alloc())).collect(),
            barriers,
            suspends,
            sems,
            pipes,
            timers: vec![None; resources.timers as usize],
            start: None,
            forked: vec![0; workload.tasks.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe(room: Room) -> Pipe {
        let waiters = || Waiters::new(WaitQueueId(0));
        Pipe { messages: VecDeque::new(), room, mutex: WaitQueueId(0), readers: waiters(), writers: waiters() }
    }

    const MSG: Msg = Msg { sent: 0, from: 0 };

    #[test]
    fn a_pipe_has_room_when_a_whole_page_is_free() {
        let mut p = pipe(Room::Pages { pages: VecDeque::new(), max: 2, each: 3 });
        assert_eq!((0..8).filter(|_| p.push(MSG)).count(), 6);
        // The first two leave the page in use.
        for full in [true, true, false, false] {
            assert!(p.pop().is_some());
            assert_eq!(p.is_full(), full);
        }
        // A page is free, and what is left is on one of the two.
        assert_eq!((0..8).filter(|_| p.push(MSG)).count(), 3);
    }

    #[test]
    fn a_queue_in_memory_has_room_for_each_message_that_left() {
        let mut p = pipe(Room::Messages(2));
        assert_eq!((0..8).filter(|_| p.push(MSG)).count(), 2);
        assert!(p.pop().is_some() && p.push(MSG) && !p.push(MSG));
    }
}
