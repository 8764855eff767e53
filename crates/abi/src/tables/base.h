// Names that the kernel gives to integers, and the small types that others are made of.

typedef unsigned char __u8;
typedef short unsigned int __u16;
typedef unsigned int __u32;
typedef long long unsigned int __u64;
typedef signed char __s8;
typedef short int __s16;
typedef int __s32;
typedef long long int __s64;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
typedef long unsigned int __kernel_ulong_t;
typedef long int __kernel_long_t;
typedef __kernel_ulong_t __kernel_size_t;
typedef __kernel_size_t size_t;
typedef int __kernel_pid_t;
typedef __kernel_pid_t pid_t;
typedef unsigned int __kernel_uid32_t;
typedef unsigned int __kernel_gid32_t;
typedef __kernel_uid32_t uid_t;
typedef __kernel_gid32_t gid_t;
typedef long long int __kernel_loff_t;
typedef __kernel_loff_t loff_t;
typedef short unsigned int umode_t;
typedef s64 ktime_t;

typedef struct { int counter; } atomic_t;
typedef struct { s64 counter; } atomic64_t;
typedef atomic64_t atomic_long_t;
struct refcount_struct { atomic_t refs; };
typedef struct refcount_struct refcount_t;
typedef struct { uid_t val; } kuid_t;
typedef struct { gid_t val; } kgid_t;
typedef struct { void *lock; } class_rcu_t;
typedef struct { long unsigned int bits[16]; } nodemask_t;

struct qspinlock { atomic_t val; };
typedef struct qspinlock arch_spinlock_t;
struct raw_spinlock { arch_spinlock_t raw_lock; };
typedef struct raw_spinlock raw_spinlock_t;
struct spinlock { struct raw_spinlock rlock; };
typedef struct spinlock spinlock_t;

struct list_head { struct list_head *next; struct list_head *prev; };
struct hlist_node { struct hlist_node *next; struct hlist_node **pprev; };
struct hlist_head { struct hlist_node *first; };
struct llist_node { struct llist_node *next; };
struct rb_node { long unsigned int __rb_parent_color; struct rb_node *rb_right; struct rb_node *rb_left; };
struct rb_root { struct rb_node *rb_node; };
struct rb_root_cached { struct rb_root rb_root; struct rb_node *rb_leftmost; };
struct rhash_head { struct rhash_head *next; };
struct callback_head { struct callback_head *next; void (*func)(struct callback_head *); };
typedef void (*work_func_t)(struct work_struct *);
struct work_struct { atomic_long_t data; struct list_head entry; work_func_t func; };
struct load_weight { long unsigned int weight; u32 inv_weight; };

// NR_CPUS 8192
struct cpumask { long unsigned int bits[128]; };
typedef struct cpumask cpumask_t;
typedef struct cpumask *cpumask_var_t;

// Objects that programs keep in maps or on their stack: sizes are ABI.
struct bpf_timer { __u64 __opaque[2]; };
struct bpf_wq { __u64 __opaque[2]; };
struct bpf_spin_lock { __u32 val; };
struct bpf_res_spin_lock { u32 val; } @6.15;
struct bpf_rb_root { __u64 __opaque[2]; };
struct bpf_rb_node { __u64 __opaque[4]; };
struct bpf_list_head { __u64 __opaque[2]; };
struct bpf_list_node { __u64 __opaque[3]; };
struct bpf_refcount { __u32 __opaque[1]; };
struct bpf_dynptr { __u64 __opaque[2]; };
struct bpf_iter_num { __u64 __opaque[1]; };
struct bpf_iter_bits { __u64 __opaque[2]; };
struct bpf_iter_css { __u64 __opaque[3]; };
struct bpf_iter_css_task { __u64 __opaque[1]; };
struct bpf_iter_task { __u64 __opaque[3]; };
struct bpf_cpumask { cpumask_t cpumask; refcount_t usage; };
struct bpf_perf_event_value { __u64 counter; __u64 enabled; __u64 running; };
