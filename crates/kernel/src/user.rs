//! Running tasks' own code: the main loop of a CPU, compute time, system calls.

use scxr_trace::EventKind;

use crate::behavior::{Action, Call, TaskCx, Whom};
use crate::class::{ClassId, wf};
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId, WaitQueueId};
use crate::irq::Timer;
use crate::lock::LockId;
use crate::rq::StopWork;
use crate::task::{Body, KthreadNext, TaskState};
use crate::topology::CAPACITY_SCALE;

/// A stretch of user code that a CPU is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserRun {
    task: TaskId,
    /// Progress is accounted up to here.
    since: Ns,
    /// Speed since then, of 1024.
    speed: u32,
}

/// What a CPU does for ever.
pub(crate) fn cpu_main(k: &mut Kernel, cpu: CpuId) {
    loop {
        k.quiescent_state(cpu);
        k.take_interrupts();
        let curr = k.rqs[cpu].curr;
        let own_code = matches!(k.task(curr).body, Body::User(_)) && !k.task(curr).in_call;
        if k.rqs[cpu].need_resched || own_code && k.rqs[cpu].need_resched_lazy {
            k.schedule();
            continue;
        }
        match k.task(curr).body {
            Body::Idle => k.idle(cpu),
            Body::Kthread(body) => {
                if body(k, curr) == KthreadNext::Block {
                    k.task_mut(curr).state = TaskState::Sleeping;
                    k.schedule();
                }
            }
            Body::User(_) if k.task(curr).work_left > 0 => k.run_user(cpu, curr),
            Body::User(_) if k.task(curr).is_exiting() => k.die(),
            Body::User(_) if let Some(m) = k.task(curr).wants => k.mutex_lock(cpu, curr, m),
            Body::User(_) => k.next_step(curr),
        }
    }
}

impl Kernel {
    /// Waits in idle for the next interrupt.
    fn idle(&mut self, cpu: CpuId) {
        let until = self.cpus[cpu].irq.next_event();
        let since = self.now();
        self.cpus[cpu].idle_since = Some(since);
        self.suspend_until(until.max(since));
        self.cpus[cpu].idle_since = None;
        let slept = self.now() - since;
        let exit = match slept {
            0 => 0,
            s if s >= self.cost.idle_deep_after => self.cost.idle_exit_deep,
            _ => self.cost.idle_exit_shallow,
        };
        self.charge(exit);
        self.keep_in_step();
    }

    /// Frequency of the core of `cpu`, of 1024. A scheduler that has all tasks says how fast each of its CPUs has to be (E-154);
    /// the governor leaves a quarter of room, and the core follows the thread that needs most. Without one, or where fair tasks
    /// count too, it is the highest. [sugov_get_util, sugov_effective_cpu_perf]
    pub(crate) fn frequency(&self, cpu: CpuId) -> u32 {
        let min = self.cost.freq_min.min(CAPACITY_SCALE);
        if min == CAPACITY_SCALE || !self.ext.switched_all() {
            return CAPACITY_SCALE;
        }
        let target = |cpu: CpuId| self.rqs[cpu].scx.cpuperf_target;
        let most = self.topology.smt_mask(cpu).iter().map(target).max().unwrap_or(CAPACITY_SCALE);
        (most + most / 4).clamp(min, CAPACITY_SCALE)
    }

    /// Speed at which `cpu` runs user code now, of 1024: its capacity at its frequency, less while another thread of its core is busy.
    fn speed(&self, cpu: CpuId) -> u32 {
        let capacity = self.topology.cpus[cpu].capacity;
        let siblings = self.topology.smt_mask(cpu);
        let shared = siblings.weight() > 1 && siblings.iter().any(|s| s != cpu && !self.rqs[s].is_idle());
        let scale = if shared { self.cost.smt_busy_speed } else { CAPACITY_SCALE };
        (capacity * scale / CAPACITY_SCALE * self.frequency(cpu) / CAPACITY_SCALE).max(1)
    }

    fn run_length(work: Ns, speed: u32) -> Ns {
        (work.saturating_mul(u64::from(CAPACITY_SCALE))).div_ceil(u64::from(speed))
    }

