// SPDX-License-Identifier: GPL-2.0-or-later
// First in, first out; its init looks whether a loader did all that shaped.loader.toml says. It needs no headers.

typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define KSYM __attribute__((section(".ksyms")))
#define CORE __attribute__((preserve_access_index))

struct sched_info {
	unsigned long pcount;
} CORE;

struct task_struct {
	s32 pid;
	u64 start_time;
	struct sched_info sched_info;
} CORE;

// As large as the kernel's, which takes one that is a variable for plain memory.
struct bpf_cpumask {
	u64 bits[128];
	u64 usage;
};

struct sched_ext_ops {
	void (*enqueue)(struct task_struct *p, u64 enq_flags);
	void (*tick)(struct task_struct *p);
	s32 (*init)(void);
	u64 flags;
	u32 timeout_ms;
	char name[128];
};

#define ARENA __attribute__((address_space(1)))

void ARENA *bpf_arena_alloc_pages(void *map, void ARENA *addr, u32 pages, int node, u64 flags) KSYM;
void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *mask) KSYM;
_Bool bpf_cpumask_test_cpu(u32 cpu, const struct bpf_cpumask *mask) KSYM;
void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) KSYM;

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*pop)(void *map, void *value) = (void *)88;
static u32 (*this_cpu)(void) = (void *)8;
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

struct place {
	u32 node;
	u64 siblings[2];
};

struct {
	int (*type)[1];
	int (*max_entries)[64];
	u32 *key;
	struct place *value;
} places SEC(".maps");

struct {
	int (*type)[33];
	int (*map_flags)[1024];
	int (*max_entries)[4];
} arena SEC(".maps");

struct row {
	u32 id;
	u32 cells[3];
};

const volatile struct row rows[2];
const volatile u32 nr_cpu_ids;
const volatile u64 slice_ns;
const volatile s32 partner[1] SEC(".rodata.partner");
const volatile char label[8];
struct bpf_cpumask seen;
u64 ran, born, prepared, called, called_on, ticks, spread, masks, wrong;

SEC("syscall") int prepare(void *ctx)
{
	prepared++;
	return 0;
}

SEC("syscall") int rebalance(void *ctx)
{
	called++;
	called_on = this_cpu();
	return called == 2 ? -7 : 0;
}

struct cpu_arg {
	s32 cpu;
	s32 weight;
};

SEC("syscall") int add_cpu(struct cpu_arg *arg)
{
	spread += arg->cpu * arg->weight;
	return 0;
}

struct mask_arg {
	u64 mask;
};

SEC("syscall") int give_mask(struct mask_arg *arg)
{
	u64 ARENA *page = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);

	if (!page)
		return -12;
	arg->mask = (u64)page;
	return 0;
}

struct node_arg {
	u64 id;
	u64 mask;
};

SEC("syscall") int add_node(struct node_arg *arg)
{
	u64 ARENA *words = (u64 ARENA *)arg->mask;

	// It is this map that the pointer points into.
	asm volatile("" : : "r"(&arena));
	masks += words[0] * 16 + words[1] + arg->id;
	return 0;
}

SEC("struct_ops/shaped_enqueue") void shaped_enqueue(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];

	if (p->start_time > born)
		born = p->start_time;
	if (p->sched_info.pcount > ran)
		ran = p->sched_info.pcount;
	scx_bpf_dsq_insert(p, 0x8000000000000001ULL, slice_ns, ctx[1]);
}

SEC("struct_ops/shaped_tick") void shaped_tick(u64 *ctx)
{
	ticks++;
}

SEC("struct_ops.s/shaped_init") int shaped_init(u64 *ctx)
{
	u32 zero = 0, one = 1, last = 2, cpu = 3, value = 5;
	const volatile s32 *slot = partner;
	void *queue = lookup(&queues, &last);
	u64 *setting = lookup(&settings, &zero);
	u32 *mine = lookup(&by_cpu, &one);
	struct place *place = lookup(&places, &cpu);

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
	wrong |= (!place || place->node != 7 || place->siblings[0] != 8 || place->siblings[1] != 1) << 8;
	wrong |= (spread != 60 || masks != 15 * 16 + 5) << 9;
	bpf_cpumask_set_cpu(2, &seen);
	wrong |= (seen.bits[0] != 4 || !bpf_cpumask_test_cpu(2, &seen) || bpf_cpumask_test_cpu(1, &seen)) << 11;
	wrong |= (rows[0].id != 1 || rows[1].id != 2 || rows[1].cells[0] != 10 || rows[1].cells[2] != 12) << 10;
	return 0;
}

SEC(".struct_ops.link") struct sched_ext_ops shaped_ops = {
	.enqueue = (void *)shaped_enqueue,
	.tick = (void *)shaped_tick,
	.init = (void *)shaped_init,
	.name = "shaped",
};

char _license[] SEC("license") = "GPL";
