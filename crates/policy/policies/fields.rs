//! Fields that only the kernel touches, in values of all kinds of maps: sets of CPUs and a lock kept for each task, a set for each cgroup, each CPU
//! and each key, a task and an object by index, a timer for each key.

use scxr_policy::prelude::*;

/// Nanoseconds between two beats of a task's timer.
const BEAT: Ns = Ns::from_ms(4);
/// The queue of all.
const QUEUE: Dsq<Fifo> = Dsq::fifo(0);

object! {
    /// What was noticed.
    pub struct Note in InSlot {
        /// How often.
        pub nr: u64,
    }
}

shared! {
    /// What is kept for each task.
    pub struct TaskCtx {
        /// Protects what follows.
        pub lock: SpinLock,
        /// How often it ran.
        pub nr_runs: u32,
        /// CPUs that it ran on.
        pub seen: MaskSlot,
        /// CPUs that it ran on in its last and its current spell.
        pub spells: [MaskSlot; 2],
    }

    /// What is kept for each cgroup.
    pub struct GroupCtx {
        /// CPUs that its tasks ran on.
        pub seen: MaskSlot,
        /// How often.
        pub nr_runs: u64,
    }

    /// What is kept for each CPU.
    pub struct CpuCtx {
        /// Every other CPU.
        pub others: MaskSlot,
    }

    /// What is kept by index.
    pub struct Kept {
        /// The first task that was seen.
        pub first: TaskSlot,
        /// The last note.
        pub note: ObjectSlot<Note>,
        /// The group of the first task.
        pub group: CgroupSlot,
    }

    /// What is kept for some tasks by their number.
    pub struct Watched {
        /// How often the timer was due.
        pub nr_beats: u32,
        /// Looks at it.
        pub beat: Timer,
        /// The CPU that it ran on last, as a set.
        pub last: MaskSlot,
    }
}

