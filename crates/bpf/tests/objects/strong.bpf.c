// SPDX-License-Identifier: GPL-2.0-or-later
// Strong externs that the kernel lacks or has differently; chosen by -D.
#include "common.h"

#ifdef MISSING
void scx_bpf_gone(int x) __ksym;
#define USE scx_bpf_gone(1)
#elif defined(MISMATCH)
void scx_bpf_kick_cpu(int cpu) __ksym;
#define USE scx_bpf_kick_cpu(1)
#elif defined(DECLARED)
struct task_struct;
_Bool scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym;
#define USE scx_bpf_dsq_insert(0, 0, 0, 0)
#elif defined(KSYM)
extern int no_such_variable __ksym;
#define USE (void)*(volatile int *)&no_such_variable
#elif defined(KCONFIG)
extern int CONFIG_NOT_KNOWN __kconfig;
#define USE (void)*(volatile int *)&CONFIG_NOT_KNOWN
#else
#define USE
#endif

SEC("syscall")
int run(void *ctx)
{
	USE;
	return 0;
}

char _license[] SEC("license") = "GPL";
