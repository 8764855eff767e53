//! Simulated CPUs as coroutines, resumed in order of their local clocks.
//!
//! Each CPU runs kernel code as straight-line Rust on a stack of its own. Exactly one runs at a time; it runs until it
//! waits (for an event, a lock, or because a CPU with an earlier clock should go first). The executor then resumes the
//! CPU with the smallest `(time, cpu)`. Nothing else decides who runs, so that a run depends on its inputs alone.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::ids::{CpuId, Ns};
use crate::lock::LockId;
use crate::state::State;

/// Never.
pub const NEVER: Ns = Ns::MAX;

/// How far a CPU may go ahead of others before it takes a lock. Two CPUs that are so close may take it in the wrong order, and
/// the earlier one then waits for the later: for so long at most. Less would be more exact, and slower.
const AHEAD_NS_MAX: Ns = 2_000;

/// Stack of one simulated CPU, in bytes; touched pages alone cost memory.
const STACK_BYTES: usize = 256 * 1024;

/// The kernel, as code that runs on a simulated CPU sees it. Every use reaches the state afresh through the pointer, so
/// that no reference to it is alive across a suspension ([`Kernel::suspend_until`] takes `&mut self`).
///
/// A handle is lent, never given away: one to each coroutine, which lives on its stack, and one to the closure of
/// [`Executor::with_kernel`], while the executor is borrowed. The latter belongs to no CPU's stack and cannot wait.
pub struct Kernel {
    state: NonNull<State>,
    /// Of the coroutine that this handle was made for; `None` outside of them.
    yielder: Option<NonNull<Yielder<(), ()>>>,
}

impl Deref for Kernel {
    type Target = State;
    #[inline]
    fn deref(&self) -> &State {
        // SAFETY: the state outlives all handles: those of coroutines, which `Executor` drops first, and that of
        // `with_kernel`, during which it is borrowed. One handle is in use at a time, and the borrow checker ends this
        // borrow before a coroutine can suspend, which takes `&mut self`.
        unsafe { self.state.as_ref() }
    }
}

impl DerefMut for Kernel {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        // SAFETY: as for `deref`; `&mut self` makes it the only borrow made through this handle, and other handles
        // belong to suspended coroutines, whose borrows have ended, or to no coroutine while none runs.
        unsafe { self.state.as_mut() }
    }
}

/// What a CPU is doing, as the executor sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuPhase {
    /// Runs now, or will go on at its own clock.
    Active,
    /// Waits for an event: may be brought forward by an interrupt.
    Waiting,
    /// Waits for a lock, whose owner will resume it.
    Blocked,
}

/// The order in which CPUs run: a tournament tree over `(time, cpu)`. Leaf `n + cpu` holds the CPU's key, an inner node the
/// lesser of its two children, node 1 the winner; a change costs one walk to the root.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    tree: Vec<u64>,
    n: usize,
}

/// Bits of a key that hold the CPU; the rest is the time, 208 days at most.
const CPU_BITS: u32 = 10;
const _: () = assert!(crate::cpumask::MAX_CPUS <= 1 << CPU_BITS);

impl ReadyQueue {
    fn new(n: usize) -> Self {
        let n = n.next_power_of_two();
        let mut queue = ReadyQueue { tree: vec![u64::MAX; 2 * n], n };
        (0..n as u32).for_each(|cpu| queue.set(CpuId(cpu), NEVER));
        queue
    }

    fn pack(t: Ns, cpu: CpuId) -> u64 {
        t.min(u64::MAX >> CPU_BITS) << CPU_BITS | u64::from(cpu.0)
    }

    fn time(key: u64) -> Ns {
        match key >> CPU_BITS {
            never if never == u64::MAX >> CPU_BITS => NEVER,
            t => t,
        }
    }

    /// Time at which `cpu` goes on.
    #[inline]
    pub fn key(&self, cpu: CpuId) -> Ns {
        Self::time(self.tree[self.n + cpu.idx()])
    }

