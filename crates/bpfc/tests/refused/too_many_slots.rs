//! More slots than the kernel looks after.

use scxr_policy::prelude::*;

shared! {
    struct Ctx {
        sets: [MaskSlot; 12],
    }
}

state! {
    static CTX as "ctx": HashMap<u32, Ctx, 8>;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}
