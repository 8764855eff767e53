//! The user-space half of {{name}}: whoever had least CPU time for its weight goes first.

use std::collections::BTreeMap;

use scxr_runtime::framework::{Drive, Scheduler, Task, drive};
use scxr_runtime::{Args, Error, HalfDef, Ns, Opt, Runtime};

/// What whoever runs this scheduler needs to know.
pub static HALF: HalfDef = HalfDef {
    name: "{{crate}}",
    main,
    options: &[Opt::time("slice", Ns::from_ms(10), "length of a slice").short('s').sets("slice")],
};

fn main(rt: &Runtime<'_>, args: &Args) -> Result<(), Error> {
    drive(rt, Drive::default(), &mut Least { slice: args.time("slice"), ..Least::default() })
}

/// Tasks by CPU time divided by weight.
#[derive(Default)]
pub struct Least {
    slice: Ns,
    /// Of each task: its time by weight, and the CPU time that is in it, ns.
    accounts: BTreeMap<i32, (u64, u64)>,
    /// By time and arrival.
    ready: BTreeMap<(u64, u64), Task>,
    arrivals: u64,
    /// Nobody starts behind who was let go last.
    floor: u64,
}

impl Scheduler for Least {
    fn enqueue(&mut self, task: Task) {
        let (time, ran) = self.accounts.entry(task.pid).or_insert((self.floor, task.ran.0));
        *time = (*time + task.ran.0.saturating_sub(*ran) * 100 / u64::from(task.weight)).max(self.floor);
        *ran = task.ran.0;
        self.arrivals += 1;
        self.ready.insert((*time, self.arrivals), task);
    }

    fn dispatch(&mut self) -> Option<(Task, Ns)> {
        let ((time, _), task) = self.ready.pop_first()?;
        self.floor = self.floor.max(time);
        Some((task, self.slice))
    }

    fn exit_task(&mut self, pid: i32) {
        self.accounts.remove(&pid);
    }

    fn nr_queued(&self) -> usize {
        self.ready.len()
    }
}
