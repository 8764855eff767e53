//! An option that `scheduler!` does not know.

use scxr_policy::prelude::*;

state! {}

scheduler! {
    pub struct Bad { name: "bad", timeout: 5000 }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}
