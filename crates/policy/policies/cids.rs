//! A scheduler that knows CPUs by their topological ids alone, for Linux 7.2 and later: it keeps by itself which are idle.

use scxr_policy::prelude::*;

/// The queue of all.
const QUEUE: Dsq<Fifo> = Dsq::fifo(0);

shared! {
    /// What is kept for each task.
    pub struct TaskCtx {
        /// Where it may run.
        pub allowed: CidMask<4>,
    }
    /// What all share.
    pub struct Common {
        /// CPUs that are idle.
        pub idle: CidMask<4>,
    }
}

state! {
    /// Where the kernel shows sets of CPUs.
    static PAGES as "pages": Arena<64>;
    /// By task.
    static TASKS as "tasks": TaskStorage<TaskCtx>;
    /// What all share.
    static COMMON as "common": Array<Common, 1>;
    /// Tasks that went where they had been.
    static NR_HOME as "nr_home": Global<u64> = 0;
    /// Tasks that went to another CPU that was idle.
    static NR_IDLE as "nr_idle": Global<u64> = 0;
    /// Sets of CPUs that were shown.
    static NR_SHOWN as "nr_shown": Global<u64> = 0;
    /// Tasks that may not run on all CPUs.
    static NR_PINNED as "nr_pinned": Global<u64> = 0;
    /// Weight of all that started.
    static WEIGHT as "weight": Global<u64> = 0;
    /// CPUs that came and went.
    static NR_CHANGES as "nr_changes": Global<u64> = 0;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// Claims an idle CPU where the task may run, its own first.
#[inline(always)]
fn claim(p: Task<'_>, prev_cid: Cid) -> Option<Cid> {
    let task = TASKS.get(p)?;
    let common = COMMON.get(0)?;
    if task.allowed.test(prev_cid) && common.idle.clear(prev_cid) {
        NR_HOME.fetch_add(1);
        return Some(prev_cid);
    }
    let cid = common.idle.first_and(&task.allowed)?;
    if !common.idle.clear(cid) {
        return None;
    }
    NR_IDLE.fetch_add(1);
    Some(cid)
}

/// Keeps where a task may run.
#[inline(always)]
fn keep(p: Task<'_>, cpus: Cmask<'_>) -> Option<()> {
    let task = TASKS.get_or_create(p)?;
    cpus.copy_to(&task.allowed);
    let nr = Cid::nr_ids()?;
    NR_PINNED.fetch_add((task.allowed.weight() < nr).into());
    Some(())
}

/// Finds out where a new task may run: the kernel tells of changes alone.
#[inline(always)]
fn find_out(p: Task<'_>) -> Option<()> {
    let task = TASKS.get_or_create(p)?;
    let _rcu = Rcu::lock();
    for cid in bounded!(0..Cid::nr_ids()? as i32) {
        let cid = Cid(cid);
        if let Some(cpu) = cid.cpu()
            && p.cpus().test(cpu)
        {
            task.allowed.set(cid);
        }
    }
    Some(())
}

scheduler! {
    /// Idle CPUs first, then first in, first out.
    pub struct Cids { name: "cids", flags: OpsFlags::ENQ_EXITING }

    impl CidOps for Cids {
        fn select_cid(cx: &SelectCpu, p: Task<'_>, prev_cid: Cid, _wake_flags: WakeFlags) -> Cid {
            match claim(p, prev_cid) {
                Some(cid) => {
                    Dsq::local_on_cid(cid).insert(cx, p, Ns::from_ms(4), EnqFlags::NONE);
                    cid
                }
                None => prev_cid,
            }
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            QUEUE.insert(cx, p, Ns::from_ms(4), enq_flags);
            if let Some(cid) = p.cid().and_then(|cid| claim(p, cid)) {
                cid.kick(KickFlags::IDLE);
            }
        }

        fn dispatch(cx: &Dispatch, cid: Cid, _prev: Option<Task<'_>>) {
            if Some(cid) != Cid::current() {
                scx_error!("asked for CPU %d elsewhere", cid.0);
            }
            QUEUE.move_to_local(cx);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            WEIGHT.fetch_add(p.weight().0.into());
        }

        fn set_cmask(_cx: &Event, p: Task<'_>, cpus: CmaskArg<'_>) {
            let cpus = cpus.get(&PAGES);
            NR_SHOWN.fetch_add(u64::from(cpus.test(Cid(0)) || !cpus.test(Cid(0))));
            keep(p, cpus);
        }

        fn update_idle(_cx: &Event, cid: Cid, idle: bool) {
            let Some(common) = COMMON.get(0) else { return };
            if idle {
                common.idle.set(cid);
            } else {
                common.idle.clear(cid);
            }
        }

        fn init_task(_cx: &Init, p: Task<'_>, _args: InitTask<'_>) -> Result<(), Errno> {
            if find_out(p).is_none() { Err(Errno(-12)) } else { Ok(()) }
        }

        fn dump_cid(cx: &Dump, cid: Cid, idle: bool) {
            scx_dump!(cx, "cid %d idle %d", cid.0, idle);
        }

        fn cid_online(_cx: &Init, cid: Cid) {
            NR_CHANGES.fetch_add((cid.0 >= 0).into());
        }

        fn cid_offline(_cx: &Init, cid: Cid) {
            NR_CHANGES.fetch_add((cid.0 >= 0).into());
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            // what is idle now is told when it is idle again
            if let Some(common) = COMMON.get(0) {
                for cid in bounded!(0..Cid::nr_online().unwrap_or(0) as i32) {
                    common.idle.set(Cid(cid));
                }
            }
            QUEUE.create(cx)
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
