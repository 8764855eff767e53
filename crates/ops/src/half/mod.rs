//! The user-space half of a scheduler as a simulated task: the simulation's [`World`].
//!
//! Its code runs in a coroutine. Whatever takes time there suspends it with an [`Action`], which the simulated kernel carries out as it
//! does for any task, and resumes it when the task has run that far. So a half makes progress only while it is scheduled, is preempted, and
//! stalls its scheduler where it is starved.
//!
//! What a half does costs: an access to memory that it shares with programs (variables, rings) `CostTable::shared_access`, a map operation
//! a system call, and computing what it says itself ([`World::work`]). Such time adds up and is spent before anything that others can see.

mod asked;
mod direct;
mod maps;
mod schema;

use crate::clock::{meant, shown};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use scxr_kernel::behavior::{Action, Behavior, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::cost::CostTable;
use scxr_kernel::ids::WaitQueueId;
use scxr_runtime::{Args, Errno, Exit, GlobalDesc, HALF_TGID, HalfDef, Ns, Runtime, Schema, Stats, World};

pub use direct::DirectScheduler;
pub use maps::Maps;
pub use schema::{native_schema, schema};

/// Stack of a half, bytes; touched pages alone cost memory.
const STACK_BYTES: usize = 1 << 20;

/// What a half is made from.
pub struct Half {
    /// What it is.
    pub def: HalfDef,
    /// Its options.
    pub args: Args,
    /// The state of its scheduler.
    pub maps: Rc<dyn Maps>,
    /// What its object has.
    pub schema: Schema,
    /// What things cost.
    pub cost: CostTable,
    /// CPUs of the machine.
    pub nr_cpus: u32,
    /// How often statistics are wanted, ns; 0: never.
    pub stats_every: u64,
}

/// What a half has done so far, for whoever runs it.
#[derive(Debug, Default)]
pub struct Done {
    /// What it said of itself.
    pub stats: RefCell<Vec<Stats>>,
    /// How it ended; `None`: it goes on.
    pub ended: RefCell<Option<Result<(), String>>>,
    /// The process that it is; 0: it has not been forked yet.
    pid: Cell<u32>,
    /// The run is over.
    over: Cell<bool>,
    /// Its scheduler was started again, with a half of its own.
    replaced: Cell<bool>,
}

/// A half that was started, for whoever runs it.
pub struct Started {
    /// What it has done so far.
    pub done: Rc<Done>,
    main: Rc<RefCell<Main>>,
    gives_stats: bool,
}

/// Steps that a half may make after the end of its run.
const LAST_STEPS: u32 = 100_000;

impl Started {
    /// Kills it: it does nothing any more, and its task exits when it runs next.
    pub fn killer(&self) -> impl FnOnce() + use<> {
        let (main, done) = (Rc::clone(&self.main), Rc::clone(&self.done));
        move || {
            if main.borrow_mut().code.take().is_some() {
                *done.ended.borrow_mut() = Some(Err("killed".into()));
            }
        }
    }

    /// The process that it is; `None`: its turn to be forked has not come.
    pub fn pid(&self) -> Option<u32> {
        Some(self.done.pid.get()).filter(|&pid| pid != 0)
    }

    /// Its scheduler was started again, with a half of its own: this one is to return.
    pub fn replace(&self) {
        self.done.replaced.set(true);
    }

    /// The run is over, at that time: a half that was to give figures just then gives them, and returns. Time stands still for it.
    pub fn finish(&self, now: u64) {
        let Some(cx) = self.main.borrow().cx.filter(|_| self.gives_stats) else { return };
        self.done.over.set(true);
        let cx = TaskCx { now, ..cx };
        for _ in 0..LAST_STEPS {
            if let Action::Exit = self.main.borrow_mut().next(&cx) {
                return;
            }
        }
    }
}

impl Half {
    /// The task that it is, which waits for messages on `queue`. As soon as it is forked the BPF half is told which process it is, where that wants to
    /// know; the error is that of telling.
    pub fn task(self, queue: WaitQueueId) -> Result<(TaskSpec, Started), Errno> {
        let tgid = self.schema.global(HALF_TGID).cloned();
        if let Some(global) = &tgid {
            self.maps.set_global(global, 0)?;
        }
        let introduction = (tgid, Rc::clone(&self.maps));
        self.maps.wait_on(queue);
        let done = Rc::new(Done::default());
        let (name, gives_stats) = (self.def.name, self.stats_every > 0);
        let stack = DefaultStack::new(STACK_BYTES).expect("memory for the stack of a user-space half");
        let record = Rc::clone(&done);
        let main = Coroutine::with_stack(stack, move |yielder: &Yielder<TaskCx, Action>, cx: TaskCx| {
            let Half { def, args, maps, schema, cost, nr_cpus, stats_every } = self;
            let world = SimWorld {
                yielder,
                cx: Cell::new(cx),
                maps: &*maps,
                schema: &schema,
                cost: &cost,
                nr_cpus,
                queue,
                owed: Cell::new(0),
                rings: RefCell::default(),
                stats_every,
                stats_due: Cell::new(shown((cx.now / stats_every.max(1) + 1) * stats_every)),
                looked: Cell::new(false),
                done: &record,
            };
            let ended = (def.main)(&Runtime::new(&world, &schema), &args);
            world.pay();
            *record.ended.borrow_mut() = Some(ended.map_err(|e| e.to_string()));
        });
        let main = Rc::new(RefCell::new(Main { code: Some(main), cx: None }));
        let task = HalfTask { main: Rc::clone(&main), done: Rc::clone(&done), introduction };
        Ok((TaskSpec::new(name, task), Started { done, main, gives_stats }))
    }
}

/// The half's code.
struct Main {
    /// `None`: it has returned.
    code: Option<Coroutine<TaskCx, Action, (), DefaultStack>>,
    /// As it was resumed last; `None`: it has not begun.
    cx: Option<TaskCx>,
}

impl Main {
    /// Goes on to the next step.
    fn next(&mut self, cx: &TaskCx) -> Action {
        let Some(code) = &mut self.code else { return Action::Exit };
        self.cx = Some(*cx);
        match code.resume(*cx) {
            CoroutineResult::Yield(action) => action,
            CoroutineResult::Return(()) => {
                self.code = None;
                Action::Exit
            }
        }
    }
}

/// The half's task.
struct HalfTask {
    main: Rc<RefCell<Main>>,
    done: Rc<Done>,
    /// Where the BPF half finds its pid.
    introduction: (Option<GlobalDesc>, Rc<dyn Maps>),
}

impl Behavior for HalfTask {
    fn next(&mut self, cx: &TaskCx) -> Action {
        self.main.borrow_mut().next(cx)
    }

    fn forked(&mut self, pid: u32) {
        self.done.pid.set(pid);
        if let (Some(global), maps) = &self.introduction {
            maps.set_global(global, pid.into()).expect("it was set before");
        }
    }
}

/// What a half sees in the simulation.
struct SimWorld<'a> {
    yielder: &'a Yielder<TaskCx, Action>,
    cx: Cell<TaskCx>,
    maps: &'a dyn Maps,
    schema: &'a Schema,
    cost: &'a CostTable,
    nr_cpus: u32,
    queue: WaitQueueId,
    /// Computing that is not spent yet, ns.
    owed: Cell<u64>,
    /// Rings that were opened.
    rings: RefCell<Vec<usize>>,
    stats_every: u64,
    stats_due: Cell<u64>,
    /// It has been seen that the run is over.
    looked: Cell<bool>,
    done: &'a Done,
}