    /// Computes until the step's work is done or an interrupt comes.
    fn run_user(&mut self, cpu: CpuId, p: TaskId) {
        let (since, speed) = (self.now(), self.speed(cpu));
        let end = since.saturating_add(Self::run_length(self.task(p).work_left, speed));
        let until = end.min(self.cpus[cpu].irq.next_event().max(since));
        self.cpus[cpu].user_run = Some(UserRun { task: p, since, speed });
        self.suspend_until(until);
        let now = self.now();
        self.account_progress(cpu, now);
        self.cpus[cpu].user_run = None;
    }

    /// Accounts the progress of the stretch that `cpu` is in, up to time `t`.
    fn account_progress(&mut self, cpu: CpuId, t: Ns) {
        let Some(run) = self.cpus[cpu].user_run else {
            return;
        };
        let elapsed = t.saturating_sub(run.since);
        let left = &mut self.task_mut(run.task).work_left;
        if elapsed >= Self::run_length(*left, run.speed) {
            *left = 0;
        } else {
            *left -= (elapsed * u64::from(run.speed) / u64::from(CAPACITY_SCALE)).min(*left - 1);
        }
        self.cpus[cpu].user_run = Some(UserRun { since: t.max(run.since), ..run });
    }

    /// `cpu` became busy or idle: the other threads of its core go on at another speed.
    pub(crate) fn core_speed_changed(&mut self, cpu: CpuId) {
        if !self.topology.has_smt() {
            return;
        }
        self.speed_changed(self.topology.smt_mask(cpu).and_not(&CpuMask::of(cpu)));
    }

    /// The frequency of the core of `cpu` may have changed.
    pub(crate) fn frequency_changed(&mut self, cpu: CpuId) {
        self.speed_changed(*self.topology.smt_mask(cpu));
    }

    /// The frequencies of all cores may have changed.
    pub(crate) fn frequencies_changed(&mut self) {
        self.speed_changed(self.online);
    }

    /// CPUs that compute go on at the speed that they have now.
    fn speed_changed(&mut self, cpus: CpuMask) {
        let now = self.now();
        for sibling in cpus.iter() {
            let speed = self.speed(sibling);
            match self.cpus[sibling].user_run {
                Some(run) if run.speed != speed && self.exec.is_waiting(sibling) => {
                    self.account_progress(sibling, now);
                    let since = now.max(run.since);
                    self.cpus[sibling].user_run = Some(UserRun { since, speed, ..run });
                    let end = since.saturating_add(Self::run_length(self.task(run.task).work_left, speed));
                    let until = end.min(self.cpus[sibling].irq.next_event()).max(since);
                    self.exec.retime(sibling, until);
                }
                _ => {}
            }
        }
    }

    /// Asks the task for its next step and does it. A task that makes one system call after the other stays in step with
    /// the other CPUs even where none of them takes a lock.
    fn next_step(&mut self, p: TaskId) {
        self.keep_in_step();
        let (now, cpu) = (self.now(), self.this_cpu());
        let t = self.task_mut(p);
        let cx = TaskCx { now, cpu, task: p, pid: t.pid, last_child: t.last_child, timed_out: t.timed_out };
        let Body::User(behavior) = &mut t.body else {
            return;
        };
        let Some(mut behavior) = behavior.take() else {
            return;
        };
        let action = behavior.next(&cx);
        self.task_mut(p).body = Body::User(Some(behavior));
        self.perform(p, action);
    }

