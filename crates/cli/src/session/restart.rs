//! A scheduler that asks to be started again (its CPUs changed, and it has no operations for that) is, as its loader would on a real kernel.

use std::cell::RefCell;
use std::rc::Rc;

use scxr_kernel::Machine;
use scxr_kernel::ext::flags::exit_code::ACT_RESTART;
use scxr_kernel::ids::Ns;

use super::Keep;
use super::half::{self, Halves};
use super::loaded::{Loaded, Refusal, load};
use crate::failure::Result;
use crate::resolve::Request;
use crate::scheduler::Scheduler;

/// How often is looked, ns: a loader sleeps as long between two looks.
pub(super) const LOOK_EVERY: Ns = 10_000_000;

/// Starts a scheduler again.
pub(super) struct Restarter<'a> {
    request: &'a Request,
    scheduler: &'a Scheduler,
    seed: u64,
    keep: Keep,
    /// What is loaded now.
    loaded: RefCell<Rc<Loaded>>,
    /// Its user-space half is the last one.
    halves: Halves,
    /// A start is on its way.
    starting: bool,
    /// What the user should know.
    notes: Vec<String>,
}

impl<'a> Restarter<'a> {
    /// Of what is loaded now.
    pub(super) fn new(
        request: &'a Request,
        scheduler: &'a Scheduler,
        seed: u64,
        keep: Keep,
        loaded: Loaded,
        halves: Halves,
    ) -> Restarter<'a> {
        let loaded = RefCell::new(Rc::new(loaded));
        Restarter { request, scheduler, seed, keep, loaded, halves, starting: false, notes: Vec::new() }
    }

    /// What is loaded now.
    pub(super) fn loaded(&self) -> Rc<Loaded> {
        Rc::clone(&self.loaded.borrow())
    }

    /// What the user should know.
    pub(super) fn notes(self) -> Vec<String> {
        self.notes
    }

    /// Starts it again, from its file, where it has ended and asked for that.
    pub(super) fn look(&mut self, m: &mut Machine) -> Result<()> {
        let asked = m.state().ext.exit_info.as_ref().filter(|exit| exit.code & ACT_RESTART != 0);
        let Some(exit) = asked else {
            self.starting = false;
            return Ok(());
        };
        if self.starting || !m.state().ext.enable_refusals.is_empty() {
            return Ok(());
        }
        self.starting = true;
        self.notes.push(format!("the scheduler was started again, as it asked for: {} {}", exit.reason, exit.msg));
        let again = match load(self.request, self.scheduler, self.seed) {
            Ok(again) => again,
            Err(Refusal::Input(failure)) => return Err(failure),
            Err(Refusal::ByKernel(why)) => {
                self.notes.push(format!("which failed: {why}"));
                return Ok(());
            }
        };
        half::spawn(m, self.request, self.scheduler, &again, self.keep, &self.halves)?;
        if let Some(ops) = again.ops() {
            m.enable(ops);
        }
        *self.loaded.borrow_mut() = Rc::new(again);
        Ok(())
    }
}
