//! Fields of kernel objects, read from and written to the live simulated kernel.
//!
//! One table for each kind of object says which field, by its path in the kernel's struct, is which value. A field that
//! the modelled kernel's BTF has but that is not in a table here is "not implemented yet" when a program touches it.

use scxr_abi::{KernelModel, Layout};
use scxr_bpf::vm::AccessError;
use scxr_kernel::Kernel;
use scxr_kernel::behavior::Policy;
use scxr_kernel::cgroup::{Cgroup, CgroupId};
use scxr_kernel::ext::exit::exit_kind_number;
use scxr_kernel::ext::ops::{DumpCtx, ExitInfo, SubArgs};
use scxr_kernel::ids::{CpuId, TaskId};
use scxr_kernel::task::{OnRq, TaskState};

use crate::addr::{Kind, Place, addr, string};
use crate::clock::{shown, since};
use crate::host::Told;
use crate::variables;

/// A struct of the modelled kernel with the meaning of its fields.
pub(crate) struct Fields<F> {
    name: &'static str,
    layout: Layout,
    by_leaf: Vec<Option<F>>,
}

impl<F: Copy> Fields<F> {
    fn new(model: &KernelModel, name: &'static str, meaning: impl Fn(&str) -> Option<F>) -> Option<Fields<F>> {
        let layout = model.layout(name)?.clone();
        let by_leaf = layout.leaves.iter().map(|leaf| meaning(&leaf.path)).collect();
        Some(Fields { name, layout, by_leaf })
    }

    /// The bytes of an access, put together from the elements that it covers. `value` gives an element's value.
    fn read(&self, offset: u32, size: u8, mut value: impl FnMut(F, u64) -> u64) -> Result<u64, AccessError> {
        let hit = self.layout.field_at(offset, size.into()).ok_or(AccessError::Bad)?;
        let Some(field) = self.by_leaf[hit.index] else { return Err(self.missing(&hit.leaf.path)) };
        let mut bytes = [0u8; 16];
        let per = hit.leaf.size as usize;
        let (mut at, mut element) = (0, hit.element);
        while at < size as usize + hit.byte as usize && at < 16 {
            let le = value(field, element).to_le_bytes();
            bytes[at..(at + per).min(16)].copy_from_slice(&le[..per.min(16 - at)]);
            (at, element) = (at + per, element + 1);
        }
        let mut out = [0u8; 8];
        let from = hit.byte as usize;
        out[..size as usize].copy_from_slice(&bytes[from..from + size as usize]);
        Ok(u64::from_le_bytes(out))
    }

    fn missing(&self, path: &str) -> AccessError {
        AccessError::NotImplemented(format!("struct {}, field {path}", self.name))
    }

    fn offset(&self, path: &str) -> Option<u32> {
        self.layout.leaf_index(path).map(|i| self.layout.leaves[i].offset)
    }
}

macro_rules! field_names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $path:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum $name { $($variant),* }
        impl $name {
            fn from_path(path: &str) -> Option<$name> {
                match path { $($path => Some($name::$variant),)* _ => None }
            }
        }
    };
}

field_names!(
    /// Fields of `task_struct` that have a meaning here.
    TaskField {
        State = "__state", Flags = "flags", OnCpu = "on_cpu", OnRq = "on_rq", Prio = "prio", StaticPrio = "static_prio",
        NormalPrio = "normal_prio", RtPriority = "rt_priority", SumExec = "se.sum_exec_runtime", ExecStart = "se.exec_start",
        NrMigrations = "se.nr_migrations", LoadWeight = "se.load.weight", Policy = "policy",
        NrCpusAllowed = "nr_cpus_allowed", CpusPtr = "cpus_ptr", CpusMask = "cpus_mask.bits",
        MigrationDisabled = "migration_disabled", Pid = "pid", Tgid = "tgid", RealParent = "real_parent", Parent = "parent",
        GroupLeader = "group_leader", Nvcsw = "nvcsw", Nivcsw = "nivcsw", Utime = "utime", Stime = "stime", Comm = "comm",
        Cpu = "thread_info.cpu", WakeCpu = "wake_cpu", Mm = "mm", ActiveMm = "active_mm", NumaNid = "numa_preferred_nid",
        ScxFlags = "scx.flags", ScxWeight = "scx.weight", ScxSlice = "scx.slice", ScxVtime = "scx.dsq_vtime",
        ScxDisallow = "scx.disallow", ScxStickyCpu = "scx.sticky_cpu", ScxHoldingCpu = "scx.holding_cpu",
        ScxSelectedCpu = "scx.selected_cpu", ScxTid = "scx.tid", ScxDdspDsqId = "scx.ddsp_dsq_id",
        ScxDdspEnqFlags = "scx.ddsp_enq_flags", StartTime = "start_time", Pcount = "sched_info.pcount", RunDelay = "sched_info.run_delay",
        LastArrival = "sched_info.last_arrival", LastQueued = "sched_info.last_queued", ScxRunnableAt = "scx.runnable_at", Cgroups = "cgroups",
    }
);

