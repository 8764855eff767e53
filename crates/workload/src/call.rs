//! Reading and writing a pipe of the kernel, as the kernel does it: in steps, under the pipe's mutex, between which the task may be
//! preempted [pipe_read, pipe_write].

use scxr_kernel::behavior::{Action, Call as Syscall};

use crate::shared::{Msg, Pipe};

/// Where in the call a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Entry,
    /// Wants the mutex.
    Lock,
    /// Has it.
    Look,
    /// Has done what it came for.
    Done,
    /// Has given up the mutex, for want of messages or of room.
    Block,
    /// Wakes the other side, and then one of its own.
    WakeOther,
    WakeOwn,
    End,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dir {
    Read,
    Write(Msg),
}

/// A call that is being made.
#[derive(Debug, Default)]
pub(crate) struct Call {
    at: At,
    waited: bool,
    wake_other: bool,
    wake_own: bool,
    /// What was read.
    pub(crate) got: Option<Msg>,
}

impl Call {
    /// The next step; `None`: the call is over.
    pub(crate) fn next(&mut self, dir: Dir, pipe: &mut Pipe) -> Option<Action> {
        loop {
            let (at, action) = match self.at {
                At::Entry if dir == Dir::Read => (At::Lock, Some(Action::Call(Syscall::PipeRead))),
                At::Entry => (At::Lock, Some(Action::Call(Syscall::PipeWrite))),
                At::Lock => (At::Look, Some(Action::Lock(pipe.mutex))),
                At::Look => match self.look(dir, pipe) {
                    true => (At::Done, Some(Action::Locked)),
                    false => (At::Block, Some(Action::Unlock)),
                },
                At::Done => (At::WakeOther, Some(Action::Unlock)),
                At::Block => match (dir, pipe.is_empty(), pipe.is_full()) {
                    (Dir::Read, true, _) => (At::Block, Some(self.wait(pipe.readers.wait()))),
                    (Dir::Write(_), _, true) => (At::Block, Some(self.wait(pipe.writers.wait()))),
                    _ => (At::Lock, None),
                },
                At::WakeOther => {
                    let others = if dir == Dir::Read { &mut pipe.writers } else { &mut pipe.readers };
                    (At::WakeOwn, if self.wake_other { others.wake(1, true) } else { None })
                }
                At::WakeOwn => {
                    let own = if dir == Dir::Read { &mut pipe.readers } else { &mut pipe.writers };
                    (At::End, if self.wake_own { own.wake(1, true) } else { None })
                }
                At::End => return None,
            };
            self.at = at;
            if action.is_some() {
                return action;
            }
        }
    }

    fn wait(&mut self, wait: Action) -> Action {
        self.waited = true;
        wait
    }

    /// Reads or writes, if that can be done now. Whoever has waited wakes the next of its own side, if there is something left; a
    /// writer wakes readers of what was empty, a reader writers of what was full.
    fn look(&mut self, dir: Dir, pipe: &mut Pipe) -> bool {
        let (was_empty, was_full) = (pipe.is_empty(), pipe.is_full());
        match dir {
            Dir::Write(msg) => {
                if !pipe.push(msg) {
                    return false;
                }
                self.wake_other = was_empty;
                self.wake_own = self.waited && !pipe.is_full();
            }
            Dir::Read => {
                self.got = pipe.pop();
                if self.got.is_none() {
                    return false;
                }
                self.wake_other = was_full && !pipe.is_full();
                self.wake_own = self.waited && !pipe.is_empty();
            }
        }
        true
    }
}
