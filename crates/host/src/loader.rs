//! An object, loaded and attached through libbpf.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libbpf_rs::{
    ErrorKind, Link, MapCore as _, MapFlags, MapHandle, MapType, Object, ObjectBuilder, OpenObject, ProgramInput,
    ProgramType,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use scxr_runtime::Schema;
use serde::{Deserialize, Serialize};

use crate::class;
use crate::half::Maps;
use crate::job::{Call, Edit, Job};
use crate::record::MapDump;
use crate::{log, verdict};

/// Entries of a map that are read at most.
const ENTRIES_MAX: u32 = 4096;
/// The verifier prints its statistics.
const LOG_STATS: u32 = 4;

/// Why an object is not loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LoadError {
    /// The file cannot be read, or is none that libbpf takes.
    #[error("{path}: {reason}")]
    Object {
        /// Which.
        path: PathBuf,
        /// What libbpf said.
        reason: String,
    },
    /// A change before loading is impossible.
    #[error("{what}")]
    Edit {
        /// Which, and why.
        what: String,
    },
    /// The verifier refused a program.
    #[error("the verifier refused program {program}{}: {reason}{}\n{log}", at(line), told(known, hint.as_deref()))]
    Verifier {
        /// Which.
        program: String,
        /// Its last word.
        reason: String,
        /// The source line that it was at.
        line: Option<Box<str>>,
        /// What it knew there: `R1 = VALUE`.
        known: Vec<String>,
        /// What to do, where that is known.
        hint: Option<Box<str>>,
        /// The end of its log.
        log: Box<str>,
    },
    /// The kernel, or libbpf, refused the object.
    #[error("the kernel refused the object: {reason}")]
    Refused {
        /// What libbpf said.
        reason: String,
    },
    /// The class refused the operations.
    #[error("the scheduler could not be enabled: {reason}")]
    Attach {
        /// Error number.
        errno: i32,
        /// What libbpf said.
        reason: String,
    },
    /// The scheduler is a program, and it attached none.
    #[error("{what}")]
    Program {
        /// What became of it, and what it said.
        what: String,
    },
}

fn at(line: &Option<Box<str>>) -> String {
    line.as_ref().map_or(String::new(), |l| format!(" at {l}"))
}

/// Values and a hint, a line each.
fn told(known: &[String], hint: Option<&str>) -> String {
    known.iter().map(String::as_str).chain(hint).map(|line| format!("\n  {line}")).collect()
}

/// What the verifier said of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramReport {
    /// Its name.
    pub name: String,
    /// Instructions that the verifier went through.
    pub insns: u64,
    /// States it kept in all, and at most at a time.
    pub states: u64,
    /// The most states it kept at a time.
    pub states_peak: u64,
    /// Deepest stack, bytes, of the program and what it calls.
    pub stack: String,
    /// Time it took, us.
    pub usec: u64,
}

/// A scheduler that is loaded and attached. It is unregistered when this goes.
pub(crate) struct Loaded {
    object: Object,
    links: Vec<Link>,
    /// What the programs said that were called before it was attached.
    pub(crate) notes: Vec<String>,
}

/// Opens an object and applies a job's changes.
fn open(job: &Job, path: &Path) -> Result<OpenObject, LoadError> {
    let bad = |reason: String| LoadError::Object { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    let mut builder = ObjectBuilder::default();
    builder.name(&job.name).map_err(|e| bad(e.to_string()))?;
    let mut open = builder.open_memory(&bytes).map_err(|e| bad(said(&e.to_string())))?;
    for mut program in open.progs_mut() {
        if let Some((_, load)) = job.autoload.iter().find(|(p, _)| p.as_str() == program.name()) {
            program.set_autoload(*load);
        }
        if job.leave_out.iter().any(|p| p.as_str() == program.name()) {
            program.set_autoload(false);
        }
    }
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let is_ops = map.map_type() == MapType::StructOps;
        let edit = |what: String| LoadError::Edit { what: format!("map {name}: {what}") };
        if let Some((_, n)) = job.resize.iter().find(|(m, _)| *m == name) {
            map.set_max_entries(*n).map_err(|e| edit(e.to_string()))?;
        }
        if let Some((_, bytes)) = job.resize_data.iter().find(|(section, _)| is_section(&name, section)) {
            map.set_value_size(*bytes).map_err(|e| edit(e.to_string()))?;
        }
        let mut edits: Vec<Edit> =
            job.edits.iter().filter(|e| e.map == name || is_section(&name, &e.map)).cloned().collect();
        if let (true, Some(offset), Some(seq)) = (is_ops, job.hotplug_seq, class::hotplug_seq()) {
            edits.push(Edit { map: name.clone(), offset, bytes: seq.to_le_bytes().to_vec() });
        }
        if edits.is_empty() {
            continue;
        }
        let Some(value) = map.initial_value_mut() else { return Err(edit("it has no initial value".into())) };
        for e in edits {
            let at = e.offset as usize..e.offset as usize + e.bytes.len();
            let slot = value.get_mut(at).ok_or_else(|| edit(format!("there is no byte {}", e.offset)))?;
            slot.copy_from_slice(&e.bytes);
        }
    }
    Ok(open)
}

