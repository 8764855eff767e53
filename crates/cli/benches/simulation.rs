//! Speed and memory of the simulator: events a second by scheduler and machine, bytes a task, cold start.
//!
//! `cargo bench -p scxr` prints the tables of docs/performance.md. Figures are CPU time of one core, the median of several
//! runs; compare figures of one run only. `cargo bench -p scxr -- bpf 384` runs one cell once, for a profiler; a third
//! number is that of tasks.

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its results")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use scxr_bpf::load::Object;
use scxr_bpf::vm::Exec;
use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, TaskCx, TaskSpec};
use scxr_kernel::config::Config;
use scxr_kernel::ext::ops::SchedExtOps;
use scxr_kernel::topology::Topology;
use scxr_ops::{BpfScheduler, Model, NativeScheduler, SchedulerOptions};
use scxr_trace::NullSink;

const CPUS: [u32; 4] = [8, 64, 384, 1024];
const SCHEDULERS: [&str; 4] = ["eevdf", "native", "bpf", "jit"];
const RUNS: usize = 5;
const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// Counts live bytes.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; only a counter is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A machine with a scheduler and `tasks` tasks that compute for 50 to 104 us and sleep for 60 to 130 us by turns.
fn machine(scheduler: &str, nr_cpus: u32, tasks: u64) -> Machine {
    let topology = Topology::parse(&nr_cpus.to_string()).expect("a machine");
    let mut m = Machine::new(topology, Config::default(), Box::new(NullSink));
    let ops: Option<Rc<dyn SchedExtOps>> = match scheduler {
        "native" => Some(Rc::new(NativeScheduler::new(scxr_simple::NATIVE, nr_cpus as usize))),
        "bpf" | "jit" => {
            let exec = if scheduler == "jit" { Exec::Jit } else { Exec::Interp };
            let object = Object::parse("simple", scxr_simple::OBJECT).expect("the bundled object");
            let options = SchedulerOptions { nr_cpus, exec, ..SchedulerOptions::default() };
            Some(BpfScheduler::load(&object, &Model::new(Default::default()), &options).expect("it loads"))
        }
        _ => None,
    };
    if let Some(ops) = ops {
        m.enable(ops);
    }
    for i in 0..tasks {
        let mut run = false;
        m.spawn(TaskSpec::new("bench", move |_: &TaskCx| {
            run = !run;
            if run { Action::Run((50 + i % 7 * 9) * US) } else { Action::Sleep((60 + i % 11 * 7) * US) }
        }));
    }
    m.run_until(20 * MS + tasks * 20 * US);
    assert!(m.state().ext.exit_info.is_none(), "{:?}", m.state().ext.exit_info);
    m
}

/// CPU time of this thread: what else the host does matters less to it than to the time on the wall.
fn cpu_time() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Events and CPU time of about 300,000 events, once all tasks run.
fn measure(m: &mut Machine, nr_cpus: u32) -> (u64, Duration) {
    let before = m.state().nr_events;
    let end = m.now() + 3_200 * MS / u64::from(nr_cpus);
    let start = cpu_time();
    m.run_until(end);
    (m.state().nr_events - before, cpu_time() - start)
}

fn ns_per_event(scheduler: &str, nr_cpus: u32, tasks: u64) -> f64 {
    let mut m = machine(scheduler, nr_cpus, tasks);
    let mut runs: Vec<f64> = (0..RUNS)
        .map(|_| {
            let (events, time) = measure(&mut m, nr_cpus);
            time.as_nanos() as f64 / events as f64
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}

fn speed() {
    println!("## Scheduling events, 2 tasks a CPU, and 100,000 tasks\n");
    println!("| scheduler | CPUs | tasks | ns an event | M events/s | to 8 CPUs |\n|---|---|---|---|---|---|");
    for scheduler in SCHEDULERS {
        let mut first = None;
        // To get that many tasks started takes a minute: one scheduler must do.
        let many = (scheduler == "jit").then_some((1024, 100_000));
        for (n, tasks) in CPUS.map(|n| (n, 2 * u64::from(n))).into_iter().chain(many) {
            let ns = ns_per_event(scheduler, n, tasks);
            let ratio = ns / *first.get_or_insert(ns);
            println!("| {scheduler} | {n} | {tasks} | {ns:.0} | {:.2} | {ratio:.2} |", 1_000.0 / ns);
        }
    }
}

fn memory() {
    println!("\n## Memory\n");
    println!("| scheduler | tasks | bytes a task |\n|---|---|---|");
    for scheduler in SCHEDULERS {
        let live = |tasks| {
            let before = LIVE.load(Ordering::Relaxed);
            let m = machine(scheduler, 64, tasks);
            let after = LIVE.load(Ordering::Relaxed);
            drop(m);
            after - before
        };
        let (few, many) = (live(100), live(10_100));
        println!("| {scheduler} | 10000 | {} |", (many - few) / 10_000);
    }
}

fn cold_start() {
    println!("\n## Cold start\n");
    println!("| command | wall ms, median of 10 |\n|---|---|");
    let lines = [
        "run simple --machine 8 --workload mixed --duration 1s --json",
        "run eevdf --machine 8 --workload mixed --duration 1s --json",
        "version",
    ];
    for line in lines {
        let run = || {
            let start = Instant::now();
            let status = Command::new(env!("CARGO_BIN_EXE_scxr")).args(line.split(' ')).stdout(Stdio::null()).status();
            assert!(status.expect("scxr starts").success(), "{line}");
            start.elapsed().as_secs_f64() * 1e3
        };
        let mut runs: Vec<f64> = (0..10).map(|_| run()).collect();
        runs.sort_by(f64::total_cmp);
        println!("| `scxr {line}` | {:.0} |", runs[5]);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if let [scheduler, cpus, rest @ ..] = args.as_slice() {
        let nr_cpus: u32 = cpus.parse().expect("a number of CPUs");
        let tasks = rest.first().map_or(2 * u64::from(nr_cpus), |n| n.parse().expect("a number of tasks"));
        let mut m = machine(scheduler, nr_cpus, tasks);
        let (events, time) = measure(&mut m, nr_cpus);
        println!("{scheduler} {nr_cpus}: {events} events in {time:?}, {} since boot", m.state().nr_events);
        return;
    }
    speed();
    memory();
    cold_start();
}
