//! Two functions that call each other.

use scxr_policy::prelude::*;

#[inline(never)]
fn even(n: u64) -> bool { if n == 0 { NR.get() == 0 } else { odd(n - 1) ^ (NR.get() == 7) } }
#[inline(never)]
fn odd(n: u64) -> bool { if n == 0 { NR.get() == 1 } else { even(n - 1) ^ (NR.get() == 5) } }

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            NR.set(u64::from(even(enq_flags.0)));
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
