//! What of the kernel can be reached from Rust: the page `docs/kernel-functions.md` is written from the tables of functions and from the
//! documentation of this crate. `SCXR_BLESS=1` renews it.

#![cfg(not(miri))] // it looks at files

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Functions that items use without naming them, by what uses them.
const UNNAMED: &[(&str, &str)] = &[
    ("__scx_bpf_dsq_insert_vtime", "`Dsq::insert_vtime`"),
    ("__scx_bpf_select_cpu_and", "`Task::select_cpu_and`"),
    ("bpf_arena_alloc_pages", "`Arena::alloc`"),
    ("bpf_arena_free_pages", "`Arena::free`"),
    ("bpf_cgroup_release", "dropping an `OwnedCgroup`"),
    ("bpf_cpumask_create", "`OwnedCpuMask::new`"),
    ("bpf_cpumask_release", "dropping an `OwnedCpuMask`"),
    ("bpf_iter_css_destroy", "`descendants!`, `ancestors!`"),
    ("bpf_iter_css_new", "`descendants!`, `ancestors!`"),
    ("bpf_iter_css_next", "`descendants!`, `ancestors!`"),
    ("bpf_iter_css_task_destroy", "`members!`"),
    ("bpf_iter_css_task_new", "`members!`"),
    ("bpf_iter_css_task_next", "`members!`"),
    ("bpf_iter_num_destroy", "`bounded!`"),
    ("bpf_iter_num_new", "`bounded!`"),
    ("bpf_iter_num_next", "`bounded!`"),
    ("bpf_iter_scx_dsq_destroy", "`waiting!`"),
    ("bpf_iter_scx_dsq_new", "`waiting!`"),
    ("bpf_iter_scx_dsq_next", "`waiting!`"),
    ("bpf_iter_task_destroy", "`tasks!`, `processes!`, `threads!`"),
    ("bpf_iter_task_new", "`tasks!`, `processes!`, `threads!`"),
    ("bpf_iter_task_next", "`tasks!`, `processes!`, `threads!`"),
    ("bpf_list_pop_back", "`ListGuard::pop_back`"),
    ("bpf_list_pop_front", "`ListGuard::pop_front`"),
    ("bpf_list_push_back_impl", "`ListGuard::push_back`"),
    ("bpf_list_push_front_impl", "`ListGuard::push_front`"),
    ("bpf_obj_drop_impl", "dropping an `Owned`"),
    ("bpf_obj_new_impl", "`Owned::new`"),
    ("bpf_preempt_enable", "dropping a `NoPreempt`"),
    ("bpf_rbtree_add_impl", "`TreeGuard::insert`"),
    ("bpf_rcu_read_unlock", "dropping an `Rcu`"),
    ("bpf_refcount_acquire_impl", "`Owned::share`"),
    ("bpf_res_spin_unlock", "dropping a `ResSpinGuard`"),
    ("bpf_task_release", "dropping an `OwnedTask`"),
    ("scx_bpf_consume", "`Dsq::move_to_local` before 6.13"),
    ("scx_bpf_cpu_rq", "`Cpu::curr` before 6.18"),
    ("scx_bpf_dispatch", "`Dsq::insert` before 6.13"),
    ("scx_bpf_dispatch_from_dsq", "`QueuedTask::move_to` before 6.13"),
    ("scx_bpf_dispatch_from_dsq_set_slice", "`QueuedTask::set_move_slice` before 6.13"),
    ("scx_bpf_dispatch_from_dsq_set_vtime", "`QueuedTask::set_move_vtime` before 6.13"),
    ("scx_bpf_dispatch_vtime", "`Dsq::insert_vtime` before 6.13"),
    ("scx_bpf_dispatch_vtime_from_dsq", "`QueuedTask::move_to_vtime` before 6.13"),
    ("scx_bpf_dsq_insert___v2", "`Dsq::insert`"),
    ("scx_bpf_dsq_move_to_local___v2", "`Dsq::move_to_local`"),
    ("scx_bpf_dump_bstr", "`scx_dump!`"),
    ("scx_bpf_error_bstr", "`scx_error!`"),
    ("scx_bpf_exit_bstr", "`scx_exit!`"),
    ("scx_bpf_put_cpumask", "dropping a `HeldMask`"),
    ("scx_bpf_put_idle_cpumask", "dropping a `HeldMask`"),
    ("scx_bpf_reenqueue_local___v2", "`Dsq::reenqueue_local`, `Dsq::reenqueue`"),
];

