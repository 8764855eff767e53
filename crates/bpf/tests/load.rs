//! The loader on objects of our own, against a small kernel of our own. Sources are in `tests/objects`; the compiled
//! objects beside them are from clang 19 and are checked to be current where clang-19 is installed.

use scxr_bpf::btf::KernelBtf;
use scxr_bpf::image::{Image, OpsMember, ProgramKind, pseudo};
use scxr_bpf::load::{ExternKind, GlobalValue, KconfigValue, LoadError, LoadOptions, Object};

const SCHED: &[u8] = include_bytes!("objects/sched.bpf.o");
const UNGUARDED: &[u8] = include_bytes!("objects/unguarded.bpf.o");
const OLD: &[u8] = include_bytes!("objects/old_callback.bpf.o");

fn kernel() -> KernelBtf {
    KernelBtf::parse(include_bytes!("objects/kernel.o")).expect("kernel.o")
}

fn options() -> LoadOptions {
    let mut o = LoadOptions { nr_cpus: 8, kernel: "toy 1.0".to_owned(), ..LoadOptions::default() };
    for (name, value) in [
        ("LINUX_KERNEL_VERSION", KconfigValue::Int(0x70200)),
        ("CONFIG_SMP", KconfigValue::Yes),
        ("CONFIG_EXT4_FS", KconfigValue::Module),
        ("CONFIG_LOCALVERSION", KconfigValue::Str("-toy".to_owned())),
        ("CONFIG_HZ", KconfigValue::Int(250)),
    ] {
        o.kconfig.insert(name.to_owned(), value);
    }
    o
}

fn sched() -> Object {
    Object::parse("sched", SCHED).expect("sched")
}

/// The constant that the programs store to `out[index]`, by following constants and addresses straight through the text.
fn stored(image: &Image, index: u32) -> u64 {
    let out = image.maps.iter().position(|m| m.name == ".data.out").expect("map of out") as i32;
    let mut constants = [None::<u64>; 11];
    let mut bases = [None::<i64>; 11];
    for (pc, i) in image.text.iter().enumerate() {
        let dst = i.dst as usize;
        let (mut constant, mut base) = (None, None);
        match i.code {
            0xb7 => constant = Some(i.imm as i64 as u64),
            0xb4 => constant = Some(i.imm as u32 as u64),
            0x18 if i.src == 0 => {
                constant = Some(u64::from(image.text[pc + 1].imm as u32) << 32 | u64::from(i.imm as u32));
            }
            0x18 if i.src == pseudo::MAP_VALUE && i.imm == out => base = Some(i64::from(image.text[pc + 1].imm)),
            0x7b if bases[dst].is_some_and(|b| b + i64::from(i.off) == i64::from(index) * 8) => {
                if let Some(value) = constants[i.src as usize] {
                    return value;
                }
                continue;
            }
            // stores, jumps and the second half of wide loads set no register
            0x00 => continue,
            code if matches!(code & 7, 2 | 3 | 5 | 6) => continue,
            _ => {}
        }
        (constants[dst], bases[dst]) = (constant, base);
    }
    panic!("no constant is stored to out[{index}]");
}

#[test]
fn inspection_sees_what_the_source_says() {
    let o = sched();
    assert_eq!(o.license(), "GPL");
    let programs: Vec<_> = o.programs().into_iter().map(|p| (p.name, p.kind, p.sleepable, p.autoload)).collect();
    assert!(programs.contains(&("test_init".to_owned(), ProgramKind::StructOps, true, true)));
    assert!(programs.contains(&("run_me".to_owned(), ProgramKind::Syscall, true, true)));
    assert!(programs.contains(&("optional".to_owned(), ProgramKind::Other("fentry/nothing".to_owned()), false, false)));
    let maps = o.maps();
    let map = |name: &str| maps.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("map {name}"));
    assert_eq!((map("hash").map_type, map("hash").key_size, map("hash").value_size), (1, 4, 16));
    assert_eq!(map("hash").value_type.as_deref(), Some("struct value"));
    assert!(map(".rodata").global_data && map(".data.resizable").global_data);
    let externs = o.externs();
    let e = externs.iter().find(|e| e.name == "scx_bpf_dsq_insert___v2").expect("kfunc");
    assert_eq!((e.kernel_name.as_str(), e.kind, e.weak), ("scx_bpf_dsq_insert", ExternKind::Kfunc, true));
    let ops = o.struct_ops();
    assert_eq!(ops[0].type_name, "sched_ext_ops");
    assert!(ops[0].members.contains(&("enqueue".to_owned(), Some("test_enqueue".to_owned()))));
    assert!(ops[0].members.contains(&("timeout_ms".to_owned(), None)));
    let core = o.core_relocations();
    assert!(core.iter().any(|c| c.subject == "struct task_struct.scx.weight"), "{core:?}");
    assert!(core.iter().any(|c| c.subject == "struct task_struct.children[1].prev"), "{core:?}");
    assert_eq!(o.only_struct_ops(), Ok("test_ops"));
}

