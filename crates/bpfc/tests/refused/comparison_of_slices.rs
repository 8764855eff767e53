//! A comparison of slices whose length is not known.

use scxr_policy::prelude::*;

state! {
    static NR as "nr": Global<u64> = 0;
}

scheduler! {
    pub struct Bad { name: "bad" }

    impl Ops for Bad {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let a = p.comm().0;
            let b = *b"0123456789abcdef";
            let n = (NR.get() & 15) as usize;
            if let (Some(a), Some(b)) = (a.get(..n), b.get(..n)) {
                NR.set(u64::from(a == b));
            }
            Dsq::GLOBAL.insert(cx, p, Ns(NR.get()), enq_flags);
        }
    }
}
