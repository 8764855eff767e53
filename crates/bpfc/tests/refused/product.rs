//! Products of 64 bits that are checked for overflow; one by a power of two, sums and products of 32 bits can be.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            NR.set(NR.get().checked_mul(enq_flags.0).unwrap_or(0));
            NR.set(NR.get().saturating_mul(3));
            NR.set(i64::from(p.pid()).saturating_mul(NR.get() as i64) as u64);
            NR.set(NR.get().checked_mul(4).unwrap_or(1));
            NR.set(NR.get().checked_add(enq_flags.0).unwrap_or(1));
            NR.set(u64::from((NR.get() as u32).checked_mul(enq_flags.0 as u32).unwrap_or(1)));
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
