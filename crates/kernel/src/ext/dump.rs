//! The debug dump, in the kernel's layout (E-184 to E-190): who failed and why, each CPU with its tasks, the counters, and what
//! the scheduler has to say of each.
//!
//! Simulated CPUs have no stack of the kernel's, so that tasks are shown without one. A line costs as much as a kfunc.

use std::collections::VecDeque;

use scxr_trace::ExitKind;

use super::call;
use super::entity::OpsState;
use super::events::Events;
use super::exit::exit_kind_number;
use super::flags::{consts, task};
use super::ops::{DumpCtx, ExitInfo, Op, SchedExtOps};
use super::sched::{Sched, SchedId};
use crate::class::ClassId;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::lock::{LockId, SimLock};
use crate::task::TaskState;

/// Debug dumps of the machine.
#[derive(Default)]
pub struct Dumps {
    pub(crate) lock: SimLock,
    /// The operation that adds to a dump now.
    speaking: Option<Speaking>,
    /// Those that SysRq-D asked for, the last [`Dumps::MAX`] of them.
    asked_for: VecDeque<String>,
}

impl Dumps {
    /// Dumps kept.
    pub const MAX: usize = 16;

    /// The dumps that SysRq-D asked for.
    pub fn asked_for(&self) -> impl Iterator<Item = &str> {
        self.asked_for.iter().map(String::as_str)
    }
}

/// What an operation says, until it returns [struct scx_dump_data].
struct Speaking {
    cpu: CpuId,
    prefix: &'static str,
    /// Text that is no whole line yet [scx_bstr_buf.line].
    line: String,
    out: String,
}

impl Speaking {
    /// Lines go out when one ends or the buffer is full; the rest of a text that does not fit is lost (E-189).
    fn add(&mut self, text: &str) {
        let mut room = (consts::DUMP_LINE_LEN - 1 - self.line.len()).min(text.len());
        let full = room < text.len();
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        self.line.push_str(&text[..room]);
        if full || self.line.ends_with('\n') {
            self.flush();
        }
    }

    /// [ops_dump_flush]
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.line);
        if text.is_empty() {
            return;
        }
        if self.out.is_empty() {
            self.out.push('\n');
        }
        for line in text.strip_suffix('\n').unwrap_or(&text).split('\n') {
            self.out += self.prefix;
            self.out += line;
            self.out.push('\n');
        }
    }
}

/// Adds to what the operation under way on this CPU says; `false`: none may.
pub(crate) fn add(k: &mut Kernel, text: &str) -> bool {
    let me = k.this_cpu();
    match &mut k.ext.dumps.speaking {
        Some(s) if s.cpu == me => s.add(text),
        _ => return false,
    }
    true
}

