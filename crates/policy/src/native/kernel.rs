//! Kernel functions and fields, through the host.

use super::ambient::{call, with};
use super::{Host, MaskSource, MaskWords, TaskField};

/// The host's handle of a task.
pub type RawTask = u64;
/// The host's handle of exit information.
pub type RawExitInfo = u64;

/// The host's handle of `init_task`'s arguments.
pub type RawInitTask = u64;
/// The host's handle of `exit_task`'s arguments.
pub type RawExitTask = u64;
/// The host's handle of `cpu_release`'s arguments.
pub type RawRelease = u64;
/// The host's handle of `cgroup_init`'s arguments.
pub type RawCgroupInit = u64;
/// The host's handle of a cgroup.
pub type RawCgroup = u64;
/// A set of CPUs, by where it is.
pub type RawMask = MaskSource;
/// A set of the policy's own, by its number in the instance.
pub type RawOwnedMask = u32;

macro_rules! task_fields {
    ($($n:ident: $f:ident -> $t:ty;)*) => {$(
        pub(crate) fn $n(p: RawTask) -> $t {
            call(|h| h.task_field(p, TaskField::$f)) as $t
        }
    )*};
}

task_fields! {
    task_tgid: Tgid -> i32;
    task_flags: Flags -> u32;
    task_static_prio: StaticPrio -> i32;
    task_nvcsw: Nvcsw -> u64;
    task_nivcsw: Nivcsw -> u64;
    task_sum_exec: SumExecRuntime -> u64;
    task_state: State -> u32;
    task_prio: Prio -> i32;
    task_policy: Policy -> u32;
    task_utime: Utime -> u64;
    task_stime: Stime -> u64;
    task_migration_disabled: MigrationDisabled -> u16;
}

macro_rules! host_calls {
    ($($n:ident($($a:ident: $t:ty),*) $(-> $r:ty)?;)*) => {$(
        pub(crate) fn $n($($a: $t),*) $(-> $r)? {
            call(|h| h.$n($($a),*))
        }
    )*};
}

host_calls! {
    task_comm(p: RawTask) -> [u8; 16];
    task_from_tid(tid: u64) -> Option<RawTask>;
    task_is_under(p: RawTask, cgrp: RawCgroup) -> bool;
    task_default_cgroup(p: RawTask) -> RawCgroup;
    task_set_disallow(p: RawTask, disallow: bool);
    cpu_curr(cpu: i32) -> Option<RawTask>;
    dsq_reenq(dsq_id: u64) -> bool;
    nr_nodes() -> u32;
    init_task_cgroup(args: RawInitTask) -> Option<RawCgroup>;
    cgroup_init_bandwidth(args: RawCgroupInit) -> Option<[u64; 3]>;
    cidperf_cap(cid: i32) -> Option<u32>;
    cidperf_cur(cid: i32) -> Option<u32>;
    cidperf_set(cid: i32, perf: u32) -> bool;
    cid_curr(cid: i32) -> Option<RawTask>;
    task_cpu(p: RawTask) -> i32;
    task_running(p: RawTask) -> bool;
    current_task() -> Option<RawTask>;
    task_from_pid(pid: i32) -> Option<RawTask>;
    task_acquire(p: RawTask) -> Option<RawTask>;
    task_release(p: RawTask);
    task_cgroup(p: RawTask) -> Option<RawCgroup>;
    cgroup_from_id(id: u64) -> Option<RawCgroup>;
    cgroup_ancestor(cgrp: RawCgroup, level: i32) -> Option<RawCgroup>;
    cgroup_acquire(cgrp: RawCgroup) -> Option<RawCgroup>;
    cgroup_release(cgrp: RawCgroup);
    init_task_fork(args: RawInitTask) -> bool;
    exit_task_cancelled(args: RawExitTask) -> bool;
    release_task(args: RawRelease) -> Option<RawTask>;
    cgroup_init_weight(args: RawCgroupInit) -> u32;
    cgroup_id(cgrp: RawCgroup) -> u64;
    cgroup_level(cgrp: RawCgroup) -> i32;
    destroy_dsq(dsq_id: u64);
    reenqueue_local();
    dispatch_nr_slots() -> u32;
    dispatch_cancel();
    nr_cpu_ids() -> u32;
    cpu_node(cpu: i32) -> i32;
    test_and_clear_cpu_idle(cpu: i32) -> bool;
    cpuperf_cap(cpu: i32) -> u32;
    cpuperf_cur(cpu: i32) -> u32;
    cpuperf_set(cpu: i32, perf: u32);
    nr_cids() -> Option<u32>;
    nr_online_cids() -> Option<u32>;
    this_cid() -> i32;
    cpu_to_cid(cpu: i32) -> i32;
    cid_to_cpu(cid: i32) -> i32;
    task_cid(p: RawTask) -> i32;
    kick_cid(cid: i32, flags: u64) -> bool;
    cid_topo(cid: i32) -> Option<[i32; 6]>;
    ktime() -> u64;
    random_u32() -> u32;
    enq_head() -> u64;
    enq_cpu_selected() -> u64;
}

