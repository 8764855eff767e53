//! Birth and death of tasks.

use scxr_trace::EventKind;

use crate::behavior::{Policy, TaskSpec};
use crate::class::ClassId;
use crate::executor::Kernel;
use crate::ids::TaskId;
use crate::prio;
use crate::state::State;
use crate::task::{Body, KthreadFn, OnRq, Task, TaskState, pf};
use crate::{ext, fair};

impl State {
    /// Adds a task that does not run yet.
    pub(crate) fn add_task(&mut self, comm: &str, body: Body) -> TaskId {
        let id = TaskId::nth(self.tasks.len());
        let pid = self.next_pid;
        self.next_pid += 1;
        let n = self.cpus.0.len();
        self.tasks.push(Some(Box::new(Task::new(id, pid, comm, body, n))));
        id
    }

    /// Tells the trace about a new task.
    pub(crate) fn emit_fork(&mut self, p: TaskId) {
        let t = self.task(p);
        let parent = t.parent.and_then(|q| self.find_task(q)).map_or(0, |q| q.pid);
        let kind = EventKind::Fork {
            pid: t.pid,
            parent,
            comm: t.comm.clone(),
            group: self.cgroups.get(t.cgroup).map_or("/", |c| &c.path).into(),
            weight: prio::cgroup_weight(t.weight()),
            policy: t.policy.number(),
        };
        self.emit(kind);
        if self.task(p).nr_cpus_allowed < self.nr_cpus() {
            self.emit_affinity(p);
        }
    }

    /// Tells the trace which CPUs a task may use.
    pub(crate) fn emit_affinity(&mut self, p: TaskId) {
        let t = self.task(p);
        let kind = EventKind::Affinity { pid: t.pid, cpus: t.cpus.to_string() };
        self.emit(kind);
    }

    /// Makes a kernel thread that exists from boot on, asleep.
    pub(crate) fn add_kthread(&mut self, comm: &str, body: KthreadFn) -> TaskId {
        let p = self.add_task(comm, Body::Kthread(body));
        let t = self.task_mut(p);
        t.flags |= pf::KTHREAD;
        t.state = TaskState::Sleeping;
        self.task_list.insert(p);
        self.emit_fork(p);
        p
    }
}

impl Kernel {
    /// fork(2) by the running task: [copy_process, wake_up_new_task]. `None`: a scheduler refused the child, or there are too many
    /// tasks.
    pub(crate) fn fork(&mut self, spec: TaskSpec) -> Option<TaskId> {
        let cost = self.cost.fork;
        self.charge(cost);
        self.let_earlier_cpus_run();
        if self.task_list.len() >= self.config.nr_tasks_max {
            self.nr_forks_refused += 1;
            return None;
        }
        let cgroup = self.make_cgroup(&spec.cgroup);
        let parent = self.rqs[self.this_cpu()].curr;
        let mut behavior = spec.behavior;
        behavior.forked(self.next_pid);
        let child = self.add_task(&spec.comm, Body::User(Some(behavior)));
        let (cpu, tgid) = (self.task(parent).cpu, self.task(parent).tgid);
        let (recent, cookie) = (self.task(parent).cpu, self.task(parent).core_cookie);
        let (possible, now) = (self.possible(), self.now());
        let t = self.task_mut(child);
        t.parent = Some(parent);
        t.start_time = now;
        t.core_cookie = if spec.core_cookie == 0 { cookie } else { spec.core_cookie };
        t.cpu = cpu;
        t.cgroup = cgroup;
        // A deadline task does not fork one: the child asks for its policy when it is there [sched_fork].
        let deadline = matches!(spec.policy, Policy::Deadline { .. });
        let policy = if deadline { Policy::Normal } else { spec.policy };
        t.set_attributes(policy, spec.nice);
        if spec.thread {
            t.tgid = tgid;
        }
        // A mask without any CPU of the machine is what sched_setaffinity(2) refuses: the child may run everywhere.
        let affinity = spec.affinity.map(|mask| mask.and(&possible));
        if let Some(mask) = affinity.filter(|mask| !mask.is_empty()) {
            t.set_cpus(mask);
        }
        t.se.set_recent_used_cpu(recent);
        ext::pre_fork(self);
        let class = self.class_for(policy);
        self.task_mut(child).class = class;
        self.task_mut(parent).last_child = Some(child);
        self.emit_fork(child);
        fair::task_fork(self, child);
        if ext::fork(self, child).is_err() {
            ext::cancel_fork(self, child);
            let pid = self.task(child).pid;
            self.emit(EventKind::Exit { pid });
            self.task_mut(child).state = TaskState::Dead;
            self.put_task(child);
            return None;
        }
        self.task_list.insert(child);
        ext::post_fork(self, child);
        self.wake_up_new_task(child);
        if deadline {
            self.ask_for_policy(child, spec.policy, spec.nice);
        }
        Some(child)
    }

    /// The running task has nothing left to do but to die [do_exit, first half].
    pub(crate) fn begin_exit(&mut self) {
        let p = self.rqs[self.this_cpu()].curr;
        let cost = self.cost.exit;
        let t = self.task_mut(p);
        t.flags |= pf::EXITING;
        t.work_left = cost;
        let pid = t.pid;
        self.emit(EventKind::Exit { pid });
    }

    /// [do_task_dead]
    pub(crate) fn die(&mut self) {
        let p = self.rqs[self.this_cpu()].curr;
        self.task_mut(p).state = TaskState::Dead;
        self.schedule();
    }

    /// After the last switch away from a dead task [sched_ext_dead, put_task_struct_rcu_user]: it is gone for all that look for
    /// tasks, and freed when nobody can hold it any more.
    pub(crate) fn bury(&mut self, p: TaskId) {
        ext::task_dead(self, p);
        fair::task_dead(self, p);
        self.task_list.remove(&p);
        debug_assert_eq!(self.task(p).on_rq, OnRq::No);
        debug_assert_ne!(self.task(p).class, ClassId::Idle);
        self.put_task(p);
    }
}
