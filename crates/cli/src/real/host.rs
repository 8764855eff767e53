//! `--on host`: this machine's kernel.

use std::ffi::OsString;
use std::time::Instant;

use scxr_host::{Half, HostError, Progress};
use scxr_ops::half::schema;

use super::seconds::Seconds;
use super::{job, report};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::resolve::Request;
use crate::scheduler::{Kind, Scheduler};
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
    scxr_host::check(!matches!(scheduler.kind, Kind::Eevdf)).map_err(|e| failure(&e))?;
    let btf = std::fs::read(BTF).ok();
    let planned = job::plan(request, scheduler, seed, keep, btf.as_deref())?;
    let mut job = planned.job;
    let dir = tempfile::tempdir().map_err(|e| Failure::environment(format_args!("a temporary folder: {e}")))?;
    if let Some(bytes) = &scheduler.bytes {
        let path = dir.path().join("object.bpf.o");
        std::fs::write(&path, &bytes[..]).map_err(|e| Failure::file(&path, &e))?;
        job.object = Some(path);
    }
    let half = match (&scheduler.half, &scheduler.kind) {
        (Some(def), Kind::Bpf(object)) => Some(Half { def: *def, schema: schema(object) }),
        _ => None,
    };
    let begin = Instant::now();
    let mut seconds = Seconds::new(scheduler, request);
    let mut on = |p: Progress| match p {
        Progress::Begins => {}
        Progress::Time(ns) => progress(ns),
        Progress::Second(sample) => seconds.show(&sample),
        Progress::Stats(stats) => seconds.stats(&stats),
        Progress::Restarted(exit) => seconds.restarted(&exit),
    };
    let mut recording =
        scxr_host::run(&job, &workers()?, half.as_ref(), &interrupt::stop()?, &mut on).map_err(|e| failure(&e))?;
    if !request.json && job.program.is_none() {
        // They were told when they happened.
        recording.record.restarts.clear();
    }
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

/// Whose affair it is that nothing ran.
pub(super) fn failure(error: &HostError) -> Failure {
    match error {
        HostError::Workload { .. } => Failure::input(error),
        _ => Failure::environment(error),
    }
}
