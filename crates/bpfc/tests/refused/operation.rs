//! An operation that there is not.

use scxr_policy::prelude::*;

state! {}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            Dsq::GLOBAL.insert(cx, p, Ns(20_000_000), enq_flags);
        }

        fn runing(_cx: &Event, _p: Task<'_>) {}
    }
}