    /// Earliest CPU and its time; of equal times the lowest CPU.
    #[inline]
    pub fn first(&self) -> (Ns, CpuId) {
        let key = self.tree[1];
        (Self::time(key), CpuId(key as u32 & ((1 << CPU_BITS) - 1)))
    }

    /// Sets the time at which `cpu` goes on.
    #[inline]
    pub fn set(&mut self, cpu: CpuId, t: Ns) {
        let mut at = self.n + cpu.idx();
        let mut key = Self::pack(t, cpu);
        self.tree[at] = key;
        while at > 1 {
            key = key.min(self.tree[at ^ 1]);
            at /= 2;
            if self.tree[at] == key {
                return;
            }
            self.tree[at] = key;
        }
    }
}

/// The part of the state that the executor and the CPUs share.
pub struct ExecState {
    /// CPU whose coroutine runs now.
    pub(crate) this_cpu: CpuId,
    /// Order in which CPUs run.
    pub(crate) ready: ReadyQueue,
    phase: Vec<CpuPhase>,
    /// Lock for which each CPU waits.
    pub(crate) waits_for: Vec<Option<LockId>>,
    /// No CPU goes beyond this time before the executor's caller says so.
    horizon: Ns,
    /// When the running CPU was last the earliest of all: what it does until this time, no other CPU can come before.
    synced_at: Ns,
}

impl ExecState {
    pub(crate) fn new(n: usize) -> Self {
        let mut ready = ReadyQueue::new(n);
        (0..n as u32).for_each(|cpu| ready.set(CpuId(cpu), 0));
        ExecState {
            this_cpu: CpuId(0),
            ready,
            phase: vec![CpuPhase::Active; n],
            waits_for: vec![None; n],
            horizon: 0,
            synced_at: 0,
        }
    }

    /// Brings a waiting CPU forward to time `t`, if that is earlier than what it waits for.
    pub(crate) fn bring_forward(&mut self, cpu: CpuId, t: Ns) {
        if self.phase[cpu.idx()] == CpuPhase::Waiting && t < self.ready.key(cpu) {
            self.ready.set(cpu, t);
        }
    }

    /// Sets what a waiting CPU waits for; nothing if it is not waiting.
    pub(crate) fn retime(&mut self, cpu: CpuId, t: Ns) {
        if self.phase[cpu.idx()] == CpuPhase::Waiting {
            self.ready.set(cpu, t);
        }
    }

    pub(crate) fn phase(&self, cpu: CpuId) -> CpuPhase {
        self.phase[cpu.idx()]
    }

    /// Is `cpu` waiting for an event?
    pub(crate) fn is_waiting(&self, cpu: CpuId) -> bool {
        self.phase[cpu.idx()] == CpuPhase::Waiting
    }

    /// Lets a CPU that is blocked on a lock go on at time `t`.
    pub(crate) fn unblock(&mut self, cpu: CpuId, t: Ns) {
        debug_assert_eq!(self.phase[cpu.idx()], CpuPhase::Blocked);
        self.phase[cpu.idx()] = CpuPhase::Active;
        self.ready.set(cpu, t);
    }
}

impl State {
    /// The CPU that is to run next, if one does before `horizon`; it is made ready.
    fn next_cpu(&mut self, horizon: Ns) -> Option<CpuId> {
        self.exec.horizon = horizon;
        let (at, cpu) = match self.has_turns() {
            false => Some(self.exec.ready.first()).filter(|(at, _)| *at <= horizon && !self.stop),
            true if self.stop => None,
            true => self.next_turn(horizon).map(|cpu| (self.turns.now, cpu)),
        }
        .or_else(|| {
            let stuck = self.exec.ready.first().0 == NEVER && self.exec.phase.contains(&CpuPhase::Blocked);
            assert!(!stuck, "deadlock: nothing will ever happen, and {}", self.waiting());
            None
        })?;
        let clock = &mut self.cpus[cpu].clock;
        *clock = (*clock).max(at);
        self.exec.synced_at = at;
        self.exec.this_cpu = cpu;
        self.exec.phase[cpu.idx()] = CpuPhase::Active;
        Some(cpu)
    }
}

