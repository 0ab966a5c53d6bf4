/* SPDX-License-Identifier: MIT */
/* shrink.c - see shrink.h. */
#include "shrink.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_SECONDS 20

/* "BUG at FILE:LINE" or a sanitizer's headline; numbers behind it differ from run to run. */
static void read_signature(int fd, char signature[SIGNATURE_BYTES])
{
	char line[512];
	FILE *f;

	strcpy(signature, "died");
	lseek(fd, 0, SEEK_SET);
	f = fdopen(fd, "r");
	while (f && fgets(line, sizeof(line), f)) {
		char *bug = strstr(line, "BUG at ");
		char *space = NULL;

		if (bug)
			space = strchr(bug + 7, ' ');
		else if (strstr(line, "runtime error: ") || strstr(line, "ERROR: AddressSanitizer"))
			space = strchr(line, '\n');
		if (!space)
			continue;
		*space = '\0';
		snprintf(signature, SIGNATURE_BYTES, "%.*s", SIGNATURE_BYTES - 1, line);
		break;
	}
	if (f)
		fclose(f);
}

bool run_in_child(const u8 *data, size_t len, const struct sim_options *options,
		  char signature[SIGNATURE_BYTES])
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);
	int status;
	pid_t pid;

	BUG_ON(fd < 0);
	fflush(NULL);
	pid = fork();
	BUG_ON(pid < 0);
	if (pid == 0) {
		dup2(fd, STDERR_FILENO);
		alarm(RUN_SECONDS);
		sim_run(data, len, options, NULL);
		_exit(0);
	}
	BUG_ON(waitpid(pid, &status, 0) != pid);
	read_signature(fd, signature);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

size_t shrink(u8 *data, size_t len, const struct sim_options *options,
	      const char signature[SIGNATURE_BYTES])
{
	size_t n = len / SIM_OP_BYTES;
	u8 *trial = malloc(len + 1);

	BUG_ON(!trial);
	for (size_t chunk = n / 2 + 1; chunk;) {
		bool cut = false;

		for (size_t at = 0; at + chunk <= n;) {
			char now[SIGNATURE_BYTES];
			size_t head = at * SIM_OP_BYTES, gone = chunk * SIM_OP_BYTES;
			size_t rest = (n - at - chunk) * SIM_OP_BYTES;

			memcpy(trial, data, head);
			memcpy(trial + head, data + head + gone, rest);
			if (run_in_child(trial, head + rest, options, now) || strcmp(now, signature)) {
				at += chunk;
				continue;
			}
			memcpy(data, trial, head + rest);
			n -= chunk;
			cut = true;
		}
		if (!cut || chunk > n)
			chunk /= 2;
	}
	free(trial);
	return n * SIM_OP_BYTES;
}
