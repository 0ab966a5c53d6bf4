/* SPDX-License-Identifier: MIT */
#include "sys/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int add_rule(scmp_filter_ctx ctx, const struct filter_rule *r)
{
	struct scmp_arg_cmp cmp[2] = {
		{
			.arg = (unsigned int)r->arg,
			.op = r->match == FILTER_NOT_EQUAL ? SCMP_CMP_NE : SCMP_CMP_MASKED_EQ,
			.datum_a = r->match == FILTER_NOT_EQUAL ? r->value : r->mask,
			.datum_b = r->value,
		},
		{
			.arg = (unsigned int)r->and.arg,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = r->and.mask,
			.datum_b = r->and.value,
		},
	};
	unsigned int n = r->match == FILTER_ALWAYS ? 0 : r->and.mask ? 2 : 1;

	u32 action = r->match == FILTER_NOTIFY ? SCMP_ACT_NOTIFY :
						 SCMP_ACT_TRACE(FILTER_TRACE_DATA);

	return seccomp_rule_add_array(ctx, action, r->nr, n, cmp);
}

/* Read all that is in the pipe.  Returns 0 or -errno. */
static int read_program(int fd, struct sock_fprog *prog)
{
	const size_t max = BPF_MAXINSNS * sizeof(struct sock_filter);
	size_t used = 0;
	ssize_t n;

	prog->filter = malloc(max);
	if (!prog->filter)
		return -ENOMEM;
	while ((n = read(fd, (char *)prog->filter + used, max - used)) > 0)
		used += (size_t)n;
	prog->len = (unsigned short)(used / sizeof(struct sock_filter));
	return n < 0 ? -errno : 0;
}

/*
 * libseccomp 2.5 hands its program out through a descriptor only.  A pipe, which holds it whole: a file
 * might be forbidden to grow (RLIMIT_FSIZE).
 */
static int export_program(scmp_filter_ctx ctx, struct sock_fprog *prog)
{
	int fds[2], ret;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	ret = seccomp_export_bpf(ctx, fds[1]);
	close(fds[1]);
	if (!ret)
		ret = read_program(fds[0], prog);
	if (ret)
		filter_free(prog);
	close(fds[0]);
	return ret;
}

int filter_build(const struct filter_rule *rules, size_t nr_rules, struct sock_fprog *prog)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int ret;

	*prog = (struct sock_fprog){ 0 };
	if (!ctx)
		return -ENOMEM;
	ret = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (!ret)
		ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	for (size_t i = 0; i < nr_rules && !ret; i++)
		ret = add_rule(ctx, &rules[i]);
	if (!ret)
		ret = export_program(ctx, prog);
	seccomp_release(ctx);
	return ret;
}

void filter_free(struct sock_fprog *prog)
{
	free(prog->filter);
	*prog = (struct sock_fprog){ 0 };
}

/* Returns the listener, -1 (installed without one), or -errno below -1. */
static int try_install(const struct sock_fprog *prog)
{
	const unsigned int flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  flags | SECCOMP_FILTER_FLAG_NEW_LISTENER, prog);

	if (fd >= 0)
		return (int)fd;
	if (errno != EBUSY && errno != EINVAL)
		return -errno;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, prog) ? -errno : -1;
}

int filter_install(const struct sock_fprog *prog, int *listener)
{
	*listener = try_install(prog);
	if (*listener != -EACCES)
		return *listener < -1 ? *listener : 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	*listener = try_install(prog);
	return *listener < -1 ? *listener : 0;
}