/// libbpf names the map of a section `.rodata` after the object (`simple.rodata`), and that of `.data.x` as it is.
fn is_section(map: &str, section: &str) -> bool {
    section.starts_with('.') && (map == section || map.split_once('.').is_some_and(|(_, s)| format!(".{s}") == section))
}

/// Loads an object, without attaching it.
fn load(open: OpenObject) -> Result<Object, LoadError> {
    open.load().map_err(|error| refusal(&error))
}

/// Loads an object and attaches what is in it.
pub(crate) fn attach(job: &Job, path: &Path) -> Result<Loaded, LoadError> {
    log::keep(false);
    let mut object = load(open(job, path)?)?;
    log::take();
    prepare(job, &object).map_err(|what| LoadError::Edit { what })?;
    let mut notes = Vec::new();
    for call in job.calls.iter().filter(|c| c.at_ns.is_none()) {
        notes.extend(call_program(&mut object, call, call.input.clone()).err());
    }
    let mut links = Vec::new();
    for program in object.progs_mut() {
        let by_itself =
            [ProgramType::Tracing, ProgramType::RawTracepoint, ProgramType::Tracepoint, ProgramType::Kprobe];
        if by_itself.contains(&program.prog_type()) && program.autoload() {
            links.push(program.attach().map_err(|e| refusal(&e))?);
        }
    }
    for mut map in object.maps_mut().filter(|m| m.map_type() == MapType::StructOps) {
        let link = map.attach_struct_ops().map_err(|error| {
            let errno = -errno(&error);
            LoadError::Attach { errno, reason: said(&error.to_string()) }
        })?;
        links.push(link);
    }
    Ok(Loaded { object, links, notes })
}

/// What user space puts into maps: maps into slots, and elements.
fn prepare(job: &Job, object: &Object) -> Result<(), String> {
    let find = |name: &str| {
        let map = object.maps().find(|m| m.name() == name);
        map.ok_or_else(|| format!("map {name}: the loaded object has none of that name"))
    };
    for fill in &job.fill {
        let failed = |e: libbpf_rs::Error| format!("map {}: {e}", fill.map);
        let outer = find(&fill.map)?;
        let options = libbpf_rs::libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_rs::libbpf_sys::bpf_map_create_opts>() as _,
            map_flags: fill.flags,
            ..Default::default()
        };
        for slot in 0..fill.slots {
            let inner = MapHandle::create(
                MapType::from(fill.map_type),
                None::<&str>,
                fill.key_size,
                fill.value_size,
                fill.max_entries,
                &options,
            );
            let inner = inner.map_err(failed)?;
            let fd = inner.as_fd().as_raw_fd().to_ne_bytes();
            outer.update(&slot.to_ne_bytes(), &fd, MapFlags::ANY).map_err(failed)?;
        }
    }
    for e in &job.elements {
        let map = find(&e.map)?;
        let written = match map.map_type() {
            MapType::PercpuArray | MapType::PercpuHash | MapType::LruPercpuHash => {
                let cpus = libbpf_rs::num_possible_cpus().map_err(|e| e.to_string())?;
                map.update_percpu(&e.key, &vec![e.value.clone(); cpus], MapFlags::ANY)
            }
            _ => map.update(&e.key, &e.value, MapFlags::ANY),
        };
        written.map_err(|error| format!("map {}: an element cannot be written: {error}", e.map))?;
    }
    Ok(())
}

/// Has this thread run on one CPU alone; the CPUs that it might run on before.
fn pinned(cpu: u32) -> rustix::io::Result<CpuSet> {
    let before = sched_getaffinity(None)?;
    let mut one = CpuSet::new();
    one.set(cpu as usize);
    sched_setaffinity(None, &one)?;
    Ok(before)
}

