//! Atomics of 8 and 16 bits.

use core::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use scxr_policy::prelude::*;

static BYTE: AtomicU8 = AtomicU8::new(0);
static HALF: AtomicU16 = AtomicU16::new(0);

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            BYTE.fetch_add(1, Ordering::Relaxed);
            HALF.compare_exchange(1, 2, Ordering::SeqCst, Ordering::SeqCst).ok();
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
