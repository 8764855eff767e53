//! What a running BPF program is surrounded by: the simulated kernel.

use scxr_bpf::vm::{AccessError, Call, Host, HostError, Machine, TimerOp};
use scxr_kernel::Kernel;
use scxr_kernel::config::Interleave;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::call;
use scxr_kernel::ext::ops::{DumpCtx, ExitInfo, PreemptReason, SubArgs};
use scxr_kernel::ids::TaskId;

use crate::addr::{Kind, Place, addr};
use crate::clock::shown;
use crate::fields::Objects;
use crate::masks;
use crate::scheduler::BpfScheduler;
use crate::variables;

/// What an operation is told by address, while it runs.
#[derive(Clone, Copy)]
pub(crate) enum Told<'a> {
    /// Nothing but what lives longer.
    Nothing,
    /// `ops.exit`.
    Exit(&'a ExitInfo),
    /// `ops.dump` and friends.
    Dump(&'a DumpCtx),
    /// `ops.cpu_release`: why, and for which task.
    Release(PreemptReason, TaskId),
    /// `ops.sub_attach` and `ops.sub_detach`.
    Sub(&'a SubArgs),
}

/// One invocation of a program, in the kernel.
pub(crate) struct Context<'a> {
    /// The kernel.
    pub(crate) k: &'a mut Kernel,
    /// The scheduler whose program runs.
    pub(crate) s: &'a BpfScheduler,
    /// What it is told.
    pub(crate) told: Told<'a>,
    /// References that it holds, by address.
    pub(crate) held: Vec<u64>,
    /// Instructions that are paid for.
    pub(crate) paid: u64,
}

/// Instructions of a callback that its entry charge pays for; see `CostTable::callback`.
const FREE_INSNS: u64 = 256;

impl<'a> Context<'a> {
    pub(crate) fn new(k: &'a mut Kernel, s: &'a BpfScheduler, told: Told<'a>) -> Context<'a> {
        Context { k, s, told, held: Vec::new(), paid: 0 }
    }

    /// Charges what the invocation's first `insns` instructions cost, as far as that is not paid yet. Where CPUs interleave at
    /// each instruction, the entry charge is due evenly with the instructions that it pays for, else it was paid at the entry.
    #[inline]
    pub(crate) fn pay(&mut self, insns: u64) {
        let paid = std::mem::replace(&mut self.paid, insns);
        if insns > FREE_INSNS {
            let beyond = |n: u64| n.saturating_sub(FREE_INSNS) * self.k.cost.bpf_insn_ps / 1000;
            let due = beyond(insns) - beyond(paid);
            self.k.charge(due);
        }
        if self.k.config.interleave >= Interleave::Insn {
            let entry = |n: u64| n.min(FREE_INSNS) * self.k.cost.callback / FREE_INSNS;
            let due = entry(insns) - entry(paid);
            call::charge_entry(self.k, due);
        }
    }
}

impl Context<'_> {
    /// The task behind a `struct task_struct *`.
    pub(crate) fn task(&self, address: u64) -> Result<TaskId, HostError> {
        self.find_task(address).ok_or_else(|| HostError::BadAccess(format!("{address:#x} is not a task that is alive")))
    }

    /// The same; `None` for NULL, anything else, or a task that is gone.
    pub(crate) fn find_task(&self, address: u64) -> Option<TaskId> {
        let place = Place::at(address).filter(|p| p.kind == Kind::Task && p.offset == 0)?;
        self.k.find_task(TaskId(place.id)).map(|t| t.id)
    }

    /// The mask behind a `const struct cpumask *`.
    pub(crate) fn mask(&self, address: u64) -> Result<CpuMask, HostError> {
        match Place::at(address) {
            None => self
                .mask_in_memory(address)
                .ok_or_else(|| HostError::BadAccess(format!("{address:#x} is not a cpumask"))),
            Some(_) => masks::read_mask(self.k, &self.s.model.fields, &self.s.masks, address),
        }
    }

    /// A `struct bpf_cpumask` that is a variable, or part of one.
    fn mask_in_memory(&self, address: u64) -> Option<CpuMask> {
        let bytes = self.s.machine().read_bytes(address, masks::size(self.k))?;
        Some(masks::from_bytes(self.k, &bytes))
    }

    /// Changes a `struct bpf_cpumask`.
    pub(crate) fn update_mask<R>(&mut self, address: u64, f: impl FnOnce(&mut CpuMask) -> R) -> Result<R, HostError> {
        if Place::at(address).is_some() {
            return self.s.masks.update(address, f);
        }
        let bad = || HostError::BadAccess(format!("{address:#x} is not a bpf_cpumask"));
        let mut mask = self.mask_in_memory(address).ok_or_else(bad)?;
        let result = f(&mut mask);
        let written = self.s.machine().write_bytes(address, &masks::to_bytes(self.k, &mask));
        written.then_some(result).ok_or_else(bad)
    }

    /// A byte of a kernel object.
    pub(crate) fn load_byte(&mut self, m: &Machine, at: u64) -> Option<u8> {
        self.kernel_load(m, at, 1).ok().map(|byte| byte as u8)
    }

    /// A string in guest memory or in a kernel object, without its NUL.
    pub(crate) fn read_cstr(&mut self, m: &Machine, address: u64, max: usize) -> Option<Vec<u8>> {
        if m.owns(address) {
            return m.read_cstr(address, max);
        }
        let mut out = Vec::new();
        while out.len() < max {
            match self.load_byte(m, address.wrapping_add(out.len() as u64))? {
                0 => break,
                byte => out.push(byte),
            }
        }
        Some(out)
    }
}

/// Objects without the kernel, which is borrowed apart.
struct Borrowed<'a>(Told<'a>, &'a BpfScheduler);

impl Objects for Borrowed<'_> {
    fn told(&self) -> Told<'_> {
        self.0
    }

    fn owned_mask(&self, id: u32) -> Option<CpuMask> {
        self.1.masks.get(id)
    }
}

