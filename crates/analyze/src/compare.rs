//! Comparison of schedulers over several seeds.

use serde::Serialize;

use crate::report::Report;

/// Mean and spread of a metric over seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Number of samples.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval (Student's t); 0 where there is one sample only.
    pub ci95: f64,
}

impl Estimate {
    /// From samples; `None` if there are none.
    pub fn of(samples: &[f64]) -> Option<Estimate> {
        let n = samples.len();
        if n == 0 {
            return None;
        }
        let mean = samples.iter().sum::<f64>() / n as f64;
        let squares: f64 = samples.iter().map(|x| (x - mean).powi(2)).sum();
        let ci95 = match n {
            1 => 0.0,
            _ => student_t95(n - 1) * (squares / (n - 1) as f64 / n as f64).sqrt(),
        };
        Some(Estimate { n, mean, ci95 })
    }
}

/// The 97.5 % quantile of Student's t with `df` degrees of freedom. Between rows of the table the smaller `df`, that is the
/// wider interval, is taken.
fn student_t95(df: usize) -> f64 {
    const SMALL: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    match df {
        0 => f64::INFINITY,
        1..=30 => SMALL[df - 1],
        31..=39 => 2.042,
        40..=59 => 2.021,
        60..=119 => 2.000,
        _ => 1.980,
    }
}

/// What is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Small values.
    Lower,
    /// Large values.
    Higher,
    /// Neither as such.
    Neither,
}

/// A figure that runs are compared by.
pub struct Metric {
    /// Name.
    pub name: &'static str,
    /// Unit; empty for counts and ratios.
    pub unit: &'static str,
    /// What is better.
    pub better: Better,
    /// `None`: the run has no such figure.
    read: fn(&Report) -> Option<f64>,
}

const fn metric(name: &'static str, unit: &'static str, better: Better, read: fn(&Report) -> Option<f64>) -> Metric {
    Metric { name, unit, better, read }
}

/// All figures that runs are compared by.
pub static METRICS: &[Metric] = &[
    metric("operations", "1/s", Better::Higher, |r| Some(r.work.per_second)),
    metric("completed at", "ns", Better::Lower, |r| r.totals.completed_ns.map(|ns| ns as f64)),
    metric("operation p50", "ns", Better::Lower, |r| Some(r.work.latency_ns.p50 as f64)),
    metric("operation p99", "ns", Better::Lower, |r| Some(r.work.latency_ns.p99 as f64)),
    metric("wakeup p50", "ns", Better::Lower, |r| Some(r.latency_ns.wakeup.p50 as f64)),
    metric("wakeup p99", "ns", Better::Lower, |r| Some(r.latency_ns.wakeup.p99 as f64)),
    metric("wakeup p99.9", "ns", Better::Lower, |r| Some(r.latency_ns.wakeup.p999 as f64)),
    metric("runqueue p99", "ns", Better::Lower, |r| Some(r.latency_ns.runqueue.p99 as f64)),
    metric("fairness (Jain)", "", Better::Higher, |r| Some(r.fairness.jain)),
    metric("unfairness, largest", "", Better::Lower, |r| Some(r.fairness.deviation_max)),
    metric("CPU time of tasks", "ns", Better::Higher, |r| Some(r.cpus.iter().map(|c| c.busy_ns).sum::<u64>() as f64)),
    metric("idle with work", "ns", Better::Lower, |r| Some(r.totals.idle_with_work_ns as f64)),
    metric("context switches", "", Better::Neither, |r| Some(r.totals.context_switches as f64)),
    metric("migrations", "", Better::Lower, |r| Some(r.totals.migrations as f64)),
];

/// One scheduler's figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Over its seeds; `None` where nothing ran.
    pub value: Option<Estimate>,
    /// Against the first scheduler, seed by seed; `None` for the first, and where the first's figure is 0 or missing.
    pub ratio: Option<Estimate>,
}

/// One figure of all schedulers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The figure.
    pub metric: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What is better.
    pub better: Better,
    /// In the order of the schedulers.
    pub cells: Vec<Cell>,
}

/// Compares schedulers by the reports of their runs, one for each seed, in the same order for all; none for a scheduler that
/// did not run. Ratios are taken seed by seed, so that what a seed does to all of them cancels. A figure that one of the runs
/// does not have has no row.
pub fn compare(runs: &[&[Report]]) -> Vec<Row> {
    let row = |m: &Metric| {
        let samples = runs.iter().map(|r| r.iter().map(m.read).collect::<Option<Vec<f64>>>());
        let samples: Vec<Vec<f64>> = samples.collect::<Option<_>>()?;
        Some(Row { metric: m.name, unit: m.unit, better: m.better, cells: cells(&samples) })
    };
    METRICS.iter().filter_map(row).collect()
}

fn cells(samples: &[Vec<f64>]) -> Vec<Cell> {
    let cell = |(i, own): (usize, &Vec<f64>)| {
        let pairs = own.iter().zip(&samples[0]);
        let ratios: Option<Vec<f64>> = pairs.map(|(a, b)| (*b != 0.0).then_some(a / b)).collect();
        Cell { value: Estimate::of(own), ratio: ratios.filter(|_| i > 0).and_then(|r| Estimate::of(&r)) }
    };
    samples.iter().enumerate().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates() {
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::of(&[5.0]).map(|e| (e.mean, e.ci95)), Some((5.0, 0.0)));
        let e = Estimate::of(&[1.0, 2.0, 3.0]).unwrap();
        // s = 1, t(2) = 4.303, 4.303 / sqrt(3) = 2.484
        assert!((e.mean - 2.0).abs() < 1e-12 && (e.ci95 - 2.4844).abs() < 1e-3, "{e:?}");
    }

    #[test]
    fn ratios_are_taken_seed_by_seed() {
        let rows = cells(&[vec![1.0, 10.0], vec![2.0, 20.0], vec![0.0, 5.0]]);
        let second = rows[1].ratio.unwrap();
        assert_eq!((second.mean, second.ci95), (2.0, 0.0));
        assert_eq!(rows[2].ratio.unwrap().mean, 0.25);
        assert_eq!(rows[0].ratio, None);
        assert_eq!(cells(&[vec![0.0], vec![1.0]])[1].ratio, None);
        let absent = cells(&[vec![1.0], vec![]]);
        assert_eq!((absent[1].value, absent[1].ratio), (None, None));
    }

    #[test]
    fn every_metric_that_all_runs_have_has_a_row() {
        let completed = |completed_ns| {
            let mut r = Report::default();
            r.totals.completed_ns = completed_ns;
            r
        };
        let (slow, fast, never) = (completed(Some(10)), completed(Some(5)), completed(None));
        for (runs, nr_rows) in [([&slow, &fast], METRICS.len()), ([&slow, &never], METRICS.len() - 1)] {
            let rows = compare(&runs.map(std::slice::from_ref));
            assert_eq!(rows.len(), nr_rows);
            assert!(rows.iter().all(|r| r.cells.len() == 2));
        }
        let rows = compare(&[&slow, &fast].map(std::slice::from_ref));
        let row = rows.iter().find(|r| r.metric == "completed at").expect("its row");
        assert_eq!((row.cells[0].value.map(|v| v.mean), row.cells[1].ratio.map(|r| r.mean)), (Some(10.0), Some(0.5)));
    }
}
