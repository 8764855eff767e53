/* schedulers/simple/policy.rs in C. */
#include "bench.h"

const volatile bool fifo_sched;
static u64 vtime_now;

struct {
	__uint(type, 6 /* PERCPU_ARRAY */);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 2);
} stats SEC(".maps");

static __always_inline void count(u32 index)
{
	u64 *value = bpf_map_lookup_elem(&stats, &index);

	if (value)
		(*value)++;
}

static __always_inline u64 charged(struct task_struct *p)
{
	return p->scx.dsq_vtime + (SLICE_DFL - p->scx.slice) * 100 / p->scx.weight;
}

static __always_inline u64 limited(u64 vtime)
{
	u64 least = vtime_now - SLICE_DFL;

	return before(vtime, least) ? least : vtime;
}

static __always_inline void advance(u64 vtime)
{
	if (before(vtime_now, vtime))
		vtime_now = vtime;
}

static __always_inline bool before_first(u64 *vtime)
{
	struct task_struct *head = scx_bpf_dsq_peek ? scx_bpf_dsq_peek(0) : 0;
	u64 first;

	if (!head) {
		*vtime = limited(*vtime);
		return !scx_bpf_dsq_nr_queued(0);
	}
	first = head->scx.dsq_vtime;
	if (!before(*vtime, first))
		return false;
	*vtime = limited(*vtime);
	return before(*vtime, first);
}

static __always_inline bool goes_on(struct task_struct *p)
{
	u64 vtime;

	if (p->scx.slice)
		return false;
	vtime = p->scx.dsq_vtime + SLICE_DFL * 100 / p->scx.weight;
	if (!before_first(&vtime) || !(p->scx.flags & 1) || fifo_sched)
		return false;
	set_vtime(p, vtime);
	set_slice(p, SLICE_DFL);
	advance(vtime);
	return true;
}

SEC("struct_ops/simple_select_cpu")
s32 simple_select_cpu(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, ctx[1], ctx[2], &is_idle);

	if (is_idle) {
		count(0);
		insert(p, DSQ_LOCAL, SLICE_DFL, 0);
	}
	return cpu;
}

SEC("struct_ops/simple_enqueue")
void simple_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	u64 enq_flags = ctx[1];

	count(1);
	if (fifo_sched)
		insert(p, 0, SLICE_DFL, enq_flags);
	else
		insert_vtime(p, 0, SLICE_DFL, limited(p->scx.dsq_vtime), enq_flags);
}

SEC("struct_ops/simple_dispatch")
void simple_dispatch(u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];

	if (prev && goes_on(prev))
		return;
	move_to_local(0);
}

SEC("struct_ops/simple_running")
void simple_running(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];

	advance(p->scx.dsq_vtime);
}

SEC("struct_ops/simple_stopping")
void simple_stopping(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];

	if (!fifo_sched)
		set_vtime(p, charged(p));
}

SEC("struct_ops/simple_enable")
void simple_enable(u64 *ctx)
{
	set_vtime((void *)ctx[0], vtime_now);
}

SEC("struct_ops.s/simple_init")
s32 simple_init(u64 *ctx)
{
	static char fmt[] = "failed to create DSQ %llu (%lld)";
	s32 err = scx_bpf_create_dsq(0, -1);

	if (err < 0) {
		u64 args[] = { 0, err };

		scx_bpf_error_bstr(fmt, args, sizeof(args));
		return err;
	}
	return 0;
}

SEC("struct_ops/simple_exit")
void simple_exit(u64 *ctx)
{
	record((void *)ctx[0]);
}

SEC(".struct_ops.link")
struct sched_ext_ops simple_ops = {
	.select_cpu = (void *)simple_select_cpu,
	.enqueue = (void *)simple_enqueue,
	.dispatch = (void *)simple_dispatch,
	.running = (void *)simple_running,
	.stopping = (void *)simple_stopping,
	.enable = (void *)simple_enable,
	.init = (void *)simple_init,
	.exit = (void *)simple_exit,
	.name = "simple",
};
