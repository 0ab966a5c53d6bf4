/* SPDX-License-Identifier: MIT */
/*
 * space.c - address spaces: made at exec and at fork, armed, read back from the kernel, let go.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/check.h"
#include "mm/mm_query.h"
#include "reclaim.h"
#include "sc.h"
#include "stager.h"
#include "sup.h"
#include "sys/notify.h"
#include "sys/remote.h"
#include "sys/rlimits.h"
#include "sys/uffd.h"

#define SPACE_TAG(space) ((u64)(space)->id)

struct space *space_create(struct sup *sup, struct mm_struct *mm, int uffd, pid_t pid)
{
	struct space *s = calloc(1, sizeof(*s));

	BUG_ON(!s);
	s->sup = sup;
	s->mm = mm;
	s->uffd = uffd;
	s->pagemap = -1;
	s->pid = pid;
	s->id = ++sup->next_space_id;
	list_init(&s->waiters);
	list_init(&s->exit_waiters);
	list_init(&s->parked);
	list_init(&s->put_link);
	list_add(&s->link, &sup->spaces);
	sup->nr_spaces++;
	list_add(&s->id_link, &sup->spaces_by_id[s->id % SPACE_BUCKETS]);
	mm_set_host(mm, s);
	if (uffd >= 0)
		ring_poll(&sup->ring, uffd, SPACE_TAG(s));
	return s;
}

struct space *space_get(struct space *space)
{
	mm_get(space->mm);
	return space;
}

static void space_free(struct space *space)
{
	struct parked_fault *f, *tmp;

	BUG_ON(space->evicting);
	BUG_ON(space->caller || !list_empty(&space->waiters));
	list_for_each_entry_safe(f, tmp, &space->parked, link) {
		list_del(&f->link);
		free(f);
	}
	reclaim_mm_gone(space);
	stagers_detach(space);
	if (space->uffd >= 0) {
		ring_unpoll(&space->sup->ring, SPACE_TAG(space));
		close(space->uffd);
	}
	if (space->pagemap >= 0)
		close(space->pagemap);
	list_del(&space->link);
	space->sup->nr_spaces--;
	list_del(&space->id_link);
	free(space);
}

void space_put(struct space *space)
{
	struct mm_struct *mm = space->mm;

	if (mm_users(mm) == 1) {
		mm_set_host(mm, NULL);
		space_free(space);
	}
	mm_put(mm);
}

struct space *space_by_id(struct sup *sup, u32 id)
{
	struct space *s;

	list_for_each_entry(s, &sup->spaces_by_id[id % SPACE_BUCKETS], id_link)
		if (s->id == id)
			return s;
	return NULL;
}

/* ---- what the kernel says ---- */

static bool is_named(const char *name, const char *want)
{
	return !strcmp(name, want);
}

/* Who pages the mapping of this line: anonymous private memory is ours. */
static bool line_is_managed(const struct space *space, const struct map_line *l)
{
	if (l->perm & MAP_PERM_SHARED || l->ino || l->dev || stager_owns(space, l->start))
		return false;
	return l->name[0] == '\0' || is_named(l->name, "[heap]") || is_named(l->name, "[stack]") ||
	       !strncmp(l->name, "[anon:", 6);
}

/* Linux: secretmem_mmap_prepare. */
u64 space_file_vm_flags(u64 dev, const char *name)
{
	return !major(dev) && is_named(name, "/secretmem (deleted)") ? VM_SECRETMEM | VM_LOCKED | VM_DONTDUMP : 0;
}

static u64 line_vm_flags(const struct space *space, const struct map_line *l)
{
	u64 f = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;

	f |= l->perm & MAP_PERM_READ ? VM_READ : 0;
	f |= l->perm & MAP_PERM_WRITE ? VM_WRITE : 0;
	f |= l->perm & MAP_PERM_EXEC ? VM_EXEC : 0;
	f |= l->perm & MAP_PERM_SHARED ? VM_SHARED | VM_MAYSHARE : 0;
	if (is_named(l->name, "[stack]"))
		f |= VM_GROWSDOWN;
	if (stager_owns(space, l->start))
		f |= VM_DONTCOPY | VM_DONTDUMP;
	if (!line_is_managed(space, l))
		f |= VM_UNMANAGED;
	/* Linux: _install_special_mapping, and what the architecture adds for its data pages. */
	if (is_named(l->name, "[vdso]"))
		f |= VM_SPECIAL_MAP | VM_DONTEXPAND;
	if (!strncmp(l->name, "[vvar", 5))
		f |= VM_SPECIAL_MAP | VM_DONTEXPAND | VM_DONTDUMP | VM_IO | VM_PFNMAP;
	return f | space_file_vm_flags(l->dev, l->name);
}

