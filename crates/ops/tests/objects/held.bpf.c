// SPDX-License-Identifier: GPL-2.0-or-later
// Takes references and a lock; `mode` says what goes wrong then. It needs no headers.

#define SEC(name) __attribute__((section(name), used))
#define __ksym __attribute__((section(".ksyms")))
#define __kptr __attribute__((btf_type_tag("kptr")))

typedef unsigned int u32;
typedef unsigned long long u64;

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

struct bpf_spin_lock {
	u32 val;
};

extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static long (*bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;
static void *(*bpf_kptr_xchg)(void *dst, void *ptr) = (void *)194;

struct slot {
	struct task_struct __kptr *task;
	struct bpf_spin_lock lock;
};

struct {
	int (*type)[2]; // BPF_MAP_TYPE_ARRAY
	int (*max_entries)[1];
	u32 *key;
	struct slot *value;
} slots SEC(".maps");

enum { FINE, FAULT, FORGET, RELEASE_TWICE, FAULT_LOCKED };

const volatile u32 mode;
u64 stored;
u64 exited;

struct sched_ext_ops {
	void (*running)(struct task_struct *p);
	void (*exit)(void *info);
	char name[128];
};

static __attribute__((always_inline)) void fault(void)
{
	*(volatile int *)(u64)(mode == 99) = 1;
}

SEC("struct_ops/held_running")
void held_running(u64 *ctx)
{
	u32 key = 0;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);
	struct task_struct *p, *old;

	if (!slot)
		return;
	if (mode == FAULT_LOCKED) {
		bpf_spin_lock(&slot->lock);
		fault();
	}
	p = bpf_task_acquire((struct task_struct *)ctx[0]);
	if (!p)
		return;
	if (mode == FAULT)
		fault();
	if (mode == FORGET)
		return;
	if (mode == RELEASE_TWICE) {
		bpf_task_release(p);
		bpf_task_release(p);
		return;
	}
	old = bpf_kptr_xchg(&slot->task, p);
	if (old)
		bpf_task_release(old);
	stored++;
}

SEC("struct_ops/held_exit")
void held_exit(u64 *ctx)
{
	u32 key = 0;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);

	if (!slot)
		return;
	bpf_spin_lock(&slot->lock);
	exited++;
	bpf_spin_unlock(&slot->lock);
}

SEC(".struct_ops.link")
struct sched_ext_ops held_ops = {
	.running = (void *)held_running,
	.exit = (void *)held_exit,
	.name = "held",
};

char _license[] SEC("license") = "GPL";
