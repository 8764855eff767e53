//! A running scheduler and its state.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::objects::Objects;
use super::{ExitDetails, Host, ItemDef, ItemKind, MaskWords, PolicyDef, Words};

/// A global of an instance, as a tool lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalValue {
    /// Its name, the same as in the BPF object.
    pub name: &'static str,
    /// What it is.
    pub kind: ItemKind,
    /// Size of a value in bytes.
    pub size: usize,
    /// Whether values are signed.
    pub signed: bool,
    /// The values by index; each holds one element, or for [`ItemKind::PerCpu`] one for each CPU.
    pub values: Vec<Vec<u64>>,
}

/// No tunable or global has that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchGlobal(pub String);

impl std::fmt::Display for NoSuchGlobal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the policy has no variable {}", self.0)
    }
}

impl std::error::Error for NoSuchGlobal {}

struct Slot {
    def: ItemDef,
    /// Element `index * nr_copies + cpu`.
    cells: Vec<Cell<u64>>,
    body: Body,
}

/// What a timer does.
type Fire = Rc<dyn Fn()>;

/// Values by key, each with the moment of its last use.
type Values = BTreeMap<u64, (u64, Rc<dyn Any>)>;

/// What an item that is no plain value holds.
enum Body {
    Nothing,
    Map(RefCell<Values>),
    Queue(RefCell<VecDeque<Rc<dyn Any>>>),
    Ring(RefCell<Ring>),
    UserRing { messages: RefCell<VecDeque<Vec<u8>>>, busy: Cell<bool> },
    Timer { made: Cell<bool>, function: RefCell<Option<Fire>> },
    Slot(Cell<Option<u64>>),
    Objects(Objects),
    Arena(RefCell<Pages>),
}

/// Values in an arena by number, each with the pages that it takes.
#[derive(Default)]
struct Pages {
    values: BTreeMap<u32, (usize, Rc<dyn Any>)>,
    next: u32,
}

/// A ring buffer: what user space has not read yet, in order of reservation.
#[derive(Default)]
struct Ring {
    records: VecDeque<Record>,
    /// Numbers the records.
    next: u64,
}

struct Record {
    number: u64,
    len: usize,
    state: State,
}

enum State {
    Busy,
    Ready(Vec<u8>),
    Discarded,
}

/// Bytes that a message takes.
fn room(len: usize) -> usize {
    (len + RING_HEADER).next_multiple_of(8)
}

impl Body {
    fn new(kind: ItemKind) -> Self {
        match kind {
            ItemKind::Map | ItemKind::LruMap | ItemKind::TaskMap | ItemKind::CgroupMap => Self::Map(RefCell::default()),
            ItemKind::Queue => Self::Queue(RefCell::default()),
            ItemKind::Ring => Self::Ring(RefCell::default()),
            ItemKind::Timer => Self::Timer { made: Cell::default(), function: RefCell::default() },
            ItemKind::UserRing => Self::UserRing { messages: RefCell::default(), busy: Cell::default() },
            ItemKind::Slot | ItemKind::TaskSlot | ItemKind::CgroupSlot => Self::Slot(Cell::default()),
            ItemKind::Objects => Self::Objects(Objects::default()),
            ItemKind::Arena => Self::Arena(RefCell::default()),
            ItemKind::OfMaps | ItemKind::Tunable | ItemKind::Global | ItemKind::PerCpu => Self::Nothing,
            ItemKind::ExitRecord | ItemKind::Kernel => Self::Nothing,
        }
    }
}

/// Bytes in front of a message in a ring buffer [BPF_RINGBUF_HDR_SZ].
const RING_HEADER: usize = 8;

/// One running scheduler: a policy and its state.
pub struct Instance {
    policy: &'static PolicyDef,
    slots: Vec<Slot>,
    nr_cpus: usize,
    exit: RefCell<Option<ExitDetails>>,
    /// Sets of CPUs of the policy's own, by number.
    masks: RefCell<Vec<Option<MaskWords>>>,
    /// Counts uses of map values.
    uses: Cell<u64>,
    /// Functions of timers that are fields, numbered from the number of slots on.
    timers: RefCell<Vec<Option<Fire>>>,
    /// References to tasks and cgroups that values of maps hold.
    stored: RefCell<BTreeMap<(ItemKind, u64), u32>>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("policy", &self.policy.name)
            .field("globals", &self.globals())
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// With the initial state, for a machine of `nr_cpus` CPUs.
    pub fn new(policy: &'static PolicyDef, nr_cpus: usize) -> Self {
        let slots = policy.state.iter().map(|item| {
            let def = item.def();
            let nr_cells = match def.kind {
                ItemKind::PerCpu => def.len * nr_cpus,
                ItemKind::Tunable | ItemKind::Global => def.len,
                _ => 0,
            };
            Slot { def, cells: vec![Cell::new(def.initial); nr_cells], body: Body::new(def.kind) }
        });
        let (exit, masks, uses, timers, stored) = Default::default();
        Self { policy, slots: slots.collect(), nr_cpus, exit, masks, uses, timers, stored }
    }

