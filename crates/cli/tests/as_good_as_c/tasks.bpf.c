/* crates/policy/policies/tasks.rs in C: maps of all kinds. */
#include "bench.h"

struct task_ctx {
	u64 ready_at, waited, nr_runs;
	s32 cpus[4];
};

struct cpu_ctx {
	u64 nr_running;
	s32 last_pid;
};

const volatile u64 long_slice = 10000000;
const volatile u64 short_slice = 3000000;
u64 nr_known, nr_runs;
u32 nr_kthreads;

struct {
	__uint(type, 29 /* TASK_STORAGE */);
	__uint(map_flags, 1);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

struct {
	__uint(type, 1 /* HASH */);
	__type(key, s32);
	__type(value, u64);
	__uint(max_entries, 512);
} wakeups SEC(".maps");

struct {
	__uint(type, 9 /* LRU_HASH */);
	__type(key, s32);
	__type(value, u64);
	__uint(max_entries, 64);
} recent SEC(".maps");

struct {
	__uint(type, 6 /* PERCPU_ARRAY */);
	__type(key, u32);
	__type(value, struct cpu_ctx);
	__uint(max_entries, 1);
} cpus SEC(".maps");

struct {
	__uint(type, 6);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 1);
} starts SEC(".maps");

struct {
	__uint(type, 2 /* ARRAY */);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 32);
} waits SEC(".maps");

static __always_inline u64 *get_or_insert(void *map, s32 key)
{
	u64 zero = 0, *value = bpf_map_lookup_elem(map, &key);

	if (value)
		return value;
	bpf_map_update_elem(map, &key, &zero, 1);
	return bpf_map_lookup_elem(map, &key);
}

/* Index of the highest bit, from 1; 0 for 0. */
static __always_inline u32 bits(u64 v)
{
	return v ? 64 - __builtin_clzll(v) : 0;
}

SEC("struct_ops/tasks_runnable")
int tasks_runnable(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct task_ctx *task = bpf_task_storage_get(&tasks, p, NULL, 1);
	u64 *nr;

	if (task)
		task->ready_at = now();
	nr = get_or_insert(&wakeups, p->tgid);
	if (nr)
		__sync_fetch_and_add(nr, 1);
	nr = get_or_insert(&recent, p->pid);
	if (nr)
		__sync_fetch_and_add(nr, 1);
	return 0;
}

SEC("struct_ops/tasks_enqueue")
int tasks_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct task_ctx *task = bpf_task_storage_get(&tasks, p, NULL, 0);
	u64 enq_flags = ctx[1], mean, runs;
	bool is_long;

	if (!task) {
		insert(p, DSQ_GLOBAL, SLICE_DFL, enq_flags);
		return 0;
	}
	__sync_fetch_and_add(&nr_known, 1);
	runs = task->nr_runs;
	mean = runs ? task->waited / runs : 0;
	is_long = mean > 1000000;
	if (!is_long) {
		char comm[16] = {};

		bpf_probe_read_kernel_str(comm, sizeof(comm), p->comm);
		is_long = comm[0] == 'h' && comm[1] == 'o' && comm[2] == 'g';
	}
	insert(p, DSQ_GLOBAL, is_long ? long_slice : short_slice, enq_flags);
	return 0;
}

SEC("struct_ops/tasks_running")
int tasks_running(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct task_ctx *task;
	struct cpu_ctx *cpu;
	u32 zero = 0, at;
	u64 *value, waited;

	cpu = bpf_map_lookup_elem(&cpus, &zero);
	if (cpu) {
		cpu->nr_running++;
		cpu->last_pid = p->pid;
	}
	value = bpf_map_lookup_elem(&starts, &zero);
	if (value)
		(*value)++;
	task = bpf_task_storage_get(&tasks, p, NULL, 0);
	if (!task)
		return 0;
	waited = now() - task->ready_at;
	task->waited += waited;
	task->cpus[task->nr_runs & 3] = scx_bpf_task_cpu(p);
	task->nr_runs++;
	at = bits(waited / 1000);
	value = bpf_map_lookup_elem(&waits, &at);
	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}

SEC("struct_ops.s/tasks_init_task")
s32 tasks_init_task(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct scx_init_task_args *args = (void *)ctx[1];

	if ((p->flags & 0x00200000 /* PF_KTHREAD */) && !args->fork)
		__sync_fetch_and_add(&nr_kthreads, 1);
	return 0;
}

SEC("struct_ops/tasks_exit_task")
int tasks_exit_task(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct scx_exit_task_args *args = (void *)ctx[1];
	struct task_ctx *task;
	s32 tgid;

	if (args->cancelled)
		return 0;
	task = bpf_task_storage_get(&tasks, p, NULL, 0);
	if (task)
		__sync_fetch_and_add(&nr_runs, task->nr_runs);
	tgid = p->tgid;
	bpf_map_delete_elem(&wakeups, &tgid);
	return 0;
}

SEC("struct_ops/tasks_exit")
int tasks_exit(u64 *ctx)
{
	record((void *)ctx[0]);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops tasks_ops = {
	.runnable = (void *)tasks_runnable,
	.enqueue = (void *)tasks_enqueue,
	.running = (void *)tasks_running,
	.init_task = (void *)tasks_init_task,
	.exit_task = (void *)tasks_exit_task,
	.exit = (void *)tasks_exit,
	.name = "tasks",
};
