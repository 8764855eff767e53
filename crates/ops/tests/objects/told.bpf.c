// SPDX-License-Identifier: GPL-2.0-or-later
// A scheduler that notes what the rarer operations are told, and adds to its dump. It gives up after `after` enqueues.
#include "scx.h"

const volatile u64 after = 1000000;
u64 enqueued;
u64 released, acquired, again;
u32 reason;
s32 taken_by;
u64 offline, online;
u64 cgroups, weights, levels, unlimited, prepared, moved_from, moved_to, set_weight, set_quota, set_idle;
u32 dump_kind;
u64 dump_at;

static const char give_up[] = "enough";
static const char dump_fmt[] = "%s: %llu enqueued\n";
static const char cpu_fmt[] = "cpu %d idle %d";
static const char task_fmt[] = "pid %d\nslice %llu\n";

SEC("struct_ops/told_enqueue")
void told_enqueue(u64 *ctx)
{
	scx_bpf_dsq_insert((struct task_struct *)ctx[0], SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	if (++enqueued == after)
		scx_bpf_error_bstr((char *)give_up, 0, 0);
}

SEC("struct_ops/told_cpu_release")
void told_cpu_release(u64 *ctx)
{
	struct scx_cpu_release_args *args = (void *)ctx[1];

	released++;
	reason = args->reason;
	taken_by = args->task->pid;
	again += scx_bpf_reenqueue_local();
}

SEC("struct_ops/told_cpu_acquire")
void told_cpu_acquire(u64 *ctx)
{
	acquired++;
}

SEC("struct_ops.s/told_cpu_offline")
void told_cpu_offline(u64 *ctx)
{
	offline |= 1ULL << (ctx[0] & 63);
}

SEC("struct_ops.s/told_cpu_online")
void told_cpu_online(u64 *ctx)
{
	online |= 1ULL << (ctx[0] & 63);
}

SEC("struct_ops.s/told_cgroup_init")
s32 told_cgroup_init(u64 *ctx)
{
	struct cgroup *cgrp = (void *)ctx[0];
	struct scx_cgroup_init_args *args = (void *)ctx[1];

	cgroups++;
	weights += args->weight;
	levels += cgrp->level;
	unlimited += args->bw_quota_us == ~0ULL && args->bw_period_us == 100000;
	return 0;
}

SEC("struct_ops.s/told_cgroup_exit")
void told_cgroup_exit(u64 *ctx)
{
	cgroups--;
}

SEC("struct_ops.s/told_cgroup_prep_move")
s32 told_cgroup_prep_move(u64 *ctx)
{
	prepared++;
	return 0;
}

SEC("struct_ops/told_cgroup_move")
void told_cgroup_move(u64 *ctx)
{
	moved_from = ((struct cgroup *)ctx[1])->kn->id;
	moved_to = ((struct cgroup *)ctx[2])->kn->id;
}

SEC("struct_ops/told_cgroup_set_weight")
void told_cgroup_set_weight(u64 *ctx)
{
	set_weight = ctx[1];
}

SEC("struct_ops/told_cgroup_set_bandwidth")
void told_cgroup_set_bandwidth(u64 *ctx)
{
	set_quota = ctx[2];
}

SEC("struct_ops/told_cgroup_set_idle")
void told_cgroup_set_idle(u64 *ctx)
{
	set_idle = ctx[1] & 1;
}

SEC("struct_ops/told_dump")
void told_dump(u64 *ctx)
{
	struct scx_dump_ctx *dump = (void *)ctx[0];
	unsigned long long args[2] = { (u64)dump->reason, enqueued };

	dump_kind = dump->kind;
	dump_at = dump->at_ns;
	scx_bpf_dump_bstr((char *)dump_fmt, args, sizeof(args));
}

SEC("struct_ops/told_dump_cpu")
void told_dump_cpu(u64 *ctx)
{
	unsigned long long args[2] = { ctx[1], ctx[2] & 1 };

	scx_bpf_dump_bstr((char *)cpu_fmt, args, sizeof(args));
}

SEC("struct_ops/told_dump_task")
void told_dump_task(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[1];
	unsigned long long args[2] = { p->pid, p->scx.slice };

	scx_bpf_dump_bstr((char *)task_fmt, args, sizeof(args));
}

SEC(".struct_ops.link")
struct sched_ext_ops told = {
	.enqueue = (void *)told_enqueue,
	.cpu_release = (void *)told_cpu_release,
	.cpu_acquire = (void *)told_cpu_acquire,
	.cpu_offline = (void *)told_cpu_offline,
	.cpu_online = (void *)told_cpu_online,
	.cgroup_init = (void *)told_cgroup_init,
	.cgroup_exit = (void *)told_cgroup_exit,
	.cgroup_prep_move = (void *)told_cgroup_prep_move,
	.cgroup_move = (void *)told_cgroup_move,
	.cgroup_set_weight = (void *)told_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)told_cgroup_set_bandwidth,
	.cgroup_set_idle = (void *)told_cgroup_set_idle,
	.dump = (void *)told_dump,
	.dump_cpu = (void *)told_dump_cpu,
	.dump_task = (void *)told_dump_task,
	.name = "told",
};
