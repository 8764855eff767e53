// SPDX-License-Identifier: GPL-2.0-or-later
// A queue for each CPU by vtime, idle CPUs steal; a hash map says which tasks it has charge of, to be held against the class's word.
#include "scx.h"

struct {
	MAP_UINT(type, 1); // BPF_MAP_TYPE_HASH
	MAP_UINT(max_entries, 65536);
	MAP_TYPE(key, s32);
	MAP_TYPE(value, u64);
} known SEC(".maps");

u64 nr_enabled, nr_unknown, nr_exited, vtime_now;

SEC("struct_ops/percpu_select_cpu")
s32 percpu_select_cpu(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	bool is_idle = 0;
	s32 cpu = scx_bpf_select_cpu_dfl(p, ctx[1], ctx[2], &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 0, 0);
	return cpu;
}

SEC("struct_ops/percpu_enqueue")
void percpu_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	s32 cpu = scx_bpf_task_cpu(p), idle;
	u64 vtime = p->scx.dsq_vtime;

	if ((s64)(vtime - (vtime_now - SCX_SLICE_DFL)) < 0)
		vtime = vtime_now - SCX_SLICE_DFL;
	scx_bpf_dsq_insert_vtime(p, cpu, 3000000, vtime, ctx[1]);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

SEC("struct_ops/percpu_dispatch")
void percpu_dispatch(u64 *ctx)
{
	u32 cpu = ctx[0], i, n = scx_bpf_nr_cpu_ids();

	for (i = 0; i < n && i < 1024; i++)
		if (scx_bpf_dsq_move_to_local((cpu + i) % n))
			return;
}

SEC("struct_ops/percpu_running")
void percpu_running(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	u64 *runs;
	s32 pid = p->pid;

	if ((s64)(p->scx.dsq_vtime - vtime_now) > 0)
		vtime_now = p->scx.dsq_vtime;
	runs = bpf_map_lookup_elem(&known, &pid);
	if (runs)
		*runs += 1;
	else
		__sync_fetch_and_add(&nr_unknown, 1);
}

SEC("struct_ops/percpu_stopping")
void percpu_stopping(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	u64 slice = p->scx.slice;

	p->scx.dsq_vtime += (slice < 3000000 ? 3000000 - slice : 0) * 100 / p->scx.weight;
}

SEC("struct_ops/percpu_enable")
void percpu_enable(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];

	__sync_fetch_and_add(&nr_enabled, 1);
	p->scx.dsq_vtime = vtime_now;
}

SEC("struct_ops/percpu_init_task")
s32 percpu_init_task(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	u64 runs = 0;
	s32 pid = p->pid;

	return bpf_map_update_elem(&known, &pid, &runs, 0);
}

SEC("struct_ops/percpu_exit_task")
void percpu_exit_task(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	s32 pid = p->pid;

	if (bpf_map_delete_elem(&known, &pid))
		__sync_fetch_and_add(&nr_unknown, 1);
	__sync_fetch_and_add(&nr_exited, 1);
}

SEC("struct_ops.s/percpu_init")
s32 percpu_init(u64 *ctx)
{
	u32 i, n = scx_bpf_nr_cpu_ids();
	s32 err = 0;

	for (i = 0; i < n && i < 1024 && !err; i++)
		err = scx_bpf_create_dsq(i, -1);
	return err;
}

SEC(".struct_ops.link")
struct sched_ext_ops percpu_ops = {
	.select_cpu = (void *)percpu_select_cpu,
	.enqueue = (void *)percpu_enqueue,
	.dispatch = (void *)percpu_dispatch,
	.running = (void *)percpu_running,
	.stopping = (void *)percpu_stopping,
	.enable = (void *)percpu_enable,
	.init_task = (void *)percpu_init_task,
	.exit_task = (void *)percpu_exit_task,
	.init = (void *)percpu_init,
	.name = "percpu",
};
