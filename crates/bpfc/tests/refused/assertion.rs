//! An assertion, a panic with a text, and one without.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            assert!(NR.get() != 5, "never {}", enq_flags.0);
            if NR.get() == 6 {
                panic!();
            }
            if NR.get() == 7 {
                unreachable!();
            }
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
