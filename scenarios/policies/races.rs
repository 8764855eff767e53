//! Counts with a race: what one CPU writes between another's read and write is lost.

use scxr_policy::prelude::*;

/// Turns between the read and the write: some thousand instructions.
const GAP: u64 = 400;

state! {
    /// Calls, counted atomically.
    static CALLS as "calls": Global<u64> = 0;
    /// Calls, counted without care.
    static COUNTED as "counted": Global<u64> = 0;
    /// How often an update was lost.
    static LOST as "lost": Global<u64> = 0;
    /// Something to do meanwhile that calls nothing.
    static TURNS as "turns": Global<u64> = 0;
}

scheduler! {
    /// Misbehaves on purpose.
    pub struct Races { name: "races" }

    impl Ops for Races {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            CALLS.fetch_add(1);
            let seen = COUNTED.get();
            let mut turn = 0;
            while turn < GAP {
                TURNS.fetch_add(1);
                turn += 1;
            }
            if COUNTED.get() != seen {
                LOST.fetch_add(1);
            }
            COUNTED.set(seen + 1);
            Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);
        }
    }
}
