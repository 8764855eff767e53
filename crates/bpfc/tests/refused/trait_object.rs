//! A call through a trait object.

use scxr_policy::prelude::*;

trait Step: Sync {
    fn step(&self);
}
struct Up;
struct Down;
impl Step for Up {
    #[inline(never)]
    fn step(&self) {
        NR.set(NR.get() + 1);
    }
}
impl Step for Down {
    #[inline(never)]
    fn step(&self) {
        NR.set(NR.get().wrapping_mul(3));
    }
}

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let step: &dyn Step = if enq_flags.0 == 3 { &Up } else { &Down };
            step.step();
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
