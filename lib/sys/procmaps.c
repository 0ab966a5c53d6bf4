/* SPDX-License-Identifier: MIT */
#include "sys/procmaps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

static int open_proc(pid_t pid, const char *what)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Read a whole small file into buf, terminated.  Returns its length or -ESRCH. */
static ssize_t slurp(pid_t pid, const char *what, char *buf, size_t size)
{
	int fd = open_proc(pid, what);
	ssize_t n;

	if (fd < 0)
		return -ESRCH;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return -ESRCH;
	buf[n] = '\0';
	return n;
}

static int text_reserve(struct maps *m, size_t need)
{
	char *text;
	size_t size = m->text_alloc ? m->text_alloc : 16384;

	if (need <= m->text_alloc)
		return 0;
	while (size < need)
		size *= 2;
	text = realloc(m->text, size);
	if (!text)
		return -ENOMEM;
	m->text = text;
	m->text_alloc = size;
	return 0;
}

static int read_text(struct maps *m, pid_t pid)
{
	int fd = open_proc(pid, "maps");
	size_t used = 0;
	ssize_t n;
	int ret = 0;

	if (fd < 0)
		return -ESRCH;
	for (;;) {
		ret = text_reserve(m, used + 8192);
		if (ret)
			break;
		n = read(fd, m->text + used, m->text_alloc - used - 1);
		if (n < 0)
			ret = -ESRCH;
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	close(fd);
	if (!ret)
		m->text[used] = '\0';
	return ret;
}

static u64 parse_hex(char **p)
{
	u64 v = 0;

	for (;; (*p)++) {
		char c = **p;

		if (c >= '0' && c <= '9')
			v = v << 4 | (u64)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (u64)(c - 'a' + 10);
		else
			return v;
	}
}

/* "start-end perm off major:minor ino   name\n"; returns the next line. */
static char *parse_line(char *p, struct map_line *l)
{
	u64 major, minor;
	char *eol;

	l->start = parse_hex(&p);
	p++;
	l->end = parse_hex(&p);
	p++;
	l->perm = (p[0] == 'r' ? MAP_PERM_READ : 0) | (p[1] == 'w' ? MAP_PERM_WRITE : 0) |
		  (p[2] == 'x' ? MAP_PERM_EXEC : 0) | (p[3] == 's' ? MAP_PERM_SHARED : 0);
	p += 5;
	l->pgoff = parse_hex(&p) >> PAGE_SHIFT;
	p++;
	major = parse_hex(&p);
	p++;
	minor = parse_hex(&p);
	l->dev = makedev(major, minor);
	l->ino = strtoull(p, &p, 10);
	while (*p == ' ')
		p++;
	l->name = p;
	eol = strchrnul(p, '\n');
	if (*eol)
		*eol++ = '\0';
	return eol;
}

static int lines_reserve(struct maps *m)
{
	size_t n = m->nr_alloc ? m->nr_alloc * 2 : 128;
	struct map_line *lines;

	if (m->nr < m->nr_alloc)
		return 0;
	lines = realloc(m->lines, n * sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	m->lines = lines;
	m->nr_alloc = n;
	return 0;
}

int maps_read(struct maps *m, pid_t pid)
{
	char *p;
	int ret = read_text(m, pid);

	m->nr = 0;
	if (ret)
		return ret;
	for (p = m->text; *p;) {
		ret = lines_reserve(m);
		if (ret)
			return ret;
		p = parse_line(p, &m->lines[m->nr]);
		/* The vsyscall page is the kernel's own; no address space holds it. */
		if (m->lines[m->nr].start < TASK_SIZE)
			m->nr++;
	}
	return 0;
}

void maps_free(struct maps *m)
{
	free(m->lines);
	free(m->text);
	*m = (struct maps){ 0 };
}

int pagemap_open(pid_t pid)
{
	return open_proc(pid, "pagemap");
}

s64 pagemap_read(int fd, u64 addr, u64 *entries, size_t nr)
{
	ssize_t n = pread(fd, entries, nr * sizeof(*entries),
			  (off_t)((addr >> PAGE_SHIFT) * sizeof(*entries)));

	return n < 0 ? -errno : n / (ssize_t)sizeof(*entries);
}

u64 kpageflags(u64 pfn)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	u64 flags = 0;

	if (fd < 0)
		return 0;
	if (pread(fd, &flags, sizeof(flags), (off_t)(pfn * sizeof(flags))) != sizeof(flags))
		flags = 0;
	close(fd);
	return flags;
}

/* Field `nr` (from 3) of a stat line, after the command's closing parenthesis. */
static const char *stat_field(const char *line, int nr)
{
	const char *p = strrchr(line, ')');

	for (int i = 2; p && i < nr; i++) {
		p = strchr(p, ' ');
		if (p)
			p++;
	}
	return p;
}

int proc_stat_mm(pid_t pid, struct proc_stat_mm *out)
{
	char buf[2048];
	const char *p;
	char *q;

	if (slurp(pid, "stat", buf, sizeof(buf)) < 0)
		return -ESRCH;
	p = stat_field(buf, 26);
	if (!p)
		return -ESRCH;
	out->start_code = strtoull(p, &q, 10);
	out->end_code = strtoull(q, &q, 10);
	out->start_stack = strtoull(q, &q, 10);
	p = stat_field(buf, 45);
	if (!p)
		return -ESRCH;
	out->start_data = strtoull(p, &q, 10);
	out->end_data = strtoull(q, &q, 10);
	out->start_brk = strtoull(q, &q, 10);
	out->arg_start = strtoull(q, &q, 10);
	out->arg_end = strtoull(q, &q, 10);
	out->env_start = strtoull(q, &q, 10);
	out->env_end = strtoull(q, &q, 10);
	return 0;
}

int proc_status_mm(pid_t pid, struct proc_status_mm *out)
{
	const struct {
		const char *key;
		u64 *value;
	} fields[] = { /* in the file's order */
		{ "\nVmPeak:", &out->vm_peak }, { "\nVmSize:", &out->vm_size },
		{ "\nVmLck:", &out->vm_lck }, { "\nVmPin:", &out->vm_pin },
		{ "\nVmData:", &out->vm_data }, { "\nVmStk:", &out->vm_stk },
		{ "\nVmExe:", &out->vm_exe }, { "\nVmLib:", &out->vm_lib },
		{ "\nVmPTE:", &out->vm_pte },
	};
	char buf[8192];
	const char *p = buf;

	if (slurp(pid, "status", buf, sizeof(buf)) < 0)
		return -ESRCH;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		p = strstr(p, fields[i].key);
		if (!p)
			return -ESRCH;
		*fields[i].value = strtoull(p + strlen(fields[i].key), NULL, 10);
	}
	return 0;
}

