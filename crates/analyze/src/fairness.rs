//! How CPU time was shared, against weights.

use crate::report::Fairness;

/// A task that always wanted to run: its weight and the time that it got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Got {
    pub(crate) weight: u32,
    pub(crate) cpu_ns: u64,
}

/// Compares what each got with what was due to it: its weight's part of what all got, at most `cpu_ns_max` (one CPU for the
/// length of the run). What is cut off there is shared out among the others.
pub(crate) fn fairness(tasks: &[Got], cpu_ns_max: u64) -> Fairness {
    let nr_tasks = tasks.len() as u64;
    let due = due(tasks, cpu_ns_max as f64);
    let ratios: Vec<f64> =
        tasks.iter().zip(&due).filter(|(_, due)| **due > 0.0).map(|(t, due)| t.cpu_ns as f64 / due).collect();
    let deviation_max = ratios.iter().map(|r| (r - 1.0).abs()).fold(0.0, f64::max);
    let (sum, squares) = ratios.iter().fold((0.0, 0.0), |(s, q), r| (s + r, q + r * r));
    let jain = match squares > 0.0 {
        true => sum * sum / (ratios.len() as f64 * squares),
        false => 1.0,
    };
    Fairness { nr_tasks, deviation_max, jain }
}

/// What is due to each: the heaviest are cut at the cap first, then the rest is shared by weight.
fn due(tasks: &[Got], cap: f64) -> Vec<f64> {
    let mut left: f64 = tasks.iter().map(|t| t.cpu_ns as f64).sum();
    let mut weights: f64 = tasks.iter().map(|t| f64::from(t.weight)).sum();
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(tasks[i].weight));
    let mut due = vec![0.0; tasks.len()];
    for i in order {
        let weight = f64::from(tasks[i].weight);
        due[i] = match weights > 0.0 {
            true => (left * weight / weights).min(cap),
            false => 0.0,
        };
        left -= due[i];
        weights -= weight;
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tasks: &[(u32, u64)], cap: u64) -> Fairness {
        let tasks: Vec<Got> = tasks.iter().map(|&(weight, cpu_ns)| Got { weight, cpu_ns }).collect();
        fairness(&tasks, cap)
    }

    #[test]
    fn exact_shares_are_fair() {
        let f = check(&[(300, 750), (100, 250)], 1000);
        assert!(f.deviation_max < 1e-9 && f.jain > 1.0 - 1e-9, "{f:?}");
    }

    #[test]
    fn a_task_is_due_one_cpu_at_most() {
        // Two CPUs of 1000 ns: the heavy task can have one of them only.
        let f = check(&[(900, 1000), (50, 500), (50, 500)], 1000);
        assert!(f.deviation_max < 1e-9, "{f:?}");
    }

    #[test]
    fn one_has_all() {
        let f = check(&[(100, 1000), (100, 0)], 1000);
        assert!((f.deviation_max - 1.0).abs() < 1e-9 && (f.jain - 0.5).abs() < 1e-9);
    }

    #[test]
    fn nobody() {
        assert_eq!(check(&[], 1000).nr_tasks, 0);
    }
}
