//! An arena with a ring of values that are linked by pointers; CPUs by topological id, and sets of them.

use scxr_policy::prelude::*;

shared! {
    /// A page of counters of one CPU.
    pub struct Page {
        /// The CPU's topological id.
        pub cid: i32,
        /// Tasks that started.
        pub nr_starts: u64,
        /// Their ids, the last ones.
        pub pids: [i32; 8],
        /// The page of the next CPU.
        pub next: ArenaPtr<Page>,
    }
}

state! {
    /// Pages that there are.
    static NR_PAGES as "nr_pages": Global<u32> = 0;
    /// Starts, counted over all pages at the last tick.
    static NR_STARTS as "nr_starts": Global<u64> = 0;
    /// Kicks of a CPU next to another.
    static NR_KICKS as "nr_kicks": Global<u64> = 0;
    /// CPUs that were busy at the last tick.
    static NR_BUSY as "nr_busy": Global<u32> = 0;
    /// Checks that failed; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// The first page.
    static HEAD as "head": Global<ArenaPtr<Page>> = ArenaPtr::NULL;
    /// Where the pages are.
    static PAGES as "pages": Arena<256>;
    /// The pages by CPU.
    static BY_CPU as "by_cpu": Array<ArenaPtr<Page>, 64>;
    /// CPUs that run a task, by topological id.
    static BUSY as "busy": Array<CidMask<4>, 1>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// Counts what should not be.
#[inline(always)]
fn expect(right: bool) {
    if !right {
        NR_WRONG.fetch_add(1);
    }
}

/// The topological id of a CPU, or its number where the kernel has none.
#[inline(always)]
fn cid_of(cpu: Cpu) -> Cid {
    Cid::of(cpu).unwrap_or(Cid(cpu.0))
}

/// Checks what the kernel says of topological ids.
#[inline(always)]
fn check_cids() -> Option<()> {
    let (nr, here) = (Cid::nr_ids()?, Cid::current()?);
    expect(here.0 < nr as i32 && Cid::nr_online()? <= nr);
    expect(here.cpu() == Some(Cpu::current()));
    let topo = here.topo()?;
    expect(topo.node.first <= topo.llc.first && topo.llc.first <= topo.core.first && topo.core.first <= here);
    expect(topo.core.index >= topo.llc.index && topo.llc.index >= topo.node.index);
    Some(())
}

scheduler! {
    /// First in, first out; each CPU counts in a page of its own.
    pub struct Arenas { name: "arenas" }

    impl Ops for Arenas {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            Dsq::GLOBAL.insert(cx, p, Ns::from_ms(5), enq_flags);
            if let Some(cid) = p.cid()
                && cid.topo().is_some_and(|topo| topo.core.first != cid)
                && Cid(cid.0 - 1).kick(KickFlags::IDLE)
            {
                NR_KICKS.fetch_add(1);
            }
        }

        fn running(_cx: &Event, p: Task<'_>) {
            let cpu = Cpu::current();
            if let Some(busy) = BUSY.get(0) {
                busy.set(cid_of(cpu));
            }
            let Some(page) = BY_CPU.get(cpu.0 as u32) else { return };
            let Some(page) = PAGES.get(page.get()) else { return };
            let at = (page.nr_starts.fetch_add(1) & 7) as usize;
            page.pids[at].set(p.pid());
        }

        fn stopping(_cx: &Event, _p: Task<'_>, _runnable: bool) {
            let Some(busy) = BUSY.get(0) else { return };
            let cid = cid_of(Cpu::current());
            expect(busy.test(cid));
            expect(busy.first().is_some());
            busy.clear(cid);
        }

        fn tick(_cx: &Event, _p: Task<'_>) {
            if let Some(busy) = BUSY.get(0) {
                NR_BUSY.set(busy.weight());
            }
            let (mut starts, mut at) = (0u64, HEAD.get());
            for _ in bounded!(0..64) {
                let Some(page) = PAGES.get(at) else { break };
                starts = starts.wrapping_add(page.nr_starts.get());
                at = page.next.get();
            }
            NR_STARTS.set(starts);
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            _ = check_cids();
            let spare = PAGES.alloc::<Page>(cx);
            for i in bounded!(0..Cpu::nr_ids() as i32) {
                let new = PAGES.alloc::<Page>(cx);
                let (Some(page), Some(place)) = (PAGES.get(new), BY_CPU.get(i as u32)) else { continue };
                page.cid.set(cid_of(Cpu(i)).0);
                page.next.set(HEAD.get());
                HEAD.set(new);
                place.set(new);
                NR_PAGES.fetch_add(1);
            }
            PAGES.free(cx, spare);
            Ok(())
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
