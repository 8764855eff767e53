//! [`Machine`]: an image made ready to run, and everything that others may ask of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::decode::{self, FRAME_SIZE, Text};
use super::fault::{Fault, FaultKind, MachineError};
use super::host::Host;
use super::interp::Frame;
use super::jit::{Bounds, CodeCache, Exec, Shared};
use super::maps::{Element, ElementKey, Map};
use super::memory::{GUEST_BASE, Memory};
use crate::image::{Image, Ksym, Location};

/// Frames that an invocation may have, as on Linux.
pub(super) const MAX_FRAMES: usize = 8;
/// Bytes of the context block of an invocation; 16 arguments.
const CTX_SIZE: u64 = 128;
/// Bytes of an invocation's scratch, for keys that callbacks get.
const SCRATCH_SIZE: u64 = 64;

/// How a machine is made.
pub struct Options<'a> {
    /// Possible CPUs: the copies that per-CPU maps have.
    pub nr_cpus: u32,
    /// Instructions that one invocation may execute, its callbacks included.
    pub insn_budget: u64,
    /// Bytes for stacks, task storage and [`Machine::alloc`]. Reserved, not touched.
    pub dynamic_bytes: u64,
    /// Bytes of guest memory at most, maps included.
    pub memory_max: u64,
    /// Call [`Host::before_insn`] before each instruction. The interpreter alone does.
    pub per_insn: bool,
    /// How programs are executed.
    pub exec: Exec,
    /// Where machines of the same text find each other's code; `None`: this one keeps to itself.
    pub cache: Option<&'a CodeCache>,
    /// Address of kernel symbol `index` of [`Image::ksyms`]; 0: absent.
    pub ksym_address: &'a dyn Fn(usize, &Ksym) -> u64,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            nr_cpus: 1,
            insn_budget: 10_000_000,
            dynamic_bytes: 256 << 20,
            memory_max: 8 << 30,
            per_insn: false,
            exec: Exec::default(),
            cache: None,
            ksym_address: &|_, _| 0,
        }
    }
}

/// Addresses that are not memory: maps and functions.
pub(super) struct Handles;

impl Handles {
    const MAPS: u64 = 0x1100_0000_0000;
    const FUNCS: u64 = 0x1200_0000_0000;
    const END: u64 = 0x1300_0000_0000;
    const STRIDE: u64 = 64;

    pub(super) fn map(index: usize) -> u64 {
        Self::MAPS + index as u64 * Self::STRIDE
    }

    pub(super) fn func(index: usize) -> u64 {
        Self::FUNCS + index as u64 * Self::STRIDE
    }

    pub(super) fn map_index(addr: u64) -> Option<usize> {
        let off = addr.wrapping_sub(Self::MAPS);
        (off.is_multiple_of(Self::STRIDE)).then_some((off / Self::STRIDE) as usize)
    }

    fn func_index(addr: u64) -> Option<usize> {
        let off = addr.wrapping_sub(Self::FUNCS);
        (off.is_multiple_of(Self::STRIDE)).then_some((off / Self::STRIDE) as usize)
    }
}

/// What a run gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// r0.
    pub ret: u64,
    /// Instructions executed; a 64-bit load is one.
    pub insns: u64,
}

/// What a program has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ProgramStats {
    /// Invocations, faulted ones included.
    pub runs: u64,
    /// Instructions of them all.
    pub insns: u64,
}

/// A machine: text, maps, memory. Not shared between threads; shared freely inside one.
pub struct Machine {
    pub(super) image: Rc<Image>,
    pub(super) text: Text,
    pub(super) mem: Memory,
    pub(super) maps: Vec<Map>,
    pub(super) nr_cpus: u32,
    pub(super) budget: u64,
    pub(super) per_insn: bool,
    pub(super) exec: Exec,
    /// Compiled code, or what decides when there will be some; `None`: the interpreter does it all.
    pub(super) code: Option<Arc<Shared>>,
    /// Boxed, because an invocation takes one along and moving it would cost more than the run of a small program.
    #[allow(clippy::vec_box)]
    slots: RefCell<Vec<Box<Slot>>>,
    stats: Vec<Cell<ProgramStats>>,
}

/// Stack, context and saved registers of an invocation; pooled.
pub(super) struct Slot {
    /// Lowest address of the stack.
    stack: u64,
    frames: [Frame; MAX_FRAMES],
}

