//! Loader files: what a user-space half does to an object before it runs, on the simulated kernel and on Linux.

mod support;

use serde_json::Value;
use support::scxr;

const OBJECT: &str = "crates/cli/tests/loader/shaped.bpf.c";

fn run(more: &[&str], code: i32) -> (Value, String) {
    let args = ["run", OBJECT, "--machine", "4", "--workload", "spin", "--duration", "200ms", "--globals", "--json"];
    let ran = scxr(&[&args[..], more].concat());
    assert_eq!(ran.code, code, "{more:?}: {}", ran.stderr);
    (serde_json::from_str(&ran.stdout).unwrap_or_default(), ran.stderr)
}

#[test]
fn all_that_a_file_says_is_done() {
    for place in [&[][..], &["--on", "vm", "--kernel", "6.16"], &["--on", "vm", "--kernel", "7.2"]] {
        let (report, said) = run(place, 0);
        assert_eq!(report["exit"]["kind"], "none", "{place:?}: {}", report["exit"]);
        let globals = &report["globals"];
        let of = |name: &str| globals[name].as_u64().unwrap_or_else(|| panic!("{place:?}: {name} in {globals}"));
        assert_eq!((of("wrong"), of("prepared"), of("called"), of("ticks")), (0, 1, 2, 0), "{place:?}");
        assert_eq!(of("called_on"), 1, "{place:?}");
        assert!(of("born") > 0 && of("ran") > 0, "{place:?}: {globals}");
        assert!(said.contains("rebalance, which the loader calls, returned -7"), "{place:?}: {said}");
        assert!(said.contains("shaped.loader.toml says (all that a loader file can say)"), "{place:?}: {said}");
    }
}

#[test]
fn an_object_as_it_is() {
    let (report, said) = run(&["--loader", "none"], 0);
    let globals = &report["globals"];
    assert_ne!(globals["wrong"], 0);
    assert_eq!((&globals["called"], globals["ticks"].as_u64() > Some(0)), (&Value::from(0), true));
    assert!(!said.contains("loader"), "{said}");
}

#[test]
fn slips_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.toml");
    for (text, expect) in [
        ("[globals]\nnr_cpu = 1", "globals.nr_cpu: "),
        ("[globals]\nnr_cpu_ids = 'nr_cpu'", "globals.nr_cpu_ids: `nr_cpu`: there is no `nr_cpu`"),
        ("[globals]\npartner = [1, 2]", "globals.partner: 2 values for 1 elements"),
        ("[globals]\nnr_cpu_ids = -3000000000", "does not fit"),
        (
            "[globals]\nnr_cpu_ids = 'nr_cpus / (nr_cpus - 4)'",
            "x.toml:2: globals.nr_cpu_ids: `nr_cpus / (nr_cpus - 4)` divides by 0 where nr_cpus is 4",
        ),
        ("[entries]\nqueue = 1", "no map named queue; there are arena, queues"),
        ("[members]\ntick_tock = 1", "tick_tock"),
        ("[programs]\nprep = true", "there are prepare, rebalance, add_cpu"),
        ("fill = ['settings']", "it is no array of maps"),
        ("[[element]]\nmap = 'setting'\nvalue = 1", "there is no such map; there are"),
        ("[[element]]\nmap = 'settings'\nvalue = 1", "needs a `key`"),
        ("[[element]]\nmap = 'settings'\nkey = 0\nvalue = [1, 2, 3]", "do not fill 8 bytes evenly"),
        ("[[element]]\nmap = 'settings'\nkey = 7\nvalue = 1", "an element cannot be written"),
        ("[[call]]\nprogram = 'shaped_tick'", "no program of that name in section `syscall`"),
        ("[[call]]\nprogram = 'prepare'\nat = '5'", "call of prepare"),
        ("[[call]]\nprogram = 'prepare'\ncpu = 1", "needs a time"),
        ("[[call]]\nprogram = 'prepare'\nat = '5ms'\ncpu = 4", "there is no CPU 4"),
        ("[[call]]\nprogram = 'prepare'\ninput = { x = 1 }", "takes no structure"),
        ("[[call]]\nprogram = 'prepare'\nfor = -1", "for: -1 is not between"),
        ("[[call]]\nprogram = 'add_cpu'\ninput = { cup = 1 }", "struct cpu_arg has no member cup"),
        ("[[call]]\nprogram = 'give_mask'\nstore = { at = 'task', words = 1, value = 0 }", "no member task"),
        (
            "[[call]]\nprogram = 'give_mask'\nthen = { program = 'add_node', take = ['id'] }",
            "give_mask has no member id",
        ),
        ("[[element]]\nmap = 'places'\nkey = 0\nvalue = { 'node[j]' = 1 }", "node is no array"),
        ("[globals]\n'rows[i].cell' = 1", "global rows[0].cell: "),
        ("[globals]\n'nr_cpu_ids[i]' = 1", "nr_cpu_ids is no array"),
        ("[globals]\npartner = { for = 1 }", "a table is `{ for ="),
        ("[globals]\nslice_ns = 'sizeof(thing)'", "the object has no type `thing`"),
        ("[global]", "unknown field"),
        ("fill = ", "x.toml"),
    ] {
        std::fs::write(&file, text).expect("a file");
        let (_, said) = run(&["--loader", file.to_str().expect("UTF-8")], 2);
        assert!(said.contains(expect) && !said.contains("bug"), "{text}: {said}");
    }
    let missing = folder.path().join("none.toml");
    let (_, said) = run(&["--loader", missing.to_str().expect("UTF-8")], 2);
    assert!(said.contains("there is no such file; there come with scxr: scx_beerland, scx_bpfland"), "{said}");
    let args = ["run", "simple", "--loader", "none"];
    assert_eq!(scxr(&args).code, 2);
}
