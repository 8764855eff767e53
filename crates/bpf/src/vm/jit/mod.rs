//! Compiled code: the text of a machine translated to the host's by Cranelift, function by function.
//!
//! It does what the [interpreter](super::interp) does, to the instruction: the same registers, memory, calls of the host, count of
//! instructions, and faults at the same place with the same words. Both may take turns inside one invocation.
//!
//! * [`flow`] — blocks, and what is known of registers. * `emit` — translation. * `runtime` — what compiled code calls.
//! * [`CodeCache`] — machines whose text is the same share the code, and how much they have run it.

mod emit;
mod flow;
mod runtime;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cranelift_codegen::Context;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, Function, Signature};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};

pub(super) use emit::Bounds;
use runtime::Entry;

use super::fault::Fault;
use super::host::Host;
use super::machine::{Invocation, Machine};
use super::ops::Op;

/// How programs are executed. The results are the same, to the instruction; only speed differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exec {
    /// By the interpreter, until so much has run that compiling pays.
    #[default]
    Auto,
    /// By the interpreter.
    Interp,
    /// As compiled code from the beginning; by the interpreter where the host's processor is not one that code is made for.
    Jit,
}

/// Instructions run for each operation of the text before [`Exec::Auto`] compiles it. Compiling an operation takes as long as the
/// interpreter needs for about so many instructions; waiting until then costs at most twice what knowing the future would.
const HOT: u64 = 5_000;

/// Code by text. Machines that are made with the same cache share what is compiled.
#[derive(Debug, Default)]
pub struct CodeCache {
    shared: Mutex<Vec<Arc<Shared>>>,
}

/// What machines with the same text share.
#[derive(Debug)]
pub(super) struct Shared {
    ops: Box<[Op]>,
    entries: Box<[u32]>,
    bounds: Bounds,
    executed: AtomicU64,
    code: OnceLock<Option<Compiled>>,
}

impl CodeCache {
    /// What machines of this text share.
    pub(super) fn share(&self, ops: &[Op], entries: &[u32], bounds: Bounds) -> Arc<Shared> {
        let mut all = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |s: &&Arc<Shared>| s.bounds == bounds && *s.entries == *entries && *s.ops == *ops;
        if let Some(shared) = all.iter().find(same) {
            return shared.clone();
        }
        let shared = Arc::new(Shared {
            ops: ops.into(),
            entries: entries.into(),
            bounds,
            executed: AtomicU64::new(0),
            code: OnceLock::new(),
        });
        all.push(shared.clone());
        shared
    }
}

impl Shared {
    /// Counts what has run. Threads that do so at once may lose some of it, which costs nothing but a later start of compiling.
    #[inline]
    pub(super) fn executed(&self, insns: u64) {
        self.executed.store(self.executed.load(Relaxed).saturating_add(insns), Relaxed);
    }

    /// The code, when it exists or it is time for it.
    #[inline]
    pub(super) fn code(&self, exec: Exec) -> Option<&Compiled> {
        match self.code.get() {
            Some(code) => code.as_ref(),
            None if exec == Exec::Auto && self.executed.load(Relaxed) < HOT * self.ops.len() as u64 => None,
            None => self.compile(),
        }
    }

    /// Compiles, on a stack of its own: this may be a simulated CPU's, which is small.
    #[cold]
    fn compile(&self) -> Option<&Compiled> {
        let (ops, entries, bounds) = (&self.ops, &self.entries, self.bounds);
        let make = || {
            std::thread::scope(|scope| {
                let builder = std::thread::Builder::new().name("jit".into()).stack_size(8 << 20);
                let thread = builder.spawn_scoped(scope, || compile(ops, entries, bounds)).ok()?;
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        };
        self.code.get_or_init(make).as_ref()
    }
}

/// Compiled text.
pub(super) struct Compiled {
    /// The code of the function that begins at an operation.
    functions: BTreeMap<u32, Entry>,
    /// Owns the code.
    module: Option<JITModule>,
}

// SAFETY: the module is made on one thread and given to another, whole; nothing else refers to what it owns.
unsafe impl Send for Compiled {}
// SAFETY: shared, it only gives out addresses of code, which nothing changes.
unsafe impl Sync for Compiled {}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compiled({} functions)", self.functions.len())
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: no code of the module runs: whoever runs it borrows `self`.
            unsafe { module.free_memory() };
        }
    }
}

