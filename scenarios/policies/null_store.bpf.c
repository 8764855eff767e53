// SPDX-License-Identifier: GPL-2.0-or-later
// Stores through a NULL pointer. In C, because a policy in Rust cannot; it needs no headers.

#define SEC(name) __attribute__((section(name), used))

struct sched_ext_ops {
	void (*enqueue)(void *p, unsigned long long enq_flags);
	char name[128];
};

SEC("struct_ops/null_store_enqueue")
void null_store_enqueue(unsigned long long *ctx)
{
	volatile int *nowhere = (int *)(ctx[1] & 0);

	*nowhere = 1;
}

SEC(".struct_ops.link")
struct sched_ext_ops null_store_ops = {
	.enqueue = (void *)null_store_enqueue,
	.name = "null_store",
};

char _license[] SEC("license") = "GPL";
