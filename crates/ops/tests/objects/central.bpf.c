// SPDX-License-Identifier: GPL-2.0-or-later
// CPU 0 decides for all CPUs: waiting tasks are in a queue map by pid, and go to local queues of idle CPUs.
#include "scx.h"

#define FALLBACK 0

struct {
	MAP_UINT(type, 22); // BPF_MAP_TYPE_QUEUE
	MAP_UINT(max_entries, 4096);
	MAP_TYPE(value, s32);
} central_q SEC(".maps");

u64 nr_total, nr_lost, nr_mismatches, nr_overflows;

SEC("struct_ops/central_select_cpu")
s32 central_select_cpu(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];

	return bpf_cpumask_test_cpu(0, p->cpus_ptr) ? 0 : (s32)ctx[1];
}

SEC("struct_ops/central_enqueue")
void central_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	s32 pid = p->pid;

	__sync_fetch_and_add(&nr_total, 1);
	if (bpf_map_push_elem(&central_q, &pid, 0)) {
		__sync_fetch_and_add(&nr_overflows, 1);
		scx_bpf_dsq_insert(p, FALLBACK, 5000000, ctx[1]);
		return;
	}
	/* CPU 0 itself dispatches when it is done here; to preempt it again and again would leave nobody time. */
	scx_bpf_kick_cpu(0, bpf_get_smp_processor_id() ? SCX_KICK_PREEMPT : SCX_KICK_IDLE);
}

/* Sends the first waiting task that may run there to the CPU. */
INLINE bool dispatch_to(s32 cpu)
{
	struct task_struct *p;
	s32 pid;
	u32 i;

	for (i = 0; i < 64; i++) {
		if (bpf_map_pop_elem(&central_q, &pid))
			return 0;
		p = bpf_task_from_pid(pid);
		if (!p) {
			__sync_fetch_and_add(&nr_lost, 1);
			continue;
		}
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
			__sync_fetch_and_add(&nr_mismatches, 1);
			scx_bpf_dsq_insert(p, FALLBACK, 5000000, 0);
			bpf_task_release(p);
			if (!scx_bpf_dispatch_nr_slots())
				return 0;
			continue;
		}
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, 5000000, 0);
		bpf_task_release(p);
		if (cpu)
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return 1;
	}
	return 0;
}

SEC("struct_ops/central_dispatch")
void central_dispatch(u64 *ctx)
{
	s32 cpu = ctx[0], to, n = scx_bpf_nr_cpu_ids();

	if (scx_bpf_dsq_move_to_local(FALLBACK))
		return;
	if (cpu) {
		scx_bpf_kick_cpu(0, SCX_KICK_PREEMPT);
		return;
	}
	for (to = n - 1; to >= 0 && to < 1024; to--) {
		if (!scx_bpf_dispatch_nr_slots())
			return;
		if (scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | to) > 0)
			continue;
		dispatch_to(to);
	}
}

SEC("struct_ops.s/central_init")
s32 central_init(u64 *ctx)
{
	return scx_bpf_create_dsq(FALLBACK, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops central_ops = {
	.select_cpu = (void *)central_select_cpu,
	.enqueue = (void *)central_enqueue,
	.dispatch = (void *)central_dispatch,
	.init = (void *)central_init,
	.name = "central",
};
