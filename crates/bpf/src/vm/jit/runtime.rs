//! What compiled code and the machine know of each other while a program runs: the context, and the functions that compiled code
//! calls. None of them unwinds into compiled code: a panic (a bug of ours, or a coroutine that is given up) is carried past it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::vm::fault::Fault;
use crate::vm::host::{Call, Host};
use crate::vm::machine::{Invocation, Machine};
use crate::vm::memory::GUEST_BASE;

/// What compiled code gets along. It reads and writes the first fields, by their offsets.
#[repr(C)]
pub(super) struct Context<'a> {
    /// Instructions executed, wherever control leaves compiled code.
    pub(super) insns: u64,
    /// Operation at which control leaves it.
    pub(super) pc: u64,
    /// Active frames.
    pub(super) depth: u64,
    /// Instructions allowed.
    pub(super) budget: u64,
    /// Guest address of the stack's lowest byte.
    pub(super) stack: u64,
    /// Host address of guest address 0, were there one.
    pub(super) memory: u64,
    /// Bytes of guest memory that are accessible.
    pub(super) limit: &'a Cell<usize>,
    machine: &'a Machine,
    inv: *mut (),
    host: *mut (dyn Host + 'a),
    fault: Option<Box<Fault>>,
    panic: Option<Box<dyn Any + Send>>,
}

/// A value, and whether the program ended (1) instead of giving one (0).
#[repr(C)]
pub(super) struct Ret {
    value: u64,
    ended: u64,
}

const ENDED: Ret = Ret { value: 0, ended: 1 };

/// A compiled function. The arguments are r1 to r5.
pub(super) type Entry = unsafe extern "C" fn(*mut Context<'_>, u64, u64, u64, u64, u64) -> Ret;

/// Runs compiled function `entry` in a new frame of `inv`, as [`Machine::exec`] does.
pub(super) fn enter<'a>(
    machine: &'a Machine,
    inv: &mut Invocation<'_>,
    entry: Entry,
    args: [u64; 5],
    host: &mut (dyn Host + '_),
) -> Result<u64, Box<Fault>> {
    let depth = inv.depth;
    inv.depth += 1;
    // SAFETY: only the lifetime of what the host borrows is forgotten; `cx` does not outlive this call.
    let host: *mut (dyn Host + 'a) = unsafe { std::mem::transmute(std::ptr::from_mut(host)) };
    let mut cx = Context {
        insns: inv.insns,
        pc: 0,
        depth: inv.depth as u64,
        budget: inv.limit,
        stack: inv.stack(),
        memory: (machine.mem.base() as u64).wrapping_sub(GUEST_BASE),
        limit: machine.mem.limit(),
        machine,
        inv: std::ptr::from_mut(inv).cast(),
        host,
        fault: None,
        panic: None,
    };
    let [a1, a2, a3, a4, a5] = args;
    // SAFETY: `entry` is compiled from this machine's text and for its layout of memory; it is given a context of its own,
    // through which alone `inv` and `host` are used until it returns.
    let ret = unsafe { entry(&raw mut cx, a1, a2, a3, a4, a5) };
    inv.insns = cx.insns;
    if ret.ended == 0 {
        // whoever left compiled code last (`outside`) may have been some frames deeper
        inv.depth = depth;
        return Ok(ret.value);
    }
    match (cx.panic, cx.fault) {
        (Some(panic), _) => std::panic::resume_unwind(panic),
        (None, fault) => Err(fault.expect("compiled code ends early for a fault")),
    }
}

/// Gives `f` the surroundings, and passes on what came of it.
fn outside(
    cx: *mut Context<'_>,
    f: impl FnOnce(&Machine, &mut Invocation<'_>, usize, &mut dyn Host) -> Result<u64, Box<Fault>>,
) -> Ret {
    // SAFETY: compiled code passes the context that it was given, and does nothing with it until this returns.
    let cx = unsafe { &mut *cx };
    // SAFETY: `inv` and `host` are those that `enter` has borrowed for as long as the context lives; a nested run has a context
    // of its own, made from the references that `f` gets.
    let (inv, host) = unsafe { (&mut *cx.inv.cast::<Invocation<'_>>(), &mut *cx.host) };
    inv.insns = cx.insns;
    inv.depth = cx.depth as usize;
    let (machine, pc) = (cx.machine, cx.pc as usize);
    let result = catch_unwind(AssertUnwindSafe(|| f(machine, &mut *inv, pc, host)));
    cx.insns = inv.insns;
    match result {
        Ok(Ok(value)) => return Ret { value, ended: 0 },
        Ok(Err(fault)) => cx.fault = Some(fault),
        Err(panic) => cx.panic = Some(panic),
    }
    ENDED
}

/// Calls the helper of the operation at `cx.pc`.
pub(super) extern "C" fn helper(cx: *mut Context<'_>, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64) -> Ret {
    outside(cx, |m, inv, pc, host| {
        let call = m.call_at(inv, pc);
        m.helper(inv, call, [a1, a2, a3, a4, a5], host).map_err(|e| m.fault(inv, pc, e))
    })
}

/// Calls the kfunc of the operation at `cx.pc`.
pub(super) extern "C" fn kfunc(cx: *mut Context<'_>, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64) -> Ret {
    outside(cx, |m, inv, pc, host| {
        let call: Call = m.call_at(inv, pc);
        host.kfunc(m, call, [a1, a2, a3, a4, a5]).map_err(|e| m.fault(inv, pc, e))
    })
}

/// A load of `size` bytes that guest memory does not satisfy.
pub(super) extern "C" fn load(cx: *mut Context<'_>, addr: u64, size: u64) -> Ret {
    outside(cx, |m, inv, pc, host| m.load_outside(inv, pc, addr, size as u8, host))
}

/// A store of the low `size` bytes of `value` that guest memory does not take.
pub(super) extern "C" fn store(cx: *mut Context<'_>, addr: u64, size: u64, value: u64) -> Ret {
    let value = if size < 8 { value & ((1 << (8 * size)) - 1) } else { value };
    outside(cx, |m, inv, pc, host| m.store_outside(inv, pc, addr, size as u8, value, host).map(|()| 0))
}

/// An atomic operation on what is not the program's own memory.
pub(super) extern "C" fn bad_atomic(cx: *mut Context<'_>, addr: u64) -> Ret {
    outside(cx, |m, inv, pc, _| Err(m.bad_atomic(inv, pc, addr)))
}

/// The fault of `kind` at `cx.pc`: see [`end`].
pub(super) extern "C" fn fail(cx: *mut Context<'_>, kind: u64) -> Ret {
    outside(cx, |m, inv, pc, _| {
        Err(match kind {
            end::BUDGET => m.over_budget(inv, pc),
            end::DEPTH => m.too_deep(inv, pc),
            _ => m.trapped(inv, pc),
        })
    })
}

/// Why compiled code ends a program by itself.
pub(super) mod end {
    /// The budget of instructions is used up.
    pub(in super::super) const BUDGET: u64 = 0;
    /// Too many frames.
    pub(in super::super) const DEPTH: u64 = 1;
    /// A trap.
    pub(in super::super) const TRAP: u64 = 2;
}