field_names!(
    /// Fields of `rq` that have a meaning here.
    RqField {
        NrRunning = "nr_running", Curr = "curr", Idle = "idle", Stop = "stop", NrSwitches = "nr_switches", Clock = "clock",
        ClockTask = "clock_task", ClockPelt = "clock_pelt", LostIdleTime = "lost_idle_time", Cpu = "cpu", Online = "online", Capacity = "cpu_capacity",
    }
);

field_names!(
    /// Fields of `scx_exit_info`.
    ExitField {
        Kind = "kind", Cpu = "exit_cpu", Code = "exit_code", Flags = "flags", Reason = "reason", Msg = "msg", Dump = "dump",
        BtLen = "bt_len",
    }
);

field_names!(
    /// Fields of `scx_dump_ctx` and `scx_cpu_release_args`.
    ToldField {
        Kind = "kind", Code = "exit_code", Reason = "reason", AtNs = "at_ns", AtJiffies = "at_jiffies", Task = "task",
    }
);

field_names!(
    /// Fields of `scx_sub_attach_args`, and of the table in it.
    SubField {
        Ops = "ops", Path = "cgroup_path", CgroupId = "sub_cgroup_id", Flags = "flags", TimeoutMs = "timeout_ms",
        Batch = "dispatch_max_batch", DumpLen = "exit_dump_len", HotplugSeq = "hotplug_seq", Name = "name",
    }
);

field_names!(
    /// Fields of `scx_cgroup_init_args`.
    CgroupInitField { Weight = "weight", Period = "bw_period_us", Quota = "bw_quota_us", Burst = "bw_burst_us" }
);

field_names!(
    /// Fields of the arguments of `init_task` and `exit_task`.
    ArgsField { Fork = "fork", Cgroup = "cgroup", Cancelled = "cancelled" }
);

field_names!(
    /// Fields of `cgroup`, `kernfs_node` and `css_set` that have a meaning here. A cgroup's own css is its beginning.
    CgroupField {
        Itself = "self.cgroup", CssId = "self.id", CssParent = "self.parent", Level = "level", Kn = "kn", Id = "id", Name = "name",
        KnParentOld = "parent", KnParent = "__parent", Dfl = "dfl_cgrp",
    }
);

/// All tables, for one kernel version.
pub(crate) struct FieldTables {
    task: Fields<TaskField>,
    rq: Fields<RqField>,
    exit: Fields<ExitField>,
    dump_ctx: Fields<ToldField>,
    cpu_release: Fields<ToldField>,
    cgroup_init: Fields<CgroupInitField>,
    /// On kernels with sub-schedulers.
    sub: Option<(Fields<SubField>, Fields<SubField>)>,
    init_task: Fields<ArgsField>,
    exit_task: Fields<ArgsField>,
    cgroup: Fields<CgroupField>,
    kernfs: Fields<CgroupField>,
    css_set: Fields<CgroupField>,
    cpus_mask: u32,
    cpus_mask_bytes: u32,
}

/// What an access beyond the tables needs to know about the running scheduler.
pub(crate) trait Objects {
    /// What the operation under way is told.
    fn told(&self) -> Told<'_>;
    /// A mask that a program made.
    fn owned_mask(&self, id: u32) -> Option<scxr_kernel::cpumask::CpuMask>;
}

