//! Workloads with a name and parameters.

use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::{CpuId, Ns};

use crate::error::WorkloadError;
use crate::ir::{Dur, Loops, Op, Program, Resources, Since, Target, TaskTemplate, Workload};
use crate::params::{Param, Params};
use crate::suggest::hint;

const US: Ns = 1_000;
const MS: Ns = 1_000_000;
/// Bytes that a pipe holds (the kernel's default).
const PIPE_BYTES: u64 = 65_536;
/// Most tasks that one parameter may ask for.
const TASKS_MAX: u64 = 1_000_000;

/// A preset: what `list` and `--help` show of it.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Name.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
    build: fn(&Params<'_>, usize) -> Result<Built, WorkloadError>,
}

type Built = (Vec<TaskTemplate>, Resources);

/// All presets.
pub fn presets() -> &'static [Preset] {
    PRESETS
}

const fn param(key: &'static str, default: &'static str, help: &'static str) -> Param {
    Param { key, default, help }
}

static PRESETS: &[Preset] = &[
    Preset {
        name: "spin",
        about: "tasks that only compute",
        params: &[
            param("n", "<2 per CPU; 1 for each of several nice values>", "number of tasks"),
            param("nice", "0", "nice values, dealt out in turn: -5/0/5/10"),
            param("cpus", "<all>", "CPUs that they may use: 0-3 or 0/2"),
        ],
        build: spin,
    },
    Preset {
        name: "pipe",
        about: "pairs of tasks that send a message to and fro; an operation is one round trip",
        params: &[
            param("pairs", "1", "number of pairs"),
            param("run", "1us", "time that each side computes before it answers"),
            param("trips", "0", "round trips of each pair; 0: no end"),
        ],
        build: pipe,
    },
    Preset {
        name: "hackbench",
        about: "groups of senders and receivers, every sender to every receiver of its group; an operation is one message",
        params: &[
            param("groups", "10", "number of groups"),
            param("fds", "20", "senders, and receivers, of a group"),
            param("msg", "100", "messages from each sender to each receiver; 0: no end"),
            param(
                "size",
                "100",
                "bytes of a message: how many a pipe holds (64 KiB), and 1 ns for each 8 bytes and side",
            ),
            param("cost", "500ns", "time that each side needs for a message besides"),
        ],
        build: hackbench,
    },
    Preset {
        name: "schbench",
        about: "message threads that hand requests to workers; an operation is one request, from when it was asked for to its end",
        params: &[
            param("m", "1", "message threads"),
            param("t", "<1 per CPU>", "workers of each message thread"),
            param("work", "1ms", "time that a request computes"),
            param("think", "100us", "time that a worker sleeps before its next request (exponential)"),
        ],
        build: schbench,
    },
    Preset {
        name: "mixed",
        about: "a machine with more work than time: hogs at nice -5/0/5/10, interactive tasks, periodic ones with deadlines, pinned ones",
        params: &[
            param("hogs", "<1 per CPU>", "tasks that only compute"),
            param("nice", "-5/0/5/10", "nice values of the hogs, dealt out in turn"),
            param("interactive", "<1 per CPU>", "tasks that answer in short bursts; an operation is one answer"),
            param("burst", "500us", "mean time of a burst (exponential)"),
            param("think", "8ms", "mean time between bursts (exponential)"),
            param("periodic", "<1 for 2 CPUs>", "tasks that compute in each period; an operation is one period's work"),
            param("period", "16666us", "length of a period"),
            param("run", "2ms", "time that it computes in a period (even, half to one and a half times)"),
            param("pinned", "<1 for 4 CPUs>", "tasks that may use one CPU only"),
        ],
        build: mixed,
    },
    Preset {
        name: "idle",
        about: "a machine with little to do: tasks that seldom wake and do little",
        params: &[
            param("n", "<1 per CPU>", "number of tasks"),
            param("run", "50us", "mean time of a burst (exponential)"),
            param("sleep", "50ms", "mean time between bursts (exponential)"),
        ],
        build: idle,
    },
];

