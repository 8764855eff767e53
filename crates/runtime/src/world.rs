//! What a half runs in.

use scxr_policy::{Errno, Ns};

use crate::framework::{Answer, Question};
use crate::stats::Stats;

/// How a scheduler ended, in the kernel's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Kind, as the kernel numbers it (`enum scx_exit_kind`).
    pub kind: i32,
    /// Exit code.
    pub code: i64,
    /// Reason.
    pub reason: String,
    /// Details.
    pub msg: String,
}

/// A back end of [`Runtime`](crate::Runtime). Maps are numbers: places in [`Schema::maps`](crate::Schema::maps). Keys and values are bytes as C
/// lays them out; values of per-CPU maps are all CPUs' in a row, each padded to 8 bytes. Every call may let other tasks run.
pub trait World {
    /// CLOCK_MONOTONIC.
    fn now(&self) -> Ns;
    /// Sleeps.
    fn sleep(&self, time: Ns);
    /// Waits until a ring buffer that was received from has a message, at most so long; false: the time is over.
    fn poll(&self, timeout: Ns) -> bool;
    /// sched_yield(2).
    fn sched_yield(&self);
    /// Computing that takes so long on a CPU of the simulated machine; nothing on a real one, where it takes what it takes.
    fn work(&self, time: Ns);
    /// Id of the half's own task.
    fn pid(&self) -> i32;
    /// CPUs that the machine has.
    fn nr_cpus(&self) -> u32;
    /// Puts the half's own task into the class that schedulers serve (SCHED_EXT), for schedulers that serve no others.
    fn sched_ext(&self) -> Result<(), Errno>;
    /// The run is over: the half is to return.
    fn is_stopped(&self) -> bool;
    /// How the scheduler ended; `None`: it goes on.
    fn exited(&self) -> Option<Exit>;
    /// Fills `into` from a section of variables.
    fn read_section(&self, section: &str, offset: u32, into: &mut [u8]) -> Result<(), Errno>;
    /// `BPF_MAP_LOOKUP_ELEM`. Of queues (empty key): the next value, which stays.
    fn lookup(&self, map: usize, key: &[u8], value: &mut [u8]) -> Result<(), Errno>;
    /// `BPF_MAP_UPDATE_ELEM`. Of queues (empty key): pushes.
    fn update(&self, map: usize, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno>;
    /// `BPF_MAP_DELETE_ELEM`.
    fn delete(&self, map: usize, key: &[u8]) -> Result<(), Errno>;
    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM` of a queue.
    fn pop(&self, map: usize, value: &mut [u8]) -> Result<(), Errno>;
    /// `BPF_MAP_GET_NEXT_KEY`; false: `key` was the last.
    fn next_key(&self, map: usize, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool, Errno>;
    /// Opens a ring buffer for [`World::receive`] and [`World::poll`].
    fn open_ring(&self, map: usize) -> Result<(), Errno>;
    /// Takes the next message out of a ring buffer that was opened; its length, of which at most `into` is filled. `None`: there is none.
    fn receive(&self, map: usize, into: &mut [u8]) -> Option<usize>;
    /// Opens a ring buffer for [`World::send`].
    fn open_user_ring(&self, map: usize) -> Result<(), Errno>;
    /// Puts a message into a ring buffer for programs; false: there is no room.
    fn send(&self, map: usize, message: &[u8]) -> bool;
    /// When the next statistics are wanted, in the time of [`World::now`]; `None`: nobody wants any.
    fn stats_due(&self) -> Option<Ns>;
    /// Here they are.
    fn tell(&self, stats: Stats);
    /// The next question to a scheduler that decides right in a simulated kernel, once the one before is answered; `None`: this is no such world.
    fn asked(&self, answer: Answer) -> Option<Question> {
        let _ = answer;
        None
    }
}
