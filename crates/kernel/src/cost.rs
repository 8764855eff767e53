//! What things cost, in nanoseconds of simulated time.
//!
//! One table for everything, so that a user can replace it or calibrate it on a real machine. The defaults are typical of
//! a 3 GHz x86-64 server core; they are round figures of the order that `perf bench sched` and published
//! micro-benchmarks show, not measurements of one machine.

use serde::Deserialize;

use crate::ids::Ns;
use crate::topology::Distance;

/// The cost table. All times in nanoseconds unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CostTable {
    /// Entry to and exit from the kernel for a system call.
    pub syscall: Ns,
    /// The same for reading a pipe, and for writing to one.
    pub pipe_read: Ns,
    /// See [`CostTable::pipe_read`].
    pub pipe_write: Ns,
    /// The part of these in which the task holds the pipe's mutex.
    pub pipe_locked: Ns,
    /// The scheduler's own work in one pass of schedule(), without the switch.
    pub schedule: Ns,
    /// Choosing a task besides, where there is one.
    pub pick: Ns,
    /// Putting back the running task besides, where it could go on.
    pub put_prev: Ns,
    /// Switching registers, stack and address space.
    pub context_switch: Ns,
    /// The same where the CPU goes idle, until it halts.
    pub idle_enter: Ns,
    /// A wakeup on the waker's side, without CPU selection.
    pub wakeup: Ns,
    /// In an interrupt, it takes so much longer.
    pub wakeup_irq: Ns,
    /// Queueing a task in a class.
    pub enqueue: Ns,
    /// Taking it out of its queue.
    pub dequeue: Ns,
    /// Looking at one CPU during CPU selection.
    pub select_cpu_scan: Ns,
    /// A timer or device interrupt: entry and handler, before what it does.
    pub interrupt: Ns,
    /// The way back from one.
    pub interrupt_exit: Ns,
    /// An inter-processor interrupt, or work that interrupts its own CPU: entry, handler, exit.
    pub ipi: Ns,
    /// The periodic tick's handler.
    pub tick: Ns,
    /// Sending an inter-processor interrupt.
    pub ipi_send: Ns,
    /// From sending an inter-processor interrupt to its arrival: on the same core, LLC, node, elsewhere.
    pub ipi_latency: [Ns; 4],
    /// Leaving idle soon after entering (C1).
    pub idle_exit_shallow: Ns,
    /// Leaving idle after [`CostTable::idle_deep_after`] (C6).
    pub idle_exit_deep: Ns,
    /// Idle time after which the deep state is in effect.
    pub idle_deep_after: Ns,
    /// What it costs a task to note that an operation of its workload is done ([`crate::behavior::Action::Work`]).
    pub work: Ns,
    /// An access of a user-space half to memory that it shares with programs: a variable, a record of a ring buffer.
    pub shared_access: Ns,
    /// Creating a task.
    pub fork: Ns,
    /// Replacing a task's program.
    pub exec: Ns,
    /// Ending a task.
    pub exit: Ns,
    /// An uncontended lock operation.
    pub lock: Ns,
    /// Passing a contended lock on to the next waiter: same core, LLC, node, elsewhere.
    pub lock_handover: [Ns; 4],
    /// Calling one operation of a scheduler, its first 256 BPF instructions included.
    pub callback: Ns,
    /// One BPF instruction beyond those, in picoseconds.
    pub bpf_insn_ps: u64,
    /// A kfunc or helper that touches state shared between CPUs.
    pub kfunc: Ns,
    /// Cold caches after a migration: within the core, LLC, node, elsewhere. Charged when the task next runs.
    pub migration: [Ns; 4],
    /// Speed of a hardware thread, of 1024, while another thread of its core is busy.
    pub smt_busy_speed: u32,
    /// Lowest frequency of a core, of 1024. A scheduler's performance targets move it between this and 1024; 1024: it has one.
    pub freq_min: u32,
    /// The CPUs take turns, as those of a virtual machine whose time is its instructions; this is how long it takes until each
    /// has had its own at the latest: one executes at a time, and the others wait with whatever they are doing in the kernel; interrupts
    /// wait likewise. A task's computing is measured by its own CPU's clock, which goes on meanwhile, and so is not
    /// affected. 0: no turns.
    pub turn: Ns,
}

impl Default for CostTable {
    fn default() -> Self {
        CostTable {
            syscall: 150,
            pipe_read: 150,
            pipe_write: 150,
            pipe_locked: 60,
            schedule: 250,
            pick: 0,
            put_prev: 0,
            context_switch: 900,
            idle_enter: 900,
            wakeup: 300,
            wakeup_irq: 0,
            enqueue: 80,
            dequeue: 80,
            select_cpu_scan: 5,
            interrupt: 500,
            interrupt_exit: 0,
            ipi: 500,
            tick: 900,
            ipi_send: 150,
            ipi_latency: [500, 600, 900, 1_400],
            idle_exit_shallow: 1_000,
            idle_exit_deep: 20_000,
            idle_deep_after: 600_000,
            work: 0,
            shared_access: 40,
            fork: 10_000,
            exec: 100_000,
            exit: 10_000,
            lock: 15,
            lock_handover: [40, 70, 140, 250],
            callback: 50,
            bpf_insn_ps: 300,
            kfunc: 20,
            migration: [0, 1_500, 4_000, 8_000],
            smt_busy_speed: 640,
            freq_min: 205,
            turn: 0,
        }
    }
}

impl CostTable {
    /// Nothing costs anything, except that a context switch and an interrupt take 1 ns, so that time always moves.
    pub fn free() -> Self {
        CostTable {
            syscall: 0,
            pipe_read: 0,
            pipe_write: 0,
            pipe_locked: 0,
            schedule: 0,
            pick: 0,
            put_prev: 0,
            context_switch: 1,
            idle_enter: 1,
            wakeup: 0,
            wakeup_irq: 0,
            enqueue: 0,
            dequeue: 0,
            select_cpu_scan: 0,
            interrupt: 1,
            interrupt_exit: 0,
            ipi: 1,
            tick: 0,
            ipi_send: 0,
            ipi_latency: [1; 4],
            idle_exit_shallow: 0,
            idle_exit_deep: 0,
            idle_deep_after: Ns::MAX,
            work: 0,
            shared_access: 0,
            fork: 1,
            exec: 1,
            exit: 1,
            lock: 0,
            lock_handover: [0; 4],
            callback: 0,
            bpf_insn_ps: 0,
            kfunc: 0,
            migration: [0; 4],
            smt_busy_speed: 1024,
            freq_min: 1024,
            turn: 0,
        }
    }

    /// The entry of a by-distance row; 0 for the same CPU.
    pub fn by_distance(row: &[Ns; 4], distance: Distance) -> Ns {
        match distance {
            Distance::Same => 0,
            Distance::Smt => row[0],
            Distance::Llc => row[1],
            Distance::Node => row[2],
            Distance::Remote => row[3],
        }
    }
}