/// The counters as the host gave them.
pub type RawEvents = Vec<(&'static str, i64)>;

pub(crate) fn events() -> Option<RawEvents> {
    call(|h| h.events())
}

pub(crate) mod event {
    use super::RawEvents;

    macro_rules! counters {
        ($($name:ident: $field:literal;)*) => {$(
            pub(crate) fn $name(events: &RawEvents) -> Option<i64> {
                events.iter().find(|(name, _)| *name == $field).map(|(_, value)| *value)
            }
        )*};
    }

    counters! {
        select_cpu_fallback: "SCX_EV_SELECT_CPU_FALLBACK";
        dispatch_local_dsq_offline: "SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE";
        dispatch_keep_last: "SCX_EV_DISPATCH_KEEP_LAST";
        enq_skip_exiting: "SCX_EV_ENQ_SKIP_EXITING";
        enq_skip_migration_disabled: "SCX_EV_ENQ_SKIP_MIGRATION_DISABLED";
        reenq_immed: "SCX_EV_REENQ_IMMED";
        reenq_local_repeat: "SCX_EV_REENQ_LOCAL_REPEAT";
        refill_slice_dfl: "SCX_EV_REFILL_SLICE_DFL";
        bypass_duration: "SCX_EV_BYPASS_DURATION";
        bypass_dispatch: "SCX_EV_BYPASS_DISPATCH";
        bypass_activate: "SCX_EV_BYPASS_ACTIVATE";
        insert_not_owned: "SCX_EV_INSERT_NOT_OWNED";
        sub_bypass_dispatch: "SCX_EV_SUB_BYPASS_DISPATCH";
    }
}

/// A task that a field points to.
fn task_at(p: RawTask, field: TaskField) -> Option<RawTask> {
    Some(call(|h| h.task_field(p, field))).filter(|&at| at != 0)
}

pub(crate) fn task_parent(p: RawTask) -> Option<RawTask> {
    task_at(p, TaskField::Parent)
}

pub(crate) fn task_leader(p: RawTask) -> Option<RawTask> {
    task_at(p, TaskField::Leader)
}

pub(crate) fn task_has_mm(p: RawTask) -> bool {
    task_at(p, TaskField::Mm).is_some()
}

pub(crate) fn task_preferred_node(p: RawTask) -> Option<i32> {
    Some(call(|h| h.task_field(p, TaskField::PreferredNode)) as i32)
}

pub(crate) fn task_tid(p: RawTask) -> Option<u64> {
    Some(call(|h| h.task_field(p, TaskField::Tid)))
}

pub(crate) fn preempt_disable() {}

pub(crate) fn preempt_enable() {}

pub(crate) fn rcu_lock() {}

pub(crate) fn rcu_unlock() {}

pub(crate) fn task_cpus(p: RawTask) -> RawMask {
    MaskSource::Task(p)
}

/// The set as it is now.
fn words(mask: RawMask) -> MaskWords {
    match mask {
        MaskSource::Owned(id) => with(|instance| instance.owned_mask(id)),
        other => call(|h| h.mask(other)),
    }
}

/// The words of the CPUs that can be.
fn all() -> MaskWords {
    MaskWords::first_n(with(|instance| instance.nr_cpus()))
}

/// A number in a mask; `None` where that cannot be.
fn valid(cpu: i32) -> Option<usize> {
    usize::try_from(cpu).ok().filter(|&cpu| cpu < with(|instance| instance.nr_cpus()))
}

fn first(words: MaskWords) -> u32 {
    words.first().map_or_else(nr_cpu_ids, |cpu| cpu as u32)
}

pub(crate) fn mask_test(mask: RawMask, cpu: i32) -> bool {
    let words = words(mask);
    valid(cpu).is_some_and(|cpu| words.test(cpu))
}

pub(crate) fn mask_first(mask: RawMask) -> u32 {
    first(words(mask))
}

pub(crate) fn mask_first_zero(mask: RawMask) -> u32 {
    let (words, all) = (words(mask), all());
    first(all.zip(words, |all, word| all & !word))
}

pub(crate) fn mask_first_and(a: RawMask, b: RawMask) -> u32 {
    first(words(a).and(words(b)))
}

fn distribute(words: MaskWords) -> u32 {
    call(|h| h.any_distribute(words)).unwrap_or_else(nr_cpu_ids)
}

pub(crate) fn mask_any(mask: RawMask) -> u32 {
    distribute(words(mask))
}

pub(crate) fn mask_any_and(a: RawMask, b: RawMask) -> u32 {
    distribute(words(a).and(words(b)))
}

pub(crate) fn mask_empty(mask: RawMask) -> bool {
    words(mask).is_empty()
}

pub(crate) fn mask_full(mask: RawMask) -> bool {
    words(mask).and(all()) == all()
}

pub(crate) fn mask_intersects(a: RawMask, b: RawMask) -> bool {
    !words(a).and(words(b)).is_empty()
}

pub(crate) fn mask_subset(a: RawMask, b: RawMask) -> bool {
    let a = words(a);
    a.and(words(b)) == a
}

pub(crate) fn mask_equal(a: RawMask, b: RawMask) -> bool {
    words(a) == words(b)
}

pub(crate) fn mask_weight(mask: RawMask) -> u32 {
    words(mask).weight()
}

pub(crate) fn pick_idle_cpu(mask: RawMask, flags: u64) -> i32 {
    let words = words(mask);
    call(|h| h.pick_idle_cpu(words, flags))
}

pub(crate) fn pick_any_cpu(mask: RawMask, flags: u64) -> i32 {
    let words = words(mask);
    call(|h| h.pick_any_cpu(words, flags))
}

pub(crate) fn pick_idle_cpu_node(mask: RawMask, node: i32, flags: u64) -> i32 {
    let words = words(mask);
    call(|h| h.pick_idle_cpu_node(words, node, flags))
}

pub(crate) fn pick_any_cpu_node(mask: RawMask, node: i32, flags: u64) -> i32 {
    let words = words(mask);
    call(|h| h.pick_any_cpu_node(words, node, flags))
}

pub(crate) fn select_cpu_and(p: RawTask, prev_cpu: i32, wake_flags: u64, allowed: RawMask, flags: u64) -> i32 {
    let words = words(allowed);
    call(|h| h.select_cpu_and(p, prev_cpu, wake_flags, words, flags))
}

fn borrow(mask: MaskSource) -> RawMask {
    call(|h| h.mask_borrowed(mask));
    mask
}

pub(crate) fn get_idle_mask() -> RawMask {
    borrow(MaskSource::Idle)
}

pub(crate) fn get_idle_smtmask() -> RawMask {
    borrow(MaskSource::IdleSmt)
}

pub(crate) fn get_idle_mask_node(node: i32) -> RawMask {
    borrow(MaskSource::IdleNode(node))
}

pub(crate) fn get_idle_smtmask_node(node: i32) -> RawMask {
    borrow(MaskSource::IdleSmtNode(node))
}

pub(crate) fn get_online_mask() -> RawMask {
    borrow(MaskSource::Online)
}

pub(crate) fn get_possible_mask() -> RawMask {
    borrow(MaskSource::Possible)
}

pub(crate) fn put_idle_mask(_mask: RawMask) {}

pub(crate) fn put_mask(_mask: RawMask) {}

pub(crate) fn owned_create() -> Option<RawOwnedMask> {
    Some(with(|instance| instance.create_mask()))
}

pub(crate) fn owned_release(mask: RawOwnedMask) {
    with(|instance| instance.release_mask(mask));
}

pub(crate) fn owned_mask(mask: RawOwnedMask) -> RawMask {
    MaskSource::Owned(mask)
}

fn update(mask: RawOwnedMask, change: impl FnOnce(MaskWords) -> MaskWords) -> MaskWords {
    with(|instance| instance.update_mask(mask, change))
}

pub(crate) fn owned_set(mask: RawOwnedMask, cpu: i32) {
    owned_test_and_set(mask, cpu);
}

pub(crate) fn owned_clear(mask: RawOwnedMask, cpu: i32) {
    owned_test_and_clear(mask, cpu);
}

pub(crate) fn owned_test_and_set(mask: RawOwnedMask, cpu: i32) -> bool {
    valid(cpu).is_some_and(|cpu| update(mask, |words| words.with(cpu, true)).test(cpu))
}

pub(crate) fn owned_test_and_clear(mask: RawOwnedMask, cpu: i32) -> bool {
    valid(cpu).is_some_and(|cpu| update(mask, |words| words.with(cpu, false)).test(cpu))
}

pub(crate) fn owned_set_all(mask: RawOwnedMask) {
    let all = all();
    update(mask, |_| all);
}

pub(crate) fn owned_clear_all(mask: RawOwnedMask) {
    update(mask, |_| MaskWords::default());
}

pub(crate) fn owned_copy(to: RawOwnedMask, from: RawMask) {
    let words = words(from);
    update(to, |_| words);
}

fn combine(to: RawOwnedMask, a: RawMask, b: RawMask, f: fn(u64, u64) -> u64) -> bool {
    let words = words(a).zip(words(b), f);
    update(to, |_| words);
    !words.is_empty()
}

pub(crate) fn owned_and(to: RawOwnedMask, a: RawMask, b: RawMask) -> bool {
    combine(to, a, b, |a, b| a & b)
}

pub(crate) fn owned_or(to: RawOwnedMask, a: RawMask, b: RawMask) {
    combine(to, a, b, |a, b| a | b);
}

pub(crate) fn owned_xor(to: RawOwnedMask, a: RawMask, b: RawMask) {
    combine(to, a, b, |a, b| a ^ b);
}

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

pub(crate) fn divide(number: u64, by: u64) -> u64 {
    number.checked_div(by).unwrap_or(0)
}

pub(crate) fn now() -> u64 {
    call(|h| h.now())
}

/// An argument of a message.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// An integer.
    Int(u64),
    /// A name.
    Text(crate::Comm),
}

