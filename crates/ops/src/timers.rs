//! BPF timers of an object: what the helpers keep of each, and the call when one is due. [kernel/bpf/helpers.c, bpf_timer_*]

use std::cell::RefCell;
use std::collections::BTreeMap;

use scxr_bpf::vm::{Call, HostError, Machine, TimerOp};
use scxr_kernel::Kernel;
use scxr_kernel::ext::kfunc;

use crate::clock::meant;
use crate::host::{Context, Told};
use crate::scheduler::BpfScheduler;

/// `BPF_F_TIMER_ABS`: the time is a point in time.
pub(crate) const ABS: u64 = 1;
/// `BPF_F_TIMER_CPU_PIN`: on this CPU. Timers never go elsewhere here.
pub(crate) const CPU_PIN: u64 = 2;
/// Clocks that a timer may have: realtime, monotonic, boottime, which are one here.
const CLOCKS: [u64; 3] = [0, 1, 7];
const EBUSY: i64 = -16;
const EINVAL: i64 = -22;
const EDEADLK: i64 = -35;

/// A timer that was made.
#[derive(Clone, Copy)]
struct BpfTimer {
    map: usize,
    /// Address of the function, and the program that set it.
    callback: Option<(u64, Option<usize>)>,
}

/// The timers of an object, by address.
#[derive(Default)]
pub(crate) struct BpfTimers(RefCell<BTreeMap<u64, BpfTimer>>);

impl BpfTimers {
    fn get(&self, timer: u64) -> Option<BpfTimer> {
        self.0.borrow().get(&timer).copied()
    }

    fn set_callback(&self, timer: u64, callback: Option<(u64, Option<usize>)>) -> i64 {
        match self.0.borrow_mut().get_mut(&timer) {
            Some(t) => {
                t.callback = callback;
                0
            }
            None => EINVAL,
        }
    }

    /// The values of a map that is made of `[from, to)` are gone; the timers in them that there were.
    fn take(&self, from: u64, to: u64) -> Vec<u64> {
        let mut all = self.0.borrow_mut();
        let gone: Vec<u64> = all.range(from..to).map(|(timer, _)| *timer).collect();
        for timer in &gone {
            all.remove(timer);
        }
        gone
    }
}

impl Context<'_> {
    /// A timer helper; r0.
    pub(crate) fn timer_op(&mut self, m: &Machine, call: Call, op: TimerOp) -> Result<u64, HostError> {
        let timers = &self.s.timers;
        let ret = match op {
            TimerOp::Init { timer, map, flags } => {
                if m.element_at(map, timer).is_none() {
                    let name = &m.map_def(map).name;
                    return Err(HostError::Misuse(format!("bpf_timer_init: {timer:#x} is no timer in map {name}")));
                }
                match timers.get(timer) {
                    _ if !CLOCKS.contains(&flags) => EINVAL,
                    Some(_) => EBUSY,
                    None => {
                        timers.0.borrow_mut().insert(timer, BpfTimer { map, callback: None });
                        0
                    }
                }
            }
            TimerOp::SetCallback { timer, callback } => timers.set_callback(timer, Some((callback, call.program))),
            TimerOp::Start { timer, nsecs, flags } => match timers.get(timer) {
                Some(BpfTimer { callback: Some(_), .. }) if flags & !(ABS | CPU_PIN) == 0 => {
                    let at = expiry(self.k, nsecs, flags);
                    kfunc::bpf_timer_start(self.k, timer, at);
                    0
                }
                _ => EINVAL,
            },
            TimerOp::Cancel { timer } if timers.get(timer).is_none() => EINVAL,
            TimerOp::Cancel { timer } => match kfunc::bpf_timer_cancel(self.k, timer) {
                None => EDEADLK,
                Some(was_armed) => {
                    self.s.timers.set_callback(timer, None);
                    was_armed.into()
                }
            },
        };
        Ok(ret as u64)
    }

    /// A map's value of `len` bytes is gone, and with it the timers in it.
    pub(crate) fn timers_gone(&mut self, value: u64, len: u64) {
        for timer in self.s.timers.take(value, value + len) {
            kfunc::bpf_timer_cancel(self.k, timer);
        }
    }
}

/// When a timer that is started now is due.
pub(crate) fn expiry(k: &Kernel, nsecs: u64, flags: u64) -> u64 {
    if flags & ABS != 0 { meant(nsecs) } else { k.now().saturating_add(nsecs) }
}

impl BpfScheduler {
    /// Timer `timer` is due: its function is called with the map, the key and the value that it is in.
    pub(crate) fn timer_due(&self, k: &mut Kernel, timer: u64) {
        let Some(BpfTimer { map, callback: Some((callback, program)) }) = self.timers.get(timer) else { return };
        let Some(element) = self.machine.element_at(map, timer) else { return };
        let mut context = Context::new(k, self, Told::Nothing);
        let result = self.machine.call_with_element(program, callback, &element, &mut context);
        self.finish(context, result, program);
    }
}
