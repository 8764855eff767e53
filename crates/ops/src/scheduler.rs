//! A loaded BPF object as the class's scheduler.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use scxr_bpf::vm::{Fault, FaultKind, Machine, Outcome};
use scxr_kernel::Kernel;
use scxr_kernel::cgroup::{Bandwidth, CgroupId};
use scxr_kernel::ext::kfunc;
use scxr_kernel::ext::ops::{
    DumpCtx, ExitInfo, ExitTaskArgs, InitTaskArgs, Op, OpsAttrs, PreemptReason, SchedExtOps, SubArgs,
};
use scxr_kernel::ids::{CpuId, TaskId, WaitQueueId};

use crate::addr::{Kind, Place, addr};
use crate::cmasks::Cmasks;
use crate::host::{Context, Told};
use crate::kfuncs::KfuncFn;
use crate::masks::OwnedMasks;
use crate::model::Model;
use crate::objects::Objects;
use crate::refs::Stored;
use crate::timers::BpfTimers;

/// Random stream of `bpf_get_prandom_u32`.
pub(crate) struct Random(Pcg32);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(Pcg32::seed_from_u64(seed ^ 0x7072_616e_646f_6d00))
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
}

/// Lines of `bpf_printk`, the oldest of which are lost, as in the kernel's trace buffer.
#[derive(Default)]
pub struct Printed(VecDeque<String>);

impl Printed {
    /// Lines kept.
    pub const MAX: usize = 10_000;

    pub(crate) fn push(&mut self, line: String) {
        if self.0.len() == Self::MAX {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }
}

/// A BPF object, loaded for one run on one simulated machine.
pub struct BpfScheduler {
    pub(crate) model: Rc<Model>,
    pub(crate) machine: Machine,
    /// By number in the image: the function, and what is in r0 besides its result.
    pub(crate) kfuncs: Vec<Option<(KfuncFn, u64)>>,
    /// Program of each operation, by [`Op`].
    pub(crate) programs: Vec<Option<usize>>,
    pub(crate) attrs: OpsAttrs,
    /// Index of the arena of a cid-form scheduler.
    pub(crate) arena: Option<usize>,
    pub(crate) cmasks: Cmasks,
    pub(crate) masks: OwnedMasks,
    pub(crate) stored: Stored,
    pub(crate) iters: crate::iters::Iters,
    pub(crate) walks: crate::walks::Walks,
    pub(crate) timers: BpfTimers,
    pub(crate) objects: Objects,
    pub(crate) random: RefCell<Random>,
    pub(crate) printed: RefCell<Printed>,
    pub(crate) gap: RefCell<Option<String>>,
    /// Where the user-space half waits for messages.
    pub(crate) ring_waiters: Cell<Option<WaitQueueId>>,
    /// Instructions of operations.
    pub(crate) nr_insns: Cell<u64>,
}

impl BpfScheduler {
    /// What the object printed with `bpf_printk`: the last [`Printed::MAX`] lines.
    pub fn printed(&self) -> Vec<String> {
        self.printed.borrow().0.iter().cloned().collect()
    }

    /// What the object used first that is not implemented yet, if that ended it: no fault of the scheduler's.
    pub fn gap(&self) -> Option<String> {
        self.gap.borrow().clone()
    }

    /// Instructions that its operations have executed.
    pub fn nr_insns(&self) -> u64 {
        self.nr_insns.get()
    }

    /// Global variables and per-CPU maps, in order of the object.
    pub fn globals(&self) -> Vec<(String, crate::Value)> {
        crate::globals::read_bpf(&self.machine)
    }

    /// The machine that runs its programs.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Runs a `syscall` program as a user-space half would through bpf_prog_test_run; `ctx` is its context, in and out.
    /// Returns r0, or the fault.
    pub fn run_syscall(&self, k: &mut Kernel, program: &str, ctx: &mut [u8]) -> Result<u64, String> {
        let index = self.machine.program_index(program).ok_or_else(|| format!("no program is called {program}"))?;
        let mut context = Context::new(k, self, Told::Nothing);
        let result = self.machine.run_syscall(index, ctx, &mut context);
        context.pay(result.as_ref().map_or_else(|f| f.insns, |o| o.insns));
        context.release_held();
        result.map(|o| o.ret).map_err(|f| f.to_string())
    }

