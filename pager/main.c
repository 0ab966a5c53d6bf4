/* SPDX-License-Identifier: MIT */
/* main.c - `upager COMMAND …`: find the command, run it. */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "commands.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "run", cmd_run, "run a program under the pager" },
	{ "maps", cmd_maps, "show the memory of a run in progress, as the pager's model has it" },
	{ "ctl", cmd_ctl, "show a run's budget and figures, or change them" },
	{ "doctor", cmd_doctor, "say what this machine allows, and what to change" },
};

static void usage(FILE *f)
{
	fputs("Usage: upager COMMAND [OPTION…]\n\n"
	      "A userspace pager: runs an unmodified program and answers its page faults.\n\n"
	      "Commands:\n", f);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-8s %s\n", commands[i].name, commands[i].help);
	fputs("\n`upager COMMAND --help` tells more; `upager --version` says which this is.\n", f);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return EXIT_UPAGER;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("upager " UPAGER_VERSION);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "upager: unknown command '%s'; see upager --help\n", argv[1]);
	return EXIT_UPAGER;
}
