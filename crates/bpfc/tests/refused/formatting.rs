//! Text that is made by `core::fmt`.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            use core::fmt::Write;
            struct W; impl Write for W { fn write_str(&mut self, s: &str) -> core::fmt::Result { NR.set(s.len() as u64); Ok(()) } }
            let _ = write!(W, "{}", NR.get());
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