/// Has an operation of the scheduler add to a dump.
fn from_op(
    k: &mut Kernel,
    d: &mut Dump,
    (op, prefix, rq): (Op, &'static str, Option<CpuId>),
    f: impl FnOnce(&dyn SchedExtOps, &mut Kernel, &DumpCtx),
) {
    if !k.ext.scheds[d.sched].has(op) {
        return;
    }
    let cpu = k.this_cpu();
    k.ext.dumps.speaking = Some(Speaking { cpu, prefix, line: String::new(), out: String::new() });
    call::op(k, d.sched, op, rq, None, |ops, k| f(ops, k, &d.ctx));
    if let Some(mut said) = k.ext.dumps.speaking.take() {
        said.flush();
        d.out += &said.out;
    }
}

/// A dump that is being written.
struct Dump {
    sched: SchedId,
    ctx: DumpCtx,
    /// Tasks of other schedulers too.
    all_tasks: bool,
    out: String,
}

impl Dump {
    fn line(&mut self, text: impl AsRef<str>) {
        self.out += text.as_ref();
        self.out.push('\n');
    }
}

/// Dumps the state for a scheduler's exit information (E-178, E-188).
pub(crate) fn dump_exit(k: &mut Kernel, sched: SchedId) {
    let s = &k.ext.scheds[sched];
    let (about, len) = (s.exit.clone(), s.exit_dump_len());
    let text = dump_state(k, sched, &about, true);
    k.ext.scheds[sched].exit.dump = truncate(text, len as usize);
}

/// SysRq-D: dumps the state for each scheduler (E-190, E-191) [sysrq_handle_sched_ext_dump].
pub fn sysrq_dump(k: &mut Kernel) {
    let scheds: Vec<SchedId> = k.ext.scheds.iter().filter(|(_, s)| !s.dump_disabled).map(|(id, _)| id).collect();
    for sched in scheds {
        let about = ExitInfo { reason: "SysRq-D", ..super::exit::no_exit() };
        let text = dump_state(k, sched, &about, false);
        let dumps = &mut k.ext.dumps.asked_for;
        if dumps.len() == Dumps::MAX {
            dumps.pop_front();
        }
        dumps.push_back(text);
    }
}

/// What has room, the end of what has not replaced by a mark.
fn truncate(mut text: String, len: usize) -> String {
    const MARK: &str = "\n\n~~~~ TRUNCATED ~~~~\n";
    if text.len() < len {
        return text;
    }
    let mut end = (len - 1).saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    if len > MARK.len() {
        text += MARK;
    }
    text
}

/// [scx_dump_state]
fn dump_state(k: &mut Kernel, sched: SchedId, about: &ExitInfo, all_tasks: bool) -> String {
    k.lock(LockId::ScxDump);
    let ctx = DumpCtx { kind: about.kind, code: about.code, reason: about.reason, at: k.now() };
    let mut d = Dump { sched, ctx, all_tasks, out: String::new() };
    header(k, &mut d, about);
    from_op(k, &mut d, (Op::dump, "", None), |ops, k, ctx| ops.dump(k, ctx));
    d.line("\nCPU states\n----------");
    let failed = u32::try_from(about.cpu).ok().filter(|cpu| (*cpu as usize) < k.nr_cpus());
    let others = (0..k.nr_cpus() as u32).filter(|cpu| Some(*cpu) != failed);
    for cpu in failed.into_iter().chain(others).map(CpuId) {
        dump_cpu(k, &mut d, cpu);
    }
    d.line("\nEvent counters\n--------------");
    let events = k.ext.scheds[sched].events;
    for (name, value) in Events::NAMES.iter().zip(events.0) {
        d.line(format!("{name:>40}: {value:>16}"));
    }
    k.unlock(LockId::ScxDump);
    d.out
}

/// E-184
fn header(k: &Kernel, d: &mut Dump, about: &ExitInfo) {
    let s = &k.ext.scheds[d.sched];
    let path = if s.level > 0 { format!(" {}", s.cgroup_path) } else { String::new() };
    d.line(format!("{}: {}{path}", s.attrs.name, s.place()));
    if about.kind == ExitKind::None {
        return d.line(format!("Debug dump triggered by {}", about.reason));
    }
    let curr = k.curr(k.this_cpu());
    let on = if about.cpu >= 0 { format!(" on CPU {}", about.cpu) } else { String::new() };
    let kind = exit_kind_number(about.kind);
    d.line(format!("{}[{}] triggered exit kind {kind}{on}:", curr.comm, curr.pid));
    d.line(format!("  {} ({})\n\nBacktrace:", about.reason, about.msg));
    for symbol in &about.bt {
        d.line(format!("  {symbol}"));
    }
}

fn class_symbol(class: ClassId) -> &'static str {
    match class {
        ClassId::Idle => "idle_sched_class",
        ClassId::Ext => "ext_sched_class",
        ClassId::Fair => "fair_sched_class",
        ClassId::Rt => "rt_sched_class",
        ClassId::Dl => "dl_sched_class",
        ClassId::Stop => "stop_sched_class",
    }
}

/// A CPU, unless it is idle and the scheduler has nothing to say of it (E-185) [scx_dump_cpu].
fn dump_cpu(k: &mut Kernel, d: &mut Dump, cpu: CpuId) {
    k.lock(LockId::Rq(cpu));
    let before = d.out.len();
    let waiting: Vec<TaskId> = k.runnable_tasks(cpu).collect();
    let curr = k.rqs[cpu].curr;
    let idle = waiting.is_empty() && k.task(curr).class == ClassId::Idle;
    cpu_lines(k, d, cpu);
    let own = d.out.len();
    from_op(k, d, (Op::dump_cpu, "  ", Some(cpu)), |ops, k, ctx| ops.dump_cpu(k, ctx, cpu, idle));
    if idle && d.out.len() == own {
        d.out.truncate(before);
    } else {
        let running = Some(curr).filter(|&p| k.task(p).class == ClassId::Ext);
        for p in running.into_iter().chain(waiting) {
            if d.all_tasks || k.task_on_sched(p, d.sched) {
                dump_task(k, d, cpu, p);
            }
        }
    }
    let lines = d.out[before..].matches('\n').count() as u64;
    let cost = lines * k.cost.kfunc;
    k.charge(cost);
    k.unlock(LockId::Rq(cpu));
}

