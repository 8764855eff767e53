//! An insertion where the kernel forbids it: rustc refuses it, by its context.

use scxr_policy::prelude::*;

state! {}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn running(cx: &Event, p: Task<'_>) {
            Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, EnqFlags::NONE);
        }
    }
}
