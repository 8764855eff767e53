//! Picks a CPU that no machine has.

use scxr_policy::prelude::*;

scheduler! {
    /// Misbehaves on purpose.
    pub struct WrongCpu { name: "wrong_cpu" }

    impl Ops for WrongCpu {
        fn select_cpu(_cx: &SelectCpu, _p: Task<'_>, _prev_cpu: Cpu, _wake_flags: WakeFlags) -> Cpu {
            Cpu(9999)
        }
    }
}
