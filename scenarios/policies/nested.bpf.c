// SPDX-License-Identifier: GPL-2.0-or-later
// One queue, first come first served; when that is empty, the sub-schedulers have their turn, each first once in a round.
// For all of the machine, or for a cgroup of a scheduler of its kind: scxr run nested.bpf.c --sub '/a=nested.bpf.c'.
// In C, because the form of the table that sub-schedulers need has no API in Rust yet; it needs no headers.

typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define KSYM __attribute__((section(".ksyms")))
#define CORE __attribute__((preserve_access_index))

#define MAX_SUBS 4
#define QUEUE 0
#define SLICE 5000000
#define FLAGS_OF_THE_CLASS (0xffULL << 56)

struct task_struct {
	s32 pid;
} CORE;

struct sched_ext_ops {
	u64 sub_cgroup_id;
} CORE;

struct scx_sub_attach_args {
	struct sched_ext_ops *ops;
} CORE;

struct scx_sub_detach_args {
	struct sched_ext_ops *ops;
} CORE;

struct sched_ext_ops_cid {
	s32 (*select_cid)(struct task_struct *p, s32 prev_cid, u64 wake_flags);
	void (*enqueue)(struct task_struct *p, u64 enq_flags);
	void (*dispatch)(s32 cid, struct task_struct *prev);
	s32 (*sub_attach)(struct scx_sub_attach_args *args);
	void (*sub_detach)(struct scx_sub_detach_args *args);
	s32 (*init)(void);
	u64 flags;
	u64 sub_cgroup_id;
	char name[128];
};

s32 scx_bpf_create_dsq(u64 dsq_id, s32 node) KSYM;
bool scx_bpf_dsq_insert___v2___new(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) KSYM;
bool scx_bpf_dsq_move_to_local___v2___new(u64 dsq_id, u64 enq_flags) KSYM;
bool scx_bpf_sub_dispatch(u64 cgroup_id) KSYM;
void scx_bpf_kick_cid(s32 cid, u64 flags) KSYM;
u32 scx_bpf_nr_cids(void) KSYM;

// The class keeps masks of cids in an arena, which each program of the table names.
struct {
	int (*type)[33];
	int (*map_flags)[1 << 10];
	int (*max_entries)[64];
} arena SEC(".maps");

#define TOUCH_ARENA() asm volatile("" ::"r"(&arena))

u64 subs[MAX_SUBS];
u64 turn;
u64 nr_enqueued;
u64 nr_from_subs;

SEC("struct_ops/nested_select_cid")
s32 nested_select_cid(u64 *ctx)
{
	TOUCH_ARENA();
	return ctx[1];
}

SEC("struct_ops/nested_enqueue")
void nested_enqueue(u64 *ctx)
{
	static u32 next;

	TOUCH_ARENA();
	__sync_fetch_and_add(&nr_enqueued, 1);
	scx_bpf_dsq_insert___v2___new((struct task_struct *)ctx[0], QUEUE, SLICE, ctx[1] & ~FLAGS_OF_THE_CLASS);
	// Whoever is idle looks.
	scx_bpf_kick_cid(__sync_fetch_and_add(&next, 1) % scx_bpf_nr_cids(), 0);
}

static bool ask_sub(u32 i)
{
	u64 cgroup = subs[i % MAX_SUBS];

	if (!cgroup || !scx_bpf_sub_dispatch(cgroup))
		return 0;
	__sync_fetch_and_add(&nr_from_subs, 1);
	return 1;
}

SEC("struct_ops/nested_dispatch")
void nested_dispatch(u64 *ctx)
{
	u32 first = __sync_fetch_and_add(&turn, 1) % (MAX_SUBS + 1);

	TOUCH_ARENA();
	if (first < MAX_SUBS && ask_sub(first))
		return;
	if (scx_bpf_dsq_move_to_local___v2___new(QUEUE, 0))
		return;
	for (u32 i = 0; i < MAX_SUBS; i++)
		if (ask_sub(i))
			return;
}

SEC("struct_ops.s/nested_sub_attach")
s32 nested_sub_attach(u64 *ctx)
{
	struct scx_sub_attach_args *args = (void *)ctx[0];

	TOUCH_ARENA();
	for (u32 i = 0; i < MAX_SUBS; i++) {
		if (!subs[i]) {
			subs[i] = args->ops->sub_cgroup_id;
			return 0;
		}
	}
	return -28;
}

SEC("struct_ops.s/nested_sub_detach")
void nested_sub_detach(u64 *ctx)
{
	struct scx_sub_detach_args *args = (void *)ctx[0];

	TOUCH_ARENA();
	for (u32 i = 0; i < MAX_SUBS; i++)
		if (subs[i] == args->ops->sub_cgroup_id)
			subs[i] = 0;
}

SEC("struct_ops.s/nested_init")
s32 nested_init(u64 *ctx)
{
	TOUCH_ARENA();
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops_cid nested_ops = {
	.select_cid = (void *)nested_select_cid,
	.enqueue = (void *)nested_enqueue,
	.dispatch = (void *)nested_dispatch,
	.sub_attach = (void *)nested_sub_attach,
	.sub_detach = (void *)nested_sub_detach,
	.init = (void *)nested_init,
	.name = "nested",
};

char _license[] SEC("license") = "GPL";
