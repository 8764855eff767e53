//! The loader on what clang makes of our sources here and now, at every instruction set version. Skipped, visibly, where
//! no clang from 16 on is installed; that is a failure in CI.

#[path = "support/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};
use std::process::Command;

use scxr_bpf::btf::KernelBtf;
use scxr_bpf::load::{KconfigValue, LoadError, LoadOptions, Object};
use skip::skipped;

/// The newest clang from 16 on, and its version.
fn clang() -> Option<(String, u32)> {
    let names = (16..=22).rev().map(|v| format!("clang-{v}")).chain(["clang".to_owned()]);
    let version = |name: &str| {
        let output = Command::new(name).arg("-dumpversion").output().ok()?;
        String::from_utf8_lossy(&output.stdout).split('.').next()?.trim().parse().ok()
    };
    names.into_iter().find_map(|name| version(&name).filter(|v| *v >= 16).map(|v| (name, v)))
}

/// The compiled bytes of a source; `None` without a compiler.
fn compile(source: &str, out: &str, flags: &[&str]) -> Option<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(out);
    let Some((clang, version)) = clang() else {
        assert!(std::env::var_os("CI").is_none(), "clang is needed in CI");
        skipped("no clang from 16 on is installed; scripts/setup test installs one");
        return None;
    };
    if flags.contains(&"-mcpu=v4") && version < 18 {
        skipped(&format!("{clang} does not know -mcpu=v4"));
        return None;
    }
    let mut command = Command::new(&clang);
    command.current_dir(dir).args(["-target", "bpf", "-g", "-w"]).args(flags).arg("-c").arg(source).arg("-o").arg(&out);
    let status = command.status().expect("clang starts");
    assert!(status.success(), "{clang} {source} {flags:?}");
    Some(std::fs::read(&out).expect("the compiled object"))
}

fn options() -> LoadOptions {
    let mut o = LoadOptions { kernel: "toy 1.0".to_owned(), ..LoadOptions::default() };
    o.kconfig.insert("LINUX_KERNEL_VERSION".to_owned(), KconfigValue::Int(1));
    o.kconfig.insert("CONFIG_HZ".to_owned(), KconfigValue::Int(1000));
    o
}

#[test]
fn every_instruction_set_and_level() {
    let Some(kernel) = compile("kernel.c", "kernel.o", &["-O2"]) else { return };
    let kernel = KernelBtf::parse(&kernel).expect("kernel");
    for cpu in ["v2", "v3", "v4"] {
        for level in ["-O1", "-O2", "-Os"] {
            let name = format!("sched-{cpu}{level}.o");
            let Some(bytes) = compile("sched.bpf.c", &name, &[level, &format!("-mcpu={cpu}")]) else { return };
            let object = Object::parse(&name, &bytes).unwrap_or_else(|e| panic!("{e}"));
            let image = object.load(&kernel, &options()).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(image.struct_ops[0].members.len(), 5, "{name}");
        }
    }
}

#[test]
fn strong_externs_must_exist() {
    let Some(kernel) = compile("kernel.c", "kernel-strong.o", &["-O2"]) else { return };
    let kernel = KernelBtf::parse(&kernel).expect("kernel");
    for (define, expect) in [
        ("-DNONE", None),
        ("-DMISSING", Some("kernel function scx_bpf_gone does not exist in toy 1.0")),
        ("-DMISMATCH", Some("another prototype in toy 1.0: `void (int, u64)` there, `void (int)` in the object")),
        ("-DDECLARED", Some("struct task_struct in its prototype is declared and not defined in the object")),
        ("-DKSYM", Some("kernel variable no_such_variable does not exist")),
        ("-DKCONFIG", Some("kernel configuration value CONFIG_NOT_KNOWN is not known")),
    ] {
        let Some(bytes) = compile("strong.bpf.c", &format!("strong{define}.o"), &["-O2", define]) else { return };
        let object = Object::parse("strong", &bytes).unwrap_or_else(|e| panic!("{define}: {e}"));
        let error = object.load(&kernel, &options()).map(|_| ()).map_err(|e| e.to_string());
        match expect {
            None => assert_eq!(error, Ok(())),
            Some(text) => assert!(error.clone().is_err_and(|e| e.contains(text)), "{define}: {error:?}"),
        }
    }
}

#[test]
fn without_debug_information() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let Some(_) = compile("strong.bpf.c", "bare.o", &["-O2", "-g0"]) else { return };
    let bytes = std::fs::read(dir.join("bare.o")).expect("bare.o");
    assert!(matches!(Object::parse("bare", &bytes), Err(LoadError::NoBtf { .. })));
}
