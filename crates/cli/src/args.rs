//! The command line, as it is typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::build::BuildArgs;
use crate::new::NewArgs;

/// sched_ext in Rust: run schedulers on a simulated kernel and compare them.
#[derive(Debug, Parser)]
#[command(name = "scxr", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 it worked; 1 the scheduler was refused, was ejected, or did not do what a scenario \
expects; 2 something is wrong with the command line or a file; 3 a bug of scxr; 4 something has to be installed first; 130 Ctrl-C (128 and a signal's \
number): the report is of the time before.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a scheduler under a workload and report
    Run(RunArgs),
    /// Run several schedulers under the same workload and compare them
    Compare(CompareArgs),
    /// Make a project for a scheduler of your own
    New(NewArgs),
    /// Compile a policy in Rust to a BPF object
    Build(BuildArgs),
    /// Show schedulers, workloads, machines and kernels that there are
    List(ListArgs),
    /// Show what is in an object, and which kernels would take it
    Inspect(InspectArgs),
    /// Show which Linux kernels there are for --on vm, and which of them run schedulers; fetch them
    Kernels(KernelsArgs),
    /// Ask the verifiers of real kernels about objects (boots each kernel once in QEMU)
    Verify(VerifyArgs),
    /// Show versions
    Version(ListArgs),
    /// What this program does in a virtual machine
    #[command(hide = true)]
    Guest(GuestArgs),
    /// The process in which the threads of a workload live
    #[command(hide = true)]
    Workers,
}

/// Where a scheduler runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum On {
    /// The simulated kernel
    #[default]
    Sim,
    /// Linux in a virtual machine
    Vm,
    /// The kernel of this machine
    Host,
}

/// Where simulated CPUs may interleave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InterleaveArg {
    /// At each operation of a scheduler
    Callback,
    /// Also at each kfunc and helper
    Kfunc,
    /// Also at each BPF instruction
    Insn,
}

/// How BPF programs are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BpfArg {
    /// Interpreted, and compiled when so much has run that it pays
    Auto,
    /// Interpreted
    Interp,
    /// Compiled from the beginning
    Jit,
}

/// What `run` and `compare` have in common. What is not given comes from the scenario, then from the defaults.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct MachineArgs {
    /// Where to run; `compare` also takes `sim,vm` and says how far the two are apart
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) on: Vec<On>,
    /// Kernel whose class and ABI are modelled [default: the newest]; with --on vm a kernel to boot: a series (7.2), an image
    /// (./vmlinuz) or `host` [default: 7.2]
    #[arg(long, value_name = "VERSION")]
    pub(crate) kernel: Option<String>,
    /// Machine: CPUs (8), or CORESxTHREADS, NODESxCORESxTHREADS, NODESxLLCSxCORESxTHREADS (2x4x8x2) [default: 8]
    #[arg(long, value_name = "SPEC", allow_hyphen_values = true)]
    pub(crate) machine: Option<String>,
    /// Workload: PRESET, PRESET:key=value,… (see `scxr list`), or a file of rt-app's JSON [default: mixed]
    #[arg(long, value_name = "PRESET|FILE")]
    pub(crate) workload: Option<String>,
    /// With --on vm and host: a command line as the workload, such as 'stress-ng --cpu 4 -t 2'. No shell reads it; write
    /// "sh -c '…'" for one. A guest gets the program, its libraries, files that the command line names and programs that
    /// a script names
    #[arg(long, value_name = "'CMD…'")]
    pub(crate) exec: Option<OsString>,
    /// With --exec, or a scheduler that is a program, in a virtual machine: a file, folder or program to take into the guest besides (repeatable)
    #[arg(long, value_name = "PATH")]
    pub(crate) take: Vec<PathBuf>,
    /// Time to run for, such as 500ms or 2s [default: the workload's own, else 1s; with --exec: until it ends, in a virtual
    /// machine after 60s at most; with --on host and no workload: until stopped]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) duration: Option<String>,
    /// Seed of all that is random [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) seed: Option<u64>,
    /// Ticks a second, 100 to 1000 [default: 250]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) hz: Option<u32>,
    /// What things cost in simulated time: `server`, `lab` (the guest of --on vm), or a .toml file [default: server; with
    /// `compare --on sim,vm`: lab]
    #[arg(long, value_name = "TABLE|FILE")]
    pub(crate) cost: Option<String>,
    /// CPUs whose tick stops while they run one task, such as 2-7
    #[arg(long, value_name = "CPUS")]
    pub(crate) nohz_full: Option<String>,
    /// Write a global variable of the object before it is loaded (repeatable)
    #[arg(long, value_name = "VAR=VALUE")]
    pub(crate) set: Vec<String>,
    /// Set the number of entries of a map before it is made (repeatable)
    #[arg(long, value_name = "MAP=N")]
    pub(crate) resize: Vec<String>,
    /// What the loader of an object (X.bpf.o, X.bpf.c) would do to it: a file (docs/loaders.md), the name of one that comes with
    /// scxr, or `none` [default: X.loader.toml beside the object, else the one that comes with scxr for that name]
    #[arg(long, value_name = "FILE.toml|NAME|none")]
    pub(crate) loader: Option<PathBuf>,
    /// Make something happen during the run (repeatable): '1s affinity TASK 0-3', '1s nice TASK 5', '1s cookie TASK 1', '1s policy TASK fifo:5',
    /// '50ms rt cpu2 20ms', '300ms sysrq-s', '300ms sysrq-d', '300ms kill-half', '1s hotplug cpu3 off', '1s move TASK /a', '1s cgroup /a weight 200'
    #[arg(long, value_name = "'AT EVENT'")]
    pub(crate) inject: Vec<String>,
    /// Simulated: a scheduler for a cgroup, which is made, below the one for all (repeatable). Both have tables of the cid form, and
    /// the other one takes sub-schedulers (7.1 and newer); globals of this one can be written before it is loaded
    #[arg(long, value_name = "'CGROUP=SCHED [VAR=VALUE…]'")]
    pub(crate) sub: Vec<String>,
    /// Where simulated CPUs may interleave [default: callback]
    #[arg(long, value_enum)]
    pub(crate) interleave: Option<InterleaveArg>,
    /// How BPF programs are executed, a matter of speed alone [default: auto]
    #[arg(long, value_enum)]
    pub(crate) bpf: Option<BpfArg>,
    /// Run policies in Rust (X.rs, and the schedulers that come with scxr) as native code instead of as BPF
    #[arg(long)]
    pub(crate) native: bool,
    /// Simulated: a scheduler whose decisions are made in user space, on the framework, decides right in the kernel: without its BPF half, and
    /// without the way to user space and back
    #[arg(long, conflicts_with = "native")]
    pub(crate) direct: bool,
    /// Folder of headers for X.bpf.c (repeatable)
    #[arg(long, short = 'I', value_name = "DIR")]
    pub(crate) include: Vec<PathBuf>,
    /// With --on vm: let time pass as it does outside (faster, with KVM where it works), not the same twice
    #[arg(long)]
    pub(crate) free_running: bool,
    /// With --on vm: keep what guests record in this folder, and take it from there where the same run was made before
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// With --record: the `scxr` that is the guest's program, in place of this one. What was recorded with it then stays good
    /// while this one changes
    #[arg(long, value_name = "PROGRAM", requires = "record")]
    pub(crate) guest: Option<PathBuf>,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress bar and no notes on standard error
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Scheduler: a name (see `scxr list`), X.bpf.o, X.rs or a folder (a policy in Rust), X.bpf.c, or eevdf (no scheduler: the fair class); with
    /// --on vm and host also a scheduler's own program (./scx_userland), which loads its object itself; with --scenario it may be left out
    #[arg(value_name = "SCHED", required_unless_present = "scenario")]
    pub(crate) sched: Option<String>,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Read machine, workload, scheduler, events and expectations from a file; options given here win
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) scenario: Option<PathBuf>,
    /// Write all events to a file as text (`-`: standard output, instead of the report)
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Report the scheduler's global variables at the end
    #[arg(long)]
    pub(crate) globals: bool,
    /// Show the scheduler's own figures every so many seconds of the run: what its user-space half says, or its variables
    #[arg(long, value_name = "SECONDS")]
    pub(crate) stats: Option<f64>,
    /// Options of the scheduler itself, or of its program
    #[arg(last = true, value_name = "SCHED-ARGS")]
    pub(crate) sched_args: Vec<String>,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Schedulers, as for `run`; ratios are against the first
    #[arg(value_name = "SCHED", required = true, num_args = 2..)]
    pub(crate) scheds: Vec<String>,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// With --on sim,vm: how close the two have to be; where they are not, the exit code is 1 [default: the built-in
    /// tolerances, and the exit code tells nothing of them]
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) tolerance: Option<PathBuf>,
    /// With --on sim,vm: spin, pipe, hackbench, schbench and mixed on 1, 2, 4 and 8 CPUs, as Markdown
    #[arg(long, conflicts_with_all = ["machine", "workload"])]
    pub(crate) matrix: bool,
    /// Number of seeds, from --seed on
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,
}

