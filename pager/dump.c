/* SPDX-License-Identifier: MIT */
/* dump.c - see dump.h. */
#include "dump.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/check.h"
#include "commands.h"
#include "mm/mm_query.h"
#include "sup.h"

#define KB(pages) ((u64)(pages) << (PAGE_SHIFT - 10))
#define NAME_COLUMN 73 /* as in /proc/PID/maps */

/* ---- mm_struct ---- */

static void show_range(FILE *f, const char *name, u64 start, u64 end)
{
	fprintf(f, "%-16s %012lx-%012lx\n", name, start, end);
}

static void show_pages(FILE *f, const char *name, u64 pages)
{
	fprintf(f, "%-16s %8lu kB\n", name, KB(pages));
}

static const struct {
	u64 type;
	const char *name;
} auxv_names[] = {
	{ AT_SYSINFO_EHDR, "SYSINFO_EHDR" }, { AT_HWCAP, "HWCAP" }, { AT_PAGESZ, "PAGESZ" },
	{ AT_CLKTCK, "CLKTCK" }, { AT_PHDR, "PHDR" }, { AT_PHENT, "PHENT" }, { AT_PHNUM, "PHNUM" },
	{ AT_BASE, "BASE" }, { AT_FLAGS, "FLAGS" }, { AT_ENTRY, "ENTRY" }, { AT_UID, "UID" },
	{ AT_EUID, "EUID" }, { AT_GID, "GID" }, { AT_EGID, "EGID" }, { AT_SECURE, "SECURE" },
	{ AT_RANDOM, "RANDOM" }, { AT_HWCAP2, "HWCAP2" }, { AT_EXECFN, "EXECFN" },
	{ AT_PLATFORM, "PLATFORM" }, { AT_MINSIGSTKSZ, "MINSIGSTKSZ" },
};

static void show_auxv(const struct mm_struct *mm, FILE *f)
{
	size_t nr;
	const u64 *v = mm_auxv(mm, &nr);

	fputs("saved_auxv      ", f);
	for (size_t i = 0; i + 1 < nr && v[i] != AT_NULL; i += 2) {
		const char *name = NULL;

		for (size_t k = 0; k < ARRAY_SIZE(auxv_names); k++)
			if (auxv_names[k].type == v[i])
				name = auxv_names[k].name;
		if (name)
			fprintf(f, " %s=%lx", name, v[i + 1]);
		else
			fprintf(f, " %lu=%lx", v[i], v[i + 1]);
	}
	fputc('\n', f);
}

static void show_mm(const struct mm_struct *mm, const struct mm_counters *c, FILE *f)
{
	const struct mm_layout *l = &c->layout;

	fprintf(f, "%-16s %8u\n%-16s %8u\n%-16s %8u\n", "mm_users", c->mm_users, "mm_count",
		c->mm_count, "map_count", c->map_count);
	show_pages(f, "total_vm", c->total_vm);
	show_pages(f, "data_vm", c->data_vm);
	show_pages(f, "exec_vm", c->exec_vm);
	show_pages(f, "stack_vm", c->stack_vm);
	show_pages(f, "locked_vm", c->locked_vm);
	show_pages(f, "pinned_vm", c->pinned_vm);
	show_pages(f, "rss", c->anon_rss);
	show_pages(f, "swap", c->swap_ptes);
	show_pages(f, "zero", c->zero_ptes);
	show_pages(f, "hiwater_rss", c->hiwater_rss);
	show_pages(f, "hiwater_vm", c->hiwater_vm);
	fprintf(f, "%-16s %8lu kB\n", "pgtables_bytes", c->pgtables_bytes >> 10);
	fputs("def_flags       ", f);
	vm_flags_show(c->def_flags, f);
	fputc('\n', f);
	show_range(f, "code", l->start_code, l->end_code);
	show_range(f, "data", l->start_data, l->end_data);
	show_range(f, "brk", l->start_brk, l->brk);
	show_range(f, "arg", l->arg_start, l->arg_end);
	show_range(f, "env", l->env_start, l->env_end);
	fprintf(f, "%-16s %012lx\n", "start_stack", l->start_stack);
	if (l->mmap_base)
		fprintf(f, "%-16s %012lx\n", "mmap_base", l->mmap_base);
	else
		fprintf(f, "%-16s unknown\n", "mmap_base");
	show_auxv(mm, f);
}

/* ---- vmas ---- */

/* Source: fs/proc/task_mmu.c get_vma_name, vma_is_initial_heap, vma_is_initial_stack. */
static const char *vma_name(const struct vma_info *v, const struct mm_layout *l)
{
	if (*v->name)
		return v->name;
	if (v->vm_flags & VM_SPECIAL_MAP)
		return v->vm_flags & VM_EXEC ? "[vdso]" : "[vvar]";
	if (v->file.dev || v->file.ino || v->vm_flags & VM_UNMANAGED)
		return "";
	if (v->start < l->brk && v->end > l->start_brk)
		return "[heap]";
	if (v->start <= l->start_stack && v->end >= l->start_stack)
		return "[stack]";
	return "";
}

/* A file's name may hold anything: what could move a terminal's cursor is shown as \ooo. */
static void show_name(const char *name, FILE *f)
{
	for (; *name; name++) {
		unsigned char ch = (unsigned char)*name;

		if (ch < ' ' || ch == 127 || ch == '\\')
			fprintf(f, "\\%03o", ch);
		else
			fputc(ch, f);
	}
}

