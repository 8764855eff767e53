//! What `.kconfig` externs of objects see.

use crate::version::KernelVersion;

/// Number of CPUs that a cpumask of the modelled kernel has room for. It is part of the ABI: cpumask words follow
/// from it, and distribution kernels use this value.
pub const NR_CPUS: u32 = 8192;

/// A configuration value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KconfigValue {
    /// A number, e.g. `CONFIG_HZ`.
    Int(u64),
    /// An option that is built in.
    Yes,
    /// A string, without quotes.
    Str(&'static str),
}

/// The value of `name` on a kernel of `version` with `hz` ticks a second. `None` for an option that is not set: a weak
/// extern then reads as 0, a strong one is refused.
pub fn kconfig(version: KernelVersion, hz: u32, name: &str) -> Option<KconfigValue> {
    Some(match name {
        "LINUX_KERNEL_VERSION" => KconfigValue::Int(u64::from(version.code())),
        "CONFIG_HZ" => KconfigValue::Int(u64::from(hz)),
        "CONFIG_NR_CPUS" => KconfigValue::Int(u64::from(NR_CPUS)),
        "LINUX_HAS_SYSCALL_WRAPPER" | "LINUX_HAS_BPF_COOKIE" => KconfigValue::Int(1),
        "CONFIG_CC_VERSION_TEXT" => KconfigValue::Str("scxr modelled kernel"),
        "CONFIG_LOCALVERSION" => KconfigValue::Str(""),
        "CONFIG_SCHED_CLASS_EXT" | "CONFIG_EXT_GROUP_SCHED" | "CONFIG_BPF_SYSCALL" | "CONFIG_BPF_JIT" => {
            KconfigValue::Yes
        }
        "CONFIG_SMP" | "CONFIG_NUMA" | "CONFIG_SCHED_CORE" | "CONFIG_SCHED_MC" | "CONFIG_SCHED_SMT" => {
            KconfigValue::Yes
        }
        "CONFIG_CGROUPS" | "CONFIG_CGROUP_SCHED" | "CONFIG_FAIR_GROUP_SCHED" | "CONFIG_CFS_BANDWIDTH" => {
            KconfigValue::Yes
        }
        "CONFIG_X86_64" | "CONFIG_64BIT" | "CONFIG_PREEMPT_RCU" | "CONFIG_PREEMPTION" | "CONFIG_PREEMPT_DYNAMIC" => {
            KconfigValue::Yes
        }
        "CONFIG_NO_HZ_COMMON" | "CONFIG_NO_HZ_FULL" | "CONFIG_HIGH_RES_TIMERS" => KconfigValue::Yes,
        _ => return None,
    })
}
