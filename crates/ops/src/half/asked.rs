//! A half on the framework whose [`Scheduler`] is asked by the kernel itself: its code stands in `drive`, in a coroutine, and answers.

use std::cell::RefCell;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use scxr_runtime::framework::{Answer, Question, Scheduler, Task};
use scxr_runtime::{Args, Cpu, Errno, Exit, HalfDef, Ns, Runtime, Schema, Stats, UNSUPPORTED, World};

use super::STACK_BYTES;

/// What the half's code comes to between two questions; `None`: it is about to do something that only a task can.
type Said = Option<Answer>;

/// The half's scheduler.
pub(super) struct Asked {
    code: RefCell<Coroutine<Question, Said, Result<(), String>, DefaultStack>>,
    /// Where the task of the last decision is to run.
    wanted: Option<Cpu>,
}

impl Asked {
    /// Runs the half until it is in `drive`; why it does not get there.
    pub(super) fn new(def: HalfDef, args: Args, schema: Schema, nr_cpus: u32) -> Result<Asked, String> {
        let stack = DefaultStack::new(STACK_BYTES).expect("memory for the stack of a user-space half");
        let main = move |yielder: &Yielder<Question, Said>, _first: Question| {
            let world = AskedWorld { yielder, nr_cpus };
            (def.main)(&Runtime::new(&world, &schema), &args).map_err(|e| e.to_string())
        };
        let mut code = Coroutine::with_stack(stack, main);
        match code.resume(Question::Cost) {
            CoroutineResult::Yield(Some(Answer::Done)) => Ok(Asked { code: RefCell::new(code), wanted: None }),
            CoroutineResult::Return(Err(why)) => Err(format!("its user-space half ended: {why}")),
            _ => Err("its user-space half does not hand a Scheduler to the framework's `drive`".into()),
        }
    }

    fn ask(&self, question: Question) -> Answer {
        let mut code = self.code.borrow_mut();
        if code.done() {
            return Answer::Done;
        }
        match code.resume(question) {
            CoroutineResult::Yield(Some(answer)) => answer,
            CoroutineResult::Yield(None) | CoroutineResult::Return(_) => Answer::Done,
        }
    }
}

impl Scheduler for Asked {
    fn select_cpu(&mut self, _task: &Task) -> Option<Cpu> {
        self.wanted.take()
    }

    fn enqueue(&mut self, task: Task) {
        self.ask(Question::Enqueue(task));
    }

    fn dispatch(&mut self) -> Option<(Task, Ns)> {
        let Answer::Next(Some((task, slice, wanted))) = self.ask(Question::Dispatch) else { return None };
        self.wanted = wanted;
        Some((task, slice))
    }

    fn exit_task(&mut self, pid: i32) {
        self.ask(Question::Exit(pid));
    }

    fn nr_queued(&self) -> usize {
        let Answer::Queued(nr) = self.ask(Question::Queued) else { return 0 };
        nr
    }

    fn cost(&self) -> Ns {
        let Answer::Cost(cost) = self.ask(Question::Cost) else { return Ns::ZERO };
        cost
    }

    fn stats(&self, out: &mut Stats) {
        if let Answer::Stats(stats) = self.ask(Question::Stats) {
            out.values.extend(stats.values);
        }
    }
}

/// What the half sees: that it is asked. There is no BPF half, and it is no task.
struct AskedWorld<'a> {
    yielder: &'a Yielder<Question, Said>,
    nr_cpus: u32,
}

impl AskedWorld<'_> {
    /// It wants to be a task, which it is not: whoever asks hears that, and asks no more.
    fn give_up(&self) {
        self.yielder.suspend(None);
    }
}

impl World for AskedWorld<'_> {
    fn now(&self) -> Ns {
        Ns::ZERO
    }
    fn sleep(&self, _time: Ns) {
        self.give_up();
    }
    fn poll(&self, _timeout: Ns) -> bool {
        self.give_up();
        false
    }
    fn sched_yield(&self) {
        self.give_up();
    }
    fn work(&self, _time: Ns) {}
    fn pid(&self) -> i32 {
        0
    }
    fn nr_cpus(&self) -> u32 {
        self.nr_cpus
    }
    fn sched_ext(&self) -> Result<(), Errno> {
        Ok(())
    }
    fn is_stopped(&self) -> bool {
        false
    }
    fn exited(&self) -> Option<Exit> {
        None
    }
    fn read_section(&self, _section: &str, _offset: u32, _into: &mut [u8]) -> Result<(), Errno> {
        Err(UNSUPPORTED)
    }
    fn lookup(&self, _map: usize, _key: &[u8], _value: &mut [u8]) -> Result<(), Errno> {
        Err(UNSUPPORTED)
    }
    fn update(&self, _map: usize, _key: &[u8], _value: &[u8], _flags: u64) -> Result<(), Errno> {
        Err(UNSUPPORTED)
    }
    fn delete(&self, _map: usize, _key: &[u8]) -> Result<(), Errno> {
        Err(UNSUPPORTED)
    }
    fn pop(&self, _map: usize, _value: &mut [u8]) -> Result<(), Errno> {
        Err(UNSUPPORTED)
    }
    fn next_key(&self, _map: usize, _key: Option<&[u8]>, _next: &mut [u8]) -> Result<bool, Errno> {
        Err(UNSUPPORTED)
    }
    fn open_ring(&self, _map: usize) -> Result<(), Errno> {
        Err(UNSUPPORTED)
    }
    fn receive(&self, _map: usize, _into: &mut [u8]) -> Option<usize> {
        None
    }
    fn open_user_ring(&self, _map: usize) -> Result<(), Errno> {
        Err(UNSUPPORTED)
    }
    fn send(&self, _map: usize, _message: &[u8]) -> bool {
        false
    }
    fn stats_due(&self) -> Option<Ns> {
        None
    }
    fn tell(&self, _stats: Stats) {}
    fn asked(&self, answer: Answer) -> Option<Question> {
        Some(self.yielder.suspend(Some(answer)))
    }
}