/// One run of a program or callback.
pub(super) struct Invocation<'m> {
    machine: &'m Machine,
    slot: Option<Box<Slot>>,
    /// Stack's lowest address.
    stack: u64,
    pub(super) program: Option<usize>,
    /// Active frames.
    pub(super) depth: usize,
    /// Instructions so far.
    pub(super) insns: u64,
    /// Instructions allowed.
    pub(super) limit: u64,
    /// Address of the `bpf_spin_lock` that it holds, or 0.
    pub(super) lock: u64,
}

impl Invocation<'_> {
    pub(super) fn stack(&self) -> u64 {
        self.stack
    }

    fn ctx(&self) -> u64 {
        self.stack + MAX_FRAMES as u64 * FRAME_SIZE as u64
    }

    /// Address of [`SCRATCH_SIZE`] bytes.
    pub(super) fn scratch(&self) -> u64 {
        self.ctx() + CTX_SIZE
    }

    /// What the current frame has saved.
    pub(super) fn frame(&mut self) -> &mut Frame {
        let slot = self.slot.as_mut().expect("an invocation has its slot until it is dropped");
        &mut slot.frames[(self.depth - 1) % MAX_FRAMES]
    }
}

impl Drop for Invocation<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.machine.slots.borrow_mut().push(slot);
        }
    }
}

impl Machine {
    /// Checks the text, makes the maps and lays out guest memory.
    pub fn new(image: impl Into<Rc<Image>>, opts: &Options<'_>) -> Result<Machine, MachineError> {
        const { assert!(cfg!(target_endian = "little"), "guest memory is little-endian, as the objects are") };
        let image = image.into();
        let plan = Map::plan_all(&image.maps, opts.nr_cpus)?;
        let bytes = plan.ro_bytes.saturating_add(plan.rw_bytes).saturating_add(opts.dynamic_bytes);
        let too_large = || MachineError::TooLarge { object: image.name.clone(), bytes, max: opts.memory_max };
        if bytes > opts.memory_max {
            return Err(too_large());
        }
        let mut mem = Memory::new(plan.ro_bytes as usize, bytes as usize).ok_or_else(too_large)?;
        let maps = Map::make_all(&image.maps, &plan, opts.nr_cpus, &mut mem).ok_or_else(too_large)?;
        let text = decode::decode(&image, opts, |map, offset| maps.get(map)?.only_value(offset))?;
        let stats = image.programs.iter().map(|_| Cell::default()).collect();
        let bounds = Bounds { ro_end: mem.ro_end() as u64, initial: mem.limit().get() as u64 };
        let share = |cache: &CodeCache| cache.share(&text.ops, &text.entries, bounds);
        let code = match (opts.per_insn, opts.exec, opts.cache) {
            (true, _, _) | (_, Exec::Interp, _) => None,
            (_, _, Some(cache)) => Some(share(cache)),
            (_, _, None) => Some(share(&CodeCache::default())),
        };
        if let (Exec::Jit, Some(code)) = (opts.exec, &code) {
            // Whoever asks for it does not want to wait for it later.
            let _ = code.code(Exec::Jit);
        }
        Ok(Machine {
            exec: opts.exec,
            code,
            text,
            mem,
            maps,
            nr_cpus: opts.nr_cpus,
            budget: opts.insn_budget,
            per_insn: opts.per_insn,
            slots: RefCell::default(),
            stats,
            image,
        })
    }

    /// The image that runs here.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Is there compiled code by now?
    pub fn is_compiled(&self) -> bool {
        self.code.as_ref().is_some_and(|code| code.code(self.exec).is_some())
    }

    /// Place of an absolute slot.
    pub fn locate(&self, slot: u32) -> Option<Location> {
        self.image.locate(slot)
    }

    /// What program `program` has done.
    pub fn stats(&self, program: usize) -> ProgramStats {
        self.stats[program].get()
    }

    /// Index of the program called `name`.
    pub fn program_index(&self, name: &str) -> Option<usize> {
        self.image.programs.iter().position(|p| p.name == name)
    }

