//! The instance and host of the operation that this thread is in.

use std::cell::Cell;

use super::{Host, Instance};

#[derive(Clone, Copy)]
struct Ambient {
    instance: *const Instance,
    host: *const (dyn Host + 'static),
}

thread_local! {
    /// Set only while policy code runs: not outside operations, and not inside a host's method.
    static CURRENT: Cell<Option<Ambient>> = const { Cell::new(None) };
}

struct Leave(Option<Ambient>);

impl Drop for Leave {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Runs policy code.
pub(super) fn enter<R>(instance: &Instance, host: &dyn Host, code: impl FnOnce() -> R) -> R {
    // SAFETY: only the lifetime changes; the pointer is taken out of CURRENT before this frame, which borrows the host, ends,
    // and before any frame that could outlive it runs (see `call`).
    let host = unsafe { std::mem::transmute::<*const (dyn Host + '_), *const (dyn Host + 'static)>(host) };
    let _leave = Leave(CURRENT.replace(Some(Ambient { instance, host })));
    code()
}

/// Leaves policy code for a method of the host and comes back.
pub(super) fn call<R>(method: impl FnOnce(&dyn Host) -> R) -> R {
    let current = CURRENT.replace(None).expect(OUTSIDE);
    // SAFETY: CURRENT is set only by a frame of `enter` that is still on this stack and borrows the host. The method may
    // suspend this stack; others then find CURRENT empty, and the pointer is used again only on this stack.
    let result = method(unsafe { &*current.host });
    CURRENT.set(Some(current));
    result
}

/// Looks at the instance; `look` must not call the host.
pub(super) fn with<R>(look: impl FnOnce(&Instance) -> R) -> R {
    let current = CURRENT.get().expect(OUTSIDE);
    // SAFETY: as in `call`.
    look(unsafe { &*current.instance })
}

/// Does policy code run on this thread?
pub(super) fn is_inside() -> bool {
    CURRENT.get().is_some()
}

const OUTSIDE: &str = "a policy's state and calls exist only while one of its operations runs";