/// Runs a `syscall` program with this context, and those after it. What went wrong, in words.
fn call_program(object: &mut Object, call: &Call, mut context: Vec<u8>) -> Result<(), String> {
    let program = object.progs_mut().find(|p| p.name() == call.program.as_str());
    let program = program.ok_or_else(|| call.failed(&"it was not loaded"))?;
    let context_in = (!context.is_empty()).then_some(context.as_mut_slice());
    let input = ProgramInput { context_in, ..ProgramInput::default() };
    let before = call.cpu.map(pinned).transpose().map_err(|e| call.failed(&e))?;
    let result = program.test_run(input);
    if let Some(cpus) = before {
        sched_setaffinity(None, &cpus).map_err(|e| call.failed(&e))?;
    }
    match result.map_err(|e| call.failed(&e))?.return_value {
        0 => {}
        other => return Err(call.returned(other as i32)),
    }
    if let Some(store) = &call.store {
        let address = store.address(&context);
        arena_write(address, &store.bytes).ok_or_else(|| call.no_arena(address))?;
    }
    call.then.as_ref().map_or(Ok(()), |then| call_program(object, &then.call, then.input(&context)))
}

/// Writes into this process' mapping of an arena.
fn arena_write(address: u64, bytes: &[u8]) -> Option<()> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let end = address.checked_add(bytes.len() as u64)?;
    let inside = maps.lines().filter(|line| line.ends_with("bpf-map")).any(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |hex| u64::from_str_radix(hex, 16).unwrap_or(0);
        range.is_some_and(|(from, to)| number(from) <= address && end <= number(to))
    });
    let memory = std::fs::OpenOptions::new().write(true).open("/proc/self/mem").ok().filter(|_| inside)?;
    memory.write_all_at(bytes, address).ok()
}

/// Lets the verifier judge every program of an object; nothing is attached. Reports of the programs that were accepted
/// come even where one is refused.
pub fn verify(job: &Job, path: &Path) -> (Vec<ProgramReport>, Duration, Option<LoadError>) {
    log::keep(true);
    let start = Instant::now();
    let result = open(job, path).and_then(|mut open| {
        open.progs_mut().for_each(|mut p| p.set_log_level(LOG_STATS));
        open.load().map_err(|error| error.to_string()).map(drop).map_err(|e| LoadError::Refused { reason: e })
    });
    let took = start.elapsed();
    let messages = log::take();
    let reports = messages.iter().filter_map(|(_, text)| report(text)).collect();
    let error = result.err().map(|error| match error {
        // Statistics alone say nothing of why: libbpf asks again with the whole log where it may choose the level.
        LoadError::Refused { reason } => {
            let again = open(job, path).and_then(load).err();
            again.unwrap_or_else(|| refusal_of(&messages, &reason))
        }
        other => other,
    });
    (reports, took, error)
}

