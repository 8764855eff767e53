//! Divisions of 128 bits.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let x = u128::from(NR.get()) << 64 | u128::from(enq_flags.0);
            NR.set((x / 7) as u64);
            NR.set((x % u128::from(NR.get() | 1)) as u64);
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
