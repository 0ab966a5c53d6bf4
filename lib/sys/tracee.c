/* SPDX-License-Identifier: MIT */
#include "sys/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif
#define PF_EXITING  0x4 /* linux/sched.h */
#define PF_SIGNALED 0x400

static long trace(int request, pid_t tid, void *addr, void *data)
{
	long ret = ptrace(request, tid, addr, data);

	return ret < 0 ? -errno : ret;
}

int tracee_seize(pid_t tid)
{
	unsigned long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK |
				PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
				PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXIT |
				PTRACE_O_EXITKILL;

	return (int)trace(PTRACE_SEIZE, tid, NULL, (void *)options);
}

/* Returns 0, or -ESRCH: it was killed at the stop. */
static int event_message(pid_t tid, u64 *msg)
{
	unsigned long value = 0;
	long ret = trace(PTRACE_GETEVENTMSG, tid, NULL, &value);

	*msg = value;
	return (int)ret;
}

u32 tracee_seccomp_data(pid_t tid)
{
	u64 msg;

	return event_message(tid, &msg) ? 0 : (u32)msg;
}

static enum tracee_event classify_event(int event, int sig)
{
	switch (event) {
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		return TE_FORKED;
	case PTRACE_EVENT_EXEC:
		return TE_EXEC;
	case PTRACE_EVENT_EXIT:
		return TE_EXITING;
	case PTRACE_EVENT_SECCOMP:
		return TE_SECCOMP;
	case PTRACE_EVENT_STOP:
		/* A job-control signal: stopped.  SIGTRAP: new task, continued, or interrupted. */
		return sig == SIGTRAP ? TE_NEW : TE_GROUP_STOP;
	default:
		return TE_OTHER;
	}
}

/*
 * A task that is killed at a stop goes on to its exit stop at once, which has a message of its own: what was read is this
 * event's only if the stop has lasted until after that.
 */
static bool is_at_event(pid_t tid, int event)
{
	siginfo_t info;

	return !tracee_get_siginfo(tid, &info) && info.si_code >> 8 == event;
}

struct tracee_stop tracee_classify(pid_t tid, int status)
{
	struct tracee_stop s = { .tid = tid };
	int event = status >> 16;

	if (WIFEXITED(status)) {
		s.event = TE_EXITED;
		s.status = WEXITSTATUS(status);
	} else if (WIFSIGNALED(status)) {
		s.event = TE_KILLED;
		s.status = WTERMSIG(status);
	} else if (event) {
		s.status = WSTOPSIG(status);
		s.event = classify_event(event, s.status);
		if (s.event == TE_EXITING)
			(void)event_message(tid, &s.msg);
		else if ((s.event == TE_FORKED || s.event == TE_EXEC) &&
			 (event_message(tid, &s.msg) || !is_at_event(tid, event)))
			s.event = TE_LOST;
	} else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		s.event = TE_SYSCALL;
	} else {
		s.event = TE_SIGNAL;
		s.status = WSTOPSIG(status);
	}
	return s;
}

struct tracee_stop tracee_next(void)
{
	int status;
	pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);

	if (tid == 0)
		return (struct tracee_stop){ .event = TE_NONE };
	if (tid < 0)
		return (struct tracee_stop){ .event = errno == ECHILD ? TE_NO_TASKS : TE_NONE };
	return tracee_classify(tid, status);
}

struct tracee_stop tracee_wait(pid_t tid)
{
	int status;
	pid_t got;

	do
		got = waitpid(tid, &status, __WALL);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return (struct tracee_stop){ .event = TE_NO_TASKS, .tid = tid };
	return tracee_classify(tid, status);
}

struct tracee_stop tracee_poll(pid_t tid)
{
	int status;
	pid_t got = waitpid(tid, &status, __WALL | WNOHANG);

	if (got == 0)
		return (struct tracee_stop){ .event = TE_NONE, .tid = tid };
	if (got < 0)
		return (struct tracee_stop){ .event = TE_NO_TASKS, .tid = tid };
	return tracee_classify(tid, status);
}