    /// A CPU as operations are told of it: by its number, or its cid (E-22) [scx_cpu_arg].
    fn cpu(&self, k: &Kernel, cpu: CpuId) -> u64 {
        match self.attrs.cid {
            true => kfunc::cpu_arg(k, cpu) as u32,
            false => cpu.0,
        }
        .into()
    }

    /// Runs an operation's program. A fault ejects the scheduler and is `None`.
    fn call(&self, k: &mut Kernel, op: Op, args: &[u64]) -> Option<u64> {
        self.call_with(k, op, args, Told::Nothing)
    }

    fn call_with(&self, k: &mut Kernel, op: Op, args: &[u64], told: Told<'_>) -> Option<u64> {
        let program = self.programs[op as usize]?;
        let mut context = Context::new(k, self, told);
        let result = self.machine.run(program, args, &mut context);
        self.finish(context, result, Some(program))
    }

    /// Pays for an invocation and takes back what it still held. A fault ejects the scheduler and is `None`.
    pub(crate) fn finish(
        &self,
        mut context: Context<'_>,
        result: Result<Outcome, Box<Fault>>,
        program: Option<usize>,
    ) -> Option<u64> {
        match result {
            Ok(outcome) => {
                self.nr_insns.set(self.nr_insns.get() + outcome.insns);
                context.pay(outcome.insns);
                if !context.held.is_empty() {
                    let nr = context.release_held();
                    self.unreleased(context.k, program, nr);
                }
                Some(outcome.ret)
            }
            Err(fault) => {
                context.pay(fault.insns);
                context.release_held();
                if fault.kind == FaultKind::NotImplemented {
                    self.gap.borrow_mut().get_or_insert_with(|| fault.to_string());
                }
                kfunc::scx_abort(context.k, fault.to_string());
                None
            }
        }
    }

    #[cold]
    fn unreleased(&self, k: &mut Kernel, program: Option<usize>, nr: usize) {
        let name = program.map_or("(callback)", |p| &self.machine.image().programs[p].name);
        kfunc::scx_abort(
            k,
            format!("program {name} returned without releasing {nr} reference(s), which the verifier refuses"),
        );
    }
}

fn cgroup(id: CgroupId) -> u64 {
    addr(Kind::Cgroup, id.0)
}

fn task(p: TaskId) -> u64 {
    addr(Kind::Task, p.0)
}

impl SchedExtOps for BpfScheduler {
    fn attrs(&self) -> OpsAttrs {
        self.attrs.clone()
    }

    operations!();

    fn set_up(&self, k: &mut Kernel) -> i32 {
        match self.arena {
            Some(arena) if !self.cmasks.set_up(&self.machine, arena, k.nr_cpus()) => ENOMEM,
            _ => 0,
        }
    }

    fn set_cpumask(&self, k: &mut Kernel, p: TaskId) {
        if self.attrs.cid {
            let allowed = k.task(p).cpus;
            let cmask = self.cmasks.show(k, &self.machine, &allowed);
            self.call(k, Op::set_cpumask, &[task(p), cmask]);
            return;
        }
        let offset = self.model.fields.cpus_mask();
        let mask = Place { kind: Kind::Task, id: p.0, offset }.addr();
        self.call(k, Op::set_cpumask, &[task(p), mask]);
    }

    fn timer(&self, k: &mut Kernel, id: u64) {
        self.timer_due(k, id);
    }

    fn unloaded(&self, k: &mut Kernel) {
        self.stored.release_all(k);
    }

    fn task_freed(&self, p: TaskId) {
        self.machine.task_gone(p.0.into());
    }
}

const ENOMEM: i32 = -12;

/// What an operation with a result gives when its program faulted.
pub(crate) const EFAULT: i32 = -14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let mut printed = Printed::default();
        (0..Printed::MAX + 5).for_each(|n| printed.push(n.to_string()));
        assert_eq!((printed.0.len(), printed.0[0].as_str()), (Printed::MAX, "5"));
    }
}
