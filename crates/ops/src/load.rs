//! From an object to a scheduler: what a loader and the kernel do when a struct_ops table is registered.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use scxr_abi::{KconfigValue as AbiKconfig, KernelModel, kconfig};
use scxr_bpf::load::{Changes, ExternKind, KconfigValue, LoadError, LoadOptions, Object};
use scxr_bpf::vm::{CodeCache, Exec, Machine, MachineError, Options, map_type};
use scxr_kernel::config::Interleave;

use crate::kfuncs;
use crate::model::Model;
use crate::scheduler::{BpfScheduler, Random};
use crate::table::Table;
use crate::variables;

/// Why an object is not a scheduler that can be enabled.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// The object, or what the user wanted changed in it, is wrong: the user's input.
    #[error(transparent)]
    Object(#[from] LoadError),
    /// The kernel, or its verifier, would refuse it.
    #[error("{object}: {what}")]
    Refused {
        /// The object.
        object: String,
        /// Why.
        what: String,
    },
    /// The BPF machine refuses it.
    #[error("{object}: {source}")]
    Machine {
        /// The object.
        object: String,
        /// Why.
        source: MachineError,
    },
}

impl OpsError {
    /// Is it something that is not implemented yet that is missing?
    pub fn is_gap(&self) -> bool {
        match self {
            OpsError::Object(e) => matches!(e, LoadError::NotYet { .. }),
            OpsError::Machine { source, .. } => {
                matches!(source, MachineError::NotImplemented { .. } | MachineError::MapType { .. })
            }
            OpsError::Refused { .. } => false,
        }
    }

    /// Would the kernel refuse the scheduler (else the file itself is at fault)?
    pub fn is_refusal(&self) -> bool {
        match self {
            OpsError::Refused { .. } => true,
            OpsError::Machine { .. } => !self.is_gap(),
            OpsError::Object(e) => matches!(
                e,
                LoadError::MissingKfunc { .. }
                    | LoadError::KfuncPrototype { .. }
                    | LoadError::KfuncDeclaredOnly { .. }
                    | LoadError::MissingKsym { .. }
                    | LoadError::MissingKconfig { .. }
                    | LoadError::CoRe { .. }
                    | LoadError::Unguarded { .. }
                    | LoadError::StructOpsType { .. }
                    | LoadError::StructOpsMember { .. }
            ),
        }
    }
}

/// An element that user space puts into a map before the scheduler is enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The map's name.
    pub map: String,
    /// Its key: of its key's size, little-endian; empty for queues and stacks.
    pub key: Vec<u8>,
    /// The value: of its value's size; of per-CPU maps it is every CPU's.
    pub value: Vec<u8>,
}

impl Element {
    fn write(&self, object: &Object, machine: &Machine, nr_cpus: u32) -> Result<(), LoadError> {
        let bad = |what: String| LoadError::Map { object: object.name().to_owned(), map: self.map.clone(), what };
        let map = machine.map_index(&self.map).ok_or_else(|| bad("there is no such map".to_owned()))?;
        let def = &machine.image().maps[map];
        let per_cpu = matches!(def.map_type, map_type::PERCPU_ARRAY | map_type::PERCPU_HASH);
        let copies = if per_cpu { nr_cpus } else { 1 };
        let mut value = self.value.clone();
        if per_cpu {
            value.resize(value.len().next_multiple_of(8), 0);
        }
        let value = value.repeat(copies as usize);
        machine
            .map_update(map, &self.key, &value, 0)
            .map_err(|e| bad(format!("an element cannot be written: error {e}")))
    }
}

