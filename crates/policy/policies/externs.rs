//! What the kernel is: its configuration, its variables.

use scxr_policy::Setting;
use scxr_policy::prelude::*;

/// The queue of all.
const QUEUE: Dsq<Fifo> = Dsq::fifo(0);

state! {
    /// Ticks in a second; the object is not loaded where that is not known.
    static HZ as "CONFIG_HZ": Kconfig<u32>;
    /// The kernel's version, 0x60c00 for 6.12: loaders make it up.
    static VERSION as "LINUX_KERNEL_VERSION": Kconfig<u32>;
    /// Is it a real-time kernel?
    static IS_RT as "CONFIG_PREEMPT_RT": Kconfig<bool>;
    /// CPUs that the kernel is made for, if it says so.
    static NR_CPUS_MAX as "CONFIG_NR_CPUS": Kconfig<Option<u32>>;
    /// The first CPU of each CPU's last-level cache.
    static LLC as "sd_llc_id": KernelPerCpu<i32>;
    /// A variable that no kernel has.
    static NONE as "scxr_no_such_variable": KernelVar<u64>;
    /// A symbol that no kernel has.
    static NOWHERE as "scxr_no_such_symbol": KernelSymbol;
    /// Cycles of each CPU, where user space has opened counters.
    static CYCLES as "cycles": PerfEventArray;
    /// The last of them.
    static CYCLES_SEEN as "cycles_seen": Global<u64> = 0;
    /// Slices of one tick.
    static NR_TICKS as "nr_ticks": Global<u64> = 0;
    /// Wakeups on a CPU that shares its cache with the one before.
    static NR_NEAR as "nr_near": Global<u64> = 0;
    /// What was read.
    static HZ_SEEN as "hz_seen": Global<u32> = 0;
    /// What was read.
    static VERSION_SEEN as "version_seen": Global<u32> = 0;
    /// Checks that failed; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// What the kernel was built with.
#[inline(always)]
fn built_with<T: Setting>(what: &Kconfig<T>) -> T {
    what.get()
}

/// The length of a tick.
#[inline(always)]
fn tick() -> Ns {
    Ns(1_000_000_000u64.checked_div(built_with(&HZ).into()).unwrap_or(1_000_000))
}

/// Did a counter count at times when it was not there?
#[inline(always)]
fn is_wrong(count: PerfCount) -> bool {
    count.running.0 > count.enabled.0
}

/// The slice of a task. It has six parameters, of which LLVM leaves those that are used; kernels take five.
#[inline(never)]
fn slice(p: Task<'_>, flags: EnqFlags, base: Ns, is_rt: bool, _cpu: Cpu, _last: u64) -> Ns {
    // on a real-time kernel twice as long
    let slice = if is_rt { base + base } else { base };
    if p.weight().0 == 1 && flags.contains(EnqFlags::WAKEUP) { slice + base } else { slice }
}

scheduler! {
    /// First come, first served, a tick each.
    pub struct Externs { name: "externs" }

    impl Ops for Externs {
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
            let picked = p.select_cpu_dfl(cx, prev_cpu, wake_flags);
            let llc = LLC.on(picked.cpu);
            if llc.is_some() && llc == LLC.on(prev_cpu) {
                NR_NEAR.fetch_add(1);
            }
            picked.cpu
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let slice = slice(p, enq_flags, tick(), IS_RT.get(), p.cpu(), NR_NEAR.get());
            QUEUE.insert(cx, p, slice, enq_flags);
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            QUEUE.move_to_local(cx);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            if p.slice() == tick() {
                NR_TICKS.fetch_add(1);
            }
            if let Some(cycles) = CYCLES.read() {
                CYCLES_SEEN.set(cycles.counter);
                if is_wrong(cycles) {
                    NR_WRONG.fetch_add(1);
                }
            }
            // a CPU that cannot be has no value
            if LLC.on(Cpu(1 << 20)).is_some() || LLC.get().is_some_and(|llc| llc < 0) {
                NR_WRONG.fetch_add(1);
            }
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            HZ_SEEN.set(HZ.get());
            VERSION_SEEN.set(VERSION.get());
            if NONE.get().is_some() || NOWHERE.address().is_some() || NR_CPUS_MAX.get().is_some_and(|n| n < 2) {
                NR_WRONG.fetch_add(1);
            }
            QUEUE.create(cx)
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
