//! Differences between versions, permissions and sizes that are ABI.

use scxr_abi::{Caller, Form, KconfigValue, KernelModel, KernelVersion, Type, kconfig};

fn model(version: &str) -> KernelModel {
    KernelModel::new(version.parse().expect(version))
}

/// Oldest and newest modelled version with a kfunc of that name.
fn lifetime(name: &str) -> Option<(String, String)> {
    let having: Vec<_> =
        KernelVersion::ALL.into_iter().filter(|&v| KernelModel::new(v).kfunc(name).is_some()).collect();
    Some((having.first()?.to_string(), having.last()?.to_string()))
}

#[test]
fn kfuncs_come_and_go() {
    for (name, first, last) in [
        ("scx_bpf_dispatch", "6.12", "6.16"),
        ("scx_bpf_consume", "6.12", "6.16"),
        ("scx_bpf_dsq_insert", "6.13", "7.2"),
        ("scx_bpf_now", "6.14", "7.2"),
        ("scx_bpf_pick_idle_cpu_node", "6.15", "7.2"),
        ("scx_bpf_cpu_curr", "6.18", "7.2"),
        ("scx_bpf_dsq_insert___v2", "6.19", "7.2"),
        ("__scx_bpf_dsq_insert_vtime", "6.19", "7.2"),
        ("scx_bpf_task_set_slice", "6.19", "7.2"),
        ("scx_bpf_dsq_move_to_local___v2", "7.1", "7.2"),
        ("scx_bpf_kick_cid", "7.2", "7.2"),
        ("scx_bpf_create_dsq", "6.12", "7.2"),
    ] {
        assert_eq!(lifetime(name), Some((first.to_owned(), last.to_owned())), "{name}");
    }
}

#[test]
fn insert_is_void_and_its_second_form_bool() {
    let kernel = model("7.2");
    let ret = |name| kernel.types().c_name(kernel.kfunc(name).expect(name).ret);
    assert_eq!(ret("scx_bpf_dsq_insert"), "void");
    assert_eq!(ret("scx_bpf_dsq_insert___v2"), "bool");
    let found = kernel.kfunc_for_extern("scx_bpf_dsq_insert___v2___compat").expect("flavored");
    assert_eq!(found.name, "scx_bpf_dsq_insert___v2");
    assert_eq!(kernel.kfunc_for_extern("scx_bpf_consume___old").map(|k| k.name), None);
}

#[test]
fn operations_of_each_version() {
    for (version, callbacks, has, lacks) in [
        ("6.12", 33, "cpu_release", "cgroup_set_bandwidth"),
        ("6.17", 34, "cgroup_set_bandwidth", "cgroup_set_idle"),
        ("6.19", 35, "cgroup_set_idle", "sub_attach"),
        ("7.1", 37, "sub_detach", "select_cid"),
        ("7.2", 37, "cpu_acquire", "select_cid"),
    ] {
        let kernel = model(version);
        let nr = kernel.ops(Form::Cpu).iter().filter(|member| member.callback.is_some()).count();
        assert_eq!(nr, callbacks, "{version}");
        assert!(kernel.op(Form::Cpu, has).is_some(), "{version} {has}");
        assert!(kernel.op(Form::Cpu, lacks).is_none(), "{version} {lacks}");
    }
    assert!(model("7.1").ops(Form::Cid).is_empty());
    assert!(model("7.2").op(Form::Cid, "select_cid").is_some());
    let last = |version| model(version).ops(Form::Cpu).last().map(|member| member.name);
    assert_eq!((last("7.1"), last("7.2")), (Some("priv"), Some("cpu_release")));
}

#[test]
fn operations_have_their_signatures() {
    let kernel = model("7.2");
    let dispatch = kernel.op(Form::Cpu, "dispatch").expect("dispatch");
    let args = &dispatch.callback.as_ref().expect("callback").args;
    assert_eq!(args.iter().map(|a| a.pointee).collect::<Vec<_>>(), [None, Some("task_struct")]);
    assert_eq!(args.iter().map(|a| a.nullable).collect::<Vec<_>>(), [false, true]);
    assert!(!dispatch.sleepable && kernel.op(Form::Cpu, "init").expect("init").sleepable);
    let name = kernel.op(Form::Cpu, "name").expect("name");
    assert!(name.callback.is_none() && name.size == 128);
    // Where both forms have a member it is at the same place (E-21).
    for (cpu, cid) in kernel.ops(Form::Cpu).iter().zip(kernel.ops(Form::Cid)).take(41) {
        assert_eq!((cpu.offset, cpu.size), (cid.offset, cid.size), "{} {}", cpu.name, cid.name);
    }
}

