//! A scheduler that decides nothing: the class's defaults do everything.

use scxr_policy::prelude::*;

state! {
    /// Why the scheduler ended.
    static UEI as "uei": ExitRecord;
}

scheduler! {
    /// All defaults.
    pub struct Minimal { name: "minimal" }

    impl Ops for Minimal {
        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