impl Compiled {
    /// Runs the function whose first operation is `entry` in a new frame. `None`: it is not compiled.
    #[inline]
    pub(super) fn run(
        &self,
        machine: &Machine,
        inv: &mut Invocation<'_>,
        entry: u32,
        args: [u64; 5],
        host: &mut dyn Host,
    ) -> Result<u64, Box<Fault>> {
        runtime::enter(machine, inv, self.functions[&entry], args, host)
    }
}

/// Compiles all functions. `None`: there is no backend for this host, or it refuses something.
fn compile(ops: &[Op], entries: &[u32], bounds: Bounds) -> Option<Compiled> {
    let mut flags = settings::builder();
    let on = [
        ("opt_level", "speed"),
        ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
        ("is_pic", "false"),
        ("use_colocated_libcalls", "false"),
        // Frames larger than a page must not step over the guard below a coroutine's stack.
        ("enable_probestack", "true"),
        ("probestack_strategy", "inline"),
    ];
    on.into_iter().for_each(|(name, value)| flags.set(name, value).expect("a setting of Cranelift's"));
    let isa = cranelift_native::builder().ok()?.finish(settings::Flags::new(flags)).ok()?;
    let mut builder = JITBuilder::with_isa(isa, default_libcall_names());
    let symbols = [
        ("helper", runtime::helper as *const u8, 6),
        ("kfunc", runtime::kfunc as *const u8, 6),
        ("load", runtime::load as *const u8, 3),
        ("store", runtime::store as *const u8, 4),
        ("bad_atomic", runtime::bad_atomic as *const u8, 2),
        ("fail", runtime::fail as *const u8, 2),
    ];
    for (name, address, _) in symbols {
        builder.symbol(name, address);
    }
    let mut module = JITModule::new(builder);
    let call_conv = module.isa().default_call_conv();
    let signature = |nr_params: usize| {
        let mut s = Signature::new(call_conv);
        s.params = vec![AbiParam::new(I64); nr_params];
        s.returns = vec![AbiParam::new(I64); 2];
        s
    };
    let mut imports = Vec::new();
    for (name, _, nr_params) in symbols {
        imports.push(module.declare_function(name, Linkage::Import, &signature(nr_params)).ok()?);
    }
    let mut ids = BTreeMap::new();
    for entry in entries {
        ids.insert(*entry, module.declare_anonymous_function(&signature(6)).ok()?);
    }
    let context = module.make_context();
    let mut compiler = Compiler { module, context, scratch: FunctionBuilderContext::new(), imports, ids };
    for (entry, id) in compiler.ids.clone() {
        compiler.context.func.signature = signature(6);
        compiler.function(ops, entry, id, bounds)?;
    }
    let Compiler { mut module, ids, .. } = compiler;
    module.finalize_definitions().ok()?;
    let functions = ids
        .iter()
        .map(|(entry, id)| {
            let code = module.get_finalized_function(*id);
            // SAFETY: the code was made with the signature of `Entry`: six 64-bit integers in, two out.
            (*entry, unsafe { std::mem::transmute::<*const u8, Entry>(code) })
        })
        .collect();
    Some(Compiled { functions, module: Some(module) })
}

/// What compiling needs from function to function.
struct Compiler {
    module: JITModule,
    context: Context,
    scratch: FunctionBuilderContext,
    /// The functions that compiled code calls, in the order of [`emit::Imports`].
    imports: Vec<FuncId>,
    /// The functions of the text, by their first operation.
    ids: BTreeMap<u32, FuncId>,
}

impl Compiler {
    fn function(&mut self, ops: &[Op], entry: u32, id: FuncId, bounds: Bounds) -> Option<()> {
        let Compiler { module, context, scratch, imports, ids } = self;
        let mut import = |i: usize| module.declare_func_in_func(imports[i], &mut context.func);
        let imported = emit::Imports {
            helper: import(0),
            kfunc: import(1),
            load: import(2),
            store: import(3),
            bad_atomic: import(4),
            fail: import(5),
        };
        let mut callees = BTreeMap::new();
        let mut callee = |func: &mut Function, to: u32| {
            *callees.entry(to).or_insert_with(|| module.declare_func_in_func(ids[&to], func))
        };
        emit::function(&mut context.func, scratch, (ops, entry), bounds, imported, &mut callee);
        module.define_function(id, context).ok()?;
        module.clear_context(context);
        Some(())
    }
}
