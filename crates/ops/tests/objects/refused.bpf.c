// SPDX-License-Identifier: GPL-2.0-or-later
// Objects that no kernel takes, one for each macro.
#include "scx.h"

struct task_struct___gone {
	u64 vanished;
} CORE;

s32 scx_bpf_no_such_thing(struct task_struct *p) KSYM;
void bpf_throw(u64 cookie) KSYM;
s32 scx_bpf_maybe_later(struct task_struct *p) KSYM WEAK;
u64 sink;

#ifdef SLEEPABLE
SEC("struct_ops.s/refused_enqueue")
#else
SEC("struct_ops/refused_enqueue")
#endif
void refused_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];

#ifdef NOT_IMPLEMENTED
	bpf_throw(0);
#endif
#ifdef WRONG_CONTEXT
	scx_bpf_create_dsq(1, -1);
#endif
#ifdef UNKNOWN_KFUNC
	scx_bpf_no_such_thing(p);
#endif
#ifdef WEAK_KFUNC
	if (&scx_bpf_maybe_later != 0)
		scx_bpf_maybe_later(p);
#endif
#ifdef UNKNOWN_FIELD
	sink = ((struct task_struct___gone *)p)->vanished;
#endif
#ifdef GUARDED_FIELD
	if (__builtin_preserve_field_info(((struct task_struct___gone *)p)->vanished, 2))
		sink = ((struct task_struct___gone *)p)->vanished;
#endif
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, ctx[1]);
}

SEC("struct_ops/refused_running")
void refused_running(u64 *ctx)
{
#ifdef INSERT_IN_RUNNING
	scx_bpf_dsq_insert((void *)ctx[0], SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
#endif
}

#ifdef INSERT_DEEPER
static __attribute__((noinline)) void deeper(struct task_struct *p)
{
	sink += 1;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
}
#endif

SEC("struct_ops/refused_stopping")
void refused_stopping(u64 *ctx)
{
#ifdef INSERT_DEEPER
	deeper((void *)ctx[0]);
#endif
}

SEC("struct_ops/refused_dispatch")
void refused_dispatch(u64 *ctx)
{
#if defined(PREV_CHECKED) || defined(PREV_UNCHECKED)
	struct task_struct *prev = (void *)ctx[1];

#ifdef PREV_CHECKED
	if (!prev)
		return;
#endif
	sink = prev->scx.dsq_vtime;
#endif
}

#ifndef NO_TABLE
SEC(".struct_ops.link")
struct sched_ext_ops refused_ops = {
	.enqueue = (void *)refused_enqueue,
	.running = (void *)refused_running,
	.stopping = (void *)refused_stopping,
	.dispatch = (void *)refused_dispatch,
#ifdef BAD_FLAGS
	.flags = 1ULL << 40,
#endif
#ifdef LONG_TIMEOUT
	.timeout_ms = 30001,
#endif
#ifdef LARGE_BATCH
	.dispatch_max_batch = 0x80000000,
#endif
#ifdef BAD_NAME
	.name = "two words",
#elif !defined(NO_NAME)
	.name = "refused",
#endif
};
#endif

#ifdef TWO_TABLES
SEC(".struct_ops.link")
struct sched_ext_ops second_ops = {
	.enqueue = (void *)refused_enqueue,
	.name = "second",
};
#endif
