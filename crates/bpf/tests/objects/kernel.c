// SPDX-License-Identifier: GPL-2.0-or-later
// A small kernel of our own: only its BTF is used. Offsets, member order and widths differ from what the objects see.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;

struct list_head {
	struct list_head *next, *prev;
};

struct scx_entity {
	u64 new_field;
	u32 weight;
	u64 slice;
	u64 dsq_vtime;
};

enum state { STATE_B = 7, STATE_A = 3 };
enum wide { WIDE_ONE = 1, WIDE_BIG = 0x1234567890ULL };

struct task_struct {
	u64 pad[4];
	int pid;
	union {
		struct {
			u32 inner_a;
			u32 inner_b;
		};
		u64 both;
	};
	unsigned int flag_x : 3;
	unsigned int flag_y : 5;
	signed int flag_s : 4;
	char comm[16];
	u64 widened;
	int signed_changed_was_short;
	struct scx_entity scx;
	struct list_head children[3];
	enum state state;
};

struct scx_exit_info {
	int kind;
	const char *reason;
};

struct sched_ext_ops {
	int (*select_cpu)(struct task_struct *p, int prev_cpu, u64 wake_flags);
	void (*enqueue)(struct task_struct *p, u64 enq_flags);
	void (*added_later)(int cpu);
	int (*init)(void);
	void (*exit)(struct scx_exit_info *info);
	u64 flags;
	u32 timeout_ms;
	char name[128];
};

enum scx_consts { SCX_SLICE_DFL = 20000000, SCX_OPS_NAME_LEN = 128 };
enum scx_dsq { SCX_DSQ_LOCAL = 0x8000000000000002ULL };

int runqueues;
const struct task_struct *idle_task;

struct task_struct *example;
enum wide *example_wide;
struct sched_ext_ops *example_ops;
enum scx_consts *example_consts;
enum scx_dsq *example_dsq;
struct scx_exit_info *example_info;

void scx_bpf_kick_cpu(int cpu, u64 flags) {}
bool scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) { return 0; }
int scx_bpf_create_dsq(u64 dsq_id, int node) { return 0; }
