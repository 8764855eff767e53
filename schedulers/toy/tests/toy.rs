//! Every event goes to user space and back; what does not is counted; nothing is lost, whatever becomes of user space.

use scxr_runtime::framework::{ANY_CPU, Decision, TaskEvent, counter, kind};
use scxr_runtime::{Args, Error, HalfDef, Ns, Runtime};
use scxr_sim::{ExitKind, Run, Sim, Stat};
use scxr_toy::{HALF, NATIVE, OBJECT};

fn count(run: &Run, counter: u32) -> i128 {
    run.global_at("stats", counter as usize)
}

/// Every task of the workload has had CPU time.
fn all_ran(run: &Run) -> bool {
    run.report.tasks.iter().all(|t| t.cpu_ns > 0)
}

#[test]
fn every_event_goes_to_user_space_and_back() {
    for (machine, workload) in [("1", "mixed"), ("4", "mixed"), ("4", "hackbench:groups=1"), ("2x2x2", "schbench")] {
        let sim = Sim::new(machine).workload(workload).duration_ms(500).half(HALF, &[]).stats_every_ms(100);
        let run = sim.object(OBJECT).unwrap();
        assert!(run.is_healthy() && run.half_ended.is_none(), "{machine} {workload}: {run}");
        assert!(all_ran(&run), "{machine} {workload}: {run}");
        let (sent, placed) = (run.global("nr_sent"), run.global("nr_placed"));
        assert_eq!(sent, count(&run, counter::USER));
        assert_eq!(placed, count(&run, counter::PLACED) + count(&run, counter::LOST));
        // what is in user space, or on its way, is what was not carried out yet
        let tasks = run.report.tasks.len() as i128;
        assert!(placed > 0 && (0..=tasks).contains(&(sent - placed)), "{machine} {workload}: {sent} {placed}");
        assert_eq!(count(&run, counter::FULL), 0);
        let last = run.stats.last().unwrap();
        let of = |name: &str| match last.get(name) {
            Some(Stat::Number(n)) => *n,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(of("enqueued"), of("decided") + of("queued") + of("held"));
        assert!(of("user") >= of("enqueued") && run.stats.len() >= 4, "{last:?}");
    }
}

#[test]
fn bpf_and_native_code_decide_alike() {
    for (machine, workload) in [("2", "mixed"), ("4", "hackbench:groups=1")] {
        Sim::new(machine).workload(workload).half(HALF, &[("slice", 5_000_000)]).twins(NATIVE, OBJECT).unwrap();
    }
}

#[test]
fn a_run_is_the_same_twice() {
    let run = || Sim::new("4").half(HALF, &[]).object(OBJECT).unwrap().events;
    assert_eq!(run(), run());
}

/// Lives for 100 ms.
fn short_lived(rt: &Runtime<'_>, _args: &Args) -> Result<(), Error> {
    let ready = rt.ringbuf::<TaskEvent>("ready")?;
    let decided = rt.user_ringbuf::<Decision>("decided")?;
    while rt.now().0 < 100_000_000 {
        while let Some(event) = ready.receive() {
            if event.kind == kind::READY {
                decided.send(Decision { pid: event.pid, cpu: event.cpu, slice: Ns::ZERO });
            }
        }
        rt.poll(Ns::from_ms(10));
    }
    Err(Error::Other("killed".into()))
}

/// Takes all, decides nothing.
fn idle(rt: &Runtime<'_>, _args: &Args) -> Result<(), Error> {
    let ready = rt.ringbuf::<TaskEvent>("ready")?;
    while !rt.is_over() {
        while ready.receive().is_some() {}
        rt.poll(Ns::from_ms(10));
    }
    Ok(())
}

/// Never gives its CPU up.
fn spinning(rt: &Runtime<'_>, _args: &Args) -> Result<(), Error> {
    while !rt.is_over() {
        rt.work(Ns::from_ms(1));
        rt.global::<u64>("nr_sent")?.get();
    }
    Ok(())
}

#[test]
fn a_half_that_fails_is_found_by_the_watchdog_and_nothing_is_lost() {
    type Main = fn(&Runtime<'_>, &Args) -> Result<(), Error>;
    let halves: [(&str, Main, Result<(), String>); 3] =
        [("dead", short_lived, Err("killed".into())), ("idle", idle, Ok(())), ("spinning", spinning, Ok(()))];
    for (name, main, ended) in halves {
        let half = HalfDef { name, main, ..HALF };
        let run = Sim::new("2").duration_ms(10_000).half(half, &[]).object(OBJECT).unwrap();
        assert_eq!(run.exit, ExitKind::ErrorStall, "{name}: {run}");
        assert!(all_ran(&run), "{name}: {run}");
        assert_eq!(run.half_ended, Some(ended), "{name}");
        // under the fair class, all of the machine is used again
        let hogs = run.cpu_ns("hog");
        assert!(hogs > 2_000_000_000, "{name}: {hogs}");
    }
}

/// Looks once in 20 ms.
fn lazy(rt: &Runtime<'_>, _args: &Args) -> Result<(), Error> {
    let ready = rt.ringbuf::<TaskEvent>("ready")?;
    let decided = rt.user_ringbuf::<Decision>("decided")?;
    while !rt.is_over() {
        while let Some(event) = ready.receive() {
            if event.kind == kind::READY {
                decided.send(Decision { pid: event.pid, cpu: ANY_CPU, slice: Ns::ZERO });
            }
        }
        rt.sleep(Ns::from_ms(20));
    }
    Ok(())
}

#[test]
fn a_full_ring_is_counted_and_served_in_the_kernel() {
    let workload = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/together.json");
    let half = HalfDef { main: lazy, ..HALF };
    let sim = Sim::new("4").workload(workload).duration_ms(2_000).half(half, &[]).resize("ready", 4096);
    let run = sim.object(OBJECT).unwrap();
    assert!(run.is_healthy() && all_ran(&run), "{run}");
    assert!(count(&run, counter::FULL) > 0 && count(&run, counter::PLACED) > 0, "{run}");
}

#[test]
fn the_two_halves_mean_the_same_types() {
    fn wrong(rt: &Runtime<'_>, _args: &Args) -> Result<(), Error> {
        rt.global::<u32>("nr_sent").map(drop)
    }
    fn wrong_map(rt: &Runtime<'_>, _args: &Args) -> Result<(), Error> {
        rt.map::<u32, u32>("stats").map(drop)
    }
    fn missing(rt: &Runtime<'_>, _args: &Args) -> Result<(), Error> {
        rt.ringbuf::<TaskEvent>("stats").map(drop)
    }
    for (main, expect) in [
        (wrong as fn(&Runtime<'_>, &Args) -> Result<(), Error>, "nr_sent: the user-space half takes it for 4 bytes"),
        (wrong_map, "stats: the user-space half takes it for 4 bytes"),
        (missing, "no ring buffer called stats"),
    ] {
        let run = Sim::new("1").duration_ms(10).half(HalfDef { main, ..HALF }, &[]).object(OBJECT).unwrap();
        let error = run.half_ended.unwrap().unwrap_err();
        assert!(error.contains(expect), "{error}");
    }
}
