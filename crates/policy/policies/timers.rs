//! A timer that moves a virtual clock on and kicks CPUs.

use scxr_policy::prelude::*;

state! {
    /// How often it was due.
    static NR_FIRED as "nr_fired": Global<u64> = 0;
    /// The timer.
    static BEAT as "beat": Timer;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// What the timer does.
fn beat(_cx: &Unlocked) {
    NR_FIRED.fetch_add(1);
    Cpu(0).kick(KickFlags::IDLE);
    BEAT.start(Ns::from_ms(5), beat);
}

scheduler! {
    /// First in, first out, with a beat.
    pub struct Timers { name: "timers" }

    impl Ops for Timers {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            Dsq::GLOBAL.insert(cx, p, Ns::from_ms(5), enq_flags);
        }

        fn init(_cx: &Init) -> Result<(), Errno> {
            if BEAT.start(Ns::from_ms(5), beat) { Ok(()) } else { Err(Errno(-22)) }
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
