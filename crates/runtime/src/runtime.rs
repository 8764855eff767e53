//! [`Runtime`]: all that a half can do.

use std::cell::Cell;

use scxr_policy::{Errno, Ns, Plain, Value};

use crate::error::Error;
use crate::handles::{Global, Map, Queue, RingBuf, UserRingBuf};
use crate::schema::{MapDesc, MapKind, Schema};
use crate::stats::Stats;
use crate::world::{Exit, World};

/// How often the half looks whether its scheduler has ended.
const LOOK_EVERY: Ns = Ns(10_000_000);

/// All that a half can do.
pub struct Runtime<'a> {
    pub(crate) world: &'a dyn World,
    schema: &'a Schema,
    /// When it was last looked whether the scheduler has ended.
    looked_at: Cell<Option<Ns>>,
    over: Cell<bool>,
}

impl<'a> Runtime<'a> {
    /// In a world, with an object that has this.
    pub fn new(world: &'a dyn World, schema: &'a Schema) -> Runtime<'a> {
        Runtime { world, schema, looked_at: Cell::new(None), over: Cell::new(false) }
    }

    /// CLOCK_MONOTONIC.
    pub fn now(&self) -> Ns {
        self.world.now()
    }

    /// Sleeps so long.
    pub fn sleep(&self, time: Ns) {
        self.world.sleep(time);
    }

    /// Waits until one of the ring buffers that were opened has a message, or the time is over; whether one has. A half that always waits for a
    /// limited time shows by that that it is alive: it becomes runnable, and a scheduler that does not let it run is found by the
    /// class's watchdog.
    pub fn poll(&self, timeout: Ns) -> bool {
        self.world.poll(timeout)
    }

    /// Lets others run, if there are any.
    pub fn sched_yield(&self) {
        self.world.sched_yield();
    }

    /// Computing that takes so long on a CPU of the simulated machine. On a real one it does nothing: there, computing takes what it takes.
    pub fn work(&self, time: Ns) {
        self.world.work(time);
    }

    /// Id of the half's own task.
    pub fn pid(&self) -> i32 {
        self.world.pid()
    }

    /// CPUs that the machine has.
    pub fn nr_cpus(&self) -> u32 {
        self.world.nr_cpus()
    }

    /// Puts the half's own task into the class (SCHED_EXT), for a scheduler that serves no other tasks.
    pub fn sched_ext(&self) -> Result<(), Error> {
        self.world.sched_ext().map_err(|errno| Error::Call { what: "sched_setscheduler(SCHED_EXT)".into(), errno })
    }

    /// How the scheduler ended; `None`: it goes on.
    pub fn exit_info(&self) -> Option<Exit> {
        self.world.exited()
    }

    /// The scheduler has ended, or the run is over: the half is to return. The kernel is asked every 10 ms at most.
    pub fn is_over(&self) -> bool {
        if self.over.get() || self.world.is_stopped() {
            return true;
        }
        let now = self.world.now();
        if self.looked_at.get().is_none_or(|at| now.0.wrapping_sub(at.0) >= LOOK_EVERY.0) {
            self.looked_at.set(Some(now));
            self.over.set(self.world.exited().is_some());
        }
        self.over.get()
    }

    /// Gives figures where somebody wants them now (`--stats`), else does nothing.
    pub fn stats(&self, fill: impl FnOnce(&mut Stats)) {
        let now = self.world.now();
        if self.world.stats_due().is_some_and(|due| now.0 >= due.0) {
            let mut stats = Stats { at: now, values: Vec::new() };
            fill(&mut stats);
            self.world.tell(stats);
        }
    }

    /// A variable of the object's, to be read.
    pub fn global<T: Value>(&self, name: &str) -> Result<Global<'_, T>, Error> {
        let missing = || Error::Missing { what: "variable", name: name.to_owned() };
        let desc = self.schema.global(name).ok_or_else(missing)?;
        if desc.size as usize != T::SIZE {
            return Err(layout(
                name,
                &format!("{} bytes", T::SIZE),
                &format!("{} bytes {}", desc.size, desc.type_name),
            ));
        }
        Ok(Global::new(self.world, &desc.section, desc.offset))
    }

    fn map_desc(&self, what: &'static str, name: &str, kinds: &[MapKind]) -> Result<(usize, &MapDesc), Error> {
        let found = self.schema.maps.iter().position(|m| m.name == name && kinds.contains(&m.kind));
        let at = found.ok_or_else(|| Error::Missing { what, name: name.to_owned() })?;
        Ok((at, &self.schema.maps[at]))
    }

    /// A map by key or index: an array (`u32` keys) or a hash map, per-CPU or not.
    pub fn map<K: Plain, V: Plain>(&self, name: &str) -> Result<Map<'_, K, V>, Error> {
        let kinds = [MapKind::Array, MapKind::Hash, MapKind::PerCpuArray, MapKind::PerCpuHash];
        let (at, desc) = self.map_desc("map", name, &kinds)?;
        self.check::<K>(&format!("{name} (keys)"), desc.key_size, "")?;
        self.check::<V>(name, desc.value_size, &desc.value_type)?;
        let cpus = match desc.kind {
            MapKind::PerCpuArray | MapKind::PerCpuHash => self.world.nr_cpus() as usize,
            _ => 0,
        };
        Ok(Map::new(self.world, at, &desc.name, cpus))
    }

    /// A queue or stack.
    pub fn queue<T: Plain>(&self, name: &str) -> Result<Queue<'_, T>, Error> {
        let (at, desc) = self.map_desc("queue", name, &[MapKind::Queue])?;
        self.check::<T>(name, desc.value_size, &desc.value_type)?;
        Ok(Queue::new(self.world, at))
    }

    /// A ring buffer from the BPF half, whose messages are each a `T`.
    pub fn ringbuf<T: Plain>(&self, name: &str) -> Result<RingBuf<'_, T>, Error> {
        let (at, _) = self.map_desc("ring buffer", name, &[MapKind::RingBuf])?;
        self.check_struct::<T>(name)?;
        self.opened(name, self.world.open_ring(at))?;
        Ok(RingBuf::new(self.world, at))
    }

    /// A ring buffer to the BPF half.
    pub fn user_ringbuf<T: Plain>(&self, name: &str) -> Result<UserRingBuf<'_, T>, Error> {
        let (at, _) = self.map_desc("user-space ring buffer", name, &[MapKind::UserRingBuf])?;
        self.check_struct::<T>(name)?;
        self.opened(name, self.world.open_user_ring(at))?;
        Ok(UserRingBuf::new(self.world, at))
    }

    fn opened(&self, name: &str, result: Result<(), Errno>) -> Result<(), Error> {
        result.map_err(|errno| Error::Call { what: format!("opening {name}"), errno })
    }

    fn check<T: Plain>(&self, name: &str, size: u32, type_name: &str) -> Result<(), Error> {
        if size as usize != size_of::<T>() {
            let here = format!("{} bytes {}", size_of::<T>(), T::NAME);
            return Err(layout(name, &here, &format!("{size} bytes {type_name}")));
        }
        self.check_struct::<T>(name)
    }

    /// Compares a structure with the one of its name in the object, if that has one.
    fn check_struct<T: Plain>(&self, name: &str) -> Result<(), Error> {
        let Some(there) = self.schema.structure(T::NAME) else { return Ok(()) };
        let show = |size: usize, fields: &mut dyn Iterator<Item = (String, usize, usize)>| {
            let fields: Vec<String> = fields.map(|(n, at, len)| format!("{n} at {at} ({len} bytes)")).collect();
            format!("{} of {size} bytes: {}", T::NAME, fields.join(", "))
        };
        let here = show(size_of::<T>(), &mut T::FIELDS.iter().map(|f| (f.0.to_owned(), f.1, f.2)));
        let fields = there.fields.iter().map(|f| (f.name.clone(), f.offset as usize, f.size as usize));
        let object = show(there.size as usize, &mut fields.into_iter());
        if here == object { Ok(()) } else { Err(layout(name, &here, &object)) }
    }
}

fn layout(name: &str, here: &str, object: &str) -> Error {
    Error::Layout { name: name.to_owned(), here: here.trim().to_owned(), object: object.trim().to_owned() }
}
