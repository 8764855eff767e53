/* crates/policy/policies/masks.rs in C: sets of CPUs. */
#include "bench.h"

const volatile u32 step = 2;
u64 nr_preferred, nr_other, nr_wait, nr_idle, nr_moves, nr_fallback, nr_refills;

struct slot {
	struct bpf_cpumask __kptr *mask;
};

struct {
	__uint(type, 2 /* ARRAY */);
	__type(key, u32);
	__type(value, struct slot);
	__uint(max_entries, 1);
} preferred SEC(".maps");

static __always_inline s32 pick(struct task_struct *p)
{
	struct bpf_cpumask *mask;
	struct slot *slot;
	u32 zero = 0;
	s32 cpu;

	slot = bpf_map_lookup_elem(&preferred, &zero);
	mask = slot ? slot->mask : NULL;
	if (mask && bpf_cpumask_subset(&mask->cpumask, p->cpus_ptr)) {
		cpu = scx_bpf_pick_idle_cpu(&mask->cpumask, 0);
		if (cpu >= 0) {
			__sync_fetch_and_add(&nr_preferred, 1);
			return cpu;
		}
	}
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		__sync_fetch_and_add(&nr_other, 1);
	return cpu;
}

SEC("struct_ops/masks_select_cpu")
s32 masks_select_cpu(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	s32 prev_cpu = ctx[1], cpu;

	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) && scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		insert(p, DSQ_LOCAL, SLICE_DFL, 0);
		return prev_cpu;
	}
	cpu = pick(p);
	if (cpu >= 0) {
		insert(p, DSQ_LOCAL_ON | (u32)cpu, SLICE_DFL, 0);
		return cpu;
	}
	__sync_fetch_and_add(&nr_wait, 1);
	return prev_cpu;
}

SEC("struct_ops/masks_enqueue")
int masks_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	const struct cpumask *idle;
	u32 cpu;

	insert(p, 0, 4000000, ctx[1]);
	idle = scx_bpf_get_idle_cpumask();
	__sync_fetch_and_add(&nr_idle, bpf_cpumask_weight(idle));
	cpu = bpf_cpumask_any_and_distribute(idle, p->cpus_ptr);
	if (cpu < scx_bpf_nr_cpu_ids())
		scx_bpf_kick_cpu(cpu, 1 /* SCX_KICK_IDLE */);
	scx_bpf_put_idle_cpumask(idle);
	return 0;
}

SEC("struct_ops/masks_dispatch")
int masks_dispatch(u64 *ctx)
{
	move_to_local(0);
	return 0;
}

SEC("struct_ops/masks_running")
int masks_running(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_cpuperf_set(cpu, p->scx.weight > 100 ? scx_bpf_cpuperf_cap(cpu) : 512);
	return 0;
}

SEC("struct_ops/masks_tick")
int masks_tick(u64 *ctx)
{
	u64 room[20] = {};
	struct scx_event_stats *events = (void *)room;

	if (!scx_bpf_events)
		return 0;
	scx_bpf_events(events, sizeof(room));
	nr_fallback = field_exists(events->SCX_EV_SELECT_CPU_FALLBACK) ? events->SCX_EV_SELECT_CPU_FALLBACK : 0;
	nr_refills = field_exists(events->SCX_EV_REFILL_SLICE_DFL) ? events->SCX_EV_REFILL_SLICE_DFL : 0;
	return 0;
}

SEC("struct_ops/masks_set_cpumask")
int masks_set_cpumask(u64 *ctx)
{
	__sync_fetch_and_add(&nr_moves, (u64)bpf_cpumask_weight((void *)ctx[1]) << 32 | 1);
	return 0;
}

SEC("struct_ops.s/masks_init")
s32 masks_init(u64 *ctx)
{
	s32 err = scx_bpf_create_dsq(0, -1), *cpu;
	struct bpf_cpumask *mask, *old;
	struct bpf_iter_num it;
	struct slot *slot;
	u32 zero = 0, every = step;

	if (err < 0)
		return err;
	mask = bpf_cpumask_create();
	if (!mask)
		return -12;
	bpf_iter_num_new(&it, 0, scx_bpf_nr_cpu_ids());
	while ((cpu = bpf_iter_num_next(&it)))
		if (every && (u32)*cpu % every == 0)
			bpf_cpumask_set_cpu(*cpu, mask);
	bpf_iter_num_destroy(&it);
	slot = bpf_map_lookup_elem(&preferred, &zero);
	old = slot ? bpf_kptr_xchg(&slot->mask, mask) : mask;
	if (old)
		bpf_cpumask_release(old);
	return 0;
}

SEC("struct_ops/masks_exit")
int masks_exit(u64 *ctx)
{
	record((void *)ctx[0]);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops masks_ops = {
	.select_cpu = (void *)masks_select_cpu,
	.enqueue = (void *)masks_enqueue,
	.dispatch = (void *)masks_dispatch,
	.running = (void *)masks_running,
	.tick = (void *)masks_tick,
	.set_cpumask = (void *)masks_set_cpumask,
	.init = (void *)masks_init,
	.exit = (void *)masks_exit,
	.name = "masks",
};