impl Kernel {
    /// The CPU that runs this code.
    #[inline]
    pub fn this_cpu(&self) -> CpuId {
        self.exec.this_cpu
    }

    /// Local time of the CPU that runs this code.
    #[inline]
    pub fn now(&self) -> Ns {
        self.cpus[self.exec.this_cpu].clock
    }

    /// Spends `ns` on the CPU that runs this code.
    #[inline]
    pub fn charge(&mut self, ns: Ns) {
        let cpu = self.exec.this_cpu;
        if self.has_turns() {
            self.spend_turns(ns);
        } else {
            self.cpus[cpu].clock += ns;
        }
    }

    /// Spends it in this CPU's turns ([`crate::turn`]).
    #[cold]
    fn spend_turns(&mut self, mut ns: Ns) {
        let cpu = self.exec.this_cpu;
        while self.yielder.is_some() && self.turns.now + ns > self.turns.part_end {
            ns -= self.turns.part_end.saturating_sub(self.turns.now);
            self.turns.now = self.turns.now.max(self.turns.part_end);
            let now = self.turns.now;
            self.exec.ready.set(cpu, now);
            self.leave(CpuPhase::Active);
        }
        self.turns.now = self.turns.now.max(self.cpus[cpu].clock) + ns;
        self.cpus[cpu].clock = self.turns.now;
    }

    /// Waits until time `t` or until something brings this CPU forward. Other CPUs run meanwhile.
    #[inline]
    pub(crate) fn suspend_until(&mut self, t: Ns) {
        let me = self.exec.this_cpu;
        self.quiescent_state(me); // a grace period that began since the outermost loop was left does not wait for who waits
        self.park(CpuPhase::Waiting, t);
    }

    /// Lets CPUs go first whose clocks are behind this one's.
    #[inline]
    pub(crate) fn let_earlier_cpus_run(&mut self) {
        if self.has_turns() {
            return; // there is one time for all
        }
        let now = self.now();
        self.park(CpuPhase::Active, now);
    }

    /// Lets them go first if this CPU has gone ahead by more than [`AHEAD_NS_MAX`] since it was the earliest.
    #[inline]
    pub(crate) fn keep_in_step(&mut self) {
        if self.now() > self.exec.synced_at + AHEAD_NS_MAX {
            self.let_earlier_cpus_run();
        }
    }

    /// A point at which CPUs may interleave, if the settings say so: CPUs whose clocks are behind go first.
    #[inline]
    pub fn interleave(&mut self, point: crate::config::Interleave) {
        if self.config.interleave >= point {
            self.let_earlier_cpus_run();
        }
    }

    /// Waits until another CPU unblocks this one.
    pub(crate) fn block(&mut self) {
        self.park(CpuPhase::Blocked, NEVER);
    }

    fn park(&mut self, phase: CpuPhase, t: Ns) {
        let cpu = self.exec.this_cpu;
        if self.yielder.is_none() {
            assert_eq!(phase, CpuPhase::Active, "code outside of the run would have to wait until {t}");
            return; // no CPU runs meanwhile
        }
        self.exec.ready.set(cpu, t);
        if phase != CpuPhase::Blocked && self.goes_on(cpu, t) {
            let clock = &mut self.cpus[cpu].clock;
            *clock = (*clock).max(t);
            self.exec.synced_at = t;
            return; // this CPU would be resumed at once
        }
        self.leave(phase);
    }

    /// Would this CPU be the next to run if it waited until `t`?
    fn goes_on(&mut self, cpu: CpuId, t: Ns) -> bool {
        if !self.has_turns() {
            return t <= self.exec.horizon && self.exec.ready.first().1 == cpu;
        }
        // Who halts leaves its turn; who computes uses it.
        let in_part = self.cpus[cpu].user_run.is_some() && t <= self.turns.part_end.min(self.exec.horizon);
        if in_part {
            self.turns.now = self.turns.now.max(t);
        }
        in_part || t <= self.turns.now
    }

