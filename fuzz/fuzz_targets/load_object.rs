//! Any bytes: parse as an object, inspect, edit, load against a small kernel. Nothing may panic or hang.
//!
//! `make fuzz` runs it; `scripts/fuzz 600 load_object` for ten minutes.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scxr_bpf::btf::KernelBtf;
use scxr_bpf::load::{GlobalValue, KconfigValue, LoadOptions, Object};

static KERNEL: LazyLock<KernelBtf> =
    LazyLock::new(|| KernelBtf::parse(include_bytes!("../../crates/bpf/tests/objects/kernel.o")).expect("kernel.o"));

fuzz_target!(|bytes: &[u8]| {
    let _ = KernelBtf::parse(bytes);
    let Ok(mut object) = Object::parse("fuzz", bytes) else { return };
    let mut options = LoadOptions { nr_cpus: 4, ..LoadOptions::default() };
    for e in object.externs() {
        options.kconfig.insert(e.name, KconfigValue::Int(1));
    }
    for p in object.programs() {
        options.autoload.insert(p.name, true);
    }
    let _ = (object.maps(), object.struct_ops(), object.core_relocations(), object.helpers(), object.code_sections());
    for g in object.globals() {
        for path in [g.name.clone(), format!("{}[1]", g.name), format!("{}.max", g.name)] {
            let _ = object.read_global(&path);
            let _ = object.set_global(&path, &GlobalValue::Int(1));
        }
    }
    for m in object.maps() {
        let _ = object.resize_map(&m.name, 3);
    }
    for o in object.struct_ops() {
        for (member, _) in o.members.iter().take(2) {
            let _ = object.set_struct_ops_member(&o.name, member, 1);
            let _ = object.drop_struct_ops_member(&o.name, member);
        }
    }
    let _ = object.load(&KERNEL, &options);
    // the object's own types as the kernel's: almost everything resolves
    let _ = object.load(&KernelBtf::new(object.btf().clone()), &options);
});
