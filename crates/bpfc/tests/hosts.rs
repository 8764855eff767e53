//! The host that rustc compiled for leaves no trace in an object: modules of x86-64 and of aarch64 give the same one.
//!
//! `modules/masks.HOST.bc` are an earlier `crates/policy/policies/masks.rs` as rustc 1.90.0 wrote it for each, with the flags of the driver and debug
//! information that says `/build`.

mod support;

use std::path::Path;

use scxr_bpfc::{Emit, Options};
use support::{Object, compiler};

fn retarget(host: &str, emit: Emit) -> Vec<u8> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/modules/masks.{host}.bc"));
    let bitcode = std::fs::read(module).expect("a module");
    let options = Options { emit, ..Options::default() };
    compiler().retarget(&bitcode, "masks", Path::new("/build/m"), &options).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn hosts_do_not_differ() {
    let [one, other] = ["x86_64", "aarch64"].map(|host| retarget(host, Emit::Object));
    let (parts, others) = (Object::read(&one), Object::read(&other));
    let programs: Vec<&String> = parts.sections.keys().filter(|name| name.starts_with("struct_ops")).collect();
    assert_eq!(programs.len(), 7);
    for (name, data) in &parts.sections {
        assert!(others.sections.get(name) == Some(data), "{name} differs");
    }
    assert!(one == other, "the objects differ");
}

#[test]
fn nothing_of_the_host_is_left() {
    let ir = String::from_utf8(retarget("aarch64", Emit::LlvmIr)).expect("text");
    assert!(ir.contains("target triple = \"bpfel\""));
    for word in ["aarch64", "neon", "x86", "sse"] {
        assert!(!ir.contains(word), "{word}");
    }
}
