//! Wants to be told of the last task of a CPU, and has no operation to be told by.

use scxr_policy::prelude::*;

state! {
    /// Why the scheduler ended.
    static UEI as "uei": ExitRecord;
}

scheduler! {
    /// The kernel refuses it.
    pub struct EnqLastAlone { name: "enq_last_alone", flags: OpsFlags::ENQ_LAST }

    impl Ops for EnqLastAlone {
        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
