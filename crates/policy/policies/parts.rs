//! Parts of a policy as functions and types of their own: what they take and give has names, and what they do for one context, one kind of queue or
//! one type they do for all that can.

use scxr_policy::prelude::*;
use scxr_policy::{
    Argument, Bounded, Cgroups, ListGuard, MapCell, MapValue, Members, Object, Plain, ResSpinGuard, SpinGuard, Tasks,
    TreeGuard, Value, Waiting,
};

/// The queue of those that are not urgent.
const LAST: Dsq<Fifo> = Dsq::fifo(0);
/// The queue of the others.
const URGENT: Dsq<ByVtime> = Dsq::by_vtime(1);

object! {
    /// A task that was seen, in order of its number.
    pub struct Seen in InTree {
        /// Which.
        pub pid: i32,
    }
    /// A token.
    pub struct Token in InList {
        /// How often it was taken.
        pub nr: u64,
    }
}

plain! {
    /// What user space is told.
    pub struct Told {
        /// Which task.
        pub pid: i32,
        /// On which CPU.
        pub cpu: i32,
    }
}

shared! {
    /// What user space is told, in place.
    pub struct Note {
        /// When.
        pub at: Ns,
        /// How many tasks there are.
        pub nr_tasks: u64,
    }
    /// What is kept for each task.
    pub struct TaskCtx {
        /// How often it ran.
        pub nr_runs: u64,
    }
    /// What all share.
    pub struct Common {
        /// Protects the rest.
        pub lock: SpinLock,
        /// Starts of tasks.
        pub nr: u64,
    }
    /// What all share, too.
    pub struct Other {
        /// Protects the rest.
        pub lock: ResSpinLock,
        /// Ends of tasks.
        pub nr: u64,
        /// Beats.
        pub beat: Timer,
    }
}

state! {
    /// What was counted in loops.
    static NR as "nr": Global<u64> = 0;
    /// Beats of the timer.
    static NR_BEATS as "nr_beats": Global<u64> = 0;
    /// Tokens that were taken.
    static NR_TAKEN as "nr_taken": Global<u64> = 0;
    /// Messages that user space did not get.
    static NR_LOST as "nr_lost": Global<u64> = 0;
    /// The least number of a task.
    static FIRST as "first": Global<i32> = 0;
    /// Checks that failed; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// By task.
    static TASKS as "tasks": TaskStorage<TaskCtx>;
    /// Behind a lock.
    static COMMON as "common": Array<Common, 1>;
    /// Behind another one.
    static OTHER as "other": Array<Other, 1>;
    /// In order.
    static SEEN as "seen": Tree<Seen>;
    /// Tokens.
    static TOKENS as "tokens": List<Token>;
    /// To user space.
    static TOLD as "told": RingBuf<65536>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// The value of a field.
fn value_of<T: Value>(field: &Field<T>) -> T {
    field.get()
}

/// The value of a task, of whatever type.
#[inline(always)]
fn of_task<T: MapValue>(map: &'static TaskStorage<T>, p: Task<'_>) -> Option<Ref<'static, T::Cell>>
where
    T::Cell: MapCell,
{
    map.get_or_create(p)
}

/// Puts a task at the end of a queue that takes it there, from any operation that may.
#[inline(always)]
fn put_last<Order: TakesLast>(cx: &impl MayInsert, to: Dsq<Order>, p: Task<'_>, flags: EnqFlags) -> bool {
    to.insert(cx, p, Ns::from_ms(4), flags)
}

/// Puts a task into a queue that is in the order of virtual time.
#[inline(always)]
fn put_by_vtime<Order: TakesVtime>(cx: &impl MayInsert, to: Dsq<Order>, p: Task<'_>, flags: EnqFlags) -> bool {
    to.insert_vtime(cx, p, Ns::from_ms(2), p.dsq_vtime(), flags)
}

/// Adds numbers up.
#[inline(always)]
fn sum(numbers: Bounded<'_>) -> u64 {
    let mut sum = 0u64;
    for n in numbers {
        sum = sum.wrapping_add(n as u64);
    }
    sum
}

/// Counts what a loop comes to.
#[inline(always)]
fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    let mut nr = 0u64;
    for _item in items {
        nr = nr.wrapping_add(1);
    }
    nr
}

/// Counts waiting tasks.
#[inline(always)]
fn nr_waiting(tasks: Waiting<'_>) -> u64 {
    count(tasks)
}

/// Counts tasks.
#[inline(always)]
fn nr_tasks(tasks: Tasks<'_>) -> u64 {
    count(tasks)
}

/// Counts the tasks of a cgroup.
#[inline(always)]
fn nr_members(tasks: Members<'_>) -> u64 {
    count(tasks)
}

/// Counts cgroups.
#[inline(always)]
fn nr_groups(groups: Cgroups<'_>) -> u64 {
    count(groups)
}

/// Holds the lock.
#[inline(always)]
fn held(common: &Common) -> SpinGuard<'_> {
    common.lock.lock()
}

/// Holds the other lock, if it is to be had.
#[inline(always)]
fn perhaps_held(other: &Other) -> Option<ResSpinGuard<'_>> {
    other.lock.lock()
}

/// The first number in a tree.
#[inline(always)]
fn first(tree: &TreeGuard<'_, Seen>) -> i32 {
    let first: Option<Ref<'_, Seen>> = tree.first();
    first.map_or(0, |first| value_of(&first.pid))
}

