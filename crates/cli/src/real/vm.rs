//! `--on vm`: a Linux kernel in QEMU whose only program is this binary.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scxr_host::{Job, Recording};
use scxr_kernel::topology::Topology;
use scxr_lab::guest::{GuestEvent, GuestSpec};
use scxr_lab::initramfs::Initramfs;
use scxr_lab::kernels::{Kernel, btf_of_image, vmlinux_of_image};
use scxr_lab::qemu::{Clock, Finding, Guest, GuestExit, GuestOutput, Kvm, Outcome, Qemu, Shape, Turns, VmError};

use super::guest::Task;
use super::kept::{self, Kept, Key};
use super::{job, pack, report};
use crate::exec::CommandLine;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::kernels;
use crate::resolve::Request;
use crate::scheduler::{Kind, Scheduler};
use crate::session::{Keep, RunResult};

/// Files of the guest.
const TASK: &str = "/scxr/task.json";
const OBJECT: &str = "/scxr/object.bpf.o";
const HALF: &str = "/scxr/half.so";
/// CPUs that a guest is given at most.
const CPUS_MAX: usize = 64;
/// Time that a program has where none is given.
const EXEC_MAX: Duration = Duration::from_secs(60);
/// Guest time for all but the run itself.
const GUEST_EXTRA: Duration = Duration::from_secs(60);
/// Wall time for a guest, and for each second and CPU of the run.
const WALL_BASE: Duration = Duration::from_secs(240);
const WALL_EACH: Duration = Duration::from_secs(10);
/// Wall time of the probe of KVM.
const PROBE: Duration = Duration::from_secs(15);

