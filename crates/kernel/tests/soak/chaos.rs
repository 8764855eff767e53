//! Tasks that do anything that tasks can do, to themselves and to each other.

use std::cell::RefCell;
use std::rc::Rc;

use scxr_kernel::behavior::{Action, Call, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::cgroup::Bandwidth;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::{CpuId, TaskId, WaitQueueId};
use scxr_kernel::{CgroupChange, Machine};

use crate::Draw;

const MS: u64 = 1_000_000;
/// Tasks of the workload at most.
const NR_TASKS_MAX: usize = 120;
const GROUPS: [&str; 5] = ["/a", "/a/b", "/c", "/a/b/d", "/e"];

/// What tasks share.
#[derive(Clone)]
pub(crate) struct World {
    cpus: u32,
    others: Rc<RefCell<Vec<TaskId>>>,
    queues: Vec<WaitQueueId>,
}

pub(crate) fn mask(draw: &mut Draw, cpus: u32) -> CpuMask {
    let mut mask: CpuMask = (0..cpus).map(CpuId).filter(|_| draw.chance(1, 3)).collect();
    mask.set(CpuId(draw.below(cpus.into()) as u32));
    mask
}

fn policy(draw: &mut Draw) -> Policy {
    let runtime = MS / 2 + draw.below(2 * MS);
    match draw.below(16) {
        0..5 => Policy::Normal,
        5..8 => Policy::Ext,
        8 => Policy::Batch,
        9..11 => Policy::Idle,
        11..13 => Policy::Fifo(1 + draw.below(99) as u8),
        13..15 => Policy::RoundRobin(1 + draw.below(99) as u8),
        _ => Policy::Deadline { runtime, deadline: 10 * MS, period: draw.pick(&[0, 20 * MS]) },
    }
}

/// One step of a task; `own` are the steps of a system call that is under way.
fn step(draw: &mut Draw, world: &World, cx: &TaskCx) -> Action {
    let whom = {
        let mut others = world.others.borrow_mut();
        if !others.contains(&cx.task) {
            others.push(cx.task);
        }
        Whom::Task(others[draw.below(others.len() as u64) as usize])
    };
    let queue = draw.pick(&world.queues);
    let short = draw.below(3 * MS);
    match draw.below(64) {
        0..16 => Action::Run(short),
        16..18 => Action::Run(draw.below(30 * MS)),
        18..30 => Action::Sleep(short),
        30..34 => Action::Yield,
        34..38 => Action::Wake { queue, nr: draw.below(3) as u32, sync: draw.chance(1, 2) },
        38..42 => Action::WaitTimeout(queue, draw.below(5 * MS)),
        42..46 => Action::SetAffinity(whom, mask(draw, world.cpus)),
        46..50 => Action::SetNice(whom, draw.below(40) as i8 - 20),
        50..55 => Action::SetPolicy(whom, policy(draw)),
        55 => Action::Call(Call::PipeRead),
        56 => Action::CpuTime,
        57 if draw.chance(1, 2) => Action::Exec,
        57 => Action::SetCookie(whom, draw.below(3)),
        58..61 if world.others.borrow().len() < NR_TASKS_MAX => {
            let seed = draw.below(u64::MAX);
            let mut child = TaskSpec::new("child", chaotic(Draw::new(seed, 1), world.clone(), Some(1 + seed % 40)));
            child.thread = draw.chance(1, 3);
            child.cgroup = draw.pick(&["/", "/a", "/a/b", "/c"]).into();
            child.policy = policy(draw);
            child.nice = draw.below(40) as i8 - 20;
            child.affinity = draw.chance(1, 4).then(|| mask(draw, world.cpus));
            Action::Fork(Box::new(child))
        }
        _ => Action::Work(short),
    }
}

/// A task that does so for a number of steps, or for ever. It comes back to itself from real-time policies.
fn chaotic(mut draw: Draw, world: World, steps: Option<u64>) -> impl FnMut(&TaskCx) -> Action {
    let mut left = steps.unwrap_or(u64::MAX);
    move |cx: &TaskCx| {
        left -= 1;
        match left {
            0 => {
                world.others.borrow_mut().retain(|p| *p != cx.task);
                Action::Exit
            }
            _ if draw.chance(1, 12) => Action::SetPolicy(Whom::Myself, Policy::Normal),
            _ => step(&mut draw, &world, cx),
        }
    }
}

/// Takes CPUs down and brings them up, on CPU 0.
fn hotplug(mut draw: Draw, cpus: u32) -> TaskSpec {
    let mut wait = false;
    let mut spec = TaskSpec::new("hotplug", move |_: &TaskCx| {
        wait = !wait;
        match wait {
            true => Action::Sleep(MS + draw.below(40 * MS)),
            false => Action::SetCpuOnline(CpuId(1 + draw.below(u64::from(cpus) - 1) as u32), draw.chance(3, 5)),
        }
    });
    (spec.policy, spec.affinity) = (Policy::Fifo(50), Some(CpuMask::of(CpuId(0))));
    spec
}

/// Makes, changes and removes cgroups, and moves tasks.
fn cgroups(mut draw: Draw, world: World) -> TaskSpec {
    let mut wait = false;
    TaskSpec::new("cgroups", move |_: &TaskCx| {
        wait = !wait;
        if wait {
            return Action::Sleep(draw.below(8 * MS));
        }
        let others = world.others.borrow();
        let path = draw.pick(&GROUPS);
        let change = match draw.below(12) {
            0..3 => CgroupChange::Make,
            3 => CgroupChange::Remove,
            4 => CgroupChange::Weight(1 + draw.below(10_000) as u32),
            5 => CgroupChange::Idle(draw.chance(1, 2)),
            6 => CgroupChange::Bandwidth(Bandwidth { quota_us: 1_000 + draw.below(90_000), ..Bandwidth::default() }),
            _ if others.is_empty() => CgroupChange::Make,
            _ => {
                let n = 1 + draw.below(3);
                CgroupChange::Attach((0..n).map(|_| others[draw.below(others.len() as u64) as usize]).collect())
            }
        };
        Action::Cgroup(path.into(), Box::new(change))
    })
}

/// Starts it all.
pub(crate) fn spawn(m: &mut Machine, seed: u64, draw: &mut Draw) {
    let cpus = m.state().nr_cpus() as u32;
    let queues = (0..3).map(|_| m.wait_queue()).collect();
    let world = World { cpus, others: Rc::default(), queues };
    let nr = u64::from(cpus) * (1 + draw.below(4)) + 2;
    for i in 0..nr {
        m.spawn(TaskSpec::new(format!("chaos{i}"), chaotic(Draw::new(seed, 1_000 + i), world.clone(), None)));
    }
    if cpus > 1 && draw.chance(1, 2) {
        m.spawn(hotplug(Draw::new(seed, 2), cpus));
    }
    if draw.chance(2, 3) {
        m.spawn(cgroups(Draw::new(seed, 3), world));
    }
}
