//! What the driver writes has the structure that loaders want.

mod support;

use std::path::Path;

use scxr_bpfc::{Cpu, Emit, Options};
use support::{Object, compile, compiler, policy, simple};

#[test]
fn simple_has_the_sections_of_a_scheduler() {
    let object = Object::read(&simple().bytes);
    for section in [
        "struct_ops/simple_enqueue",
        "struct_ops.s/simple_init",
        ".struct_ops.link",
        ".maps",
        ".rodata",
        ".bss",
        "license",
    ] {
        assert!(object.sections.contains_key(section), "{section}");
    }
    assert_eq!(object.sections["license"], b"GPL\0");
    let unwanted = |name: &&String| name.contains("debug") || name.contains("kfunc") || name.starts_with(".rel.BTF");
    assert_eq!(object.sections.keys().find(unwanted), None);
    let marker = |data: &Vec<u8>| data.windows(5).any(|w| w == b"scxr.");
    assert!(!object.sections.values().any(marker), "a marker is left");
}

#[test]
fn only_implemented_operations_are_in_the_table() {
    let object = Object::read(&simple().bytes);
    let members: Vec<&str> =
        object.btf.find(4, "sched_ext_ops").members.iter().map(|(name, _)| name.as_str()).collect();
    let expect = [
        "select_cpu",
        "enqueue",
        "dispatch",
        "running",
        "stopping",
        "enable",
        "init",
        "exit",
        "flags",
        "timeout_ms",
        "name",
    ];
    assert_eq!(members, expect);
    assert_eq!(object.btf.find(14, "simple_ops").name, "simple_ops");
}

#[test]
fn kernel_functions_have_prototypes() {
    let object = Object::read(&simple().bytes);
    let expect = "i32 scx_bpf_select_cpu_dfl(task_struct* p, i32 prev_cpu, u64 wake_flags, bool* is_idle)";
    assert_eq!(object.btf.prototype("scx_bpf_select_cpu_dfl"), expect);
    assert_eq!(object.btf.prototype("scx_bpf_create_dsq"), "i32 scx_bpf_create_dsq(u64 dsq_id, i32 node)");
    let ksyms = object.btf.find(15, ".ksyms");
    let listed: Vec<&str> = ksyms.members.iter().map(|(_, id)| object.btf.get(*id).name.as_str()).collect();
    assert_eq!(listed.len(), object.undefined.len());
    assert!(object.undefined.keys().all(|name| listed.contains(&name.as_str())));
}

#[test]
fn optional_kernel_functions_are_weak() {
    let object = Object::read(&simple().bytes);
    for (name, weak) in [
        ("scx_bpf_create_dsq", false),
        ("scx_bpf_select_cpu_dfl", false),
        ("scx_bpf_dsq_insert___v2___compat", true),
        ("__scx_bpf_dsq_insert_vtime", true),
        ("scx_bpf_task_set_dsq_vtime", true),
    ] {
        assert_eq!(object.undefined.get(name), Some(&weak), "{name}");
    }
}

#[test]
fn kernel_fields_are_relocated() {
    let found = Object::read(&simple().bytes).relocations();
    for expect in [
        "byte_off task_struct.scx.dsq_vtime",
        "byte_off task_struct.scx.slice",
        "byte_off task_struct.scx.weight",
        "byte_off scx_exit_info.kind",
        "byte_off scx_exit_info.reason",
        "field_exists scx_exit_info.exit_code",
        "field_exists scx_exit_info.exit_cpu",
    ] {
        assert!(found.contains(expect), "{expect} is not in {found:?}");
    }
}

