//! A slot in an object of the policy's own.

use scxr_policy::prelude::*;

object! {
    struct Note in InSlot {
        set: MaskSlot,
    }
}

state! {
    static NOTE as "note": ObjectSlot<Note>;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn tick(_cx: &Event, _p: Task<'_>) {}
    }
}
