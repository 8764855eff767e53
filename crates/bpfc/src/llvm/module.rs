//! One LLVM module and what the driver does with it, as safe methods over the C interface.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};

use super::Llvm;
use super::api::{self, Api, Context, DiBuilder, Diagnostic, Metadata, ModuleRef, Type, Value};
use crate::error::Site;

/// `LLVMAttributeFunctionIndex`.
const FUNCTION_INDEX: c_uint = c_uint::MAX;
/// `LLVMAttributeReturnIndex`.
const RETURN_INDEX: c_uint = 0;
/// `LLVMDSError`.
const SEVERITY_ERROR: c_int = 0;

/// The linkages that the driver sets or looks for (`LLVMLinkage`).
pub(crate) mod linkage {
    pub(crate) const EXTERNAL: i32 = 0;
    pub(crate) const INTERNAL: i32 = 8;
    pub(crate) const EXTERNAL_WEAK: i32 = 12;
}

/// What an instruction that BPF may lack does; all others are [`Code::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A barrier between CPUs.
    Fence,
    /// A barrier for the compiler alone.
    CompilerFence,
    /// A load, with the memory order (`LLVMAtomicOrdering`, 0 for none).
    Load(i32),
    /// A store, with the memory order.
    Store(i32),
    /// An atomic change: operation (`LLVMAtomicRMWBinOp`), bits, and whether what was there before is used.
    Change(i32, u32, bool),
    /// A compare-and-exchange of that many bits.
    CompareExchange(u32),
    /// A call through a pointer that is not a constant.
    IndirectCall,
    /// A call with that many words of arguments, of a function that is none of LLVM's own.
    Call(u32),
    /// Assembly, or an instruction of the host's.
    Foreign,
    /// A multiplication or division of that many bits.
    Product(u32),
    /// A multiplication of that many bits that tells whether it overflowed.
    CheckedProduct(u32),
    /// Anything else.
    Other,
}

