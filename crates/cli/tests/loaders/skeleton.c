/* Loads simple as any user of libbpf's skeletons does: sets a variable, attaches, reads another. */
#include <stdio.h>
#include <unistd.h>
#include <bpf/libbpf.h>

/* as the kernel's own tools have it */
struct user_exit_info {
	int kind, exit_cpu;
	long long exit_code;
	char reason[128], msg[1024];
};

#include "simple.skel.h"

static void show(const char *path)
{
	char line[64] = "";
	FILE *file = fopen(path, "r");

	if (file && fgets(line, sizeof(line), file))
		printf("%s", line);
	if (file)
		fclose(file);
}

int main(void)
{
	struct simple *skel = simple__open();
	struct bpf_link *link;

	if (!skel)
		return 1;
	skel->rodata->fifo_sched = 0;
	if (simple__load(skel))
		return 2;
	link = bpf_map__attach_struct_ops(skel->maps.simple_ops);
	if (!link)
		return 3;
	show("/sys/kernel/sched_ext/state");
	usleep(200000);
	printf("virtual time %s\n", skel->bss->vtime_now ? "goes on" : "stands still");
	bpf_link__destroy(link);
	usleep(200000);
	show("/sys/kernel/sched_ext/state");
	simple__destroy(skel);
	return 0;
}
