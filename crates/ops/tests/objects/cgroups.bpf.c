// SPDX-License-Identifier: GPL-2.0-or-later
// Looks at the cgroup of a forked task whose name begins with 'g', in every way there is. WRONG_TASK: asks for another task's.
#include "scx.h"

struct css_set {
	struct cgroup *dfl_cgrp;
} CORE;

struct task_struct___cg {
	struct css_set *cgroups;
} CORE;

struct scx_init_task_args___cg {
	struct cgroup *cgroup;
} CORE;

struct cgroup *scx_bpf_task_cgroup(struct task_struct *p) KSYM;
struct cgroup *bpf_cgroup_from_id(u64 cgid) KSYM;
struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp) KSYM;
struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level) KSYM;
void bpf_cgroup_release(struct cgroup *cgrp) KSYM;

u64 told, css_set, task_cgroup, from_id, nothing, top, parent, kn_parent;
s32 level, root_level;
char first, root_first;

INLINE u64 id_and_release(struct cgroup *cgrp)
{
	u64 id;

	if (!cgrp)
		return 0;
	id = cgrp->kn->id;
	bpf_cgroup_release(cgrp);
	return id;
}

SEC("struct_ops/cg_init_task")
s32 cg_init_task(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	struct scx_init_task_args *args = (void *)ctx[1];
	struct cgroup *cgrp = ((struct scx_init_task_args___cg *)args)->cgroup, *root;

	if (!args->fork || p->comm[0] != 'g')
		return 0;
	told = cgrp->kn->id;
	level = cgrp->level;
	first = cgrp->kn->name[0];
	parent = cgrp->self.parent->cgroup->kn->id;
	kn_parent = cgrp->kn->__parent->id;
	css_set = ((struct task_struct___cg *)p)->cgroups->dfl_cgrp->kn->id;
	task_cgroup = id_and_release(scx_bpf_task_cgroup(p));
	from_id = id_and_release(bpf_cgroup_from_id(told));
	nothing = id_and_release(bpf_cgroup_from_id(99)) + id_and_release(bpf_cgroup_ancestor(cgrp, 3));
	top = id_and_release(bpf_cgroup_ancestor(cgrp, 1));
	root = bpf_cgroup_ancestor(cgrp, 0);
	if (root) {
		root_level = root->level;
		root_first = root->kn->name[0];
		bpf_cgroup_release(root);
	}
#ifdef FORGET
	bpf_cgroup_acquire(cgrp);
#endif
	return 0;
}

SEC("struct_ops/cg_dispatch")
void cg_dispatch(u64 *ctx)
{
#ifdef WRONG_TASK
	struct task_struct *prev = (void *)ctx[1];

	if (prev)
		id_and_release(scx_bpf_task_cgroup(prev));
#endif
}

SEC(".struct_ops.link")
struct sched_ext_ops cg_ops = {
	.init_task = (void *)cg_init_task,
	.dispatch = (void *)cg_dispatch,
	.name = "cgroups",
};
