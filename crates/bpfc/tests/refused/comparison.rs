//! A comparison of a hundred bytes.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let (mut a, mut b) = ([0u8; 100], [0u8; 100]);
            for (i, x) in a.iter_mut().enumerate() {
                *x = (NR.get() >> (i & 31)) as u8;
            }
            for (i, x) in b.iter_mut().enumerate() {
                *x = (enq_flags.0 >> (i & 31)) as u8;
            }
            NR.set(u64::from(a == b));
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