/// rustc places fields as it likes; the kernel wants them in the order of their offsets.
#[test]
fn members_of_structures_are_in_order() {
    let items = "struct Way { far: bool, cpu: i32, at: u64, k: u8 }\n\
                 #[inline(never)]\nfn far(way: &Way, n: &(u8, u64, u16)) -> u64 {\n    \
                     way.at + n.1 + way.cpu as u64 + u64::from(way.far) + u64::from(n.2) + u64::from(way.k) + u64::from(n.0)\n}";
    let body = "let n = NR.get();\n\
                let way = |m: u64| Way { far: n > m, cpu: n as i32, at: m, k: n as u8 };\n\
                NR.set(far(&way(n), &(n as u8, n, 3)) + far(&way(n >> 3), &(1, n >> 5, n as u16)));\n\
                Dsq::GLOBAL.insert(cx, p, Ns(n), enq_flags);";
    let object = Object::read(&compile("order", &policy(items, body)).expect("compiles").bytes);
    let way = object.btf.find(4, "Way");
    let names: Vec<&str> = way.members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((&names[..2], names.len()), (&["at", "cpu"][..], 4), "{names:?}");
    // an enum's discriminant has a place of its own beside the variants
    let items = "enum Way { Stay, Move(u64, bool) }\n\
                 #[inline(never)]\nfn far(way: &Way) -> u64 { if let Way::Move(n, true) = way { *n + NR.get() } else { 3 } }";
    let body = "let n = NR.get();\n\
                let way = |m: u64| if n > m { Way::Move(m, n & 1 == 0) } else { Way::Stay };\n\
                NR.set(far(&way(n)) + far(&way(n >> 3)));\nDsq::GLOBAL.insert(cx, p, Ns(n), enq_flags);";
    let object = Object::read(&compile("variants", &policy(items, body)).expect("compiles").bytes);
    assert_eq!(object.btf.find(4, "Way").members.len(), 1);
    let wrong = object.btf.types.iter().find(|t| t.kind == 5 && t.third.iter().any(|offset| *offset != 0));
    assert!(wrong.is_none(), "a union has members that begin elsewhere");
}

/// LLVM writes a relaxed atomic change without what was there before, even where that is used.
#[test]
fn what_an_atomic_change_returns_is_what_was_there() {
    let fetches = |body: &str| {
        let items = "use core::sync::atomic::{AtomicU64, AtomicU32, Ordering::Relaxed};\n\
                     static LONG: AtomicU64 = AtomicU64::new(0);\nstatic SHORT: AtomicU32 = AtomicU32::new(0);";
        let object = Object::read(&compile("changes", &policy(items, body)).expect("compiles").bytes);
        let code = &object.sections["struct_ops/t_enqueue"];
        // class STX, mode ATOMIC; the immediate's lowest bit asks for what was there
        let atomic = code.chunks_exact(8).filter(|i| matches!(i[0], 0xc3 | 0xdb)).map(|i| i[4] & 1 == 1);
        atomic.collect::<Vec<bool>>()
    };
    for change in [
        "LONG.fetch_add(3, Relaxed)",
        "LONG.fetch_sub(3, Relaxed)",
        "LONG.fetch_or(3, Relaxed)",
        "LONG.fetch_and(3, Relaxed)",
        "LONG.fetch_xor(3, Relaxed)",
        "LONG.swap(3, Relaxed)",
        "SHORT.fetch_add(3, Relaxed)",
        "SHORT.fetch_or(3, Relaxed)",
        "NR.fetch_add(3)",
        "NR.fetch_sub(3)",
    ] {
        assert_eq!(fetches(&format!("Dsq::GLOBAL.insert(cx, p, Ns({change}.into()), enq_flags);")), [true], "{change}");
    }
    assert_eq!(fetches("NR.fetch_add(3);\nDsq::GLOBAL.insert(cx, p, Ns(1), enq_flags);"), [false]);
}