impl SimWorld<'_> {
    /// Lets the kernel do something.
    fn step(&self, action: Action) {
        self.cx.set(self.yielder.suspend(action));
    }

    /// Spends the time of what was computed.
    fn pay(&self) {
        match self.owed.take() {
            0 => {}
            ns => self.step(Action::Run(ns)),
        }
    }

    fn owe(&self, ns: u64) {
        self.owed.set(self.owed.get() + ns);
    }

    /// bpf(2) on a map: the kernel's time for a system call, which others see the effect of at its end.
    fn map_call(&self, map: usize) -> Result<&str, Errno> {
        self.owe(self.cost.syscall + self.cost.kfunc);
        self.pay();
        self.name(map).ok_or(Errno(-9))
    }

    fn name(&self, map: usize) -> Option<&str> {
        self.schema.maps.get(map).map(|m| m.name.as_str())
    }
}

impl World for SimWorld<'_> {
    fn now(&self) -> Ns {
        let owed = if self.done.over.get() { 0 } else { self.owed.get() };
        Ns(shown(self.cx.get().now + owed))
    }

    fn sleep(&self, time: Ns) {
        self.pay();
        self.step(Action::Sleep(time.0));
    }

    fn poll(&self, timeout: Ns) -> bool {
        self.owe(self.cost.syscall);
        self.pay();
        // Nothing comes between the look and the wait: both are one step of the task.
        let ready = || {
            let rings = self.rings.borrow();
            rings.iter().any(|&map| self.name(map).is_some_and(|name| self.maps.is_ready(name)))
        };
        if ready() {
            return true;
        }
        let timeout = match self.stats_due() {
            Some(due) => timeout.0.min(due.0.saturating_sub(self.now().0).max(1)),
            None => timeout.0,
        };
        self.step(Action::WaitTimeout(self.queue, timeout));
        ready()
    }

    fn sched_yield(&self) {
        self.pay();
        self.step(Action::Yield);
    }

    fn work(&self, time: Ns) {
        self.owe(time.0);
    }

    fn pid(&self) -> i32 {
        self.cx.get().pid as i32
    }

    fn nr_cpus(&self) -> u32 {
        self.nr_cpus
    }

    fn sched_ext(&self) -> Result<(), Errno> {
        self.pay();
        self.step(Action::SetPolicy(Whom::Myself, Policy::Ext));
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        // There is one more round for its last figures.
        self.done.replaced.get() || self.done.over.get() && self.looked.replace(true)
    }

    fn exited(&self) -> Option<Exit> {
        self.owe(self.cost.shared_access);
        self.maps.exited(self.schema.uei.as_ref())
    }

    fn read_section(&self, section: &str, offset: u32, into: &mut [u8]) -> Result<(), Errno> {
        self.owe(self.cost.shared_access);
        self.pay();
        self.maps.read_section(section, offset, into)
    }

    fn lookup(&self, map: usize, key: &[u8], value: &mut [u8]) -> Result<(), Errno> {
        let name = self.map_call(map)?;
        self.maps.lookup(name, key, value)
    }

    fn update(&self, map: usize, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let name = self.map_call(map)?;
        self.maps.update(name, key, value, flags)
    }

    fn delete(&self, map: usize, key: &[u8]) -> Result<(), Errno> {
        let name = self.map_call(map)?;
        self.maps.delete(name, key)
    }

    fn pop(&self, map: usize, value: &mut [u8]) -> Result<(), Errno> {
        let name = self.map_call(map)?;
        self.maps.lookup(name, &[], value)?;
        self.maps.delete(name, &[])
    }

    fn next_key(&self, map: usize, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool, Errno> {
        let name = self.map_call(map)?;
        self.maps.next_key(name, key, next)
    }

    fn open_ring(&self, map: usize) -> Result<(), Errno> {
        self.rings.borrow_mut().push(map);
        Ok(())
    }

    fn receive(&self, map: usize, into: &mut [u8]) -> Option<usize> {
        self.owe(self.cost.shared_access);
        self.pay();
        self.maps.receive(self.name(map)?, into)
    }

    fn open_user_ring(&self, _map: usize) -> Result<(), Errno> {
        Ok(())
    }

    fn send(&self, map: usize, message: &[u8]) -> bool {
        self.owe(self.cost.shared_access);
        self.pay();
        self.name(map).is_some_and(|name| self.maps.send(name, message))
    }

    fn stats_due(&self) -> Option<Ns> {
        (self.stats_every > 0).then(|| Ns(self.stats_due.get()))
    }

    fn tell(&self, stats: Stats) {
        // A half that was late gives the next ones when they were due anyway.
        let late = stats.at.0.saturating_sub(self.stats_due.get()) / self.stats_every.max(1);
        self.stats_due.set(self.stats_due.get() + (late + 1) * self.stats_every);
        self.done.stats.borrow_mut().push(Stats { at: Ns(meant(stats.at.0)), ..stats });
    }
}