/// Takes one out of any list.
#[inline(always)]
fn take<T: Object<Place = scxr_policy::InList>>(mut list: ListGuard<'_, T>) -> Option<Owned<T>> {
    list.pop_front()
}

/// Puts an object into the tree, if there is memory.
#[inline(always)]
fn note_task(pid: i32) -> Option<()> {
    let seen = Owned::<Seen>::new()?;
    seen.pid.set(pid);
    let mut tree = SEEN.lock()?;
    tree.insert(seen, |a: &Seen, b: &Seen| a.pid.get() < b.pid.get());
    FIRST.set(first(&tree));
    Some(())
}

/// Sends a message of any type.
#[inline(always)]
fn tell<T: Plain>(message: T) {
    NR_LOST.fetch_add((!TOLD.send(message)).into());
}

/// Fills a message in place.
#[inline(always)]
fn fill(note: Reserved<'_, Note>, nr_tasks: u64) {
    note.at.set(Ns::now());
    note.nr_tasks.set(nr_tasks);
    note.submit();
}

/// Has a timer due in whatever map it is.
#[inline(always)]
fn later<M: TimerMap<Key = u32, Cell = Other>>(timer: &TimerCell, map: &M) -> bool {
    timer.start(map, Ns::from_ms(10), beat)
}

/// A timer is due.
fn beat(_cx: &Unlocked, key: u32, other: &Other) {
    NR_BEATS.fetch_add(1);
    if key != 0 || !later(&other.beat, &OTHER) {
        NR_WRONG.fetch_add(1);
    }
}

/// Where a part of the machine begins.
#[inline(always)]
fn begins(unit: CidUnit) -> i32 {
    unit.first.0
}

/// Does each part of the machine lie in the next one?
#[inline(always)]
fn is_in_order(topo: CidTopo) -> bool {
    begins(topo.node) <= begins(topo.llc) && begins(topo.llc) <= begins(topo.core)
}

/// Says one thing about the scheduler that ended.
#[inline(always)]
fn say(cx: &impl MayDump, what: impl Argument) {
    scx_dump!(cx, "counted %llu", what);
}

/// Has what is on this CPU enqueued again.
#[inline(always)]
fn again(cx: &impl MayReenqueue) {
    Dsq::reenqueue_local(cx);
}

scheduler! {
    /// Urgent tasks in the order of virtual time, then the others.
    pub struct Parts { name: "parts" }

    impl Ops for Parts {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            if p.static_prio() < 120 {
                put_by_vtime(cx, URGENT, p, enq_flags);
            } else {
                put_last(cx, LAST, p, enq_flags);
            }
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            if !URGENT.move_to_local(cx) {
                LAST.move_to_local(cx);
            }
        }

        fn running(_cx: &Event, p: Task<'_>) {
            if let Some(task) = of_task(&TASKS, p) {
                task.nr_runs.add(1);
            }
            if let Some(common) = COMMON.get(0) {
                let _held = held(&common);
                common.nr.add(1);
            }
            tell(Told { pid: p.pid(), cpu: Cpu::current().0 });
        }

        fn stopping(_cx: &Event, p: Task<'_>, _runnable: bool) {
            p.set_dsq_vtime(p.dsq_vtime() + p.weight().charge(Ns::from_ms(4) - p.slice()));
            if let Some(other) = OTHER.get(0)
                && let Some(_held) = perhaps_held(&other)
            {
                other.nr.add(1);
            }
        }

        fn tick(_cx: &Event, p: Task<'_>) {
            NR.fetch_add(sum(bounded!(0..p.nr_cpus_allowed())));
            NR.fetch_add(nr_waiting(waiting!(LAST)));
            if let Some(tokens) = TOKENS.lock() {
                let token = take(tokens);
                if let Some(token) = token {
                    token.nr.add(1);
                    NR_TAKEN.fetch_add(1);
                    if let Some(mut tokens) = TOKENS.lock() {
                        tokens.push_back(token);
                    }
                }
            }
        }

        fn cpu_release(cx: &CpuRelease, _cpu: Cpu, _args: Release<'_>) {
            again(cx);
        }

        fn init_task(_cx: &Init, p: Task<'_>, _args: InitTask<'_>) -> Result<(), Errno> {
            match note_task(p.pid()) {
                Some(()) => Ok(()),
                None => Err(Errno(-12)),
            }
        }

        fn dump(cx: &Dump) {
            say(cx, NR.get());
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            LAST.create(cx)?;
            URGENT.create(cx)?;
            let Some(token) = Owned::<Token>::new() else { return Err(Errno(-12)) };
            if let Some(mut tokens) = TOKENS.lock() {
                tokens.push_back(token);
            }
            if let Some(topo) = Cid(0).topo()
                && !is_in_order(topo)
            {
                NR_WRONG.fetch_add(1);
            }
            if let Some(other) = OTHER.get(0)
                && !later(&other.beat, &OTHER)
            {
                NR_WRONG.fetch_add(1);
            }
            let mut nr = 0u64;
            if let Some(root) = OwnedCgroup::from_id(1) {
                nr = nr.wrapping_add(nr_members(members!(cx, root.cgroup())));
                let _rcu = Rcu::lock();
                nr = nr.wrapping_add(nr_groups(descendants!(root.cgroup())));
            }
            {
                let _rcu = Rcu::lock();
                nr = nr.wrapping_add(nr_tasks(tasks!()));
            }
            if let Some(note) = TOLD.reserve::<Note>() {
                fill(note, nr);
            }
            NR.fetch_add(nr);
            Ok(())
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
