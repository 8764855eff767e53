//! A value on the heap.

use scxr_policy::prelude::*;

extern crate alloc;
use alloc::boxed::Box;
state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let b = Box::new(NR.get()); NR.set(*b);
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
