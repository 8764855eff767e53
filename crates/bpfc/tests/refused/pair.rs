//! A function that returns two words and is not inlined.

use scxr_policy::prelude::*;

#[inline(never)]
fn f(a: u64) -> (u64, u64) { if NR.get() > 3 { NR.set(a); } (a, a ^ NR.get()) }

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let (a, b) = f(NR.get()); let (d, e) = f(a); NR.set(a ^ b ^ d ^ e);
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