#[test]
fn core_relocations_take_the_kernels_values() {
    let kernel = kernel();
    let image = sched().load(&kernel, &options()).expect("load");
    let field = |path: &str| kernel.field("task_struct", path).unwrap_or_else(|| panic!("{path}"));
    // bit fields: the smallest 4-byte-aligned unit of the declared type
    let y = field("flag_y");
    let unit = y.bit_offset / 32 * 4;
    let left = u64::from(64 - (y.bit_offset + 5 - unit * 8));
    for (index, expect) in [
        (0, u64::from(unit)),
        (1, 4),
        (2, left),
        (3, 64 - 5),
        (4, 1),
        (5, 0),
        (6, 0),
        (7, 1),
        (8, 16),
        (10, u64::from(kernel.struct_id("task_struct").expect("task_struct"))),
        (11, 0),
        (12, 1),
        (13, u64::from(field("").size)),
        (14, 0),
        (15, 1),
        (16, 0),
        (17, 1),
        (18, 0),
        (19, 7),
        (20, 0x12_3456_7890),
    ] {
        assert_eq!(stored(&image, index), expect, "out[{index}]");
    }
}

#[test]
fn fields_move_and_widen() {
    let kernel = kernel();
    let image = sched().load(&kernel, &options()).expect("load");
    let program = image.programs.iter().find(|p| p.name == "test_select_cpu").expect("program");
    let func = &image.funcs[program.func];
    let loads: Vec<(u8, i16)> = image.text[func.start as usize..(func.start + func.len) as usize]
        .iter()
        .filter(|i| i.code & 7 == 1)
        .map(|i| (i.code & 0x18, i.off))
        .collect();
    for (path, width) in [
        ("pid", 0x00),
        ("inner_b", 0x00),
        ("both", 0x18),
        ("scx.weight", 0x00),
        ("scx.slice", 0x18),
        ("children[1].prev", 0x18),
        // 4 bytes in the object, 8 in the kernel
        ("widened", 0x18),
    ] {
        let offset = kernel.field("task_struct", path).expect("field").offset as i16;
        assert!(loads.contains(&(width, offset)), "{path} at {offset}: {loads:?}");
    }
}

#[test]
fn externs_resolve_by_name_prototype_and_weakness() {
    let image = sched().load(&kernel(), &options()).expect("load");
    let kfuncs: Vec<&str> = image.kfuncs.iter().map(|k| k.symbol.as_str()).collect();
    assert!(kfuncs.contains(&"scx_bpf_kick_cpu") && kfuncs.contains(&"scx_bpf_dsq_insert___v2"), "{kfuncs:?}");
    // the form whose result differs is absent, and its call poisoned behind its guard
    assert!(!kfuncs.contains(&"scx_bpf_dsq_insert___v1"), "{kfuncs:?}");
    assert!(image.poisons.iter().any(|p| p.contains("scx_bpf_dsq_insert___v1")), "{:?}", image.poisons);
    let ksyms: Vec<&str> = image.ksyms.iter().map(|k| k.name.as_str()).collect();
    assert!(ksyms.contains(&"runqueues") && ksyms.contains(&"idle_task"), "{ksyms:?}");
    let kconfig = image.maps.iter().find(|m| m.name == ".kconfig").expect(".kconfig");
    let bytes = kconfig.initial.as_deref().expect("bytes");
    assert!(kconfig.read_only);
    assert!(bytes.windows(4).any(|w| w == 0x70200u32.to_le_bytes()), "{bytes:?}");
    assert!(bytes.windows(5).any(|w| w == b"-toy\0"), "{bytes:?}");
    assert!(bytes.windows(8).any(|w| w == 250u64.to_le_bytes()), "{bytes:?}");
}

