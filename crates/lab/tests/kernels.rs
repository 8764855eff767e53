//! Kernels of the real archive: `cargo test -p scxr-lab --test kernels`.

mod common;

use scxr_lab::kernels::{KernelError, Listed, Origin, Problem, Progress, Release, Series, Store, default_cache, judge};

#[test]
fn the_newest_usable_kernel_of_a_series_is_had() {
    let Some(kernel) = common::kernel("7.2") else { return };
    assert_eq!(kernel.release.numbers().0, 7);
    assert!(kernel.judgement.usable() && kernel.judgement.class && kernel.judgement.sub_sched, "{kernel:?}");
    assert!(!kernel.judgement.core_sched, "{kernel:?}");
    assert!(matches!(kernel.origin, Origin::Package { .. }));
    // BTF alone and the configuration alone tell the same.
    let btf = std::fs::read(kernel.btf.unwrap()).unwrap();
    assert_eq!(judge(Some(&btf), None), kernel.judgement);
}

#[test]
fn what_cannot_be_used_is_explained() {
    let store = Store::new(default_cache().unwrap());
    let listed = match store.list(false, &mut |_| {}) {
        Ok(listed) => listed,
        Err(error @ KernelError::Apt(_)) => return common::skip(&error.to_string()),
        Err(error) => panic!("{error}"),
    };
    assert!(listed.is_sorted_by(|a: &Listed, b| a.release >= b.release));
    let unknown = store.fetch(Series { major: 4, minor: 19, patch: None }, &mut |_| {}).unwrap_err();
    let text = unknown.to_string();
    assert!(matches!(unknown, KernelError::Unknown { .. }) && text.contains("7.2"), "{text}");
    // A kernel whose BTF is broken, as long as the archive has one.
    let broken = Release::new("7.2.12+deb13-cloud-amd64").unwrap();
    if listed.iter().any(|l| l.release == broken) {
        let mut said = Vec::new();
        let one = Series { major: 7, minor: 2, patch: Some(12) };
        let error = store.fetch(one, &mut |p: Progress<'_>| said.push(format!("{p:?}"))).unwrap_err();
        let KernelError::Unusable { problem, .. } = &error else { panic!("{error}") };
        let Problem::ImplicitParam { kfuncs } = problem else { panic!("{problem}") };
        assert!(kfuncs.iter().any(|f| f == "scx_bpf_create_dsq"), "{kfuncs:?}");
        assert!(said.iter().any(|s| s.starts_with("Unusable")), "{said:?}");
    }
}
