// SPDX-License-Identifier: GPL-2.0-or-later
// A scheduler that keeps order until it does the one thing that `misdeed` names.
#include "scx.h"

enum misdeed {
	NOTHING,
	INVALID_CPU,
	TWICE_IN_SELECT_CPU,
	TWICE_IN_ENQUEUE,
	NO_SUCH_DSQ,
	ENDLESS_LOOP,
	LOSES_TASKS,
	NULL_STORE,
	READ_ONLY_FIELD,
	WILD_LOAD,
	SAYS_ERROR,
	SAYS_EXIT,
	INIT_FAILS,
	INIT_BAD_ERRNO,
	INIT_TASK_FAILS,
	FORK_FAILS,
	VTIME_IN_BUILTIN,
	BOTH_ORDERS,
	WRONG_CPU,
	BAD_ENQ_FLAGS,
	BUFFER_OVERFLOW,
	MOVES_FROM_NOWHERE,
	KICKS_NOBODY,
	OTHER_TASK,
	ERROR_IN_EXIT,
	ERROR_IN_INIT,
	INVALID_LOCAL_ON,
	INIT_TASK_BAD_ERRNO,
	KICKS_IDLE_AND_PREEMPTS,
	NULL_TASK,
	BAD_FORMAT,
	ENDLESS_SLICE,
	NO_SLICE,
	WRITES_CONSTANT,
	STORES_NOWHERE,
	RECURSES,
};

const volatile u32 misdeed;
const volatile u32 after = 200;
const volatile u32 nr_cpus = 4;
u64 calls;
u64 wild;
s32 exit_kind;
s64 exit_code;
static const char error_fmt[] = "cpu %d of %u: %s";
static const char error_text[] = "enough";
static const char exit_fmt[] = "done after %llu calls";

/* Is it time for this misdeed? */
INLINE bool now(u32 which)
{
	return misdeed == which && calls > after;
}

SEC("struct_ops/misdeed_select_cpu")
s32 misdeed_select_cpu(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	bool is_idle = 0;
	s32 cpu = scx_bpf_select_cpu_dfl(p, ctx[1], ctx[2], &is_idle);

	__sync_fetch_and_add(&calls, 1);
	if (now(INVALID_CPU))
		return 9999;
	if (now(TWICE_IN_SELECT_CPU)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	} else if (is_idle) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	}
	return cpu;
}

static __attribute__((noinline)) u64 deeper(volatile u64 *n)
{
	*n += 1;
	return *n < 100 ? deeper(n) + *n : 0;
}

