//! A name that is none for the kernel.

use scxr_policy::prelude::*;

state! {}

scheduler! {
    pub struct Bad { name: "not good" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}
