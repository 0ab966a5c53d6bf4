/* SPDX-License-Identifier: MIT */
/*
 * open.c - makes the swap file: private, nameless, with its space taken, past the page cache where that works.
 *
 * Who calls it: the front end, for --swap file:PATH.  It knows paths and file systems, nothing of slots.
 * Linux counterpart: mkswap and the checks of swapon(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "swap/store.h"

/* A file that has no name in `dir`; where the file system cannot (EOPNOTSUPP), one that had one for a moment. */
static int open_in_dir(const char *dir, char *err, size_t len)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR) &&
	    snprintf(path, sizeof(path), "%s/upager-swap-XXXXXX", dir) < (int)sizeof(path)) {
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0)
		snprintf(err, len, "swap file: cannot make a file in %s: %s; name another directory", dir,
			 strerror(errno));
	return fd;
}

static int open_at(const char *path, char *err, size_t len)
{
	int fd = open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		unlink(path);
	else
		snprintf(err, len, "swap file: cannot make %s: %s; name a new file or a directory that you can write",
			 path, strerror(errno));
	return fd;
}

static int open_nameless(const char *path, char *err, size_t len)
{
	struct stat st;

	if (stat(path, &st))
		return open_at(path, err, len);
	if (S_ISDIR(st.st_mode))
		return open_in_dir(path, err, len);
	snprintf(err, len, "swap file: %s exists%s; name a new file or a directory", path,
		 S_ISREG(st.st_mode) ? " and upager overwrites no file" : " and is not a file");
	return -1;
}

/* The file's size, its space taken if the file system can.  Returns 0, or -1 with the line. */
static int take_space(int fd, const char *path, u64 size, char *err, size_t len)
{
	struct rlimit limit;
	int failed;

	/* Beyond it the kernel would not just refuse, but send SIGXFSZ. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur) {
		snprintf(err, len, "swap file: %llu bytes are above the limit on file sizes; raise it (ulimit -f) or "
			 "give a smaller size", (unsigned long long)size);
		return -1;
	}
	do
		failed = fallocate(fd, 0, 0, (off_t)size);
	while (failed && errno == EINTR);
	if (failed && (errno == EOPNOTSUPP || errno == ENOSYS))
		failed = ftruncate(fd, (off_t)size);
	if (failed)
		snprintf(err, len, "swap file: no room for %llu bytes at %s: %s; give a smaller size or another place",
			 (unsigned long long)size, path, strerror(errno));
	return failed;
}

/* Switch the page cache off, and see that a page can be read so. */
static bool make_direct(int fd)
{
	_Alignas(PAGE_SIZE) char page[PAGE_SIZE];
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT))
		return false;
	if (pread(fd, page, PAGE_SIZE, 0) == (ssize_t)PAGE_SIZE)
		return true;
	fcntl(fd, F_SETFL, flags);
	return false;
}

int swap_file_open(const char *path, u64 size, bool *direct, char *err, size_t len)
{
	bool is_direct;
	int fd;

	if (size < PAGE_SIZE || size > INT64_MAX) {
		snprintf(err, len, "swap file: %llu bytes hold no page; give a size of at least 4096",
			 (unsigned long long)size);
		return -1;
	}
	fd = open_nameless(path, err, len);
	if (fd < 0)
		return -1;
	if (take_space(fd, path, size, err, len)) {
		close(fd);
		return -1;
	}
	is_direct = make_direct(fd);
	if (direct)
		*direct = is_direct;
	return fd;
}