    /// The policy.
    pub fn policy(&self) -> &'static PolicyDef {
        self.policy
    }

    /// Runs the operation at index `op` of [`PolicyDef::ops`] with the words of its BPF context, and returns what it returns
    /// (0 for none). An index past the end does nothing.
    pub fn call(&self, op: usize, args: &[u64], host: &dyn Host) -> i64 {
        let Some(op) = self.policy.ops.get(op) else { return 0 };
        let mut result = 0;
        (self.policy.enter)(self, host, &mut || result = (op.call)(Words(args)));
        result
    }

    /// Sets a tunable or global before the scheduler starts. The value is cut to the variable's size.
    pub fn set(&self, name: &str, value: u64) -> Result<(), NoSuchGlobal> {
        let settable =
            |slot: &&Slot| slot.def.name == name && matches!(slot.def.kind, ItemKind::Tunable | ItemKind::Global);
        let slot = self.slots.iter().find(settable).ok_or_else(|| NoSuchGlobal(name.to_owned()))?;
        let unused = 64 - 8 * slot.def.size as u32;
        slot.cells[0].set(value << unused >> unused);
        Ok(())
    }

    /// An integer of a tunable or global, or of a per-CPU array's element `index` on `cpu`; `None`: there is none.
    pub fn word(&self, name: &str, index: usize, cpu: usize) -> Option<u64> {
        let slot = self.slots.iter().position(|slot| slot.def.name == name)?;
        self.cell(slot, index, cpu).map(Cell::get)
    }

    /// All tunables, globals and arrays of each CPU's own integers.
    pub fn globals(&self) -> Vec<GlobalValue> {
        let plain = [ItemKind::Tunable, ItemKind::Global, ItemKind::PerCpu];
        let listed = self.slots.iter().filter(|slot| plain.contains(&slot.def.kind));
        listed
            .map(|slot| GlobalValue {
                name: slot.def.name,
                kind: slot.def.kind,
                size: slot.def.size,
                signed: slot.def.signed,
                values: slot
                    .cells
                    .chunks(self.copies(slot).max(1))
                    .map(|c| c.iter().map(Cell::get).collect())
                    .collect(),
            })
            .collect()
    }

    /// What `exit` recorded; `None` if the policy keeps no record or has not ended.
    pub fn exit_record(&self) -> Option<ExitDetails> {
        self.exit.borrow().clone()
    }

    fn copies(&self, slot: &Slot) -> usize {
        if slot.def.kind == ItemKind::PerCpu { self.nr_cpus } else { 1 }
    }

    /// Element `index` of a slot, of one CPU where each has its own; `None` out of bounds.
    pub(super) fn cell(&self, slot: usize, index: usize, cpu: usize) -> Option<&Cell<u64>> {
        let slot = self.slots.get(slot)?;
        let copies = self.copies(slot);
        if copies > 1 && cpu >= copies {
            return None;
        }
        slot.cells.get(index * copies + if copies > 1 { cpu } else { 0 })
    }

    pub(super) fn record_exit(&self, details: ExitDetails) {
        *self.exit.borrow_mut() = Some(details);
    }

    pub(super) fn nr_cpus(&self) -> usize {
        self.nr_cpus
    }

    /// Messages in the ring buffer of that name, the oldest first; they are taken out.
    pub fn take_messages(&self, name: &str) -> Vec<Vec<u8>> {
        let slot = self.slots.iter().find(|slot| slot.def.name == name);
        match slot.map(|slot| &slot.body) {
            Some(Body::Ring(ring)) => ring.borrow_mut().take(),
            _ => Vec::new(),
        }
    }

    /// The oldest message in the ring buffer of that name, taken out; `None`: there is none that is finished.
    pub fn take_message(&self, name: &str) -> Option<Vec<u8>> {
        match self.slots.iter().find(|slot| slot.def.name == name).map(|slot| &slot.body) {
            Some(Body::Ring(ring)) => ring.borrow_mut().take_one(),
            _ => None,
        }
    }

    /// Has the ring buffer of that name a finished message?
    pub fn has_message(&self, name: &str) -> bool {
        match self.slots.iter().find(|slot| slot.def.name == name).map(|slot| &slot.body) {
            Some(Body::Ring(ring)) => ring.borrow_mut().is_ready(),
            _ => false,
        }
    }

    /// Sends a message to the policy through the user-space ring buffer of that name; false: there is no room, or no such buffer.
    pub fn send_message(&self, name: &str, message: &[u8]) -> bool {
        let Some(slot) = self.slots.iter().find(|slot| slot.def.name == name) else { return false };
        let Body::UserRing { messages, .. } = &slot.body else { return false };
        let used: usize = messages.borrow().iter().map(|m| room(m.len())).sum();
        let fits = used + room(message.len()) <= slot.def.len;
        if fits {
            messages.borrow_mut().push_back(message.to_vec());
        }
        fits
    }

    /// The cgroup is gone: what was kept for it goes.
    pub fn cgroup_gone(&self, cgroup: u64) {
        self.owner_gone(ItemKind::CgroupMap, cgroup);
    }

    /// The scheduler is gone: gives back what slots still hold.
    pub fn unload(&self, host: &dyn Host) {
        let release = |kind, raw| match kind {
            ItemKind::TaskSlot => host.task_release(raw),
            ItemKind::CgroupSlot => host.cgroup_release(raw),
            _ => {}
        };
        for slot in &self.slots {
            if let Body::Slot(place) = &slot.body
                && let Some(raw) = place.take()
            {
                release(slot.def.kind, raw);
            }
        }
        for ((kind, raw), nr) in self.stored.take() {
            (0..nr).for_each(|_| release(kind, raw));
        }
    }

    /// A field of a map's value holds one object instead of another one.
    pub(super) fn exchanged(&self, kind: ItemKind, new: Option<u64>, old: Option<u64>) {
        let mut stored = self.stored.borrow_mut();
        if let Some(new) = new {
            *stored.entry((kind, new)).or_default() += 1;
        }
        if let Some(nr) = old.and_then(|old| stored.get_mut(&(kind, old))) {
            *nr = nr.saturating_sub(1);
        }
    }

    /// The task is gone: what was kept for it goes.
    pub fn task_gone(&self, task: u64) {
        self.owner_gone(ItemKind::TaskMap, task);
    }

    fn owner_gone(&self, kind: ItemKind, owner: u64) {
        for slot in self.slots.iter().filter(|slot| slot.def.kind == kind) {
            if let Body::Map(map) = &slot.body {
                map.borrow_mut().remove(&owner);
            }
        }
    }

    /// Runs the function of a timer that is due; `timer` as the host was given it.
    pub fn fire(&self, timer: usize, host: &dyn Host) {
        let function = match self.slots.get(timer).map(|slot| &slot.body) {
            Some(Body::Timer { function, .. }) => function.borrow().clone(),
            Some(_) => None,
            None => self.timers.borrow().get(timer - self.slots.len()).cloned().flatten(),
        };
        if let Some(function) = function {
            (self.policy.enter)(self, host, &mut || function());
        }
    }

    /// Gives the timer with that number, which is a field, its function, or takes it away; without a number: a new one. Its number.
    pub(super) fn set_field_timer(&self, number: Option<usize>, new: Option<Fire>) -> usize {
        let mut timers = self.timers.borrow_mut();
        let index = number.map_or(timers.len(), |number| number - self.slots.len());
        if index == timers.len() {
            timers.push(None);
        }
        timers[index] = new;
        index + self.slots.len()
    }

    /// Gives a timer its function, or takes it away; a timer exists from its first one on.
    pub(super) fn set_timer(&self, slot: usize, new: Option<Fire>) {
        if let Some(Body::Timer { made, function }) = self.slots.get(slot).map(|s| &s.body) {
            made.set(true);
            *function.borrow_mut() = new;
        }
    }

    pub(super) fn timer_is_made(&self, slot: usize) -> bool {
        matches!(self.slots.get(slot).map(|s| &s.body), Some(Body::Timer { made, .. }) if made.get())
    }

    /// The value at `key`; if there is none, `make` makes one where there is room. A value that made room is put into `evicted`.
    pub(super) fn map_value(
        &self,
        slot: usize,
        key: u64,
        make: Option<&dyn Fn() -> Rc<dyn Any>>,
        evicted: &mut Option<Rc<dyn Any>>,
    ) -> Option<Rc<dyn Any>> {
        let slot = self.slots.get(slot)?;
        let Body::Map(map) = &slot.body else { return None };
        let mut map = map.borrow_mut();
        self.uses.set(self.uses.get() + 1);
        if let Some((used, value)) = map.get_mut(&key) {
            *used = self.uses.get();
            return Some(value.clone());
        }
        let value = make?();
        if map.len() >= slot.def.len {
            if slot.def.kind != ItemKind::LruMap {
                return None;
            }
            let oldest = map.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)?;
            *evicted = map.remove(&oldest).map(|(_, value)| value);
        }
        map.insert(key, (self.uses.get(), value.clone()));
        Some(value)
    }

    /// Takes a value out.
    pub(super) fn map_remove(&self, slot: usize, key: u64) -> Option<Rc<dyn Any>> {
        let Body::Map(map) = &self.slots.get(slot)?.body else { return None };
        map.borrow_mut().remove(&key).map(|(_, value)| value)
    }

    /// The value of a map that the byte at address `at` is in, and its key.
    pub(super) fn map_value_around(&self, slot: usize, at: usize) -> Option<(u64, Rc<dyn Any>)> {
        let Body::Map(map) = &self.slots.get(slot)?.body else { return None };
        let map = map.borrow();
        let start = |value: &Rc<dyn Any>| Rc::as_ptr(value).addr();
        let is_in = |value: &Rc<dyn Any>| (start(value)..start(value) + size_of_val(&**value)).contains(&at);
        map.iter().find(|(_, (_, value))| is_in(value)).map(|(key, (_, value))| (*key, value.clone()))
    }

    /// Is this value in the map at `key`?
    pub(super) fn map_holds(&self, slot: usize, key: u64, value: &Rc<dyn Any>) -> bool {
        let Some(Body::Map(map)) = self.slots.get(slot).map(|s| &s.body) else { return false };
        map.borrow().get(&key).is_some_and(|(_, there)| Rc::ptr_eq(there, value))
    }

    pub(super) fn push(&self, slot: usize, value: Rc<dyn Any>) -> bool {
        let Some(slot) = self.slots.get(slot) else { return false };
        let Body::Queue(queue) = &slot.body else { return false };
        let room = queue.borrow().len() < slot.def.len;
        if room {
            queue.borrow_mut().push_back(value);
        }
        room
    }

    pub(super) fn take(&self, slot: usize, last: bool, remove: bool) -> Option<Rc<dyn Any>> {
        let Body::Queue(queue) = &self.slots.get(slot)?.body else { return None };
        let mut queue = queue.borrow_mut();
        match (last, remove) {
            (false, true) => queue.pop_front(),
            (true, true) => queue.pop_back(),
            (false, false) => queue.front().cloned(),
            (true, false) => queue.back().cloned(),
        }
    }

    /// Sends a message; whether user space is to be told. `None`: there is no room.
    pub(super) fn send(&self, slot: usize, message: Vec<u8>) -> Option<bool> {
        let record = self.reserve(slot, message.len())?;
        Some(self.commit(slot, record, Some(message)))
    }

    /// Room for a message of `len` bytes; its number.
    pub(super) fn reserve(&self, slot: usize, len: usize) -> Option<u64> {
        let slot = self.slots.get(slot)?;
        let Body::Ring(ring) = &slot.body else { return None };
        let mut ring = ring.borrow_mut();
        if ring.used() + room(len) >= slot.def.len {
            return None;
        }
        ring.next += 1;
        let number = ring.next;
        ring.records.push_back(Record { number, len, state: State::Busy });
        Some(number)
    }

    /// Ends a reservation that has not ended yet: with a message, or without. Whether user space, which has read all before it, is to
    /// be told.
    pub(super) fn commit(&self, slot: usize, number: u64, message: Option<Vec<u8>>) -> bool {
        let Some(Body::Ring(ring)) = self.slots.get(slot).map(|s| &s.body) else { return false };
        let mut ring = ring.borrow_mut();
        let busy = |r: &&mut Record| r.number == number && matches!(r.state, State::Busy);
        let Some(record) = ring.records.iter_mut().find(busy) else { return false };
        record.state = message.map_or(State::Discarded, State::Ready);
        ring.records.front().is_some_and(|r| r.number == number)
    }

    pub(super) fn nr_unread(&self, slot: usize) -> u64 {
        match self.slots.get(slot).map(|s| &s.body) {
            Some(Body::Ring(ring)) => ring.borrow().used() as u64,
            _ => 0,
        }
    }

    /// False: somebody drains it already.
    pub(super) fn begin_drain(&self, slot: usize) -> bool {
        matches!(self.slots.get(slot).map(|s| &s.body), Some(Body::UserRing { busy, .. }) if !busy.replace(true))
    }

    pub(super) fn end_drain(&self, slot: usize) {
        if let Some(Body::UserRing { busy, .. }) = self.slots.get(slot).map(|s| &s.body) {
            busy.set(false);
        }
    }

    pub(super) fn next_message(&self, slot: usize) -> Option<Vec<u8>> {
        match &self.slots.get(slot)?.body {
            Body::UserRing { messages, .. } => messages.borrow_mut().pop_front(),
            _ => None,
        }
    }

    fn arena(&self, slot: usize) -> Option<&RefCell<Pages>> {
        match &self.slots.get(slot)?.body {
            Body::Arena(pages) => Some(pages),
            _ => None,
        }
    }

    /// Puts a value of so many pages into an arena; its address, which is not 0.
    pub(super) fn alloc_in_arena(&self, slot: usize, value: Rc<dyn Any>, nr: usize) -> Option<u64> {
        let mut pages = self.arena(slot)?.borrow_mut();
        let used: usize = pages.values.values().map(|(nr, _)| nr).sum();
        if used + nr > self.slots[slot].def.len {
            return None;
        }
        pages.next += 1;
        let number = pages.next;
        pages.values.insert(number, (nr, value));
        Some((slot as u64) << 32 | u64::from(number))
    }

    /// The value at an address in some arena.
    pub(super) fn in_arena(&self, at: u64) -> Option<Rc<dyn Any>> {
        let pages = self.arena((at >> 32) as usize)?.borrow();
        pages.values.get(&(at as u32)).map(|(_, value)| value.clone())
    }

    pub(super) fn free_in_arena(&self, at: u64) {
        if let Some(pages) = self.arena((at >> 32) as usize) {
            pages.borrow_mut().values.remove(&(at as u32));
        }
    }

    pub(super) fn objects(&self, slot: usize) -> Option<&Objects> {
        match &self.slots.get(slot)?.body {
            Body::Objects(objects) => Some(objects),
            _ => None,
        }
    }

    pub(super) fn create_mask(&self) -> u32 {
        let mut masks = self.masks.borrow_mut();
        let id = masks.iter().position(Option::is_none).unwrap_or(masks.len());
        if id == masks.len() {
            masks.push(None);
        }
        masks[id] = Some(MaskWords::default());
        id as u32
    }

    pub(super) fn release_mask(&self, id: u32) {
        if let Some(mask) = self.masks.borrow_mut().get_mut(id as usize) {
            *mask = None;
        }
    }

    pub(super) fn owned_mask(&self, id: u32) -> MaskWords {
        self.masks.borrow().get(id as usize).copied().flatten().unwrap_or_default()
    }

    /// Changes a set; what it was before.
    pub(super) fn update_mask(&self, id: u32, change: impl FnOnce(MaskWords) -> MaskWords) -> MaskWords {
        let before = self.owned_mask(id);
        if let Some(Some(mask)) = self.masks.borrow_mut().get_mut(id as usize) {
            *mask = change(before);
        }
        before
    }

    pub(super) fn replace_in_slot(&self, slot: usize, new: Option<u64>) -> Option<u64> {
        match self.slots.get(slot).map(|s| &s.body) {
            Some(Body::Slot(place)) => place.replace(new),
            _ => None,
        }
    }

    pub(super) fn in_slot(&self, slot: usize) -> Option<u64> {
        match self.slots.get(slot).map(|s| &s.body) {
            Some(Body::Slot(place)) => place.get(),
            _ => None,
        }
    }
}

impl Ring {
    /// Bytes that are taken.
    fn used(&self) -> usize {
        self.records.iter().map(|r| room(r.len)).sum()
    }

    /// Is the next message finished? What was discarded before it goes.
    fn is_ready(&mut self) -> bool {
        while self.records.front().is_some_and(|r| matches!(r.state, State::Discarded)) {
            self.records.pop_front();
        }
        self.records.front().is_some_and(|r| matches!(r.state, State::Ready(_)))
    }

    /// Takes the next message out, if it is finished.
    fn take_one(&mut self) -> Option<Vec<u8>> {
        if !self.is_ready() {
            return None;
        }
        match self.records.pop_front() {
            Some(Record { state: State::Ready(message), .. }) => Some(message),
            _ => None,
        }
    }

    /// Takes the finished messages out, up to the first one that is not finished.
    fn take(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.take_one()).collect()
    }
}
