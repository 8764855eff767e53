//! Atomic operations that BPF lacks, ordered loads and stores, a fence.

use core::sync::atomic::{AtomicU64, Ordering, fence};
use scxr_policy::prelude::*;

static WORD: AtomicU64 = AtomicU64::new(0);

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            WORD.fetch_max(NR.get(), Ordering::SeqCst);
            WORD.fetch_nand(NR.get(), Ordering::SeqCst);
            WORD.store(NR.get(), Ordering::Release);
            fence(Ordering::SeqCst);
            NR.set(WORD.load(Ordering::Acquire));
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