    /// Runs a struct_ops (or tracing) program: r1 points to `args` as an array of 64-bit integers; at most 16 of them.
    pub fn run(&self, program: usize, args: &[u64], host: &mut dyn Host) -> Result<Outcome, Box<Fault>> {
        let mut inv = self.invocation(Some(program))?;
        let ctx = inv.ctx();
        assert!(args.len() as u64 * 8 <= CTX_SIZE, "a program has at most {} arguments", CTX_SIZE / 8);
        for (i, arg) in args.iter().enumerate() {
            let stored = self.mem.store(ctx + i as u64 * 8, *arg);
            debug_assert!(stored);
        }
        self.run_program(&mut inv, program, ctx, host)
    }

    /// Runs a `syscall` program: r1 points to a copy of `ctx`, which is copied back afterwards.
    pub fn run_syscall(&self, program: usize, ctx: &mut [u8], host: &mut dyn Host) -> Result<Outcome, Box<Fault>> {
        let mut inv = self.invocation(Some(program))?;
        let block = self.alloc(ctx.len()).ok_or_else(|| self.out_of_memory(Some(program)))?;
        let _guard = Block { machine: self, addr: block, size: ctx.len() };
        let written = self.mem.write(block, ctx);
        let outcome = self.run_program(&mut inv, program, block, host)?;
        let read = self.mem.read(block, ctx);
        debug_assert!(written && read);
        Ok(outcome)
    }

    fn run_program(
        &self,
        inv: &mut Invocation<'_>,
        program: usize,
        ctx: u64,
        host: &mut dyn Host,
    ) -> Result<Outcome, Box<Fault>> {
        let entry = self.text.entries[self.image.programs[program].func];
        let result = self.exec(inv, entry, [ctx, 0, 0, 0, 0], host);
        let stats = &self.stats[program];
        let ProgramStats { runs, insns } = stats.get();
        stats.set(ProgramStats { runs: runs + 1, insns: insns + inv.insns });
        if let Some(code) = &self.code {
            code.executed(inv.insns);
        }
        self.finish(inv, entry, result)
    }

    /// Calls the function at `func` (an address that a program took), in an invocation of its own: a timer's callback, the `less` of a
    /// tree. `program`: on whose behalf, if any.
    pub fn call_function(
        &self,
        program: Option<usize>,
        func: u64,
        args: [u64; 5],
        host: &mut dyn Host,
    ) -> Result<Outcome, Box<Fault>> {
        let mut inv = self.invocation(program)?;
        self.call_in(&mut inv, func, args, host)
    }

    fn call_in(
        &self,
        inv: &mut Invocation<'_>,
        func: u64,
        args: [u64; 5],
        host: &mut dyn Host,
    ) -> Result<Outcome, Box<Fault>> {
        let Some(entry) = self.callback_entry(func) else {
            let message = format!("callback {func:#x} is not a function");
            return Err(Box::new(Fault {
                kind: FaultKind::Misuse,
                program: self.program_name(inv.program),
                location: None,
                message,
                insns: 0,
            }));
        };
        let result = self.exec(inv, entry, args, host);
        self.finish(inv, entry, result)
    }

    /// Calls the function at `func` with a map, a key and a value, as a timer does.
    pub fn call_with_element(
        &self,
        program: Option<usize>,
        func: u64,
        element: &Element,
        host: &mut dyn Host,
    ) -> Result<Outcome, Box<Fault>> {
        let mut inv = self.invocation(program)?;
        let key = match element.key {
            ElementKey::At(key) => key,
            ElementKey::Index(index) => {
                let stored = self.mem.store::<u32>(inv.scratch(), index);
                debug_assert!(stored);
                inv.scratch()
            }
        };
        self.call_in(&mut inv, func, [Handles::map(element.map), key, element.value, 0, 0], host)
    }

    /// First operation of the function at `addr`.
    pub(super) fn callback_entry(&self, addr: u64) -> Option<u32> {
        self.text.entries.get(Handles::func_index(addr)?).copied()
    }

    /// Address that programs have of function `func` of [`Image::funcs`].
    pub fn func_address(&self, func: usize) -> u64 {
        Handles::func(func)
    }

    fn finish(&self, inv: &Invocation<'_>, entry: u32, result: Result<u64, Box<Fault>>) -> Result<Outcome, Box<Fault>> {
        if inv.lock != 0 {
            // Whoever waits for it must not wait for ever.
            let unlocked = self.mem.store::<u32>(inv.lock, 0);
            debug_assert!(unlocked, "a lock that was taken is writable");
        }
        let ret = result?;
        if inv.lock != 0 {
            let message = format!("returned with bpf_spin_lock at {:#x} held", inv.lock);
            return Err(self.fault_at(inv, entry as usize, FaultKind::Misuse, message));
        }
        Ok(Outcome { ret, insns: inv.insns })
    }

