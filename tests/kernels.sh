#!/bin/sh
# SPDX-License-Identifier: MIT
# Boot Debian's 6.1 and 6.12 cloud kernels under qemu (no KVM) and test upager there.
#
#	kernels.sh [-n] [-r "NAME…"] [6.1] [6.12]
#
# Default: both kernels.  In each: every probe, `upager doctor`, the e2e programs of
# tests/e2e/core.txt at check level 3 (big ones at 1), and the programs of tests/memory/core.txt with less memory than
# they ask for, all linked statically in an initramfs on busybox.
# The kernels are Debian packages, found by name through their meta packages and kept in build/kernels ($KERNELS_OUT in place of build).
# -n: download nothing, use what is there.
# -r: in place of all that, the named cases of tests/memory/run-memory.sh (real: all real programs) at check level 1, in a
# root made of the installed packages of tests/e2e/packages.txt: a case takes minutes, all of them hours.  By hand only.
# Prints "ok|FAIL|skip KERNEL TEST" lines and a summary; status 1 on any failure, also when a boot ends
# without its verdict.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
out=${KERNELS_OUT:-$root/build} # kernels, a build and consoles go there
cache=$out/kernels
build=$out/static
boot_limit=${KERNELS_LIMIT:-480} # seconds for one kernel
# These hold many pages: verifying the model after each event (check 2 and 3) takes minutes in emulation.
big='forktree threadfork'
# And this one faults 28,000 times; a minute in emulation.  Stack growth is left to its probe here.
left_out='stack'
download=yes
real= # cases of -r
memory=1024 # MiB, of a guest

die()
{
	echo "kernels.sh: $*" >&2
	exit 2
}

while getopts nr: opt; do
	case $opt in
	n) download= ;;
	r) real=$OPTARG memory=6144 boot_limit=${KERNELS_LIMIT:-36000} ;;
	*) sed -n '5s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- 6.1 6.12
mkdir -p "$cache" || die "cannot make $cache"

# meta_package VERSION: the package whose dependency is the newest kernel of that series.
meta_package()
{
	case $1 in
	6.1) echo linux-image-cloud-amd64 ;;
	6.12) echo linux-image-6.12-cloud-amd64 ;;
	*) die "no such kernel: $1 (6.1, 6.12)" ;;
	esac
}

