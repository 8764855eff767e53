//! Objects in C, compiled at test time where clang is installed.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use scxr_bpf::load::{Changes, Object};
use scxr_ops::{BpfScheduler, OpsError, SchedulerOptions, Value};

use crate::clang::CLANG;
use crate::common::{Sched, Setup, model};
use crate::skip::skipped;

const FLAGS: [&str; 7] = ["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror"];

/// `objects/NAME.bpf.c`, compiled with a macro defined. `None`: there is no clang, which is an error in CI.
pub(crate) fn compile(name: &str, define: &str) -> Option<Object> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/objects/{name}.bpf.c"));
    let folder = tempfile::tempdir().expect("a folder");
    let object = folder.path().join("x.bpf.o");
    for clang in CLANG {
        let mut command = Command::new(clang);
        command.args(FLAGS).arg(format!("-D{define}")).arg("-c").arg(&source).arg("-o").arg(&object);
        match command.output() {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => panic!("{clang}: {e}"),
            Ok(o) => assert!(o.status.success(), "{name}: {}", String::from_utf8_lossy(&o.stderr)),
        }
        let bytes = std::fs::read(&object).expect("an object");
        return Some(Object::parse(&format!("{name}.bpf.o"), &bytes).unwrap_or_else(|e| panic!("{e}")));
    }
    assert!(std::env::var_os("CI").is_none(), "clang is needed for {name}.bpf.c and is not installed");
    skipped(&format!("clang is needed for {name}.bpf.c and is not installed"));
    None
}

pub(crate) fn sched(name: &str) -> Option<Sched> {
    Some(Sched::Bpf(Rc::new(compile(name, "PLAIN")?), Vec::new()))
}

/// Loads an object for a machine of `nr_cpus` CPUs.
pub(crate) fn load(
    object: &Object,
    setup: &Setup,
    nr_cpus: u32,
    set: &[(&str, u64)],
) -> Result<Rc<BpfScheduler>, OpsError> {
    let options = SchedulerOptions {
        nr_cpus,
        seed: setup.seed,
        interleave: setup.interleave,
        changes: Changes {
            set: set.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            ..Changes::default()
        },
        ..SchedulerOptions::default()
    };
    BpfScheduler::load(object, &model(), &options)
}

/// A global that is an integer.
#[track_caller]
pub(crate) fn global(s: &BpfScheduler, name: &str) -> i128 {
    match s.globals().into_iter().find(|(n, _)| n == name) {
        Some((_, Value::Int(n))) => n,
        other => panic!("global {name}: {other:?}"),
    }
}
