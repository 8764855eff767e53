//! A task's cgroup, as programs see it.

use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, TaskCx, TaskSpec};
use scxr_kernel::config::Config;
use scxr_kernel::topology::Topology;
use scxr_trace::NullSink;

use crate::common::{MS, Setup};
use crate::objects::{compile, global, load};

/// Runs a task of `/a/b` under the object and gives its globals in this order, and why it ended.
fn run(define: &str, names: &[&str]) -> Option<(Vec<i128>, Option<String>)> {
    let s = load(&compile("cgroups", define)?, &Setup::new("1", "", 60 * MS), 1, &[]).unwrap_or_else(|e| panic!("{e}"));
    let mut m = Machine::new(Topology::parse("1").expect("a machine"), Config::default(), Box::new(NullSink));
    m.enable(s.clone());
    let mut spec = TaskSpec::new("grouped", |_: &TaskCx| Action::Run(MS));
    spec.cgroup = "/a/b".into();
    m.spawn(spec);
    m.run_until(60 * MS);
    let values = names.iter().map(|n| global(&s, n)).collect();
    Some((values, m.state().ext.exit_info.as_ref().map(|e| e.msg.clone())))
}

#[test]
fn cgroups_are_seen() {
    let names =
        ["told", "css_set", "task_cgroup", "from_id", "nothing", "top", "parent", "kn_parent", "level", "root_level"];
    let Some((values, exit)) = run("PLAIN", &names) else { return };
    assert_eq!((values.as_slice(), exit), ([3, 3, 3, 3, 0, 2, 2, 2, 2, 0].as_slice(), None));
    let Some((values, _)) = run("PLAIN", &["first", "root_first"]) else { return };
    assert_eq!(values, [i128::from(b'b'), i128::from(b'/')]);
}

#[test]
fn cgroups_are_asked_for_where_they_may_be() {
    for (define, why) in [
        ("WRONG_TASK", "called on a task not being operated on"),
        ("FORGET", "returned without releasing 1 reference(s), which the verifier refuses"),
    ] {
        let Some((_, exit)) = run(define, &[]) else { return };
        assert!(exit.as_ref().is_some_and(|msg| msg.contains(why)), "{define}: {exit:?}");
    }
}
