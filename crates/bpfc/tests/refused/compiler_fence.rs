//! Fences, one of them for the compiler alone.

use scxr_policy::prelude::*;

use core::sync::atomic::{Ordering, compiler_fence, fence};

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            compiler_fence(Ordering::SeqCst);
            NR.set(1);
            fence(Ordering::SeqCst);
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
