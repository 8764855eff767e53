//! `--on host`: this machine's kernel.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use scxr_host::HostError;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{job, report};
use crate::failure::{Failure, Result};
use crate::resolve::Request;
use crate::scheduler::Scheduler;
use crate::session::{Keep, RunResult};

/// The kernel's own type information.
const BTF: &str = "/sys/kernel/btf/vmlinux";

pub(super) fn run(
    request: &Request,
    scheduler: &Scheduler,
    seed: u64,
    keep: Keep,
    progress: &mut dyn FnMut(u64),
) -> Result<RunResult> {
    let start = Instant::now();
    let btf = std::fs::read(BTF).ok();
    let planned = job::plan(request, scheduler, seed, keep, btf.as_deref())?;
    let mut job = planned.job;
    let dir = tempfile::tempdir().map_err(|e| Failure::environment(format_args!("a temporary folder: {e}")))?;
    if let Some(bytes) = &scheduler.bytes {
        let path = dir.path().join("object.bpf.o");
        std::fs::write(&path, &bytes[..]).map_err(|e| Failure::file(&path, &e))?;
        job.object = Some(path);
    }
    let begin = Instant::now();
    let recording = scxr_host::run(&job, &workers()?, &stop()?, progress).map_err(|e| failure(&e))?;
    let times = (start.elapsed().as_nanos() as u64, begin.elapsed().as_nanos() as u64);
    let mut result = report::result(&recording, scheduler, seed, keep, times)?;
    result.topology = report::topology(&recording);
    result.notes.splice(0..0, planned.notes);
    Ok(result)
}

/// The command line of the process in which a workload's threads live: ours.
pub(super) fn workers() -> Result<Vec<OsString>> {
    let me = std::env::current_exe();
    let me = me.map_err(|e| Failure::environment(format_args!("this program cannot be found: {e}")))?;
    Ok(vec![me.into(), "workers".into()])
}

/// Set by the signals that end a run: the scheduler is unregistered then, and the report printed.
pub(super) fn stop() -> Result<scxr_host::Stop> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let registered = signal_hook::flag::register(signal, Arc::clone(&stop));
        registered.map_err(|e| Failure::environment(format_args!("signal {signal} cannot be caught: {e}")))?;
    }
    Ok(stop)
}

/// Whose affair it is that nothing ran.
pub(super) fn failure(error: &HostError) -> Failure {
    match error {
        HostError::Workload { .. } => Failure::input(error),
        _ => Failure::environment(error),
    }
}
