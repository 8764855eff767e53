//! Assembly of the host's.

use scxr_policy::prelude::*;

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            // SAFETY: it has no effect.
            unsafe { core::arch::asm!("nop") };
            Dsq::GLOBAL.insert(cx, p, Ns(1_000_000), enq_flags);
        }
    }
}
