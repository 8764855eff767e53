//! An attribute of an item of state.

use scxr_policy::prelude::*;

state! {
    #[cold]
    static SEEN as "seen": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}
