//! Every preset does what it says, and is the same each time.

use crate::fake::Fake;
use scxr_workload::{Workload, load, presets};

const MS: u64 = 1_000_000;

fn read(spec: &str) -> Workload {
    load(spec, 8, 1).unwrap_or_else(|e| panic!("{spec}: {e}"))
}

fn names(w: &Workload) -> Vec<String> {
    let one = |t: &scxr_workload::ir::TaskTemplate| {
        (0..t.instances).map(|i| format!("{}@{}", t.instance_name(i), t.nice)).collect::<Vec<_>>()
    };
    w.tasks.iter().flat_map(one).collect()
}

#[test]
fn all_run_with_their_defaults() {
    for p in presets() {
        let w = read(p.name);
        let fake = Fake::run(&w, MS / 5);
        assert!(fake.count("run ") + fake.count("sleep ") > 0, "{}", p.name);
        for param in p.params.iter().filter(|p| !p.default.starts_with('<')) {
            let spec = format!("{}:{}={}", p.name, param.key, param.default);
            let same = read(&spec);
            assert_eq!(same.tasks, w.tasks, "{spec} is the default");
        }
    }
}

#[test]
fn spin() {
    assert_eq!(names(&read("spin")).len(), 16);
    assert_eq!(names(&read("spin:nice=5")).len(), 16);
    assert_eq!(names(&read("spin:n=4,nice=-5/0/5/10")), ["spin-5@-5", "spin+0@0", "spin+5@5", "spin+10@10"]);
    assert_eq!(names(&read("spin:nice=0/5")), ["spin+0@0", "spin+5@5"]);
    assert_eq!(names(&read("spin:nice=0/5,n=3")), ["spin+0-0@0", "spin+0-1@0", "spin+5@5"]);
    let pinned = read("spin:cpus=0/2");
    assert_eq!(pinned.tasks[0].cpus.unwrap().to_string(), "0,2");
}

#[test]
fn pipe_goes_to_and_fro() {
    let fake = Fake::run(&read("pipe:trips=3"), 10 * MS);
    assert_eq!(fake.count("work "), 3);
    assert_eq!(fake.count("exit"), 2);
    let wakes = fake.log.iter().filter(|d| d.what.starts_with("wake"));
    assert!(wakes.clone().count() > 0);
    assert!(wakes.clone().all(|d| d.what == "wake 1 sync"), "{:?}", fake.log);
}

#[test]
fn hackbench_delivers_every_message() {
    for size in [1, 30_000] {
        let w = read(&format!("hackbench:groups=2,fds=3,msg=5,size={size}"));
        let fake = Fake::run(&w, 1000 * MS);
        assert_eq!(fake.count("work "), 2 * 3 * 3 * 5);
        assert_eq!(fake.count("exit"), 12);
    }
}

#[test]
fn schbench_serves_all_workers() {
    let fake = Fake::run(&read("schbench:m=2,t=3"), 100 * MS);
    for m in 0..2 {
        for t in 0..3 {
            let name = format!("worker{m}-{t}");
            let served = fake.of(&name).iter().filter(|w| w.starts_with("work ")).count();
            assert!((50..100).contains(&served), "{name}: {served}");
        }
    }
}

#[test]
fn mixed_is_scaled_to_the_machine() {
    for (cpus, hogs, pinned) in [(1, 1, 1), (8, 8, 2), (64, 64, 16)] {
        let w = load("mixed", cpus, 1).unwrap();
        let count = |name: &str| {
            let of = w.tasks.iter().filter(|t| t.name.starts_with(name));
            of.map(|t| t.instances).sum::<u32>()
        };
        assert_eq!((count("hog"), count("pinned")), (hogs, pinned), "{cpus} CPUs");
        let on = w.tasks.iter().filter_map(|t| t.cpus).flat_map(|m| m.iter().collect::<Vec<_>>());
        assert!(on.clone().all(|c| c.idx() < cpus));
    }
    let fake = Fake::run(&read("mixed:interactive=1,burst=1ms,think=1ms"), 2000 * MS);
    let answers = fake.of("interactive").iter().filter(|w| w.starts_with("work ")).count();
    assert!((900..1100).contains(&answers), "{answers}");
}

#[test]
fn a_run_depends_on_its_seed_and_nothing_else() {
    let run = |spec: &str, seed| Fake::run(&load(spec, 4, seed).unwrap(), 50 * MS).log;
    for p in presets() {
        let spec = match p.name {
            "hackbench" => "hackbench:groups=1",
            name => name,
        };
        assert_eq!(run(spec, 1), run(spec, 1), "{spec}");
    }
    for name in ["mixed", "idle", "schbench"] {
        assert_ne!(run(name, 1), run(name, 2), "{name}");
    }
}

#[test]
fn one_task_more_does_not_change_the_others() {
    let of = |n: u32| {
        let w = load(&format!("idle:n={n}"), 4, 1).unwrap();
        Fake::run(&w, 500 * MS).of("daemon-1")
    };
    assert_eq!(of(2), of(3));
}

#[test]
fn slips_are_answered() {
    for (spec, expect) in [
        ("hackbnech", "did you mean 'hackbench'?"),
        ("compile", "presets are spin, pipe"),
        ("spin:m=3", "'m' is no parameter of it"),
        ("spin:nise=3", "did you mean 'nice'?"),
        ("pipe:pair=3", "pairs=1 (number of pairs)"),
        ("spin:n", "a value is missing"),
        ("spin:n=1,n=2", "given twice"),
        ("spin:n=0", "from 1 to 1000000"),
        ("spin:n=-1", "from 1 to 1000000"),
        ("spin:nice=30", "not a nice value"),
        ("spin:cpus=0-99", "CPUs 0 to 7 only"),
        ("pipe:run=5", "write 5ms"),
        ("mixed:burst=5parsecs", "not a length of time"),
        ("missing.json", "missing.json: "),
    ] {
        let e = load(spec, 8, 1).unwrap_err().to_string();
        assert!(e.contains(expect), "{spec}: {e}");
        assert!(!e.contains('\n'), "{spec}: {e}");
    }
}
