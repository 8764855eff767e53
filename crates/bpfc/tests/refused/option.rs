//! A function that returns an option, which is two values, and is not inlined.

use scxr_policy::prelude::*;

#[inline(never)]
fn way(n: u64) -> Option<u32> {
    if n & 1 == 0 { None } else { Some(NR.get() as u32) }
}

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let (a, b) = (way(NR.get()), way(NR.get() >> 3));
            Dsq::GLOBAL.insert(cx, p, Ns((a.unwrap_or(3) + b.unwrap_or(5)).into()), enq_flags);
        }
    }
}
