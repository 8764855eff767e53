//! A slice that may be out of bounds.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let table = [1u64, 2, 3, 4];
            let n = enq_flags.0 as usize;
            for x in &table[n..n + 2] {
                NR.set(*x);
            }
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
