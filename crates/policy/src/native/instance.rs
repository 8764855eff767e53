//! A running scheduler and its state.

use std::cell::{Cell, RefCell};

use super::ambient;
use super::{ExitDetails, Host, ItemDef, ItemKind, PolicyDef, Words};

/// A global of an instance, as a tool lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalValue {
    /// Its name, the same as in the BPF object.
    pub name: &'static str,
    /// What it is.
    pub kind: ItemKind,
    /// Size of a value in bytes.
    pub size: usize,
    /// Whether values are signed.
    pub signed: bool,
    /// The values by index; each holds one element, or for [`ItemKind::PerCpu`] one for each CPU.
    pub values: Vec<Vec<u64>>,
}

/// No tunable or global has that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchGlobal(pub String);

impl std::fmt::Display for NoSuchGlobal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the policy has no variable {}", self.0)
    }
}

impl std::error::Error for NoSuchGlobal {}

struct Slot {
    def: ItemDef,
    /// Element `index * nr_copies + cpu`.
    cells: Vec<Cell<u64>>,
}

/// One running scheduler: a policy and its state.
pub struct Instance {
    policy: &'static PolicyDef,
    slots: Vec<Slot>,
    nr_cpus: usize,
    exit: RefCell<Option<ExitDetails>>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("policy", &self.policy.name)
            .field("globals", &self.globals())
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// With the initial state, for a machine of `nr_cpus` CPUs.
    pub fn new(policy: &'static PolicyDef, nr_cpus: usize) -> Self {
        let slots = policy.state.iter().map(|item| {
            let def = item.def();
            let copies = if def.kind == ItemKind::PerCpu { nr_cpus } else { 1 };
            Slot { def, cells: vec![Cell::new(def.initial); def.len * copies] }
        });
        Self { policy, slots: slots.collect(), nr_cpus, exit: RefCell::default() }
    }

    /// The policy.
    pub fn policy(&self) -> &'static PolicyDef {
        self.policy
    }

    /// Runs the operation at index `op` of [`PolicyDef::ops`] with the words of its BPF context, and returns what it returns
    /// (0 for none). An index past the end does nothing.
    pub fn call(&self, op: usize, args: &[u64], host: &dyn Host) -> i64 {
        let Some(op) = self.policy.ops.get(op) else { return 0 };
        ambient::enter(self, host, || (op.call)(Words(args)))
    }

    /// Sets a tunable or global before the scheduler starts. The value is cut to the variable's size.
    pub fn set(&self, name: &str, value: u64) -> Result<(), NoSuchGlobal> {
        let settable =
            |slot: &&Slot| slot.def.name == name && matches!(slot.def.kind, ItemKind::Tunable | ItemKind::Global);
        let slot = self.slots.iter().find(settable).ok_or_else(|| NoSuchGlobal(name.to_owned()))?;
        let unused = 64 - 8 * slot.def.size as u32;
        slot.cells[0].set(value << unused >> unused);
        Ok(())
    }

    /// All state but the exit record.
    pub fn globals(&self) -> Vec<GlobalValue> {
        let listed = self.slots.iter().filter(|slot| slot.def.kind != ItemKind::ExitRecord);
        listed
            .map(|slot| GlobalValue {
                name: slot.def.name,
                kind: slot.def.kind,
                size: slot.def.size,
                signed: slot.def.signed,
                values: slot
                    .cells
                    .chunks(self.copies(slot).max(1))
                    .map(|c| c.iter().map(Cell::get).collect())
                    .collect(),
            })
            .collect()
    }

    /// What `exit` recorded; `None` if the policy keeps no record or has not ended.
    pub fn exit_record(&self) -> Option<ExitDetails> {
        self.exit.borrow().clone()
    }

    fn copies(&self, slot: &Slot) -> usize {
        if slot.def.kind == ItemKind::PerCpu { self.nr_cpus } else { 1 }
    }

    /// Element `index` of a slot, of one CPU where each has its own; `None` out of bounds.
    pub(super) fn cell(&self, slot: usize, index: usize, cpu: usize) -> Option<&Cell<u64>> {
        let slot = self.slots.get(slot)?;
        let copies = self.copies(slot);
        if copies > 1 && cpu >= copies {
            return None;
        }
        slot.cells.get(index * copies + if copies > 1 { cpu } else { 0 })
    }

    pub(super) fn record_exit(&self, details: ExitDetails) {
        *self.exit.borrow_mut() = Some(details);
    }
}
