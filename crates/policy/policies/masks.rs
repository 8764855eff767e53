//! Sets of CPUs: the tasks', the idle ones, the policy's own; picking, kicking and asking for performance; the class's counters.

use scxr_policy::prelude::*;

/// The queue of what found no idle CPU.
const QUEUE: Dsq<Fifo> = Dsq::fifo(0);

state! {
    /// Every how many CPUs one is preferred.
    pub static STEP as "step": Tunable<u32> = 2;
    /// Wakeups that a preferred CPU took.
    static NR_PREFERRED as "nr_preferred": Global<u64> = 0;
    /// Wakeups that another idle CPU took.
    static NR_OTHER as "nr_other": Global<u64> = 0;
    /// Wakeups that had to wait.
    static NR_WAIT as "nr_wait": Global<u64> = 0;
    /// CPUs that were seen idle, in all.
    static NR_IDLE as "nr_idle": Global<u64> = 0;
    /// Changes of affinity.
    static NR_MOVES as "nr_moves": Global<u64> = 0;
    /// How often `select_cpu` gave a CPU that could not be used, as the class counts it.
    static NR_FALLBACK as "nr_fallback": Global<u64> = 0;
    /// How often a slice was filled up.
    static NR_REFILLS as "nr_refills": Global<u64> = 0;
    /// The preferred CPUs.
    static PREFERRED as "preferred": MaskSlot;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// An idle CPU for the task: a preferred one, else any that it may use.
#[inline(always)]
fn pick(p: Task<'_>) -> Option<Cpu> {
    if let Some(preferred) = PREFERRED.get()
        && preferred.is_subset(p.cpus())
        && let Some(cpu) = preferred.pick_idle(PickFlags::NONE)
    {
        NR_PREFERRED.fetch_add(1);
        return Some(cpu);
    }
    let cpu = p.cpus().pick_idle(PickFlags::NONE)?;
    NR_OTHER.fetch_add(1);
    Some(cpu)
}

scheduler! {
    /// Every other CPU first.
    pub struct Masks { name: "masks" }

    impl Ops for Masks {
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, _wake_flags: WakeFlags) -> Cpu {
            if p.cpus().test(prev_cpu) && prev_cpu.test_and_clear_idle() {
                Dsq::LOCAL.insert(cx, p, Ns::SLICE_DFL, EnqFlags::NONE);
                return prev_cpu;
            }
            match pick(p) {
                Some(cpu) => {
                    Dsq::local_on(cpu).insert(cx, p, Ns::SLICE_DFL, EnqFlags::NONE);
                    cpu
                }
                None => {
                    NR_WAIT.fetch_add(1);
                    prev_cpu
                }
            }
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            QUEUE.insert(cx, p, Ns::from_ms(4), enq_flags);
            let idle = HeldMask::idle();
            NR_IDLE.fetch_add(idle.mask().weight().into());
            if let Some(cpu) = idle.mask().any_and(p.cpus()) {
                cpu.kick(KickFlags::IDLE);
            }
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            QUEUE.move_to_local(cx);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            let cpu = p.cpu();
            let perf = if p.weight() > Weight::DEFAULT { cpu.perf_cap() } else { 512 };
            cpu.set_perf(perf);
        }

        fn tick(_cx: &Event, _p: Task<'_>) {
            let Some(events) = Events::read() else { return };
            NR_FALLBACK.set(events.select_cpu_fallback().unwrap_or(0) as u64);
            NR_REFILLS.set(events.refill_slice_dfl().unwrap_or(0) as u64);
        }

        fn set_cpumask(_cx: &Event, _p: Task<'_>, cpus: CpuMask<'_>) {
            NR_MOVES.fetch_add(u64::from(cpus.weight()) << 32 | 1);
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            QUEUE.create(cx)?;
            let Some(mut preferred) = OwnedCpuMask::new() else { return Err(Errno(-12)) };
            let step = STEP.get();
            for cpu in bounded!(0..Cpu::nr_ids() as i32) {
                if step != 0 && (cpu as u32).is_multiple_of(step) {
                    preferred.set(Cpu(cpu));
                }
            }
            drop(PREFERRED.replace(Some(preferred)));
            Ok(())
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
