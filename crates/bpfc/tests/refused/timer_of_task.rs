//! A timer in what is kept for tasks.

use scxr_policy::prelude::*;

shared! {
    struct Ctx {
        beat: Timer,
    }
}

state! {
    static CTX as "ctx": TaskStorage<Ctx>;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}