s64 proc_auxv(pid_t pid, u64 *values, size_t nr)
{
	int fd = open_proc(pid, "auxv");
	ssize_t n;

	if (fd < 0)
		return -ESRCH;
	n = read(fd, values, nr * sizeof(*values));
	close(fd);
	return n < 0 ? -ESRCH : n / (ssize_t)sizeof(*values);
}

int proc_task_cpu(pid_t tid)
{
	char buf[2048];
	const char *p;

	if (slurp(tid, "stat", buf, sizeof(buf)) < 0)
		return -ESRCH;
	p = stat_field(buf, 39);
	return p ? atoi(p) : -ESRCH;
}

bool proc_task_has_mm(pid_t tid)
{
	char buf[2048];
	const char *p;

	if (slurp(tid, "stat", buf, sizeof(buf)) < 0)
		return false;
	p = stat_field(buf, 23); /* vsize; 0: exit_mm() is behind it */
	return p && strtoull(p, NULL, 10);
}

pid_t proc_ppid(pid_t tid)
{
	char buf[2048];
	const char *p;

	if (slurp(tid, "stat", buf, sizeof(buf)) < 0)
		return -ESRCH;
	p = stat_field(buf, 4);
	return p ? atoi(p) : -ESRCH;
}

/* The number behind `key` ("\nName:") of a status file, or -ESRCH. */
static pid_t status_field(pid_t tid, const char *key)
{
	char buf[2048];
	const char *p;

	if (slurp(tid, "status", buf, sizeof(buf)) < 0)
		return -ESRCH;
	p = strstr(buf, key);
	return p ? atoi(p + strlen(key)) : -ESRCH;
}