    /// Inlined, so that the invocation is built in place: copying it costs more than making it.
    #[inline(always)]
    fn invocation(&self, program: Option<usize>) -> Result<Invocation<'_>, Box<Fault>> {
        let pooled = self.slots.borrow_mut().pop();
        let slot = match pooled {
            Some(slot) => slot,
            None => self.new_slot(program)?,
        };
        let stack = slot.stack;
        Ok(Invocation {
            machine: self,
            slot: Some(slot),
            stack,
            program,
            depth: 0,
            insns: 0,
            limit: self.budget,
            lock: 0,
        })
    }

    #[cold]
    fn new_slot(&self, program: Option<usize>) -> Result<Box<Slot>, Box<Fault>> {
        let size = MAX_FRAMES * FRAME_SIZE as usize + (CTX_SIZE + SCRATCH_SIZE) as usize;
        let stack = self.mem.alloc(size).ok_or_else(|| self.out_of_memory(program))?;
        Ok(Box::new(Slot { stack, frames: [Frame::default(); MAX_FRAMES] }))
    }

    #[cold]
    fn out_of_memory(&self, program: Option<usize>) -> Box<Fault> {
        let message = "no guest memory left for a stack or context: too many invocations at once".into();
        Box::new(Fault {
            kind: FaultKind::Misuse,
            program: self.program_name(program),
            location: None,
            message,
            insns: 0,
        })
    }

    pub(super) fn program_name(&self, program: Option<usize>) -> String {
        match program {
            Some(p) => self.image.programs[p].name.clone(),
            None => "(callback)".into(),
        }
    }

    /// Is `addr` one of the machine's own: memory (or its reserve), a map or a function? All else is the host's.
    pub fn owns(&self, addr: u64) -> bool {
        (GUEST_BASE..Handles::END).contains(&addr)
    }

    /// A zeroed block of guest memory that programs may read and write; `None`: none left.
    pub fn alloc(&self, size: usize) -> Option<u64> {
        self.mem.alloc(size)
    }

    /// Gives back a block of [`Machine::alloc`], with the size that it was asked for.
    pub fn free(&self, addr: u64, size: usize) {
        self.mem.free(addr, size);
    }

    /// Fills `out` from guest memory. False: not readable, `out` unchanged.
    #[must_use]
    pub fn read_into(&self, addr: u64, out: &mut [u8]) -> bool {
        self.mem.read(addr, out)
    }

    /// `len` bytes of guest memory.
    pub fn read_bytes(&self, addr: u64, len: usize) -> Option<Vec<u8>> {
        if !self.mem.contains(addr) || !self.mem.contains(addr.checked_add(len as u64)?.saturating_sub(1).max(addr)) {
            return None;
        }
        let mut out = vec![0; len];
        self.mem.read(addr, &mut out).then_some(out)
    }

    /// Writes guest memory that programs may write. False: not writable, nothing was written.
    #[must_use]
    pub fn write_bytes(&self, addr: u64, data: &[u8]) -> bool {
        self.mem.write(addr, data)
    }

    /// An integer of guest memory.
    pub fn read_u32(&self, addr: u64) -> Option<u32> {
        self.mem.load(addr)
    }

    /// An integer of guest memory.
    pub fn read_u64(&self, addr: u64) -> Option<u64> {
        self.mem.load(addr)
    }

    /// Writes an integer.
    #[must_use]
    pub fn write_u32(&self, addr: u64, value: u32) -> bool {
        self.mem.store(addr, value)
    }

    /// Writes an integer.
    #[must_use]
    pub fn write_u64(&self, addr: u64, value: u64) -> bool {
        self.mem.store(addr, value)
    }

    /// The bytes before the first NUL at `addr`, at most `max` of them; `None`: not readable.
    pub fn read_cstr(&self, addr: u64, max: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < max {
            match self.mem.load::<u8>(addr.wrapping_add(out.len() as u64))? {
                0 => break,
                byte => out.push(byte),
            }
        }
        Some(out)
    }
}

/// A block of guest memory that is freed at the end of a scope.
struct Block<'m> {
    machine: &'m Machine,
    addr: u64,
    size: usize,
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        self.machine.free(self.addr, self.size);
    }
}