impl FieldTables {
    /// The tables of `model`; the structs are part of every modelled version.
    pub(crate) fn new(model: &KernelModel) -> Option<FieldTables> {
        let task = Fields::new(model, "task_struct", TaskField::from_path)?;
        let cpus_mask = task.offset("cpus_mask.bits")?;
        let leaf = &task.layout.leaves[task.layout.leaf_index("cpus_mask.bits")?];
        let cpus_mask_bytes = leaf.size * leaf.count;
        Some(FieldTables {
            task,
            rq: Fields::new(model, "rq", RqField::from_path)?,
            exit: Fields::new(model, "scx_exit_info", ExitField::from_path)?,
            dump_ctx: Fields::new(model, "scx_dump_ctx", ToldField::from_path)?,
            cpu_release: Fields::new(model, "scx_cpu_release_args", ToldField::from_path)?,
            cgroup_init: Fields::new(model, "scx_cgroup_init_args", CgroupInitField::from_path)?,
            sub: Fields::new(model, "scx_sub_attach_args", SubField::from_path).zip(Fields::new(
                model,
                "sched_ext_ops",
                SubField::from_path,
            )),
            init_task: Fields::new(model, "scx_init_task_args", ArgsField::from_path)?,
            exit_task: Fields::new(model, "scx_exit_task_args", ArgsField::from_path)?,
            cgroup: Fields::new(model, "cgroup", CgroupField::from_path)?,
            kernfs: Fields::new(model, "kernfs_node", CgroupField::from_path)?,
            css_set: Fields::new(model, "css_set", CgroupField::from_path)?,
            cpus_mask,
            cpus_mask_bytes,
        })
    }

    /// Offset of the affinity mask in a task.
    pub(crate) fn cpus_mask(&self) -> u32 {
        self.cpus_mask
    }

    /// Is a place in a task its affinity mask?
    pub(crate) fn is_cpus_mask(&self, offset: u32) -> bool {
        offset == self.cpus_mask
    }

