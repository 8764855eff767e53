//! Virtual time: average, lag, eligibility, placement, deadlines, and the pick. All of it is arithmetic on one queue.

use crate::fair::entity::{CfsRq, Entity, NICE_0_LOAD, Terms};
use crate::ids::{Ns, TaskId};

/// Virtual time that `delta` ns take at a stored weight (rule 0.2) [calc_delta_fair].
#[inline]
pub(crate) fn vdelta(delta: Ns, weight: u64) -> i64 {
    if weight == NICE_0_LOAD {
        return delta as i64;
    }
    match delta.checked_mul(NICE_0_LOAD) {
        Some(product) => (product / weight) as i64,
        None => (u128::from(delta) * u128::from(NICE_0_LOAD) / u128::from(weight)) as i64,
    }
}

fn floor_div(a: i128, b: u64) -> i64 {
    match i64::try_from(a) {
        Ok(a) => a.div_euclid(b as i64),
        Err(_) => a.div_euclid(i128::from(b)) as i64,
    }
}

impl Entity {
    /// Takes its own slice, or the default one.
    fn take_slice(&mut self, base_slice: Ns) {
        self.slice = self.custom_slice.unwrap_or(base_slice);
    }

    /// A new deadline once the old one is reached (rule 3.2) [update_deadline]. True if it was.
    pub(crate) fn renew_deadline(&mut self, base_slice: Ns) -> bool {
        if self.vruntime < self.deadline {
            return false;
        }
        self.take_slice(base_slice);
        self.deadline = self.vruntime + vdelta(self.slice, self.weight);
        true
    }

    /// Protection at a switch-in (rule 3.3) [set_protect_slice]. `waiting`: the least slice among the waiting.
    pub(crate) fn protect(&mut self, waiting: Option<Ns>) {
        self.vprot = match waiting {
            Some(s) if s < self.slice => self.deadline.min(self.vruntime + vdelta(s, self.weight)),
            _ => self.deadline,
        };
    }
}

impl CfsRq {
    /// Sum and weight over tree and running entity.
    #[inline]
    fn sums(&self, curr: Option<Terms>) -> (i128, u64) {
        match curr {
            None => (self.sum_w_vruntime, self.sum_weight),
            Some(c) => {
                let key = i128::from(c.vruntime - self.zero_vruntime);
                (self.sum_w_vruntime + key * i128::from(c.weight), self.sum_weight + c.weight)
            }
        }
    }

    /// Average virtual time V, to which the reference is moved (rule 1.3) [avg_vruntime]. `curr`: the running entity, if it
    /// is queued.
    pub(crate) fn avg_vruntime(&mut self, curr: Option<Terms>) -> i64 {
        let v = match curr {
            Some(c) if self.tree.is_empty() => c.vruntime,
            None if self.tree.is_empty() => return self.zero_vruntime,
            _ => {
                let (sum, weight) = self.sums(curr);
                self.zero_vruntime + floor_div(sum, weight)
            }
        };
        let moved = i128::from(v - self.zero_vruntime);
        self.sum_w_vruntime -= moved * i128::from(self.sum_weight);
        self.zero_vruntime = v;
        v
    }

    /// May an entity of this vruntime run? (rule 2.2) [vruntime_eligible] An exact product, no division.
    #[inline]
    pub(crate) fn eligible(&self, curr: Option<Terms>, vruntime: i64) -> bool {
        let (sum, weight) = self.sums(curr);
        sum >= i128::from(vruntime - self.zero_vruntime) * i128::from(weight)
    }

    /// Least slice and greatest, of the waiting and the running.
    fn slices(&self, curr: Option<Terms>) -> Option<(Ns, Ns)> {
        match (self.tree.slices(), curr) {
            (Some((lo, hi)), Some(c)) => Some((lo.min(c.slice), hi.max(c.slice))),
            (None, Some(c)) => Some((c.slice, c.slice)),
            (waiting, None) => waiting,
        }
    }

