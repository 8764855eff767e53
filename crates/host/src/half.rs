//! The user-space half of a scheduler on a real kernel: a thread over libbpf.
//!
//! The hazards of scheduling from user space are met here. The process's memory is locked before the scheduler is attached, so that the half
//! does not wait for a page whose arrival depends on a task that it has to schedule. The thread is an ordinary task: on a kernel where the
//! scheduler serves all tasks it is one of those that it serves, and its BPF half lets it go first. It runs every 100 ms at
//! least, so that the class's watchdog sees it, and ends the scheduler if it gets no CPU; whoever watches the run has a real-time priority and needs
//! none of this.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libbpf_rs::{ErrorKind, MapCore as _, MapFlags, MapHandle, RingBuffer, RingBufferBuilder, UserRingBuffer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd as _;
use rustix::mm::{MlockAllFlags, mlockall};
use scxr_runtime::{Args, Errno, Exit, HALF_TGID, HalfDef, Ns, Runtime, Schema, Stat, Stats, World};
use scxr_workload::threads::{class_ext, monotonic_ns, name_thread, ordinary, tid};
use serde::{Deserialize, Serialize};

use crate::exit::of_record;
use crate::job::{Edit, Job, Uei};
use crate::loader::Loaded;
use crate::mapped::Mapped;

/// A half to be run.
#[derive(Clone, Debug)]
pub struct Half {
    /// What it is.
    pub def: HalfDef,
    /// What its object has.
    pub schema: Schema,
}

/// What a job says about the half of its scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfJob {
    /// Name of the scheduler that has it.
    pub name: String,
    /// The library that it is in; `None`: it is part of the program.
    pub library: Option<PathBuf>,
    /// Options of the scheduler, by their long names.
    pub args: Vec<(String, u64)>,
}

/// What a half did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfRecord {
    /// Why it ended by itself, where it did not in good order.
    pub error: Option<String>,
    /// What it said of itself.
    pub stats: Vec<StatsRecord>,
}

/// Figures at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsRecord {
    /// When, CLOCK_MONOTONIC, ns.
    pub at_ns: u64,
    /// Names and values.
    pub values: Vec<(String, StatRecord)>,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatRecord {
    /// A number.
    Number(i64),
    /// A time, ns.
    Time(u64),
    /// Words.
    Text(String),
}

impl StatsRecord {
    fn of(stats: Stats) -> StatsRecord {
        let value = |s| match s {
            Stat::Number(n) => StatRecord::Number(n),
            Stat::Time(ns) => StatRecord::Time(ns.0),
            Stat::Text(text) => StatRecord::Text(text),
        };
        StatsRecord { at_ns: stats.at.0, values: stats.values.into_iter().map(|(n, s)| (n, value(s))).collect() }
    }

    /// The figures, as the half gave them, as of a run that began at `start_ns`.
    pub fn stats(&self, start_ns: u64) -> Stats {
        let value = |s: &StatRecord| match s {
            StatRecord::Number(n) => Stat::Number(*n),
            StatRecord::Time(ns) => Stat::Time(Ns(*ns)),
            StatRecord::Text(text) => Stat::Text(text.clone()),
        };
        let values = self.values.iter().map(|(n, s)| (n.clone(), value(s))).collect();
        Stats { at: Ns(self.at_ns.saturating_sub(start_ns)), values }
    }
}

/// How long a half that is told to end may take.
const GRACE: Duration = Duration::from_secs(2);
/// How long a half may take for its last figures: it runs every 100 ms at least.
const LAST_ROUND: Duration = Duration::from_millis(200);
/// Longest message, bytes.
const MESSAGE_MAX: usize = 512;

/// Locks the memory of this process, now and in future.
pub(crate) fn lock_memory() -> io::Result<()> {
    Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)?)
}

/// How the BPF half is told which process is the other one.
pub(crate) fn introduce(schema: &Schema) -> Option<Edit> {
    let global = schema.global(HALF_TGID)?;
    let bytes = std::process::id().to_le_bytes();
    Some(Edit { map: global.section.clone(), offset: global.offset, bytes: bytes[..global.size as usize].to_vec() })
}

/// A half that runs.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
    stats: Receiver<Stats>,
    gives_stats: bool,
    record: HalfRecord,
}

impl Running {
    /// Starts the half of a job, if that has one, over the maps of its scheduler.
    /// `killed`: set by who kills it.
    pub(crate) fn of(
        job: &Job,
        half: Option<&Half>,
        loaded: Option<&Loaded>,
        killed: &Arc<AtomicBool>,
    ) -> Result<Option<Running>, String> {
        let (Some(half), Some(loaded), Some(of)) = (half, loaded, &job.half) else { return Ok(None) };
        Running::start(half, of, job, loaded.handles(&half.schema)?, Arc::clone(killed)).map(Some)
    }

