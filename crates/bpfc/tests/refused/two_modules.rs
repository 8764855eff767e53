//! Two tables of operations, in modules of their own.

use scxr_policy::prelude::*;

state! {}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}

/// The other.
pub mod worse {
    use scxr_policy::prelude::*;

    scheduler! {
        pub struct Worse { name: "worse" }

        impl Ops for Worse {
            fn tick(_cx: &Event, _p: Task<'_>) {}
        }
    }
}
