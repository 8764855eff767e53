//! Arithmetic that is checked and overflows.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            NR.set(NR.get().checked_add(enq_flags.0).unwrap());
            let Some(tripled) = NR.get().checked_mul(3) else { panic!("too much") };
            NR.set(tripled);
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
