// What tracing programs attach to: functions (fentry, fexit) and raw tracepoints (tp_btf).

int bpf_scx_reg(void *kdata, struct bpf_link *link);
void bpf_scx_unreg(void *kdata, struct bpf_link *link);
void scx_tick(struct rq *rq);
long int bpf_map_update_value(struct bpf_map *map, struct file *map_file, void *key, void *value, __u64 flags);
long int cpuset_write_resmask(struct kernfs_open_file *of, char *buf, size_t nbytes, loff_t off);
int __futex_wait(u32 *uaddr, unsigned int flags, u32 val, struct hrtimer_sleeper *to, u32 bitset);
int futex_lock_pi(u32 *uaddr, unsigned int flags, ktime_t *time, int trylock);
int futex_unlock_pi(u32 *uaddr, unsigned int flags);
int futex_wait_multiple(struct futex_vector *vs, unsigned int count, struct hrtimer_sleeper *to);
int futex_wait_requeue_pi(u32 *uaddr, unsigned int flags, u32 val, ktime_t *abs_time, u32 bitset, u32 *uaddr2);
int futex_wake(u32 *uaddr, unsigned int flags, int nr_wake, u32 bitset);
int futex_wake_op(u32 *uaddr1, unsigned int flags, u32 *uaddr2, int nr_wake, int nr_wake2, int op);

typedef void (*btf_trace_sched_switch)(void *, bool, struct task_struct *, struct task_struct *, unsigned int);
typedef void (*btf_trace_sched_wakeup)(void *, struct task_struct *);
typedef void (*btf_trace_sched_waking)(void *, struct task_struct *);
typedef void (*btf_trace_sched_wakeup_new)(void *, struct task_struct *);
typedef void (*btf_trace_sched_migrate_task)(void *, struct task_struct *, int);
typedef void (*btf_trace_sched_process_exec)(void *, struct task_struct *, pid_t, struct linux_binprm *);
typedef void (*btf_trace_sched_process_exit)(void *, struct task_struct *) @..6.16;
typedef void (*btf_trace_sched_process_exit)(void *, struct task_struct *, bool) @6.16;
typedef void (*btf_trace_sched_process_fork)(void *, struct task_struct *, struct task_struct *);
typedef void (*btf_trace_sched_process_wait)(void *, struct pid *);
typedef void (*btf_trace_sched_process_hang)(void *, struct task_struct *);
typedef void (*btf_trace_sched_ext_event)(void *, const char *, __s64) @6.15;
typedef void (*btf_trace_cgroup_attach_task)(void *, struct cgroup *, const char *, struct task_struct *, bool);
typedef void (*btf_trace_cgroup_mkdir)(void *, struct cgroup *, const char *);
typedef void (*btf_trace_cgroup_rmdir)(void *, struct cgroup *, const char *);
typedef void (*btf_trace_task_rename)(void *, struct task_struct *, const char *);
typedef void (*btf_trace_softirq_entry)(void *, unsigned int);
typedef void (*btf_trace_softirq_exit)(void *, unsigned int);
typedef void (*btf_trace_ipi_send_cpu)(void *, const unsigned int, long unsigned int, void *);
typedef void (*btf_trace_cpuhp_enter)(void *, unsigned int, int, int, int (*)(unsigned int));
typedef void (*btf_trace_cpuhp_exit)(void *, unsigned int, int, int, int);
