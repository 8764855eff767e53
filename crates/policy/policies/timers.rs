//! Timers: a beat that starts itself again, one at a point in time on its own CPU, one that is always stopped before it is due.

use scxr_policy::prelude::*;

state! {
    /// How often the beat was due.
    static NR_FIRED as "nr_fired": Global<u64> = 0;
    /// How often the time of the watch came.
    static NR_WATCHED as "nr_watched": Global<u64> = 0;
    /// How often a timer was stopped while it was on.
    static NR_STOPPED as "nr_stopped": Global<u64> = 0;
    /// Times that a timer was wrong about itself; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// When the watch is due.
    static WATCH_AT as "watch_at": Global<Ns> = Ns::ZERO;
    /// The CPU that it is due on.
    static WATCH_CPU as "watch_cpu": Global<i32> = 0;
    /// The beat.
    static BEAT as "beat": Timer;
    /// The watch.
    static WATCH as "watch": Timer;
    /// Never due.
    static NEVER as "never": Timer;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// Counts what should not be.
fn expect(right: bool) {
    if !right {
        NR_WRONG.fetch_add(1);
    }
}

/// Looks at an idle CPU every 5 ms.
fn beat(_cx: &Unlocked) {
    NR_FIRED.fetch_add(1);
    Cpu(0).kick(KickFlags::IDLE);
    // a timer cannot wait for its own function
    expect(!BEAT.cancel());
    expect(BEAT.start(Ns::from_ms(5), beat));
}

/// Has the watch due every 7 ms, by the clock.
fn watch(_cx: &Unlocked) {
    NR_WATCHED.fetch_add(1);
    expect(Cpu::current() == Cpu(WATCH_CPU.get()));
    WATCH_AT.set(WATCH_AT.get() + Ns::from_ms(7));
    expect(WATCH.start_with(WATCH_AT.get(), TimerFlags::ABS | TimerFlags::CPU_PIN, watch));
}

scheduler! {
    /// First in, first out, with timers.
    pub struct Timers { name: "timers" }

    impl Ops for Timers {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            Dsq::GLOBAL.insert(cx, p, Ns::from_ms(5), enq_flags);
            if NEVER.cancel() {
                NR_STOPPED.fetch_add(1);
            }
        }

        fn stopping(_cx: &Event, _p: Task<'_>, _runnable: bool) {
            NEVER.start(Ns::from_ms(1000), |_cx: &Unlocked| expect(false));
        }

        fn init(_cx: &Init) -> Result<(), Errno> {
            WATCH_AT.set(Ns::monotonic() + Ns::from_ms(7));
            WATCH_CPU.set(Cpu::current().0);
            let started = BEAT.start(Ns::from_ms(5), beat)
                && WATCH.start_with(WATCH_AT.get(), TimerFlags::ABS | TimerFlags::CPU_PIN, watch);
            if started { Ok(()) } else { Err(Errno(-22)) }
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
