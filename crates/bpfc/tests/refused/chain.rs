//! Too much on the stack of functions that call each other.

use scxr_policy::prelude::*;

#[inline(never)]
fn first(x: u64) -> u64 {
    let a = core::hint::black_box([x; 25]);
    a[3] ^ second(x)
}

#[inline(never)]
fn second(x: u64) -> u64 {
    let a = core::hint::black_box([x; 25]);
    a[3] ^ third(x)
}

#[inline(never)]
fn third(x: u64) -> u64 {
    core::hint::black_box([x; 25])[3]
}

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            NR.set(first(enq_flags.0));
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