impl Host for Context<'_> {
    fn kfunc(&mut self, m: &Machine, call: Call, args: [u64; 5]) -> Result<u64, HostError> {
        let Some((run, rest)) = self.s.kfuncs[call.id] else {
            let name = &m.image().kfuncs[call.id].name;
            return Err(HostError::NotImplemented(format!("kfunc {name}")));
        };
        self.pay(call.insns);
        run(self, m, args).map(|ret| ret | rest)
    }

    fn kernel_load(&mut self, _m: &Machine, address: u64, size: u8) -> Result<u64, AccessError> {
        let place = Place::at(address).ok_or(AccessError::Bad)?;
        self.s.model.fields.load(self.k, &Borrowed(self.told, self.s), place, size)
    }

    fn kernel_store(&mut self, _m: &Machine, address: u64, size: u8, value: u64) -> Result<(), AccessError> {
        let place = Place::at(address).ok_or(AccessError::Bad)?;
        self.s.model.fields.store(self.k, place, size, value)
    }

    fn ktime_ns(&mut self) -> u64 {
        shown(self.k.now())
    }

    fn jiffies64(&mut self) -> u64 {
        shown(self.k.now()) / self.k.config.tick_ns()
    }

    fn cpu(&mut self) -> u32 {
        self.k.this_cpu().0
    }

    fn numa_node(&mut self) -> u32 {
        self.k.topology.cpus[self.k.this_cpu()].node
    }

    fn current_task(&mut self) -> u64 {
        addr(Kind::Task, self.k.rqs[self.k.this_cpu()].curr.0)
    }

    fn pid_tgid(&mut self) -> u64 {
        let t = self.k.curr(self.k.this_cpu());
        u64::from(t.tgid) << 32 | u64::from(t.pid)
    }

    fn comm(&mut self) -> [u8; 16] {
        let mut comm = [0; 16];
        let name = self.k.curr(self.k.this_cpu()).comm.as_bytes();
        comm[..name.len().min(15)].copy_from_slice(&name[..name.len().min(15)]);
        comm
    }

    fn prandom_u32(&mut self) -> u32 {
        self.s.random.borrow_mut().next_u32()
    }

    fn printk(&mut self, text: &[u8]) {
        self.s.printed.borrow_mut().push(String::from_utf8_lossy(text).into_owned());
    }

    fn timer(&mut self, m: &Machine, call: Call, op: TimerOp) -> Result<u64, HostError> {
        self.timer_op(m, call, op)
    }

    fn value_gone(&mut self, value: u64, len: u64) {
        self.timers_gone(value, len);
    }

    fn ringbuf_ready(&mut self, _map: usize) {
        if let Some(queue) = self.s.ring_waiters.get() {
            self.k.wake_soon(queue);
        }
    }

    fn per_cpu_ptr(&mut self, addr: u64, cpu: Option<u32>) -> u64 {
        let cpu = cpu.unwrap_or_else(|| self.k.this_cpu().0);
        variables::of_cpu(self.k, addr, cpu)
    }

    fn task_storage_key(&mut self, task: u64) -> Option<u64> {
        self.find_task(task).map(|p| p.0.into())
    }

    fn cgroup_storage_key(&mut self, cgroup: u64) -> Option<u64> {
        Place::at(cgroup).filter(|p| p.kind == Kind::Cgroup && p.offset == 0).map(|p| p.id.into())
    }

    fn kptr_xchg(&mut self, stored: u64, taken: u64) -> Result<(), HostError> {
        self.exchanged(stored, taken)
    }

    fn before_helper(&mut self, _m: &Machine, call: Call) -> Result<(), HostError> {
        self.pay(call.insns);
        self.k.interleave(Interleave::Kfunc);
        Ok(())
    }

    fn before_insn(&mut self, _m: &Machine, _slot: u32, insns: u64) -> Result<(), HostError> {
        let before = self.k.now();
        self.pay(insns);
        if self.k.now() > before {
            self.k.interleave(Interleave::Insn);
        }
        Ok(())
    }

    fn lock_contended(&mut self, _m: &Machine, lock: u64) -> Result<(), HostError> {
        let before = self.k.now();
        let cost = self.k.cost.lock.max(1);
        self.k.charge(cost);
        self.k.interleave(Interleave::Kfunc);
        // With coarser interleaving an invocation that holds a lock runs to its end, so this cannot be contention.
        match self.k.config.interleave >= Interleave::Kfunc && self.k.now() > before {
            true => Ok(()),
            false => Err(HostError::Misuse(format!("deadlock: bpf_spin_lock at {lock:#x} is already held"))),
        }
    }
}
