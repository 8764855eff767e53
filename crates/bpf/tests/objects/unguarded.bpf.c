// SPDX-License-Identifier: GPL-2.0-or-later
// Uses of what the kernel lacks: without a guard, and behind guards of several kinds.
#include "common.h"

struct task_struct {
	int pid;
	u64 vanished;
} CORE;

struct sched_ext_ops {
	int (*select_cpu)(struct task_struct *p, int prev_cpu, u64 wake_flags);
	char name[128];
};

void scx_bpf_gone(int x) __ksym __weak;

const volatile bool guard_const;
bool guard_memory;

SEC("syscall")
int unguarded(struct task_struct *p)
{
	return p->vanished;
}

SEC("?syscall")
int by_const(struct task_struct *p)
{
	return guard_const ? p->vanished : 0;
}

SEC("?syscall")
int by_memory(struct task_struct *p)
{
	return guard_memory ? p->vanished : 0;
}

SEC("?syscall")
int by_kfunc(void *ctx)
{
	scx_bpf_gone(1);
	return 0;
}

SEC("?syscall")
int by_kfunc_guarded(void *ctx)
{
	if (ksym_exists(scx_bpf_gone))
		scx_bpf_gone(1);
	return 0;
}

static __attribute__((noinline)) u64 callee(struct task_struct *p, int yes)
{
	if (yes)
		return p->vanished;
	return 1;
}

SEC("?syscall")
int by_argument(struct task_struct *p)
{
	return callee(p, guard_const) + callee(p, field_exists(p->vanished));
}

char _license[] SEC("license") = "GPL";