#[test]
fn struct_ops_members_go_by_name_in_the_kernels_order() {
    let image = sched().load(&kernel(), &options()).expect("load");
    let ops = &image.struct_ops[0];
    let names: Vec<&str> = ops.members.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["select_cpu", "enqueue", "init", "timeout_ms", "name"]);
    assert!(ops.link);
    assert_eq!(ops.members[3].1, OpsMember::Data(5000u32.to_le_bytes().to_vec()));
    let OpsMember::Program(p) = ops.members[1].1 else { panic!("enqueue is no program") };
    assert_eq!(image.programs[p].name, "test_enqueue");
    // a struct_ops program that no table uses is not loaded; neither is a switched-off one
    assert!(!image.programs.iter().any(|p| p.name == "test_old" || p.name == "optional"));
}

#[test]
fn maps_and_calls_are_linked() {
    let image = sched().load(&kernel(), &options()).expect("load");
    let at = |name: &str| image.maps.iter().position(|m| m.name == name).unwrap_or_else(|| panic!("map {name}"));
    let outer = &image.maps[at("outer")];
    assert_eq!(outer.inner_values, [Some(at("inner_a")), None, Some(at("inner_b"))]);
    assert_eq!(outer.inner.as_ref().map(|i| (i.map_type, i.value_size)), Some((2, 8)));
    assert_eq!(image.maps[at("ring")].max_entries, 8192, "rounded to pages");
    for (pc, insn) in image.text.iter().enumerate() {
        if insn.code == 0x85 && insn.src == pseudo::CALL {
            let to = (pc as i64 + 1 + i64::from(insn.imm)) as u32;
            assert!(image.funcs.iter().any(|f| f.start == to), "call at {pc} goes to {to}");
        }
    }
    assert_eq!(image.funcs.iter().filter(|f| f.name == "helper_static").count(), 1);
    assert!(image.text.iter().any(|i| i.code == 0x18 && i.src == pseudo::FUNC), "address of a callback");
    let lines = &image.funcs[image.programs[0].func].lines;
    assert!(lines.iter().any(|l| l.file.ends_with("sched.bpf.c") && l.line > 0), "{lines:?}");
}

#[test]
fn globals_are_edited_by_path() {
    let mut o = sched();
    for (path, value, expect) in [
        ("limits[2]", GlobalValue::Int(77), 77u32.to_le_bytes().to_vec()),
        ("config.sub[1].level", GlobalValue::Int(9), vec![9]),
        ("use_gone", GlobalValue::parse("false"), vec![0]),
        ("label", GlobalValue::parse("xyz"), b"xyz\0\0\0\0\0".to_vec()),
        ("counter", GlobalValue::parse("-1"), vec![0xff; 8]),
        ("counter", GlobalValue::parse("0x10"), 16u64.to_le_bytes().to_vec()),
    ] {
        o.set_global(path, &value).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(o.read_global(path).expect(path), expect, "{path}");
    }
    for (path, value, expect) in [
        ("limit", GlobalValue::Int(1), "did you mean limits ("),
        ("limits[4]", GlobalValue::Int(1), "index 4 lies outside"),
        ("use_gone", GlobalValue::Int(2), "2 does not fit const volatile bool"),
        ("label", GlobalValue::parse("too long text"), "do not fit 8 bytes"),
        ("config.nope", GlobalValue::Int(1), "no such field"),
        ("counter", GlobalValue::parse("abc"), "no value of that type"),
    ] {
        let error = o.set_global(path, &value).expect_err(path).to_string();
        assert!(error.contains(expect), "{path}: {error}");
    }
    o.resize_map(".data.resizable", 100).expect("resize");
    o.set_global("resizable[99]", &GlobalValue::Int(5)).expect("last element");
    o.resize_map("hash", 1000).expect("resize");
    o.set_struct_ops_member("test_ops", "timeout_ms", 1234).expect("member");
    o.drop_struct_ops_member("test_ops", "init").expect("member");
    let image = o.load(&kernel(), &options()).expect("load");
    let map = |name: &str| image.maps.iter().find(|m| m.name == name).expect(name);
    assert_eq!((map(".data.resizable").value_size, map("hash").max_entries), (100, 1000));
    assert!(
        image.struct_ops[0]
            .members
            .contains(&("timeout_ms".to_owned(), OpsMember::Data(1234u32.to_le_bytes().to_vec())))
    );
    assert!(!image.programs.iter().any(|p| p.name == "test_init"));
    // enumerators are filled in where the object leaves 0
    let global = image.globals.iter().find(|g| g.name == "__SCX_DSQ_LOCAL").expect("global");
    let bytes = image.maps[global.map].initial.as_deref().expect("bytes");
    assert_eq!(bytes[global.offset as usize..][..8], 0x8000_0000_0000_0002u64.to_le_bytes());
}

