//! Verdicts as text: a table of one cell, or all cells in Markdown.

use comfy_table::{CellAlignment, Table, presets};

use super::judge::Row;
use super::tolerance::{Kind, Verdict};
use super::{Cell, Json};
use crate::report::human;

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Agree => "agree",
            Verdict::Differ => "differ",
            Verdict::NotMeasured => "not measured",
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Verdict::Agree => "",
            Verdict::Differ => "**≠**",
            Verdict::NotMeasured => "–",
        }
    }
}

impl Row {
    fn shown(&self) -> [String; 2] {
        self.values.map(|x| match self.kind {
            Kind::Share => format!("{:.1} %", 100.0 * x),
            Kind::Latency { .. } => human::time(x),
            Kind::Count | Kind::Exact => format!("{x:.0}"),
        })
    }

    fn difference(&self) -> String {
        let [a, b] = self.values;
        match self.kind {
            Kind::Share => format!("{:+.1} points", 100.0 * (b - a)),
            _ if a == 0.0 => String::new(),
            _ => format!("{:+.0} %", 100.0 * (b - a) / a),
        }
    }
}

/// One cell for a terminal.
pub(super) fn cell(json: &Json<'_>, cell: &Cell) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["scheduler", "metric", json.on[0], json.on[1], "difference", "verdict"]);
    for row in &cell.rows {
        let [a, b] = row.shown();
        table.add_row([row.scheduler.clone(), row.metric.clone(), a, b, row.difference(), row.verdict.word().into()]);
    }
    table.column_iter_mut().skip(2).take(3).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
    let lines: Vec<String> = table.to_string().lines().map(|l| l.trim_end().to_owned()).collect();
    format!(
        "{} · {} CPUs · seed {} · {} {} against {} {}\n\n{}\n\n{}\n",
        cell.workload,
        cell.machine,
        json.seed,
        json.on[0],
        json.kernels[0],
        json.on[1],
        json.kernels[1],
        lines.join("\n"),
        sums(&cell.rows.iter().collect::<Vec<_>>()),
    )
}

/// All cells in Markdown: how many figures agree in each, then every figure.
pub(super) fn markdown(json: &Json<'_>) -> String {
    let all: Vec<&Row> = json.cells.iter().flat_map(|c| &c.rows).collect();
    let mut out =
        format!("{} {} against {} {}. {}.\n", json.on[0], json.kernels[0], json.on[1], json.kernels[1], sums(&all));
    let schedulers = in_order(all.iter().map(|r| r.scheduler.as_str()));
    let machines = in_order(json.cells.iter().map(|c| c.machine.as_str()));
    let workloads = in_order(json.cells.iter().map(|c| c.workload.as_str()));
    out += &format!("\n| figures that differ | {} |\n|---|{}\n", machines.join(" | "), "---:|".repeat(machines.len()));
    for workload in workloads {
        for scheduler in &schedulers {
            let of = |machine: &&str| {
                let cell = json.cells.iter().find(|c| c.machine == *machine && c.workload == workload);
                let rows: Vec<&Row> =
                    cell.into_iter().flat_map(|c| &c.rows).filter(|r| r.scheduler == *scheduler).collect();
                let judged = rows.iter().filter(|r| r.verdict != Verdict::NotMeasured).count();
                format!("{} of {judged}", rows.iter().filter(|r| r.verdict == Verdict::Differ).count())
            };
            let counts: Vec<String> = machines.iter().map(of).collect();
            out += &format!("| {workload} · {scheduler} | {} |\n", counts.join(" | "));
        }
    }
    out += &format!(
        "\n| CPUs | workload | scheduler | metric | {} | {} | |\n|---|---|---|---|---:|---:|---|\n",
        json.on[0], json.on[1]
    );
    for cell in json.cells {
        for row in &cell.rows {
            let [a, b] = row.shown();
            let (machine, workload) = (&cell.machine, &cell.workload);
            let (scheduler, metric, mark) = (&row.scheduler, &row.metric, row.verdict.mark());
            out += &format!("| {machine} | {workload} | {scheduler} | {metric} | {a} | {b} | {mark} |\n");
        }
    }
    out
}

fn in_order<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut out = Vec::new();
    all.for_each(|one| {
        if !out.contains(&one) {
            out.push(one);
        }
    });
    out
}

fn sums(rows: &[&Row]) -> String {
    let count = |v: Verdict| rows.iter().filter(|r| r.verdict == v).count();
    let (agree, differ, rest) = (count(Verdict::Agree), count(Verdict::Differ), count(Verdict::NotMeasured));
    format!("{agree} figures agree, {differ} differ, {rest} are too small to tell")
}