    /// Starts it over the maps of its scheduler, in the order of the schema; sections by name.
    fn start(half: &Half, of: &HalfJob, job: &Job, maps: Maps, killed: Arc<AtomicBool>) -> Result<Running, String> {
        let Half { def, schema } = half.clone();
        let args = Args::of(def.options, &of.args).map_err(|e| e.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, stats) = channel();
        let (every, stopped, uei) = (job.stats_every_ns, Arc::clone(&stop), job.uei.clone());
        let run = move || {
            name_thread(def.name);
            // The thread that starts it watches with a real-time priority, which this one must not have.
            ordinary().map_err(|e| format!("its priority cannot be set: {e}"))?;
            let world = HostWorld::new(maps, uei, stopped, killed, every, tell);
            let ended = (def.main)(&Runtime::new(&world, &schema), &args).map_err(|e| e.to_string());
            if world.killed.load(Ordering::Relaxed) { Err("killed".into()) } else { ended }
        };
        let thread = std::thread::Builder::new().name(def.name.into()).spawn(run).map_err(|e| e.to_string())?;
        Ok(Running { stop, thread: Some(thread), stats, gives_stats: every > 0, record: HalfRecord::default() })
    }

    /// Figures that it has given since the last look.
    pub(crate) fn look(&mut self) -> Vec<StatsRecord> {
        let new: Vec<StatsRecord> = self.stats.try_iter().map(StatsRecord::of).collect();
        self.record.stats.extend(new.iter().cloned());
        new
    }

    /// Goes on with the record of one before.
    pub(crate) fn after(mut self, before: Option<HalfRecord>) -> Running {
        self.record.stats = before.map_or(Vec::new(), |b| b.stats);
        self
    }

