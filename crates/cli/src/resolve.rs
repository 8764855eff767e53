//! From raw arguments to a request that can be carried out, or to an error that says what to write instead.

use std::path::PathBuf;
use std::sync::Arc;

use scxr_abi::KernelVersion;
use scxr_bpf::vm::{CodeCache, Exec};
use scxr_kernel::config::{Config, Interleave};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::Ns;
use scxr_kernel::topology::Topology;
use scxr_workload::Workload;
use scxr_workload::params::parse_duration;

use crate::args::{BpfArg, InterleaveArg, MachineArgs};
use crate::cost;
use crate::exec::CommandLine;
use crate::failure::{Failure, Result};
use crate::inject::{Event, Injection};
use crate::scheduler::{self, Scheduler};
use crate::session::RunResult;

const MACHINE: &str = "8";
const WORKLOAD: &str = "mixed";
const DURATION: Ns = 1_000_000_000;
const SEED: u64 = 1;
/// Kernel of a virtual machine.
const REAL_KERNEL: &str = "7.2";

/// All of a run but the scheduler.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Where.
    pub(crate) place: Place,
    /// Modelled kernel.
    pub(crate) kernel: KernelVersion,
    /// Kernel that is booted for a run in a virtual machine, as it was asked for.
    pub(crate) real_kernel: String,
    /// In a virtual machine time passes as it does outside.
    pub(crate) free_running: bool,
    /// One JSON object is printed, and nothing else.
    pub(crate) json: bool,
    /// Nothing is said on standard error.
    pub(crate) quiet: bool,
    /// There is a workload; this host's own tasks may be all, or a program.
    pub(crate) has_workload: bool,
    /// A program that is run instead of a workload.
    pub(crate) exec: Option<CommandLine>,
    /// What else is taken into the guest.
    pub(crate) take: Vec<PathBuf>,
    /// In a virtual machine: where runs are kept, and taken from.
    pub(crate) record: Option<PathBuf>,
    /// In a virtual machine: the program that is the guest's, where it is not this one.
    pub(crate) guest: Option<PathBuf>,
    /// Machine.
    pub(crate) topology: Topology,
    /// Settings of the kernel, seed included.
    pub(crate) config: Config,
    /// Workload, as given.
    pub(crate) workload: String,
    /// Length, ns.
    pub(crate) duration: Ns,
    /// In a simulation: the tasks by which a virtual machine is watched run, too.
    pub(crate) watched: bool,
    /// What else happens.
    pub(crate) inject: Vec<Injection>,
    /// Variables to write before loading.
    pub(crate) set: Vec<(String, String)>,
    /// Maps to size before loading.
    pub(crate) resize: Vec<(String, u32)>,
    /// Sub-schedulers.
    pub(crate) subs: Vec<Sub>,
    /// How BPF programs are executed.
    pub(crate) bpf: Exec,
    /// The user said so.
    pub(crate) bpf_was_chosen: bool,
    /// Compiled code, for all runs of a command.
    pub(crate) cache: Arc<CodeCache>,
    /// What was accepted and means nothing; for the user to read.
    pub(crate) warnings: Vec<String>,
    /// What the user should know about the workload's task groups where the fair class serves it.
    pub(crate) groups_notice: Option<String>,
}

/// A scheduler for a cgroup, below another.
#[derive(Clone, Debug)]
pub(crate) struct Sub {
    /// Path of the cgroup.
    pub(crate) cgroup: String,
    /// What it is.
    pub(crate) scheduler: Scheduler,
    /// Variables to write before loading.
    pub(crate) set: Vec<(String, String)>,
}

/// Where a scheduler runs.
pub(crate) use crate::args::On as Place;

impl Place {
    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Place::Sim => "sim",
            Place::Vm => "vm",
            Place::Host => "host",
        }
    }
}

impl Request {
    /// The kernel that a run was on: a release where it was a real one.
    pub(crate) fn kernel_of(&self, result: &RunResult) -> String {
        match (&result.kernel, self.place) {
            (Some(release), _) => release.clone(),
            (None, Place::Sim) => self.kernel.to_string(),
            (None, _) => self.real_kernel.clone(),
        }
    }

    /// The workload, for reports.
    pub(crate) fn workload_name(&self) -> &str {
        match &self.exec {
            Some(line) => &line.text,
            None if self.has_workload => &self.workload,
            None => "none",
        }
    }

    /// The workload for this machine and a seed.
    pub(crate) fn load_workload(&self, seed: u64) -> Result<Workload> {
        scxr_workload::load(&self.workload, self.topology.nr_cpus(), seed).map_err(Failure::input)
    }
}

