//! What this binary is in a guest, and beside a run on a real kernel: hidden commands.

use std::io::{self, Write as _};

use scxr_bpf::load::Object;
use scxr_host::{Half, Job, Progress};
use scxr_lab::guest::begin_turns;
use scxr_ops::half::schema;
use serde::{Deserialize, Serialize};

use super::{host, verify};
use crate::args::GuestArgs;
use crate::failure::{Failure, Outcome, Result};
use crate::{interrupt, scheduler};

/// What a guest is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub(super) enum Task {
    /// Run a scheduler; the record goes to standard output.
    Run { job: Box<Job> },
    /// Let the verifier judge objects; its word on each goes to standard output as JSON.
    Verify { jobs: Vec<Job> },
}

/// `scxr guest TASK.json`
pub(crate) fn guest(args: &GuestArgs) -> Result<Outcome> {
    let text = std::fs::read_to_string(&args.task).map_err(|e| Failure::file(&args.task, &e))?;
    let task: Task = serde_json::from_str(&text).map_err(Failure::input)?;
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match task {
        Task::Run { job } => {
            let half = half(&job)?;
            let mut begun = Ok(());
            let mut on = |p| {
                if args.turns && p == Progress::Begins {
                    begun = begin_turns();
                }
            };
            let run = scxr_host::run(&job, &host::workers()?, half.as_ref(), &interrupt::stop()?, &mut on);
            begun.map_err(|e| Failure::environment(format_args!("the CPUs' turns could not be begun: {e}")))?;
            run.map_err(|e| host::failure(&e))?.write(&mut out).map_err(|e| Failure::output(&e))?;
        }
        Task::Verify { jobs } => {
            let said = serde_json::to_vec(&verify::here(&jobs)).map_err(Failure::input)?;
            out.write_all(&said).and_then(|()| out.flush()).map_err(|e| Failure::output(&e))?;
        }
    }
    Ok(Outcome::Fine)
}

/// The user-space half that a job names, for its object.
fn half(job: &Job) -> Result<Option<Half>> {
    let (Some(half), Some(path)) = (&job.half, &job.object) else { return Ok(None) };
    let bytes = std::fs::read(path).map_err(|e| Failure::file(path, &e))?;
    let object = Object::parse(&job.name, &bytes).map_err(Failure::input)?;
    let unknown = || Failure::input(format_args!("no scheduler with a user-space half is called {}", half.name));
    let def = match &half.library {
        Some(library) => scheduler::open_half(library)?,
        None => scheduler::half_named(&half.name).ok_or_else(unknown)?,
    };
    Ok(Some(Half { def, schema: schema(&object) }))
}

/// `scxr workers`: the process in which a workload's threads live.
pub(crate) fn workers() -> Result<Outcome> {
    let served = scxr_host::workers::serve(&mut io::stdin().lock(), &mut io::stdout().lock());
    served.map(|()| Outcome::Fine).map_err(|e| Failure::output(&e))
}