/// Every kind of relocation, from declarations as the policy crate writes them.
/// The kernel's functions leave what they like above the byte of a `bool`: nothing may be taken of it but its lowest bit.
#[test]
fn no_result_of_the_kernel_is_taken_to_be_extended() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/policies/masks.rs");
    let built = compiler().compile(&source, &Options { emit: Emit::LlvmIr, ..Options::default() }).expect("compiles");
    let text = String::from_utf8(built.bytes).expect("text");
    let calls = || text.lines().filter(|line| line.contains(" call ") && line.contains(" i1 @bpf_cpumask_test_cpu("));
    assert!(calls().count() > 0);
    assert_eq!(calls().find(|line| line.contains("ext i1")), None);
}

#[test]
fn all_kinds_of_relocation_can_be_asked_for() {
    let items = r#"
        #[repr(C)] pub struct rq { _opaque: [u8; 0] }
        unsafe extern "C" {
            #[link_name = "scxr.field_exists:rq.nr_running:u32"] safe fn field_exists() -> bool;
            #[link_name = "scxr.field_size:rq.nr_running:u32"] safe fn field_size() -> u32;
            #[link_name = "scxr.type_exists:rq"] safe fn type_exists() -> bool;
            #[link_name = "scxr.type_size:rq"] safe fn type_size() -> u64;
            #[link_name = "scxr.enum_exists:scx_public_consts.SCX_SLICE_DFL:20000000"] safe fn enum_exists() -> bool;
            #[link_name = "scxr.enum_value:scx_public_consts.SCX_SLICE_DFL:20000000"] safe fn enum_value() -> u64;
        }
    "#;
    let body = "
        let mut sum = u64::from(field_exists()) + u64::from(type_exists()) + u64::from(enum_exists());
        sum = sum.wrapping_add(u64::from(field_size())).wrapping_add(type_size()).wrapping_add(enum_value());
        Dsq::GLOBAL.insert(cx, p, Ns(sum), enq_flags);";
    let built = compile("kinds", &policy(items, body)).expect("compiles");
    // LLVM keeps tables for the life of the process; a second module must not see them
    assert!(compile("kinds", &policy(items, body)).expect("compiles again").bytes == built.bytes);
    let found = Object::read(&built.bytes).relocations();
    for expect in [
        "field_exists rq.nr_running",
        "byte_sz rq.nr_running",
        "type_exists rq",
        "type_size rq",
        "enum_exists scx_public_consts.SCX_SLICE_DFL",
        "enum_value scx_public_consts.SCX_SLICE_DFL",
    ] {
        assert!(found.contains(expect), "{expect} is not in {found:?}");
    }
}

#[test]
fn names_are_identifiers_and_wrappers_are_peeled() {
    let object = Object::read(&simple().bytes);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    for ty in &object.btf.types {
        // names of sections, descriptions, and integers by their names in C
        let text = matches!(ty.kind, 1 | 15 | 17);
        assert!(text || ty.name.chars().all(plain), "{}", ty.name);
    }
    for (variable, ty) in [("vtime_now", "unsigned long long"), ("fifo_sched", "_Bool"), ("uei", "user_exit_info")] {
        assert_eq!(object.btf.get(object.btf.find(14, variable).size_or_type).name, ty, "{variable}");
    }
    let map = object.btf.get(object.btf.find(14, "stats").size_or_type);
    let members: Vec<&str> = map.members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(members, ["type", "key", "value", "max_entries"]);
}

#[test]
fn state_is_described() {
    let object = Object::read(&simple().bytes);
    let tag = object.btf.find(17, "doc:First in, first out instead of by virtual time.");
    assert_eq!(object.btf.get(tag.size_or_type).name, "fifo_sched");
    let written = object.btf.find(17, "rust:Tunable<bool>");
    assert_eq!(object.btf.get(written.size_or_type).name, "fifo_sched");
    // type and documentation of four items
    let tags: Vec<&str> = object.btf.types.iter().filter(|t| t.kind == 17).map(|t| t.name.as_str()).collect();
    assert_eq!(tags.len(), 8, "{tags:?}");
}

