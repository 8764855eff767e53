//! What the threads of a workload share. Nobody is woken who does not wait, as [`crate::shared`] has it in a simulation.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::ir::{KernelPipe, Workload};

/// State, and how many wait for it to change.
#[derive(Debug, Default)]
struct Monitor<T> {
    inner: Mutex<(T, u32)>,
    changed: Condvar,
}

impl<T> Monitor<T> {
    fn lock(&self) -> MutexGuard<'_, (T, u32)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready` gives something.
    fn wait_for<R>(&self, mut ready: impl FnMut(&mut T) -> Option<R>) -> R {
        let mut state = self.lock();
        loop {
            if let Some(found) = ready(&mut state.0) {
                return found;
            }
            state.1 += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.1 -= 1;
        }
    }

    /// Changes the state and wakes one of those who wait.
    fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut state = self.lock();
        let out = change(&mut state.0);
        let waits = state.1 > 0;
        drop(state);
        if waits {
            self.changed.notify_one();
        }
        out
    }
}

/// A mutex that is locked and unlocked by steps.
#[derive(Debug, Default)]
pub(super) struct StepMutex(Monitor<bool>);

impl StepMutex {
    pub(super) fn lock(&self) {
        self.0.wait_for(|locked| (!std::mem::replace(locked, true)).then_some(()));
    }

    pub(super) fn unlock(&self) {
        self.0.change(|locked| *locked = false);
    }
}

/// A condition variable: a signal goes to the one that waits longest, and is lost where nobody does.
#[derive(Debug, Default)]
pub(super) struct Cond(Mutex<VecDeque<(Thread, Arc<AtomicBool>)>>);

impl Cond {
    pub(super) fn wait(&self, mutex: &StepMutex) {
        let given = Arc::new(AtomicBool::new(false));
        self.waiters().push_back((std::thread::current(), Arc::clone(&given)));
        mutex.unlock();
        while !given.load(Ordering::Acquire) {
            std::thread::park();
        }
        mutex.lock();
    }

    pub(super) fn signal(&self, nr: usize) {
        let mut waiters = self.waiters();
        let nr = nr.min(waiters.len());
        let woken: Vec<_> = waiters.drain(..nr).collect();
        drop(waiters);
        for (thread, given) in woken {
            given.store(true, Ordering::Release);
            thread.unpark();
        }
    }