/// Reads `NAME` or `NAME:key=value,…`.
pub(crate) fn load(spec: &str, nr_cpus: usize, seed: u64) -> Result<Workload, WorkloadError> {
    let (name, params) = spec.split_once(':').unwrap_or((spec, ""));
    let Some(preset) = PRESETS.iter().find(|p| p.name == name) else {
        let names: Vec<_> = PRESETS.iter().map(|p| p.name).collect();
        return Err(WorkloadError::Unknown {
            name: name.into(),
            hint: hint(name, names.iter().copied()),
            known: names.join(", "),
        });
    };
    let params = Params::parse(name, params, preset.params)?;
    let (tasks, resources) = (preset.build)(&params, nr_cpus.max(1))?;
    Ok(Workload { name: spec.into(), seed, duration: None, tasks, resources, groups: Vec::new(), warnings: Vec::new() })
}

/// 0 means no end.
fn loops(n: u64) -> Loops {
    match n {
        0 => Loops::Forever,
        n => Loops::Times(n),
    }
}

/// `n` hogs with the nice values in turn: a template for each value, so that names tell them apart.
fn hogs(name: &str, n: u32, nices: &[i8]) -> Vec<TaskTemplate> {
    let one = |(i, &nice): (usize, &i8)| {
        let (i, k) = (i as u32, nices.len() as u32);
        let instances = n / k + u32::from(i < n % k);
        let name = match nices {
            [_] => name.to_string(),
            _ => format!("{name}{nice:+}"),
        };
        let program = Program::forever(vec![Op::Run(Dur::Fixed(10 * MS))]);
        TaskTemplate::new(name, instances, program).nice(nice)
    };
    let mut distinct: Vec<TaskTemplate> = Vec::new();
    for t in nices.iter().enumerate().map(one).filter(|t| t.instances > 0) {
        match distinct.iter_mut().find(|d| d.nice == t.nice) {
            Some(same) => same.instances += t.instances,
            None => distinct.push(t),
        }
    }
    distinct
}

fn spin(p: &Params<'_>, nr_cpus: usize) -> Result<Built, WorkloadError> {
    let nices = p.nices("nice", &[0])?;
    let default = match nices.len() {
        1 => 2 * nr_cpus as u64,
        n => n as u64,
    };
    let n = p.number("n", default, 1, TASKS_MAX)?;
    let cpus = p.cpus("cpus", nr_cpus)?;
    let mut tasks = hogs("spin", n as u32, &nices);
    tasks.iter_mut().for_each(|t| t.cpus = cpus);
    Ok((tasks, Resources::default()))
}

fn pipe(p: &Params<'_>, _nr_cpus: usize) -> Result<Built, WorkloadError> {
    let pairs = p.number("pairs", 1, 1, TASKS_MAX)? as u32;
    let run = Op::Run(Dur::Fixed(p.duration("run", US)?));
    let trips = loops(p.number("trips", 0, 0, u64::MAX)?);
    let mut resources = Resources::default();
    let there = Target::Own(resources.pipes(pairs, 16));
    let back = Target::Own(resources.pipes(pairs, 16));
    let send = |to| Op::Send { to, sync: true };
    let recv = |from| Op::Recv { from };
    let ping = vec![Op::Mark, run.clone(), send(there), recv(back), Op::Work(Since::Mark)];
    let pong = vec![recv(there), run, send(back)];
    let tasks = vec![
        TaskTemplate::new("ping", pairs, Program::looped(trips, ping)),
        TaskTemplate::new("pong", pairs, Program::looped(trips, pong)),
    ];
    Ok((tasks, resources))
}

fn hackbench(p: &Params<'_>, _nr_cpus: usize) -> Result<Built, WorkloadError> {
    let groups = p.number("groups", 10, 1, 10_000)? as u32;
    let fds = p.number("fds", 20, 1, 1_000)? as u32;
    let msg = p.number("msg", 100, 0, 1_000_000_000)?;
    let size = p.number("size", 100, 1, PIPE_BYTES)?;
    let cost = Dur::Fixed(p.duration("cost", 500)? + size / 8);
    let mut resources = Resources::default();
    let mut tasks = Vec::new();
    for group in 0..groups {
        let first = resources.pipes(fds, (PIPE_BYTES / size) as u32);
        let target = |i| Target::One(crate::ir::PipeId(first.0 + i));
        let send = |i| {
            let to = target(i);
            [Op::Run(cost), Op::Send { to, sync: true }]
        };
        let sends = (0..fds).flat_map(send).collect();
        let from = Target::Own(first);
        let receive = vec![Op::Recv { from }, Op::Run(cost), Op::Work(Since::Message)];
        let receives = loops(msg.saturating_mul(u64::from(fds)));
        tasks.extend([
            TaskTemplate::new(format!("send{group}"), fds, Program::looped(loops(msg), sends)),
            TaskTemplate::new(format!("recv{group}"), fds, Program::looped(receives, receive)),
        ]);
    }
    Ok((tasks, resources))
}