/// A counted pointer in a map's value carries the tag that the kernel looks for, to a structure that is there.
#[test]
fn counted_pointers_are_tagged() {
    let text = "use scxr_policy::prelude::*;\nstate! { static SLOT as \"slot\": MaskSlot; }\nscheduler! {\n pub struct T { name: \"t\" }\n \
                impl Ops for T {\n  fn init(_cx: &Init) -> Result<(), Errno> { drop(SLOT.replace(OwnedCpuMask::new())); Ok(()) }\n  \
                fn yield_(_cx: &Event, _p: Task<'_>, _to: Option<Task<'_>>) -> bool { SLOT.get().is_none() }\n }\n}\n";
    let object = Object::read(&compile("t", text).expect("compiles").bytes);
    let (name, member) = &object.btf.find(4, "mask_slot").members[0];
    let tag = object.btf.get(object.btf.get(*member).size_or_type);
    assert_eq!((name.as_str(), tag.kind, tag.name.as_str()), ("mask", 18, "kptr"));
    let target = object.btf.get(tag.size_or_type);
    assert_eq!((target.kind, target.name.as_str()), (4, "bpf_cpumask"));
    let ops: Vec<&str> = object.btf.find(4, "sched_ext_ops").members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(ops, ["init", "yield", "flags", "timeout_ms", "name"]);
}

#[test]
fn variables_have_their_places() {
    let object = Object::read(&simple().bytes);
    let data = object.btf.find(15, ".data");
    assert_eq!(data.size_or_type as usize, object.sections[".data"].len());
    let offsets = &object.btf.find(15, ".data").third;
    assert!(!offsets.is_empty());
    assert_eq!(object.btf.find(15, ".rodata").size_or_type, 1);
}

#[test]
fn programs_are_called_the_same_everywhere() {
    let object = Object::read(&simple().bytes);
    for op in ["select_cpu", "enqueue", "dispatch", "running", "stopping", "enable", "init", "exit"] {
        assert_eq!(object.btf.find(12, &format!("simple_{op}")).linkage, 1);
    }
}

/// The verifier checks global functions alone, with arguments that it knows nothing of; ours are static.
#[test]
fn functions_of_a_policy_are_static_and_take_plain_types() {
    let items =
        "#[inline(never)] pub fn half(p: Task<'_>, by: Ns) -> Ns { if p.pid() == 1 { by } else { Ns(by.0 / 2) } }";
    let body = "let a = half(p, Ns(enq_flags.0)); let b = half(p, Ns(NR.get()));\nDsq::GLOBAL.insert(cx, p, a + b, enq_flags);";
    let object = Object::read(&compile("t", &policy(items, body)).expect("compiles").bytes);
    assert_eq!(object.btf.find(12, "half").linkage, 0);
    assert_eq!(object.btf.prototype("half"), "u64 half(task_struct* p, u64 by)");
    assert_eq!(object.btf.find(12, "t_enqueue").linkage, 1);
}

/// Kernels refuse prototypes of more than five parameters, also where LLVM has left a function no more than that.
#[test]
fn prototypes_have_the_parameters_that_are_left() {
    let items = "#[inline(never)] pub fn seven(a: u64, _b: u64, c: u64, d: u64, e: u64, f: u64, _g: u64) -> u64 {\n\
                 if a > c { NR.set(d); c.wrapping_mul(d) ^ NR.get() } else { NR.set(a); e.wrapping_mul(f) } }";
    let body = "let x = seven(NR.get(), 1, enq_flags.0, NR.get(), NR.get(), NR.get(), 2);\n\
                let y = seven(x, x, x ^ NR.get(), NR.get(), NR.get(), NR.get(), x);\n\
                Dsq::GLOBAL.insert(cx, p, Ns(x ^ y), enq_flags);";
    let object = Object::read(&compile("t", &policy(items, body)).expect("compiles").bytes);
    assert_eq!(object.btf.prototype("seven"), "u64 seven(u64 a, u64 c, u64 d, u64 e, u64 f)");
}

