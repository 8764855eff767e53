//! Iterators over bits, tasks and cgroups, and other functions that few schedulers use.

use scxr_kernel::behavior::{Action, TaskCx, TaskSpec};
use scxr_kernel::config::Config;
use scxr_kernel::topology::Topology;
use scxr_kernel::{CgroupChange, Machine};
use scxr_trace::NullSink;

use crate::common::{MS, Setup};
use crate::objects::{compile, global, load};

#[test]
fn what_is_there_is_walked_over() {
    let Some(object) = compile("walks", "PLAIN") else { return };
    let setup = Setup::new("4", "", 0);
    let s = load(&object, &setup, 4, &[]).unwrap_or_else(|e| panic!("{e}"));
    let mut m = Machine::new(Topology::parse("4").expect("a machine"), Config::default(), Box::new(NullSink));
    m.with_kernel(|k| {
        for path in ["/a", "/b", "/a/c"] {
            k.change_cgroup(path, CgroupChange::Make).expect("new");
        }
    });
    for (i, group) in ["/", "/a", "/a", "/b", "/a/c"].into_iter().enumerate() {
        let mut spec = TaskSpec::new(format!("in{i}"), |_: &TaskCx| Action::Run(MS));
        spec.cgroup = group.into();
        m.spawn(spec);
    }
    m.run_until(10 * MS);
    let there = m.state().all_tasks().len() as i128;
    m.enable(s.clone());
    m.run_until(50 * MS);
    assert_eq!((m.state().ext.exit_info.clone(), s.gap()), (None, None));
    assert_eq!([global(&s, "bits_sum"), global(&s, "bits_refused")], [2 + 63 + 65, -22]);
    // "init" begins like they do.
    assert_eq!([global(&s, "nr_tasks"), global(&s, "nr_named"), global(&s, "nr_threads_of_none")], [there, 6, 1]);
    assert_eq!([global(&s, "nr_under"), global(&s, "nr_not_under")], [3, 3]);
    // Ids are those of the order in which they were made: / 1, /a 2, /b 3, /a/c 4.
    assert_eq!([global(&s, "order"), global(&s, "up"), global(&s, "nr_in_group")], [1243, 21, 2]);
    assert_eq!([global(&s, "populated"), global(&s, "too_small"), global(&s, "locked_twice")], [2, 1, 1]);
    assert_eq!(s.printed(), ["6 tasks"]);
}
