//! Inserts into a queue that was never created.

use scxr_policy::prelude::*;

scheduler! {
    /// Misbehaves on purpose.
    pub struct NoSuchDsq { name: "no_such_dsq" }

    impl Ops for NoSuchDsq {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            Dsq::user(0xbeef).insert(cx, p, Ns::SLICE_DFL, enq_flags);
        }
    }
}