static int descs_reserve(struct sup *sup, size_t n)
{
	struct vma_desc *d;

	if (n <= sup->nr_descs)
		return 0;
	d = realloc(sup->descs, n * 2 * sizeof(*d));
	if (!d)
		return -ENOMEM;
	sup->descs = d;
	sup->nr_descs = n * 2;
	return 0;
}

/* Make the model's vmas those of sup->maps. */
static int reconcile_with_maps(struct space *space)
{
	struct sup *sup = space->sup;
	const struct maps *m = &sup->maps;
	int ret = descs_reserve(sup, m->nr);

	if (ret)
		return ret;
	for (size_t i = 0; i < m->nr; i++) {
		const struct map_line *l = &m->lines[i];
		struct vma_desc *d = &sup->descs[i];

		*d = (struct vma_desc){ .start = l->start,
					.end = l->end,
					.vm_flags = line_vm_flags(space, l),
					.pgoff = l->start >> PAGE_SHIFT };
		if (d->vm_flags & VM_UNMANAGED)
			d->pgoff = l->pgoff;
		if (l->ino || l->dev || d->vm_flags & VM_SPECIAL_MAP) { /* [vdso], [vvar]: by name */
			d->file = vm_file_get(sup->world, (struct vm_file_id){ l->dev, l->ino },
					      l->name);
			BUG_ON(!d->file);
		}
	}
	ret = mm_reconcile(space->mm, sup->descs, m->nr);
	for (size_t i = 0; i < m->nr; i++)
		if (sup->descs[i].file)
			vm_file_put(sup->descs[i].file);
	return ret;
}

int space_pagemap(struct space *space)
{
	if (space->pagemap < 0)
		space->pagemap = pagemap_open(space->pid);
	return space->pagemap;
}

/*
 * Take over the pages of `r` that the kernel has already.  Very large reservations are not looked
 * through: a page missed there stays the kernel's own, which is harmless.
 */
#define ADOPT_MAX_BYTES (4UL << 30)

#define ADOPT_PAGES	512

static bool is_zero_page(u64 entry)
{
	return entry & PAGEMAP_PRESENT && !(entry & PAGEMAP_EXCLUSIVE) && kpageflags(PAGEMAP_PFN(entry)) & KPF_ZERO_PAGE;
}

static bool is_unknown(const struct space *space, u64 addr)
{
	struct pte_info pte;

	mm_lookup_pte(space->mm, addr, &pte);
	return pte.state == PTE_NONE;
}

/*
 * How many pages from addr on are zero pages (of memory filled for reading) that the model does not have?  They are protected,
 * so that their first write is a fault of ours.  That a write comes in between does not matter: linux_map_zero().
 */
static s64 zero_pages(const struct space *space, u64 addr, const u64 *entries, s64 nr)
{
	s64 n = 0;

	/* An entry like the one before it is of the same page: the kernel need not be asked again. */
	while (n < nr && ((n && entries[n] == entries[n - 1]) || is_zero_page(entries[n])) &&
	       is_unknown(space, addr + n * PAGE_SIZE))
		n++;
	return n && !uffd_writeprotect(space->uffd, range_of(addr, n * PAGE_SIZE), true, false) ? n : 0;
}

static void adopt_pages(struct space *space, u64 addr, const u64 *entries, s64 nr)
{
	for (s64 i = 0, zeroes; i < nr; i++) {
		zeroes = zero_pages(space, addr + i * PAGE_SIZE, entries + i, nr - i);
		for (; zeroes; zeroes--, i++)
			BUG_ON(mm_adopt_page(space->mm, addr + i * PAGE_SIZE, true, true) == -ENOMEM);
		if (i < nr && entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAP))
			BUG_ON(mm_adopt_page(space->mm, addr + i * PAGE_SIZE, false, entries[i] & PAGEMAP_WP) == -ENOMEM);
	}
}

void space_adopt(struct space *space, struct range r)
{
	u64 entries[ADOPT_PAGES];
	int fd = space_pagemap(space);

	if (fd < 0 || range_len(r) > ADOPT_MAX_BYTES)
		return;
	for (u64 addr = r.start; addr < r.end;) {
		s64 n = pagemap_read(fd, addr, entries, u64_min(ADOPT_PAGES, (r.end - addr) >> PAGE_SHIFT));

		if (n <= 0)
			return;
		adopt_pages(space, addr, entries, n);
		addr += n * PAGE_SIZE;
	}
}