/// An integer.
#[doc(hidden)]
pub fn number(value: u64) -> Word {
    Word::Int(value)
}

/// A name.
#[doc(hidden)]
pub fn text(text: &crate::Comm) -> Word {
    Word::Text(*text)
}

/// A format with its texts put in, and the integers that are left.
fn with_texts(format: &str, args: &[Word]) -> (String, Vec<u64>) {
    let (mut out, mut ints, mut args) = (String::new(), Vec::new(), args.iter());
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out += &rest[..at];
        let conversion = rest[at + 1..].find(|c: char| c == '%' || c.is_ascii_alphabetic() && !"lhz".contains(c));
        let end = conversion.map_or(rest.len(), |len| at + len + 2);
        let spec = &rest[at..end];
        match if spec.ends_with("%%") { None } else { args.next() } {
            Some(Word::Text(name)) => out += &name.text().replace('%', "%%"),
            Some(Word::Int(value)) => {
                ints.push(*value);
                out += spec;
            }
            None => out += spec,
        }
        rest = &rest[end..];
    }
    (out + rest, ints)
}

/// Says it, with all texts in the format.
fn say(format: &str, args: &[Word], say: impl FnOnce(&dyn Host, &str, &[u64])) {
    let (format, ints) = with_texts(format, args);
    call(|h| say(h, &format, &ints));
}