    fn perform(&mut self, p: TaskId, action: Action) {
        if !matches!(action, Action::Lock(_) | Action::Locked | Action::Unlock | Action::Wait(_) | Action::Wake { .. })
        {
            self.task_mut(p).in_call = false;
        }
        match action {
            Action::Run(work) => return self.task_mut(p).work_left = work,
            Action::Work(ns) => {
                let pid = self.task(p).pid;
                self.emit(EventKind::Work { pid, ns });
                let cost = self.cost.work;
                return self.charge(cost);
            }
            Action::CpuTime => return self.task_sched_runtime(p),
            Action::Call(call) => {
                self.task_mut(p).in_call = true;
                let whole = match call {
                    Call::PipeRead => self.cost.pipe_read,
                    Call::PipeWrite => self.cost.pipe_write,
                };
                return self.charge(whole.saturating_sub(self.cost.pipe_locked));
            }
            Action::Lock(mutex) => return self.task_mut(p).wants = Some(mutex),
            Action::Locked => {
                let cost = self.cost.pipe_locked;
                return self.charge(cost);
            }
            Action::Unlock => return self.mutex_unlock(p),
            Action::Wake { queue, nr, sync } if self.task(p).in_call => return self.wake_waiters(queue, nr, sync),
            Action::Wait(queue) => return self.wait_on(p, queue, None),
            Action::WaitTimeout(queue, ns) => return self.wait_on(p, queue, Some(ns)),
            _ => {}
        }
        let cost = self.cost.syscall;
        self.charge(cost);
        let whom = |w: Whom| match w {
            Whom::Myself => p,
            Whom::Task(q) => q,
        };
        // An attribute of a task that is gone stays as it is, as the system call's error would tell the caller.
        match action {
            Action::Sleep(ns) => {
                let at = self.now() + ns;
                self.sleep_until(p, at);
            }
            Action::SleepUntil(at) => self.sleep_until(p, at),
            Action::Wake { queue, nr, sync } => self.wake_waiters(queue, nr, sync),
            Action::Yield => self.sched_yield(),
            Action::Fork(spec) => drop(self.fork(*spec)),
            Action::Exec => self.exec_balance(p),
            Action::SetAffinity(w, mask) => {
                self.set_cpus_allowed(whom(w), mask).ok();
            }
            Action::SetNice(w, nice) => {
                self.set_user_nice(whom(w), nice).ok();
            }
            Action::SetPolicy(w, policy) => {
                let nice = self.find_task(whom(w)).map_or(0, |t| t.nice);
                self.ask_for_policy(whom(w), policy, nice);
            }
            Action::SetCookie(w, cookie) => self.set_core_cookie(whom(w), cookie),
            Action::Cgroup(path, change) => {
                self.change_cgroup(&path, *change).ok();
            }
            Action::SetCpuOnline(cpu, online) => {
                self.set_cpu_online(cpu, online).ok();
            }
            Action::Exit => self.begin_exit(),
            _ => unreachable!("done above"),
        }
    }

    /// [task_sched_runtime] of the caller.
    fn task_sched_runtime(&mut self, p: TaskId) {
        let cpu = self.lock_task_rq(p);
        self.update_rq_clock(cpu);
        crate::class::update_curr(self, cpu);
        crate::ext::rq_clock_invalidate(self, cpu);
        self.unlock(LockId::Rq(cpu));
    }

    fn sleep_until(&mut self, p: TaskId, at: Ns) {
        if at <= self.now() {
            return;
        }
        let t = self.task_mut(p);
        t.sleep_seq += 1;
        t.state = TaskState::Sleeping;
        let seq = t.sleep_seq;
        self.start_timer(at, Timer::Wake(p, seq));
        self.schedule();
    }

    /// Blocks on a wait queue. The task is on the queue before anything can interrupt.
    fn wait_on(&mut self, p: TaskId, queue: WaitQueueId, timeout: Option<Ns>) {
        self.wait_queues.add(queue, p);
        let t = self.task_mut(p);
        t.sleep_seq += 1;
        t.state = TaskState::Sleeping;
        t.waits_on = Some(queue);
        t.timed_out = false;
        let seq = t.sleep_seq;
        let cost = if t.in_call { self.cost.pipe_locked } else { self.cost.syscall };
        self.charge(cost);
        if let Some(ns) = timeout {
            let at = self.now() + ns;
            self.start_timer(at, Timer::WaitTimeout(p, seq, queue));
        }
        self.schedule();
    }

    pub(crate) fn wake_waiters(&mut self, queue: WaitQueueId, nr: u32, sync: bool) {
        for _ in 0..nr {
            let Some(p) = self.wait_queues.pop(queue) else {
                return;
            };
            self.try_to_wake_up(p, if sync { wf::SYNC } else { 0 });
        }
    }

    /// [sched_exec]: an exec is a good moment to move: the task has no cache to lose.
    fn exec_balance(&mut self, p: TaskId) {
        let cost = self.cost.exec;
        self.charge(cost);
        let (pid, comm) = (self.task(p).pid, self.task(p).comm.clone());
        self.emit(EventKind::Exec { pid, comm });
        self.let_earlier_cpus_run();
        let cpu = self.this_cpu();
        if self.task(p).class == ClassId::Ext || self.task(p).nr_cpus_allowed < 2 {
            return; // the ext class does not balance here (E-69)
        }
        let to = crate::class::select_task_rq(self, p, cpu, wf::EXEC);
        if to != cpu && self.rqs[to].active {
            self.stop_one_cpu(cpu, StopWork::Migrate(p, to));
        }
    }
}