#[test]
fn unguarded_uses_are_refused_and_guarded_ones_are_not() {
    let o = Object::parse("unguarded", UNGUARDED).expect("parse");
    let load = |program: &str, guard: bool| {
        let mut options = options();
        options.autoload.insert("unguarded".to_owned(), false);
        options.autoload.insert(program.to_owned(), true);
        let mut o = o.clone();
        o.set_global("guard_const", &GlobalValue::Int(guard.into())).expect("guard");
        o.load(&kernel(), &options).map(|_| ()).map_err(|e| e.to_string())
    };
    for (program, guard, expect) in [
        ("unguarded", false, Some("uses struct task_struct.vanished")),
        ("by_const", false, None),
        ("by_const", true, Some("uses struct task_struct.vanished")),
        ("by_memory", false, Some("uses struct task_struct.vanished")),
        ("by_kfunc", false, Some("calls kernel function scx_bpf_gone")),
        ("by_kfunc_guarded", false, None),
        ("by_argument", false, None),
        ("by_argument", true, Some("uses struct task_struct.vanished")),
    ] {
        let result = load(program, guard);
        match (expect, &result) {
            (None, Ok(())) => {}
            (Some(text), Err(e)) => {
                assert!(e.contains(text) && e.contains("unguarded.bpf.c:") && e.contains("toy 1.0"), "{program}: {e}");
            }
            _ => panic!("{program}, guard {guard}: {result:?}"),
        }
    }
}

#[test]
fn bad_input_is_named() {
    let old = Object::parse("old", OLD).expect("parse");
    let mut dropped = old.clone();
    dropped.drop_struct_ops_member("test_ops", "old_callback").expect("drop");
    let mut clean = dropped.clone();
    clean.drop_struct_ops_member("test_ops", "old_data").expect("drop");
    let load = |o: &Object| o.load(&kernel(), &options()).map(|_| ()).map_err(|e| e.to_string());
    assert!(load(&old).expect_err("old").contains("member old_callback"));
    assert!(load(&dropped).expect_err("dropped").contains("member old_data"));
    assert_eq!(load(&clean), Ok(()));

    let mut bare = options();
    bare.kconfig.remove("CONFIG_HZ");
    assert!(
        matches!(sched().load(&kernel(), &bare), Err(LoadError::MissingKconfig { name, .. }) if name == "CONFIG_HZ")
    );

    let mut wrong_machine = SCHED.to_vec();
    wrong_machine[18] = 62;
    let mut wrong_class = SCHED.to_vec();
    wrong_class[4] = 1;
    for (bytes, expect) in [
        (&b""[..], "not an ELF file"),
        (b"#!/bin/sh", "not an ELF file"),
        (b"\x7fELF", "truncated"),
        (&SCHED[..40], "truncated"),
        (&SCHED[..SCHED.len() / 2], "truncated"),
        (&wrong_machine, "machine 62"),
        (&wrong_class, "32-bit"),
    ] {
        let error = Object::parse("x.bpf.o", bytes).map(|_| ()).expect_err(expect).to_string();
        assert!(error.contains(expect) && error.starts_with("x.bpf.o: "), "{expect}: {error}");
    }
    let none = Object::parse("unguarded", UNGUARDED).expect("parse");
    assert!(matches!(none.only_struct_ops(), Err(LoadError::NoStructOps { .. })));
}
