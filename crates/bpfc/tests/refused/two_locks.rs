//! Two locks in one value.

use scxr_policy::prelude::*;

shared! {
    struct Ctx {
        one: SpinLock,
        other: ResSpinLock,
    }
}

state! {
    static CTX as "ctx": Array<Ctx, 1>;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}
