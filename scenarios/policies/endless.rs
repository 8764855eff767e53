//! Never comes back from an operation.

use scxr_policy::prelude::*;

state! {
    /// Keeps the compiler from seeing that the loop has no end.
    static TURNS as "turns": Global<u64> = 0;
}

scheduler! {
    /// Misbehaves on purpose.
    pub struct Endless { name: "endless" }

    impl Ops for Endless {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            while TURNS.fetch_add(1) != u64::MAX {}
            Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);
        }
    }
}
