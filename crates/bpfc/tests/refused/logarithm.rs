//! Divisions, remainders and logarithms that can fail.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            NR.set(100 / NR.get());
            NR.set(100 % NR.get());
            let d = p.pid();
            NR.set((p.tgid() / d) as u64);
            NR.set(NR.get().div_euclid(enq_flags.0));
            NR.set(NR.get().next_multiple_of(enq_flags.0));
            NR.set(u64::from(NR.get().ilog2()));
            NR.set(NR.get().pow(3));
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