/// How an object is loaded.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// Possible CPUs.
    pub nr_cpus: u32,
    /// Ticks a second.
    pub hz: u32,
    /// Seed of `bpf_get_prandom_u32`.
    pub seed: u64,
    /// Where CPUs may interleave.
    pub interleave: Interleave,
    /// What is changed before load.
    pub changes: Changes,
    /// Elements that maps begin with.
    pub values: Vec<Element>,
    /// The table to attach, where an object has several.
    pub table: Option<String>,
    /// How BPF programs are executed: a matter of speed alone.
    pub exec: Exec,
    /// Where schedulers that are loaded with a clone of these options find each other's compiled code.
    pub cache: Arc<CodeCache>,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        SchedulerOptions {
            nr_cpus: 1,
            hz: 250,
            seed: 1,
            interleave: Interleave::Callback,
            changes: Changes::default(),
            values: Vec::new(),
            table: None,
            exec: Exec::default(),
            cache: Arc::default(),
        }
    }
}

impl BpfScheduler {
    /// Loads the only scheduler in `object`.
    pub fn load(object: &Object, model: &Rc<Model>, options: &SchedulerOptions) -> Result<Rc<BpfScheduler>, OpsError> {
        if options.table.is_none() {
            object.only_struct_ops()?;
        }
        let mut object = object.clone();
        object.change(&options.changes)?;
        let image = object.load(&model.btf, &load_options(&object, model, options))?;
        let table = Table::chosen(object.name(), &image, model, options.table.as_deref())?;
        let programs = table.programs()?;
        let attrs = table.attrs(&programs)?;
        table.check_contexts(&programs)?;
        let arena = table.arena(&programs)?;
        let kfuncs = image.kfuncs.iter().map(|f| {
            let rest = if returns_bool(&model.kernel, &f.name) { ABOVE_BOOL } else { 0 };
            kfuncs::find(&f.name).map(|run| (run, rest))
        });
        let kfuncs = kfuncs.collect();
        let machine_options = Options {
            nr_cpus: options.nr_cpus,
            per_insn: options.interleave >= Interleave::Insn,
            exec: options.exec,
            cache: Some(&options.cache),
            ksym_address: &|index, ksym| ksym.kernel_btf_id.map_or(0, |_| variables::symbol(&ksym.name, index)),
            ..Options::default()
        };
        let machine = Machine::new(image, &machine_options)
            .map_err(|source| OpsError::Machine { object: object.name().into(), source })?;
        options.values.iter().try_for_each(|e| e.write(&object, &machine, options.nr_cpus))?;
        Ok(Rc::new(BpfScheduler {
            model: model.clone(),
            machine,
            kfuncs,
            programs,
            attrs,
            arena,
            cmasks: Default::default(),
            masks: Default::default(),
            stored: Default::default(),
            iters: Default::default(),
            walks: Default::default(),
            timers: Default::default(),
            objects: Default::default(),
            random: RefCell::new(Random::new(options.seed)),
            printed: RefCell::default(),
            gap: RefCell::default(),
            ring_waiters: Default::default(),
            nr_insns: Default::default(),
        }))
    }
}

/// The kernel's configuration, as far as the object asks for it.
fn load_options(object: &Object, model: &Model, options: &SchedulerOptions) -> LoadOptions {
    let version = model.kernel.version();
    let wanted = object.externs().into_iter().filter(|e| e.kind == ExternKind::Kconfig);
    let values = wanted.filter_map(|e| {
        let value = match kconfig(version, options.hz, &e.kernel_name)? {
            AbiKconfig::Int(n) => KconfigValue::Int(n),
            AbiKconfig::Yes => KconfigValue::Yes,
            AbiKconfig::Str(s) => KconfigValue::Str(s.into()),
        };
        Some((e.kernel_name, value))
    });
    LoadOptions {
        nr_cpus: options.nr_cpus,
        kconfig: values.collect::<BTreeMap<_, _>>(),
        kernel: format!("kernel {version}"),
        autoload: BTreeMap::new(),
    }
}

/// What the kernel leaves in r0 above the byte of a `bool`: on x86 what was there before, here what no program can take for nothing.
const ABOVE_BOOL: u64 = 0x5a5a_5a5a_5a5a_5a00;

fn returns_bool(kernel: &KernelModel, kfunc: &str) -> bool {
    kernel.kfunc(kfunc).is_some_and(|f| matches!(kernel.types().c_name(f.ret).as_str(), "bool" | "_Bool"))
}
