//! A call through a pointer.

use scxr_policy::prelude::*;

#[inline(never)]
fn double(x: u64) -> u64 {
    x.wrapping_mul(NR.get())
}

#[inline(never)]
fn flip(x: u64) -> u64 {
    x ^ NR.get()
}

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let f: fn(u64) -> u64 = if enq_flags.0 == 3 { double } else { flip };
            NR.set(f(NR.get()));
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
