// SPDX-License-Identifier: GPL-2.0-or-later
// Everything that the loader resolves, once each, with guards where a kernel may lack it.
#include "common.h"

struct list_head {
	struct list_head *next, *prev;
} CORE;

struct scx_entity {
	u64 slice;
	u32 weight;
	u64 gone;
} CORE;

enum state { STATE_A = 1, STATE_B = 2, STATE_GONE = 9 };
enum wide { WIDE_ONE = 1, WIDE_BIG = 2ULL << 40 };

struct task_struct {
	int pid;
	u32 inner_b;
	unsigned int flag_x : 3;
	unsigned int flag_y : 5;
	signed int flag_s : 4;
	char comm[16];
	u32 widened;
	struct scx_entity scx;
	struct list_head children[3];
	u64 vanished;
} CORE;

struct task_struct___flavored {
	int pid;
	u64 both;
} CORE;

struct no_such_struct {
	int x;
} CORE;

struct scx_exit_info {
	int kind;
} CORE;

struct sched_ext_ops {
	char name[128];
	int (*select_cpu)(struct task_struct *p, int prev_cpu, u64 wake_flags);
	void (*enqueue)(struct task_struct *p, u64 enq_flags);
	void (*old_callback)(int cpu);
	int (*init)(void);
	void (*exit)(struct scx_exit_info *info);
	u32 timeout_ms;
	u64 flags;
	u64 old_data;
};

void scx_bpf_kick_cpu(int cpu, u64 flags) __ksym;
bool scx_bpf_dsq_insert___v2(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dsq_insert___v1(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_gone(int x) __ksym __weak;
int scx_bpf_create_dsq(u64 dsq_id, int node) __ksym __weak;

extern int runqueues __ksym;
extern const void idle_task __ksym;
extern int no_such_variable __ksym __weak;

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_SMP __kconfig __weak;
extern enum libbpf_tristate CONFIG_EXT4_FS __kconfig __weak;
extern char CONFIG_LOCALVERSION[16] __kconfig __weak;
extern u64 CONFIG_HZ __kconfig;

struct value {
	u64 a, b;
};

struct {
	__uint(type, 1);
	__uint(max_entries, 16);
	__type(key, u32);
	__type(value, struct value);
} hash SEC(".maps");

struct inner {
	__uint(type, 2);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} inner_a SEC(".maps"), inner_b SEC(".maps");

struct {
	__uint(type, 12);
	__uint(max_entries, 3);
	__uint(key_size, 4);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = &inner_a, [2] = &inner_b } };

struct {
	__uint(type, 27);
	__uint(max_entries, 5000);
} ring SEC(".maps");

const volatile u64 __SCX_SLICE_DFL __weak;
const volatile u64 __SCX_DSQ_LOCAL __weak;
const volatile u64 __SCX_NOT_THERE __weak;
const volatile bool use_gone;
const volatile u32 limits[4] = { 1, 2, 3, 4 };
const volatile char label[8] = "abc";
struct {
	int first;
	struct { u64 max; u8 level; } sub[2];
} config = { .first = 5 };
u64 counter;
static u64 hidden;
u8 resizable[1] SEC(".data.resizable");
u64 out[32] SEC(".data.out");
u32 size_of_missing;

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_loop)(u32 nr, void *fn, void *ctx, u64 flags) = (void *)181;

static __attribute__((noinline)) int helper_static(u64 x)
{
	hidden += x;
	return hidden & 0xff;
}

__attribute__((noinline)) int helper_global(int x)
{
	return helper_static(x + limits[x & 3]) + 1;
}

static int each(u32 i, void *ctx)
{
	counter += i;
	return 0;
}

static u64 read_task(struct task_struct *p)
{
	u64 sum = p->pid + p->inner_b + p->scx.weight + p->scx.slice + p->widened;

	sum += (u64)p->children[1].prev;
	out[0] = field_info(p->flag_y, 0);
	out[1] = field_info(p->flag_y, 1);
	out[2] = field_info(p->flag_y, 4);
	out[3] = field_info(p->flag_y, 5);
	out[4] = field_info(p->flag_s, 3);
	out[5] = field_info(p->flag_y, 3);
	out[6] = field_exists(p->vanished);
	out[7] = field_exists(p->scx.slice);
	out[8] = field_info(p->comm, 1);
	out[9] = __builtin_btf_type_id(*(struct task_struct *)0, 0);
	out[10] = __builtin_btf_type_id(*(struct task_struct *)0, 1);
	out[11] = type_info(struct no_such_struct, 0);
	out[12] = type_info(struct task_struct, 0);
	out[13] = type_info(struct task_struct, 1);
	out[14] = type_info(struct no_such_struct, 1);
	out[15] = type_info(struct list_head, 2);
	out[16] = type_info(struct task_struct, 2);
	out[17] = enum_value(enum state, STATE_A, 0);
	out[18] = enum_value(enum state, STATE_GONE, 0);
	out[19] = enum_value(enum state, STATE_B, 1);
	out[20] = enum_value(enum wide, WIDE_BIG, 1);
	out[21] = ((struct task_struct___flavored *)p)->both;
	if (field_exists(p->vanished))
		sum += p->vanished;
	if (enum_value(enum state, STATE_GONE, 0))
		sum += enum_value(enum state, STATE_GONE, 1);
	if (use_gone)
		sum += p->scx.gone;
	return sum;
}

SEC("struct_ops/test_select_cpu")
int test_select_cpu(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];

	counter += read_task(p);
	scx_bpf_kick_cpu(ctx[1], 0);
	if (ksym_exists(scx_bpf_gone))
		scx_bpf_gone(1);
	return helper_global(ctx[1]);
}

SEC("struct_ops/test_enqueue")
void test_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	u32 key = 0;
	struct value *v = bpf_map_lookup_elem(&hash, &key);

	if (v)
		v->a++;
	bpf_map_lookup_elem(&outer, &key);
	if (ksym_exists(scx_bpf_dsq_insert___v2))
		scx_bpf_dsq_insert___v2(p, __SCX_DSQ_LOCAL, __SCX_SLICE_DFL, ctx[1]);
	else
		scx_bpf_dsq_insert___v1(p, __SCX_DSQ_LOCAL, __SCX_SLICE_DFL, ctx[1]);
}

SEC("struct_ops.s/test_init")
int test_init(u64 *ctx)
{
	bpf_loop(limits[1], each, 0, 0);
	counter += runqueues + (u64)&idle_task;
	if (ksym_exists(no_such_variable))
		counter += no_such_variable;
	out[22] = LINUX_KERNEL_VERSION;
	out[23] = CONFIG_SMP;
	out[24] = CONFIG_EXT4_FS;
	out[25] = CONFIG_LOCALVERSION[1];
	out[26] = CONFIG_HZ;
	out[27] = config.first + config.sub[1].level + resizable[0] + label[0];
	out[28] = __SCX_NOT_THERE;
	return 0;
}

SEC("struct_ops/test_old")
void test_old(u64 *ctx)
{
	counter--;
}

SEC("syscall")
int run_me(void *ctx)
{
	return helper_global(2);
}

SEC("?fentry/nothing")
int optional(void *ctx)
{
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops test_ops = {
	.select_cpu = (void *)test_select_cpu,
	.enqueue = (void *)test_enqueue,
	.init = (void *)test_init,
	.timeout_ms = 5000,
	.name = "test",
};

char _license[] SEC("license") = "GPL";
