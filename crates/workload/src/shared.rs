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

    /// The step of a system call that finds nobody waiting here.
    pub(crate) fn wake_nobody(&self) -> Action {
        Action::Wake { queue: self.queue, nr: 0, sync: false }
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
    /// A pipe of the kernel holds so many pages of so many messages. Whoever waits for room is woken when the pipe was full
    /// and a page becomes free [pipe_read].
    Pages { pages: VecDeque<Page>, max: usize, each: u32 },
}

/// A bounded queue of messages. A writer wakes a reader and a reader wakes a writer, one at a time.
#[derive(Debug)]
pub(crate) struct Pipe {
    messages: VecDeque<Msg>,
    room: Room,
    pub(crate) readers: Waiters,
    pub(crate) writers: Waiters,
}

impl Pipe {
    /// Putting in and taking out are system calls.
    pub(crate) fn is_kernel(&self) -> bool {
        matches!(self.room, Room::Pages { .. })
    }

    /// Puts a message in; `None` if there is no room; otherwise the step that wakes a reader.
    pub(crate) fn put(&mut self, msg: Msg, sync: bool) -> Option<Option<Action>> {
        match &mut self.room {
            Room::Messages(capacity) if self.messages.len() >= *capacity => return None,
            Room::Messages(_) => {}
            Room::Pages { pages, max, each } => {
                let is_full = pages.len() >= *max;
                match pages.back_mut().filter(|p| p.put < *each) {
                    Some(page) => (page.put, page.left) = (page.put + 1, page.left + 1),
                    None if is_full => return None,
                    None => pages.push_back(Page { put: 1, left: 1 }),
                }
            }
        }
        self.messages.push_back(msg);
        Some(self.readers.wake(1, sync))
    }

    /// The step of a writer that was woken and has written: it wakes the next, if there is room still [pipe_write].
    pub(crate) fn next_writer(&mut self) -> Option<Action> {
        match &self.room {
            Room::Pages { pages, max, .. } if pages.len() < *max => self.writers.wake(1, true),
            _ => None,
        }
    }

    /// Takes a message out, with the step that wakes a writer.
    pub(crate) fn take(&mut self) -> Option<(Msg, Option<Action>)> {
        let msg = self.messages.pop_front()?;
        let wake = match &mut self.room {
            Room::Messages(_) => self.writers.wake(1, false),
            Room::Pages { pages, max, .. } => {
                let was_full = pages.len() >= *max;
                let page = pages.front_mut().map(|p| {
                    p.left -= 1;
                    p.left
                });
                let freed = page == Some(0);
                if freed {
                    pages.pop_front();
                }
                if was_full && freed { self.writers.wake(1, true) } else { None }
            }
        };
        Some((msg, wake))
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
            Pipe { messages: VecDeque::new(), room, readers: waiters(), writers: waiters() }
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
        Pipe { messages: VecDeque::new(), room, readers: waiters(), writers: waiters() }
    }

    const MSG: Msg = Msg { sent: 0, from: 0 };

    #[test]
    fn a_writer_waits_for_a_whole_page_of_a_kernels_pipe() {
        let mut p = pipe(Room::Pages { pages: VecDeque::new(), max: 2, each: 3 });
        let puts = (0..8).filter(|_| p.put(MSG, true).is_some()).count();
        assert_eq!(puts, 6);
        p.writers.wait();
        // The first two leave the page in use.
        for wakes in [false, false, true, false] {
            let (_, wake) = p.take().unwrap();
            assert_eq!(wake.is_some(), wakes);
        }
        // A page is free, and what is left is on one of the two.
        assert_eq!((0..8).filter(|_| p.put(MSG, true).is_some()).count(), 3);
    }

    #[test]
    fn a_queue_in_memory_has_room_for_each_message_that_left() {
        let mut p = pipe(Room::Messages(2));
        assert_eq!((0..8).filter(|_| p.put(MSG, false).is_some()).count(), 2);
        p.writers.wait();
        assert!(p.take().unwrap().1.is_some());
        assert!(p.put(MSG, false).is_some());
    }
}
