//! Any bytes: load as a scheduler into the modelled kernel, and let it schedule for a moment. Nothing may panic or hang.
//!
//! `make fuzz` runs it; `scripts/fuzz 600 load_scheduler` for ten minutes.
#![no_main]

use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use scxr_bpf::load::Object;
use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, TaskCx, TaskSpec};
use scxr_kernel::config::Config;
use scxr_kernel::topology::Topology;
use scxr_ops::{BpfScheduler, Model, SchedulerOptions};
use scxr_trace::NullSink;

const MS: u64 = 1_000_000;

thread_local!(static MODEL: Rc<Model> = Model::new(Default::default()));

fuzz_target!(|bytes: &[u8]| {
    let Ok(object) = Object::parse("fuzz", bytes) else { return };
    let options = SchedulerOptions { nr_cpus: 2, ..SchedulerOptions::default() };
    let Ok(scheduler) = MODEL.with(|model| BpfScheduler::load(&object, model, &options)) else { return };
    let mut m = Machine::new(Topology::parse("2").expect("a machine"), Config::default(), Box::new(NullSink));
    m.enable(scheduler);
    for i in 0..3 {
        let mut run = false;
        m.spawn(TaskSpec::new("fuzz", move |_: &TaskCx| {
            run = !run;
            if run { Action::Run((1 + i) * MS / 4) } else { Action::Sleep(MS / 3) }
        }));
    }
    m.run_until(20 * MS);
});
