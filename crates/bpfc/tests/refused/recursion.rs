//! A function that calls itself.

use scxr_policy::prelude::*;

#[inline(never)]
fn factorial(n: u64) -> u64 {
    if n == 0 { NR.get() } else { factorial(n - 1).wrapping_mul(n) ^ NR.get() }
}

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            NR.set(factorial(enq_flags.0));
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
