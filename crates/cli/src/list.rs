//! `scxr list` and `scxr version`.

use std::fmt::Write as _;

use scxr_abi::KernelVersion;
use scxr_workload::{Preset, presets};
use serde::Serialize;
use serde_json::json;

use crate::args::ListArgs;
use crate::failure::{Outcome, Result};
use crate::report::{self, json::COMPARE_SCHEMA, json::RUN_SCHEMA};
use crate::scheduler::{BUNDLED, EEVDF, help};

/// What the fair class is called where schedulers are listed.
const EEVDF_ABOUT: &str = "no scheduler: Linux's fair class, the baseline";

/// Forms of a machine, with an example each.
const MACHINES: &[(&str, &str, &str)] = &[
    ("CPUS", "8", "CPUs that share a cache"),
    ("CORESxTHREADS", "4x2", "with SMT"),
    ("NODESxCORESxTHREADS", "2x8x2", "NUMA nodes with one cache each"),
    ("NODESxLLCSxCORESxTHREADS", "2x4x8x2", "NUMA nodes with several caches each"),
];

#[derive(Serialize)]
struct Scheduler {
    name: &'static str,
    about: &'static str,
    options: String,
}

fn schedulers() -> Vec<Scheduler> {
    let eevdf = Scheduler { name: EEVDF, about: EEVDF_ABOUT, options: String::new() };
    let bundled = BUNDLED.iter().map(|b| Scheduler { name: b.name, about: b.about, options: help(b.options) });
    std::iter::once(eevdf).chain(bundled).collect()
}

fn preset_json(p: &Preset) -> serde_json::Value {
    let params = p.params.iter();
    let params: Vec<_> = params.map(|p| json!({"key": p.key, "default": p.default, "about": p.help})).collect();
    json!({"name": p.name, "about": p.about, "parameters": params})
}

/// Shows what there is.
pub(crate) fn list(args: &ListArgs) -> Result<Outcome> {
    let kernels: Vec<String> = KernelVersion::ALL.iter().map(ToString::to_string).collect();
    if args.json {
        let machines = MACHINES.iter();
        let machines: Vec<_> =
            machines.map(|(form, example, about)| json!({"form": form, "example": example, "about": about})).collect();
        let value = json!({
            "schema": "scxr-list/1",
            "schedulers": schedulers(),
            "workloads": presets().iter().map(preset_json).collect::<Vec<_>>(),
            "machines": machines,
            "kernels": kernels,
        });
        report::print(&report::json_text(&value))?;
        return Ok(Outcome::Fine);
    }
    let mut out = String::from("Schedulers\n");
    for s in schedulers() {
        writeln!(out, "  {:<12} {}", s.name, s.about).expect("a string takes everything");
        for option in s.options.lines() {
            writeln!(out, "    {}", option.trim_end()).expect("a string takes everything");
        }
    }
    out += "  or a file: X.bpf.o (a BPF object), X.rs (a policy in Rust), X.bpf.c (needs clang)\n\nWorkloads\n";
    for p in presets() {
        writeln!(out, "  {:<12} {}", p.name, p.about).expect("a string takes everything");
        for param in p.params {
            let key = format!("{}={}", param.key, param.default);
            writeln!(out, "      {key:<24} {}", param.help).expect("a string takes everything");
        }
    }
    out += "  or a file of rt-app's JSON: X.json\n  example: --workload hackbench:groups=4,fds=10\n\nMachines\n";
    for (form, example, about) in MACHINES {
        writeln!(out, "  {example:<12} {form}: {about}").expect("a string takes everything");
    }
    writeln!(out, "\nKernels\n  {}", kernels.join(" ")).expect("a string takes everything");
    report::print(&out)?;
    Ok(Outcome::Fine)
}

/// Shows versions.
pub(crate) fn version(args: &ListArgs) -> Result<Outcome> {
    let (version, kernel) = (env!("CARGO_PKG_VERSION"), KernelVersion::NEWEST.to_string());
    let text = match args.json {
        true => report::json_text(&json!({
            "schema": "scxr-version/1",
            "version": version,
            "kernel": kernel,
            "schemas": [RUN_SCHEMA, COMPARE_SCHEMA],
        })),
        false => format!(
            "scxr {version}\nmodels Linux {} to {kernel}; schemas {RUN_SCHEMA}, {COMPARE_SCHEMA}; GPL-2.0-or-later\n",
            KernelVersion::OLDEST
        ),
    };
    report::print(&text)?;
    Ok(Outcome::Fine)
}
