//! An operation with another argument than the kernel gives it.

use scxr_policy::prelude::*;

state! {}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _pid: u64) {}
    }
}
