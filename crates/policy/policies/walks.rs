//! What there is: all tasks, those of a process, of a cgroup, cgroups below and above another one, the task that runs on a CPU, what the kernel knows of a
//! task; a lock that gives up; a section in which nobody else gets the CPU.

use scxr_policy::prelude::*;

/// The queue of all.
const QUEUE: Dsq<Fifo> = Dsq::fifo(0);
/// `SCHED_EXT`.
const SCHED_EXT: u32 = 7;

shared! {
    /// What all CPUs count together.
    pub struct Counts {
        /// Protects what follows.
        pub lock: ResSpinLock,
        /// Starts of tasks.
        pub nr_starts: u64,
        /// CPU time of those that stopped, in the kernel and outside.
        pub time: Ns,
    }
}

state! {
    /// Tasks at the start, without the kernel's threads.
    static NR_TASKS as "nr_tasks": Global<u64> = 0;
    /// Processes at the start.
    static NR_PROCESSES as "nr_processes": Global<u64> = 0;
    /// Tasks of the root cgroup at the start.
    static NR_IN_ROOT as "nr_in_root": Global<u64> = 0;
    /// Cgroups that were walked over.
    static NR_CGROUPS as "nr_cgroups": Global<u64> = 0;
    /// Ticks at which the task's process was counted, and the tasks of it.
    static NR_THREADS as "nr_threads": Global<u64> = 0;
    /// Kicks of CPUs that run a task that is less urgent.
    static NR_KICKS as "nr_kicks": Global<u64> = 0;
    /// Tasks that stay where they are.
    static NR_HELD as "nr_held": Global<u64> = 0;
    /// Times that the lock was not to be had.
    static NR_BUSY as "nr_busy": Global<u64> = 0;
    /// Tasks with a cgroup of their own to begin with.
    static NR_GROUPED as "nr_grouped": Global<u64> = 0;
    /// Times that tasks were enqueued again on request.
    static NR_AGAIN as "nr_again": Global<u64> = 0;
    /// Checks that failed; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// Counts of all.
    static COUNTS as "counts": Array<Counts, 1>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// Counts what should not be.
fn expect(right: bool) {
    if !right {
        NR_WRONG.fetch_add(1);
    }
}

/// Has the first CPU look again whose task is less urgent than `p`.
#[inline(always)]
fn preempt(p: Task<'_>) {
    let cpu = p.cpu();
    if let Some(curr) = cpu.curr()
        && curr.prio() > p.prio()
    {
        NR_KICKS.fetch_add(1);
        cpu.kick(KickFlags::PREEMPT);
    }
}

/// Counts a start under the lock.
#[inline(always)]
fn count(time: Ns) {
    let Some(counts) = COUNTS.get(0) else { return };
    let Some(_held) = counts.lock.lock() else {
        NR_BUSY.fetch_add(1);
        return;
    };
    counts.nr_starts.add(1);
    counts.time.set(counts.time.get() + time);
}

scheduler! {
    /// First in, first out, the urgent at once.
    pub struct Walks { name: "walks", flags: OpsFlags::ENQ_LAST }

    impl Ops for Walks {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            if p.migration_disabled() > 1 {
                NR_HELD.fetch_add(1);
            }
            preempt(p);
            QUEUE.insert(cx, p, Ns::from_ms(3), enq_flags);
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            QUEUE.move_to_local(cx);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            let time = p.utime() + p.stime();
            let _mine = NoPreempt::begin();
            count(time);
        }

        fn tick(_cx: &Event, p: Task<'_>) {
            let mut nr = 0u64;
            for t in threads!(p) {
                expect(t.tgid() == p.tgid());
                nr = nr.wrapping_add(1);
            }
            NR_THREADS.fetch_add(nr);
            if let Some(leader) = p.leader() {
                expect(leader.pid() == p.tgid());
            }
            expect(p.parent().is_some());
            expect(p.has_mm() != p.is_kthread());
            let group = p.default_cgroup();
            expect(p.is_under(group));
            if let Some(held) = group.acquire() {
                for _group in ancestors!(held.cgroup()) {
                    NR_CGROUPS.fetch_add(1);
                }
            }
            expect(p.preferred_node().unwrap_or(-1) >= -1);
            if Dsq::LOCAL.reenqueue() {
                NR_AGAIN.fetch_add(1);
            }
        }

        fn init_task(cx: &Init, p: Task<'_>, args: InitTask<'_>) -> Result<(), Errno> {
            if let Some(group) = args.cgroup() {
                NR_GROUPED.fetch_add(u64::from(group.level() > 0));
            }
            // as it would be without this scheduler: tasks that ask for the class keep being in it
            if !args.is_fork() && p.policy() == SCHED_EXT {
                p.set_disallow(cx, false);
            }
            expect(p.state() != 0x80);
            Ok(())
        }

        fn cgroup_init(_cx: &Init, _cgroup: Cgroup<'_>, args: CgroupInit<'_>) -> Result<(), Errno> {
            if let Some([period, _quota, _burst]) = args.bandwidth() {
                expect(period > 0);
            }
            Ok(())
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            QUEUE.create(cx)?;
            expect(Cpu::nr_nodes() >= 1);
            if let Some(root) = OwnedCgroup::from_id(1) {
                for p in members!(cx, root.cgroup()) {
                    NR_IN_ROOT.fetch_add(u64::from(p.pid() > 0));
                }
                let _rcu = Rcu::lock();
                for group in descendants!(root.cgroup()) {
                    expect(group.level() >= 0);
                    NR_CGROUPS.fetch_add(1);
                }
                for _group in descendants!(root.cgroup(), post) {
                    NR_CGROUPS.fetch_add(1);
                }
            }
            let _rcu = Rcu::lock();
            for p in tasks!() {
                NR_TASKS.fetch_add(u64::from(!p.is_kthread()));
            }
            for _p in processes!() {
                NR_PROCESSES.fetch_add(1);
            }
            Ok(())
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
