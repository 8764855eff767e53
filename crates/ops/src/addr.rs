//! Kernel objects in the address space of BPF programs.
//!
//! Kernel objects are not copied into guest memory. A pointer to one is an address in a range of its own, from which
//! kind, number and byte offset can be read back; a load or store there is answered from the live simulated kernel.

use scxr_kernel::cgroup::CgroupId;
use scxr_kernel::ext::ops::InitTaskArgs;

/// Lowest address of kernel objects; the region is where Linux on x86-64 maps its memory.
pub const KERNEL_BASE: u64 = 0xffff_8880_0000_0000;

const KIND_SHIFT: u32 = 40;
const ID_SHIFT: u32 = 16;
/// Numbers of the objects of a kind are below this.
pub const ID_LIMIT: u32 = 1 << (KIND_SHIFT - ID_SHIFT);
const _: () = assert!(CgroupId::LIMIT <= 1 << 20, "a cgroup's id leaves room for what else is told with it");
const _: () = assert!(scxr_kernel::ids::TaskId::LIMIT <= ID_LIMIT, "each task has an address");

/// Kinds of kernel objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `task_struct`; the number is the task's.
    Task = 1,
    /// A `cpumask` that belongs to the kernel; the number says which ([`mask`]).
    Mask = 2,
    /// A `bpf_cpumask` that a program made.
    OwnedMask = 3,
    /// `rq`; the number is the CPU.
    Rq = 4,
    /// `scx_exit_info` of the scheduler that exits.
    ExitInfo = 5,
    /// `scx_init_task_args`; the number is twice the cgroup's id, and 1 more for a fork ([`init_task_args`]).
    InitTaskArgs = 6,
    /// `scx_exit_task_args`; the number is 1 for a cancelled task.
    ExitTaskArgs = 7,
    /// `cgroup`; the number is its id.
    Cgroup = 8,
    /// `kernfs_node` of a cgroup.
    Kernfs = 9,
    /// Bytes of a string ([`string`]); number and offset together are its position.
    String = 10,
    /// Something that programs only compare with NULL, such as an `mm_struct`.
    Opaque = 11,
    /// `css_set` of the tasks of a cgroup.
    CssSet = 12,
    /// `scx_dump_ctx` of the dump under way.
    DumpCtx = 13,
    /// `scx_cpu_acquire_args`, which is empty.
    CpuAcquireArgs = 14,
    /// `scx_cpu_release_args` of the operation under way.
    CpuReleaseArgs = 15,
    /// `scx_cgroup_init_args`; the number is the cgroup's id.
    CgroupInitArgs = 16,
    /// `scx_sub_attach_args`, or `scx_sub_detach_args`, of the operation under way.
    SubArgs = 17,
    /// `sched_ext_ops` of the sub-scheduler that the operation under way is about.
    SubOps = 18,
    /// A variable that each CPU has one of; the number says which. Nothing is behind it.
    Variable = 19,
    /// A CPU's own variable; the number says which and whose.
    CpuVariable = 20,
}

/// Numbers of the kernel's CPU masks.
pub mod mask {
    /// Possible CPUs.
    pub const POSSIBLE: u32 = 0;
    /// Online CPUs.
    pub const ONLINE: u32 = 1;
    /// Idle CPUs.
    pub const IDLE: u32 = 2;
    /// CPUs of wholly idle cores.
    pub const SMT: u32 = 3;
    /// An empty mask, which failing getters return.
    pub const EMPTY: u32 = 4;
    /// Idle CPUs of node `n`: this plus `n`.
    pub const IDLE_NODE: u32 = 0x1_0000;
    /// CPUs of wholly idle cores of node `n`: this plus `n`.
    pub const SMT_NODE: u32 = 0x2_0000;
}

/// Which string: bits 20 to 23 of the number, so that each may have 64 GiB.
pub mod string {
    /// Reason of the exit.
    pub const REASON: u32 = 0 << 20;
    /// Message of the exit.
    pub const MSG: u32 = 1 << 20;
    /// Debug dump.
    pub const DUMP: u32 = 2 << 20;
    /// Name of the cgroup with the id in bits 0 to 19.
    pub const NAME: u32 = 3 << 20;
    /// Path of a sub-scheduler's cgroup.
    pub const PATH: u32 = 4 << 20;
}

/// A place in a kernel object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Kind of the object.
    pub kind: Kind,
    /// Which object of that kind.
    pub id: u32,
    /// Byte in it.
    pub offset: u32,
}

impl Place {
    /// Its address.
    ///
    /// # Panics
    /// If the number is beyond [`ID_LIMIT`]: the address would be another object's.
    pub fn addr(self) -> u64 {
        assert!(self.id < ID_LIMIT, "objects of a kind have numbers below {ID_LIMIT}, not {}", self.id);
        KERNEL_BASE + ((self.kind as u64) << KIND_SHIFT) + (u64::from(self.id) << ID_SHIFT) + u64::from(self.offset)
    }

    /// The place at `addr`, if it is one.
    pub fn at(addr: u64) -> Option<Place> {
        let off = addr.checked_sub(KERNEL_BASE)?;
        let kind = match off >> KIND_SHIFT {
            1 => Kind::Task,
            2 => Kind::Mask,
            3 => Kind::OwnedMask,
            4 => Kind::Rq,
            5 => Kind::ExitInfo,
            6 => Kind::InitTaskArgs,
            7 => Kind::ExitTaskArgs,
            8 => Kind::Cgroup,
            9 => Kind::Kernfs,
            10 => Kind::String,
            11 => Kind::Opaque,
            12 => Kind::CssSet,
            13 => Kind::DumpCtx,
            14 => Kind::CpuAcquireArgs,
            15 => Kind::CpuReleaseArgs,
            16 => Kind::CgroupInitArgs,
            17 => Kind::SubArgs,
            18 => Kind::SubOps,
            19 => Kind::Variable,
            20 => Kind::CpuVariable,
            _ => return None,
        };
        let id = (off >> ID_SHIFT) as u32 & (ID_LIMIT - 1);
        Some(Place { kind, id, offset: off as u32 & ((1 << ID_SHIFT) - 1) })
    }
}

/// Address of the beginning of an object.
pub fn addr(kind: Kind, id: u32) -> u64 {
    Place { kind, id, offset: 0 }.addr()
}

/// Address of what `init_task` is told.
pub fn init_task_args(args: InitTaskArgs) -> u64 {
    addr(Kind::InitTaskArgs, args.cgroup.0 << 1 | u32::from(args.fork))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "numbers below 16777216")]
    fn numbers_do_not_wrap() {
        addr(Kind::Task, ID_LIMIT);
    }

    #[test]
    fn places_round_trip() {
        for kind in [Kind::Task, Kind::Mask, Kind::Rq, Kind::String, Kind::Opaque] {
            for (id, offset) in [(0, 0), (1, 8), (0xff_ffff, 0xffff)] {
                let place = Place { kind, id, offset };
                assert_eq!(Place::at(place.addr()), Some(place));
            }
        }
        for bad in [0, 8, 0x1000_0000_0000, KERNEL_BASE, KERNEL_BASE + (21 << KIND_SHIFT), u64::MAX] {
            assert_eq!(Place::at(bad), None, "{bad:#x}");
        }
    }
}