#[test]
fn groups_decide_who_may_call_what() {
    let kernel = model("7.2");
    let op = |name| Caller::Op(Form::Cpu, name);
    for (caller, kfunc, expect) in [
        (op("enqueue"), "scx_bpf_dsq_insert", true),
        (op("enqueue"), "scx_bpf_select_cpu_dfl", true),
        (op("enqueue"), "scx_bpf_dsq_move_to_local", false),
        (op("dispatch"), "scx_bpf_dsq_move_to_local", true),
        (op("dispatch"), "scx_bpf_dsq_insert___v2", true),
        (op("dispatch"), "scx_bpf_select_cpu_dfl", false),
        (op("running"), "scx_bpf_dsq_insert", false),
        (op("running"), "scx_bpf_kick_cpu", true),
        (op("running"), "scx_bpf_pick_idle_cpu", true),
        (op("running"), "bpf_cpumask_test_cpu", true),
        (op("init"), "scx_bpf_create_dsq", true),
        (op("init"), "scx_bpf_cid_override", true),
        (op("init_task"), "scx_bpf_cid_override", false),
        (op("enqueue"), "scx_bpf_create_dsq", false),
        (op("cpu_release"), "scx_bpf_reenqueue_local", true),
        (op("tick"), "scx_bpf_reenqueue_local", false),
        (op("tick"), "scx_bpf_reenqueue_local___v2", true),
        (op("no_such_op"), "scx_bpf_kick_cpu", false),
        (op("tick"), "no_such_kfunc", false),
        (Caller::Op(Form::Cid, "tick"), "scx_bpf_kick_cpu", false),
        (Caller::Op(Form::Cid, "tick"), "scx_bpf_kick_cid", true),
        (Caller::Syscall, "scx_bpf_create_dsq", true),
        (Caller::Syscall, "scx_bpf_select_cpu_and", true),
        (Caller::Syscall, "scx_bpf_dsq_insert", false),
        (Caller::OtherProgram, "scx_bpf_kick_cpu", true),
        (Caller::OtherProgram, "scx_bpf_create_dsq", false),
        (Caller::OtherStructOps, "scx_bpf_kick_cpu", false),
        (Caller::OtherStructOps, "bpf_rcu_read_lock", true),
    ] {
        assert_eq!(kernel.kfunc_allowed(caller, kfunc), expect, "{caller:?} {kfunc}");
    }
}

#[test]
fn sizes_that_are_abi() {
    let kernel = model("7.2");
    let size = |name: &str| kernel.layout(name).map(|layout| layout.size);
    for (name, expect) in [
        ("bpf_iter_scx_dsq", 48),
        ("bpf_iter_num", 8),
        ("bpf_iter_css", 24),
        ("bpf_iter_task", 24),
        ("bpf_timer", 16),
        ("bpf_spin_lock", 4),
        ("bpf_rb_root", 16),
        ("bpf_rb_node", 32),
        ("bpf_dynptr", 16),
        ("cpumask", 1024),
        ("bpf_cpumask", 1032),
        ("scx_event_stats", 13 * 8),
        ("scx_bpf_dsq_insert_vtime_args", 32),
        ("scx_bpf_select_cpu_and_args", 24),
        ("scx_exit_info", 64),
        ("scx_init_task_args", 16),
        ("scx_exit_task_args", 1),
        ("scx_cgroup_init_args", 32),
        ("scx_cpu_acquire_args", 0),
        ("scx_cpu_release_args", 16),
        ("scx_dump_ctx", 40),
        ("scx_sub_attach_args", 16),
        ("scx_cid_topo", 24),
        ("scx_cmask", 16),
        ("bpf_perf_event_value", 24),
        ("sched_ext_ops", 37 * 8 + 40 + 8 + 128 + 8 - 8),
        ("bpf_struct_ops_sched_ext_ops", 576),
        ("pt_regs", 168),
        ("atomic_t", 4),
    ] {
        assert_eq!(size(name), Some(expect), "{name}");
    }
    let data = kernel.field("bpf_struct_ops_sched_ext_ops", "data").expect("data");
    assert_eq!(data.offset, 64);
}

