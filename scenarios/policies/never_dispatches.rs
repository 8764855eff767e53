//! Takes tasks and never gives them back.

use scxr_policy::prelude::*;

scheduler! {
    /// Misbehaves on purpose.
    pub struct NeverDispatches { name: "never_dispatches", timeout_ms: 1000 }

    impl Ops for NeverDispatches {
        fn enqueue(_cx: &Enqueue, _p: Task<'_>, _enq_flags: EnqFlags) {}
    }
}
