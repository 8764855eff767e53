//! Functions of floating-point numbers.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let x = NR.get() as f32;
            NR.set(if x > 1.5 { 1 } else { 0 });
            NR.set((enq_flags.0 as f64).max(2.0) as u64);
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
