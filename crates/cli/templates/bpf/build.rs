//! Compiles the BPF half: `OUT_DIR/NAME.bpf.o`.

fn main() {
    let object = scxr_bpfc::build_policy_or_exit("src/policy.rs");
    println!("cargo::rustc-env=OBJECT={}", object.display());
}
