// SPDX-License-Identifier: GPL-2.0-or-later
// Sets a member that the kernel's table does not have.
#include "common.h"

struct sched_ext_ops {
	void (*old_callback)(int cpu);
	u64 old_data;
	char name[128];
};

SEC("struct_ops/test_old")
void test_old(u64 *ctx)
{
}

SEC(".struct_ops")
struct sched_ext_ops test_ops = {
	.old_callback = (void *)test_old,
	.old_data = 3,
	.name = "old",
};

char _license[] SEC("license") = "GPL";
