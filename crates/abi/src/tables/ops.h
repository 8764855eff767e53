// The operations tables. Order is the kernel's.
// @sleepable: a sleepable program may implement it (E-24).
// @allow(GROUPS): kfunc groups allowed besides ANY and IDLE (E-29).
// cpu_acquire and cpu_release moved to the end when the cid form came (E-249).

struct sched_ext_ops {
	s32 (*select_cpu)(struct task_struct *p, s32 prev_cpu, u64 wake_flags) @allow(SELECT_CPU, ENQUEUE);
	void (*enqueue)(struct task_struct *p, u64 enq_flags) @allow(SELECT_CPU, ENQUEUE);
	void (*dequeue)(struct task_struct *p, u64 deq_flags);
	void (*dispatch)(s32 cpu, struct task_struct *prev__nullable) @allow(ENQUEUE, DISPATCH);
	void (*tick)(struct task_struct *p);
	void (*runnable)(struct task_struct *p, u64 enq_flags);
	void (*running)(struct task_struct *p);
	void (*stopping)(struct task_struct *p, bool runnable);
	void (*quiescent)(struct task_struct *p, u64 deq_flags);
	bool (*yield)(struct task_struct *from, struct task_struct *to__nullable);
	bool (*core_sched_before)(struct task_struct *a, struct task_struct *b);
	void (*set_weight)(struct task_struct *p, u32 weight);
	void (*set_cpumask)(struct task_struct *p, const struct cpumask *cpumask);
	void (*update_idle)(s32 cpu, bool idle);
	void (*cpu_acquire)(s32 cpu, struct scx_cpu_acquire_args *args) @..7.2;
	void (*cpu_release)(s32 cpu, struct scx_cpu_release_args *args) @..7.2 @allow(CPU_RELEASE);
	s32 (*init_task)(struct task_struct *p, struct scx_init_task_args *args) @sleepable @allow(UNLOCKED);
	void (*exit_task)(struct task_struct *p, struct scx_exit_task_args *args);
	void (*enable)(struct task_struct *p);
	void (*disable)(struct task_struct *p);
	void (*dump)(struct scx_dump_ctx *ctx) @allow(UNLOCKED);
	void (*dump_cpu)(struct scx_dump_ctx *ctx, s32 cpu, bool idle);
	void (*dump_task)(struct scx_dump_ctx *ctx, struct task_struct *p);
	s32 (*cgroup_init)(struct cgroup *cgrp, struct scx_cgroup_init_args *args) @sleepable @allow(UNLOCKED);
	void (*cgroup_exit)(struct cgroup *cgrp) @sleepable @allow(UNLOCKED);
	s32 (*cgroup_prep_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to) @sleepable @allow(UNLOCKED);
	void (*cgroup_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
	void (*cgroup_cancel_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to) @allow(UNLOCKED);
	void (*cgroup_set_weight)(struct cgroup *cgrp, u32 weight) @allow(UNLOCKED);
	void (*cgroup_set_bandwidth)(struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us) @6.17 @allow(UNLOCKED);
	void (*cgroup_set_idle)(struct cgroup *cgrp, bool idle) @6.19 @allow(UNLOCKED);
	s32 (*sub_attach)(struct scx_sub_attach_args *args) @7.1 @sleepable @allow(UNLOCKED);
	void (*sub_detach)(struct scx_sub_detach_args *args) @7.1 @sleepable @allow(UNLOCKED);
	void (*cpu_online)(s32 cpu) @sleepable @allow(UNLOCKED);
	void (*cpu_offline)(s32 cpu) @sleepable @allow(UNLOCKED);
	s32 (*init)(void) @sleepable @allow(UNLOCKED, INIT);
	void (*exit)(struct scx_exit_info *info) @sleepable @allow(UNLOCKED);
	u32 dispatch_max_batch;
	u64 flags;
	u32 timeout_ms;
	u32 exit_dump_len;
	u64 hotplug_seq;
	u64 sub_cgroup_id @7.1;
	char name[128];
	void *priv @6.16;
	void (*cpu_acquire)(s32 cpu, struct scx_cpu_acquire_args *args) @7.2;
	void (*cpu_release)(s32 cpu, struct scx_cpu_release_args *args) @7.2 @allow(CPU_RELEASE);
};

struct sched_ext_ops_cid {
	s32 (*select_cid)(struct task_struct *p, s32 prev_cid, u64 wake_flags) @allow(SELECT_CPU, ENQUEUE);
	void (*enqueue)(struct task_struct *p, u64 enq_flags) @allow(SELECT_CPU, ENQUEUE);
	void (*dequeue)(struct task_struct *p, u64 deq_flags);
	void (*dispatch)(s32 cid, struct task_struct *prev__nullable) @allow(ENQUEUE, DISPATCH);
	void (*tick)(struct task_struct *p);
	void (*runnable)(struct task_struct *p, u64 enq_flags);
	void (*running)(struct task_struct *p);
	void (*stopping)(struct task_struct *p, bool runnable);
	void (*quiescent)(struct task_struct *p, u64 deq_flags);
	bool (*yield)(struct task_struct *from, struct task_struct *to__nullable);
	bool (*core_sched_before)(struct task_struct *a, struct task_struct *b);
	void (*set_weight)(struct task_struct *p, u32 weight);
	void (*set_cmask)(struct task_struct *p, const struct scx_cmask *cmask);
	void (*update_idle)(s32 cid, bool idle);
	s32 (*init_task)(struct task_struct *p, struct scx_init_task_args *args) @sleepable @allow(UNLOCKED);
	void (*exit_task)(struct task_struct *p, struct scx_exit_task_args *args);
	void (*enable)(struct task_struct *p);
	void (*disable)(struct task_struct *p);
	void (*dump)(struct scx_dump_ctx *ctx) @allow(UNLOCKED);
	void (*dump_cid)(struct scx_dump_ctx *ctx, s32 cid, bool idle);
	void (*dump_task)(struct scx_dump_ctx *ctx, struct task_struct *p);
	s32 (*cgroup_init)(struct cgroup *cgrp, struct scx_cgroup_init_args *args) @sleepable @allow(UNLOCKED);
	void (*cgroup_exit)(struct cgroup *cgrp) @sleepable @allow(UNLOCKED);
	s32 (*cgroup_prep_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to) @sleepable @allow(UNLOCKED);
	void (*cgroup_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
	void (*cgroup_cancel_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to) @allow(UNLOCKED);
	void (*cgroup_set_weight)(struct cgroup *cgrp, u32 weight) @allow(UNLOCKED);
	void (*cgroup_set_bandwidth)(struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us) @allow(UNLOCKED);
	void (*cgroup_set_idle)(struct cgroup *cgrp, bool idle) @allow(UNLOCKED);
	s32 (*sub_attach)(struct scx_sub_attach_args *args) @sleepable @allow(UNLOCKED);
	void (*sub_detach)(struct scx_sub_detach_args *args) @sleepable @allow(UNLOCKED);
	void (*cid_online)(s32 cid) @sleepable @allow(UNLOCKED);
	void (*cid_offline)(s32 cid) @sleepable @allow(UNLOCKED);
	s32 (*init)(void) @sleepable @allow(UNLOCKED, INIT);
	void (*exit)(struct scx_exit_info *info) @sleepable @allow(UNLOCKED);
	u32 dispatch_max_batch;
	u64 flags;
	u32 timeout_ms;
	u32 exit_dump_len;
	u64 hotplug_seq;
	u64 sub_cgroup_id;
	char name[128];
	void *priv;
	char __end[0];
} @7.2;

struct bpf_struct_ops_common_value {
	refcount_t refcnt;
	enum bpf_struct_ops_state state;
};

struct bpf_struct_ops_sched_ext_ops {
	struct bpf_struct_ops_common_value common;
	struct sched_ext_ops data @align(64);
};

struct bpf_struct_ops_sched_ext_ops_cid {
	struct bpf_struct_ops_common_value common;
	struct sched_ext_ops_cid data @align(64);
} @7.2;

// A struct_ops of another subsystem, so that a program of one is known for what it is.
struct tcp_congestion_ops {
	void (*cong_avoid)(struct sock *, u32, u32);
	u32 (*ssthresh)(struct sock *);
	void (*set_state)(struct sock *, u8);
	u32 (*undo_cwnd)(struct sock *);
	char name[16];
	struct module *owner;
	u32 key;
	u32 flags;
	void (*init)(struct sock *);
	void (*release)(struct sock *);
};

struct bpf_struct_ops_tcp_congestion_ops {
	struct bpf_struct_ops_common_value common;
	struct tcp_congestion_ops data @align(64);
};
