//! Schedulers in C, compiled where clang is installed.

mod programs;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::failure::{Failure, Result};
use programs::CLANG;

/// What the kernel's and the scx repository's own builds use.
const FLAGS: [&str; 8] = [
    "-target",
    "bpf",
    "-mcpu=v3",
    "-O2",
    "-g",
    "-Wall",
    "-Wno-compare-distinct-pointer-types",
    // bpftool writes such declarations into vmlinux.h
    "-Wno-missing-declarations",
];
/// Paths in messages are as the user gave them, wherever that is.
const DEBUG_DIR: &str = "-fdebug-compilation-dir=.";

/// Compiles `source`; the object's bytes and what clang said.
pub(super) fn compile(source: &Path, include: &[PathBuf]) -> Result<(Vec<u8>, String)> {
    let folder = tempfile::tempdir().map_err(|e| Failure::file(&std::env::temp_dir(), &e))?;
    let object = folder.path().join("x.bpf.o");
    let output = run(|clang| {
        let mut command = Command::new(clang);
        command.args(FLAGS).arg(DEBUG_DIR).arg(format!("-D__TARGET_ARCH_{}", target_arch()));
        let beside = source.parent().into_iter().flat_map(|d| [d.to_path_buf(), d.join("include")]);
        for dir in include.iter().cloned().chain(beside) {
            command.arg("-I").arg(dir);
        }
        command.arg("-c").arg(source).arg("-o").arg(&object);
        command
    })?;
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_string();
    if !output.status.success() {
        let advice = advice(&said);
        return Err(Failure::input(format_args!("{} does not compile:\n{said}{advice}", source.display())));
    }
    let bytes = std::fs::read(&object).map_err(|e| Failure::file(&object, &e))?;
    Ok((bytes, said))
}

/// Runs the first clang that there is.
fn run(command: impl Fn(&str) -> Command) -> Result<Output> {
    for clang in CLANG {
        match command(clang).output() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Failure::environment(format_args!("{clang} cannot be run: {e}"))),
            Ok(output) => return Ok(output),
        }
    }
    Err(Failure::environment(
        "clang is needed for schedulers in C and is not installed: apt-get install clang (Debian, Ubuntu), \
         dnf install clang (Fedora), pacman -S clang (Arch); policies in Rust (X.rs) and objects (X.bpf.o) need none",
    ))
}

/// Where headers come from that a scheduler wants and that are not there.
fn advice(said: &str) -> &'static str {
    match () {
        () if said.contains("'vmlinux.h' file not found") => {
            "\nvmlinux.h holds the kernel's types. Make it with: \
             bpftool btf dump file /sys/kernel/btf/vmlinux format c > vmlinux.h, and give its folder with -I"
        }
        () if said.contains("'scx/") && said.contains("file not found") => {
            "\nThe scx/ headers are in tools/sched_ext/include of the kernel's sources; give that folder with -I"
        }
        () if said.contains("'bpf/") && said.contains("file not found") => {
            "\nThe bpf/ headers are libbpf's: apt-get install libbpf-dev, or give their folder with -I"
        }
        () => "",
    }
}

/// This machine as libbpf's tracing macros name it.
fn target_arch() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "x86",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn missing_headers_are_explained() {
        for (said, expect) in [
            ("x.c:1: fatal error: 'vmlinux.h' file not found", "bpftool btf dump"),
            ("x.c:1: fatal error: 'scx/common.bpf.h' file not found", "tools/sched_ext/include"),
            ("x.c:1: fatal error: 'bpf/bpf_helpers.h' file not found", "libbpf-dev"),
        ] {
            assert!(advice(said).contains(expect));
        }
        assert_eq!(advice("x.c:1: error: expected ';'"), "");
    }
}