    /// Loads from a kernel object.
    pub(crate) fn load(
        &self,
        k: &mut Kernel,
        objects: &dyn Objects,
        place: Place,
        size: u8,
    ) -> Result<u64, AccessError> {
        let Place { kind, id, offset } = place;
        match kind {
            Kind::Task => {
                let p = TaskId(id);
                k.find_task(p).ok_or(AccessError::Bad)?;
                self.task.read(offset, size, |f, element| self.task_value(k, p, f, element))
            }
            Kind::Rq => {
                let cpu = CpuId(id);
                if cpu.idx() >= k.nr_cpus() {
                    return Err(AccessError::Bad);
                }
                self.rq.read(offset, size, |f, _| rq_value(k, cpu, f))
            }
            Kind::ExitInfo => {
                let Told::Exit(info) = objects.told() else { return Err(AccessError::Bad) };
                self.exit.read(offset, size, |f, _| exit_value(info, f))
            }
            Kind::DumpCtx => {
                let Told::Dump(ctx) = objects.told() else { return Err(AccessError::Bad) };
                self.dump_ctx.read(offset, size, |f, _| dump_value(k, ctx, f))
            }
            Kind::CpuReleaseArgs => {
                let Told::Release(reason, p) = objects.told() else { return Err(AccessError::Bad) };
                self.cpu_release.read(offset, size, |f, _| match f {
                    ToldField::Task => addr(Kind::Task, p.0),
                    _ => reason as u64, // the one other field
                })
            }
            Kind::CgroupInitArgs => {
                let group = k.cgroups.get(CgroupId(id)).ok_or(AccessError::Bad)?;
                self.cgroup_init.read(offset, size, |f, _| match f {
                    CgroupInitField::Weight => group.weight.into(),
                    CgroupInitField::Period => group.bandwidth.period_us,
                    CgroupInitField::Quota => group.bandwidth.quota_us,
                    CgroupInitField::Burst => group.bandwidth.burst_us,
                })
            }
            Kind::SubArgs | Kind::SubOps => {
                let (Told::Sub(args), Some((sub_args, ops))) = (objects.told(), &self.sub) else {
                    return Err(AccessError::Bad);
                };
                let fields = if kind == Kind::SubArgs { sub_args } else { ops };
                fields.read(offset, size, |f, element| sub_value(args, f, element))
            }
            Kind::CpuAcquireArgs => Err(AccessError::Bad),
            Kind::InitTaskArgs => self.init_task.read(offset, size, |f, _| match f {
                ArgsField::Fork => (id & 1).into(),
                ArgsField::Cgroup => addr(Kind::Cgroup, id >> 1),
                ArgsField::Cancelled => 0,
            }),
            Kind::ExitTaskArgs => self.exit_task.read(offset, size, |_, _| id.into()),
            Kind::Cgroup | Kind::Kernfs | Kind::CssSet => {
                let fields = match kind {
                    Kind::Cgroup => &self.cgroup,
                    Kind::Kernfs => &self.kernfs,
                    _ => &self.css_set,
                };
                let group = k.cgroups.get(CgroupId(id)).ok_or(AccessError::Bad)?;
                fields.read(offset, size, |f, _| cgroup_value(id, group, f))
            }
            Kind::Mask | Kind::OwnedMask => {
                let words = match kind {
                    Kind::Mask => crate::masks::kernel_mask(k, id).ok_or(AccessError::Bad)?,
                    _ => objects.owned_mask(id).ok_or(AccessError::Bad)?,
                };
                let mut value = [0u8; 8];
                for (i, b) in value.iter_mut().take(size.into()).enumerate() {
                    let at = offset as usize + i;
                    *b = words.words().get(at / 8).map_or(0, |w| w.to_le_bytes()[at % 8]);
                }
                Ok(u64::from_le_bytes(value))
            }
            Kind::String if id & !0xf_ffff == string::NAME => {
                let group = k.cgroups.get(CgroupId(id & 0xf_ffff)).ok_or(AccessError::Bad)?;
                Ok(text_value(group.name().as_bytes(), offset as usize, size))
            }
            Kind::String => {
                let at = (((id & 0xf_ffff) as usize) << 16) + offset as usize;
                let text = match (id & !0xf_ffff, objects.told()) {
                    (string::REASON, Told::Exit(info)) => info.reason.as_bytes(),
                    (string::REASON, Told::Dump(ctx)) => ctx.reason.as_bytes(),
                    (string::MSG, Told::Exit(info)) => info.msg.as_bytes(),
                    (string::DUMP, Told::Exit(info)) => info.dump.as_bytes(),
                    (string::PATH, Told::Sub(args)) => args.cgroup_path.as_bytes(),
                    _ => return Err(AccessError::Bad),
                };
                Ok(text_value(text, at, size))
            }
            Kind::CpuVariable => variables::load(k, id, offset, size).ok_or(AccessError::Bad),
            Kind::Variable => Err(AccessError::Bad),
            Kind::Opaque => Err(AccessError::NotImplemented("fields of this kernel object".into())),
        }
    }

    /// Stores to a kernel object. Programs may write three fields of a task (E-25).
    pub(crate) fn store(&self, k: &mut Kernel, place: Place, size: u8, value: u64) -> Result<(), AccessError> {
        if place.kind != Kind::Task {
            return Err(AccessError::ReadOnly("only a task's slice, dsq_vtime and disallow can be written".into()));
        }
        let p = TaskId(place.id);
        k.find_task(p).ok_or(AccessError::Bad)?;
        let hit = self.task.layout.field_at(place.offset, size.into()).ok_or(AccessError::Bad)?;
        let whole = hit.byte == 0 && u32::from(size) == hit.leaf.size;
        let t = k.task_mut(p);
        match self.task.by_leaf[hit.index] {
            Some(TaskField::ScxSlice) if whole => t.scx.slice = value,
            Some(TaskField::ScxVtime) if whole => t.scx.dsq_vtime = value,
            Some(TaskField::ScxDisallow) if whole => t.scx.disallow = value & 1 != 0,
            _ => return Err(AccessError::ReadOnly(format!("task_struct field {} is read-only", hit.leaf.path))),
        }
        Ok(())
    }