/// Resolves everything but the scheduler.
pub(crate) fn request(args: &MachineArgs) -> Result<Request> {
    let place = match args.on[..] {
        [] => Place::default(),
        [place] => place,
        _ => return Err(Failure::input("--on: one place at a time; `scxr compare --on sim,vm` compares two")),
    };
    let kernel = match &args.kernel {
        Some(text) if place == Place::Sim => text.parse().map_err(|e| Failure::input(format_args!("--kernel: {e}")))?,
        _ => KernelVersion::NEWEST,
    };
    fits(place, args)?;
    let own = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let machine = match place {
        Place::Host => &own,
        _ => args.machine.as_deref().unwrap_or(MACHINE),
    };
    let topology = Topology::parse(machine).map_err(|e| Failure::input(format_args!("--machine: {e}")))?;
    let nr_cpus = topology.nr_cpus();
    let config = config(args, nr_cpus, kernel)?;
    let inject = args.inject.iter().map(|i| Injection::parse(i, nr_cpus));
    let mut request = Request {
        place,
        kernel,
        real_kernel: args.kernel.clone().unwrap_or_else(|| REAL_KERNEL.into()),
        free_running: args.free_running,
        json: args.json,
        quiet: args.quiet,
        has_workload: args.exec.is_none() && (place != Place::Host || args.workload.is_some()),
        exec: args.exec.as_deref().map(CommandLine::parse).transpose()?,
        take: args.take.clone(),
        record: args.record.clone(),
        guest: args.guest.clone(),
        config,
        workload: args.workload.clone().unwrap_or_else(|| WORKLOAD.into()),
        duration: 0,
        watched: false,
        inject: inject.collect::<Result<_>>()?,
        set: pairs("--set", "VAR=VALUE", &args.set)?,
        resize: resize(&args.resize)?,
        subs: args.sub.iter().map(|s| sub(s, place, &args.include)).collect::<Result<_>>()?,
        bpf_was_chosen: args.bpf.is_some(),
        bpf: match args.bpf {
            None | Some(BpfArg::Auto) => Exec::Auto,
            Some(BpfArg::Interp) => Exec::Interp,
            Some(BpfArg::Jit) => Exec::Jit,
        },
        cache: Arc::default(),
        warnings: Vec::new(),
        groups_notice: None,
        topology,
    };
    if request.has_workload {
        let workload = request.load_workload(request.config.seed)?;
        request.duration = duration(args, workload.duration.unwrap_or(DURATION))?;
        if workload.tasks.iter().any(|t| t.core_cookie != 0) {
            core_sched(&mut request, "core_cookie")?;
        }
        if place == Place::Sim {
            request.groups_notice = groups_notice(&workload);
        }
        request.warnings.extend(workload.warnings);
    } else {
        request.duration = duration(args, 0)?;
    }
    if request.inject.iter().any(|i| matches!(i.event, Event::Cookie { .. })) {
        core_sched(&mut request, "--inject '… cookie …'")?;
    }
    for late in request.inject.iter().filter(|i| request.duration > 0 && i.at >= request.duration) {
        let text = format!("--inject '{}' is after the end of the run", late.text);
        request.warnings.push(text);
    }
    Ok(request)
}

/// Cookies are used: the machine has core scheduling.
fn core_sched(request: &mut Request, what: &str) -> Result<()> {
    if request.place != Place::Sim {
        return Err(Failure::input(format_args!(
            "{what}: distributions build their kernels without core scheduling (CONFIG_SCHED_CORE); simulate it, with --on sim"
        )));
    }
    request.config.core_sched = true;
    Ok(())
}

/// Task groups are told to the trace and to schedulers; the fair class does not share by them.
fn groups_notice(workload: &Workload) -> Option<String> {
    let group = workload.tasks.iter().map(|t| t.cgroup.as_str()).find(|&g| g != "/")?;
    Some(format!(
        "task groups ('{group}') have no effect on shares under the fair class yet: its tasks compete as if all were in the root group"
    ))
}

