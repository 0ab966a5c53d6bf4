#!/bin/sh
# perl: hashes, regular expressions, sort, fork, pipes, big strings.
perl -e '
my $part = $ENV{PART} // 1;
my %h; $h{$_ * 7919 % 100003} = "v$_" for 1 .. 100000 / $part;
my $s = 0; $s += $_ for (sort { $a <=> $b } keys %h)[0 .. 999]; print "sum $s\n";
my $t = join ",", map { "word$_" } 1 .. 50000 / $part; my $n = () = $t =~ /word\d*7,/g; print "matches $n\n";
for my $i (1 .. 8 / $part + 2) {
	my $p = fork // die; if (!$p) { $t =~ s/word/w/g; exit length($t) % 256 } waitpid $p, 0; print $? >> 8, " "
}
print "\n", length $t, "\n";
open my $f, "-|", "seq 1 1000" or die; my $c = 0; $c += $_ while <$f>; print "pipe $c\n";
my $x = "y" x ((32 << 20) / $part); substr($x, (20 << 20) / $part, 1) = "z"; print index($x, "z"), "\n";
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5 }; print $@;
exit 9'
echo "status $?"