#[test]
fn places_in_arrays_unions_and_padding() {
    let kernel = model("7.2");
    let at = |ty: &str, path: &str, plus: u32, size| {
        let field = kernel.field(ty, path).expect(path);
        kernel.field_at(ty, field.offset + plus, size).map(|hit| (hit.leaf.path.clone(), hit.element, hit.byte))
    };
    let hit = |path: &str, element, byte| Some((path.to_owned(), element, byte));
    assert_eq!(at("task_struct", "comm", 5, 1), hit("comm", 5, 0));
    assert_eq!(at("task_struct", "cpus_mask", 12, 4), hit("cpus_mask.bits", 1, 4));
    assert_eq!(at("task_struct", "thread_node.next", 0, 8), hit("thread_node.next", 0, 0));
    assert_eq!(at("pid", "numbers", 0, 4), hit("numbers[0].nr", 0, 0));
    assert_eq!(at("cgroup", "ancestors", 24, 8), hit("ancestors", 3, 0));
    assert_eq!(at("bpf_iter__task", "task", 0, 8), hit("task", 0, 0));
    assert_eq!(at("task_struct", "scx.disallow", 1, 1), None, "padding");
    assert_eq!(at("scx_exit_task_args", "cancelled", 1, 1), None, "beyond the end");
    assert_eq!(kernel.field("signal_struct", "pids[1]").map(|f| f.size), Some(8));
    assert_eq!(kernel.field("task_struct", "scx.no_such"), None);
    assert_eq!(kernel.field("no_such", "x"), None);
}

#[test]
fn values_that_moved() {
    for (version, name, expect) in [
        ("6.12", "SCX_ENQ_HEAD", Some(16)),
        ("7.2", "SCX_ENQ_HEAD", Some(0x1_0000)),
        ("6.12", "SCX_ENQ_CPU_SELECTED", None),
        ("6.18", "SCX_ENQ_CPU_SELECTED", Some(1024)),
        ("6.12", "SCX_OPS_ENQ_MIGRATION_DISABLED", None),
        ("7.2", "SCX_OPS_ALL_FLAGS", Some(0x1ff)),
        ("6.14", "SCX_TASK_READY", Some(2)),
        ("7.2", "SCX_TASK_READY", Some(0x300)),
        ("7.0", "SCX_EXIT_PARENT", None),
        ("7.2", "SCX_EXIT_PARENT", Some(68)),
    ] {
        assert_eq!(model(version).constant(name), expect, "{version} {name}");
    }
    assert_eq!(model("7.2").enum_value("scx_exit_kind", "SCX_EXIT_ERROR_STALL"), Some(1026));
    assert_eq!(model("7.2").enum_value("scx_kick_flags", "SCX_EXIT_ERROR_STALL"), None);
}

#[test]
fn fields_of_older_kernels() {
    for (version, ty, path, there) in [
        ("6.12", "scx_exit_info", "exit_cpu", false),
        ("7.2", "scx_exit_info", "exit_cpu", true),
        ("6.14", "pcpu_hot", "preempt_count", true),
        ("6.15", "pcpu_hot", "preempt_count", false),
        ("6.16", "scx_cgroup_init_args", "bw_period_us", false),
        ("6.17", "scx_cgroup_init_args", "bw_period_us", true),
        ("6.14", "scx_event_stats", "SCX_EV_BYPASS_DURATION", false),
        ("6.12", "task_struct", "scx.kf_mask", true),
        ("7.2", "task_struct", "scx.kf_mask", false),
    ] {
        assert_eq!(model(version).field(ty, path).is_some(), there, "{version} {ty}.{path}");
    }
}

#[test]
fn integers_have_the_names_of_kernel_btf() {
    let kernel = model("7.2");
    let types = kernel.types();
    for (ty, path, name) in [
        ("task_struct", "migration_disabled", "short unsigned int"),
        ("task_struct", "nvcsw", "long unsigned int"),
        ("task_struct", "scx.slice", "long long unsigned int"),
        ("task_struct", "scx.disallow", "_Bool"),
        ("task_struct", "pid", "int"),
        ("task_struct", "flags", "unsigned int"),
    ] {
        let field = kernel.field(ty, path).expect(path);
        assert!(matches!(types.get(types.strip(field.ty)), Type::Int { name: n, .. } if *n == name), "{path}");
    }
}

#[test]
fn configuration() {
    let newest = KernelVersion::NEWEST;
    assert_eq!(kconfig(newest, 250, "CONFIG_HZ"), Some(KconfigValue::Int(250)));
    assert_eq!(kconfig(newest, 250, "CONFIG_NR_CPUS"), Some(KconfigValue::Int(8192)));
    assert_eq!(kconfig(newest, 250, "LINUX_KERNEL_VERSION"), Some(KconfigValue::Int(0x7_0200)));
    assert_eq!(kconfig(newest, 250, "CONFIG_X86_64"), Some(KconfigValue::Yes));
    assert_eq!(kconfig(newest, 250, "CONFIG_PREEMPT_RT"), None);
}