void space_arm(struct space *space, struct range r, bool adopt)
{
	int ret;

	if (space->uffd < 0 || range_empty(r))
		return;
	ret = uffd_register(space->uffd, r);
	if (ret == -ENOMEM || ret == -ESRCH)
		return; /* dying, or its mapping is gone again */
	if (ret) {
		/* Something there is not what we took it for: ask the kernel. */
		space->resync = true;
		return;
	}
	if (adopt || space->adopt)
		space_adopt(space, r);
}

/*
 * The first task of a process may be a zombie while its threads live on, and then its maps are empty:
 * ask the others.
 */
int space_read_maps(struct space *space, struct maps *maps)
{
	struct sup *sup = space->sup;
	struct task *t;

	if (!maps_read(maps, space->pid) && maps->nr)
		return 0;
	for (int i = 0; i < TASK_BUCKETS; i++) {
		list_for_each_entry(t, &sup->tasks[i], link) {
			if (t->space != space || maps_read(maps, t->tid) || !maps->nr)
				continue;
			space->pid = t->tid;
			if (space->pagemap >= 0)
				close(space->pagemap);
			space->pagemap = -1;
			return 0;
		}
	}
	return -ESRCH;
}

bool space_relist(struct space *space)
{
	if (space_read_maps(space, &space->sup->maps))
		return false; /* gone */
	if (reconcile_with_maps(space))
		BUG("out of memory for the model of process %d", space->pid);
	return true;
}

void space_resync(struct space *space)
{
	struct vma_info v;

	space->resync = false;
	if (!space_relist(space))
		return;
	for (u64 addr = 0; mm_find_vma(space->mm, addr, &v); addr = v.end)
		if (!(v.vm_flags & VM_UNMANAGED))
			space_arm(space, (struct range){ v.start, v.end }, true);
	space->resync = false;
}

/* ---- exec ---- */

static int serve_uffd_dev(void *arg)
{
	const struct sup *sup = arg;

	return notify_give_fd(sup->listener, sup->uffd_dev, 10);
}

/*
 * The tracee may not create a userfaultfd: it has dropped its privileges, or lives in a user namespace.
 * Whoever holds /dev/userfaultfd may, and we can give it that.
 */
static int make_uffd_by_dev(struct sup *sup, struct remote *r, long *fd)
{
	long dev, closed;
	int ret;

	if (sup->listener < 0 || sup->uffd_dev < 0)
		return 0;
	ret = remote_syscall_served(r, &dev, SC_GIVE_FD, sup->secret, serve_uffd_dev, sup);
	if (ret || dev < 0)
		return ret;
	ret = remote_syscall(r, fd, SYS_ioctl, (u64)dev, USERFAULTFD_IOC_NEW,
			     O_CLOEXEC | O_NONBLOCK, 0, 0, sup->secret);
	if (ret)
		return ret;
	return remote_syscall(r, &closed, SYS_close, (u64)dev, 0, 0, 0, 0, sup->secret);
}

/* Make a userfaultfd inside the tracee and take it out.  Returns 0 (*uffd: it, or why not, -errno), -ESRCH. */
static int make_uffd(struct sup *sup, struct task *t, u64 site, int *uffd,
		     struct tracee_stop *death)
{
	struct rlimits limits;
	struct remote r;
	long fd = -EPERM, closed;
	int ret, err;

	rlimits_lift(&limits, t->tid);
	ret = remote_begin(&r, t->tid, site, NULL, NULL);
	if (!ret)
		ret = remote_syscall(&r, &fd, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0,
				     sup->secret);
	if (!ret && fd < 0)
		ret = make_uffd_by_dev(sup, &r, &fd);
	*uffd = (int)fd;
	if (!ret && fd >= 0) {
		*uffd = pidfd_getfd_of(t->pidfd, (int)fd);
		ret = remote_syscall(&r, &closed, SYS_close, (u64)fd, 0, 0, 0, 0, sup->secret);
	}
	rlimits_restore(&limits);
	if (!ret)
		ret = remote_end(&r);
	*death = r.death;
	err = *uffd >= 0 && !ret ? uffd_api(*uffd, sup->uffd_features) : 0;
	if (*uffd >= 0 && (ret || err)) {
		close(*uffd);
		*uffd = err;
	}
	return ret;
}