state! {
    /// Wakeups of tasks whose last CPU is in the set of those that they ran on.
    static NR_HOME as "nr_home": Global<u64> = 0;
    /// CPUs other than the current one, counted each time.
    static NR_OTHERS as "nr_others": Global<u64> = 0;
    /// Beats of all timers.
    static NR_BEATS as "nr_beats": Global<u64> = 0;
    /// Timers that ended with their task.
    static NR_ENDED as "nr_ended": Global<u64> = 0;
    /// CPUs that tasks of cgroups were seen on.
    static NR_GROUPED as "nr_grouped": Global<u64> = 0;
    /// Notes that were made.
    static NR_NOTES as "nr_notes": Global<u64> = 0;
    /// Ticks of the first task.
    static NR_OF_FIRST as "nr_of_first": Global<u64> = 0;
    /// Tasks that came twice to the same CPU in a row.
    static NR_SAME as "nr_same": Global<u64> = 0;
    /// Checks that failed; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// By task.
    static TASKS as "tasks": TaskStorage<TaskCtx>;
    /// By cgroup.
    static GROUPS as "groups": CgroupStorage<GroupCtx>;
    /// By CPU.
    static CPUS as "cpus": PerCpu<CpuCtx>;
    /// By index.
    static KEPT as "kept": Array<Kept, 2>;
    /// By number of a task.
    static WATCHED as "watched": HashMap<i32, Watched, 64>;
    /// By number of a task, those that were seen lately.
    static LATELY as "lately": LruHashMap<i32, CpuCtx, 16>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// Counts what should not be.
fn expect(right: bool) {
    if !right {
        NR_WRONG.fetch_add(1);
    }
}

/// Notes `cpu` in the set that is kept in `slot`, made if there is none; how many are in it, 0: there is no memory.
#[inline(always)]
fn note(slot: &MaskCell, cpu: Cpu) -> u32 {
    let set = match slot.replace(None) {
        Some(set) => Some(set),
        None => OwnedCpuMask::new(),
    };
    let Some(mut set) = set else { return 0 };
    set.set(cpu);
    let nr = set.mask().weight();
    drop(slot.replace(Some(set)));
    nr
}

/// A task's timer is due: again, until it was three times.
fn beat(_cx: &Unlocked, pid: i32, watched: &Watched) {
    NR_BEATS.fetch_add(1);
    expect(pid > 0);
    watched.nr_beats.add(1);
    if watched.nr_beats.get() < 3 {
        again(&watched.beat);
    }
}

/// What is kept for all CPUs but this one.
#[inline(always)]
fn others() -> Option<u32> {
    let ctx = CPUS.get()?;
    if ctx.others.get().is_none() {
        let mut set = OwnedCpuMask::new()?;
        set.set_all();
        set.clear(Cpu::current());
        drop(ctx.others.replace(Some(set)));
    }
    Some(ctx.others.get()?.weight())
}

/// Keeps the first task that comes, and its group; whether that is `p`.
#[inline(always)]
fn is_first(task: &TaskCell, group: &CgroupCell, p: Task<'_>) -> bool {
    if let Some(first) = task.get() {
        return first.pid() == p.pid();
    }
    drop(task.replace(p.acquire()));
    drop(group.replace(p.cgroup()));
    true
}

/// Counts in the note that is kept in `slot`, made if there is none; how often.
#[inline(always)]
fn count(slot: &ObjectCell<Note>) -> Option<u64> {
    let old = slot.replace(None);
    let note = if old.is_some() { old } else { Owned::<Note>::new() };
    let note = note?;
    note.nr.add(1);
    let nr = note.nr.get();
    drop(slot.replace(Some(note)));
    Some(nr)
}

/// Keeps the first task, its group, and a note.
#[inline(always)]
fn keep(p: Task<'_>) -> Option<()> {
    let kept = KEPT.get(1)?;
    NR_OF_FIRST.fetch_add(is_first(&kept.first, &kept.group, p).into());
    NR_NOTES.set(count(&kept.note)?);
    Some(())
}

/// Has a task's timer due in a while.
#[inline(always)]
fn again(timer: &TimerCell) {
    expect(timer.start(&WATCHED, BEAT, beat));
}

scheduler! {
    /// First in, first out, home first.
    pub struct Fields { name: "fields" }

    impl Ops for Fields {
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
            if let Some(task) = TASKS.get(p)
                && let Some(seen) = task.seen.get()
            {
                NR_HOME.fetch_add(u64::from(seen.test(prev_cpu)));
                if let Some(cpu) = seen.pick_idle(PickFlags::NONE)
                    && p.cpus().test(cpu)
                {
                    return cpu;
                }
            }
            p.select_cpu_dfl(cx, prev_cpu, wake_flags).cpu
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            QUEUE.insert(cx, p, Ns::from_ms(3), enq_flags);
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            QUEUE.move_to_local(cx);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            let cpu = Cpu::current();
            if let Some(task) = TASKS.get(p) {
                {
                    let _held = task.lock.lock();
                    task.nr_runs.add(1);
                }
                note(&task.seen, cpu);
                let [last, current] = &task.spells;
                let before = current.replace(OwnedCpuMask::new());
                note(current, cpu);
                let same = match (&before, current.get()) {
                    (Some(before), Some(now)) => before.mask().equals(now),
                    _ => false,
                };
                NR_SAME.fetch_add(u64::from(same));
                drop(last.replace(before));
            }
            if let Some(group) = p.cgroup()
                && let Some(ctx) = GROUPS.get_or_create(group.cgroup())
            {
                ctx.nr_runs.fetch_add(1);
                NR_GROUPED.fetch_add(note(&ctx.seen, cpu).into());
            }
            if let Some(watched) = WATCHED.get(p.pid()) {
                note(&watched.last, cpu);
            }
            if let Some(lately) = LATELY.get_or_insert(p.pid()) {
                note(&lately.others, cpu);
            }
        }

        fn tick(_cx: &Event, p: Task<'_>) {
            NR_OTHERS.fetch_add(others().unwrap_or(0).into());
            expect(keep(p).is_some());
        }

        fn init_task(_cx: &Init, p: Task<'_>, _args: InitTask<'_>) -> Result<(), Errno> {
            if TASKS.get_or_create(p).is_none() {
                return Err(Errno(-12));
            }
            if let Some(watched) = WATCHED.get_or_insert(p.pid()) {
                let on_this_cpu = TimerFlags::CPU_PIN;
                expect(watched.beat.start_with(&WATCHED, BEAT, on_this_cpu, beat));
            }
            Ok(())
        }

        fn exit_task(_cx: &Event, p: Task<'_>, _args: ExitTask<'_>) {
            if let Some(watched) = WATCHED.get(p.pid())
                && watched.beat.cancel()
            {
                NR_ENDED.fetch_add(1);
            }
            WATCHED.remove(p.pid());
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            QUEUE.create(cx)
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
