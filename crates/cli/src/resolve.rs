//! From raw arguments to a request that can be carried out, or to an error that says what to write instead.

use scxr_abi::KernelVersion;
use scxr_kernel::config::{Config, Interleave};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::Ns;
use scxr_kernel::topology::Topology;
use scxr_workload::Workload;
use scxr_workload::params::parse_duration;

use crate::args::{InterleaveArg, MachineArgs, On};
use crate::failure::{Failure, Result};
use crate::inject::Injection;

const MACHINE: &str = "8";
const WORKLOAD: &str = "mixed";
const DURATION: Ns = 1_000_000_000;
const SEED: u64 = 1;

/// All of a run but the scheduler.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Where: only the simulation, so far.
    pub(crate) on: &'static str,
    /// Modelled kernel.
    pub(crate) kernel: KernelVersion,
    /// Machine.
    pub(crate) topology: Topology,
    /// Settings of the kernel, seed included.
    pub(crate) config: Config,
    /// Workload, as given.
    pub(crate) workload: String,
    /// Length, ns.
    pub(crate) duration: Ns,
    /// What else happens.
    pub(crate) inject: Vec<Injection>,
    /// Variables to write before loading.
    pub(crate) set: Vec<(String, String)>,
    /// Maps to size before loading.
    pub(crate) resize: Vec<(String, u32)>,
    /// What was accepted and means nothing; for the user to read.
    pub(crate) warnings: Vec<String>,
}

impl Request {
    /// The workload for this machine and a seed.
    pub(crate) fn load_workload(&self, seed: u64) -> Result<Workload> {
        scxr_workload::load(&self.workload, self.topology.nr_cpus(), seed).map_err(Failure::input)
    }
}

/// Resolves everything but the scheduler.
pub(crate) fn request(args: &MachineArgs) -> Result<Request> {
    let on = match args.on.unwrap_or_default() {
        On::Sim => "sim",
        On::Vm => return Err(not_yet("vm")),
        On::Host => return Err(not_yet("host")),
    };
    let kernel = match &args.kernel {
        None => KernelVersion::NEWEST,
        Some(text) => text.parse().map_err(|e| Failure::input(format_args!("--kernel: {e}")))?,
    };
    let machine = args.machine.as_deref().unwrap_or(MACHINE);
    let topology = Topology::parse(machine).map_err(|e| Failure::input(format_args!("--machine: {e}")))?;
    let nr_cpus = topology.nr_cpus();
    let config = config(args, nr_cpus)?;
    let inject = args.inject.iter().map(|i| Injection::parse(i, nr_cpus));
    let mut request = Request {
        on,
        kernel,
        config,
        workload: args.workload.clone().unwrap_or_else(|| WORKLOAD.into()),
        duration: 0,
        inject: inject.collect::<Result<_>>()?,
        set: pairs("--set", "VAR=VALUE", &args.set)?,
        resize: resize(&args.resize)?,
        warnings: Vec::new(),
        topology,
    };
    let workload = request.load_workload(request.config.seed)?;
    request.duration = duration(args, &workload)?;
    request.warnings.extend(groups_notice(&workload));
    request.warnings.extend(workload.warnings);
    for late in request.inject.iter().filter(|i| i.at >= request.duration) {
        let text = format!("--inject '{}' is after the end of the run", late.text);
        request.warnings.push(text);
    }
    Ok(request)
}

/// Task groups are told to the trace; nothing shares by them.
fn groups_notice(workload: &Workload) -> Option<String> {
    let group = workload.tasks.iter().map(|t| t.cgroup.as_str()).find(|&g| g != "/")?;
    Some(format!(
        "task groups ('{group}') have no effect on shares yet: tasks compete as if all were in the root group, and \
         schedulers see the root group alone"
    ))
}

fn not_yet(on: &str) -> Failure {
    Failure::input(format_args!("--on {on} is not implemented yet; schedulers run in the simulated kernel (--on sim)"))
}

