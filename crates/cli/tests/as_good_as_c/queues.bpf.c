/* crates/policy/policies/queues.rs in C: locks, queues, messages. */
#include "bench.h"

struct start {
	s32 pid, cpu;
	u64 at;
};

struct totals {
	struct bpf_spin_lock lock;
	u64 nr_in, nr_out;
};

const volatile u64 enough;
u64 nr_lost, nr_overtaken, nr_lucky;

struct {
	__uint(type, 22 /* QUEUE */);
	__type(value, s32);
	__uint(max_entries, 1024);
} order SEC(".maps");

struct {
	__uint(type, 23 /* STACK */);
	__type(value, s32);
	__uint(max_entries, 16);
} latest SEC(".maps");

struct {
	__uint(type, 27 /* RINGBUF */);
	__uint(max_entries, 65536);
} starts SEC(".maps");

struct {
	__uint(type, 2 /* ARRAY */);
	__type(key, u32);
	__type(value, struct totals);
	__uint(max_entries, 1);
} totals SEC(".maps");

SEC("struct_ops/queues_enqueue")
int queues_enqueue(u64 *ctx)
{
	static char enough_fmt[] = "enough after %llu tasks, the last one %d";
	static char lucky_fmt[] = "%d is lucky";
	struct task_struct *p = (void *)ctx[0];
	u64 enq_flags = ctx[1], nr_in = 0;
	struct totals *t;
	s32 pid = p->pid;
	u32 zero = 0;

	bpf_map_push_elem(&order, &pid, 0);
	pid = p->pid;
	if (bpf_map_push_elem(&latest, &pid, 0)) {
		struct bpf_iter_num it;

		bpf_iter_num_new(&it, 0, 16);
		while (bpf_iter_num_next(&it)) {
			s32 old = 0;

			if (bpf_map_pop_elem(&latest, &old))
				break;
		}
		bpf_iter_num_destroy(&it);
	}
	t = bpf_map_lookup_elem(&totals, &zero);
	if (t) {
		bpf_spin_lock(&t->lock);
		t->nr_in++;
		nr_in = t->nr_in;
		bpf_spin_unlock(&t->lock);
	}
	if (enough && nr_in == enough) {
		u64 args[] = { nr_in, p->pid };

		scx_bpf_exit_bstr(7, enough_fmt, args, sizeof(args));
	}
	if (!(bpf_get_prandom_u32() & 7)) {
		u64 args[] = { p->pid };

		__sync_fetch_and_add(&nr_lucky, 1);
		bpf_trace_vprintk(lucky_fmt, sizeof(lucky_fmt), args, sizeof(args));
		enq_flags |= __builtin_preserve_enum_value(*(typeof(enum scx_enq_flags) *)SCX_ENQ_HEAD, 1);
	}
	insert(p, DSQ_GLOBAL, SLICE_DFL, enq_flags);
	return 0;
}

SEC("struct_ops/queues_running")
int queues_running(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct start start;
	s32 first = 0;

	if (!bpf_map_peek_elem(&order, &first)) {
		if (first != p->pid)
			__sync_fetch_and_add(&nr_overtaken, 1);
		bpf_map_pop_elem(&order, &first);
	}
	start.pid = p->pid;
	start.cpu = bpf_get_smp_processor_id();
	start.at = now();
	if (bpf_ringbuf_output(&starts, &start, sizeof(start), 0))
		__sync_fetch_and_add(&nr_lost, 1);
	return 0;
}

SEC("struct_ops/queues_quiescent")
int queues_quiescent(u64 *ctx)
{
	struct totals *t;
	u32 zero = 0;

	t = bpf_map_lookup_elem(&totals, &zero);
	if (t) {
		bpf_spin_lock(&t->lock);
		t->nr_out++;
		bpf_spin_unlock(&t->lock);
	}
	return 0;
}

SEC("struct_ops/queues_exit")
int queues_exit(u64 *ctx)
{
	record((void *)ctx[0]);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops queues_ops = {
	.enqueue = (void *)queues_enqueue,
	.running = (void *)queues_running,
	.quiescent = (void *)queues_quiescent,
	.exit = (void *)queues_exit,
	.name = "queues",
};
