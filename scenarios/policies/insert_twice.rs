//! Inserts each task into its CPU's queue twice.

use scxr_policy::prelude::*;

scheduler! {
    /// Misbehaves on purpose.
    pub struct InsertTwice { name: "insert_twice" }

    impl Ops for InsertTwice {
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, _wake_flags: WakeFlags) -> Cpu {
            Dsq::LOCAL.insert(cx, p, Ns::SLICE_DFL, EnqFlags::NONE);
            Dsq::LOCAL.insert(cx, p, Ns::SLICE_DFL, EnqFlags::NONE);
            prev_cpu
        }
    }
}
