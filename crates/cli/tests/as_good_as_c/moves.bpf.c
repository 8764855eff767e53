/* crates/policy/policies/moves.rs in C: a loop over a queue. */
#include "bench.h"

u64 nr_home, nr_overdue;

struct {
	__uint(type, 29 /* TASK_STORAGE */);
	__uint(map_flags, 1);
	__type(key, int);
	__type(value, u32);
} tasks SEC(".maps");

static __always_inline bool move(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id)
{
	if (scx_bpf_dsq_move___new)
		return scx_bpf_dsq_move___new(it, p, dsq_id, 0);
	if (scx_bpf_dispatch_from_dsq___compat)
		return scx_bpf_dispatch_from_dsq___compat(it, p, dsq_id, 0);
	return false;
}

static __always_inline bool move_vtime(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id)
{
	if (scx_bpf_dsq_move_vtime___new)
		return scx_bpf_dsq_move_vtime___new(it, p, dsq_id, 0);
	if (scx_bpf_dispatch_vtime_from_dsq___compat)
		return scx_bpf_dispatch_vtime_from_dsq___compat(it, p, dsq_id, 0);
	return false;
}

static __always_inline void move_set_vtime(struct bpf_iter_scx_dsq *it, u64 vtime)
{
	if (scx_bpf_dsq_move_set_vtime___new)
		scx_bpf_dsq_move_set_vtime___new(it, vtime);
	else if (scx_bpf_dispatch_from_dsq_set_vtime___compat)
		scx_bpf_dispatch_from_dsq_set_vtime___compat(it, vtime);
}

static __always_inline void move_set_slice(struct bpf_iter_scx_dsq *it, u64 slice)
{
	if (scx_bpf_dsq_move_set_slice___new)
		scx_bpf_dsq_move_set_slice___new(it, slice);
	else if (scx_bpf_dispatch_from_dsq_set_slice___compat)
		scx_bpf_dispatch_from_dsq_set_slice___compat(it, slice);
}

SEC("struct_ops/moves_enqueue")
int moves_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	u32 *nr_passed = bpf_task_storage_get(&tasks, p, NULL, 1);

	if (nr_passed)
		*nr_passed = 0;
	insert(p, 0, 5000000, ctx[1]);
	return 0;
}

SEC("struct_ops/moves_dispatch")
int moves_dispatch(u64 *ctx)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	s32 cpu = ctx[0];

	if (move_to_local(1))
		return 0;
	bpf_iter_scx_dsq_new(&it, 0, 0);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		u32 *nr_passed;

		if (scx_bpf_task_cpu(p) == cpu && move(&it, p, DSQ_LOCAL)) {
			__sync_fetch_and_add(&nr_home, 1);
			bpf_iter_scx_dsq_destroy(&it);
			return 0;
		}
		nr_passed = bpf_task_storage_get(&tasks, p, NULL, 0);
		if (!nr_passed)
			continue;
		(*nr_passed)++;
		if (*nr_passed > 3) {
			move_set_vtime(&it, now());
			move_set_slice(&it, 10000000);
			if (move_vtime(&it, p, 1))
				__sync_fetch_and_add(&nr_overdue, 1);
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	if (!move_to_local(1))
		move_to_local(0);
	return 0;
}

SEC("struct_ops.s/moves_init")
s32 moves_init(u64 *ctx)
{
	s32 err = scx_bpf_create_dsq(0, -1);

	if (err >= 0)
		err = scx_bpf_create_dsq(1, -1);
	return err < 0 ? err : 0;
}

SEC("struct_ops/moves_exit")
int moves_exit(u64 *ctx)
{
	record((void *)ctx[0]);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops moves_ops = {
	.enqueue = (void *)moves_enqueue,
	.dispatch = (void *)moves_dispatch,
	.init = (void *)moves_init,
	.exit = (void *)moves_exit,
	.name = "moves",
};