fn schbench(p: &Params<'_>, nr_cpus: usize) -> Result<Built, WorkloadError> {
    let m = p.number("m", 1, 1, 1_000)? as u32;
    let t = p.number("t", nr_cpus as u64, 1, 10_000)? as u32;
    let work = Op::Run(Dur::Fixed(p.duration("work", MS)?));
    let think = Op::Sleep(Dur::Exp(p.duration("think", 100 * US)?));
    let mut resources = Resources::default();
    let mut tasks = Vec::new();
    for message in 0..m {
        let ask = Target::One(resources.pipes(1, t));
        let wake = resources.pipes(t, 1);
        let serve =
            vec![Op::Recv { from: ask }, Op::Run(Dur::Fixed(US)), Op::Send { to: Target::Reply(wake), sync: false }];
        let worker = vec![
            think.clone(),
            Op::Mark,
            Op::Send { to: ask, sync: false },
            Op::Recv { from: Target::Own(wake) },
            work.clone(),
            Op::Work(Since::Mark),
        ];
        let suffix = if m == 1 { String::new() } else { message.to_string() };
        tasks.extend([
            TaskTemplate::new(format!("message{suffix}"), 1, Program::forever(serve)),
            TaskTemplate::new(format!("worker{suffix}"), t, Program::forever(worker)),
        ]);
    }
    Ok((tasks, resources))
}

fn mixed(p: &Params<'_>, nr_cpus: usize) -> Result<Built, WorkloadError> {
    let cpus = nr_cpus as u64;
    let nices = p.nices("nice", &[-5, 0, 5, 10])?;
    let mut tasks = hogs("hog", p.number("hogs", cpus, 0, TASKS_MAX)? as u32, &nices);
    let interactive = vec![
        Op::Sleep(Dur::Exp(p.duration("think", 8 * MS)?)),
        Op::Run(Dur::Exp(p.duration("burst", 500 * US)?)),
        Op::Work(Since::Release),
    ];
    let n = p.number("interactive", cpus, 0, TASKS_MAX)? as u32;
    tasks.push(TaskTemplate::new("interactive", n, Program::forever(interactive)));
    let run = p.duration("run", 2 * MS)?;
    let period = p.duration("period", 16_666 * US)?;
    let periodic = vec![
        Op::Timer { timer: crate::ir::TimerRef::Own(0), period: period.max(1), relative: true },
        Op::Run(Dur::Uniform(run / 2, run + run / 2)),
        Op::Work(Since::Release),
    ];
    let n = p.number("periodic", cpus.div_ceil(2), 0, TASKS_MAX)? as u32;
    tasks.push(TaskTemplate::new("periodic", n, Program::forever(periodic)));
    let n = p.number("pinned", cpus.div_ceil(4), 0, TASKS_MAX)?;
    for i in 0..n {
        let ops = vec![Op::Sleep(Dur::Exp(2 * MS)), Op::Run(Dur::Exp(200 * US)), Op::Work(Since::Release)];
        let mut t = TaskTemplate::new(format!("pinned-{i}"), 1, Program::forever(ops));
        // Spread over the machine: every fourth CPU when there is one for four.
        t.cpus = Some(CpuMask::of(CpuId((i * cpus / n % cpus) as u32)));
        tasks.push(t);
    }
    let resources = Resources { own_timers: 1, ..Resources::default() };
    Ok((tasks, resources))
}

fn idle(p: &Params<'_>, nr_cpus: usize) -> Result<Built, WorkloadError> {
    let n = p.number("n", nr_cpus as u64, 0, TASKS_MAX)? as u32;
    let ops = vec![
        Op::Sleep(Dur::Exp(p.duration("sleep", 50 * MS)?)),
        Op::Run(Dur::Exp(p.duration("run", 50 * US)?)),
        Op::Work(Since::Release),
    ];
    let tasks = vec![TaskTemplate::new("daemon", n, Program::forever(ops))];
    Ok((tasks, Resources::default()))
}