    /// Least slice in the queue, the running entity's included.
    pub(crate) fn min_slice(&self, curr: Option<Terms>) -> Option<Ns> {
        self.slices(curr).map(|(lo, _)| lo)
    }

    /// Lag of a queued entity, within its limits (rule 2.1) [entity_lag].
    pub(crate) fn lag(&mut self, curr: Option<Terms>, se: &Entity, tick: Ns) -> i64 {
        let v = self.avg_vruntime(curr);
        let longest = self.slices(curr).map_or(se.slice, |(_, hi)| hi);
        let limit = vdelta(longest + tick, se.weight);
        (v - se.vruntime).clamp(-limit, limit)
    }

    /// Records the lag of an entity that leaves or becomes delayed (rules 4.3, 5.3) [update_entity_lag].
    pub(crate) fn record_lag(&mut self, curr: Option<Terms>, se: &mut Entity, tick: Ns) {
        let lag = self.lag(curr, se, tick);
        se.vlag = if se.delayed { lag.max(se.vlag).min(0) } else { lag };
    }

    /// Gives an entity that comes in its vruntime and deadline (rules 4.1, 4.2) [place_entity].
    pub(crate) fn place(&mut self, curr: Option<Terms>, se: &mut Entity, base_slice: Ns, initial: bool) {
        se.take_slice(base_slice);
        let v = self.avg_vruntime(curr);
        let mut lag = 0;
        if self.nr_queued > 0 && se.vlag != 0 {
            let load = i128::from(self.sum_weight + curr.map_or(0, |c| c.weight));
            lag = (i128::from(se.vlag) * (load + i128::from(se.weight)) / load.max(1)) as i64;
        }
        se.vruntime = v - lag;
        if std::mem::take(&mut se.rel_deadline) {
            se.deadline += se.vruntime;
            return;
        }
        let vslice = vdelta(se.slice, se.weight);
        se.deadline = se.vruntime + if initial { vslice / 2 } else { vslice };
    }

    /// Puts an entity among the waiting ones [__enqueue_entity].
    pub(crate) fn insert(&mut self, p: TaskId, se: &mut Entity) {
        let key = i128::from(se.vruntime - self.zero_vruntime);
        self.sum_w_vruntime += key * i128::from(se.weight);
        self.sum_weight += se.weight;
        se.key = self.tree.insert(p, se.deadline, se.vruntime, se.slice);
    }

    /// Takes an entity out of the waiting ones [__dequeue_entity].
    pub(crate) fn remove(&mut self, se: &Entity) {
        let key = i128::from(se.vruntime - self.zero_vruntime);
        self.sum_w_vruntime -= key * i128::from(se.weight);
        self.sum_weight -= se.weight;
        self.tree.remove(se.key);
    }

