//! A function of `core` that is not inlined.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let a = p.comm().0;
            NR.set(core::str::from_utf8(&a).map_or(0, |s| s.len() as u64));
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
