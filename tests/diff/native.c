/* SPDX-License-Identifier: MIT */
/*
 * native.c - do cases on the kernel, in a child that allocates nothing, and write down what
 * it says.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diff.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static int test_file = -1;
static int smaps, pagemap, statm, status;
static sigjmp_buf on_signal;

/* ---- looking ---- */

static const struct {
	char name[3];
	u64 bit;
} flag_names[] = {
	{ "rd", VM_READ }, { "wr", VM_WRITE }, { "ex", VM_EXEC }, { "sh", VM_SHARED },
	{ "mr", VM_MAYREAD }, { "mw", VM_MAYWRITE }, { "me", VM_MAYEXEC }, { "ms", VM_MAYSHARE },
	{ "gd", VM_GROWSDOWN }, { "lo", VM_LOCKED }, { "sr", VM_SEQ_READ }, { "rr", VM_RAND_READ },
	{ "dc", VM_DONTCOPY }, { "lf", VM_LOCKONFAULT }, { "ac", VM_ACCOUNT },
	{ "nr", VM_NORESERVE }, { "wf", VM_WIPEONFORK }, { "dd", VM_DONTDUMP },
	{ "hg", VM_HUGEPAGE }, { "nh", VM_NOHUGEPAGE }, { "mg", VM_MERGEABLE }, { "sl", VM_SEALED },
};

static u64 parse_flags(const char *p)
{
	u64 flags = 0;

	for (; p[0] == ' ' && p[1] > ' '; p += 3) {
		for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++) {
			if (p[1] == flag_names[i].name[0] && p[2] == flag_names[i].name[1])
				flags |= flag_names[i].bit;
		}
	}
	return flags;
}

static u64 parse_hex(const char **p)
{
	u64 x = 0;

	for (;; ++*p) {
		char c = **p;

		if (c >= '0' && c <= '9')
			x = x << 4 | (u64)(c - '0');
		else if (c >= 'a' && c <= 'f')
			x = x << 4 | (u64)(c - 'a' + 10);
		else
			return x;
	}
}

/* One line of smaps.  Returns false when it is past the window. */
static bool smaps_line(struct outcome *o, struct range window, const char *p)
{
	static bool inside;
	struct line l = { 0 };

	if (!strncmp(p, "VmFlags:", 8)) {
		if (inside)
			o->line[o->nr_lines - 1].vm_flags = parse_flags(p + 8);
		return true;
	}
	if ((*p < '0' || *p > '9') && (*p < 'a' || *p > 'f'))
		return true;
	l.start = parse_hex(&p);
	if (*p++ != '-')
		return true;
	l.end = parse_hex(&p);
	inside = l.start >= window.start && l.start < window.end;
	if (inside) {
		BUG_ON(o->nr_lines == WINDOW_PAGES);
		o->line[o->nr_lines++] = l;
	}
	return l.start < window.end;
}

#define SMAPS_BITE 512u

static void read_smaps(struct outcome *o, struct range window)
{
	static char buf[4096 + SMAPS_BITE];
	size_t have = 0;
	off_t at = 0;
	ssize_t n;

	/* in small bites: the kernel looks at no mapping before it is asked for */
	while ((n = pread(smaps, buf + have, SMAPS_BITE, at)) > 0) {
		char *p = buf, *end;

		at += n;
		have += n;
		buf[have] = '\0';
		while ((end = memchr(p, '\n', have - (p - buf)))) {
			*end = '\0';
			if (!smaps_line(o, window, p))
				return;
			p = end + 1;
		}
		have -= p - buf;
		memmove(buf, p, have);
	}
}

static void read_counters(s64 *total, s64 *data, s64 *locked)
{
	char buf[4096];
	char *p;
	ssize_t n = pread(statm, buf, sizeof(buf) - 1, 0);

	BUG_ON(n <= 0);
	buf[n] = '\0';
	BUG_ON(sscanf(buf, "%ld %*d %*d %*d %*d %ld", total, data) != 2);
	n = pread(status, buf, sizeof(buf) - 1, 0);
	BUG_ON(n <= 0);
	buf[n] = '\0';
	p = strstr(buf, "VmLck:");
	BUG_ON(!p || sscanf(p + 6, "%ld", locked) != 1);
	*locked /= 4;
}

static u64 read_present(u64 start)
{
	u64 entry[WINDOW_PAGES], present = 0;

	BUG_ON(pread(pagemap, entry, sizeof(entry), (off_t)(start / PAGE_SIZE * 8)) !=
	       (ssize_t)sizeof(entry));
	for (u32 i = 0; i < WINDOW_PAGES; i++) {
		if (entry[i] >> 62) /* present or swapped */
			present |= 1UL << i;
	}
	return present;
}

/* /proc/self of the process that calls. */
static void open_proc(void)
{
	smaps = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	BUG_ON(smaps < 0 || pagemap < 0 || statm < 0 || status < 0);
}

static void close_proc(void)
{
	close(smaps);
	close(pagemap);
	close(statm);
	close(status);
}

/* ---- steps ---- */

static void on_fatal_signal(int sig)
{
	siglongjmp(on_signal, 1);
}

static s64 touch(u64 addr, bool write)
{
	volatile char *p = (volatile char *)addr;

	if (sigsetjmp(on_signal, 0))
		return -EFAULT;
	if (write)
		*p = 1;
	else
		(void)*p;
	return 0;
}

