// SPDX-License-Identifier: GPL-2.0-or-later
// What the test objects need of the kernel and of libbpf, declared here: they compile without headers.
#pragma once
typedef unsigned char u8;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define KSYM __attribute__((section(".ksyms")))
#define WEAK __attribute__((weak))
#define CORE __attribute__((preserve_access_index))
#define INLINE static inline __attribute__((always_inline))
#define MAP_UINT(name, val) int(*name)[val]
#define MAP_TYPE(name, val) typeof(val) *name

#define SCX_DSQ_LOCAL 0x8000000000000002ULL
#define SCX_DSQ_LOCAL_ON 0xc000000000000000ULL
#define SCX_SLICE_DFL 20000000ULL
#define SCX_KICK_IDLE 1
#define SCX_KICK_PREEMPT 2

struct cpumask {
	u64 bits[1];
} CORE;

struct sched_ext_entity {
	u64 slice;
	u64 dsq_vtime;
	u32 weight;
} CORE;

struct task_struct {
	s32 pid;
	char comm[16];
	s32 nr_cpus_allowed;
	const struct cpumask *cpus_ptr;
	struct sched_ext_entity scx;
} CORE;

struct scx_init_task_args {
	bool fork;
} CORE;

enum scx_exit_kind {
	SCX_EXIT_NONE,
};

struct scx_exit_info {
	enum scx_exit_kind kind;
	s64 exit_code;
} CORE;

struct cgroup;

struct kernfs_node {
	struct kernfs_node *__parent;
	const char *name;
	u64 id;
} CORE;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} CORE;

struct cgroup {
	struct cgroup_subsys_state self;
	s32 level;
	struct kernfs_node *kn;
} CORE;

struct scx_cgroup_init_args {
	u32 weight;
	u64 bw_period_us;
	u64 bw_quota_us;
} CORE;

struct scx_exit_task_args;
struct scx_cpu_acquire_args;

enum scx_cpu_preempt_reason {
	SCX_CPU_PREEMPT_RT,
};

struct scx_cpu_release_args {
	enum scx_cpu_preempt_reason reason;
	struct task_struct *task;
} CORE;

struct scx_dump_ctx {
	enum scx_exit_kind kind;
	s64 exit_code;
	const char *reason;
	u64 at_ns;
	u64 at_jiffies;
} CORE;

struct sched_ext_ops {
	s32 (*select_cpu)(struct task_struct *p, s32 prev_cpu, u64 wake_flags);
	void (*enqueue)(struct task_struct *p, u64 enq_flags);
	void (*dequeue)(struct task_struct *p, u64 deq_flags);
	void (*dispatch)(s32 cpu, struct task_struct *prev);
	void (*running)(struct task_struct *p);
	void (*stopping)(struct task_struct *p, bool runnable);
	void (*enable)(struct task_struct *p);
	s32 (*init_task)(struct task_struct *p, struct scx_init_task_args *args);
	void (*exit_task)(struct task_struct *p, struct scx_exit_task_args *args);
	s32 (*cgroup_init)(struct cgroup *cgrp, struct scx_cgroup_init_args *args);
	void (*cgroup_exit)(struct cgroup *cgrp);
	s32 (*cgroup_prep_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
	void (*cgroup_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
	void (*cgroup_set_weight)(struct cgroup *cgrp, u32 weight);
	void (*cgroup_set_bandwidth)(struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us);
	void (*cgroup_set_idle)(struct cgroup *cgrp, bool idle);
	void (*cpu_acquire)(s32 cpu, struct scx_cpu_acquire_args *args);
	void (*cpu_release)(s32 cpu, struct scx_cpu_release_args *args);
	void (*cpu_online)(s32 cpu);
	void (*cpu_offline)(s32 cpu);
	void (*dump)(struct scx_dump_ctx *ctx);
	void (*dump_cpu)(struct scx_dump_ctx *ctx, s32 cpu, bool idle);
	void (*dump_task)(struct scx_dump_ctx *ctx, struct task_struct *p);
	s32 (*init)(void);
	void (*exit)(struct scx_exit_info *info);
	u32 dispatch_max_batch;
	u64 flags;
	u32 timeout_ms;
	u32 exit_dump_len;
	char name[128];
};

s32 scx_bpf_create_dsq(u64 dsq_id, s32 node) KSYM;
void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) KSYM;
void scx_bpf_dsq_insert_vtime(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) KSYM;
bool scx_bpf_dsq_move_to_local(u64 dsq_id) KSYM;
s32 scx_bpf_dsq_nr_queued(u64 dsq_id) KSYM;
s32 scx_bpf_select_cpu_dfl(struct task_struct *p, s32 prev_cpu, u64 wake_flags, bool *is_idle) KSYM;
s32 scx_bpf_pick_idle_cpu(const struct cpumask *cpus_allowed, u64 flags) KSYM;
s32 scx_bpf_task_cpu(const struct task_struct *p) KSYM;
void scx_bpf_kick_cpu(s32 cpu, u64 flags) KSYM;
u32 scx_bpf_nr_cpu_ids(void) KSYM;
u32 scx_bpf_dispatch_nr_slots(void) KSYM;
void scx_bpf_error_bstr(char *fmt, unsigned long long *data, u32 data__sz) KSYM;
void scx_bpf_exit_bstr(s64 exit_code, char *fmt, unsigned long long *data, u32 data__sz) KSYM;
void scx_bpf_dump_bstr(char *fmt, unsigned long long *data, u32 data__sz) KSYM;
u32 scx_bpf_reenqueue_local(void) KSYM;
struct task_struct *bpf_task_from_pid(s32 pid) KSYM;
void bpf_task_release(struct task_struct *p) KSYM;
bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) KSYM;

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u32 (*bpf_get_smp_processor_id)(void) = (void *)8;
static long (*bpf_map_push_elem)(void *map, const void *value, u64 flags) = (void *)87;
static long (*bpf_map_pop_elem)(void *map, void *value) = (void *)88;

char _license[] SEC("license") = "GPL";