    /// Tells it to end, and lets it give its last figures while its scheduler is there.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.gives_stats {
            self.wait(LAST_ROUND);
        }
    }

    /// Waits for its end, so long.
    fn wait(&self, time: Duration) {
        let from = Instant::now();
        while self.thread.as_ref().is_some_and(|t| !t.is_finished()) && from.elapsed() < time {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for its end, and gives what it did. One that does not end is left to the end of the process.
    pub(crate) fn join(mut self) -> HalfRecord {
        self.stop();
        self.wait(GRACE);
        self.look();
        self.record.error = match self.thread.take() {
            Some(t) if t.is_finished() => t.join().unwrap_or_else(|_| Err("it panicked".into())).err(),
            _ => Some("it did not end when it was told to".into()),
        };
        self.record
    }
}

/// Maps of a loaded object, each with a file descriptor of its own.
pub(crate) struct Maps {
    /// In the order of the schema; `None`: the kernel has none of that name.
    pub(crate) maps: Vec<Option<MapHandle>>,
    /// Sections of variables, by the object's names.
    pub(crate) sections: Vec<(String, MapHandle)>,
}

/// The message that was taken out last.
struct Message {
    len: usize,
    bytes: [u8; MESSAGE_MAX],
}

/// A ring buffer that was opened.
struct Ring {
    map: usize,
    ring: RingBuffer<'static>,
    message: Rc<RefCell<Message>>,
}

/// What a half sees on a real kernel.
struct HostWorld {
    maps: Maps,
    uei: Option<Uei>,
    stop: Arc<AtomicBool>,
    killed: Arc<AtomicBool>,
    /// Room for the largest section of variables: reading one allocates nothing.
    room: RefCell<Vec<u8>>,
    /// The sections' memory, where the kernel lets it be read in place.
    mapped: Vec<Option<Mapped>>,
    rings: RefCell<Vec<Ring>>,
    user_rings: RefCell<Vec<(usize, UserRingBuffer)>>,
    stats_every: u64,
    stats_due: Cell<u64>,
    /// It has been seen that the run is over.
    looked: Cell<bool>,
    tell: Sender<Stats>,
}

fn errno(error: &libbpf_rs::Error) -> Errno {
    Errno(match error.kind() {
        ErrorKind::PermissionDenied => -1,
        ErrorKind::NotFound => -2,
        ErrorKind::AlreadyExists => -17,
        ErrorKind::InvalidInput | ErrorKind::InvalidData => -22,
        _ => -5,
    })
}

impl HostWorld {
    fn new(
        maps: Maps,
        uei: Option<Uei>,
        stop: Arc<AtomicBool>,
        killed: Arc<AtomicBool>,
        stats_every: u64,
        tell: Sender<Stats>,
    ) -> HostWorld {
        let (rings, user_rings) = Default::default();
        let largest = maps.sections.iter().map(|(_, map)| map.value_size() as usize).max().unwrap_or(0);
        let room = RefCell::new(vec![0; largest]);
        let stats_due = Cell::new(monotonic_ns() + stats_every);
        // A kernel that refuses is asked each time.
        let mapped = maps.sections.iter().map(|(_, map)| Mapped::of(map, map.value_size() as usize).ok()).collect();
        HostWorld {
            maps,
            mapped,
            uei,
            stop,
            killed,
            room,
            rings,
            user_rings,
            stats_every,
            stats_due,
            looked: Cell::new(false),
            tell,
        }
    }

    fn map(&self, map: usize) -> Result<&MapHandle, Errno> {
        self.maps.maps.get(map).and_then(Option::as_ref).ok_or(Errno(-9))
    }

    /// Reads a section of variables into the room that is kept for that, and looks at it.
    fn section<T>(&self, section: &str, look: impl FnOnce(&[u8]) -> T) -> Result<T, Errno> {
        let (_, map) = self.maps.sections.iter().find(|(name, _)| name == section).ok_or(Errno(-9))?;
        let mut room = self.room.borrow_mut();
        let bytes = room.get_mut(..map.value_size() as usize).ok_or(Errno(-7))?;
        let found = map.lookup_into(&0u32.to_ne_bytes(), bytes, MapFlags::ANY).map_err(|e| errno(&e))?;
        if found { Ok(look(bytes)) } else { Err(Errno(-2)) }
    }
}

impl World for HostWorld {
    fn now(&self) -> Ns {
        Ns(monotonic_ns())
    }

    fn sleep(&self, time: Ns) {
        std::thread::sleep(Duration::from_nanos(time.0));
    }

    fn poll(&self, timeout: Ns) -> bool {
        let timeout = match self.stats_due() {
            Some(due) => Ns(timeout.0.min(due.0.saturating_sub(monotonic_ns()))),
            None => timeout,
        };
        let time = Timespec { tv_sec: (timeout.0 / 1_000_000_000) as i64, tv_nsec: (timeout.0 % 1_000_000_000) as i64 };
        let rings = self.rings.borrow();
        let map = |r: &Ring| self.maps.maps.get(r.map).and_then(Option::as_ref);
        let ready = match rings.as_slice() {
            // The usual case, without allocation.
            [one] => map(one).map(|m| poll(&mut [PollFd::new(m, PollFlags::IN)], Some(&time))),
            all => {
                let mut fds: Vec<PollFd<'_>> =
                    all.iter().filter_map(map).map(|m| PollFd::from_borrowed_fd(m.as_fd(), PollFlags::IN)).collect();
                Some(poll(&mut fds, Some(&time)))
            }
        };
        matches!(ready, Some(Ok(nr)) if nr > 0)
    }

    fn sched_yield(&self) {
        std::thread::yield_now();
    }

    fn work(&self, _time: Ns) {}

    fn pid(&self) -> i32 {
        tid() as i32
    }

    fn nr_cpus(&self) -> u32 {
        libbpf_rs::num_possible_cpus().unwrap_or(1) as u32
    }

    fn sched_ext(&self) -> Result<(), Errno> {
        class_ext().map_err(|e| Errno(-e.raw_os_error().unwrap_or(5)))
    }

    fn is_stopped(&self) -> bool {
        // Where figures are wanted there is one more round for the last ones.
        self.killed.load(Ordering::Relaxed)
            || self.stop.load(Ordering::Relaxed) && (self.stats_every == 0 || self.looked.replace(true))
    }

    fn exited(&self) -> Option<Exit> {
        let uei = self.uei.as_ref()?;
        let at = (uei.offset + uei.fields[0]?) as usize;
        let of = |section: &[u8]| {
            let exit = of_record(uei, section)?;
            let kind = section.get(at..at + 4)?.try_into().ok().map(i32::from_le_bytes)?;
            Some(Exit { kind, code: exit.code, reason: exit.reason, msg: exit.msg })
        };
        self.section(&uei.section, of).ok()?
    }

    fn read_section(&self, section: &str, offset: u32, into: &mut [u8]) -> Result<(), Errno> {
        let at = offset as usize;
        let nr = self.maps.sections.iter().position(|(name, _)| name == section).ok_or(Errno(-9))?;
        if let Some(mapped) = &self.mapped[nr] {
            return if mapped.read(at, into) { Ok(()) } else { Err(Errno(-22)) };
        }
        let copy = |bytes: &[u8]| bytes.get(at..at + into.len()).map(|from| into.copy_from_slice(from));
        self.section(section, copy)?.ok_or(Errno(-22))
    }

    fn lookup(&self, map: usize, key: &[u8], value: &mut [u8]) -> Result<(), Errno> {
        let map = self.map(map)?;
        if map.map_type().is_percpu() {
            let cpus = map.lookup_percpu(key, MapFlags::ANY).map_err(|e| errno(&e))?.ok_or(Errno(-2))?;
            let step = (map.value_size() as usize).next_multiple_of(8);
            value.chunks_mut(step).zip(&cpus).for_each(|(to, from)| to[..from.len().min(step)].copy_from_slice(from));
            return Ok(());
        }
        match map.lookup_into(key, value, MapFlags::ANY) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Errno(-2)),
            Err(e) => Err(errno(&e)),
        }
    }

    fn update(&self, map: usize, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let map = self.map(map)?;
        let flags = MapFlags::from_bits_truncate(flags);
        let result = if map.map_type().is_percpu() {
            let step = (map.value_size() as usize).next_multiple_of(8);
            let cpus: Vec<Vec<u8>> = value.chunks(step).map(|v| v[..map.value_size() as usize].to_vec()).collect();
            map.update_percpu(key, &cpus, flags)
        } else {
            map.update(key, value, flags)
        };
        result.map_err(|e| errno(&e))
    }

    fn delete(&self, map: usize, key: &[u8]) -> Result<(), Errno> {
        self.map(map)?.delete(key).map_err(|e| errno(&e))
    }

    fn pop(&self, map: usize, value: &mut [u8]) -> Result<(), Errno> {
        let bytes = self.map(map)?.lookup_and_delete(&[]).map_err(|e| errno(&e))?.ok_or(Errno(-2))?;
        value.copy_from_slice(bytes.get(..value.len()).ok_or(Errno(-22))?);
        Ok(())
    }

    fn next_key(&self, map: usize, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool, Errno> {
        // libbpf-rs walks a map from its start; a walk of its own per key is enough for a map that is read now and then.
        let mut keys = self.map(map)?.keys();
        let found = match key {
            None => keys.next(),
            Some(key) => keys.by_ref().find(|k| k == key).and_then(|_| keys.next()),
        };
        let Some(found) = found else { return Ok(false) };
        next.copy_from_slice(found.get(..next.len()).ok_or(Errno(-22))?);
        Ok(true)
    }

    fn open_ring(&self, map: usize) -> Result<(), Errno> {
        let message = Rc::new(RefCell::new(Message { len: 0, bytes: [0; MESSAGE_MAX] }));
        let into = Rc::clone(&message);
        let mut builder = RingBufferBuilder::new();
        let handle = self.map(map)?;
        let take = move |bytes: &[u8]| {
            let mut message = into.borrow_mut();
            let len = bytes.len().min(MESSAGE_MAX);
            message.len = bytes.len();
            message.bytes[..len].copy_from_slice(&bytes[..len]);
            0
        };
        builder.add(handle, take).map_err(|e| errno(&e))?;
        let ring = builder.build().map_err(|e| errno(&e))?;
        self.rings.borrow_mut().push(Ring { map, ring, message });
        Ok(())
    }

    fn receive(&self, map: usize, into: &mut [u8]) -> Option<usize> {
        let rings = self.rings.borrow();
        let ring = rings.iter().find(|r| r.map == map)?;
        if ring.ring.consume_raw_n(1) <= 0 {
            return None;
        }
        let message = ring.message.borrow();
        let len = into.len().min(message.len).min(MESSAGE_MAX);
        into[..len].copy_from_slice(&message.bytes[..len]);
        Some(message.len)
    }

    fn open_user_ring(&self, map: usize) -> Result<(), Errno> {
        let ring = UserRingBuffer::new(self.map(map)?).map_err(|e| errno(&e))?;
        self.user_rings.borrow_mut().push((map, ring));
        Ok(())
    }

    fn send(&self, map: usize, message: &[u8]) -> bool {
        let rings = self.user_rings.borrow();
        let Some((_, ring)) = rings.iter().find(|(m, _)| *m == map) else { return false };
        let Ok(mut sample) = ring.reserve(message.len()) else { return false };
        sample.copy_from_slice(message);
        ring.submit(sample).is_ok()
    }

    fn stats_due(&self) -> Option<Ns> {
        (self.stats_every > 0).then(|| Ns(self.stats_due.get()))
    }

    fn tell(&self, stats: Stats) {
        // A half that was late gives the next ones when they were due anyway.
        let late = stats.at.0.saturating_sub(self.stats_due.get()) / self.stats_every.max(1);
        self.stats_due.set(self.stats_due.get() + (late + 1) * self.stats_every);
        // Who does not listen any more needs none.
        let _ = self.tell.send(stats);
    }
}