/* The system call itself: libc's wrappers would check, round or allocate. */
s64 native_step(const struct step *s)
{
	long r;

	switch (s->call) {
	case C_MMAP:
		r = syscall(SYS_mmap, s->addr, s->len, s->prot, s->flags, s->file ? test_file : -1,
			    s->addr2 * PAGE_SIZE);
		break;
	case C_MUNMAP:
		r = syscall(SYS_munmap, s->addr, s->len);
		break;
	case C_MPROTECT:
		r = syscall(SYS_mprotect, s->addr, s->len, s->prot);
		break;
	case C_MADVISE:
		r = syscall(SYS_madvise, s->addr, s->len, s->prot);
		break;
	case C_MREMAP:
		r = syscall(SYS_mremap, s->addr, s->len, s->len2, s->flags, s->addr2);
		break;
	case C_MLOCK:
		r = syscall(SYS_mlock2, s->addr, s->len, s->prot);
		break;
	case C_MUNLOCK:
		r = syscall(SYS_munlock, s->addr, s->len);
		break;
	case C_MLOCKALL:
		r = syscall(SYS_mlockall, s->flags);
		break;
	case C_MUNLOCKALL:
		r = syscall(SYS_munlockall);
		break;
	case C_MSEAL:
		r = syscall(SYS_mseal, s->addr, s->len, 0);
		break;
	case C_BRK:
		return syscall(SYS_brk, s->addr);
	case C_READ:
	case C_WRITE:
		return touch(s->addr, s->call == C_WRITE);
	default:
		BUG("step %u", s->call);
	}
	return r == -1 ? -errno : r;
}

/* The numbers of /proc/self/stat that PR_SET_MM_MAP wants back. */
static struct prctl_mm_map mm_map;

static void read_mm_map(void)
{
	unsigned long field[52] = { 0 };
	char buf[2048];
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	char *p;

	close(fd);
	BUG_ON(n <= 0);
	buf[n] = '\0';
	p = strrchr(buf, ')') + 4; /* behind the state, field 3 */
	for (int i = 4; i < 52; i++)
		field[i] = strtoul(p, &p, 10);
	mm_map = (struct prctl_mm_map){
		.start_code = field[26], .end_code = field[27], .start_stack = field[28],
		.start_data = field[45], .end_data = field[46], .arg_start = field[48],
		.arg_end = field[49], .env_start = field[50], .env_end = field[51],
		.exe_fd = -1,
	};
}

/* An empty heap at BRK_AT(0).  From here on libc must not allocate. */
static void move_heap(void)
{
	mm_map.start_brk = mm_map.brk = BRK_AT(0);
	BUG_ON(prctl(PR_SET_MM, PR_SET_MM_MAP, &mm_map, sizeof(mm_map), 0));
}

static void clear_window(u64 start)
{
	BUG_ON(syscall(SYS_munlockall));
	/* what grew down, and the guard gap of what did */
	BUG_ON(syscall(SYS_munmap, start - PAGES(WINDOW_PAGES), PAGES(3 * WINDOW_PAGES)));
}

static void look(struct outcome *o, u64 start, s64 total, s64 data, s64 locked)
{
	read_counters(&o->total_vm, &o->data_vm, &o->locked_vm);
	o->total_vm -= total;
	o->data_vm -= data;
	o->locked_vm -= locked;
	read_smaps(o, range_of(start, PAGES(WINDOW_PAGES)));
	o->present = read_present(start);
}

/* Fork, and wait for the child.  Returns false in the child, which does the rest of the case. */
static bool go_on_in_child(void)
{
	pid_t pid = fork();
	int st;

	BUG_ON(pid < 0);
	if (pid) {
		BUG_ON(waitpid(pid, &st, 0) != pid || st);
		return true;
	}
	close_proc();
	open_proc();
	return false;
}

/* A sealed mapping cannot be cleared away: its process must end. */
static bool seals(const struct test_case *c)
{
	for (u32 i = 0; i < c->nr_steps; i++) {
		if (c->step[i].call == C_MSEAL)
			return true;
	}
	return false;
}

static void run_case(const struct test_case *c, struct outcome *o)
{
	u64 start = c->heap ? HEAP : LOW;
	s64 total, data, locked;
	bool in_child = false;

	if (seals(c)) {
		if (go_on_in_child())
			return;
		in_child = true;
	}
	if (c->heap)
		move_heap();
	read_counters(&total, &data, &locked);
	for (u32 i = 0; i < c->nr_steps; i++) {
		const struct step *s = &c->step[i];

		if (s->call == C_FORK) {
			if (go_on_in_child())
				goto clear;
			in_child = true;
			continue;
		}
		o->result[i] = native_step(s);
		/* moved out of sight: to where nothing of the test is */
		if (s->call == C_MREMAP && o->result[i] > 0 &&
		    (u64)o->result[i] >= start + PAGES(2 * WINDOW_PAGES))
			BUG_ON(syscall(SYS_munmap, o->result[i], page_align_up(s->len2)));
	}
	look(o, start, total, data, locked);
	if (in_child)
		_exit(0);
clear:
	clear_window(start);
}

static void child_main(const struct test_case *cases, struct outcome *out, u32 n)
{
	struct sigaction sa = { .sa_handler = on_fatal_signal, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	open_proc();
	for (u32 i = 0; i < n; i++)
		run_case(&cases[i], &out[i]);
	_exit(0);
}

int native_init(void)
{
	test_file = memfd_create("diff", MFD_CLOEXEC);
	if (test_file < 0 || ftruncate(test_file, PAGES(256)))
		return -errno;
	read_mm_map();
	return 0;
}

void native_run(const struct test_case *cases, struct outcome *out, u32 n)
{
	int st;
	pid_t pid;

	memset(out, 0, n * sizeof(*out));
	fflush(NULL);
	pid = fork();
	BUG_ON(pid < 0);
	if (pid == 0)
		child_main(cases, out, n);
	BUG_ON(waitpid(pid, &st, 0) != pid);
	if (st)
		BUG("the child that ran the cases died with status %#x", st);
}