    /// Other CPUs run, until it is this one's time again.
    fn leave(&mut self, phase: CpuPhase) {
        let Some(yielder) = self.yielder else { return };
        let cpu = self.exec.this_cpu;
        self.exec.phase[cpu.idx()] = phase;
        // SAFETY: the yielder is on the stack of the coroutine that this handle was made for, and so alive. This code runs
        // in that coroutine: handles cannot be sent out of it, and `HandleGuard` sees to it that none is exchanged.
        // `&mut self` proves that no reference into the state is alive here.
        unsafe { yielder.as_ref().suspend(()) };
    }
}

/// Owns the state and the CPUs.
pub(crate) struct Executor {
    cpus: Vec<Coroutine<(), (), (), DefaultStack>>,
    /// From `Box::into_raw`; owned.
    state: NonNull<State>,
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.cpus.clear(); // they point to the state
        // SAFETY: made by `Box::into_raw` in `new`, freed here alone, and nothing points to it any more.
        drop(unsafe { Box::from_raw(self.state.as_ptr()) });
    }
}

impl Executor {
    /// Makes the CPUs; each starts in `main` when it is first resumed.
    pub(crate) fn new(state: Box<State>, main: fn(&mut Kernel, CpuId)) -> Executor {
        let n = state.cpus.0.len();
        let ptr = NonNull::from(Box::leak(state));
        let cpus = (0..n as u32).map(|i| {
            let stack = DefaultStack::new(STACK_BYTES).expect("memory for the stack of a simulated CPU");
            Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
                main(&mut Kernel { state: ptr, yielder: Some(NonNull::from(yielder)) }, CpuId(i));
            })
        });
        Executor { cpus: cpus.collect(), state: ptr }
    }

    /// The state, between resumptions.
    pub(crate) fn state(&self) -> &State {
        // SAFETY: no coroutine runs while the executor is borrowed.
        unsafe { self.state.as_ref() }
    }

    /// The state, between resumptions.
    pub(crate) fn state_mut(&mut self) -> &mut State {
        // SAFETY: no coroutine runs while the executor is borrowed.
        unsafe { self.state.as_mut() }
    }

    /// Runs `f` between resumptions, as code on CPU 0. It cannot wait: points of interleaving do nothing, and a lock that a
    /// suspended CPU holds is a panic.
    pub(crate) fn with_kernel<R>(&mut self, f: impl FnOnce(&mut Kernel) -> R) -> R {
        self.state_mut().exec.this_cpu = CpuId(0);
        let mut guard = HandleGuard { k: Kernel { state: self.state, yielder: None }, state: self.state };
        f(&mut guard.k)
    }

    /// Runs all CPUs up to time `t`, or until `stop` is set in the state.
    pub(crate) fn run_until(&mut self, t: Ns) {
        loop {
            let Some(cpu) = self.state_mut().next_cpu(t) else { return };
            match self.cpus[cpu.idx()].resume(()) {
                CoroutineResult::Yield(()) => {}
                CoroutineResult::Return(()) => unreachable!("{cpu:?} left its main loop"),
            }
        }
    }
}

/// Ends the process if the handle that it lent to a closure was exchanged (`std::mem::swap`) for another machine's: one of
/// the two would outlive its machine. Closures are the only place where code can hold two handles.
struct HandleGuard {
    k: Kernel,
    state: NonNull<State>,
}

impl Drop for HandleGuard {
    fn drop(&mut self) {
        if self.k.state != self.state || self.k.yielder.is_some() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_runs_first() {
        let mut queue = ReadyQueue::new(5);
        assert_eq!(queue.first().0, NEVER);
        let mut keys = [NEVER; 5];
        let mut x = 1u64;
        for _ in 0..2_000 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (cpu, t) = ((x >> 60) as usize % 5, if x >> 33 & 7 == 0 { NEVER } else { x >> 40 & 15 });
            keys[cpu] = t;
            queue.set(CpuId(cpu as u32), t);
            let expected = (0..5).map(|c| (keys[c], c as u32)).min().unwrap();
            assert_eq!((queue.first().0, queue.first().1.0), expected, "{keys:?}");
            assert_eq!(queue.key(CpuId(cpu as u32)), t);
        }
    }
}
