//! What cannot run as BPF is refused when the object is built, by the Rust line; other failures say what to do.

mod support;

use std::os::unix::fs::PermissionsExt;

use scxr_bpfc::{Compiler, Error, Refusal};
use support::{compile, policy};

fn refusals(text: &str) -> Vec<Refusal> {
    match compile("t", text) {
        Err(Error::Refused { refusals, .. }) => refusals,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

/// The body starts on line 8 of the policy when there are no items.
#[track_caller]
fn check(body: &str, line: u32, what: &str) {
    let found = refusals(&policy("", body));
    let there =
        |r: &Refusal| r.what.contains(what) && r.site.as_ref().is_some_and(|s| s.file == "policy.rs" && s.line == line);
    assert!(found.iter().any(there), "{found:?}");
}

#[test]
fn an_index_out_of_bounds_is_refused() {
    check(
        "let table = [3u64, 1, 4];\nlet i = enq_flags.0 as usize;\nDsq::GLOBAL.insert(cx, p, Ns(table[i]), enq_flags);",
        10,
        "index",
    );
}

#[test]
fn an_unwrap_is_refused() {
    check(
        "let table = [3u64, 1, 4];\nlet slice = table.iter().position(|&x| x == enq_flags.0).unwrap();\nDsq::GLOBAL.insert(cx, p, Ns(slice as u64), enq_flags);",
        9,
        "unwrap",
    );
}

#[test]
fn a_division_by_zero_is_refused() {
    check("Dsq::GLOBAL.insert(cx, p, Ns(100 / enq_flags.0), enq_flags);", 8, "division by zero");
}

#[test]
fn a_panic_is_refused() {
    check("if enq_flags.0 == 77 { panic!() }\nDsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);", 8, "panic");
}

#[test]
fn what_bpf_lacks_is_refused() {
    check("let x = (NR.get() as f64 * 1.5) as u64;\nDsq::GLOBAL.insert(cx, p, Ns(x), enq_flags);", 8, "floating-point");
    check(
        "let x = u128::from(NR.get()) * u128::from(enq_flags.0);\nDsq::GLOBAL.insert(cx, p, Ns((x >> 64) as u64), enq_flags);",
        8,
        "128 bits",
    );
    let body = "let mut a = [0u64; 200];\nfor x in &mut a { *x = NR.get(); }\nlet mut s = 0;\nfor x in a { s ^= x; if s == 3 { NR.set(s); } }\n\
                for x in a { s ^= x.wrapping_mul(s) }\nDsq::GLOBAL.insert(cx, p, Ns(s), enq_flags);";
    let found = refusals(&policy("", body));
    assert!(found.iter().any(|r| r.what.contains("512 bytes")), "{found:?}");
}

#[test]
fn recursion_is_refused() {
    let items =
        "#[inline(never)] fn f(n: u64) -> u64 { if n == 0 { NR.get() } else { f(n - 1).wrapping_mul(3) ^ NR.get() } }";
    let found = refusals(&policy(items, "Dsq::GLOBAL.insert(cx, p, Ns(f(enq_flags.0)), enq_flags);"));
    assert!(found[0].what.contains("a recursive call of") && found[0].site.as_ref().unwrap().line == 2, "{found:?}");
}

#[test]
fn a_panic_that_cannot_be_reached_is_not() {
    let body = "let table = [3u64, 1, 4, 1];\nlet i = (enq_flags.0 & 3) as usize;\nDsq::GLOBAL.insert(cx, p, Ns(table[i]), enq_flags);";
    compile("t", &policy("", body)).expect("the index is masked");
    let body = "let w = p.weight().0;\nif w != 0 { Dsq::GLOBAL.insert(cx, p, Ns(u64::from(100 / w)), enq_flags); }";
    compile("t", &policy("", body)).expect("the divisor is checked");
}

#[test]
fn a_message_names_line_and_way_out() {
    let text = policy("", "Dsq::GLOBAL.insert(cx, p, Ns(100 / enq_flags.0), enq_flags);");
    let error = compile("t", &text).unwrap_err().to_string();
    assert!(error.starts_with("t cannot run as BPF:\npolicy.rs:8:"), "{error}");
    assert!(error.contains("checked_div"), "{error}");
}

#[test]
fn an_undefined_function_is_refused() {
    let items = "unsafe extern \"C\" { safe fn printf(x: u64) -> u64; }";
    let found = refusals(&policy(items, "Dsq::GLOBAL.insert(cx, p, Ns(printf(1)), enq_flags);"));
    assert!(found[0].what.contains("`printf`"), "{found:?}");
}

#[test]
fn errors_of_the_compiler_pass_through() {
    let error = compile("t", &policy("", "Dsq::GLOBAL.insert(cx, p, 5, enq_flags);")).unwrap_err();
    assert!(matches!(error, Error::Compile { .. }), "{error}");
    assert!(error.to_string().contains("mismatched types"), "{error}");
}

/// What the kernel forbids in an operation does not compile.
#[test]
fn an_insertion_from_running_does_not_compile() {
    let text = "use scxr_policy::prelude::*;\nstate! {}\nscheduler! {\n pub struct T { name: \"t\" }\n impl Ops for T {\n  \
                fn running(cx: &Event, p: Task<'_>) { Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, EnqFlags::NONE); }\n }\n}\n";
    let error = compile("t", text).unwrap_err().to_string();
    assert!(error.contains("MayInsert") && error.contains("policy.rs:6"), "{error}");
}

#[test]
fn a_wrong_signature_does_not_compile() {
    let text = "use scxr_policy::prelude::*;\nstate! {}\nscheduler! {\n pub struct T { name: \"t\" }\n impl Ops for T {\n  \
                fn enqueue(cx: &Enqueue, p: Task<'_>) { let _ = (cx, p); }\n }\n}\n";
    let error = compile("t", text).unwrap_err().to_string();
    assert!(error.contains("enqueue") && error.contains("3"), "{error}");
}

/// A program that answers as an old compiler.
#[test]
fn an_old_compiler_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fake = folder.path().join("rustc");
    std::fs::write(
        &fake,
        "#!/bin/sh\necho 'rustc 1.80.0'\necho 'host: x86_64-unknown-linux-gnu'\necho 'release: 1.80.0'\n",
    )
    .unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = Compiler::with_rustc(&fake).unwrap_err();
    assert!(matches!(error, Error::RustcTooOld { .. }), "{error}");
    assert!(error.to_string().contains("1.80.0") && error.to_string().contains("1.90"), "{error}");
}

/// A compiler whose sysroot holds no LLVM.
#[test]
fn a_toolchain_without_llvm_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let fake = folder.path().join("rustc");
    let root = folder.path().display();
    let script = format!("#!/bin/sh\nif [ \"$1\" = -vV ]; then echo 'release: 1.95.0'; else echo {root}; fi\n");
    std::fs::write(&fake, script).unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = Compiler::with_rustc(&fake).unwrap_err();
    assert!(matches!(error, Error::NoToolchain { .. }), "{error}");
    for words in ["no libLLVM beside", "rustup toolchain install stable", "RUSTC="] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_missing_compiler_is_named() {
    let error = Compiler::with_rustc("/nowhere/rustc").unwrap_err();
    assert!(matches!(error, Error::RustcMissing { .. }), "{error}");
}