/// The same text in two folders, with two caches, gives the same bytes, and none of them tells a folder.
#[test]
fn objects_are_reproducible() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schedulers/simple/policy.rs"))
        .unwrap();
    let shared =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schedulers/simple/shared.rs"))
            .unwrap();
    let build = |depth: &str| {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(depth).join("simple");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("policy.rs"), &text).unwrap();
        std::fs::write(folder.join("shared.rs"), &shared).unwrap();
        let cache = Some(root.path().join("c"));
        let options = Options { cache, ..Options::default() };
        let bytes = compiler().compile(&folder.join("policy.rs"), &options).unwrap().bytes;
        let place = root.path().to_string_lossy().into_owned();
        assert!(!bytes.windows(place.len()).any(|w| w == place.as_bytes()), "the object names {place}");
        bytes
    };
    let (first, second) = (build("a"), build("much/deeper/down"));
    assert!(first == second, "two builds differ");
    let lines = |file: &str| first.windows(file.len()).any(|w| w == file.as_bytes());
    assert!(lines("policy.rs"), "the object does not name its source");
}

#[test]
fn the_instruction_set_can_be_chosen() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schedulers/simple/policy.rs");
    for cpu in [Cpu::V3, Cpu::V4] {
        let built = compiler().compile(&source, &Options { cpu, ..Options::default() }).expect("compiles");
        Object::read(&built.bytes);
    }
    let ir = compiler().compile(&source, &Options { emit: Emit::LlvmIr, ..Options::default() }).expect("compiles");
    assert!(String::from_utf8(ir.bytes).unwrap().contains("target triple = \"bpfel\""));
    let asm = compiler().compile(&source, &Options { emit: Emit::Assembly, ..Options::default() }).expect("compiles");
    assert!(String::from_utf8(asm.bytes).unwrap().contains("simple_enqueue:"));
}

#[test]
fn sources_are_reported() {
    let built = simple();
    let names: Vec<_> = built.sources.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["policy.rs", "shared.rs"]);
    assert_eq!(built.warnings, "");
}

/// Kernel variables and configuration are external symbols of BTF's own sections, as libbpf wants them.
#[test]
fn externs_are_declared() {
    let items = "state! {\n static HZ as \"CONFIG_HZ\": Kconfig<u32>;\n static RT as \"CONFIG_PREEMPT_RT\": Kconfig<bool>;\n \
                 static CPUS as \"CONFIG_NR_CPUS\": Kconfig<Option<u64>>;\n static LLC as \"sd_llc_id\": KernelPerCpu<i32>;\n \
                 static VAR as \"some_var\": KernelVar<u64>;\n static JIFFIES as \"jiffies\": KernelSymbol;\n \
                 static UNUSED as \"CONFIG_UNUSED\": Kconfig<u32>;\n static NR as \"nr\": Global<u64> = 0;\n}\n";
    let body = "let mut sum = u64::from(HZ.get()) + CPUS.get().unwrap_or(1) + u64::from(RT.get());\n\
                sum ^= LLC.get().unwrap_or(0) as u64 ^ LLC.on(Cpu(1)).unwrap_or(0) as u64;\n\
                sum ^= VAR.get().unwrap_or(0) ^ JIFFIES.address().unwrap_or(0);\n\
                NR.set(sum); Dsq::GLOBAL.insert(cx, p, Ns(sum), enq_flags);";
    let text = policy(items, body).replace("state! { static NR as \"nr\": Global<u64> = 0; }\n", "");
    let object = Object::read(&compile("t", &text).expect("compiles").bytes);
    let listed = |section: &str| {
        let ids = object.btf.find(15, section).members.iter().map(|(_, id)| *id);
        let vars = ids.map(|id| object.btf.get(id)).filter(|t| t.kind == 14);
        let mut all: Vec<(String, String)> =
            vars.map(|t| (t.name.clone(), object.btf.spell(object.btf.constant(t.size_or_type)))).collect();
        all.sort();
        all.into_iter().map(|(name, ty)| format!("{ty} {name}")).collect::<Vec<_>>()
    };
    assert_eq!(listed(".kconfig"), ["u32 CONFIG_HZ", "u64 CONFIG_NR_CPUS", "bool CONFIG_PREEMPT_RT"]);
    assert_eq!(listed(".ksyms"), ["void jiffies", "i32 sd_llc_id", "u64 some_var"]);
    for (name, weak) in [
        ("CONFIG_HZ", false),
        ("CONFIG_PREEMPT_RT", true),
        ("CONFIG_NR_CPUS", true),
        ("sd_llc_id", true),
        ("some_var", true),
        ("jiffies", true),
    ] {
        assert_eq!(object.undefined.get(name), Some(&weak), "{name}");
    }
    assert!(!object.undefined.contains_key("CONFIG_UNUSED"));
    assert_eq!(object.btf.find(14, "CONFIG_HZ").linkage, 2);
}