    fn waiters(&self) -> MutexGuard<'_, VecDeque<(Thread, Arc<AtomicBool>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all who wait pass together.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<(u64, u32)>,
    opened: Condvar,
    users: u32,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, (u64, u32)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the gate opens; `arrives`: the caller counts as one of its users.
    pub(super) fn pass(&self, arrives: bool) {
        let mut state = self.lock();
        let before = state.0;
        state.1 += u32::from(arrives);
        if arrives && state.1 >= self.users {
            *state = (before + 1, 0);
            drop(state);
            return self.opened.notify_all();
        }
        while state.0 == before {
            state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets all pass that wait.
    pub(super) fn open(&self) {
        let mut state = self.lock();
        *state = (state.0 + 1, 0);
        drop(state);
        self.opened.notify_all();
    }
}

/// A counting semaphore.
#[derive(Debug, Default)]
pub(super) struct Sem(Monitor<u64>);

impl Sem {
    pub(super) fn post(&self) {
        self.0.change(|n| *n += 1);
    }

    pub(super) fn wait(&self) {
        self.0.wait_for(|n| n.checked_sub(1).map(|rest| *n = rest));
    }
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Msg {
    pub(super) sent: u64,
    pub(super) from: u32,
}

/// A bounded queue of messages.
#[derive(Debug)]
pub(super) enum Pipe {
    /// pipe(2), whose wakeups are synchronous; messages of so many bytes ([`KernelPipe`]).
    Kernel { read: OwnedFd, write: OwnedFd, size: usize },
    /// A queue in memory, whose wakeups are not.
    Memory { queue: Mutex<MemoryQueue>, not_empty: Condvar, not_full: Condvar, capacity: usize },
}

/// A queue in memory, with how many wait to take and to put.
#[derive(Debug, Default)]
pub(super) struct MemoryQueue {
    messages: VecDeque<Msg>,
    takers: u32,
    putters: u32,
}

impl Pipe {
    fn kernel(capacity: u32) -> io::Result<Pipe> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let KernelPipe { size, bytes } = KernelPipe::new(capacity);
        // An unprivileged user may have used up what pipes may hold: this one then holds what it does.
        let _ = fcntl_setpipe_size(&write, bytes);
        Ok(Pipe::Kernel { read, write, size })
    }

    pub(super) fn put(&self, msg: Msg) {
        match self {
            Pipe::Kernel { write, size, .. } => {
                let mut bytes = [0; 128];
                bytes[..8].copy_from_slice(&msg.sent.to_le_bytes());
                bytes[8..12].copy_from_slice(&msg.from.to_le_bytes());
                // Below PIPE_BUF: whole or not at all. Only a signal can get in between.
                while rustix::io::write(write, &bytes[..*size]) == Err(Errno::INTR) {}
            }
            Pipe::Memory { queue, not_empty, not_full, capacity } => {
                let mut q = queue.lock().unwrap_or_else(PoisonError::into_inner);
                while q.messages.len() >= *capacity {
                    q.putters += 1;
                    q = not_full.wait(q).unwrap_or_else(PoisonError::into_inner);
                    q.putters -= 1;
                }
                q.messages.push_back(msg);
                let waits = q.takers > 0;
                drop(q);
                if waits {
                    not_empty.notify_one();
                }
            }
        }
    }

    pub(super) fn take(&self) -> Msg {
        match self {
            Pipe::Kernel { read, size, .. } => {
                let mut bytes = [0; 128];
                let mut have = 0;
                while have < *size {
                    match rustix::io::read(read, &mut bytes[have..*size]) {
                        Ok(n) => have += n,
                        Err(Errno::INTR) => {}
                        // The pipe is ours and open: there is nothing else that can fail.
                        Err(_) => break,
                    }
                }
                let sent = bytes[..8].try_into().map_or(0, u64::from_le_bytes);
                Msg { sent, from: bytes[8..12].try_into().map_or(0, u32::from_le_bytes) }
            }
            Pipe::Memory { queue, not_empty, not_full, .. } => {
                let mut q = queue.lock().unwrap_or_else(PoisonError::into_inner);
                loop {
                    if let Some(msg) = q.messages.pop_front() {
                        let waits = q.putters > 0;
                        drop(q);
                        if waits {
                            not_full.notify_one();
                        }
                        return msg;
                    }
                    q.takers += 1;
                    q = not_empty.wait(q).unwrap_or_else(PoisonError::into_inner);
                    q.takers -= 1;
                }
            }
        }
    }
}

/// All that the threads of one workload share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) mutexes: Vec<StepMutex>,
    pub(super) conds: Vec<Cond>,
    pub(super) barriers: Vec<Gate>,
    pub(super) suspends: Vec<Gate>,
    pub(super) sems: Vec<Sem>,
    pub(super) pipes: Vec<Pipe>,
    /// When each shared timer was due last.
    pub(super) timers: Vec<Mutex<Option<u64>>>,
    /// For each template, how many were forked.
    pub(super) forked: Vec<AtomicU32>,
}

impl Shared {
    pub(super) fn new(workload: &Workload) -> io::Result<Shared> {
        let r = &workload.resources;
        let sync = workload.kernel_pipes();
        let pipe = |(i, &capacity): (usize, &u32)| match sync[i] {
            true => Pipe::kernel(capacity),
            false => Ok(Pipe::Memory {
                queue: Mutex::default(),
                not_empty: Condvar::new(),
                not_full: Condvar::new(),
                capacity: capacity as usize,
            }),
        };
        let gate = |users: u32| Gate { users, ..Gate::default() };
        Ok(Shared {
            mutexes: (0..r.mutexes).map(|_| StepMutex::default()).collect(),
            conds: (0..r.conds).map(|_| Cond::default()).collect(),
            barriers: r.barriers.iter().map(|&users| gate(users)).collect(),
            suspends: (0..r.suspends).map(|_| gate(u32::MAX)).collect(),
            sems: (0..r.sems).map(|_| Sem::default()).collect(),
            pipes: r.pipes.iter().enumerate().map(pipe).collect::<io::Result<_>>()?,
            timers: (0..r.timers).map(|_| Mutex::new(None)).collect(),
            forked: workload.tasks.iter().map(|_| AtomicU32::new(0)).collect(),
        })
    }
}