pub(super) fn run(
    request: &Request,
    scheduler: &Scheduler,
    seed: u64,
    keep: Keep,
    progress: &mut dyn FnMut(u64),
) -> Result<RunResult> {
    let start = Instant::now();
    shape(&request.topology)?;
    let lab = Lab::new(&request.real_kernel, request.quiet)?;
    let planned = job::plan(request, scheduler, seed, keep, lab.btf()?.as_deref())?;
    let mut job = planned.job;
    if job.duration_ns == 0 {
        job.duration_ns = EXEC_MAX.as_nanos() as u64;
    }
    let duration_ns = job.duration_ns;
    let mut files = Vec::new();
    if let Some(workload) = job.workload.as_mut().filter(|w| w.ends_with(".json")) {
        // Under its own name, after which its random streams are named.
        let name = Path::new(workload.as_str()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let guest = format!("/scxr/workload/{name}");
        files.push((PathBuf::from(std::mem::replace(workload, guest.clone())), guest));
    }
    if let Some(library) = job.half.as_mut().and_then(|half| half.library.as_mut()) {
        files.push((std::mem::replace(library, HALF.into()), HALF.to_owned()));
    }
    let begin = Instant::now();
    let job = Job { object: scheduler.bytes.as_ref().map(|_| OBJECT.into()), ..job };
    let own = match &scheduler.kind {
        Kind::Program(line) => Some(&**line),
        _ => None,
    };
    let programs: Vec<&CommandLine> = own.into_iter().chain(&request.exec).collect();
    let mut record = || {
        let bytes = scheduler.bytes.iter().map(|b| (&b[..], OBJECT.to_owned())).collect();
        let task = Task::Run { job: Box::new(job.clone()) };
        let work = Work { task, files: files.clone(), bytes, programs: programs.clone(), duration_ns };
        let outcome = lab.run(&work, request, progress)?;
        let telling = outcome.findings.iter().filter(|f| !matches!(f, Finding::Ejected { .. }));
        Ok(Kept { findings: telling.map(ToString::to_string).collect(), bytes: outcome.stdout })
    };
    let kept = match &request.record {
        Some(dir) => {
            let mut key = Key::new(
                &program(request)?,
                lab.kernel.release.to_string(),
                lab.kernel.image.as_deref().unwrap_or(Path::new("")),
                &request.topology.spec,
                &job,
            )?;
            key.object = scheduler.bytes.as_ref().map(|b| kept::digest(b));
            let of_files = files.iter().map(|(host, _)| kept::digest_of(host)).collect::<Result<Vec<String>>>()?;
            key.workload = Some(of_files.join(" ")).filter(|digests| !digests.is_empty());
            once(dir, &key, record)?
        }
        None => record()?,
    };
    let recording = Recording::read(&mut &kept.bytes[..]).map_err(Failure::environment)?;
    let times = (start.elapsed().as_nanos() as u64, begin.elapsed().as_nanos() as u64);
    let mut result = report::result(&recording, scheduler, seed, keep, times)?;
    result.notes.splice(0..0, planned.notes);
    result.notes.extend(kept.findings);
    Ok(result)
}

/// The guest's program.
fn program(request: &Request) -> Result<PathBuf> {
    match &request.guest {
        Some(path) => Ok(path.clone()),
        None => std::env::current_exe().map_err(|e| Failure::environment(format_args!("this program: {e}"))),
    }
}

/// What was recorded of this run before, or what is recorded now, and kept.
fn once(dir: &Path, key: &Key, record: impl FnOnce() -> Result<Kept>) -> Result<Kept> {
    if let Some(kept) = kept::read(dir, key)? {
        return Ok(kept);
    }
    let kept = record()?;
    kept::write(dir, key, &kept)?;
    Ok(kept)
}

/// What a guest is to do, and the files it needs besides: on the host, in the guest.
pub(super) struct Work<'a> {
    pub(super) task: Task,
    pub(super) files: Vec<(PathBuf, String)>,
    /// Files that are no files of the host's: what is in them, where they are in the guest.
    pub(super) bytes: Vec<(&'a [u8], String)>,
    /// Programs of the host's that are run there.
    pub(super) programs: Vec<&'a CommandLine>,
    /// How long it takes at most, but for setting up, ns.
    pub(super) duration_ns: u64,
}

/// QEMU and a kernel.
pub(super) struct Lab {
    pub(super) kernel: Kernel,
    qemu: Qemu,
}

impl Lab {
    /// The kernel that is asked for (a series, a path or `host`), fetched if need be, and QEMU.
    pub(super) fn new(kernel: &str, quiet: bool) -> Result<Lab> {
        let qemu = Qemu::find().map_err(Failure::environment)?;
        let kernel = kernels::resolve(&kernels::store()?, kernel, quiet)?;
        if let Some(problem) = kernel.judgement.problems.first() {
            return Err(Failure::input(format_args!("kernel {} cannot run a scheduler: {problem}", kernel.release)));
        }
        if kernel.image.is_none() {
            return Err(Failure::environment(format_args!(
                "the image of kernel {} cannot be read; give one with --kernel PATH, or a series such as --kernel 7.2",
                kernel.release
            )));
        }
        if let Some(option) = modular(&kernel) {
            return Err(Failure::input(format_args!(
                "kernel {} has no {option}=y, and guests load no modules; take one that has, such as --kernel 7.2 (Debian's \
                 cloud kernels)",
                kernel.release
            )));
        }
        Ok(Lab { kernel, qemu })
    }

    /// The kernel's raw type information.
    pub(super) fn btf(&self) -> Result<Option<Vec<u8>>> {
        if let Some(path) = &self.kernel.btf {
            return std::fs::read(path).map(Some).map_err(|e| Failure::file(path, &e));
        }
        let Some(path) = &self.kernel.image else { return Ok(None) };
        let image = std::fs::read(path).map_err(|e| Failure::file(path, &e))?;
        let vmlinux = vmlinux_of_image(&image).map_err(Failure::input)?;
        Ok(btf_of_image(&vmlinux).map_err(Failure::input)?.map(<[u8]>::to_vec))
    }

    /// Boots a guest that does its work, and powers it off.
    pub(super) fn run(&self, work: &Work<'_>, request: &Request, progress: &mut dyn FnMut(u64)) -> Result<Outcome> {
        let shape = shape(&request.topology)?;
        let mut files = Initramfs::new(&program(request)?).map_err(Failure::environment)?;
        files.add_bytes(serde_json::to_vec(&work.task).map_err(Failure::input)?, TASK, 0o644);
        for (bytes, guest) in &work.bytes {
            files.add_bytes(*bytes, guest, 0o644);
        }
        for (host, guest) in &work.files {
            // A library brings those that it needs, as a program does.
            let library = guest == HALF;
            let added = if library { files.add_program(host, guest) } else { files.add_file(host, guest) };
            added.map_err(Failure::input)?;
        }
        // where libbpf looks for what objects ask of the kernel's configuration
        if let Some(config) = &self.kernel.config {
            files.add_file(config, &format!("/boot/config-{}", self.kernel.release)).map_err(Failure::input)?;
        }
        let image = self.kernel.image.as_deref().unwrap_or(Path::new(""));
        let nr_cpus = request.topology.nr_cpus() as u64;
        let turns = self.btf()?.map_or(Turns::FromStart, |btf| Turns::of_btf(&btf));
        let mut spec = GuestSpec::new(["/init", "guest", TASK]);
        if turns == Turns::OnDemand && !request.free_running {
            spec.argv.push("--turns".into());
        }
        spec.limit_ns = work.duration_ns.saturating_add(GUEST_EXTRA.as_nanos() as u64);
        spec.beat_ns = 100_000_000;
        let own = files.bytes();
        let path = spec.env.entry("PATH".into()).or_default();
        for (i, line) in work.programs.iter().enumerate() {
            let take = if i == 0 { &request.take[..] } else { &[] };
            for dir in pack::pack(&mut files, line, take)? {
                if !path.split(':').any(|p| p == dir) {
                    *path += &format!(":{dir}");
                }
            }
        }
        // What is taken along is there twice while the kernel unpacks it.
        let taken_mib = 2 * files.bytes().saturating_sub(own).div_ceil(1 << 20);
        let mut guest = Guest::new(image, files, spec, shape);
        guest.memory_mib = 1024 + 32 * nr_cpus as u32 + u32::try_from(taken_mib).unwrap_or(u32::MAX / 2);
        guest.wall_limit = WALL_BASE + WALL_EACH * (work.duration_ns.div_ceil(1_000_000_000) * nr_cpus) as u32;
        guest.stop = interrupt::stop()?;
        guest.turns = turns;
        if request.free_running {
            let (clock, how) = self.clock(image)?;
            guest.clock = clock;
            if !request.quiet {
                crate::report::note(&how);
            }
        }
        let mut up = 0;
        let outcome = self.qemu.run(&guest, &mut |output| match output {
            GuestOutput::Event(GuestEvent::Up { ns }) => up = *ns,
            GuestOutput::Event(GuestEvent::Beat { ns }) => progress(ns.saturating_sub(up)),
            _ => {}
        });
        let outcome = outcome.map_err(failure)?;
        ended_well(&outcome)?;
        Ok(outcome)
    }

    /// KVM where it works, and what the user should know of it.
    fn clock(&self, image: &Path) -> Result<(Clock, String)> {
        Ok(match Kvm::probe(&self.qemu, image, PROBE).map_err(failure)? {
            Kvm::Works => (Clock::Kvm, "free-running on KVM: not the same twice".to_owned()),
            Kvm::Absent { reason } | Kvm::Broken { reason } => {
                let why = format!("free-running on emulated CPUs: not the same twice; no KVM: {reason}");
                (Clock::Free, why)
            }
        })
    }
}

/// What a guest needs of its kernel and the configuration says that it is missing, or a module.
fn modular(kernel: &Kernel) -> Option<&'static str> {
    let config = std::fs::read_to_string(kernel.config.as_ref()?).ok()?;
    let built_in = |option: &str| config.lines().any(|l| l.strip_prefix(option) == Some("=y"));
    ["CONFIG_VIRTIO_PCI", "CONFIG_VIRTIO_CONSOLE", "CONFIG_DEVTMPFS"].into_iter().find(|option| !built_in(option))
}

