//! Kernel functions and fields, through the host.

use super::TaskField;
use super::ambient::call;

/// The host's handle of a task.
pub type RawTask = u64;
/// The host's handle of exit information.
pub type RawExitInfo = u64;

pub(crate) fn task_pid(p: RawTask) -> i32 {
    call(|h| h.task_field(p, TaskField::Pid)) as i32
}

pub(crate) fn task_nr_cpus_allowed(p: RawTask) -> i32 {
    call(|h| h.task_field(p, TaskField::NrCpusAllowed)) as i32
}

pub(crate) fn task_weight(p: RawTask) -> u32 {
    call(|h| h.task_field(p, TaskField::Weight)) as u32
}

pub(crate) fn task_slice(p: RawTask) -> u64 {
    call(|h| h.task_field(p, TaskField::Slice))
}

pub(crate) fn task_dsq_vtime(p: RawTask) -> u64 {
    call(|h| h.task_field(p, TaskField::DsqVtime))
}

pub(crate) fn task_scx_flags(p: RawTask) -> u32 {
    call(|h| h.task_field(p, TaskField::ScxFlags)) as u32
}

pub(crate) fn task_set_dsq_vtime(p: RawTask, vtime: u64) {
    call(|h| h.task_set_dsq_vtime(p, vtime));
}

pub(crate) fn task_set_slice(p: RawTask, slice: u64) {
    call(|h| h.task_set_slice(p, slice));
}

pub(crate) fn select_cpu_dfl(p: RawTask, prev_cpu: i32, wake_flags: u64) -> (i32, bool) {
    call(|h| h.select_cpu_dfl(p, prev_cpu, wake_flags))
}

pub(crate) fn create_dsq(dsq_id: u64, node: i32) -> i32 {
    call(|h| h.create_dsq(dsq_id, node))
}

pub(crate) fn dsq_nr_queued(dsq_id: u64) -> i32 {
    call(|h| h.dsq_nr_queued(dsq_id))
}

pub(crate) fn dsq_peek(dsq_id: u64) -> Option<RawTask> {
    call(|h| h.dsq_peek(dsq_id))
}

pub(crate) fn dsq_insert(p: RawTask, dsq_id: u64, slice: u64, enq_flags: u64) -> bool {
    call(|h| h.dsq_insert(p, dsq_id, slice, enq_flags))
}

pub(crate) fn dsq_insert_vtime(p: RawTask, dsq_id: u64, slice: u64, vtime: u64, enq_flags: u64) -> bool {
    call(|h| h.dsq_insert_vtime(p, dsq_id, slice, vtime, enq_flags))
}

pub(crate) fn dsq_move_to_local(dsq_id: u64) -> bool {
    call(|h| h.dsq_move_to_local(dsq_id))
}

pub(crate) fn kick_cpu(cpu: i32, flags: u64) {
    call(|h| h.kick_cpu(cpu, flags));
}

pub(crate) fn cpu() -> i32 {
    call(|h| h.cpu())
}

pub(crate) fn now() -> u64 {
    call(|h| h.now())
}

/// `scx_error!`.
#[doc(hidden)]
pub fn error<const N: usize>(format: &'static str, args: [u64; N]) {
    call(|h| h.error(format, &args));
}

/// A format, as [`error`] takes it.
#[doc(hidden)]
#[macro_export]
macro_rules! __format {
    ($format:literal) => {
        $format
    };
}