/// The helpers that programs call by number, by what uses them.
const HELPERS: &[(&str, &str)] = &[
    ("cgrp_storage_delete", "`CgroupStorage::remove`"),
    ("cgrp_storage_get", "`CgroupStorage::get`, `get_or_create`"),
    ("dynptr_read", "`UserRingBuf::drain`"),
    ("get_current_task_btf", "`Task::current`"),
    ("get_prandom_u32", "`random_u32`"),
    ("get_smp_processor_id", "`Cpu::current`"),
    ("kptr_xchg", "`replace` of slots"),
    ("ktime_get_ns", "`Ns::monotonic`; `Ns::now` before 6.14"),
    ("map_delete_elem", "`remove` of maps"),
    ("map_lookup", "`get` of maps"),
    ("map_lookup_elem", "`PerCpuArray::get`"),
    ("map_lookup_percpu_elem", "`PerCpu::on`, `PerCpuHashMap::on`"),
    ("map_peek_elem", "`Queue::peek`, `Stack::peek`"),
    ("map_pop_elem", "`Queue::pop`, `Stack::pop`"),
    ("map_push_elem", "`Queue::push`, `Stack::push`"),
    ("map_update_elem", "`get_or_insert` of maps"),
    ("per_cpu_ptr", "`KernelPerCpu::on`"),
    ("perf_event_read_value", "`PerfEventArray::read`"),
    ("probe_read_kernel_str", "`Task::comm`, `ExitRecord::record`"),
    ("ringbuf_discard", "dropping a `Reserved`"),
    ("ringbuf_output", "`RingBuf::send`"),
    ("ringbuf_query", "`RingBuf::nr_unread`"),
    ("ringbuf_reserve", "`RingBuf::reserve`"),
    ("ringbuf_submit", "`Reserved::submit`"),
    ("spin_lock", "`SpinLock::lock`, `Tree::lock`, `List::lock`"),
    ("spin_unlock", "dropping a `SpinGuard`, `TreeGuard`, `ListGuard`"),
    ("task_storage_delete", "`TaskStorage::remove`"),
    ("task_storage_get", "`TaskStorage::get`, `get_or_create`"),
    ("this_cpu_ptr", "`KernelPerCpu::get`"),
    ("timer_cancel", "`Timer::cancel`, `TimerCell::cancel`"),
    ("timer_init", "`Timer::start`, `TimerCell::start`"),
    ("timer_set_callback", "`Timer::start`, `TimerCell::start`"),
    ("timer_start", "`Timer::start`, `TimerCell::start`"),
    ("trace_vprintk", "`scx_print!`"),
    ("user_ringbuf_drain", "`UserRingBuf::drain`"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The modelled kernels' functions: name, and since or until when they are there.
fn functions() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in read("../abi/src/tables/kfuncs.h").lines().filter(|l| !l.starts_with("//") && l.contains('(')) {
        let head = line.split('(').next().unwrap_or_default();
        let name = head.rsplit([' ', '*']).next().unwrap_or_default().to_owned();
        let versions = line.split(" @").filter(|tag| tag.starts_with(|c: char| c.is_ascii_digit() || c == '.'));
        let versions = versions.last().unwrap_or_default().trim_end_matches(';').to_owned();
        found.insert(name, versions);
    }
    found
}

/// Names of kernel functions, or with `helper` of helpers, that the BPF back end declares.
fn declared(helpers: bool) -> Vec<String> {
    let text = read("src/bpf/sys.rs");
    let lines = text.lines().map(str::trim);
    let starts = lines.filter_map(|line| match helpers {
        false => line.strip_prefix("fn "),
        true => line.split_once(" fn ").filter(|(n, _)| n.parse::<u32>().is_ok()).map(|(_, rest)| rest),
    });
    let names = starts.filter_map(|rest| rest.split_once('(')).map(|(name, _)| name);
    names.map(|n| n.split("___").next().unwrap_or(n).to_owned()).collect()
}

/// Items whose documentation names a function of the kernel's, by that function.
fn named() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let folder = std::fs::read_dir(root().join("src")).expect("sources");
    let mut files: Vec<PathBuf> = folder.map(|f| f.expect("a file").path()).collect();
    files.extend(["cell", "maps", "objects", "rings"].map(|part| root().join(format!("src/bpf/{part}.rs"))));
    files.sort();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "rs")) {
        let text = std::fs::read_to_string(file).expect("a source");
        let (mut of, mut doc) = (String::new(), String::new());
        for line in text.lines() {
            let code = line.trim();
            if let Some(rest) = code.strip_prefix("impl").filter(|_| line.starts_with("impl")) {
                let rest = rest.split(" for ").last().unwrap_or_default();
                let rest = rest.strip_prefix('<').and_then(|r| r.split_once("> ").map(|(_, r)| r)).unwrap_or(rest);
                of = rest.trim().split(['<', ' ', '{']).next().unwrap_or_default().to_owned();
            }
            if let Some(text) = code.strip_prefix("///") {
                doc += text;
                continue;
            }
            if code.starts_with('#') {
                continue;
            }
            let words = |prefix: &str| {
                let rest = code.strip_prefix(prefix)?;
                Some(rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned())
            };
            let item = words("pub fn ").or_else(|| words("pub const fn ")).map(|name| match line.starts_with("pub") {
                true => name,
                false => format!("{of}::{name}"),
            });
            let item = item.or_else(|| words("macro_rules! ").map(|name| format!("{name}!")));
            let item = item.or_else(|| words("pub struct ")).filter(|i| !i.contains("__"));
            if let Some(item) = item.filter(|i| i.starts_with(|c: char| c.is_alphanumeric())) {
                for part in doc.split('`').skip(1).step_by(2).filter(|p| p.contains("_bpf_") || p.starts_with("bpf_")) {
                    found.entry(part.to_owned()).or_default().push(item.replace("bpf_", ""));
                }
            }
            doc.clear();
        }
    }
    found
}

