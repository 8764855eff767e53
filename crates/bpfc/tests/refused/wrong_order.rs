//! An insertion at the end of a queue by virtual time, which the kernel would eject the scheduler for: rustc refuses it.

use scxr_policy::prelude::*;

const QUEUE: Dsq<ByVtime> = Dsq::by_vtime(0);

state! {}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            QUEUE.insert(cx, p, Ns::SLICE_DFL, enq_flags);
        }
    }
}
