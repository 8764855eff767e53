//! A scheduler loaded for one run.

use std::cell::RefCell;
use std::rc::Rc;

use indexmap::IndexMap;
use scxr_bpf::load::{Changes, Object};
use scxr_host::Call;
use scxr_kernel::ext::ops::SchedExtOps;
use scxr_kernel::ids::CpuId;
use scxr_kernel::{Kernel, Machine};
use scxr_ops::half::{DirectScheduler, Maps, native_schema, schema};
use scxr_ops::{BpfScheduler, Model, NativeScheduler, SchedulerOptions, Value};
use scxr_policy::native::{ItemKind, PolicyDef, StateItem};
use scxr_runtime::{Ns, Schema, Stats};
use serde_json::{Value as Json, json};

use crate::effects;
use crate::failure::Failure;
use crate::loader::{Plan, Surroundings};
use crate::resolve::Request;
use crate::scheduler::{Kind, Scheduler};

/// Why a scheduler was not loaded.
pub(super) enum Refusal {
    /// The kernel, or its verifier, would refuse it: the scheduler's fault.
    ByKernel(String),
    /// The file, or what the user wants changed in it, is wrong.
    Input(Failure),
}

/// A scheduler for one run.
pub(super) enum Loaded {
    /// None: the fair class alone.
    Eevdf,
    /// A BPF object, and the programs that its loader calls.
    Bpf(Rc<BpfScheduler>, Vec<Call>),
    /// A native policy.
    Native(Rc<NativeScheduler>),
    /// The decisions of a half.
    Direct(Rc<DirectScheduler>),
}

/// What a policy says of a variable, or of its tunables where it has none of that name.
fn said(policy: &PolicyDef, name: &str) -> String {
    let state = policy.state();
    let one = |i: &StateItem| {
        let doc = i.doc.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{} ({}: {doc})", i.def().name, i.ty.replace(' ', ""))
    };
    match state.iter().find(|i| i.def().name == name) {
        Some(item) => format!(": {}", one(item)),
        None => {
            let tunables = state.iter().filter(|i| i.def().kind == ItemKind::Tunable).map(one).collect::<Vec<_>>();
            if tunables.is_empty() { String::new() } else { format!("; there are\n  {}", tunables.join("\n  ")) }
        }
    }
}

/// Loads it.
pub(super) fn load(request: &Request, scheduler: &Scheduler, seed: u64) -> Result<Loaded, Refusal> {
    let own = scheduler.set.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let set: Vec<(String, String)> = own.chain(request.set.iter().cloned()).collect();
    let input = |e: &dyn std::fmt::Display| Refusal::Input(Failure::input(e));
    if let (true, Some(def)) = (scheduler.direct, scheduler.half) {
        let has = match &scheduler.kind {
            Kind::Bpf(object) => schema(object),
            Kind::Native(policy) => native_schema(policy),
            _ => Schema::default(),
        };
        let nr_cpus = request.topology.nr_cpus() as u32;
        let direct = DirectScheduler::of_half(&scheduler.name, def, scheduler.options.clone(), has, nr_cpus);
        let direct = direct.map_err(|why| input(&format!("--direct: {}: {why}", scheduler.name)))?;
        return Ok(Loaded::Direct(Rc::new(direct)));
    }
    match &scheduler.kind {
        Kind::Eevdf if !set.is_empty() || !request.resize.is_empty() => {
            Err(input(&"--set and --resize: eevdf has no variables and no maps"))
        }
        Kind::Eevdf => Ok(Loaded::Eevdf),
        Kind::Program(_) => Err(input(&effects::no_program(&scheduler.name))),
        Kind::Native(policy) => {
            if !request.resize.is_empty() {
                return Err(input(&"--resize: native code has no maps"));
            }
            let native = NativeScheduler::with_seed(policy, request.topology.nr_cpus(), seed);
            for (name, value) in &set {
                let said = said(policy, name);
                let number =
                    number(value).ok_or_else(|| input(&format!("--set {name}={value}: not a number{said}")))?;
                native.instance().set(name, number).map_err(|e| input(&format!("{e}{said}")))?;
            }
            Ok(Loaded::Native(Rc::new(native)))
        }
        Kind::Bpf(object) => {
            let model = Model::new(request.kernel);
            let plan = plan(request, scheduler, object, &|name| model.btf.enumerator(name)).map_err(Refusal::Input)?;
            let mut changes = plan.changes;
            changes.set.extend(set);
            changes.resize.extend(request.resize.iter().cloned());
            let options = SchedulerOptions { values: plan.elements, ..options(request, changes, seed) };
            let loaded = BpfScheduler::load(object, &model, &options);
            loaded.map(|s| Loaded::Bpf(s, plan.calls)).map_err(|e| match e.is_refusal() {
                true => Refusal::ByKernel(e.to_string()),
                false => input(&e),
            })
        }
    }
}

/// What the loader file of a scheduler says of it, if it has one.
pub(crate) fn plan(
    request: &Request,
    scheduler: &Scheduler,
    object: &Object,
    enumerator: &dyn Fn(&str) -> Option<u64>,
) -> Result<Plan, Failure> {
    let around = Surroundings { topology: &request.topology, hz: request.config.hz, enumerator };
    scheduler.loader.as_ref().map_or_else(|| Ok(Plan::default()), |file| file.plan(object, &around))
}

/// How an object is loaded for a request.
pub(super) fn options(request: &Request, changes: Changes, seed: u64) -> SchedulerOptions {
    SchedulerOptions {
        nr_cpus: request.topology.nr_cpus() as u32,
        hz: request.config.hz,
        seed,
        interleave: request.config.interleave,
        changes,
        values: Vec::new(),
        table: None,
        exec: request.bpf,
        cache: request.cache.clone(),
    }
}