/// A program's statistics in its log: `processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 1`.
fn report(text: &str) -> Option<ProgramReport> {
    let (name, log) = log::program_log(text)?;
    let line = log.lines().find(|l| l.starts_with("processed "))?;
    let after = |key: &str| -> u64 {
        let rest = line.split_once(key).map_or("", |(_, r)| r.trim_start());
        rest.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    let of = |key: &str| log.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("").trim().to_owned();
    let usec = of("verification time").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Some(ProgramReport {
        name: name.to_owned(),
        insns: after("processed "),
        states: after("total_states "),
        states_peak: after("peak_states "),
        stack: of("stack depth"),
        usec,
    })
}

fn errno(error: &libbpf_rs::Error) -> i32 {
    // libbpf leaves the number in errno, which nothing has touched since; the kinds that matter are told by name.
    match error.kind() {
        ErrorKind::PermissionDenied => 1,
        ErrorKind::NotFound => 2,
        ErrorKind::InvalidInput => 22,
        ErrorKind::AlreadyExists => 17,
        _ => 5,
    }
}

fn refusal(error: &libbpf_rs::Error) -> LoadError {
    refusal_of(&log::take(), &error.to_string())
}

/// What refused, from libbpf's messages.
fn refusal_of(messages: &[(bool, String)], error: &str) -> LoadError {
    let failed = messages.iter().filter(|(warning, _)| *warning);
    let verifier = failed.clone().filter_map(|(_, text)| log::program_log(text)).next_back();
    if let Some((program, log)) = verifier {
        return verdict::of_log(program, log);
    }
    let lines: Vec<&str> = failed.map(|(_, t)| t.trim().trim_start_matches("libbpf: ")).collect();
    LoadError::Refused { reason: advised(if lines.is_empty() { error.to_owned() } else { lines.join("; ") }) }
}

/// libbpf's words, with what is behind them where they do not tell.
fn advised(reason: String) -> String {
    if !reason.contains("system Kconfig") {
        return reason;
    }
    format!(
        "{reason} (what `.kconfig` asks for is read from /boot/config-RELEASE or /proc/config.gz, and this kernel has neither; take another kernel, or \
         an object without CONFIG_ values)"
    )
}

/// libbpf's warnings, or else its error.
fn said(error: &str) -> String {
    let warnings: Vec<String> = log::take()
        .into_iter()
        .filter(|(warning, _)| *warning)
        .map(|(_, t)| t.trim().trim_start_matches("libbpf: ").to_owned())
        .collect();
    if warnings.is_empty() { error.to_owned() } else { warnings.join("; ") }
}

impl Loaded {
    /// Runs a `syscall` program.
    pub(crate) fn call(&mut self, call: &Call) {
        self.notes.extend(call_program(&mut self.object, call, call.input.clone()).err());
    }

    /// Unregisters the scheduler; its maps stay.
    pub(crate) fn detach(&mut self) {
        self.links.clear();
    }

    /// Bytes of a data section.
    pub(crate) fn section(&self, section: &str) -> Option<Vec<u8>> {
        let map = self.object.maps().find(|m| is_section(&m.name().to_string_lossy(), section))?;
        map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).ok()?
    }

    /// Maps for a user-space half, and sections of variables, under descriptors of their own.
    pub(crate) fn handles(&self, schema: &Schema) -> Result<Maps, String> {
        let handle = |name: &str| {
            let map = self.object.maps().find(|m| {
                let own = m.name().to_string_lossy();
                own == name || is_section(&own, name)
            });
            map.map(|m| MapHandle::try_from(&m).map_err(|e| format!("map {name}: {e}"))).transpose()
        };
        let maps = schema.maps.iter().map(|m| handle(&m.name)).collect::<Result<_, _>>()?;
        let mut names: Vec<&str> = schema.globals.iter().map(|g| g.section.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let section = |name: &&str| handle(name).map(|h| h.map(|h| ((*name).to_owned(), h))).transpose();
        Ok(Maps { maps, sections: names.iter().filter_map(section).collect::<Result<_, _>>()? })
    }

    /// Data sections and per-CPU arrays.
    pub(crate) fn maps(&self) -> Vec<MapDump> {
        let mut out = Vec::new();
        for map in self.object.maps() {
            let name = map.name().to_string_lossy().into_owned();
            let value_size = map.value_size();
            match map.map_type() {
                MapType::Array if name.contains('.') => {
                    if let Ok(Some(bytes)) = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY) {
                        out.push(MapDump { name, value_size, keys: vec![vec![bytes]] });
                    }
                }
                MapType::PercpuArray => {
                    let keys = 0..map.max_entries().min(ENTRIES_MAX);
                    let read = |k: u32| map.lookup_percpu(&k.to_ne_bytes(), MapFlags::ANY).ok().flatten();
                    out.push(MapDump { name, value_size, keys: keys.filter_map(read).collect() });
                }
                _ => {}
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_known_by_both_names() {
        for (map, section, expect) in [
            ("simple.rodata", ".rodata", true),
            (".data.uei_dump", ".data.uei_dump", true),
            ("simple.data", ".data.uei_dump", false),
            ("simple.bss", ".rodata", false),
            ("stats", "stats", false),
        ] {
            assert_eq!(is_section(map, section), expect, "{map} {section}");
        }
    }

    #[test]
    fn the_verifiers_last_word_is_found() {
        let log = "0: R1=ctx() R10=fp0\n; int x = *p; @ a.bpf.c:17\n3: (61) r0 = *(u32 *)(r1 +0)\nR1 invalid mem access 'scalar'\n\
            verification time 40 usec\nstack depth 0\nprocessed 4 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
        let said = format!("libbpf: prog 'f': -- BEGIN PROG LOAD LOG --\n{log}-- END PROG LOAD LOG --\n");
        let LoadError::Verifier { program, reason, line, .. } = refusal_of(&[(true, said.clone())], "x") else {
            panic!()
        };
        assert_eq!((program.as_str(), reason.as_str()), ("f", "R1 invalid mem access 'scalar'"));
        assert_eq!(line.as_deref(), Some("a.bpf.c:17 (`int x = *p;`)"));
        let of = report(&said).unwrap();
        assert_eq!((of.insns, of.states, of.usec, of.stack.as_str()), (4, 0, 40, "0"));
    }

    #[test]
    fn a_missing_configuration_is_explained() {
        let said = advised("failed to open system Kconfig".into());
        assert!(said.starts_with("failed to open system Kconfig (") && said.contains("/boot/config-"), "{said}");
        assert_eq!(advised("other".into()), "other");
    }

    #[test]
    fn other_refusals_are_libbpfs_words() {
        let messages = [(false, "info".to_owned()), (true, "libbpf: a\n".to_owned()), (true, "libbpf: b\n".to_owned())];
        assert_eq!(refusal_of(&messages, "x"), LoadError::Refused { reason: "a; b".into() });
        assert_eq!(refusal_of(&[], "x"), LoadError::Refused { reason: "x".into() });
    }
}
