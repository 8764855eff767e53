// SPDX-License-Identifier: GPL-2.0-or-later
// A scheduler of the cid form, which notes how it is told of CPUs. Variants: NO_ARENA; CPU_KFUNC calls what knows no cids.
#include "scx.h"

struct scx_cmask {
	u32 base;
	u32 nr_cids;
	u32 alloc_words;
	u64 bits[];
} CORE;

struct sched_ext_ops_cid {
	s32 (*select_cid)(struct task_struct *p, s32 prev_cid, u64 wake_flags);
	void (*enqueue)(struct task_struct *p, u64 enq_flags);
	void (*dispatch)(s32 cid, struct task_struct *prev);
	void (*set_cmask)(struct task_struct *p, const struct scx_cmask *cmask);
	void (*update_idle)(s32 cid, bool idle);
	void (*cid_online)(s32 cid);
	void (*cid_offline)(s32 cid);
	void (*dump_cid)(struct scx_dump_ctx *ctx, s32 cid, bool idle);
	u64 flags;
	char name[128];
};

s32 scx_bpf_this_cid(void) KSYM;
s32 scx_bpf_task_cid(const struct task_struct *p) KSYM;

struct {
	MAP_UINT(type, 33);
	MAP_UINT(map_flags, 1 << 10);
	MAP_UINT(max_entries, 64);
} arena SEC(".maps");

#ifdef NO_ARENA
#define TOUCH_ARENA()
#else
#define TOUCH_ARENA() asm volatile("" ::"r"(&arena))
#endif

s32 target;
u64 prevs, dispatched, wrong, idled, online, offline, dumped, enqueued;
u64 mask, mask_nr, mask_words;

SEC("struct_ops/cid_select_cid")
s32 cid_select_cid(u64 *ctx)
{
	prevs |= 1ULL << (ctx[1] & 63);
	return target;
}

SEC("struct_ops/cid_enqueue")
void cid_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];

	TOUCH_ARENA();
#ifdef CPU_KFUNC
	scx_bpf_kick_cpu(0, 0);
#endif
	if (scx_bpf_task_cid(p) != target && p->nr_cpus_allowed > 1)
		wrong++;
	enqueued++;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
}

SEC("struct_ops/cid_dispatch")
void cid_dispatch(u64 *ctx)
{
	if (scx_bpf_this_cid() != (s32)ctx[0])
		wrong++;
	dispatched |= 1ULL << (ctx[0] & 63);
}

SEC("struct_ops/cid_set_cmask")
void cid_set_cmask(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct scx_cmask *cmask = (void *)ctx[1];

	if (p->comm[0] != 'p')
		return;
	mask = cmask->bits[0];
	mask_nr = cmask->nr_cids;
	mask_words = cmask->alloc_words;
}

SEC("struct_ops/cid_update_idle")
void cid_update_idle(u64 *ctx)
{
	idled |= 1ULL << (ctx[0] & 63);
}

SEC("struct_ops.s/cid_cid_online")
void cid_cid_online(u64 *ctx)
{
	online |= 1ULL << (ctx[0] & 63);
}

SEC("struct_ops.s/cid_cid_offline")
void cid_cid_offline(u64 *ctx)
{
	offline |= 1ULL << (ctx[0] & 63);
}

SEC("struct_ops/cid_dump_cid")
void cid_dump_cid(u64 *ctx)
{
	dumped |= 1ULL << (ctx[1] & 63);
}

SEC(".struct_ops.link")
struct sched_ext_ops_cid cid = {
	.select_cid = (void *)cid_select_cid,
	.enqueue = (void *)cid_enqueue,
	.dispatch = (void *)cid_dispatch,
	.set_cmask = (void *)cid_set_cmask,
	.update_idle = (void *)cid_update_idle,
	.cid_online = (void *)cid_cid_online,
	.cid_offline = (void *)cid_cid_offline,
	.dump_cid = (void *)cid_dump_cid,
	.name = "cid",
};
