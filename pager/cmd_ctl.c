/* SPDX-License-Identifier: MIT */
/*
 * cmd_ctl.c - `upager ctl PID [KEY=VALUE…]`: show the settings and figures of a run, or change
 * settings.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "control.h"
#include "plugin.h"

#define TRIAL_PAGES 16384

static void usage(void)
{
	fputs("Usage: upager ctl PID [KEY=VALUE…]\n\n"
	      "Without KEY=VALUE: show the settings and figures of the run of process PID, as key=value lines;\n"
	      "sizes in bytes.  With: change the run, one after the other, until one is refused.\n\n"
	      "  memory=SIZE               the budget, such as 64M\n"
	      "  policy=NAME[:KEY=VALUE,…] who is evicted; a path such as ./mine.so[:ARGS] is a plug-in\n\n"
	      "PID may be any process or thread of the run, or upager's own.\n\n"
	      "Exits 0; 1 when the run cannot be asked or refuses; 125 for a wrong command line.\n", stdout);
}

/*
 * Write the request for `word` to buf.  A plug-in's path is made absolute, since the supervisor has
 * another working directory than we, and it is tried here first, so that one that crashes at once
 * does not take the run with it.  Returns 0, or 1 with one line said.
 */
static int make_request(const char *word, char *buf, size_t size)
{
	static const char policy[] = "policy=";
	const char *name = word + sizeof(policy) - 1, *args;
	char file[PATH_MAX], full[PATH_MAX], why[512];
	int n;

	if (strchr(word, '\n'))
		return client_complain("a setting cannot have a newline in it");
	if (strncmp(word, policy, sizeof(policy) - 1) || !policy_is_plugin(name)) {
		n = snprintf(buf, size, "ctl %s\n", word);
	} else {
		args = name + strcspn(name, ":");
		if (snprintf(file, sizeof(file), "%.*s", (int)(args - name), name) >= (int)sizeof(file))
			return client_complain("%s", strerror(ENAMETOOLONG));
		if (!realpath(file, full))
			return client_complain("%s: %s", file, strerror(errno));
		n = snprintf(buf, size, "ctl %s%s%s\n", policy, full, args);
		if (policy_try(name, TRIAL_PAGES, why, sizeof(why)))
			return client_complain("%s", why);
	}
	if (n >= (int)size)
		return client_complain("'%.40s…' is too long", word);
	return 0;
}

static int ask_one(pid_t pid, const char *request)
{
	pid_t front, process;
	int fd = client_open(pid, &front, &process);

	return fd < 0 ? 1 : client_ask(fd, front, request);
}

int cmd_ctl(int argc, char **argv)
{
	char request[CONTROL_REQUEST_MAX];
	pid_t pid;
	int ret = 0;

	client_name = "ctl";
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage();
		return 0;
	}
	if (argc < 2 || argv[1][0] == '-') {
		client_complain("wrong arguments; see upager ctl --help");
		return EXIT_UPAGER;
	}
	pid = client_pid(argv[1]);
	if (pid < 0)
		return EXIT_UPAGER;
	for (int i = 2; i < argc; i++) {
		if (!strchr(argv[i], '=')) {
			client_complain("'%s' is not KEY=VALUE; see upager ctl --help", argv[i]);
			return EXIT_UPAGER;
		}
	}
	if (argc == 2)
		ret = ask_one(pid, "ctl\n");
	for (int i = 2; i < argc && !ret; i++) {
		ret = make_request(argv[i], request, sizeof(request));
		if (!ret)
			ret = ask_one(pid, request);
	}
	return client_finish(ret);
}
