//! Compiles the BPF half.

fn main() {
    scxr_bpfc::build_policy_or_exit("policy.rs");
}
