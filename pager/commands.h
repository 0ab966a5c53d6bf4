/* SPDX-License-Identifier: MIT */
/* commands.h - one function a sub-command, called by main.c with argv[0] the sub-command's name. */
#ifndef UPAGER_COMMANDS_H
#define UPAGER_COMMANDS_H

/* upager's own failures. */
#define EXIT_UPAGER         125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127

int cmd_run(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_maps(int argc, char **argv);
int cmd_ctl(int argc, char **argv);

#endif /* UPAGER_COMMANDS_H */
