//! Too much on the stack of a function.

use scxr_policy::prelude::*;

#[inline(never)]
fn last(values: &[u8; 600]) -> u8 {
    let copy = *values;
    core::hint::black_box(copy)[4]
}

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            NR.set(last(&[7; 600]).into());
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