/// Arguments of `list` and `version`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// X.bpf.o, X.rs, X.bpf.c, or a scheduler that comes with scxr
    #[arg(value_name = "OBJ")]
    pub(crate) object: String,
    /// Try this kernel only
    #[arg(long, value_name = "VERSION")]
    pub(crate) kernel: Option<String>,
    /// Folder of headers for X.bpf.c (repeatable)
    #[arg(long, short = 'I', value_name = "DIR")]
    pub(crate) include: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `kernels`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false)]
pub(crate) struct KernelsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<KernelsCommand>,
    /// Judge this kernel only: a series (7.2), an image (./vmlinuz) or `host`
    #[arg(long, value_name = "KERNEL")]
    pub(crate) kernel: Option<String>,
    /// Refresh the list of packages even if it is recent
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Print one JSON object
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress bar and no notes on standard error
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// What `kernels` does besides listing.
#[derive(Debug, Subcommand)]
pub(crate) enum KernelsCommand {
    /// Fetch the newest kernel of each series that runs schedulers, and judge it
    Fetch {
        /// Series (7.2), or versions (7.2.13)
        #[arg(value_name = "SERIES", required = true)]
        series: Vec<String>,
    },
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// X.bpf.o, X.rs, X.bpf.c, or a scheduler that comes with scxr; several are judged in the same boot
    #[arg(value_name = "OBJ", required = true)]
    pub(crate) objects: Vec<String>,
    /// Kernels, separated by commas: series (7.2), images (./vmlinuz) [default: 6.16,6.18,7.0,7.2]
    #[arg(long, value_name = "KERNELS")]
    pub(crate) kernel: Option<String>,
    /// Folder of headers for X.bpf.c (repeatable)
    #[arg(long, short = 'I', value_name = "DIR")]
    pub(crate) include: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress bar and no notes on standard error
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Arguments of `guest`.
#[derive(Debug, Args)]
pub(crate) struct GuestArgs {
    /// What to do
    pub(crate) task: PathBuf,
    /// CPUs have short turns once the task says so, which it does when the workload starts
    #[arg(long)]
    pub(crate) turns: bool,
}