/// The machine as QEMU builds it.
fn shape(t: &Topology) -> Result<Shape> {
    if t.nr_cpus() > CPUS_MAX {
        return Err(Failure::input(format_args!(
            "--machine {}: a virtual machine takes up to {CPUS_MAX} CPUs, this is {}; larger machines run with --on sim",
            t.spec,
            t.nr_cpus()
        )));
    }
    let (nodes, llcs, cores) = (t.nodes.len() as u32, t.llcs.len() as u32, t.cores.len() as u32);
    Ok(Shape {
        sockets: nodes,
        dies: llcs / nodes,
        cores: cores / llcs,
        threads: t.nr_cpus() as u32 / cores,
        nodes,
        distances: match nodes {
            1 => Vec::new(),
            _ => t
                .node_distance
                .iter()
                .map(|row| row.iter().map(|d| u8::try_from(*d).unwrap_or(u8::MAX)).collect())
                .collect(),
        },
    })
}

/// Whose affair it is that a guest did not do its work.
fn failure(error: VmError) -> Failure {
    match error {
        VmError::Shape(_) => Failure::input(error),
        VmError::Stopped => {
            Failure::Interrupted("stopped: the virtual machine is gone, and what it had measured with it")
        }
        VmError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            Failure::environment(format_args!(
                "{error}\nscxr: a guest's files take about 100 MB; make room, or set TMPDIR to a folder that has it"
            ))
        }
        _ => Failure::environment(error),
    }
}

/// What the guest's program complained of, where it did not do its work.
fn ended_well(outcome: &Outcome) -> Result<()> {
    let said = String::from_utf8_lossy(&outcome.stderr);
    let said = said.trim().trim_start_matches("scxr: ");
    let why = match outcome.exit {
        GuestExit::Code(0) => return Ok(()),
        GuestExit::Code(2) => return Err(Failure::input(said)),
        GuestExit::Code(_) => said.to_owned(),
        GuestExit::Signal(signal) => format!("its program was ended by signal {signal}; it said: {said}"),
        GuestExit::TimedOut => format!("its program did not end in time; it said: {said}"),
    };
    let findings: Vec<String> = outcome.findings.iter().map(ToString::to_string).collect();
    let tail: Vec<&str> = outcome.console.lines().rev().take(20).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(Failure::environment(format_args!(
        "in the virtual machine: {why}{}{}",
        findings.iter().map(|f| format!("\n{f}")).collect::<String>(),
        if tail.is_empty() { String::new() } else { format!("\nthe end of its console:\n{}", tail.join("\n")) }
    )))
}
