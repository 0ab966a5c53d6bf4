#!/bin/sh
# file and man install seccomp filters of their own before they read what they are given.
printf '#!/bin/sh\necho\n' >script
printf 'plain text\n' >text
cp /bin/true elf
gzip -nc text >text.gz
file script text text.gz
file elf | cut -d, -f1
file -b --mime-type script elf
cat >page.1 <<'MAN'
.TH PAGE 1 2020-01-01
.SH NAME
page \- a manual page
.SH DESCRIPTION
Text that is set by
.B man
in a pipe of confined programs.
MAN
MANWIDTH=72 man -l page.1 2>&1 | sed 's/[[:space:]]*$//'
rm elf