/// A value for a global of a native policy.
fn number(text: &str) -> Option<u64> {
    match (text, text.strip_prefix("0x")) {
        ("true", _) => Some(1),
        ("false", _) => Some(0),
        (_, Some(hex)) => u64::from_str_radix(hex, 16).ok(),
        (text, None) if text.starts_with('-') => text.parse::<i64>().ok().map(|n| n as u64),
        (text, None) => text.parse().ok(),
    }
}

impl Loaded {
    /// Its operations; `None` for the fair class.
    pub(super) fn ops(&self) -> Option<Rc<dyn SchedExtOps>> {
        match self {
            Loaded::Eevdf => None,
            Loaded::Bpf(s, _) => Some(s.clone()),
            Loaded::Native(s) => Some(s.clone()),
            Loaded::Direct(s) => Some(s.clone()),
        }
    }

    /// Its figures, where it gives them itself.
    pub(super) fn stats(&self, at: u64) -> Option<Stats> {
        match self {
            Loaded::Direct(s) => Some(s.stats(Ns(at))),
            Loaded::Eevdf | Loaded::Bpf(..) | Loaded::Native(_) => None,
        }
    }

    /// Its state, as a user-space half reaches it, and what it has of it.
    pub(super) fn maps(&self, kind: &Kind) -> Option<(Rc<dyn Maps>, Schema)> {
        match (self, kind) {
            (Loaded::Bpf(s, _), Kind::Bpf(object)) => Some((s.clone(), schema(object))),
            (Loaded::Native(s), Kind::Native(policy)) => Some((s.clone(), native_schema(policy))),
            _ => None,
        }
    }

    /// Makes its loader's calls, or has them made when they are due. What went wrong comes into the list.
    pub(super) fn call_programs(&self, m: &mut Machine) -> Rc<RefCell<Vec<String>>> {
        let failed = Rc::default();
        let Loaded::Bpf(s, calls) = self else { return failed };
        for call in calls {
            let (s, call, notes) = (Rc::clone(s), call.clone(), Rc::clone(&failed));
            let (at, cpu) = (call.at_ns, CpuId(call.cpu.unwrap_or(0)));
            let run = move |k: &mut Kernel| {
                if let Err(note) = call_program(&s, k, &call, call.input.clone()) {
                    notes.borrow_mut().push(note);
                }
            };
            match at {
                Some(at) => m.at_on(cpu, at, run),
                None => m.with_kernel(run),
            }
        }
        failed
    }

    /// What it used that is not implemented yet, and that ended it.
    pub(super) fn gap(&self) -> Option<String> {
        match self {
            Loaded::Bpf(s, _) => s.gap().map(|what| format!("{}: {what}", s.machine().image().name)),
            Loaded::Eevdf | Loaded::Native(_) | Loaded::Direct(_) => None,
        }
    }

    /// Instructions of BPF that its operations executed.
    pub(super) fn bpf_instructions(&self) -> Option<u64> {
        match self {
            Loaded::Bpf(s, _) => Some(s.nr_insns()),
            Loaded::Eevdf | Loaded::Native(_) | Loaded::Direct(_) => None,
        }
    }

    /// What it printed.
    pub(super) fn printed(&self) -> Vec<String> {
        match self {
            Loaded::Eevdf | Loaded::Direct(_) => Vec::new(),
            Loaded::Bpf(s, _) => s.printed(),
            Loaded::Native(s) => s.printed(),
        }
    }

    /// Its variables.
    pub(super) fn globals(&self) -> IndexMap<String, Json> {
        let values = match self {
            Loaded::Eevdf | Loaded::Direct(_) => Vec::new(),
            Loaded::Bpf(s, _) => s.globals(),
            Loaded::Native(s) => s.globals(),
        };
        values.into_iter().map(|(name, value)| (name, value_json(value))).collect()
    }
}

/// Makes a call with this context, and those after it. What went wrong, in words.
fn call_program(s: &BpfScheduler, k: &mut Kernel, call: &Call, mut input: Vec<u8>) -> Result<(), String> {
    let result = s.run_syscall(k, &call.program, &mut input).map_err(|fault| call.failed(&fault))?;
    if result != 0 {
        return Err(call.returned(result as i32));
    }
    if let Some(store) = &call.store
        && !s.machine().arena_write(store.address(&input), &store.bytes)
    {
        return Err(call.no_arena(store.address(&input)));
    }
    call.then.as_ref().map_or(Ok(()), |then| call_program(s, k, &then.call, then.input(&input)))
}

fn int(n: i128) -> Json {
    match (i64::try_from(n), u64::try_from(n)) {
        (Ok(n), _) => Json::from(n),
        (_, Ok(n)) => Json::from(n),
        _ => Json::from(n.to_string()),
    }
}

pub(crate) fn value_json(value: Value) -> Json {
    match value {
        Value::Int(n) => int(n),
        Value::Text(text) => Json::from(text),
        Value::Array(values) => values.into_iter().map(value_json).collect(),
        Value::Struct(fields) => Json::Object(fields.into_iter().map(|(n, v)| (n, value_json(v))).collect()),
        Value::PerCpu { sum, by_cpu } => {
            let ints = |list: Vec<i128>| list.into_iter().map(int).collect::<Json>();
            json!({ "sum": ints(sum), "by_cpu": by_cpu.into_iter().map(ints).collect::<Json>() })
        }
    }
}
