//! Who is admitted: parameters that make sense, and bandwidth for all who have been promised some.

use super::cbs::ratio;
use super::server::Which;
use crate::behavior::Policy;
use crate::class::ClassId;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::irq::Timer;
use crate::state::State;
use crate::topology::CAPACITY_SCALE;

/// Share of the time that the class may take, of [`super::cbs::BW_UNIT`]: 95 % [sched_rt_runtime_us, sched_rt_period_us].
const LIMIT: u64 = (950_000 << 20) / 1_000_000;
/// Least runtime, ns [DL_SCALE].
const RUNTIME_MIN_NS: Ns = 1 << 10;
/// Shortest and longest period, ns [sysctl_sched_dl_period_min, sysctl_sched_dl_period_max].
const PERIOD_NS: std::ops::RangeInclusive<Ns> = 100_000..=(1 << 22) * 1_000;

/// Deadline part of the machine.
#[derive(Clone, Debug, Default)]
pub struct Dl {
    /// Bandwidth that tasks have been promised; that of servers comes on top.
    task_bw: u64,
    /// Queued tasks of the class on all CPUs.
    pub(super) nr_queued: u32,
}

/// Why a task does not get what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamsError {
    /// The parameters make no sense (EINVAL).
    Invalid,
    /// The task may not use all CPUs (EPERM).
    Confined,
    /// There is not so much bandwidth (EBUSY).
    NoBandwidth,
}

/// runtime <= deadline <= period, within limits [__checkparam_dl].
pub(crate) fn check_params(policy: Policy) -> bool {
    let Policy::Deadline { runtime, deadline, period } = policy else { return true };
    let period = if period == 0 { deadline } else { period };
    (RUNTIME_MIN_NS..=deadline).contains(&runtime) && deadline <= period && PERIOD_NS.contains(&period)
}

fn active(s: &State) -> impl Iterator<Item = CpuId> {
    s.online.iter().filter(|&cpu| s.rqs[cpu].active)
}

/// Capacity of the CPUs that can be used [dl_bw_capacity].
fn capacity(s: &State) -> u64 {
    active(s).map(|cpu| u64::from(s.topology.cpus[cpu].capacity)).sum()
}

/// Bandwidth of the servers of `cpu` that is accounted.
fn servers_bw(s: &State, cpu: CpuId) -> u64 {
    let servers = Which::ALL.iter().map(|&which| s.rqs[cpu].dl.server(which));
    servers.filter(|e| e.is_attached()).map(|e| e.bandwidth()).sum()
}

impl State {
    /// Bandwidth that tasks and servers have been promised on all CPUs together, of 2^20 a CPU [total_bw].
    pub fn deadline_bandwidth(&self) -> u64 {
        active(self).map(|cpu| servers_bw(self, cpu)).sum::<u64>() + self.dl.task_bw
    }
}

fn within(capacity: u64, bandwidth: u64) -> bool {
    bandwidth <= LIMIT * capacity / u64::from(CAPACITY_SCALE)
}

/// Is there room for `new` in the place of `old`? [__dl_overflow]
pub(super) fn fits(s: &State, old: u64, new: u64) -> bool {
    within(capacity(s), s.deadline_bandwidth().saturating_sub(old) + new)
}

/// May `p` not use all CPUs that the class may place it on?
pub(crate) fn confined(s: &State, cpus: &CpuMask) -> bool {
    active(s).any(|cpu| !cpus.test(cpu))
}

/// `p` asks for `policy`: is it granted? [sched_dl_overflow] Rq lock held.
pub(crate) fn admit(k: &mut Kernel, p: TaskId, policy: Policy) -> Result<(), ParamsError> {
    let Policy::Deadline { runtime, deadline, period } = policy else { return Ok(()) };
    let t = k.task(p);
    let old = if t.class == ClassId::Dl { t.dl.bandwidth() } else { 0 };
    let new = ratio(if period == 0 { deadline } else { period }, runtime);
    if confined(k, &t.cpus) {
        return Err(ParamsError::Confined);
    }
    if !fits(k, old, new) {
        return Err(ParamsError::NoBandwidth);
    }
    k.dl.task_bw = k.dl.task_bw - old + new;
    Ok(())
}

/// `p` leaves the class: others may have its bandwidth when it has no claim on more than it used [task_non_contending].
pub(crate) fn release_bandwidth(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let clock = k.rqs[cpu].clock;
    let e = &k.task(p).dl;
    let (bandwidth, granted) = (e.bandwidth(), i128::from(e.granted.max(1)));
    let claimed = i128::from(e.runtime) * i128::from(e.period) / granted;
    let zero_lag = i128::from(e.deadline) - claimed;
    match Ns::try_from(zero_lag) {
        Ok(at) if at > clock => k.start_timer(at, Timer::DeadlineBandwidth(bandwidth)),
        _ => released(k, bandwidth),
    }
}

/// Bandwidth is free again [inactive_task_timer].
pub(crate) fn released(k: &mut Kernel, bandwidth: u64) {
    k.dl.task_bw -= bandwidth;
}

/// May `cpu` go? Not if tasks were promised what the others cannot give [dl_bw_deactivate].
pub(crate) fn check_deactivation(s: &State, cpu: CpuId) -> bool {
    let left = s.deadline_bandwidth() - servers_bw(s, cpu);
    left == 0 || within(capacity(s) - u64::from(s.topology.cpus[cpu].capacity), left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        for (runtime, deadline, period, ok) in [
            (1_000_000, 10_000_000, 0, true),
            (1_000_000, 10_000_000, 20_000_000, true),
            (10_000_000, 10_000_000, 10_000_000, true),
            (1_000, 10_000_000, 0, false),
            (11_000_000, 10_000_000, 0, false),
            (1_000_000, 30_000_000, 20_000_000, false),
            (1_024, 99_000, 0, false),
            (1_000_000, 10_000_000, 5_000_000_000, false),
            (0, 0, 0, false),
        ] {
            let policy = Policy::Deadline { runtime, deadline, period };
            assert_eq!(check_params(policy), ok, "{policy:?}");
        }
    }
}
