//! A lock in what is kept for CPUs.

use scxr_policy::prelude::*;

shared! {
    struct Ctx {
        lock: SpinLock,
    }
}

state! {
    static CTX as "ctx": PerCpu<Ctx>;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}