    fn task_value(&self, k: &Kernel, p: TaskId, field: TaskField, element: u64) -> u64 {
        let t = k.task(p);
        let task_addr = |q: Option<TaskId>| q.map_or(0, |q| addr(Kind::Task, q.0));
        match field {
            TaskField::State => match t.state {
                TaskState::Running => 0,
                TaskState::Sleeping => 1,
                TaskState::Dead => 0x80,
                TaskState::New => 0x800,
            },
            TaskField::Flags => t.flags.into(),
            TaskField::OnCpu => t.on_cpu.into(),
            TaskField::OnRq => match t.on_rq {
                OnRq::No => 0,
                OnRq::Queued => 1,
                OnRq::Migrating => 2,
            },
            TaskField::Prio | TaskField::NormalPrio => t.prio as u64,
            TaskField::StaticPrio => (120 + i64::from(t.nice)) as u64,
            TaskField::RtPriority => match t.policy {
                Policy::Fifo(n) | Policy::RoundRobin(n) => n.into(),
                _ => 0,
            },
            TaskField::SumExec | TaskField::Utime => t.sum_exec_runtime,
            TaskField::Stime => 0,
            TaskField::ExecStart => shown(t.exec_start),
            TaskField::StartTime => shown(t.start_time),
            TaskField::Pcount => t.sched_info.pcount,
            TaskField::RunDelay => t.sched_info.run_delay,
            TaskField::LastArrival => since(t.sched_info.last_arrival),
            TaskField::LastQueued => since(t.sched_info.last_queued),
            TaskField::NrMigrations => t.nr_migrations,
            TaskField::LoadWeight => u64::from(t.weight()) << 10,
            TaskField::Policy => t.policy.number().into(),
            TaskField::NrCpusAllowed => t.nr_cpus_allowed as u64,
            TaskField::CpusPtr => Place { kind: Kind::Task, id: p.0, offset: self.cpus_mask }.addr(),
            TaskField::CpusMask if element * 8 < u64::from(self.cpus_mask_bytes) => {
                t.cpus.words().get(element as usize).copied().unwrap_or(0)
            }
            TaskField::CpusMask => 0,
            TaskField::MigrationDisabled => t.migration_disabled.into(),
            TaskField::Pid => t.pid.into(),
            TaskField::Tgid => t.tgid.into(),
            TaskField::RealParent | TaskField::Parent => {
                let alive = |q: &TaskId| k.find_task(*q).is_some_and(|t| t.state != TaskState::Dead);
                task_addr(t.parent.filter(alive).or_else(|| k.task_by_pid(1)))
            }
            TaskField::GroupLeader => task_addr(k.task_by_pid(t.tgid).or(Some(p))),
            TaskField::Nvcsw => t.nvcsw,
            TaskField::Nivcsw => t.nivcsw,
            TaskField::Comm => t.comm.as_bytes().get(element as usize).copied().unwrap_or(0).into(),
            TaskField::Cpu | TaskField::WakeCpu => t.cpu.0.into(),
            TaskField::Mm | TaskField::ActiveMm => match t.is_kthread() {
                true => 0,
                false => addr(Kind::Opaque, t.tgid),
            },
            TaskField::NumaNid => u64::MAX,
            TaskField::ScxFlags => t.scx.flags_word().into(),
            TaskField::ScxWeight => t.scx.weight.into(),
            TaskField::ScxSlice => t.scx.slice,
            TaskField::ScxVtime => t.scx.dsq_vtime,
            TaskField::ScxDisallow => t.scx.disallow.into(),
            TaskField::ScxStickyCpu => cpu_or_none(t.scx.sticky_cpu),
            TaskField::ScxHoldingCpu => cpu_or_none(t.scx.holding_cpu),
            TaskField::ScxSelectedCpu => cpu_or_none(t.scx.selected_cpu),
            TaskField::ScxTid => t.scx.tid,
            TaskField::ScxDdspDsqId => t.scx.ddsp_dsq_id,
            TaskField::ScxDdspEnqFlags => t.scx.ddsp_enq_flags,
            TaskField::Cgroups => addr(Kind::CssSet, t.cgroup.0),
            TaskField::ScxRunnableAt => shown(t.scx.runnable_at) / k.config.tick_ns(),
        }
    }
}

