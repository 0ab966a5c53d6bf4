/* SPDX-License-Identifier: MIT */
/*
 * commands.h - the sub-commands of upager, one source file each (cmd_NAME.c), called by main.c.
 *
 * argv[0] is what messages begin with ("upager doctor"); the rest are the sub-command's own options.
 */
#ifndef UPAGER_COMMANDS_H
#define UPAGER_COMMANDS_H

/*
 * Print what this machine allows upager to do.
 * Return: 0 `upager run` will work, 1 it will not, 125 our own failure.  Exits on usage errors (125).
 */
int cmd_doctor(int argc, char **argv);

#endif /* UPAGER_COMMANDS_H */
