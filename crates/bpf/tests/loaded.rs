//! Loader and machine together: a compiled object runs, and a fault names its source line.

mod support;

use scxr_bpf::btf::KernelBtf;
use scxr_bpf::image::Image;
use scxr_bpf::load::{KconfigValue, LoadOptions, Object};
use scxr_bpf::vm::{FaultKind, Machine, Options};
use support::host::{KERNEL, TestHost};
use support::options;

fn image() -> Image {
    let mut load = LoadOptions { nr_cpus: 8, kernel: "toy 1.0".to_owned(), ..LoadOptions::default() };
    for name in ["LINUX_KERNEL_VERSION", "CONFIG_HZ"] {
        load.kconfig.insert(name.to_owned(), KconfigValue::Int(250));
    }
    let kernel = KernelBtf::parse(include_bytes!("objects/kernel.o")).expect("kernel.o");
    let object = Object::parse("sched", include_bytes!("objects/sched.bpf.o")).expect("sched");
    object.load(&kernel, &load).expect("load")
}

#[test]
fn a_compiled_object_runs() {
    let m = Machine::new(image(), &options()).unwrap_or_else(|e| panic!("{e}"));
    let select_cpu = m.program_index("test_select_cpu").expect("the program");
    let mut host = TestHost::default();
    // hidden += 3 + limits[3]; returns hidden + 1.
    assert_eq!(m.run(select_cpu, &[KERNEL, 3, 0], &mut host).unwrap().ret as u32, 8);
    assert_eq!(m.run(select_cpu, &[KERNEL, 3, 0], &mut host).unwrap().ret as u32, 15);
    assert_eq!(m.stats(select_cpu).runs, 2);
}

#[test]
fn a_fault_names_the_source_line() {
    let m = Machine::new(image(), &Options { insn_budget: 1, ..options() }).unwrap_or_else(|e| panic!("{e}"));
    let select_cpu = m.program_index("test_select_cpu").expect("the program");
    let fault = m.run(select_cpu, &[KERNEL, 3, 0], &mut TestHost::default()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Budget);
    let line = fault.location.as_ref().and_then(|l| l.line.as_ref()).expect("a line");
    assert!(line.file.ends_with("sched.bpf.c") && line.line > 100, "{fault}");
}
