//! References to kernel objects: those of an invocation, which the verifier makes it give back, and those that
//! `bpf_kptr_xchg` put into maps.
//!
//! Programs here have passed no verifier. What an invocation that faults still held is given back for it; one that returns
//! with a reference is told so, and its scheduler is ejected.

use std::cell::RefCell;
use std::collections::BTreeMap;

use scxr_bpf::vm::HostError;
use scxr_kernel::Kernel;
use scxr_kernel::ext::kfunc;
use scxr_kernel::ids::TaskId;

use crate::addr::{Kind, Place};
use crate::host::Context;

/// References that are in maps, by address.
#[derive(Default)]
pub(crate) struct Stored(RefCell<BTreeMap<u64, u32>>);

impl Stored {
    /// Gives all references to tasks back; masks go with the scheduler that made them.
    pub(crate) fn release_all(&self, k: &mut Kernel) {
        for (address, nr) in std::mem::take(&mut *self.0.borrow_mut()) {
            if let Some(p) = task_at(address) {
                (0..nr).for_each(|_| kfunc::bpf_task_release(k, p));
            }
        }
    }
}

fn task_at(address: u64) -> Option<TaskId> {
    Place::at(address).filter(|p| p.kind == Kind::Task && p.offset == 0).map(|p| TaskId(p.id))
}

/// Are references to the object at `address` counted?
fn is_counted(c: &Context<'_>, address: u64) -> bool {
    let of_kernel = Place::at(address).is_some_and(|p| matches!(p.kind, Kind::Task | Kind::OwnedMask | Kind::Cgroup));
    of_kernel || c.s.objects.is_object(address)
}

impl Context<'_> {
    /// The invocation got a reference; its address, for r0.
    pub(crate) fn acquired(&mut self, address: u64) -> u64 {
        self.held.push(address);
        address
    }

    /// The invocation gives a reference away: it must hold it.
    pub(crate) fn give_away(&mut self, address: u64) -> Result<(), HostError> {
        let Some(at) = self.held.iter().rposition(|&a| a == address) else {
            return Err(HostError::Misuse(format!("release of {address:#x}, to which the program holds no reference")));
        };
        self.held.swap_remove(at);
        Ok(())
    }

    /// A reference goes into a map, another comes out of it.
    pub(crate) fn exchanged(&mut self, stored: u64, taken: u64) -> Result<(), HostError> {
        if is_counted(self, stored) {
            self.give_away(stored)?;
            *self.s.stored.0.borrow_mut().entry(stored).or_default() += 1;
        }
        if is_counted(self, taken) {
            let mut all = self.s.stored.0.borrow_mut();
            if let Some(nr) = all.get_mut(&taken).filter(|nr| **nr > 0) {
                *nr -= 1;
                drop(all);
                self.acquired(taken);
            }
        }
        Ok(())
    }

    /// The invocation is over. The number of references that it had kept, which are given back for it.
    pub(crate) fn release_held(&mut self) -> usize {
        let held = std::mem::take(&mut self.held);
        for &address in &held {
            match task_at(address) {
                Some(p) => kfunc::bpf_task_release(self.k, p),
                None if self.s.objects.is_object(address) => self.s.objects.free(&self.s.machine, address),
                None => {
                    if let Some(Place { kind: Kind::OwnedMask, id, .. }) = Place::at(address) {
                        self.s.masks.release(id);
                    }
                }
            }
        }
        held.len()
    }
}
