//! First in, first out in the kernel; with all kinds of maps that a user-space half may open.

use scxr_policy::prelude::*;

#[path = "shared.rs"]
pub mod shared;

use shared::Note;

/// The one queue: of the policy's own, so that each CPU that looks for a task calls `dispatch`.
const QUEUE: Dsq<Fifo> = Dsq::fifo(0);

state! {
    /// Notes that were sent.
    static NR_NOTES as "nr_notes": Global<u64> = 0;
    /// Wishes that came, and their sum.
    static NR_WISHES as "nr_wishes": Global<u64> = 0;
    /// Answers that were found in the queue of them.
    static NR_ANSWERS as "nr_answers": Global<u64> = 0;
    /// What the half has set for pid 1.
    static SEEN as "seen": Global<u64> = 0;
    /// To user space.
    static NOTES as "notes": RingBuf<4096>;
    /// From user space.
    static WISHES as "wishes": UserRingBuf<4096>;
    /// To user space, one at a time.
    static QUESTIONS as "questions": Queue<u64, 8>;
    /// From user space, one at a time.
    static ANSWERS as "answers": Queue<u64, 8>;
    /// Starts by pid.
    static STARTS as "starts": HashMap<i32, u64, 1024>;
    /// Set by user space.
    static SET as "set": HashMap<i32, u64, 16>;
    /// Set by user space.
    static LIST as "list": Array<u64, 4>;
    /// By CPU.
    static COUNTS as "counts": PerCpuArray<u64, 2>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

scheduler! {
    /// First in, first out.
    pub struct Maps { name: "maps" }

    impl Ops for Maps {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            // Each CPU takes numbers of its own; which CPU's note comes first is not said.
            let number = NR_NOTES.fetch_add(1);
            if number < shared::NOTES_MAX {
                NOTES.send(Note { pid: p.pid(), number: number as u32, at: Ns::now() });
            }
            QUEUE.insert(cx, p, Ns::from_ms(5), enq_flags);
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            _ = WISHES.drain(|wish: u64| {
                NR_WISHES.fetch_add(wish);
            });
            if let Some(answer) = ANSWERS.pop() {
                NR_ANSWERS.fetch_add(answer);
            }
            if let Some(set) = SET.get(1)
                && let Some(item) = LIST.get(3)
            {
                SEEN.set(set.get() + item.get());
            }
            QUEUE.move_to_local(cx);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            if let Some(starts) = STARTS.get_or_insert(p.pid()) {
                starts.add(1);
            }
            if let Some(count) = COUNTS.get(1) {
                count.add(1);
            }
            QUESTIONS.push(7);
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            QUEUE.create(cx)
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