static u64 find_vdso(const struct maps *m)
{
	for (size_t i = 0; i < m->nr; i++)
		if (is_named(m->lines[i].name, "[vdso]"))
			return m->lines[i].start;
	return 0;
}

static void set_layout(struct space *space)
{
	struct proc_stat_mm st;
	u64 auxv[MM_AUXV_MAX];
	s64 n = proc_auxv(space->pid, auxv, ARRAY_SIZE(auxv));

	if (n < 0 || proc_stat_mm(space->pid, &st))
		return;
	mm_set_auxv(space->mm, auxv, (size_t)n);
	mm_set_layout(space->mm, &(struct mm_layout){
		.start_code = st.start_code, .end_code = st.end_code,
		.start_data = st.start_data, .end_data = st.end_data,
		.start_brk = st.start_brk, .brk = st.start_brk, .start_stack = st.start_stack,
		.arg_start = st.arg_start, .arg_end = st.arg_end,
		.env_start = st.env_start, .env_end = st.env_end,
		.mmap_base = place_mmap_base(space->sup, space->pid, STACK_GUARD_GAP),
	});
	space->args = (struct range){ st.arg_start, st.env_end };
}

/* What its program is called; stays empty when it is dying. */
static void read_name(struct space *space, pid_t tid)
{
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, space->name, sizeof(space->name));
	close(fd);
	space->name[n > 0 ? n - 1 : 0] = '\0'; /* over the newline */
}

int space_from_exec(struct sup *sup, struct task *t, struct tracee_stop *death)
{
	struct mm_struct *mm;
	int uffd = -ENXIO; /* no vdso: no place for our calls */
	u64 vdso;
	int ret;

	if (maps_read(&sup->maps, t->tid))
		return 0; /* dying: its end is reported by the next wait */
	vdso = find_vdso(&sup->maps);
	if (vdso && sup->vdso_site) {
		ret = make_uffd(sup, t, vdso + sup->vdso_site, &uffd, death);
		if (ret)
			return death->event == TE_NONE ? 0 : ret; /* killed at this stop: as above */
	}
	if (uffd < 0 && sup->stats.unmanaged_images++ == 0)
		fprintf(stderr, "upager: process %d cannot be given a userfaultfd: %s; "
				"the kernel pages it (see upager doctor)\n", t->tid, strerror(-uffd));
	mm = mm_alloc(sup->world, NULL);
	BUG_ON(!mm);
	t->space = space_create(sup, mm, uffd, t->tid);
	read_name(t->space, t->tid);
	reclaim_mm_created(t->space);
	t->space->vdso_site = vdso && sup->vdso_site ? vdso + sup->vdso_site : 0;
	set_layout(t->space);
	ret = stager_create(t, death);
	if (ret)
		return ret;
	space_resync(t->space);
	if (check_level >= CHECK_AUDIT)
		audit_space(t->space, "execve");
	return 0;
}

/* valgrind unmaps it */
void space_check_vdso(struct space *space)
{
	static const u8 insn[] = { 0x0f, 0x05 };
	u64 site = space->vdso_site;
	u8 there[sizeof(insn)];
	struct vma_info v;

	if (!space->sup->reclaim && space->sup->opt->cow != COW_EAGER)
		return; /* none of our calls is made after the exec */
	if (!mm_find_vma(space->mm, site, &v) || v.start > site || !(v.vm_flags & VM_EXEC) ||
	    space_peek(space, site, there, sizeof(there)) || memcmp(there, insn, sizeof(insn)))
		space->vdso_site = 0;
}

bool space_may_call(struct space *space, const struct task *t)
{
	struct vma_info v;
	sc_regs regs;
	u64 site;

	if (space->vdso_site)
		return true;
	if (tracee_get_regs(t->tid, &regs))
		return false;
	site = sc_site(&regs);
	return mm_find_vma(space->mm, site, &v) && v.start <= site && v.vm_flags & VM_EXEC;
}

/* ---- checking ---- */

/* Pages that one verification may look at for each event, on the average. */
#define VERIFY_PAGES_AN_EVENT 256

void space_verify(struct space *space)
{
	struct mm_world_stats s;

	if (space->verify_in--)
		return;
	mm_world_stats(space->sup->world, &s);
	space->verify_in = (u32)(s.resident / VERIFY_PAGES_AN_EVENT);
	mm_verify(space->mm);
}

/* ---- the call slot ---- */