static void show_maps_line(const struct vma_info *v, const struct mm_layout *l, FILE *f)
{
	bool anonymous = !v->file.dev && !v->file.ino;
	const char *name = vma_name(v, l);
	int n = fprintf(f, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", v->start, v->end,
			v->vm_flags & VM_READ ? 'r' : '-', v->vm_flags & VM_WRITE ? 'w' : '-',
			v->vm_flags & VM_EXEC ? 'x' : '-', v->vm_flags & VM_MAYSHARE ? 's' : 'p',
			anonymous ? 0 : v->pgoff << PAGE_SHIFT, major(v->file.dev),
			minor(v->file.dev), v->file.ino);

	if (*name)
		fprintf(f, "%*s", n < NAME_COLUMN ? NAME_COLUMN - n : 0, "");
	show_name(name, f);
	fputc('\n', f);
}

static void show_vma(const struct mm_struct *mm, const struct vma_info *v,
		     const struct mm_layout *l, FILE *f)
{
	struct vma_usage u;
	bool managed = !(v->vm_flags & VM_UNMANAGED);

	BUG_ON(!mm_vma_usage(mm, v->start, &u));
	show_maps_line(v, l, f);
	show_pages(f, "Size:", (v->end - v->start) >> PAGE_SHIFT);
	fprintf(f, "%-16s %8s\n", "Managed:", managed ? "yes" : "no");
	if (managed) {
		show_pages(f, "Rss:", u.nr_present);
		show_pages(f, "Swap:", u.nr_swap);
		show_pages(f, "Zero:", u.nr_zero);
		show_pages(f, "WriteProtected:", u.nr_wp);
		show_pages(f, "Shared:", u.nr_shared);
		show_pages(f, "LazyFree:", u.nr_lazyfree);
	}
	if (u.anon_vma)
		fprintf(f, "%-16s %8u degree %u chain %u reaches %u\n", "AnonVma:", u.anon_vma,
			u.degree, u.nr_ancestors, u.nr_reached);
	fputs("VmFlags:", f);
	vm_flags_show(v->vm_flags, f);
	fputc('\n', f);
}

void dump_space(struct space *space, FILE *f)
{
	struct mm_counters c;
	struct vma_info v;

	mm_get_counters(space->mm, &c);
	show_mm(space->mm, &c, f);
	for (u64 addr = 0; mm_find_vma(space->mm, addr, &v); addr = v.end)
		show_vma(space->mm, &v, &c.layout, f);
}

/* ---- processes ---- */

static void read_comm(pid_t pid, char *buf, size_t size)
{
	char path[48];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(buf, (int)size, f))
		snprintf(buf, size, "-");
	if (f)
		fclose(f);
	buf[strcspn(buf, "\n")] = '\0';
}

static u32 count_threads(struct sup *sup, pid_t tgid)
{
	struct task *t;
	u32 n = 0;

	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			n += t->tgid == tgid;
	return n;
}

static void show_process(struct sup *sup, const struct task *t, FILE *f)
{
	struct mm_counters c;
	char comm[32];

	read_comm(t->tid, comm, sizeof(comm));
	mm_get_counters(t->space->mm, &c);
	fprintf(f, "%7d %4u %7u %10lu %10lu %10lu %10lu  ", t->tid, t->space->id,
		count_threads(sup, t->tgid), KB(c.total_vm), KB(c.anon_rss), KB(c.zero_ptes),
		KB(c.hiwater_rss));
	show_name(comm, f);
	fputc('\n', f);
}

void dump_processes(struct sup *sup, FILE *f)
{
	struct mm_world_stats w;
	struct task *t;

	mm_world_stats(sup->world, &w);
	fputs(sup->opt->argv[0], f);
	for (char **a = sup->opt->argv + 1; *a; a++) {
		fputc(' ', f);
		show_name(*a, f);
	}
	fprintf(f, "\n%lu kB resident, %lu kB at most, %lu kB map the zero page\n", KB(w.resident),
		KB(w.resident_max), KB(w.zero_ptes));
	fprintf(f, "%7s %4s %7s %10s %10s %10s %10s  %s\n", "PID", "MM", "THREADS", "SIZE kB",
		"RSS kB", "ZERO kB", "PEAK kB", "COMMAND");
	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			if (t->tid == t->tgid && t->space)
				show_process(sup, t, f);
}

/* ---- --dump-mm ---- */

static int cannot_write(const struct sup *sup, int err)
{
	fprintf(stderr, "upager: cannot write the memory dump to %s: %s\n",
		sup->dump == stderr ? "standard error" : sup->opt->dump_mm, strerror(err));
	return EXIT_UPAGER;
}

int dump_open(struct sup *sup)
{
	const char *path = sup->opt->dump_mm;

	if (!path)
		return 0;
	sup->dump = strcmp(path, "-") ? fopen(path, "we") : stderr;
	return sup->dump ? 0 : cannot_write(sup, errno);
}

void dump_last_use(struct sup *sup, const struct task *t, const char *why)
{
	if (!sup->dump || mm_users(t->space->mm) != 1)
		return;
	fprintf(sup->dump, "== mm %u of process %d at its %s\n", t->space->id, t->tgid, why);
	dump_space(t->space, sup->dump);
}

int dump_close(struct sup *sup)
{
	FILE *f = sup->dump;
	int err;

	if (!f)
		return 0;
	fputs("== at the end of the run\n", f);
	mm_world_dump(sup->world, f);
	errno = EIO; /* should an earlier write have failed */
	err = fflush(f) || ferror(f) ? errno : 0;
	if (f != stderr && fclose(f) && !err)
		err = errno;
	return err ? cannot_write(sup, err) : 0;
}