bool tracee_is_traced(pid_t tid)
{
	siginfo_t info;

	return !waitid(P_PID, (id_t)tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL);
}

/* Its state, as in /proc/TID/stat ('\0': reaped, the wait says so).  *doomed: it is dying, or killed and about to. */
static char state_of(pid_t tid, bool *doomed)
{
	unsigned long pending = 0; /* its own; a SIGKILL is given to each thread */
	char path[32], line[512];
	unsigned int flags = 0;
	const char *fields;
	char state = '\0';
	ssize_t n;
	int fd;

	*doomed = false;
	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return state;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[n > 0 ? n : 0] = '\0';
	fields = strrchr(line, ')'); /* behind the name, which may have some of its own */
	if (!fields || sscanf(fields, ") %c %*s %*s %*s %*s %*s %u %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
				      "%*s %*s %*s %*s %*s %*s %*s %lu", &state, &flags, &pending) < 1)
		return '\0';
	*doomed = flags & (PF_EXITING | PF_SIGNALED) || pending & 1UL << (SIGKILL - 1);
	return state;
}

static bool is_dead(char state)
{
	return state == 'Z' || state == 'X';
}

bool tracee_is_zombie(pid_t tid)
{
	bool doomed;

	return is_dead(state_of(tid, &doomed));
}

bool tracee_is_exiting(pid_t tid)
{
	bool doomed;
	char state = state_of(tid, &doomed);

	return !state || is_dead(state) || doomed;
}

int tracee_resume(pid_t tid, int sig)
{
	return (int)trace(PTRACE_CONT, tid, NULL, (void *)(long)sig);
}

int tracee_resume_to_syscall(pid_t tid, int sig)
{
	return (int)trace(PTRACE_SYSCALL, tid, NULL, (void *)(long)sig);
}

int tracee_interrupt(pid_t tid)
{
	return (int)trace(PTRACE_INTERRUPT, tid, NULL, NULL);
}

int tracee_listen(pid_t tid)
{
	return (int)trace(PTRACE_LISTEN, tid, NULL, NULL);
}

int tracee_get_regs(pid_t tid, sc_regs *regs)
{
	return (int)trace(PTRACE_GETREGS, tid, NULL, regs);
}

int tracee_set_regs(pid_t tid, const sc_regs *regs)
{
	return (int)trace(PTRACE_SETREGS, tid, NULL, (void *)regs);
}

int tracee_get_result(pid_t tid, long *result)
{
	errno = 0;
	*result = ptrace(PTRACE_PEEKUSER, tid, (void *)SC_RESULT_OFFSET, NULL);
	return *result == -1 && errno ? -errno : 0;
}

bool tracee_at_entry(pid_t tid)
{
	struct __ptrace_syscall_info info;

	return ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

int tracee_get_siginfo(pid_t tid, siginfo_t *info)
{
	return (int)trace(PTRACE_GETSIGINFO, tid, NULL, info);
}

int tracee_get_sigmask(pid_t tid, u64 *mask)
{
	return (int)trace(PTRACE_GETSIGMASK, tid, (void *)sizeof(*mask), mask);
}

int tracee_set_sigmask(pid_t tid, u64 mask)
{
	return (int)trace(PTRACE_SETSIGMASK, tid, (void *)sizeof(mask), &mask);
}

static int open_mem(pid_t tid, int flags)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", tid);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int tracee_read(pid_t tid, u64 addr, void *dst, size_t len)
{
	int fd = open_mem(tid, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return -ESRCH;
	n = pread(fd, dst, len, (off_t)addr);
	close(fd);
	return n == (ssize_t)len ? 0 : -EIO;
}

int tracee_write(pid_t tid, u64 addr, const void *src, size_t len)
{
	int fd = open_mem(tid, O_RDWR);
	ssize_t n;

	if (fd < 0)
		return -ESRCH;
	n = pwrite(fd, src, len, (off_t)addr);
	close(fd);
	return n == (ssize_t)len ? 0 : -EIO;
}