bool proc_is_thread(pid_t tid)
{
	pid_t tgid = status_field(tid, "\nTgid:");

	return tgid > 0 && tgid != tid;
}

pid_t proc_tracer(pid_t tid)
{
	return status_field(tid, "\nTracerPid:");
}

pid_t proc_pid_beside(pid_t tid, pid_t tgid)
{
	char path[32], line[512], *at, *end;
	int level = -1;
	pid_t pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		bool process = !strncmp(line, "NStgid:", 7);

		if (!process && strncmp(line, "NSpid:", 6) != 0)
			continue;
		at = strchr(line, ':') + 1; /* one number for each namespace, down from ours */
		for (int i = 0; (pid = (pid_t)strtol(at, &end, 10)) && end != at; i++, at = end)
			if (process ? pid == tgid : i == level) {
				level = i;
				break;
			}
		if (!process || level < 0)
			break;
	}
	fclose(f);
	return level < 0 ? 0 : pid;
}

pid_t proc_child(pid_t tgid, pid_t tid, bool (*is)(pid_t child, void *arg), void *arg)
{
	char path[64];
	pid_t child, found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", tgid, tid);
	f = fopen(path, "re");
	if (!f)
		return -ENOENT;
	while (!found && fscanf(f, "%d", &child) == 1)
		if (is(child, arg))
			found = child;
	fclose(f);
	return found;
}

/* What /proc/TID/status says of signals, bit N - 1 for signal N, and of the pid in its own PID namespace. */
struct status_signals {
	unsigned long long ignored, caught;
	bool is_init;
};

/* By lines: that of Groups: before them may be of any length.  Returns false: it is gone. */
static bool status_signals(pid_t tid, struct status_signals *s)
{
	char path[32], line[512], *last;
	FILE *f;

	*s = (struct status_signals){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		(void)(sscanf(line, "SigIgn: %llx", &s->ignored) == 1 || sscanf(line, "SigCgt: %llx", &s->caught) == 1);
		if (strncmp(line, "NStgid:", 7) != 0)
			continue;
		last = strrchr(line, '\t'); /* one number for each namespace, down from ours */
		s->is_init = last > strchr(line, '\t') && !strcmp(last, "\t1\n");
	}
	fclose(f);
	return true;
}

bool proc_is_init(pid_t tid)
{
	struct status_signals s;

	return status_signals(tid, &s) && s.is_init;
}

bool proc_catches(pid_t tid, int sig)
{
	struct status_signals s;

	return status_signals(tid, &s) && (s.caught & 1ULL << (sig - 1));
}

bool proc_ignores(pid_t tid, int sig)
{
	struct status_signals s;
	u64 bit = 1ULL << (sig - 1);
	bool by_default = sig == SIGCHLD || sig == SIGCONT || sig == SIGURG || sig == SIGWINCH;

	return status_signals(tid, &s) && (s.ignored & bit || (by_default && !(s.caught & bit)));
}

bool proc_dumps_core(pid_t tid, int sig)
{
	struct rlimit limit = { 0 };
	struct status_signals s;

	if (prlimit(tid, RLIMIT_CORE, NULL, &limit) || !limit.rlim_cur)
		return false;
	return status_signals(tid, &s) && !((s.ignored | s.caught) & 1ULL << (sig - 1));
}

void proc_link(pid_t tid, const char *name, char *to, size_t len)
{
	char path[48];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", tid, name);
	n = readlink(path, to, len - 1);
	to[n < 0 ? 0 : n] = '\0';
}

bool proc_fd_is_proc(pid_t tid, int fd, dev_t *dev)
{
	char path[48];
	struct statfs fs;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", tid, fd);
	if (statfs(path, &fs) || fs.f_type != PROC_SUPER_MAGIC || stat(path, &st))
		return false;
	*dev = st.st_dev;
	return true;
}

bool proc_may_clone_thread(pid_t tid)
{
	static const char *const kinds[][2] = { { "ns/pid", "ns/pid_for_children" },
						{ "ns/time", "ns/time_for_children" } };
	char own[64], childrens[64];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		proc_link(tid, kinds[i][0], own, sizeof(own));
		proc_link(tid, kinds[i][1], childrens, sizeof(childrens));
		if (strcmp(own, childrens) != 0)
			return false;
	}
	return true;
}
