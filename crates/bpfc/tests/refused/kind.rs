//! A kind of state that there is not.

use scxr_policy::prelude::*;

state! {
    static SEEN as "seen": Globl<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}
