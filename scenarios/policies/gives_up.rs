//! Ends itself with an error.

use scxr_policy::prelude::*;

scheduler! {
    /// Misbehaves on purpose.
    pub struct GivesUp { name: "gives_up" }

    impl Ops for GivesUp {
        fn enqueue(_cx: &Enqueue, p: Task<'_>, _enq_flags: EnqFlags) {
            scx_error!("no idea what to do with pid %d", p.pid());
        }
    }
}
