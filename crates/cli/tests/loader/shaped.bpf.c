// SPDX-License-Identifier: GPL-2.0-or-later
// First in, first out; its init looks whether a loader did all that shaped.loader.toml says. It needs no headers.

typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define KSYM __attribute__((section(".ksyms")))
#define CORE __attribute__((preserve_access_index))

struct task_struct {
	s32 pid;
} CORE;

struct sched_ext_ops {
	void (*enqueue)(struct task_struct *p, u64 enq_flags);
	void (*tick)(struct task_struct *p);
	s32 (*init)(void);
	u64 flags;
	u32 timeout_ms;
	char name[128];
};

void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) KSYM;

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*pop)(void *map, void *value) = (void *)88;
static long (*push)(void *map, const void *value, u64 flags) = (void *)87;

struct queue {
	int (*type)[22];
	int (*max_entries)[8];
	u32 *value;
};

struct {
	int (*type)[12];
	int (*max_entries)[3];
	u32 *key;
	struct queue *values[];
} queues SEC(".maps");

struct {
	int (*type)[2];
	int (*max_entries)[1];
	u32 *key;
	u64 *value;
} settings SEC(".maps");

struct {
	int (*type)[6];
	int (*max_entries)[2];
	u32 *key;
	u32 *value;
} by_cpu SEC(".maps");

const volatile u32 nr_cpu_ids;
const volatile u64 slice_ns;
const volatile s32 partner[1] SEC(".rodata.partner");
const volatile char label[8];
u64 prepared, called, ticks, wrong;

SEC("syscall") int prepare(void *ctx)
{
	prepared++;
	return 0;
}

SEC("syscall") int rebalance(void *ctx)
{
	called++;
	return called == 2 ? -7 : 0;
}

SEC("struct_ops/shaped_enqueue") void shaped_enqueue(u64 *ctx)
{
	scx_bpf_dsq_insert((struct task_struct *)ctx[0], 0x8000000000000001ULL, slice_ns, ctx[1]);
}

SEC("struct_ops/shaped_tick") void shaped_tick(u64 *ctx)
{
	ticks++;
}

SEC("struct_ops.s/shaped_init") int shaped_init(u64 *ctx)
{
	u32 zero = 0, one = 1, last = 2, value = 5;
	const volatile s32 *slot = partner;
	void *queue = lookup(&queues, &last);
	u64 *setting = lookup(&settings, &zero);
	u32 *mine = lookup(&by_cpu, &one);

	// The compiler is not to know that it goes beyond the one element that is declared.
	asm volatile("" : "+r"(slot));
	slot += (nr_cpu_ids - 1) % 64;
	wrong |= (nr_cpu_ids != 4) << 0;
	wrong |= (slice_ns != 20000000) << 1;
	wrong |= (*slot != 1) << 2;
	wrong |= (label[0] != 'o' || label[1] != 'k') << 3;
	wrong |= (prepared != 1) << 4;
	wrong |= (!queue || push(queue, &value, 0) || pop(queue, &value)) << 5;
	wrong |= (!setting || *setting != 0x300000007ULL) << 6;
	wrong |= (!mine || *mine != 9) << 7;
	return 0;
}

SEC(".struct_ops.link") struct sched_ext_ops shaped_ops = {
	.enqueue = (void *)shaped_enqueue,
	.tick = (void *)shaped_tick,
	.init = (void *)shaped_init,
	.name = "shaped",
};

char _license[] SEC("license") = "GPL";
