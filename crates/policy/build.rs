//! Tells cargo of the one configuration that is not its own: `bpf`, set by the compiler driver.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(bpf)");
    println!("cargo::rerun-if-changed=build.rs");
}
