//! Idle CPUs by NUMA node.

use scxr_policy::prelude::*;

/// The queue of all.
const QUEUE: Dsq<Fifo> = Dsq::fifo(0);

state! {
    /// Tasks that found an idle CPU on their node.
    static NR_NEAR as "nr_near": Global<u64> = 0;
    /// Tasks that found one on a node that was asked for only if there was none here.
    static NR_FAR as "nr_far": Global<u64> = 0;
    /// Idle CPUs of nodes, counted at each insertion.
    static NR_IDLE as "nr_idle": Global<u64> = 0;
    /// CPUs of idle cores of nodes, counted at each insertion.
    static NR_WHOLE as "nr_whole": Global<u64> = 0;
    /// CPUs that a task may not run on, seen at changes.
    static NR_FORBIDDEN as "nr_forbidden": Global<u64> = 0;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

scheduler! {
    /// First in, first out, on one's own node if there is room.
    pub struct Nodes { name: "nodes", flags: OpsFlags::BUILTIN_IDLE_PER_NODE }

    impl Ops for Nodes {
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, _wake_flags: WakeFlags) -> Cpu {
            let node = prev_cpu.node();
            if let Some(cpu) = p.cpus().pick_idle_node(node, PickFlags::IN_NODE) {
                NR_NEAR.fetch_add(1);
                Dsq::local_on(cpu).insert(cx, p, Ns::from_ms(4), EnqFlags::NONE);
                return cpu;
            }
            match p.cpus().pick_any_node(node, PickFlags::NONE) {
                Some(cpu) => {
                    NR_FAR.fetch_add(u64::from(cpu.node() != node));
                    cpu
                }
                None => prev_cpu,
            }
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let node = p.cpu().node();
            {
                let idle = HeldMask::idle_node(node);
                NR_IDLE.fetch_add(idle.mask().weight().into());
            }
            {
                let whole = HeldMask::idle_smt_node(node);
                NR_WHOLE.fetch_add(whole.mask().weight().into());
            }
            QUEUE.insert(cx, p, Ns::from_ms(4), enq_flags);
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            QUEUE.move_to_local(cx);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            NR_FORBIDDEN.fetch_add(p.cpus().first_zero().is_some().into());
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            QUEUE.create(cx)
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
