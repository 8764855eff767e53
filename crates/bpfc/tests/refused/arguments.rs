//! A function with too many arguments.

use scxr_policy::prelude::*;

#[inline(never)]
fn sum(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> u64 {
    NR.set(a ^ b);
    c.wrapping_mul(d) ^ (e | f).wrapping_mul(NR.get())
}

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            NR.set(sum(1, NR.get(), enq_flags.0, NR.get(), NR.get(), NR.get()) ^ sum(NR.get(), 2, 3, 4, 5, 6));
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