fn cpu_lines(k: &Kernel, d: &mut Dump, cpu: CpuId) {
    let (rq, curr) = (&k.rqs[cpu].scx, k.curr(cpu));
    let state = format!("nr_run={} flags=0x{:x}", rq.nr_running, rq.flags_word());
    d.line(format!("\nCPU {:<4}: {state} cpu_rel={} ksync={}", cpu.0, u8::from(rq.cpu_released), rq.kick_sync));
    d.line(format!("          curr={}[{}] class={}", curr.comm, curr.pid, class_symbol(curr.class)));
    let masks: [(&str, &CpuMask); 5] = [
        ("cpus_to_kick", &rq.cpus_to_kick),
        ("idle_to_kick", &rq.cpus_to_kick_if_idle),
        ("cpus_to_preempt", &rq.cpus_to_preempt),
        ("cpus_to_wait", &rq.cpus_to_wait),
        ("cpus_to_sync", &rq.cpus_to_sync),
    ];
    for (name, mask) in masks.into_iter().filter(|(_, mask)| !mask.is_empty()) {
        d.line(format!("  {name:<15}: {}", mask.hex(k.nr_cpus())));
    }
}

/// E-186 [scx_dump_task]
fn dump_task(k: &mut Kernel, d: &mut Dump, cpu: CpuId, p: TaskId) {
    task_lines(k, d, cpu, p);
    from_op(k, d, (Op::dump_task, "    ", Some(cpu)), |ops, k, ctx| ops.dump_task(k, ctx, p));
}

fn task_lines(k: &Kernel, d: &mut Dump, cpu: CpuId, p: TaskId) {
    let t = k.task(p);
    let e = &t.scx;
    let marker = if k.rqs[cpu].curr == p { '*' } else { ' ' };
    let state = match t.state {
        TaskState::Running | TaskState::New => 'R',
        TaskState::Sleeping => 'S',
        TaskState::Dead => 'X',
    };
    let own = if e.sched == Some(d.sched) { "*" } else { "" };
    let ms = (e.runnable_at as i128 - d.ctx.at as i128) / 1_000_000;
    let (ops_state, qseq) = match e.ops_state {
        OpsState::None => (0, 0),
        OpsState::Queueing(q) => (1, q),
        OpsState::Queued(q) => (2, q),
        OpsState::Dispatching => (3, 0),
    };
    let cpu_or_none = |cpu: Option<CpuId>| cpu.map_or(-1, |c| i64::from(c.0));
    let dsq = e.dsq.map_or("(n/a)".to_string(), |i| format!("0x{:x}", k.ext.dsqs[i as usize].id));
    let flags = e.flags & !(0x7 << task::STATE_SHIFT);
    let place = e.sched.map_or_else(String::new, |s| k.ext.scheds[s].place());
    d.line(format!("\n {marker}{state} {}[{}] {own}{place} {ms:+}ms", t.comm, t.pid));
    d.line(format!(
        "      scx_state/flags={}/0x{flags:x} dsq_flags=0x{:x} ops_state/qseq={ops_state}/{qseq}",
        e.state as u32,
        u8::from(e.on_priq()),
    ));
    let (sticky, holding) = (cpu_or_none(e.sticky_cpu), cpu_or_none(e.holding_cpu));
    d.line(format!("      sticky/holding_cpu={sticky}/{holding} dsq_id={dsq}"));
    d.line(format!("      dsq_vtime={} slice={} weight={}", e.dsq_vtime, e.slice, e.weight));
    d.line(format!("      cpus={} no_mig={}", t.cpus.hex(k.nr_cpus()), t.migration_disabled));
}

impl Sched {
    /// Bytes of a debug dump that `ops.exit` is told at most.
    pub fn exit_dump_len(&self) -> u32 {
        match self.attrs.exit_dump_len {
            0 => consts::EXIT_DUMP_DFL_LEN,
            len => len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_marked() {
        let text = |len: usize| "x".repeat(len);
        assert_eq!(truncate(text(9), 10), text(9));
        assert_eq!(truncate(text(10), 10), text(0), "no room for the mark either");
        let cut = truncate(text(100), 40);
        assert_eq!(cut, format!("{}\n\n~~~~ TRUNCATED ~~~~\n", text(17)));
        assert_eq!(cut.len(), 39);
    }

    #[test]
    fn lines_are_split_and_cut() {
        let said = |parts: &[&str]| {
            let mut s = Speaking { cpu: CpuId(0), prefix: "  ", line: String::new(), out: String::new() };
            parts.iter().for_each(|p| s.add(p));
            s.flush();
            s.out
        };
        assert_eq!(said(&[]), "");
        assert_eq!(said(&["a=", "1 ", "b=2\n", "c"]), "\n  a=1 b=2\n  c\n");
        assert_eq!(said(&["a\nb\n"]), "\n  a\n  b\n");
        let long = "y".repeat(2000);
        assert_eq!(said(&[&long, "z"]), format!("\n  {}\n  z\n", &long[..1023]));
    }
}