# kernel_image VERSION: path of its vmlinuz, unpacked if it is not there yet.
kernel_image()
{
	dir=$cache/$1
	set -- "$1" "$dir"/boot/vmlinuz-*
	if [ ! -e "$2" ]; then
		[ -n "$download" ] || die "no kernel in $dir"
		package=$(apt-cache depends "$(meta_package "$1")" |
			sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
		[ -n "$package" ] || die "apt knows no kernel $1 (apt-get update?)"
		mkdir -p "$dir" || die "cannot make $dir"
		cd "$dir" || exit 2
		timeout 300 apt-get -qq -o APT::Sandbox::User=root download "$package" >&2 ||
			die "cannot download $package"
		dpkg-deb --fsys-tarfile ./*.deb | tar -x ./boot || die "cannot unpack $package"
		rm -f ./*.deb
		cd "$root" || exit 2
		set -- "$1" "$dir"/boot/vmlinuz-*
	fi
	[ -e "$2" ] || die "no vmlinuz for $1"
	echo "$2"
}

# Names of the programs of core lists, without their check level and arguments.
programs_of()
{
	sed -n 's/^\([a-z0-9_.-]*\).*/\1/p' "$@" | sort -u
}

core_programs()
{
	programs_of "$root/tests/e2e/core.txt" "$root/tests/memory/core.txt"
}

# build_tree DIR OPTION TARGET…: the release preset, there.
build_tree()
{
	dir=$1 option=$2 log=$cache/build.log
	shift 2
	cmake -S "$root" --preset release -B "$dir" -G Ninja "$option" >"$log" 2>&1 || die "cannot configure $dir ($log)"
	timeout 600 ninja -C "$dir" -j "$(nproc)" "$@" >>"$log" 2>&1 && return
	tail -n 20 "$log" >&2
	die "the build of $dir failed ($log)"
}

# The first half of an init.
write_mounts()
{
	cat <<'INIT'
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
echo # the BIOS leaves the cursor within a line
echo "BEGIN $(uname -r)"
INIT
}

write_init()
{
	cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TMPDIR=/tmp
INIT
	write_mounts
	cat <<'INIT'
echo "PART probe."
/probe 2>&1
echo "PART"
if /upager doctor >/tmp/doctor 2>&1; then
	echo "ok doctor"
else
	cat /tmp/doctor
	echo "FAIL doctor (status $?)"
fi
echo "PART e2e."
sh /e2e/run-e2e.sh -u /upager -b /e2e -c 3 -t 120 -l /e2e/core.txt all 2>&1
# A swap file on tmpfs: without O_DIRECT before 6.6.
echo "PART pool."
sh /e2e/run-e2e.sh -u /upager -b /e2e -c 3 -t 120 -l /e2e/memory.txt -o "--memory 256K" all 2>&1
echo "PART file."
sh /e2e/run-e2e.sh -u /upager -b /e2e -c 1 -t 120 -l /e2e/memory.txt \
	-o "--memory 128K --swap file:/tmp/swap,size=16M --prefetch cluster:8" all 2>&1
echo "END"
sync
reboot -f
INIT
}

# All that the guest needs, as one cpio archive.
make_initramfs()
{
	tree=$cache/tree
	rm -rf "$tree"
	mkdir -p "$tree/bin" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/tmp" "$tree/e2e" "$tree/etc"
	busybox=$(command -v busybox) || die "busybox-static is not installed"
	cp "$busybox" "$tree/bin/busybox"
	ln -s busybox "$tree/bin/sh"
	cp "$build/pager/upager" "$build/tests/probe/probe" "$tree/" || die "not built"
	for p in runone $(core_programs); do
		cp "$(find "$build/tests/e2e" -type f -perm -u+x -name "$p" | head -n 1)" "$tree/e2e/$p" ||
			die "not built: $p"
	done
	cp "$root/tests/e2e/run-e2e.sh" "$root/tests/e2e/core.txt" "$tree/e2e/" &&
		cp "$root/tests/memory/core.txt" "$tree/e2e/memory.txt" || die "cannot copy"
	for p in $left_out; do
		sed -i "/^$p\( \|\$\)/d" "$tree/e2e/core.txt"
	done
	for p in $big; do
		sed -i "s/^$p\( \|\$\)/$p@1\1/" "$tree/e2e/core.txt"
	done
	printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$tree/etc/passwd"
	write_init >"$tree/init"
	chmod 755 "$tree/init"
	(cd "$tree" && find . | cpio -o -H newc --quiet) >"$cache/initramfs.cpio" || die "cpio failed"
	rm -rf "$tree"
}

# The files of the packages whose names come in, and of all that these need; relative to the root, /bin being in /usr.
files_of_packages()
{
	# shellcheck disable=SC2046 # the lists give words
	dpkg -L $(apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks \
		--no-replaces --no-enhances $(cat) | grep '^[a-z0-9]' | sort -u) 2>/dev/null |
		sed -E '\#^/usr/share/(doc|locale)/#d; s#^/(s?bin|lib|lib64)/#/usr/\1/#; s#^/##; /^(\.|s?bin|lib|lib64)?$/d' | sort -u
}

# A root of installed packages, for -r.
make_real_initramfs()
{
	tree=$cache/tree
	rm -rf "$tree"
	mkdir -p "$tree/proc" "$tree/sys" "$tree/dev" "$tree/tmp" "$tree/root" "$tree/etc" "$tree/upager"
	{
		grep -v '^#' "$root/tests/e2e/packages.txt"
		dpkg-query -W -f '${Essential} ${Package}\n' | sed -n 's/^yes //p'
		echo mount liburing2 libseccomp2 libjansson4 liblz4-1 libzstd1 libxxhash0
	} | files_of_packages >"$cache/files"
	(cd / && cpio -pdm --quiet "$tree" <"$cache/files" 2>/dev/null) # files that somebody has removed do not matter
	for link in bin sbin lib lib64; do
		ln -s "usr/$link" "$tree/$link"
	done
	cp -a /etc/alternatives /etc/ld.so.cache /etc/passwd /etc/group "$tree/etc/" &&
		cp -a "$root/tests" "$out/release/tests/e2e" "$out/release/pager/upager" "$tree/upager/" || die "cannot copy"
	{
		printf '#!/bin/bash\nexport PATH=/usr/bin:/usr/sbin:/bin HOME=/root TMPDIR=/tmp\n'
		write_mounts
		printf 'bash /upager/tests/memory/run-memory.sh -u /upager/upager -b /upager/e2e -c 1 -t 3000 %s 2>&1\n' "$real"
		printf 'echo END\nsync\nbusybox reboot -f\n'
	} >"$tree/init"
	chmod 755 "$tree/init"
	(cd "$tree" && find . | cpio -o -H newc --quiet) >"$cache/initramfs.cpio" || die "cpio failed"
	rm -rf "$tree"
}

# boot VERSION IMAGE: run the guest; its console goes to build/kernels/VERSION.log.
boot()
{
	timeout --foreground -k 5 "$boot_limit" qemu-system-x86_64 -accel tcg -cpu max,la57=off -smp 2 -m "$memory" \
		-nographic -no-reboot -nic none -kernel "$2" -initrd "$cache/initramfs.cpio" \
		-append "console=ttyS0 no_timer_check panic=-1 loglevel=1 random.trust_cpu=1" \
		</dev/null 2>&1 | stdbuf -oL tr -d '\r' >"$cache/$1.log"
}

# verdict VERSION: print what the console says, with the reasons of failures.
verdict()
{
	log=$cache/$1.log
	sed -n '/^BEGIN/,/^END/p' "$log" | awk -v version="$1" '
		$1 == "PART" { part = $2; next }
		$1 == "BEGIN" || $1 == "END" || $1 == "probes:" || $1 == "e2e:" || $1 == "memory:" { next }
		$1 == "ok" || $1 == "FAIL" || $1 == "skip" { verdict = $1; sub(/^[a-zA-Z]+ +/, "");
			print verdict, version, part $0; next }
		{ print }'
	if ! grep -q '^END' "$log"; then
		echo "FAIL $1 boot: no verdict within $boot_limit s; the console's end:"
		tail -n 15 "$log" | sed 's/^/     | /'
	fi
}

for list in e2e memory; do
	[ -f "$root/tests/$list/core.txt" ] || die "tests/$list/core.txt is missing"
done
if [ -n "$real" ]; then
	build_tree "$out/release" -DUPAGER_STATIC=OFF upager runone memory_programs
	make_real_initramfs
else
	# shellcheck disable=SC2046 # the list gives words
	build_tree "$build" -DUPAGER_STATIC=ON upager probe runone memory_programs $(programs_of "$root/tests/e2e/core.txt")
	make_initramfs
fi
results=$cache/results
: >"$results"
for version; do # one at a time: two guests of two CPUs each take three times as long on two
	image=$(kernel_image "$version") || exit 2
	boot "$version" "$image"
done
for version; do
	echo "== Linux $version ($(basename "$(kernel_image "$version")"))"
	verdict "$version" | tee -a "$results"
done
passed=$(grep -c '^ok ' "$results")
failed=$(grep -c '^FAIL ' "$results")
skipped=$(grep -c '^skip ' "$results")
echo "kernels: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
