//! Enabling and disabling a scheduler.
use super::ops::SchedExtOps;
use crate::executor::Kernel;
use crate::ids::TaskId;
use crate::task::KthreadNext;
use std::rc::Rc;
/// Asks the helper thread to enable `ops`; `waiter` is woken when that is done.
pub(crate) fn request(_k: &mut Kernel, _ops: Rc<dyn SchedExtOps>, _waiter: TaskId) -> KthreadNext {
    KthreadNext::Again
}
/// Asks the helper thread to disable the scheduler; `waiter` is woken when that is done.
pub(crate) fn unregister(_k: &mut Kernel, _waiter: TaskId) -> KthreadNext {
    KthreadNext::Again
}
