//! Objects of the policy's own: a tree of tasks in the order of virtual time, a list of objects to be used again, places for one object and
//! for tasks.

use scxr_policy::prelude::*;

object! {
    /// A task that waits.
    pub struct Waiter in InTree, Counted {
        /// Which.
        pub pid: i32,
        /// Its virtual time.
        pub vtime: Vtime,
    }

    /// A permit to go to the front.
    pub struct Permit in InList {
        /// When it was given out.
        pub at: Ns,
    }

    /// What was noticed.
    pub struct Note in InSlot {
        /// How often.
        pub nr: u64,
    }
}

state! {
    /// Tasks that were taken out of the tree.
    static NR_TAKEN as "nr_taken": Global<u64> = 0;
    /// Tasks that went to the front.
    static NR_FRONT as "nr_front": Global<u64> = 0;
    /// Permits that were not to be had.
    static NR_LATE as "nr_late": Global<u64> = 0;
    /// How often the first of the tree was looked at.
    static NR_SEEN as "nr_seen": Global<u64> = 0;
    /// Notes that were made.
    static NR_NOTES as "nr_notes": Global<u64> = 0;
    /// Ticks of the task that was seen first.
    static NR_OF_FIRST as "nr_of_first": Global<u64> = 0;
    /// Checks that failed; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// The last that came to wait, whether it still does or not.
    static NEWEST as "newest": ObjectSlot<Waiter>;
    /// Ticks at which the newest had its vtime in order.
    static NR_NEWEST as "nr_newest": Global<u64> = 0;
    /// Those that wait.
    static WAITING as "waiting": Tree<Waiter>;
    /// Permits, the oldest first.
    static PERMITS as "permits": List<Permit>;
    /// The last note.
    static NOTE as "note": ObjectSlot<Note>;
    /// The first task that was seen.
    static FIRST as "first": TaskSlot;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// Takes the task that comes next out of the tree.
#[inline(always)]
fn next() -> Option<Owned<Waiter>> {
    let mut waiting = WAITING.lock()?;
    waiting.pop_first()
}

/// Takes a permit: the oldest or the newest.
#[inline(always)]
fn permit(oldest: bool) -> Option<Owned<Permit>> {
    let mut permits = PERMITS.lock()?;
    if oldest { permits.pop_front() } else { permits.pop_back() }
}

/// Gives a permit back.
#[inline(always)]
fn give_back(permit: Owned<Permit>, behind: bool) {
    if let Some(mut permits) = PERMITS.lock() {
        if behind {
            permits.push_back(permit);
        } else {
            permits.push_front(permit);
        }
    }
}

/// Puts a task into the tree; `None`: it could not be.
#[inline(always)]
fn wait(p: Task<'_>) -> Option<()> {
    let waiter = Owned::<Waiter>::new()?;
    waiter.pid.set(p.pid());
    waiter.vtime.set(p.dsq_vtime());
    let again = waiter.share();
    {
        let mut waiting = WAITING.lock()?;
        waiting.insert(waiter, |a: &Waiter, b: &Waiter| a.vtime.get().before(b.vtime.get()));
    }
    drop(NEWEST.replace(again));
    Some(())
}

scheduler! {
    /// The least virtual time first; who holds a permit goes to the front.
    pub struct Objects { name: "objects" }

    impl Ops for Objects {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            if p.nr_cpus_allowed() > 1 && wait(p).is_some() {
                return;
            }
            Dsq::GLOBAL.insert(cx, p, Ns::from_ms(3), enq_flags);
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            let Some(waiter) = next() else { return };
            NR_TAKEN.fetch_add(1);
            let Some(found) = OwnedTask::from_pid(waiter.pid.get()) else { return };
            let front = permit(found.task().pid() & 1 == 0);
            if front.is_some() {
                NR_FRONT.fetch_add(1);
            } else {
                NR_LATE.fetch_add(1);
            }
            let flags = if front.is_some() { EnqFlags::head() } else { EnqFlags::NONE };
            Dsq::GLOBAL.insert(cx, found.task(), Ns::from_ms(3), flags);
            if let Some(permit) = front {
                permit.at.set(Ns::now());
                give_back(permit, true);
            }
        }

        fn tick(_cx: &Event, p: Task<'_>) {
            let seen = match WAITING.lock() {
                Some(waiting) => waiting.first().map_or(0, |first| first.pid.get()),
                None => 0,
            };
            NR_SEEN.fetch_add(u64::from(seen != 0));
            if let Some(newest) = NEWEST.replace(None) {
                NR_NEWEST.fetch_add(u64::from(newest.pid.get() != 0));
                drop(NEWEST.replace(Some(newest)));
            }
            let note = match NOTE.replace(None) {
                Some(note) => Some(note),
                None => Owned::<Note>::new(),
            };
            if let Some(note) = note {
                note.nr.add(1);
                NR_NOTES.set(note.nr.get());
                drop(NOTE.replace(Some(note)));
            }
            match FIRST.get() {
                Some(first) => NR_OF_FIRST.fetch_add(u64::from(first.pid() == p.pid())),
                None => match p.acquire() {
                    Some(held) => {
                        drop(FIRST.replace(Some(held)));
                        0
                    }
                    None => 0,
                },
            };
        }

        fn stopping(_cx: &Event, p: Task<'_>, _runnable: bool) {
            p.set_dsq_vtime(p.dsq_vtime() + p.weight().charge(Ns::from_ms(3) - p.slice()));
        }

        fn init(_cx: &Init) -> Result<(), Errno> {
            for i in 0..3 {
                let Some(permit) = Owned::<Permit>::new() else { return Err(Errno(-12)) };
                if permit.at.get() != Ns::ZERO {
                    NR_WRONG.fetch_add(1);
                }
                give_back(permit, i != 1);
            }
            Ok(())
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
