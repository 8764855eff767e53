//! Damaged objects: whatever a byte says, the loader answers with an error or an image, never with a panic or a hang.
//! The long form of this is the fuzz target `load_object`; its finds are named regressions here.

use proptest::prelude::*;
use scxr_bpf::btf::KernelBtf;
use scxr_bpf::load::{KconfigValue, LoadOptions, Object};

const OBJECTS: [&[u8]; 3] = [
    include_bytes!("objects/sched.bpf.o"),
    include_bytes!("objects/unguarded.bpf.o"),
    include_bytes!("objects/old_callback.bpf.o"),
];
const KERNEL: &[u8] = include_bytes!("objects/kernel.o");

/// Everything that a caller may do with bytes that came from anywhere.
fn survive(bytes: &[u8], kernel: &KernelBtf) {
    let Ok(object) = Object::parse("mutant", bytes) else { return };
    let mut options = LoadOptions::default();
    for e in object.externs() {
        options.kconfig.insert(e.name, KconfigValue::Int(1));
    }
    for p in object.programs() {
        options.autoload.insert(p.name, true);
    }
    let _ = (object.maps(), object.struct_ops(), object.core_relocations(), object.helpers());
    for g in object.globals() {
        let _ = object.read_global(&g.name);
    }
    // The object's own types as the kernel's, too: then almost everything resolves.
    let _ = object.load(&KernelBtf::new(object.btf().clone()), &options);
    if let Ok(image) = object.load(kernel, &options) {
        // what the machine relies on
        for p in &image.programs {
            assert!(p.func < image.funcs.len());
        }
        for f in &image.funcs {
            assert!((f.start + f.len) as usize <= image.text.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_changed(which in 0..OBJECTS.len(), edits in prop::collection::vec((any::<u32>(), any::<u8>()), 1..8)) {
        let kernel = KernelBtf::parse(KERNEL).expect("kernel.o");
        let mut bytes = OBJECTS[which].to_vec();
        for (at, value) in edits {
            let at = at as usize % bytes.len();
            bytes[at] = value;
        }
        survive(&bytes, &kernel);
    }

    #[test]
    fn words_changed(which in 0..OBJECTS.len(), at in any::<u32>(), value in prop_oneof![Just(0u32), Just(u32::MAX), Just(0x7fff_ffff), 0..300u32]) {
        let kernel = KernelBtf::parse(KERNEL).expect("kernel.o");
        let mut bytes = OBJECTS[which].to_vec();
        let at = at as usize % (bytes.len() / 4) * 4;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        survive(&bytes, &kernel);
    }

    #[test]
    fn cut_short(which in 0..OBJECTS.len(), len in any::<u32>()) {
        let kernel = KernelBtf::parse(KERNEL).expect("kernel.o");
        let bytes = OBJECTS[which];
        survive(&bytes[..len as usize % bytes.len()], &kernel);
    }

    #[test]
    fn kernel_damaged(at in any::<u32>(), value in any::<u8>()) {
        let mut bytes = KERNEL.to_vec();
        let at = at as usize % bytes.len();
        bytes[at] = value;
        if let Ok(kernel) = KernelBtf::parse(&bytes) {
            survive(OBJECTS[0], &kernel);
        }
    }
}

/// What the fuzzer found, once mended.
#[test]
fn finds() {
    // A pointer in a kfunc's prototype that points to itself: it was followed for ever.
    let kernel = KernelBtf::parse(KERNEL).expect("kernel.o");
    survive(include_bytes!("objects/found/pointer_to_itself.o"), &kernel);
}