INLINE void do_misdeed(struct task_struct *p, u64 enq_flags)
{
	struct task_struct *other;
	volatile u64 *nowhere = 0;
	volatile u64 turns = 0;
	u64 args[3];

	switch (misdeed) {
	case TWICE_IN_ENQUEUE:
		scx_bpf_dsq_insert(p, 0, SCX_SLICE_DFL, enq_flags);
		break;
	case ENDLESS_LOOP:
		for (;;)
			turns += 1;
		break;
	case NULL_STORE:
		*nowhere = 1;
		break;
	case READ_ONLY_FIELD:
		p->pid = 1;
		break;
	case WILD_LOAD:
		wild += *(volatile u64 *)0xdeadbeef0000ULL + 1;
		break;
	case SAYS_ERROR:
		args[0] = p->pid;
		args[1] = nr_cpus;
		args[2] = (u64)error_text;
		scx_bpf_error_bstr((char *)error_fmt, args, sizeof(args));
		break;
	case SAYS_EXIT:
		args[0] = after;
		scx_bpf_exit_bstr(42, (char *)exit_fmt, args, 8);
		break;
	case BAD_ENQ_FLAGS:
		scx_bpf_dsq_insert(p, 0, SCX_SLICE_DFL, 1ULL << 60);
		break;
	case KICKS_NOBODY:
		scx_bpf_kick_cpu(9999, 0);
		break;
	case KICKS_IDLE_AND_PREEMPTS:
		scx_bpf_kick_cpu(0, SCX_KICK_IDLE | SCX_KICK_PREEMPT);
		break;
	case NULL_TASK:
		scx_bpf_dsq_insert(0, 0, SCX_SLICE_DFL, enq_flags);
		break;
	case BAD_FORMAT:
		args[0] = 1;
		scx_bpf_error_bstr((char *)error_fmt, args, 7);
		break;
	case WRITES_CONSTANT:
		*(volatile u32 *)&after = 1;
		break;
	case STORES_NOWHERE:
		*(volatile u64 *)((char *)&calls + (1ULL << 40)) = 1;
		break;
	case RECURSES:
		wild += deeper(&turns);
		break;
	case OTHER_TASK:
		other = bpf_task_from_pid(1);
		if (other) {
			scx_bpf_dsq_insert(other, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
			bpf_task_release(other);
		}
		break;
	}
}

SEC("struct_ops/misdeed_enqueue")
void misdeed_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	u64 enq_flags = ctx[1];

	__sync_fetch_and_add(&calls, 1);
	if (calls > after) {
		do_misdeed(p, enq_flags);
		switch (misdeed) {
		case NO_SUCH_DSQ:
			scx_bpf_dsq_insert(p, 0xdead, SCX_SLICE_DFL, enq_flags);
			return;
		case LOSES_TASKS:
			if (p->comm[0] == 'i')
				return;
			break;
		case VTIME_IN_BUILTIN:
			scx_bpf_dsq_insert_vtime(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 7, enq_flags);
			return;
		case BOTH_ORDERS:
			if (p->pid & 1) {
				scx_bpf_dsq_insert_vtime(p, 0, SCX_SLICE_DFL, 7, enq_flags);
				return;
			}
			break;
		case WRONG_CPU:
			if (p->nr_cpus_allowed == 1) {
				s32 other = (scx_bpf_task_cpu(p) + 1) % nr_cpus;

				scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | other, SCX_SLICE_DFL, enq_flags);
				return;
			}
			break;
		case INVALID_LOCAL_ON:
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | 77, SCX_SLICE_DFL, enq_flags);
			return;
		case OTHER_TASK:
			return;
		case ENDLESS_SLICE:
			scx_bpf_dsq_insert(p, 0, ~0ULL, enq_flags);
			return;
		case NO_SLICE:
			scx_bpf_dsq_insert(p, 0, 0, enq_flags);
			return;
		}
	}
	scx_bpf_dsq_insert(p, 0, SCX_SLICE_DFL, enq_flags);
}

SEC("struct_ops/misdeed_dispatch")
void misdeed_dispatch(u64 *ctx)
{
	struct task_struct *p;
	u32 i;

	if (now(MOVES_FROM_NOWHERE))
		scx_bpf_dsq_move_to_local(0xdead);
	if (now(BUFFER_OVERFLOW) && (p = bpf_task_from_pid(1))) {
		for (i = 0; i < 33; i++)
			scx_bpf_dsq_insert(p, 0, SCX_SLICE_DFL, 0);
		bpf_task_release(p);
	}
	scx_bpf_dsq_move_to_local(0);
}

SEC("struct_ops/misdeed_init_task")
s32 misdeed_init_task(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct scx_init_task_args *args = (void *)ctx[1];

	if (misdeed == INIT_TASK_FAILS && p->comm[0] == 'p' && p->comm[1] == 'e')
		return -22;
	if (misdeed == INIT_TASK_BAD_ERRNO)
		return 7;
	if (misdeed == FORK_FAILS && args->fork)
		return -12;
	return 0;
}

SEC("struct_ops.s/misdeed_init")
s32 misdeed_init(u64 *ctx)
{
	if (misdeed == INIT_FAILS)
		return -16;
	if (misdeed == INIT_BAD_ERRNO)
		return 5;
	if (misdeed == ERROR_IN_INIT)
		scx_bpf_error_bstr("not today", 0, 0);
	return scx_bpf_create_dsq(0, -1);
}

SEC("struct_ops/misdeed_exit")
void misdeed_exit(u64 *ctx)
{
	struct scx_exit_info *info = (void *)ctx[0];
	volatile u64 *nowhere = 0;

	exit_kind = info->kind;
	exit_code = info->exit_code;
	if (misdeed == ERROR_IN_EXIT)
		*nowhere = 1;
}

SEC(".struct_ops.link")
struct sched_ext_ops misdeed_ops = {
	.select_cpu = (void *)misdeed_select_cpu,
	.enqueue = (void *)misdeed_enqueue,
	.dispatch = (void *)misdeed_dispatch,
	.init_task = (void *)misdeed_init_task,
	.init = (void *)misdeed_init,
	.exit = (void *)misdeed_exit,
	.timeout_ms = 1000,
	.name = "misdeed",
};
