// SPDX-License-Identifier: GPL-2.0-or-later
// Walks over bits, tasks and cgroups when it begins, and uses kernel functions that few schedulers use.
#include "scx.h"

struct bpf_cpumask {
	struct cpumask cpumask;
} CORE;

struct bpf_iter_bits {
	u64 opaque[2];
};

struct bpf_iter_task {
	u64 opaque[3];
};

struct bpf_iter_css {
	u64 opaque[3];
};

struct bpf_iter_css_task {
	u64 opaque[1];
};

struct bpf_res_spin_lock {
	u32 val;
};

int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *words, u32 nr_words) KSYM;
int *bpf_iter_bits_next(struct bpf_iter_bits *it) KSYM;
void bpf_iter_bits_destroy(struct bpf_iter_bits *it) KSYM;
int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags) KSYM;
struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) KSYM;
void bpf_iter_task_destroy(struct bpf_iter_task *it) KSYM;
int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start, unsigned int flags) KSYM;
struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it) KSYM;
void bpf_iter_css_destroy(struct bpf_iter_css *it) KSYM;
int bpf_iter_css_task_new(struct bpf_iter_css_task *it, struct cgroup_subsys_state *css, unsigned int flags) KSYM;
struct task_struct *bpf_iter_css_task_next(struct bpf_iter_css_task *it) KSYM;
void bpf_iter_css_task_destroy(struct bpf_iter_css_task *it) KSYM;
long bpf_task_under_cgroup(struct task_struct *task, struct cgroup *ancestor) KSYM;
struct cgroup *bpf_cgroup_from_id(u64 id) KSYM;
void bpf_cgroup_release(struct cgroup *cgrp) KSYM;
void bpf_rcu_read_lock(void) KSYM;
void bpf_rcu_read_unlock(void) KSYM;
void bpf_local_irq_save(unsigned long *flags) KSYM;
void bpf_local_irq_restore(unsigned long *flags) KSYM;
int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock, unsigned long *flags) KSYM;
void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock, unsigned long *flags) KSYM;
int bpf_stream_vprintk(int stream_id, const char *fmt, const void *args, u32 len) KSYM;
struct bpf_cpumask *bpf_cpumask_create(void) KSYM;
int bpf_cpumask_populate(struct bpf_cpumask *mask, void *src, unsigned long size) KSYM;
u32 bpf_cpumask_weight(const struct cpumask *mask) KSYM;
void bpf_cpumask_release(struct bpf_cpumask *mask) KSYM;

u64 words[2] = { 0x8000000000000005ULL, 2 };
s32 bits_sum, bits_refused;
u64 nr_tasks, nr_named, nr_threads_of_none;
u64 order, up;
u64 nr_in_group, nr_under, nr_not_under;
u64 populated, too_small;
struct bpf_res_spin_lock lock;
u64 locked_twice;

static const char said[] = "%d tasks\n";

static void bits(void)
{
	struct bpf_iter_bits it;
	int *bit;

	bpf_iter_bits_new(&it, words, 2);
	while ((bit = bpf_iter_bits_next(&it)))
		bits_sum += *bit;
	bpf_iter_bits_destroy(&it);
	bits_refused = bpf_iter_bits_new(&it, words, 0);
	bpf_iter_bits_destroy(&it);
}

static void tasks(struct cgroup *a)
{
	struct bpf_iter_task it;
	struct task_struct *p;

	bpf_iter_task_new(&it, 0, 1);
	while ((p = bpf_iter_task_next(&it))) {
		nr_tasks++;
		if (p->comm[0] != 'i' || p->comm[1] != 'n')
			continue;
		nr_named++;
		if (bpf_task_under_cgroup(p, a))
			nr_under++;
		else
			nr_not_under++;
	}
	bpf_iter_task_destroy(&it);
	nr_threads_of_none = bpf_iter_task_new(&it, 0, 2) == -22;
	bpf_iter_task_destroy(&it);
}

static void groups(struct cgroup *root, struct cgroup *a)
{
	struct bpf_iter_css it;
	struct bpf_iter_css_task tasks;
	struct cgroup_subsys_state *css;

	bpf_iter_css_new(&it, &root->self, 2);
	while ((css = bpf_iter_css_next(&it)))
		order = order * 10 + css->cgroup->kn->id;
	bpf_iter_css_destroy(&it);
	bpf_iter_css_new(&it, &a->self, 4);
	while ((css = bpf_iter_css_next(&it)))
		up = up * 10 + css->cgroup->kn->id;
	bpf_iter_css_destroy(&it);
	bpf_iter_css_task_new(&tasks, &a->self, 0);
	while (bpf_iter_css_task_next(&tasks))
		nr_in_group++;
	bpf_iter_css_task_destroy(&tasks);
}

static void masks(void)
{
	struct bpf_cpumask *mask = bpf_cpumask_create();

	if (!mask)
		return;
	if (!bpf_cpumask_populate(mask, words, sizeof(words)))
		populated = bpf_cpumask_weight(&mask->cpumask);
	too_small = bpf_cpumask_populate(mask, words, 4) == -13;
	bpf_cpumask_release(mask);
}

SEC("struct_ops.s/walks_init")
s32 walks_init(u64 *ctx)
{
	struct cgroup *root, *a;
	unsigned long flags, inner;
	unsigned long long args[1];

	bits();
	root = bpf_cgroup_from_id(1);
	if (!root)
		return -1;
	a = bpf_cgroup_from_id(2);
	if (!a) {
		bpf_cgroup_release(root);
		return -2;
	}
	bpf_rcu_read_lock();
	tasks(a);
	groups(root, a);
	bpf_rcu_read_unlock();
	bpf_cgroup_release(a);
	bpf_cgroup_release(root);
	masks();
	bpf_local_irq_save(&flags);
	bpf_local_irq_restore(&flags);
	if (!bpf_res_spin_lock_irqsave(&lock, &flags)) {
		if (bpf_res_spin_lock_irqsave(&lock, &inner) == -35)
			locked_twice = 1;
		bpf_res_spin_unlock_irqrestore(&lock, &flags);
	}
	args[0] = nr_named;
	bpf_stream_vprintk(1, said, args, sizeof(args));
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops walks = {
	.init = (void *)walks_init,
	.name = "walks",
};
