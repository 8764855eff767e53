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
use crate::state::State;

/// Never.
pub const NEVER: Ns = Ns::MAX;

/// Stack of one simulated CPU, in bytes; touched pages alone cost memory.
const STACK_BYTES: usize = 256 * 1024;

/// The kernel, as code that runs on a simulated CPU sees it. Every use reaches the state afresh through the pointer, so
/// that no reference to it is alive across a suspension ([`Kernel::suspend_until`] takes `&mut self`).
pub struct Kernel {
    state: NonNull<State>,
}

impl Deref for Kernel {
    type Target = State;
    #[inline]
    fn deref(&self) -> &State {
        // SAFETY: the state outlives all coroutines (`Executor` drops them first), and one coroutine runs at a time;
        // the borrow checker ends this borrow before the coroutine can suspend.
        unsafe { self.state.as_ref() }
    }
}

impl DerefMut for Kernel {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        // SAFETY: as for `deref`; `&mut self` makes it the only borrow made through this handle, and other handles
        // belong to suspended coroutines, whose borrows have ended.
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

/// The order in which CPUs run: a binary heap over `(time, cpu)` with positions, so that a key can change in place.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    heap: Vec<u32>,
    pos: Vec<u32>,
    key: Vec<Ns>,
}

impl ReadyQueue {
    fn new(n: usize) -> Self {
        ReadyQueue { heap: (0..n as u32).collect(), pos: (0..n as u32).collect(), key: vec![0; n] }
    }

    #[inline]
    fn less(&self, a: u32, b: u32) -> bool {
        (self.key[a as usize], a) < (self.key[b as usize], b)
    }

    /// Time at which `cpu` goes on.
    #[inline]
    pub fn key(&self, cpu: CpuId) -> Ns {
        self.key[cpu.idx()]
    }

    /// Earliest CPU and its time.
    #[inline]
    pub fn first(&self) -> (Ns, CpuId) {
        let cpu = self.heap[0];
        (self.key[cpu as usize], CpuId(cpu))
    }

    /// Earliest `(time, cpu)` among the CPUs other than `cpu`, which must be the first.
    #[inline]
    fn second(&self) -> (Ns, u32) {
        let child = |i: usize| self.heap.get(i).map_or((NEVER, u32::MAX), |&c| (self.key[c as usize], c));
        child(1).min(child(2))
    }

    /// Sets the time at which `cpu` goes on.
    pub fn set(&mut self, cpu: CpuId, t: Ns) {
        let old = std::mem::replace(&mut self.key[cpu.idx()], t);
        let at = self.pos[cpu.idx()] as usize;
        if t < old { self.up(at) } else { self.down(at) }
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.less(self.heap[at], self.heap[parent]) {
                break;
            }
            self.swap(at, parent);
            at = parent;
        }
    }

    fn down(&mut self, mut at: usize) {
        loop {
            let (l, r) = (2 * at + 1, 2 * at + 2);
            let mut min = at;
            if l < self.heap.len() && self.less(self.heap[l], self.heap[min]) {
                min = l;
            }
            if r < self.heap.len() && self.less(self.heap[r], self.heap[min]) {
                min = r;
            }
            if min == at {
                return;
            }
            self.swap(at, min);
            at = min;
        }
    }

    #[inline]
    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.pos[self.heap[a] as usize] = a as u32;
        self.pos[self.heap[b] as usize] = b as u32;
    }
}

/// The part of the state that the executor and the CPUs share.
pub struct ExecState {
    /// CPU whose coroutine runs now.
    pub(crate) this_cpu: CpuId,
    /// Order in which CPUs run.
    pub(crate) ready: ReadyQueue,
    phase: Vec<CpuPhase>,
    yielders: Vec<*const Yielder<(), ()>>,
    /// No CPU goes beyond this time before the executor's caller says so.
    horizon: Ns,
}

impl ExecState {
    pub(crate) fn new(n: usize) -> Self {
        ExecState {
            this_cpu: CpuId(0),
            ready: ReadyQueue::new(n),
            phase: vec![CpuPhase::Active; n],
            yielders: vec![std::ptr::null(); n],
            horizon: 0,
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
        self.cpus[cpu].clock += ns;
    }

    /// Waits until time `t` or until something brings this CPU forward. Other CPUs run meanwhile.
    #[inline]
    pub(crate) fn suspend_until(&mut self, t: Ns) {
        self.park(CpuPhase::Waiting, t);
    }

    /// Lets CPUs go first whose clocks are behind this one's.
    #[inline]
    pub(crate) fn let_earlier_cpus_run(&mut self) {
        let now = self.now();
        self.park(CpuPhase::Active, now);
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
        if phase != CpuPhase::Blocked && t <= self.exec.horizon && (t, cpu.0) < self.exec.ready.second() {
            let clock = &mut self.cpus[cpu].clock;
            *clock = (*clock).max(t);
            return; // this CPU would be resumed at once
        }
        self.exec.ready.set(cpu, t);
        self.exec.phase[cpu.idx()] = phase;
        let yielder = self.exec.yielders[cpu.idx()];
        // SAFETY: the pointer was set from the yielder of the coroutine that is running, which is on its stack as long
        // as the coroutine lives; `&mut self` proves that no reference into the state is alive here.
        unsafe { (*yielder).suspend(()) };
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
                let mut k = Kernel { state: ptr };
                k.exec.yielders[i as usize] = yielder;
                main(&mut k, CpuId(i));
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

    /// The kernel as code between resumptions may use it: on CPU 0, without waiting for anything.
    pub(crate) fn kernel(&mut self) -> Kernel {
        self.state_mut().exec.this_cpu = CpuId(0);
        Kernel { state: self.state }
    }

    /// Runs all CPUs up to time `t`, or until `stop` is set in the state.
    pub(crate) fn run_until(&mut self, t: Ns) {
        loop {
            let cpu = {
                let state = self.state_mut();
                state.exec.horizon = t;
                let (at, cpu) = state.exec.ready.first();
                if at > t || state.stop {
                    return;
                }
                let clock = &mut state.cpus[cpu].clock;
                *clock = (*clock).max(at);
                state.exec.this_cpu = cpu;
                state.exec.phase[cpu.idx()] = CpuPhase::Active;
                cpu
            };
            match self.cpus[cpu.idx()].resume(()) {
                CoroutineResult::Yield(()) => {}
                CoroutineResult::Return(()) => unreachable!("{cpu:?} left its main loop"),
            }
        }
    }
}
