//! What is not Rust.

use scxr_policy::prelude::*;

state! {}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) { let }
    }
}