/// A CPU field; -1 for none.
fn cpu_or_none(cpu: Option<CpuId>) -> u64 {
    cpu.map_or(u64::MAX, |c| c.0.into())
}

fn rq_value(k: &Kernel, cpu: CpuId, field: RqField) -> u64 {
    let rq = &k.rqs[cpu];
    match field {
        RqField::NrRunning => rq.nr_running.into(),
        RqField::Curr => addr(Kind::Task, rq.curr.0),
        RqField::Idle => addr(Kind::Task, rq.idle.0),
        RqField::Stop => addr(Kind::Task, rq.stop.0),
        RqField::NrSwitches => rq.nr_switches,
        RqField::Clock | RqField::ClockTask => shown(rq.clock),
        RqField::ClockPelt => shown(k.clock_pelt(cpu)),
        RqField::LostIdleTime => 0,
        RqField::Cpu => cpu.0.into(),
        RqField::Online => k.online.test(cpu).into(),
        RqField::Capacity => k.topology.cpus[cpu].capacity.into(),
    }
}

fn sub_value(args: &SubArgs, field: SubField, element: u64) -> u64 {
    let a = &args.attrs;
    match field {
        SubField::Ops => addr(Kind::SubOps, 0),
        SubField::Path => addr(Kind::String, string::PATH),
        SubField::CgroupId => a.sub_cgroup_id,
        SubField::Flags => a.flags,
        SubField::TimeoutMs => a.timeout_ms.into(),
        SubField::Batch => a.dispatch_max_batch.into(),
        SubField::DumpLen => a.exit_dump_len.into(),
        SubField::HotplugSeq => a.hotplug_seq,
        SubField::Name => a.name.as_bytes().get(element as usize).copied().unwrap_or(0).into(),
    }
}

fn exit_value(info: &ExitInfo, field: ExitField) -> u64 {
    match field {
        ExitField::Kind => exit_kind_number(info.kind).into(),
        ExitField::Cpu => info.cpu as i64 as u64,
        ExitField::Code => info.code as u64,
        ExitField::Flags => info.flags,
        ExitField::Reason => addr(Kind::String, string::REASON),
        ExitField::Msg => addr(Kind::String, string::MSG),
        ExitField::Dump => addr(Kind::String, string::DUMP),
        ExitField::BtLen => info.bt.len() as u64,
    }
}

fn dump_value(k: &Kernel, ctx: &DumpCtx, field: ToldField) -> u64 {
    match field {
        ToldField::Kind => exit_kind_number(ctx.kind).into(),
        ToldField::Code => ctx.code as u64,
        ToldField::Reason => addr(Kind::String, string::REASON),
        ToldField::AtNs => shown(ctx.at),
        ToldField::AtJiffies => shown(ctx.at) / k.config.tick_ns(),
        ToldField::Task => 0,
    }
}

/// Bytes of a string from `at` on, with NULs behind it.
fn text_value(text: &[u8], at: usize, size: u8) -> u64 {
    let mut value = [0u8; 8];
    for (i, b) in value.iter_mut().take(size.into()).enumerate() {
        *b = text.get(at + i).copied().unwrap_or(0);
    }
    u64::from_le_bytes(value)
}

fn cgroup_value(id: u32, group: &Cgroup, field: CgroupField) -> u64 {
    let parent = |kind| group.parent.map_or(0, |p| addr(kind, p.0));
    match field {
        CgroupField::Itself | CgroupField::Dfl => addr(Kind::Cgroup, id),
        CgroupField::CssParent => parent(Kind::Cgroup),
        CgroupField::Level => group.level.into(),
        CgroupField::Kn => addr(Kind::Kernfs, id),
        CgroupField::Id | CgroupField::CssId => id.into(),
        CgroupField::KnParentOld | CgroupField::KnParent => parent(Kind::Kernfs),
        CgroupField::Name => addr(Kind::String, string::NAME | id),
    }
}
