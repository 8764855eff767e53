//! Nice values, priorities and weights.

use crate::behavior::Policy;

/// Weight of each nice value from -20 to 19 [sched_prio_to_weight].
const WEIGHTS: [u32; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501,
    1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
];

/// Weight of SCHED_IDLE tasks [WEIGHT_IDLEPRIO].
pub const WEIGHT_IDLEPRIO: u32 = 3;

/// Weight of a nice value in the fair class's scale (nice 0 is 1024).
pub fn nice_to_weight(nice: i8) -> u32 {
    WEIGHTS[(nice.clamp(-20, 19) + 20) as usize]
}

/// Weight of a task in the fair class's scale.
pub fn weight_of(policy: Policy, nice: i8) -> u32 {
    if policy == Policy::Idle { WEIGHT_IDLEPRIO } else { nice_to_weight(nice) }
}

/// The same in the cgroup scale, where nice 0 is 100, between 1 and 10000 [sched_weight_to_cgroup].
pub fn cgroup_weight(weight: u32) -> u32 {
    ((weight * 100 + 512) / 1024).clamp(1, 10_000)
}

/// Priority as the kernel counts it: -1 for deadline tasks, 0 to 98 for RT (highest first), 120 + nice for the others.
pub fn prio_of(policy: Policy, nice: i8) -> i32 {
    match policy {
        Policy::Deadline { .. } => -1,
        Policy::Fifo(p) | Policy::RoundRobin(p) => 99 - i32::from(p),
        _ => 120 + i32::from(nice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_scale() {
        for (nice, weight) in [(-20, 8668), (-5, 305), (0, 100), (5, 33), (10, 11), (19, 1)] {
            assert_eq!(cgroup_weight(nice_to_weight(nice)), weight, "nice {nice}");
        }
        assert_eq!(cgroup_weight(WEIGHT_IDLEPRIO), 1);
    }
}