    /// The entity to run (rule 2.3) [pick_eevdf]. `curr`: the running entity, if it is queued. `protect`: it may go on while
    /// its slice is protected.
    pub(crate) fn pick(&self, curr: Option<(TaskId, Terms)>, protect: bool) -> Option<TaskId> {
        let terms = curr.map(|(_, t)| t);
        if self.nr_queued == 1 {
            return curr.map(|(p, _)| p).or_else(|| self.tree.root());
        }
        let (sum, weight) = self.sums(terms);
        let weight = i128::from(weight);
        let eligible = |v: i64| sum >= i128::from(v - self.zero_vruntime) * weight;
        let curr = curr.filter(|(_, t)| eligible(t.vruntime));
        if let Some((p, t)) = curr
            && protect
            && t.vruntime < t.vprot
        {
            return Some(p);
        }
        match (curr, self.tree.first(eligible)) {
            (Some((p, t)), Some((_, deadline))) if t.deadline < deadline => Some(p),
            (_, Some((best, _))) => Some(best),
            (curr, None) => curr.map(|(p, _)| p),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fair::entity::stored_weight;

    const SLICE: Ns = 3_000_000;
    const TICK: Ns = 4_000_000;

    fn entity(vruntime: i64, deadline: i64, weight: u32) -> Entity {
        Entity { vruntime, deadline, weight: stored_weight(weight), slice: SLICE, ..Entity::default() }
    }

    fn queue(entities: &[(i64, i64, u32)]) -> CfsRq {
        let mut q = CfsRq::default();
        for (i, &(v, d, w)) in entities.iter().enumerate() {
            q.insert(TaskId(i as u32), &mut entity(v, d, w));
            q.nr_queued += 1;
        }
        q
    }

    #[test]
    fn virtual_time_is_inverse_to_weight() {
        for (delta, weight, v) in [
            (1_000, 1024, 1_000),
            (1_000, 2048, 500),
            (1_000, 820, 1_248),
            (1_000, 15, 68_266),
            (3, 88761, 0),
            (1 << 50, 512, 1 << 51),
        ] {
            assert_eq!(vdelta(delta, stored_weight(weight)), v, "{delta} at {weight}");
        }
    }

    #[test]
    fn average_is_the_floor_of_the_weighted_mean() {
        let check = |entities: &[(i64, i64, u32)], curr: Option<(i64, u32)>, v: i64| {
            let terms = curr.map(|(v, w)| entity(v, 0, w).terms());
            assert_eq!(queue(entities).avg_vruntime(terms), v, "{entities:?} {curr:?}");
        };
        check(&[], None, -(1 << 20));
        check(&[], Some((77, 1024)), 77);
        check(&[(10, 0, 1024), (20, 0, 1024)], None, 15);
        check(&[(10, 0, 1024), (21, 0, 1024)], None, 15);
        check(&[(-10, 0, 1024), (-21, 0, 1024)], None, -16);
        check(&[(0, 0, 3072)], Some((100, 1024)), 25);
    }

    #[test]
    fn moving_the_reference_changes_nothing() {
        let mut q = queue(&[(10, 0, 15), (1_000_003, 0, 88761), (-77, 0, 820)]);
        let v = q.avg_vruntime(None);
        assert_eq!((q.avg_vruntime(None), q.zero_vruntime), (v, v));
        assert!(q.eligible(None, v) && !q.eligible(None, v + 1));
    }

    #[test]
    fn the_pick_is_the_earliest_deadline_among_the_eligible() {
        // Task 0 has the earliest deadline but has run more than the mean.
        let q = queue(&[(100, 5, 1024), (0, 20, 1024), (10, 15, 1024)]);
        assert_eq!(q.pick(None, true), Some(TaskId(2)));
        let check = |v, deadline, vprot, protect, picked| {
            let mut q = queue(&[(0, 20, 1024)]);
            q.nr_queued += 1;
            let mut c = entity(v, deadline, 1024);
            c.vprot = vprot;
            let curr = Some((TaskId(9), c.terms()));
            assert_eq!(q.pick(curr, protect), Some(TaskId(picked)), "{v} {deadline} {vprot}");
        };
        check(0, 30, 1, true, 9); // protected
        check(0, 30, 0, true, 0); // past its protection
        check(0, 30, 1, false, 0); // protection is not asked for
        check(0, 19, 0, true, 9); // earlier deadline
        check(0, 20, 0, true, 0); // a tie goes to the waiting one
        check(1, 10, 100, true, 0); // ineligible: no protection (rule 2.4)
    }

    proptest! {
        #[test]
        fn same_as_arithmetic_on_a_list(
            steps in prop::collection::vec((0u8..4, -5_000_000i64..5_000_000, 0usize..40), 1..150),
            curr in prop::option::of((-5_000_000i64..5_000_000, 0usize..40)),
        ) {
            let (mut q, mut list) = (CfsRq::default(), Vec::<(TaskId, Entity)>::new());
            let weight = |i: usize| crate::prio::nice_to_weight(i as i8 - 20);
            let curr = curr.map(|(v, i)| entity(v, v + 1_000, weight(i)).terms());
            for (i, (op, v, w)) in steps.into_iter().enumerate() {
                if op > 0 || list.is_empty() {
                    let mut se = entity(v, v + vdelta(SLICE, stored_weight(weight(w))), weight(w));
                    q.insert(TaskId(i as u32), &mut se);
                    list.push((TaskId(i as u32), se));
                } else {
                    q.remove(&list.swap_remove(w % list.len()).1);
                }
                q.nr_queued = list.len() as u32 + u32::from(curr.is_some());
                let all = list.iter().map(|(_, e)| e.terms()).chain(curr);
                let (sum, total) = all.fold((0i128, 0i128), |(s, t), e| {
                    (s + i128::from(e.vruntime) * i128::from(e.weight), t + i128::from(e.weight))
                });
                if total == 0 {
                    continue;
                }
                let mean = sum.div_euclid(total);
                prop_assert_eq!(i128::from(q.avg_vruntime(curr)), mean);
                let may = |v: i64| i128::from(v) * total <= sum;
                prop_assert_eq!(q.eligible(curr, v), may(v));
                let waiting = list.iter().filter(|(_, e)| may(e.vruntime));
                let best = waiting.min_by_key(|(p, e)| (e.deadline, *p)).map(|(p, e)| (*p, e.deadline));
                let first = curr.filter(|c| may(c.vruntime) && best.is_none_or(|(_, d)| c.deadline < d));
                let expect = first.map(|_| TaskId(u32::MAX)).or(best.map(|(p, _)| p));
                prop_assert_eq!(q.pick(curr.map(|c| (TaskId(u32::MAX), c)), false), expect);
            }
        }
    }

    #[test]
    fn placement_keeps_the_lag() {
        for (vlag, weight) in [(1_000_000, 1024), (-1_000_000, 1024), (500_000, 88761), (-7, 15)] {
            let mut q = queue(&[(5_000_000, 0, 1024), (6_000_000, 0, 335)]);
            let mut se = entity(0, 0, weight);
            se.vlag = vlag;
            q.place(None, &mut se, SLICE, false);
            q.insert(TaskId(7), &mut se);
            q.nr_queued += 1;
            let v = q.avg_vruntime(None);
            assert!((v - se.vruntime - vlag).abs() <= 1, "{vlag}: {}", v - se.vruntime);
            assert_eq!(se.deadline - se.vruntime, vdelta(SLICE, se.weight));
        }
    }

    #[test]
    fn an_empty_queue_forgets_lag_and_a_new_task_gets_half_a_slice() {
        let mut q = CfsRq::default();
        let mut se = entity(0, 0, 1024);
        se.vlag = 12345;
        q.place(None, &mut se, SLICE, true);
        assert_eq!(se.vruntime, -(1 << 20));
        assert_eq!(se.deadline - se.vruntime, SLICE as i64 / 2);
    }

    #[test]
    fn lag_is_limited_by_slice_and_tick() {
        let mut q = queue(&[(0, 0, 1024), (1 << 40, 0, 1024)]);
        let se = entity(0, 0, 1024);
        assert_eq!(q.lag(None, &se, TICK), (SLICE + TICK) as i64);
        let late = entity(1 << 40, 0, 2048);
        assert_eq!(q.lag(None, &late, TICK), -((SLICE + TICK) as i64) / 2);
    }

    #[test]
    fn a_delayed_entity_cannot_gain() {
        for (recorded, v, kept) in [(-500, 1_000, 0), (-500, -1_000_000, -500), (-500, 900, -50)] {
            let mut q = queue(&[(v, 0, 1024), (v, 0, 1024)]);
            let mut se = entity(950, 0, 1024);
            (se.vlag, se.delayed) = (recorded, true);
            q.record_lag(None, &mut se, TICK);
            assert_eq!(se.vlag, kept, "{recorded} {v}");
        }
    }

    #[test]
    fn a_weight_change_stretches_lag_and_remaining_deadline() {
        let mut se = entity(0, 3_000, 1024);
        (se.vlag, se.rel_deadline) = (-600, true);
        se.reweight(stored_weight(2048));
        assert_eq!((se.vlag, se.deadline), (-300, 1_500));
    }
}
