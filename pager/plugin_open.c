/* SPDX-License-Identifier: MIT */
/*
 * plugin_open.c - policies by name; loading, trying and ending a plug-in (see plugin.h).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "options.h"
#include "plugin_impl.h"

/* ---- loading ---- */

bool policy_is_plugin(const char *spec)
{
	return memchr(spec, '/', strcspn(spec, ":"));
}

static int refuse(const struct plugin *p, char *err, size_t len, const char *fmt, ...)
	printf_like(4, 5);
static int refuse(const struct plugin *p, char *err, size_t len, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	why[strcspn(why, "\n")] = '\0';
	snprintf(err, len, "%s: %s", p->path, why);
	return -EINVAL;
}

/*
 * By descriptor: the loader remembers files by name, and would give us the old one when the user
 * has built his plug-in anew and asks for it again.  For the same reason the descriptor stays open
 * for good: an object may stay loaded whatever we do, and the number must not come to mean another
 * file.
 */
static int open_file(struct plugin *p, char *err, size_t len)
{
	char name[32];
	const char *why;
	int fd = open(p->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return refuse(p, err, len, "%s", strerror(errno));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	plugin_enter(p, "dlopen");
	p->dl = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	plugin_leave(p);
	if (p->dl)
		return 0;
	close(fd);
	why = dlerror();
	if (!strncmp(why, name, strlen(name)) && !strncmp(why + strlen(name), ": ", 2))
		why += strlen(name) + 2;
	return refuse(p, err, len, "%s", why);
}

/* The first callback that is needed and not there, or NULL. */
static const char *missing(const struct upager_policy *ops)
{
	return !ops->init    ? "init" :
	       !ops->fini    ? "fini" :
	       !ops->insert  ? "insert" :
	       !ops->victim  ? "victim" :
	       !ops->putback ? "putback" :
	       !ops->evicted ? "evicted" :
	       !ops->forget  ? "forget" :
			       NULL;
}

static int find_ops(struct plugin *p, char *err, size_t len)
{
	const struct upager_policy *theirs = dlsym(p->dl, "upager_policy");

	if (!theirs)
		return refuse(p, err, len, "it is no policy: it does not define upager_policy");
	if (theirs->abi != UPAGER_POLICY_ABI)
		return refuse(p, err, len,
			      "it has version %u of upager/policy.h, upager has %u: build it anew",
			      theirs->abi, UPAGER_POLICY_ABI);
	if (theirs->size > sizeof(p->ops))
		return refuse(p, err, len, "it was built for a newer upager");
	if (theirs->size < offsetof(struct upager_policy, touch))
		return refuse(p, err, len, "its size must be sizeof(struct upager_policy)");
	memcpy(&p->ops, theirs, theirs->size);
	if (missing(&p->ops))
		return refuse(p, err, len, "it has no %s()", missing(&p->ops));
	return 0;
}

static int start(struct plugin *p, const char *args, u64 capacity, char *err, size_t len)
{
	char why[200] = "";

	plugin_enter(p, "init");
	p->self = p->ops.init(&plugin_host, args, capacity, why, sizeof(why));
	plugin_leave(p);
	why[sizeof(why) - 1] = '\0';
	p->failed = *p->wrong;
	if (p->failed)
		return refuse(p, err, len, "%s", p->wrong);
	if (!p->self)
		return refuse(p, err, len, "%s", *why ? why : "init() failed and did not say why");
	return 0;
}

/* Those that failed: not called any more, they stay loaded and keep what they have. */
static struct plugin *abandoned;

static void plugin_destroy(struct plugin *p)
{
	if (p->dl && !p->failed) {
		plugin_enter(p, "dlclose");
		dlclose(p->dl);
		plugin_leave(p);
	}
	watchdog_stop(&p->dog);
	if (p->host->watch->owner == p)
		p->host->watch->owner = NULL;
	if (p->fallback)
		p->fallback_ops->fini(p->fallback);
	free(p->slot);
	p->slot = NULL;
	if (p->failed) {
		p->abandoned = abandoned;
		abandoned = p;
	} else {
		free(p);
	}
}

static struct plugin *plugin_open(const char *spec, u64 capacity, const struct policy_host *host,
				  char *err, size_t len)
{
	struct plugin *p = calloc(1, sizeof(*p));
	size_t n = strcspn(spec, ":");
	int ret;

	if (!p) {
		snprintf(err, len, "out of memory");
		return NULL;
	}
	p->host = host;
	snprintf(p->path, sizeof(p->path), "%.*s", (int)n, spec);
	p->fallback_ops = reclaim_policy_find(POLICY_DEFAULT);
	p->fallback = p->fallback_ops->init(NULL, 0, capacity, err, len);
	ret = p->fallback ? 0 : -EINVAL;
	if (!ret && watchdog_start(&p->dog, host->watch))
		ret = refuse(p, err, len, "cannot start a thread that watches it");
	if (!ret)
		ret = open_file(p, err, len);
	if (!ret)
		ret = find_ops(p, err, len);
	if (!ret)
		ret = start(p, spec[n] ? spec + n + 1 : "", capacity, err, len);
	if (!ret)
		return p;
	plugin_destroy(p);
	return NULL;
}

void plugin_fini(void *policy)
{
	struct plugin *p = policy;

	if (plugin_prefetching == p)
		plugin_prefetching = NULL;
	if (!p->failed) {
		plugin_enter(p, "fini");
		p->ops.fini(p->self);
		plugin_leave(p);
	}
	plugin_destroy(p);
}

/* ---- policies by name ---- */

static int unknown_policy(const char *name, char *err, size_t len)
{
	size_t n = (size_t)snprintf(err, len, "no policy '%s': there are", name);

	for (size_t i = 0; reclaim_policies[i] && n < len; i++)
		n += (size_t)snprintf(err + n, len - n, " %s", reclaim_policies[i]->name);
	return -EINVAL;
}

int policy_open(const char *spec, u64 capacity, const struct policy_host *host,
		const struct reclaim_ops **ops, void **policy, char *err, size_t len)
{
	struct policy_spec parsed;
	int ret;

	if (policy_is_plugin(spec)) {
		struct plugin *p = plugin_open(spec, capacity, host, err, len);

		if (!p)
			return -EINVAL;
		*ops = &plugin_ops;
		*policy = p;
		if (p->ops.prefetch)
			plugin_prefetching = p;
		return 0;
	}
	ret = policy_spec_parse(&parsed, spec, err, len);
	if (ret)
		return ret;
	*ops = reclaim_policy_find(parsed.name);
	if (!*ops)
		return unknown_policy(parsed.name, err, len);
	*policy = (*ops)->init(parsed.params, parsed.nr_params, capacity, err, len);
	return *policy ? 0 : -EINVAL;
}

void policy_describe(const struct reclaim_ops *ops, void *policy, const char *spec, char *text,
		     size_t len)
{
	const struct plugin *p = policy;

	if (ops == &plugin_ops && p->failed)
		snprintf(text, len, "%s (after a failure of %s)", p->fallback_ops->name, p->path);
	else
		snprintf(text, len, "%s", spec);
}

/* What the trial and we share. */
struct trial {
	struct plugin_watch watch;
	bool done;
	int ret;
	char err[512];
};

static u64 no_clock(void)
{
	return 0;
}

_Noreturn static void trial_main(struct trial *t, const char *spec, u64 capacity)
{
	struct policy_host host = { .watch = &t->watch, .now_ns = no_clock, .quiet = true };
	const struct reclaim_ops *ops;
	void *policy;

	t->ret = policy_open(spec, capacity, &host, &ops, &policy, t->err, sizeof(t->err));
	if (!t->ret)
		ops->fini(policy);
	t->done = true;
	_exit(0);
}

int policy_try(const char *spec, u64 capacity, char *err, size_t len)
{
	struct trial *t =
		mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0, ret = -EINVAL;
	pid_t pid;

	if (t == MAP_FAILED) {
		snprintf(err, len, "out of memory");
		return -EINVAL;
	}
	fflush(NULL);
	pid = fork();
	if (!pid)
		trial_main(t, spec, capacity);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0) {
		snprintf(err, len, "cannot try policy %s: fork: %s", spec, strerror(errno));
	} else if (t->done) {
		snprintf(err, len, "%s", t->err);
		ret = t->ret;
	} else if (!plugin_epitaph(&t->watch, status, err, len)) {
		snprintf(err, len, "policy %s: its trial was killed", spec);
	}
	munmap(t, sizeof(*t));
	return ret;
}
