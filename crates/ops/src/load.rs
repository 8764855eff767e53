//! From an object to a scheduler: what a loader and the kernel do when a struct_ops table is registered.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use scxr_abi::{Caller, Form, KconfigValue as AbiKconfig, kconfig};
use scxr_bpf::image::{Image, OpsMember, ProgramKind, StructOps, pseudo};
use scxr_bpf::load::{ExternKind, GlobalValue, KconfigValue, LoadError, LoadOptions, Object};
use scxr_bpf::vm::{CodeCache, Exec, Machine, MachineError, Options};
use scxr_kernel::config::Interleave;
use scxr_kernel::ext::ops::{Op, OpSet, OpsAttrs};

use crate::addr::{Kind, addr};
use crate::kfuncs;
use crate::model::Model;
use crate::nullable;
use crate::scheduler::{BpfScheduler, Random};

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
    /// Globals to set before load: path and value.
    pub set: Vec<(String, String)>,
    /// Maps to resize before load: name and entries.
    pub resize: Vec<(String, u32)>,
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
            set: Vec::new(),
            resize: Vec::new(),
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
        for (path, value) in &options.set {
            object.set_global(path, &GlobalValue::parse(value))?;
        }
        for (map, entries) in &options.resize {
            object.resize_map(map, *entries)?;
        }
        let image = object.load(&model.btf, &load_options(&object, model, options))?;
        let table = Table { object: object.name(), image: &image, model };
        let ops = table.chosen(options.table.as_deref())?;
        let programs = table.programs(ops)?;
        let attrs = table.attrs(ops, &programs)?;
        table.check_contexts(&programs)?;
        let kfuncs = image.kfuncs.iter().map(|f| kfuncs::find(&f.name)).collect();
        let machine_options = Options {
            nr_cpus: options.nr_cpus,
            per_insn: options.interleave >= Interleave::Insn,
            exec: options.exec,
            cache: Some(&options.cache),
            // Programs only test whether a kernel symbol is there; variables behind one are not implemented.
            ksym_address: &|index, ksym| ksym.kernel_btf_id.map_or(0, |_| addr(Kind::Opaque, index as u32)),
            ..Options::default()
        };
        let machine = Machine::new(image, &machine_options)
            .map_err(|source| OpsError::Machine { object: object.name().into(), source })?;
        Ok(Rc::new(BpfScheduler {
            model: model.clone(),
            machine,
            kfuncs,
            programs,
            attrs,
            masks: Default::default(),
            stored: Default::default(),
            iters: Default::default(),
            timers: Default::default(),
            objects: Default::default(),
            random: RefCell::new(Random::new(options.seed)),
            printed: RefCell::default(),
            gap: RefCell::default(),
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

/// A struct_ops table on its way into the kernel.
struct Table<'a> {
    object: &'a str,
    image: &'a Image,
    model: &'a Model,
}

impl Table<'_> {
    fn refuse<T>(&self, what: String) -> Result<T, OpsError> {
        Err(OpsError::Refused { object: self.object.into(), what })
    }

    fn not_yet<T>(&self, what: String) -> Result<T, OpsError> {
        Err(OpsError::Object(LoadError::NotYet { object: self.object.into(), what }))
    }

    /// The table with that name, or the only one.
    fn chosen(&self, name: Option<&str>) -> Result<&StructOps, OpsError> {
        let ops = match (self.image.struct_ops.as_slice(), name) {
            ([one], None) => one,
            (all, None) => return self.refuse(format!("{} struct_ops tables; one is expected", all.len())),
            (all, Some(name)) => match all.iter().find(|o| o.name == name) {
                Some(ops) => ops,
                None => return self.refuse(format!("no struct_ops table is called {name}")),
            },
        };
        match ops.type_name.as_str() {
            "sched_ext_ops" => Ok(ops),
            "sched_ext_ops_cid" => self.not_yet("struct sched_ext_ops_cid (the cid form of the table)".into()),
            other => self.refuse(format!("struct {other} is not a scheduler; the class takes struct sched_ext_ops")),
        }
    }

    /// The program of each operation, by [`Op`]; sleepable ones only where the kernel allows it (E-24).
    fn programs(&self, ops: &StructOps) -> Result<Vec<Option<usize>>, OpsError> {
        let mut programs = vec![None; Op::ALL.len()];
        for (name, member) in &ops.members {
            let OpsMember::Program(index) = member else { continue };
            let known = Op::ALL.iter().find(|op| op.name() == name);
            let Some(op) = known else {
                return self.not_yet(format!("ops.{name}"));
            };
            let may_sleep = self.model.kernel.op(Form::Cpu, name).is_some_and(|m| m.sleepable);
            let program = &self.image.programs[*index];
            if program.sleepable && !may_sleep {
                let what = format!("program {} is sleepable, but ops.{name} may not sleep (-EINVAL)", program.name);
                return self.refuse(what);
            }
            programs[*op as usize] = Some(*index);
        }
        Ok(programs)
    }

    /// The data members, checked as at registration (E-23).
    fn attrs(&self, ops: &StructOps, programs: &[Option<usize>]) -> Result<OpsAttrs, OpsError> {
        let data = |name: &str| {
            ops.members.iter().find_map(|(n, m)| match m {
                OpsMember::Data(bytes) if n == name => Some(bytes.as_slice()),
                _ => None,
            })
        };
        let int =
            |name: &str| data(name).map_or(0, |b| b.iter().take(8).rev().fold(0u64, |a, x| a << 8 | u64::from(*x)));
        let bytes = data("name").unwrap_or_default();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        let name = String::from_utf8_lossy(&bytes[..end]).into_owned();
        if name.is_empty() {
            return self.refuse(format!(
                "struct_ops {}: .name is empty; it is the one mandatory member: add .name = \"my_scheduler\" to the table (-EINVAL)",
                ops.name
            ));
        }
        if let Some(bad) = name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_' && *c != '.') {
            return self.refuse(format!(
                "struct_ops {}: .name has the character '{bad}'; letters, digits, _ and . are allowed (-EINVAL)",
                ops.name
            ));
        }
        let flags = int("flags");
        let known = self.model.kernel.constant("SCX_OPS_ALL_FLAGS").unwrap_or(0x1ff);
        if flags & !known != 0 {
            return self.refuse(format!(
                "struct_ops {}: unknown bits in .flags: {:#x} (-EINVAL)",
                ops.name,
                flags & !known
            ));
        }
        let timeout_ms = int("timeout_ms");
        if timeout_ms > 30_000 {
            return self
                .refuse(format!("struct_ops {}: .timeout_ms is {timeout_ms}; at most 30000 (-E2BIG)", ops.name));
        }
        let batch = int("dispatch_max_batch");
        if batch > i32::MAX as u64 {
            return self.refuse(format!("struct_ops {}: .dispatch_max_batch is {batch}; too large (-E2BIG)", ops.name));
        }
        let set = |set: OpSet, op: &Op| if programs[*op as usize].is_some() { set.with(*op) } else { set };
        Ok(OpsAttrs {
            name,
            flags,
            timeout_ms: timeout_ms as u32,
            dispatch_max_batch: batch as u32,
            exit_dump_len: int("exit_dump_len") as u32,
            hotplug_seq: int("hotplug_seq"),
            ops: Op::ALL.iter().fold(OpSet::default(), set),
        })
    }

    /// Each program calls only what the kernel allows in its operation (E-28 to E-30).
    fn check_contexts(&self, programs: &[Option<usize>]) -> Result<(), OpsError> {
        for (op, program) in Op::ALL.iter().zip(programs) {
            if let Some(index) = program {
                self.check_calls(*index, Caller::Op(Form::Cpu, op.name()), &format!("ops.{}", op.name()))?;
                self.check_nullable(*index, op.name())?;
            }
        }
        for (index, program) in self.image.programs.iter().enumerate() {
            if program.kind == ProgramKind::Syscall {
                self.check_calls(index, Caller::Syscall, "a syscall program")?;
            }
        }
        Ok(())
    }

    /// Arguments that may be NULL are tested before they are followed, as the verifier demands.
    fn check_nullable(&self, program: usize, op: &str) -> Result<(), OpsError> {
        let Some(callback) = self.model.kernel.op(Form::Cpu, op).and_then(|m| m.callback.as_ref()) else {
            return Ok(());
        };
        for (at, arg) in callback.args.iter().enumerate().filter(|(_, arg)| arg.nullable) {
            let program = &self.image.programs[program];
            if let Some(slot) = nullable::followed_unchecked(self.image, program.func, at) {
                let arg = arg.name.trim_end_matches("__nullable");
                let place = self.image.funcs[program.func].lines.iter().rfind(|l| l.slot <= slot);
                let place = place.map_or_else(String::new, |l| format!(" at {}:{}: {}", l.file, l.line, l.text.trim()));
                return self.refuse(format!(
                    "program {}: argument {arg} of ops.{op} may be NULL and is followed without a test{place} (-EACCES)",
                    program.name
                ));
            }
        }
        Ok(())
    }

    fn check_calls(&self, program: usize, caller: Caller<'_>, place: &str) -> Result<(), OpsError> {
        for kfunc in self.reachable_kfuncs(self.image.programs[program].func) {
            // Numbers out of range come from corrupt code, which the machine refuses.
            let Some(kfunc) = self.image.kfuncs.get(kfunc) else { continue };
            let exists = kfunc.kernel_btf_id.is_some();
            if exists && !self.model.kernel.kfunc_allowed(caller, &kfunc.name) {
                let name = &self.image.programs[program].name;
                let what = format!(
                    "program {name}: calling kernel function {} is not allowed in {place} (-EACCES)",
                    kfunc.name
                );
                return self.refuse(what);
            }
        }
        Ok(())
    }

    /// Kfuncs called by a function, its callees and callbacks.
    fn reachable_kfuncs(&self, entry: usize) -> BTreeSet<usize> {
        const CALL: u8 = 0x85;
        const LD_IMM64: u8 = 0x18;
        let image = self.image;
        let by_start: BTreeMap<u32, usize> = image.funcs.iter().enumerate().map(|(i, f)| (f.start, i)).collect();
        let (mut todo, mut seen, mut kfuncs) = (vec![entry], BTreeSet::new(), BTreeSet::new());
        while let Some(func) = todo.pop() {
            if !seen.insert(func) {
                continue;
            }
            let Some(f) = image.funcs.get(func) else { continue };
            for slot in f.start..f.start + f.len {
                let insn = image.text[slot as usize];
                match (insn.code, insn.src) {
                    (CALL, pseudo::KFUNC_CALL) => {
                        kfuncs.insert(insn.imm as usize);
                    }
                    (CALL, pseudo::CALL) => {
                        let target = (i64::from(slot) + 1 + i64::from(insn.imm)) as u32;
                        todo.extend(by_start.get(&target));
                    }
                    (LD_IMM64, pseudo::FUNC) => todo.push(insn.imm as usize),
                    _ => {}
                }
            }
        }
        kfuncs
    }
}
