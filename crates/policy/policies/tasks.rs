//! What is kept for tasks, for keys and for CPUs: task storage, hash maps, per-CPU values, arrays; and what the kernel knows of a task.

use scxr_policy::prelude::*;

shared! {
    /// What is kept for each task.
    pub struct TaskCtx {
        /// When it became ready.
        pub ready_at: Ns,
        /// Time that it waited, in all.
        pub waited: Ns,
        /// How often it ran.
        pub nr_runs: u64,
        /// The last CPUs that it ran on.
        pub cpus: [i32; 4],
    }

    /// What each CPU counts.
    pub struct CpuCtx {
        /// Tasks that started to run.
        pub nr_running: u64,
        /// The last one's id.
        pub last_pid: i32,
    }
}

state! {
    /// The slice of a task that waited long.
    pub static LONG_SLICE as "long_slice": Tunable<Ns> = Ns::from_ms(10);
    /// The slice of the others.
    pub static SHORT_SLICE as "short_slice": Tunable<Ns> = Ns::from_ms(3);
    /// Tasks that were found in the storage.
    static NR_KNOWN as "nr_known": Global<u64> = 0;
    /// Sum of all tasks' runs when they ended.
    static NR_RUNS as "nr_runs": Global<u64> = 0;
    /// Threads of the kernel's.
    static NR_KTHREADS as "nr_kthreads": Global<u32> = 0;
    /// By task.
    static TASKS as "tasks": TaskStorage<TaskCtx>;
    /// Number of wakeups by process.
    static WAKEUPS as "wakeups": HashMap<i32, u64, 512>;
    /// Ids of those that woke up lately.
    static RECENT as "recent": LruHashMap<i32, u64, 64>;
    /// By CPU.
    static CPUS as "cpus": PerCpu<CpuCtx>;
    /// Starts by CPU, for user space.
    pub static STARTS as "starts": PerCpuArray<u64, 1>;
    /// Histogram of waits, by powers of two of microseconds.
    static WAITS as "waits": Array<u64, 32>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// The place of a wait in the histogram: its bits, of microseconds.
fn bucket(waited: Ns) -> u32 {
    64 - (waited.0 / 1000).leading_zeros()
}

scheduler! {
    /// A slice by how long the task waited the last time.
    pub struct Tasks { name: "tasks" }

    impl Ops for Tasks {
        fn runnable(_cx: &Event, p: Task<'_>, _enq_flags: EnqFlags) {
            if let Some(task) = TASKS.get_or_create(p) {
                task.ready_at.set(Ns::now());
            }
            if let Some(nr) = WAKEUPS.get_or_insert(p.tgid()) {
                nr.fetch_add(1);
            }
            if let Some(nr) = RECENT.get_or_insert(p.pid()) {
                nr.fetch_add(1);
            }
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let Some(task) = TASKS.get(p) else {
                Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);
                return;
            };
            NR_KNOWN.fetch_add(1);
            let mean = task.waited.get().0.checked_div(task.nr_runs.get()).unwrap_or(0);
            let waits = mean > Ns::from_ms(1).0;
            let slice = if waits || p.comm().starts_with("hog") { LONG_SLICE.get() } else { SHORT_SLICE.get() };
            Dsq::GLOBAL.insert(cx, p, slice, enq_flags);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            if let Some(cpu) = CPUS.get() {
                cpu.nr_running.add(1);
                cpu.last_pid.set(p.pid());
            }
            if let Some(starts) = STARTS.get(0) {
                starts.add(1);
            }
            let Some(task) = TASKS.get(p) else { return };
            let waited = Ns::now() - task.ready_at.get();
            task.waited.set(task.waited.get() + waited);
            let at = (task.nr_runs.get() & 3) as usize;
            task.cpus[at].set(p.cpu().0);
            task.nr_runs.add(1);
            if let Some(nr) = WAITS.get(bucket(waited)) {
                nr.fetch_add(1);
            }
        }

        fn init_task(_cx: &Init, p: Task<'_>, args: InitTask<'_>) -> Result<(), Errno> {
            if p.is_kthread() && !args.is_fork() {
                NR_KTHREADS.fetch_add(1);
            }
            Ok(())
        }

        fn exit_task(_cx: &Event, p: Task<'_>, args: ExitTask<'_>) {
            if args.is_cancelled() {
                return;
            }
            if let Some(task) = TASKS.get(p) {
                NR_RUNS.fetch_add(task.nr_runs.get());
            }
            WAKEUPS.remove(p.tgid());
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
