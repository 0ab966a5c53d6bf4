/* SPDX-License-Identifier: MIT */
/* cmd_maps.c - `upager maps [PID]`: show the memory of a process of a run in progress, or list all runs. */
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "control.h"

/* ---- one process ---- */

static int maps_of(pid_t pid)
{
	pid_t front, process;
	char request[32];
	int fd = client_open(pid, &front, &process);

	if (fd < 0)
		return 1;
	snprintf(request, sizeof(request), "maps %d\n", process);
	return client_ask(fd, front, request);
}

/* ---- all runs ---- */

/* Of one run; *nr counts them.  Returns 0, or 1 when it could not be asked.  A run that ends meanwhile is none. */
static int list_run(int fd, pid_t front, int *nr)
{
	char *body;
	int ret = client_request(fd, "list\n", &body);

	if (ret == -ECONNRESET)
		return 0;
	if (ret)
		ret = client_failed(ret, front, body);
	else
		printf("%srun %d: %s", (*nr)++ ? "\n" : "", front, body);
	free(body);
	return ret;
}

/* Those of one folder.  Returns as list_run() does. */
static int list_dir(const char *dir, int *nr)
{
	char path[CONTROL_PATH_MAX + sizeof(((struct dirent *)0)->d_name)];
	struct dirent *e;
	DIR *d = opendir(dir);
	int ret = 0;

	while (d && (e = readdir(d))) {
		pid_t front = atoi(e->d_name);
		int fd;

		if (front <= 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		fd = client_connect(path);
		if (fd >= 0) /* else it has just ended */
			ret |= list_run(fd, front, nr);
	}
	if (d)
		closedir(d);
	return ret;
}

static int list_user(uid_t uid, int *nr)
{
	char dir[CONTROL_PATH_MAX];
	int ret = 0;

	for (int i = 0; control_dir(uid, i, dir); i++)
		if (control_dir_is_safe(dir, uid))
			ret |= list_dir(dir, nr);
	return ret;
}

/* For root: the folders of other users, where they are unless XDG_RUNTIME_DIR said otherwise. */
static int list_others(int *nr)
{
	struct stat st;
	glob_t g;
	int ret = 0;

	if (glob("/run/user/*/upager", 0, NULL, &g) && errno == ENOMEM)
		return client_complain("out of memory");
	(void)glob("/tmp/upager-*", GLOB_APPEND, NULL, &g);
	for (size_t i = 0; i < g.gl_pathc; i++)
		if (!lstat(g.gl_pathv[i], &st) && st.st_uid &&
		    control_dir_is_safe(g.gl_pathv[i], st.st_uid))
			ret |= list_dir(g.gl_pathv[i], nr);
	globfree(&g);
	return ret;
}

static int list_runs(void)
{
	int nr = 0, ret = list_user(geteuid(), &nr);

	if (!geteuid())
		ret |= list_others(&nr);
	if (!nr)
		puts("no runs in progress");
	return ret;
}

/* ---- the command ---- */

static void usage(void)
{
	fputs("Usage: upager maps [PID]\n\n"
	      "Show the memory of process PID of a run in progress as upager's model has it: mm_struct, then\n"
	      "each mapping in the manner of /proc/PID/smaps with its anon_vma: its id, its degree (children and\n"
	      "active vmas), how many anon_vmas the vma hangs on, how many vmas a reverse walk reaches.\n"
	      "Shared: pages whose frame is mapped more than once. WriteProtected: the next write comes to upager.\n"
	      "Zero: pages that map the zero page. VmFlags has smaps' letters, then -u: left to the kernel.\n"
	      "PID may be any process or thread of the run; that of upager itself means the program it runs.\n\n"
	      "Without PID: list the runs in progress and their processes.\n\n"
	      "Exits 0; 1 when there is nothing to show; 125 for a wrong command line.\n", stdout);
}

int cmd_maps(int argc, char **argv)
{
	pid_t pid;

	client_name = "maps";
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage();
		return 0;
	}
	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		client_complain("wrong arguments; see upager maps --help");
		return EXIT_UPAGER;
	}
	if (argc < 2)
		return client_finish(list_runs());
	pid = client_pid(argv[1]);
	return pid < 0 ? EXIT_UPAGER : client_finish(maps_of(pid));
}
