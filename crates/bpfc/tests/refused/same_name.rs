//! Two items of state with one name.

use scxr_policy::prelude::*;

state! {
    static SEEN as "seen": Global<u64> = 0;
    static GONE as "seen": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}