fn duration(args: &MachineArgs, workload: &Workload) -> Result<Ns> {
    let ns = match &args.duration {
        None => workload.duration.unwrap_or(DURATION),
        Some(text) => parse_duration(text).map_err(|e| Failure::input(format_args!("--duration: {e}")))?,
    };
    match ns {
        0 => Err(Failure::input("--duration: a run must last longer than 0; write 1s, for example")),
        ns => Ok(ns),
    }
}

fn config(args: &MachineArgs, nr_cpus: usize) -> Result<Config> {
    let mut config = Config { seed: args.seed.unwrap_or(SEED), ..Config::default() };
    if let Some(hz) = args.hz {
        if !(100..=1000).contains(&hz) {
            return Err(Failure::input(format_args!("--hz {hz}: 100 to 1000 ticks a second are possible")));
        }
        config.hz = hz;
    }
    if let Some(list) = &args.nohz_full {
        let fail = |why: String| Failure::input(format_args!("--nohz-full {list}: {why}"));
        config.nohz_full = CpuMask::parse(list).map_err(fail)?;
        if !config.nohz_full.subset_of(&CpuMask::first_n(nr_cpus)) {
            return Err(fail(format!("the machine has CPUs 0 to {} only", nr_cpus - 1)));
        }
    }
    config.interleave = match args.interleave {
        None | Some(InterleaveArg::Callback) => Interleave::Callback,
        Some(InterleaveArg::Kfunc) => Interleave::Kfunc,
        Some(InterleaveArg::Insn) => Interleave::Insn,
    };
    Ok(config)
}

/// Splits `NAME=VALUE`.
fn pairs(option: &str, form: &str, given: &[String]) -> Result<Vec<(String, String)>> {
    let split = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_string(), value.trim().to_string()))
        }
        _ => Err(Failure::input(format_args!("{option} '{text}': write {form}"))),
    };
    given.iter().map(split).collect()
}

fn resize(given: &[String]) -> Result<Vec<(String, u32)>> {
    let number = |(map, n): (String, String)| match n.parse::<u32>() {
        Ok(n) if n > 0 => Ok((map, n)),
        _ => Err(Failure::input(format_args!(
            "--resize '{map}={n}': the number of entries must be from 1 to 4294967295"
        ))),
    };
    let pairs = pairs("--resize", "MAP=N", given)?;
    pairs.into_iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edit: impl FnOnce(&mut MachineArgs)) -> Result<Request, String> {
        let mut args = MachineArgs::default();
        edit(&mut args);
        request(&args).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults() {
        let r = check(|_| {}).unwrap();
        assert_eq!((r.topology.nr_cpus(), r.duration, r.config.seed), (8, DURATION, SEED));
        assert_eq!((r.workload.as_str(), r.kernel), (WORKLOAD, KernelVersion::NEWEST));
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Edit = fn(&mut MachineArgs);
        let cases: [(Edit, &str); 10] = [
            (|a| a.machine = Some("0".into()), "--machine: machine '0'"),
            (|a| a.kernel = Some("5.4".into()), "--kernel: kernel 5.4 is not modelled"),
            (|a| a.duration = Some("0".into()), "longer than 0"),
            (|a| a.duration = Some("5".into()), "--duration: '5' has no unit"),
            (|a| a.hz = Some(50), "100 to 1000"),
            (|a| a.nohz_full = Some("7-8".into()), "CPUs 0 to 7 only"),
            (|a| a.set = vec!["x".into()], "write VAR=VALUE"),
            (|a| a.resize = vec!["m=0".into()], "from 1 to"),
            (|a| a.on = Some(On::Vm), "not implemented yet"),
            (|a| a.workload = Some("mixd".into()), "did you mean 'mixed'?"),
        ];
        for (edit, why) in cases {
            let e = check(edit).unwrap_err();
            assert!(e.contains(why), "{e}");
        }
    }
}