/// `scx_error!`.
#[doc(hidden)]
pub fn error<const N: usize>(format: &'static str, args: [Word; N]) {
    say(format, &args, |h, format, args| h.error(format, args));
}

/// `scx_exit!`.
#[doc(hidden)]
pub fn exit<const N: usize>(code: i64, format: &'static str, args: [Word; N]) {
    say(format, &args, |h, format, args| h.exit(code, format, args));
}

/// `scx_print!`.
#[doc(hidden)]
pub fn print<const N: usize>(format: &'static str, args: [Word; N]) {
    say(format, &args, |h, format, args| h.print(format, args));
}

/// `scx_dump!`.
#[doc(hidden)]
pub fn dump<const N: usize>(format: &'static str, args: [Word; N]) {
    say(format, &args, |h, format, args| h.dump(format, args));
}

/// A format, as [`error`] takes it.
#[doc(hidden)]
#[macro_export]
macro_rules! __format {
    ($format:literal) => {
        $format
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_put_in() {
        let mut name = [0; 16];
        name[..5].copy_from_slice(b"50%er");
        let (name, seven) = (Word::Text(crate::Comm(name)), Word::Int(7));
        for (format, args, expect, ints) in [
            ("none", &[][..], "none", 0),
            ("%s", &[name], "50%%er", 0),
            ("%s[%d] 100%%", &[name, seven], "50%%er[%d] 100%%", 1),
            ("%-8llu %16s|", &[seven, name], "%-8llu 50%%er|", 1),
            ("100%", &[], "100%", 0),
        ] {
            let (text, left) = with_texts(format, args);
            assert_eq!((text.as_str(), left.len()), (expect, ints), "{format}");
        }
    }
}