void space_call_done(struct space *space)
{
	struct task *t;

	space->caller = NULL;
	space->forking = false;
	space->adopt = false;
	if (space->resync)
		space_resync(space);
	faults_retry(space);
	exits_retry(space);
	space->fork_waits = false;
	space_get(space); /* a task that dies under our hands may be its last user */
	while (!space->caller && !space->evicting && !list_empty(&space->waiters)) {
		t = list_first_entry(&space->waiters, struct task, wait_link);
		list_del(&t->wait_link);
		on_stop_call(space->sup, t);
		if (space->waiters.prev == &t->wait_link)
			break; /* it waits again: for a thread's end, for an empty staging area */
	}
	space_put(space);
}

/* ---- a stopped task's memory ---- */

/* Pre: addr is in space->wanted, or what comes may leave again before it is seen. */
static int bring_page(struct space *space, u64 addr, unsigned int flags, bool now)
{
	struct sup *sup = space->sup;
	enum fault_result result;
	struct pte_info pte;

	addr = page_align_down(addr);
	for (;;) {
		struct vm_fault vmf = { .address = addr, .flags = flags };

		mm_lookup_pte(space->mm, addr, &pte);
		if (flags & FAULT_FLAG_WRITE && pte.wp)
			vmf.flags |= FAULT_FLAG_WP;
		else if (pte.state != PTE_NONE && pte.state != PTE_SWAP && !pte.busy)
			return 0;
		mm_reclaim(sup->world)->emergency++;
		result = mm_handle_fault(space->mm, &vmf);
		mm_reclaim(sup->world)->emergency--;
		if (result == FAULT_RESOLVED && vmf.handler != FH_DO_SWAP_PAGE_SOFT)
			return 0;
		if (result != FAULT_RESOLVED && result != FAULT_PARKED)
			return -EFAULT;
		if (now)
			return -EAGAIN;
		reclaim_pump(sup);
	}
}

/* Bring the pages of [addr, addr + len) that are missing in managed memory. */
static int fill_pages(struct space *space, u64 addr, size_t len, unsigned int flags, bool now)
{
	int ret = 0;

	space->wanted = (struct range){ page_align_down(addr), page_align_up(addr + len) };
	for (u64 a = space->wanted.start; a < addr + len && !ret; a += PAGE_SIZE)
		ret = bring_page(space, a, flags, now);
	space->wanted = (struct range){ 0, 0 };
	return ret;
}

int space_bring(struct space *space, u64 addr, unsigned int flags, bool now)
{
	return fill_pages(space, addr, 1, flags, now);
}

bool space_is_over(const struct space *space)
{
	struct vma_info v;
	u64 top = TASK_SIZE - PAGE_SIZE;

	if (space->uffd < 0 || (mm_find_vma(space->mm, top, &v) && v.start <= top))
		return false;
	return uffd_is_over(space->uffd);
}

void space_bring_all(struct space *space)
{
	struct pte_info pte;

	space->keep = true;
	for (u64 addr = 0; (addr = mm_next_pte(space->mm, addr, TASK_SIZE, &pte)) < TASK_SIZE;
	     addr += PAGE_SIZE)
		if ((pte.state == PTE_SWAP || pte.busy) && space_bring(space, addr, 0, false))
			return; /* it cannot be had: a hole in the dump, as natively after an I/O error */
}

int space_peek(struct space *space, u64 addr, void *dst, size_t len)
{
	return tracee_read(space->pid, addr, dst, len);
}

static int read_filling(struct task *t, u64 addr, void *dst, size_t len, bool now)
{
	int ret = tracee_read(t->tid, addr, dst, len);

	if (ret == -EIO && t->space && addr + len >= addr) {
		if (fill_pages(t->space, addr, len, 0, now) == -EAGAIN)
			return -EAGAIN;
		ret = tracee_read(t->tid, addr, dst, len);
	}
	return ret == -EIO ? -EFAULT : ret;
}

int space_read(struct task *t, u64 addr, void *dst, size_t len)
{
	return read_filling(t, addr, dst, len, false);
}

int space_read_now(struct task *t, u64 addr, void *dst, size_t len)
{
	return read_filling(t, addr, dst, len, true);
}

int space_write(struct task *t, u64 addr, const void *src, size_t len)
{
	int ret = tracee_write(t->tid, addr, src, len);

	if (ret == -EIO && t->space && addr + len >= addr) {
		(void)!fill_pages(t->space, addr, len, FAULT_FLAG_WRITE, false); /* missing: -EIO again */
		ret = tracee_write(t->tid, addr, src, len);
	}
	return ret == -EIO ? -EFAULT : ret;
}