extern "C" fn collect(diagnostic: Diagnostic, opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Sink` that `Module::parse` boxed; it outlives the context.
    let sink = unsafe { &*opaque.cast::<Sink<'_>>() };
    if sink.api.diagnostic_severity(diagnostic) == SEVERITY_ERROR {
        let text = take(sink.api, sink.api.diagnostic_text(diagnostic));
        sink.errors.borrow_mut().push(text);
    }
}

fn take(api: &Api, text: *mut c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: LLVM returns a NUL-terminated string that stays until it is disposed of.
    let owned = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    api.dispose_message(text);
    owned
}

fn c(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

fn bytes<'a>(start: *const c_char, len: usize) -> &'a [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: LLVM gives a pointer and its length; callers copy before the next call.
    unsafe { std::slice::from_raw_parts(start.cast(), len) }
}

struct Sink<'l> {
    api: &'l Api,
    errors: RefCell<Vec<String>>,
}

/// The BPF target machine.
pub(crate) struct Machine<'l> {
    api: &'l Api,
    machine: api::Machine,
}

impl<'l> Machine<'l> {
    /// For `bpfel` and the instruction set `cpu` (`v1` … `v4`).
    pub(crate) fn new(llvm: &'l Llvm, cpu: &str) -> Result<Self, String> {
        let api = &llvm.api;
        let (triple, cpu, none) = (c("bpfel"), c(cpu), c(""));
        let (mut target, mut err) = (api::Target::NULL, std::ptr::null_mut());
        if api.target_from_triple(triple.as_ptr(), &mut target, &mut err) != 0 {
            return Err(take(api, err));
        }
        let aggressive = 3;
        let machine = api.create_machine(target, triple.as_ptr(), cpu.as_ptr(), none.as_ptr(), aggressive, 0, 0);
        machine.get().map(|machine| Self { api, machine }).ok_or_else(|| "LLVM has no BPF machine".to_owned())
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        self.api.dispose_machine(self.machine);
    }
}

/// A module in a context of its own.
pub(crate) struct Module<'l> {
    api: &'l Api,
    context: Context,
    module: ModuleRef,
    sink: Box<Sink<'l>>,
}

impl Drop for Module<'_> {
    fn drop(&mut self) {
        self.api.module_dispose(self.module);
        self.api.context_dispose(self.context);
    }
}

impl<'l> Module<'l> {
    /// Reads bitcode (or textual IR).
    pub(crate) fn parse(llvm: &'l Llvm, code: &[u8]) -> Result<Self, String> {
        let api = &llvm.api;
        let sink = Box::new(Sink { api, errors: RefCell::default() });
        let context = api.context_create();
        let opaque: *const Sink<'_> = &raw const *sink;
        api.set_diagnostic_handler(context, collect, opaque.cast_mut().cast());
        let name = c("policy");
        let buffer = api.buffer_copy(code.as_ptr().cast(), code.len(), name.as_ptr());
        let (mut module, mut err) = (ModuleRef::NULL, std::ptr::null_mut());
        if api.parse_ir(context, buffer, &mut module, &mut err) != 0 {
            let why = take(api, err);
            api.context_dispose(context);
            return Err(why);
        }
        Ok(Self { api, context, module, sink })
    }

    /// Makes it a module for `machine`: triple and data layout.
    pub(crate) fn retarget(&self, machine: &Machine<'_>) {
        let triple = c("bpfel");
        self.api.set_target(self.module, triple.as_ptr());
        let layout = self.api.create_data_layout(machine.machine);
        self.api.set_data_layout(self.module, layout);
        self.api.dispose_data_layout(layout);
    }

    /// The module as text.
    pub(crate) fn print(&self) -> String {
        take(self.api, self.api.print_module(self.module))
    }

    /// LLVM's own check.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let (return_status, mut err) = (2, std::ptr::null_mut());
        let broken = self.api.verify_module(self.module, return_status, &mut err) != 0;
        let why = take(self.api, err);
        if broken { Err(why) } else { Ok(()) }
    }

    /// Runs a pass pipeline in the syntax of `opt -passes`.
    pub(crate) fn run(&self, passes: &str, machine: &Machine<'_>) -> Result<(), String> {
        let (text, options) = (c(passes), self.api.pass_options());
        let error = self.api.run_passes(self.module, text.as_ptr(), machine.machine, options);
        self.api.dispose_pass_options(options);
        if error.get().is_some() {
            let message = self.api.error_message(error);
            // SAFETY: a NUL-terminated string that stays until the next line.
            let why = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
            self.api.dispose_error_message(message);
            return Err(why);
        }
        self.errors()
    }

    /// Assembles it: `kind` 0 is assembly text, 1 an object.
    pub(crate) fn emit(&self, machine: &Machine<'_>, kind: i32) -> Result<Vec<u8>, String> {
        let (mut err, mut out) = (std::ptr::null_mut(), api::Buffer::NULL);
        if self.api.emit(machine.machine, self.module, kind, &mut err, &mut out) != 0 {
            return Err(take(self.api, err));
        }
        let object = bytes(self.api.buffer_start(out), self.api.buffer_size(out)).to_vec();
        self.api.buffer_dispose(out);
        self.errors()?;
        Ok(object)
    }

    fn errors(&self) -> Result<(), String> {
        let errors = self.sink.errors.take();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
    }

    /// All functions, defined and declared.
    pub(crate) fn functions(&self) -> Vec<Value> {
        successors(self.api.first_function(self.module).get(), |v| self.api.next_function(v).get())
    }

    /// All global variables.
    pub(crate) fn globals(&self) -> Vec<Value> {
        successors(self.api.first_global(self.module).get(), |v| self.api.next_global(v).get())
    }

    /// All instructions of a function.
    pub(crate) fn instructions(&self, function: Value) -> Vec<Value> {
        let blocks = successors(self.api.first_block(function).get(), |b| self.api.next_block(b).get());
        let of = |b| successors(self.api.first_instruction(b).get(), |v| self.api.next_instruction(v).get());
        blocks.into_iter().flat_map(of).collect()
    }

    /// All users of a value, one entry for each use.
    pub(crate) fn users(&self, value: Value) -> Vec<Value> {
        let uses = successors(self.api.first_use(value).get(), |u| self.api.next_use(u).get());
        uses.into_iter().map(|u| self.api.user(u)).collect()
    }

    /// Gives a value another name.
    pub(crate) fn rename(&self, value: Value, name: &str) {
        self.api.set_value_name(value, name.as_ptr().cast(), name.len());
    }

    /// A value's name.
    pub(crate) fn name(&self, value: Value) -> String {
        let mut len = 0;
        let start = self.api.value_name(value, &mut len);
        String::from_utf8_lossy(bytes(start, len)).into_owned()
    }

    /// Puts a function or variable into a section.
    pub(crate) fn set_section(&self, value: Value, section: &str) {
        self.api.set_section(value, c(section).as_ptr());
    }

    /// Whether it has no body or initial value.
    pub(crate) fn is_declaration(&self, value: Value) -> bool {
        self.api.is_declaration(value) != 0
    }

    /// See [`linkage`].
    pub(crate) fn linkage(&self, value: Value) -> i32 {
        self.api.linkage(value)
    }

    /// See [`linkage`].
    pub(crate) fn set_linkage(&self, value: Value, linkage: i32) {
        self.api.set_linkage(value, linkage);
    }

    /// Takes attributes off a function: by name, enumerated ones and string ones.
    pub(crate) fn strip_attributes(&self, function: Value, names: &[&str]) {
        for name in names {
            let kind = self.api.attribute_kind(name.as_ptr().cast(), name.len());
            if kind == 0 {
                self.api.remove_string_attribute(function, FUNCTION_INDEX, name.as_ptr().cast(), name.len() as c_uint);
            } else {
                self.api.remove_enum_attribute(function, FUNCTION_INDEX, kind);
            }
        }
    }

    /// Says of a function that it reads and writes nothing, and returns.
    pub(crate) fn set_pure(&self, function: Value) {
        let (nothing, set) = (0, 0);
        for (name, value) in [("memory", nothing), ("nounwind", set), ("willreturn", set)] {
            let kind = self.api.attribute_kind(name.as_ptr().cast(), name.len());
            let attribute = self.api.enum_attribute(self.context, kind, value);
            self.api.add_attribute(function, FUNCTION_INDEX, attribute);
        }
    }

    /// Makes the declarations of maps variables that programs may write: LLVM makes a section of what may be written, and another one of the same
    /// name of what may not. Those that name other maps go behind all others, as loaders make maps in order.
    pub(crate) fn order_maps(&self, section: &str) {
        let in_section = |global: Value| {
            let name = self.api.section(global);
            // SAFETY: LLVM gives a string that ends with a NUL and lives as long as the variable.
            !name.is_null() && unsafe { std::ffi::CStr::from_ptr(name) }.to_bytes() == section.as_bytes()
        };
        for global in self.globals().into_iter().filter(|&g| in_section(g)) {
            self.api.set_constant(global, 0);
            if let Some(value) = self.api.initializer(global).get().filter(|&value| self.api.is_null(value) == 0) {
                self.move_to_end(global, value, section);
            }
        }
    }

    /// Makes a global variable anew, behind all others.
    fn move_to_end(&self, global: Value, value: Value, section: &str) {
        let (api, name) = (self.api, self.name(global));
        let new = api.add_global(self.module, api.type_of(value), c("").as_ptr());
        api.set_initializer(new, value);
        api.set_linkage(new, api.linkage(global));
        api.set_alignment(new, api.alignment(global));
        self.set_section(new, section);
        let mut nr = 0;
        let entries = api.global_metadata(global, &mut nr);
        for i in 0..nr as c_uint {
            api.set_global_metadata(new, api.entry_kind(entries, i), api.entry_metadata(entries, i));
        }
        api.dispose_entries(entries);
        api.replace_all_uses(global, new);
        api.delete_global(global);
        self.rename(new, &name);
    }

    /// The function of that name.
    pub(crate) fn function(&self, name: &str) -> Option<Value> {
        self.api.named_function(self.module, c(name).as_ptr()).get()
    }

    /// The global variable of that name.
    pub(crate) fn global(&self, name: &str) -> Option<Value> {
        self.api.named_global(self.module, c(name).as_ptr()).get()
    }

    /// Declares a variable of that many bytes, which nobody here writes.
    pub(crate) fn declare_variable(&self, name: &str, size: u64) -> Value {
        let bytes = self.api.array_type(self.int(8), size);
        let global = self.api.add_global(self.module, bytes, c(name).as_ptr());
        self.api.set_constant(global, 1);
        global
    }

    /// Removes variables of others that nothing uses any more: loaders look for a symbol of each.
    pub(crate) fn drop_unused_variables(&self) {
        let unused = |global: &Value| self.is_declaration(*global) && self.users(*global).is_empty();
        self.globals().into_iter().filter(unused).for_each(|global| self.api.delete_global(global));
    }

    /// Removes a function that has no uses.
    pub(crate) fn delete_function(&self, function: Value) {
        self.api.delete_function(function);
    }

    /// Takes a constant of bytes that nothing uses out of the module.
    pub(crate) fn take_bytes(&self, global: Value) -> Option<Vec<u8>> {
        let bytes = self.constant_of(global).and_then(|constant| self.data(constant))?;
        if self.api.first_use(global).get().is_some() {
            return None;
        }
        self.api.delete_global(global);
        Some(bytes)
    }

    /// Declares a function of the same type as `like`.
    pub(crate) fn declare(&self, name: &str, ty: Type) -> Value {
        self.api.add_function(self.module, c(name).as_ptr(), ty)
    }

    /// The names of a function's parameters.
    pub(crate) fn parameters(&self, function: Value) -> Vec<String> {
        (0..self.api.nr_params(function)).map(|i| self.name(self.api.param(function, i))).collect()
    }

    /// A function's type (not the pointer's).
    pub(crate) fn function_type(&self, function: Value) -> Type {
        self.api.value_type(function)
    }

    /// Does a function return several values, or an array, at once?
    pub(crate) fn returns_several(&self, function: Value) -> bool {
        let (structure, array) = (10, 11);
        let kind = self.api.type_kind(self.api.return_type(self.api.value_type(function)));
        kind == structure || kind == array
    }

    /// `Some` if the value is a call.
    pub(crate) fn as_call(&self, value: Value) -> Option<Value> {
        self.api.as_call(value).get()
    }

    /// The function that a call calls, unless it goes through a pointer.
    pub(crate) fn callee(&self, call: Value) -> Option<Value> {
        self.api.as_function(self.api.called_value(call)).get()
    }

    /// Erases calls of functions whose names begin so where nobody uses the result; how many.
    pub(crate) fn drop_unused(&self, prefix: &str) -> usize {
        let defined = self.functions().into_iter().filter(|&f| !self.is_declaration(f));
        let calls = defined.flat_map(|f| self.instructions(f)).filter_map(|i| self.as_call(i));
        let is_unused =
            |&c: &Value| self.callee(c).is_some_and(|f| self.name(f).starts_with(prefix)) && self.users(c).is_empty();
        let unused: Vec<Value> = calls.filter(is_unused).collect();
        unused.iter().for_each(|&call| self.api.erase(call));
        unused.len()
    }

    /// What an instruction does, as far as it is of interest.
    pub(crate) fn code(&self, instruction: Value) -> Code {
        let width = |value| {
            let (integer, ty) = (8, self.api.type_of(value));
            if self.api.type_kind(ty) == integer { self.api.int_width(ty) } else { 0 }
        };
        let bits = |operand| width(self.api.operand(instruction, operand));
        match self.api.opcode(instruction) {
            27 => Code::Load(self.api.ordering(instruction)),
            28 => Code::Store(self.api.ordering(instruction)),
            45 if self.is_indirect(self.api.called_value(instruction)) => Code::IndirectCall,
            45 if self.is_foreign(instruction) => Code::Foreign,
            45 if self.calls(instruction, &["llvm.umul.with.overflow.", "llvm.smul.with.overflow."]) => {
                Code::CheckedProduct(bits(0))
            }
            45 if self.callee(instruction).is_some_and(|f| !self.name(f).starts_with("llvm.")) => {
                let words = self.arguments(instruction).into_iter().map(|a| width(a).div_ceil(64).max(1));
                Code::Call(words.sum())
            }
            // multiply, divide and remainder, unsigned and signed
            12 | 14 | 15 | 17 | 18 => Code::Product(bits(0)),
            55 if self.api.is_single_thread(instruction) != 0 => Code::CompilerFence,
            55 => Code::Fence,
            56 => Code::CompareExchange(bits(1)),
            57 => Code::Change(self.api.rmw_operation(instruction), bits(1), !self.users(instruction).is_empty()),
            _ => Code::Other,
        }
    }

    /// A call of assembly that is not empty, or of what LLVM has for one kind of processor alone.
    fn is_foreign(&self, call: Value) -> bool {
        let called = self.api.called_value(call);
        if self.api.as_asm(called).get().is_some() {
            let mut len = 0;
            self.api.asm_text(called, &raw mut len);
            return len > 0;
        }
        self.calls(call, &["llvm.x86.", "llvm.aarch64.", "llvm.arm."])
    }

    /// Does a call call a function whose name begins in one of these ways?
    fn calls(&self, call: Value, prefixes: &[&str]) -> bool {
        self.callee(call).is_some_and(|f| prefixes.iter().any(|prefix| self.name(f).starts_with(prefix)))
    }

    fn is_indirect(&self, called: Value) -> bool {
        self.api.as_constant(called).get().is_none() && self.api.as_asm(called).get().is_none()
    }

    /// Makes an atomic load or store a volatile one, which is not divided and not left out either.
    pub(crate) fn make_volatile(&self, access: Value) {
        self.api.set_ordering(access, 0);
        self.api.set_volatile(access, 1);
    }

    /// Makes an atomic change one that is ordered with all other accesses (`LLVMAtomicOrderingSequentiallyConsistent`).
    pub(crate) fn make_ordered(&self, change: Value) {
        self.api.set_ordering(change, 7);
    }

    /// The first instruction with a position in each part of `function` that control does not leave once it is there: no
    /// return and no trap can be reached.
    pub(crate) fn endless(&self, function: Value) -> Option<Value> {
        let blocks = successors(self.api.first_block(function).get(), |b| self.api.next_block(b).get());
        let next: Vec<Vec<usize>> = blocks
            .iter()
            .map(|&block| {
                let end = self.api.terminator(block);
                let after = (0..self.api.nr_successors(end)).map(|i| self.api.successor(end, i));
                after.filter_map(|b| blocks.iter().position(|&other| other == b)).collect()
            })
            .collect();
        let mut ends: Vec<bool> = next.iter().map(Vec::is_empty).collect();
        while let Some(more) = (0..blocks.len()).find(|&b| !ends[b] && next[b].iter().any(|&n| ends[n])) {
            ends[more] = true;
        }
        let stuck = blocks.iter().zip(&ends).find(|(_, ends)| !**ends).map(|(block, _)| *block)?;
        let inside = successors(self.api.first_instruction(stuck).get(), |v| self.api.next_instruction(v).get());
        inside.iter().copied().find(|&i| self.api.location(i).get().is_some()).or_else(|| inside.first().copied())
    }

    /// The arguments of a call; none of another instruction.
    pub(crate) fn arguments(&self, call: Value) -> Vec<Value> {
        if self.as_call(call).is_none() {
            return Vec::new();
        }
        (0..self.api.nr_args(call)).map(|i| self.api.operand(call, i)).collect()
    }

    /// The integer type of that width.
    pub(crate) fn int(&self, bits: u32) -> Type {
        self.api.int_type(self.context, bits)
    }

    /// The pointer type of address space 0.
    pub(crate) fn ptr(&self) -> Type {
        self.api.pointer_type(self.context, 0)
    }

    /// An integer constant.
    pub(crate) fn constant(&self, bits: u32, value: u64) -> Value {
        self.api.const_int(self.int(bits), value, 0)
    }

    /// The null pointer.
    pub(crate) fn null(&self) -> Value {
        self.api.const_null(self.ptr())
    }

    /// A structure type of `n` bytes-sized members, for `elementtype`.
    pub(crate) fn bytes_struct(&self, n: usize) -> Type {
        let members = vec![self.int(8); n];
        self.api.struct_type(self.context, members.as_ptr(), n as c_uint, 0)
    }

    /// A private constant string.
    pub(crate) fn string(&self, text: &str) -> Value {
        let value = self.api.const_string(self.context, text.as_ptr().cast(), text.len(), 0);
        let global = self.api.add_global(self.module, self.api.type_of(value), c(".scxr").as_ptr());
        self.api.set_initializer(global, value);
        self.api.set_constant(global, 1);
        self.api.set_linkage(global, linkage::INTERNAL);
        global
    }

    /// Declares an overloaded intrinsic.
    pub(crate) fn intrinsic(&self, name: &str, types: &[Type]) -> Result<Value, String> {
        match self.api.intrinsic_id(name.as_ptr().cast(), name.len()) {
            0 => Err(format!("this LLVM has no {name}")),
            id => Ok(self.api.intrinsic(self.module, id, types.as_ptr(), types.len())),
        }
    }

    /// Puts a call of `callee` before `call`, at its source position.
    pub(crate) fn insert_call(&self, call: Value, ty: Type, callee: Value, args: &[Value]) -> Value {
        self.with_builder(call, |b| {
            self.api.build_call(b, ty, callee, args.as_ptr(), args.len() as c_uint, c("").as_ptr())
        })
    }

    /// Puts `value != null` before `call`.
    pub(crate) fn insert_non_null(&self, call: Value, value: Value) -> Value {
        let not_equal = 33;
        self.with_builder(call, |b| self.api.build_icmp(b, not_equal, value, self.null(), c("").as_ptr()))
    }

    /// Puts `value != 0` before `call`.
    pub(crate) fn insert_non_zero(&self, call: Value, value: Value) -> Value {
        let (not_equal, zero) = (33, self.api.const_null(self.api.type_of(value)));
        self.with_builder(call, |b| self.api.build_icmp(b, not_equal, value, zero, c("").as_ptr()))
    }

    /// Puts `number / by`, without sign, before `call`.
    pub(crate) fn insert_division(&self, call: Value, number: Value, by: Value) -> Value {
        if self.api.is_null(by) != 0 {
            return by;
        }
        self.with_builder(call, |b| self.api.build_udiv(b, number, by, c("").as_ptr()))
    }

    /// Puts the address space of programs' own memory on the address `at` in an arena, before `call`.
    pub(crate) fn insert_arena_cast(&self, call: Value, at: Value) -> Value {
        let arena = 1;
        self.with_builder(call, |b| {
            let inside = self.api.build_int_to_ptr(b, at, self.api.pointer_type(self.context, arena), c("").as_ptr());
            self.api.build_address_space_cast(b, inside, self.ptr(), c("").as_ptr())
        })
    }

    /// `void ()`.
    pub(crate) fn void_function(&self) -> Type {
        self.api.function_type(self.api.void_type(self.context), std::ptr::null(), 0, 0)
    }

    /// Replaces `call` by `value`, cast to the integer type that the call returned if it returned one.
    pub(crate) fn replace_call(&self, call: Value, value: Value) {
        let wanted = self.api.type_of(call);
        let value = if wanted == self.api.type_of(value) {
            value
        } else {
            self.with_builder(call, |b| self.api.build_int_cast(b, value, wanted, 0, c("").as_ptr()))
        };
        self.api.replace_all_uses(call, value);
        self.api.erase(call);
    }

    fn with_builder(&self, before: Value, build: impl FnOnce(api::Builder) -> Value) -> Value {
        let builder = self.api.create_builder(self.context);
        self.api.position_before(builder, before);
        self.api.set_location(builder, self.api.location(before));
        let value = build(builder);
        self.api.dispose_builder(builder);
        value
    }

    /// The type that a call's callee has.
    pub(crate) fn called_type(&self, call: Value) -> Type {
        self.api.called_type(call)
    }

    /// An address given by number: how BPF names its helpers.
    pub(crate) fn address(&self, number: u64) -> Value {
        self.api.const_int_to_ptr(self.constant(64, number), self.ptr())
    }

    /// Replaces every use of `old`.
    pub(crate) fn replace(&self, old: Value, new: Value) {
        self.api.replace_all_uses(old, new);
    }

    /// Takes back what the caller was promised of the bits above a result that is narrower than a register.
    pub(crate) fn unextend_result(&self, call: Value) {
        for name in ["zeroext", "signext"] {
            let kind = self.api.attribute_kind(name.as_ptr().cast(), name.len());
            self.api.remove_call_attribute(call, RETURN_INDEX, kind);
        }
    }

    /// Gives argument `index` (from 0) of a call the attribute `elementtype(ty)`.
    pub(crate) fn set_element_type(&self, call: Value, index: u32, ty: Type) {
        let name = "elementtype";
        let kind = self.api.attribute_kind(name.as_ptr().cast(), name.len());
        self.api.add_call_attribute(call, index + 1, self.api.type_attribute(self.context, kind, ty));
    }

    /// Attaches `!llvm.preserve.access.index` to an instruction.
    pub(crate) fn set_access_type(&self, instruction: Value, ty: Metadata) {
        let name = "llvm.preserve.access.index";
        let kind = self.api.metadata_kind(self.context, name.as_ptr().cast(), name.len() as c_uint);
        self.api.set_metadata(instruction, kind, self.api.metadata_as_value(self.context, ty));
    }

    /// Gives a declaration its debug information.
    pub(crate) fn set_subprogram(&self, function: Value, subprogram: Metadata) {
        self.api.set_subprogram(function, subprogram);
    }

    /// The chain of positions of an instruction: its own, then those of the calls it was inlined from.
    pub(crate) fn sites(&self, instruction: Value) -> Vec<Site> {
        self.chain(instruction).into_iter().map(|location| self.site(location)).collect()
    }

    /// The `core::panic::Location` that a constant pointer points to, which rustc lays out as file, length, line, column.
    pub(crate) fn panic_location(&self, pointer: Value) -> Option<Site> {
        let location = self.constant_of(pointer)?;
        if self.api.nr_operands(location) != 2 {
            return None;
        }
        let file = self.data(self.constant_of(self.api.operand(location, 0))?)?;
        let rest = self.data(self.api.operand(location, 1))?;
        let word = |at: usize| Some(u32::from_le_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        // newer compilers end the file name with a NUL that its length does not count
        let name = String::from_utf8_lossy(&file).trim_end_matches('\0').to_owned();
        Some(Site { file: name, line: word(8)?, column: word(12)? })
    }

    /// The initial value of a global variable.
    fn constant_of(&self, pointer: Value) -> Option<Value> {
        let global = self.api.as_global(pointer).get().filter(|&g| !self.is_declaration(g))?;
        let value = self.api.initializer(global).get()?;
        // a constant of one part comes wrapped in a structure
        let wrapped = self.api.as_data(value).get().is_none() && self.api.nr_operands(value) == 1;
        Some(if wrapped { self.api.operand(value, 0) } else { value })
    }

    fn data(&self, constant: Value) -> Option<Vec<u8>> {
        let constant = self.api.as_data(constant).get().filter(|&c| self.api.is_string(c) != 0)?;
        let mut len = 0;
        let start = self.api.string_bytes(constant, &mut len);
        Some(bytes(start, len).to_vec())
    }

    /// Says of every inlined instruction that it is at the innermost position whose file is `own`, if it has one: what a
    /// verifier or a loader reports should be a line of the policy.
    pub(crate) fn attribute_lines(&self, own: impl Fn(&Path) -> bool) {
        for function in self.functions().into_iter().filter(|&f| !self.is_declaration(f)) {
            for instruction in self.instructions(function) {
                let mut chain = self.chain(instruction).into_iter();
                if let Some(location) =
                    chain.find(|&l| own(&self.file_path(self.api.scope_file(self.api.location_scope(l)))))
                {
                    self.api.relocate(instruction, location);
                }
            }
        }
    }

    fn chain(&self, instruction: Value) -> Vec<Metadata> {
        successors(self.api.location(instruction).get(), |l| self.api.location_inlined_at(l).get())
    }

    fn site(&self, location: Metadata) -> Site {
        let file = self.api.scope_file(self.api.location_scope(location));
        let path = self.file_path(file);
        Site {
            file: path.to_string_lossy().into_owned(),
            line: self.api.location_line(location),
            column: self.api.location_column(location),
        }
    }

    fn file_path(&self, file: Metadata) -> PathBuf {
        if file.get().is_none() {
            return PathBuf::new();
        }
        let mut len = 0;
        let text = |start, len: c_uint| String::from_utf8_lossy(bytes(start, len as usize)).into_owned();
        let directory = self.api.file_directory(file, &mut len);
        let directory = text(directory, len);
        let name = self.api.file_name(file, &mut len);
        PathBuf::from(directory).join(text(name, len))
    }

    /// Starts making debug information; the caller ends with [`Self::finish_debug_info`].
    pub(crate) fn debug_info(&self) -> DiBuilder {
        self.api.di_builder(self.module)
    }

    /// Completes what [`Self::debug_info`] began.
    pub(crate) fn finish_debug_info(&self, di: DiBuilder) {
        self.api.di_finalize(di);
        self.api.di_dispose(di);
    }

    pub(super) fn api(&self) -> &'l Api {
        self.api
    }

    pub(super) fn context(&self) -> Context {
        self.context
    }
}

fn successors<T: Copy>(first: Option<T>, next: impl Fn(T) -> Option<T>) -> Vec<T> {
    std::iter::successors(first, |&item| next(item)).collect()
}