/// Whether the options mean something there.
fn fits(place: Place, args: &MachineArgs) -> Result<()> {
    if args.exec.is_some() && args.workload.is_some() {
        return Err(Failure::input("--exec and --workload: a run has one workload; leave one of the two out"));
    }
    if !args.take.is_empty() && place != Place::Vm {
        return Err(Failure::input("--take: it takes files into a virtual machine; it goes with --on vm"));
    }
    if args.record.is_some() && (place != Place::Vm || args.free_running || args.exec.is_some()) {
        return Err(Failure::input(
            "--record: it keeps runs that are the same each time; it goes with --on vm, without --free-running and --exec",
        ));
    }
    if place == Place::Sim {
        let real = [
            ("--free-running: a simulation's time is its own; the option goes with --on vm", args.free_running),
            (
                "--exec: a simulated kernel runs no programs; use --on vm (a Linux kernel in QEMU) or --on host, or describe \
                 what the program does with --workload FILE.json",
                args.exec.is_some(),
            ),
        ];
        return match real.iter().find(|(_, given)| *given) {
            Some((why, _)) => Err(Failure::input(why)),
            None => Ok(()),
        };
    }
    let simulated = [
        ("--hz", args.hz.is_some()),
        ("--cost", args.cost.is_some()),
        ("--nohz-full", args.nohz_full.is_some()),
        ("--interleave", args.interleave.is_some()),
        ("--bpf", args.bpf.is_some()),
        ("--direct", args.direct),
    ];
    let of_vm = [
        ("--machine", args.machine.is_some()),
        ("--kernel", args.kernel.is_some()),
        ("--free-running", args.free_running),
    ];
    let wrong = |options: &[(&'static str, bool)]| options.iter().find(|(_, given)| *given).map(|(name, _)| *name);
    if let Some(option) = wrong(&simulated) {
        return Err(Failure::input(format_args!("{option}: only a simulated kernel does that so far (--on sim)")));
    }
    match wrong(&of_vm).filter(|_| place == Place::Host) {
        Some(option) => Err(Failure::input(format_args!(
            "{option}: with --on host, this machine and its kernel are used as they are"
        ))),
        None => Ok(()),
    }
}

fn duration(args: &MachineArgs, unless_given: Ns) -> Result<Ns> {
    let Some(text) = &args.duration else { return Ok(unless_given) };
    match parse_duration(text).map_err(|e| Failure::input(format_args!("--duration: {e}")))? {
        0 => Err(Failure::input("--duration: a run must last longer than 0; write 1s, for example")),
        ns => Ok(ns),
    }
}

/// The settings of a kernel, and what the user says about the machine.
fn config(args: &MachineArgs, nr_cpus: usize, kernel: KernelVersion) -> Result<Config> {
    let mut config = Config {
        seed: args.seed.unwrap_or(SEED),
        cost: cost::table(args.cost.as_deref().unwrap_or(cost::SERVER))?,
        ..Config::of_kernel(kernel.major.into(), kernel.minor.into())
    };
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

/// Reads `CGROUP=SCHED [VAR=VALUE…]`.
fn sub(given: &str, place: Place, include: &[PathBuf]) -> Result<Sub> {
    let bad = |why: &str| Failure::input(format_args!("--sub '{given}': {why}"));
    if place != Place::Sim {
        return Err(bad("sub-schedulers are simulated only, for now"));
    }
    let mut words = given.split_whitespace();
    let Some((cgroup, sched)) = words.next().and_then(|w| w.split_once('=')) else {
        return Err(bad("takes a cgroup and a scheduler, such as /a=x.bpf.o"));
    };
    if !cgroup.starts_with('/') || cgroup.trim_matches('/').is_empty() {
        return Err(bad("the cgroup is a path such as /a, and not the root, which the other scheduler has"));
    }
    let set: Vec<String> = words.map(str::to_owned).collect();
    let options = scheduler::Options { include, ..scheduler::Options::default() };
    Ok(Sub {
        cgroup: cgroup.to_owned(),
        scheduler: scheduler::prepare(sched, &options)?,
        set: pairs("--sub", "CGROUP=SCHED VAR=VALUE", &set)?,
    })
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
        let cases: [(Edit, &str); 11] = [
            (|a| a.record = Some("x".into()), "--record: it keeps"),
            (|a| a.machine = Some("0".into()), "--machine: machine '0'"),
            (|a| a.kernel = Some("5.4".into()), "--kernel: kernel 5.4 is not modelled"),
            (|a| a.duration = Some("0".into()), "longer than 0"),
            (|a| a.duration = Some("5".into()), "--duration: '5' has no unit"),
            (|a| a.hz = Some(50), "100 to 1000"),
            (|a| a.nohz_full = Some("7-8".into()), "CPUs 0 to 7 only"),
            (|a| a.set = vec!["x".into()], "write VAR=VALUE"),
            (|a| a.resize = vec!["m=0".into()], "from 1 to"),
            (|a| (a.on, a.hz) = (vec![Place::Vm], Some(100)), "--hz: only a simulated kernel"),
            (|a| a.workload = Some("mixd".into()), "did you mean 'mixed'?"),
        ];
        for (edit, why) in cases {
            let e = check(edit).unwrap_err();
            assert!(e.contains(why), "{e}");
        }
    }
}