fn page() -> String {
    let (named, declared) = (named(), declared(false));
    let mut page = String::from(
        "# What of the kernel a policy reaches\n\n\
         Written by `crates/policy/tests/kernel.rs` from the tables of the modelled kernels and the documentation of `crates/policy`; the test fails where this \
         page is old (`SCXR_BLESS=1 cargo test -p scxr-policy --test kernel`). Objects in C reach all of it: see [semantics.md](semantics.md).\n\n\
         ## Functions\n\n| function | kernels | in Rust |\n|---|---|---|\n",
    );
    for (name, versions) in functions() {
        let plain = name.split("___").next().unwrap_or_default().to_owned();
        let by_hand = UNNAMED.iter().find(|(n, _)| *n == name).map(|(_, by)| (*by).to_owned());
        let by_doc = named.get(&plain).map(|items| {
            let mut items: Vec<String> = items.iter().map(|i| format!("`{i}`")).collect();
            items.sort();
            items.dedup();
            items.join(", ")
        });
        let by = by_hand.or(by_doc).filter(|_| declared.contains(&plain)).unwrap_or_else(|| "–".to_owned());
        let versions = match versions.as_str() {
            "" => "all".to_owned(),
            v => match v.strip_prefix("..") {
                Some(end) => format!("before {end}"),
                None if v.contains("..") => v.replace("..", " to "),
                None => format!("from {v}"),
            },
        };
        _ = writeln!(page, "| `{name}` | {versions} | {by} |");
    }
    page += "\n## Helpers\n\nPrograms call these by number; the rest of the kernel's are not reached.\n\n| helper | in Rust |\n|---|---|\n";
    let declared = self::declared(true);
    for (name, by) in HELPERS.iter().filter(|(name, _)| declared.iter().any(|d| d == name)) {
        let name = if *name == "map_lookup" { "map_lookup_elem" } else { name };
        _ = writeln!(page, "| `bpf_{name}` | {by} |");
    }
    page
}

#[test]
fn the_page_says_what_is_reached() {
    let path = root().join("../../docs/kernel-functions.md");
    let page = page();
    if std::env::var_os("SCXR_BLESS").is_some() {
        std::fs::write(&path, &page).expect("the page");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, page, "docs/kernel-functions.md is old: SCXR_BLESS=1 renews it");
}

/// What the back end declares is on the page as something that is used, and what the page says by hand is declared.
#[test]
fn what_is_declared_is_reached() {
    let page = page();
    let unused: Vec<_> = declared(false)
        .into_iter()
        .filter(|name| name.contains("bpf_"))
        .filter(|name| !page.lines().any(|l| l.starts_with(&format!("| `{name}")) && !l.ends_with("| – |")))
        .collect();
    assert!(unused.is_empty(), "nothing says what reaches {unused:?}");
    let unknown: Vec<_> = declared(true).into_iter().filter(|h| !HELPERS.iter().any(|(name, _)| name == h)).collect();
    assert!(unknown.is_empty(), "nothing says what reaches the helpers {unknown:?}");
    let functions = functions();
    let stale: Vec<_> = UNNAMED.iter().filter(|(name, _)| !functions.contains_key(*name)).collect();
    assert!(stale.is_empty(), "there is no {stale:?}");
}