/// Every kind of map, with what libbpf reads of its declaration.
#[test]
fn maps_of_all_kinds_are_declared() {
    let kinds = [
        ("HashMap<u64, V, 16>", "type=1 key:8 value:24 max_entries=16"),
        ("Array<V, 3>", "type=2 key:4 value:24 max_entries=3"),
        ("PerfEventArray", "type=4 key:4 value:4"),
        ("PerCpuHashMap<u32, V, 5>", "type=5 key:4 value:24 max_entries=5"),
        ("PerCpu<V>", "type=6 key:4 value:24 max_entries=1"),
        ("PerCpuArray<u64, 4>", "type=6 key:4 value:8 max_entries=4"),
        ("LruHashMap<u64, V, 7>", "type=9 key:8 value:24 max_entries=7"),
        ("ArrayOfMaps<Queue<u64, 8>, 2> = [&LOW, &HIGH]", "type=12 key:4 max_entries=2 values=0"),
        ("HashOfMaps<Queue<u64, 8>, 2> = [&LOW, &HIGH]", "type=13 key:4 max_entries=2 values=0"),
        ("Queue<u64, 9>", "type=22 value:8 max_entries=9"),
        ("Stack<u64, 10>", "type=23 value:8 max_entries=10"),
        ("RingBuf<4096>", "type=27 max_entries=4096"),
        ("TaskStorage<V>", "type=29 map_flags=1 key:4 value:24"),
        ("UserRingBuf<8192>", "type=31 max_entries=8192"),
        ("CgroupStorage<V>", "type=32 map_flags=1 key:4 value:24"),
        ("Arena<6>", "type=33 map_flags=1024 max_entries=6"),
    ];
    let declared = kinds.iter().enumerate().map(|(i, (kind, _))| format!(" static M{i} as \"m{i}\": {kind};\n"));
    let state: String = declared.collect();
    let items = format!(
        "shared! {{\n /// Values.\n pub struct V {{\n /// One.\n pub a: u64,\n /// Two.\n pub b: u32,\n /// Three.\n pub c: u64,\n }}\n}}\n\
         state! {{\n static LOW as \"low\": Queue<u64, 8>;\n static HIGH as \"high\": Queue<u64, 8>;\n static NR as \"nr\": Global<u64> = 0;\n{state}}}\n"
    );
    let body = "NR.set(1);\nDsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);";
    let text = policy(&items, body).replace("state! { static NR as \"nr\": Global<u64> = 0; }\n", "");
    let object = Object::read(&compile("t", &text).unwrap_or_else(|e| panic!("{e}")).bytes);
    for (i, (kind, expect)) in kinds.iter().enumerate() {
        assert_eq!(object.btf.map(&format!("m{i}")), *expect, "{kind}");
    }
}
