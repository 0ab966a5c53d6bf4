/* SPDX-License-Identifier: MIT */
/*
 * Every policy over traces that were worked out by hand: not only how many misses, but who leaves
 * when.
 *
 * A trace is a string, a character a page.  Below each access stands what became of it: '.' a hit,
 * '+' a miss while there was room, else the page that left.  Queues in the comments have their
 * newest page first.
 */
#include "trace.h"
#include "unit.h"

static struct trace trace;

static void run(const char *spec, u64 capacity, const char *accesses, const char *expected)
{
	char got[100];
	size_t n = strlen(accesses);

	assert_int_equal(n, strlen(expected));
	assert_true(n < sizeof(got));
	trace_start(&trace, spec, capacity);
	for (size_t i = 0; i < n; i++) {
		int out = trace_access(&trace, (u32)accesses[i]);

		got[i] = out == TRACE_HIT ? '.' : out == TRACE_FREE ? '+' : (char)out;
	}
	got[n] = '\0';
	trace_end(&trace);
	print_message("%-28s %s\n%-28s %s\n", spec, accesses, "", got);
	assert_string_equal(got, expected);
}

static u64 misses(const char *spec, u64 capacity, const char *accesses)
{
	u32 keys[100], n = 0;

	while (accesses[n]) {
		keys[n] = (u32)accesses[n];
		n++;
	}
	return spec ? trace_misses(spec, capacity, keys, n) : trace_opt(capacity, keys, n);
}

/*
 * The reference string of Silberschatz, Galvin, Gagne, "Operating system concepts", chapter
 * "Virtual memory".
 */
#define TEXTBOOK "70120304230321201701"
/* sfifo whose primary is one page is LRU: any use of another page makes that one the newest. */
#define LRU "sfifo:tail=100%"

/* The book's figures: FIFO 15, LRU 12, OPT 9 faults with three frames. */
static void test_textbook_string_has_the_books_faults(void **state)
{
	assert_int_equal(misses("fifo", 3, TEXTBOOK), 15);
	assert_int_equal(misses(LRU, 3, TEXTBOOK), 12);
	assert_int_equal(misses(NULL, 3, TEXTBOOK), 9);
}

/* Belady, Nelson, Shedler 1969: with FIFO more frames can be worse. */
static void test_fifo_shows_beladys_anomaly(void **state)
{
	assert_int_equal(misses("fifo", 3, "123412512345"), 9);
	assert_int_equal(misses("fifo", 4, "123412512345"), 10);
	assert_int_equal(misses(LRU, 3, "123412512345"), 10);
	assert_int_equal(misses(LRU, 4, "123412512345"), 8);
}

/*
 * 210 after 7 0 1 2; 0 hits but stays the oldest:
 *	3: 321 | 0: 032 | 4: 403 | 2: 240 | 3: 324 | 0: 032 | 1: 103 | 2: 210 | 7: 721 | 0: 072 | 1: 107
 */
static void test_fifo_by_hand(void **state)
{
	run("fifo", 3, TEXTBOOK, "+++7.0123" "04..23..012");
}

/*
 *	210 after 7 0 1 2 | 0: 021 | 3: 302 | 0: 032 | 4: 403 | 2: 240 | 3: 324 | 0: 032
 *	3: 302 | 2: 230 | 1: 123 | 2: 213 | 0: 021 | 1: 102 | 7: 710 | 0: 071 | 1: 107
 */
static void test_sfifo_with_one_primary_page_is_lru_by_hand(void **state)
{
	run(LRU, 3, TEXTBOOK, "+++7.1.23" "04..0.3.2..");
}

/*
 * Two primary, two second pages:
 *	a b c d: dc|ba  a: ad|cb  e, b leaves: ea|dc  a: in the primary, nothing  c: ce|ad  b, d leaves: bc|ea
 *	f, a leaves: fb|ce  c: cf|be  e: ec|fb  g, b leaves: ge|cf  b, f leaves: bg|ec
 */
static void test_sfifo_by_hand(void **state)
{
	run("sfifo:tail=50%", 4, "abcdaeacbfcegb", "++++.b..da..bf");
}

/*
 * Newest first, * used; the hand is at the right end.
 *	210 after 7 0 1 2 | 0: 210* | 3: the hand spares 0, takes 1: 302 | 0: 30*2 | 4: 430* | 2: spares 0, takes
 *	3: 204 | 3: 320 | 0 3 2: 3*2*0* | 1: spares 0 2 3, takes 0: 132 | 2: 132* | 0: spares 2, takes 3: 021
 *	1: 021* | 7: spares 1, takes 2: 710 | 0 1
 */
static void test_clock_by_hand(void **state)
{
	run("clock", 3, TEXTBOOK, "+++7.1.234...0.3.2..");
}

/*
 * Two bits, uses in brackets, newest first:
 *	a a a a b b c: cb(1)a(3)  d: the hand takes 1 from a: a(2)cb(1); from b: ba(2)c; takes c: dba(2)
 *	e: a(1)db; takes b: ea(1)d   f: takes d: fea(1)   g: afe, takes e: gaf   h: takes f: hga   i: takes a
 */
static void test_clock_with_two_bits_by_hand(void **state)
{
	run("clock:bits=2", 3, "aaaabbcdefghi", "+...+.+cbdefa");
}

/*
 * Newest first, * visited, > the hand (the next to be looked at), which moves to the left:
 *	2, 7 leaves: 21>0 | 0: 21>0* | 3: passes 0, takes 1: 3>20 | 0: 3>20* | 4: 4>30* | 2: 2>40* | 3: 3>20*
 *	0 3 2: 3*>2*0* | 1: passes 2 3 0, takes 2: 1>30 | 2: takes 3: 2>10 | 0 1: 2>1*0*
 *	7: passes 1, takes 2, the newest: 710*, the hand starts again | 0 1
 */
static void test_sieve_by_hand(void **state)
{
	run("sieve", 3, TEXTBOOK, "+++7.1.234...23..2..");
}

/*
 *	107 after 7 0 1 | 2, 1 leaves: 207 | 0: 027 | 3: 327 | 0: 027 | 4: 427 | 2: 247
 *	3: 347 | 0: 047 | 3: 347 | 2: 247 | 1: 147 | 2: 247 | 0: 047 | 1: 147 | 7: 714
 *	0: 014 | 1: 104
 */
static void test_mru_by_hand(void **state)
{
	run("mru:stale=0", 3, TEXTBOOK, "+++1.030.23032120.7.");
}

/* As above, but the last one used is passed over: the newest but one leaves. */
static void test_mru_that_keeps_one_by_hand(void **state)
{
	/* d: b leaves: dca | a: adc | e: d leaves: eac | d: a leaves: dec | c: cde | a: d leaves */
	run("mru:keep=1,stale=0", 3, "abcdaedca", "+++b.da.d");
}

/* Each third victim is the oldest. */
static void test_mru_with_stale_pages_by_hand(void **state)
{
	/* d: c leaves: dba | e: eba | f: a leaves: feb | g: geb | e: egb | h: hgb | i: b leaves: ihg | b: bhg */
	run("mru:stale=3", 3, "abcdefgehibb", "+++cdaf.ebi.");
}

/*
 * A1in | Am {A1out}, Kin = 1, Kout = 2:
 *	abcd: dcba|{}  a: in A1in, nothing  e: edcb|{a}  a: edc|a{b}  f: fed|a{cb}  b: fe|ba{dc}  a: fe|ab{dc}
 *	g: gf|ab{ed}  c: cg|ab{fe}  d: dc|ab{gf}  h: hd|ab{cg}  a b: hd|ba{cg}  c: h|cba{dg}
 *	g: A1in is not above Kin, a leaves: h|gcb{d}  a: b leaves: ah|gc{d}  b: h leaves: ba|gc{hd}
 */
static void test_2q_by_hand(void **state)
{
	run("2q", 4, "abcdaeafbagcdhabcgab", "++++.abcd.efgc..dabh");
}

/*
 * T1|T2{B1}{B2} p:
 *	abcd: dcba|{}{} 0     a: dcb|a{}{} 0       e: edc|a{b}{} 0      b: ed|ba{c}{} 1     f: fe|ba{dc}{} 1
 *	a: fe|ab{dc}{} 1      c: f|cab{ed}{} 2     g: gf|ca{ed}{b} 2    b: gf|bc{ed}{a} 1
 *	h: hg|bc{fe}{a} 1, d falls out of B1       d: dh|bc{gf}{a} 1    b: no change
 *	a: d|abc{hgf}{} 0, p falls by |B1|/|B2| = 3     i: i|abc{dhg}{} 0
 */
static void test_arc_by_hand(void **state)
{
	run("arc", 4, "abcdaebfacgbhdbai", "++++.bcd.ebafg.hd");
}

/*
 * S top first, capitals LIR, ' gone | Q newest first; two LIR pages, one HIR:
 *	a d: DA|       b: bDA|b        c: cb'DA|c       b: was in S: BDc' with c' below B: Bc'D|a, a HIR now
 *	a: aBc'D|a     d: DaB|a, c' is pruned           a: in S: AD|b        e: b leaves: eAD|e    d: DeA|e
 *	e: ED|a        f: a leaves: fED|f               g: gf'ED|g           f: Fg'E|d             d: dFg'E|d
 *	g: d leaves: Gd'F|e             e: eGd'F|e
 */
static void test_lirs_by_hand(void **state)
{
	run("lirs", 3, "adbcbadaedefgfdge", "+++bc...b..afg.d.");
}

/*
 * small|main{ghost}, small's share 2, 3 ghosts, uses in brackets:
 *	abcde: edcba|   a a b: edcb(1)a(2)|   f: a to main, b leaves: fedc|a{b}    g: gfed|a{cb}
 *	b: d leaves first, {dcb}: gfe|ba{dc}  h: hgf|ba{edc}  a: hgf|ba(1){edc}  e: f leaves, {fed}: hg|eba(1){fd}
 *	i: ih|eba(1){gfd}  f: h leaves, {hgf}: i|feba(1){hg}  j: small is below its share; main: a is spared:
 *	afeb, b leaves: ji|afe{hg}  b: it left by main, so nobody knows it; i leaves: bj|afe{ihg}
 */
static void test_s3fifo_by_hand(void **state)
{
	run("s3fifo:small=40%,ghost=60%,learn=0", 5, "abcdeaabfgbhaeifjb", "+++++...bcde.fghbi");
}

/*
 * small|main, the number is the uses that its level gave a page, {ghost, newest first}; it holds a
 * key for four evictions.  Nobody hits.
 *	abcd: dcba|   e: a leaves: edcb|{a}   a: b leaves; a comes back soon, level 1: edc|a1{b}
 *	b: c leaves: ed|b1a1{c}   c: e|c1b1a1{d}   d: |d1c1b1a1{e}   e: small is empty; all of main are spared
 *	once, then a leaves: |e1d0c0b0{a}   a: b leaves; a is at level 2 now: |a3e1d0c0{b}   f: c leaves: f|a3e1d0{cb}
 *	g: f leaves: g|a3e1d0{fcb}   c: g leaves; level 2: |c3a3e1d0{gfb}   h: d leaves, b is forgotten: h|c3a3e1{dgf}
 *	b: h leaves: b|c3a3e1{hdgf}   f: b leaves, and f is forgotten just then: f|c3a3e1{bhdg}   g: so is g
 */
static void test_s3fifo_learns_from_returns_by_hand(void **state)
{
	run("s3fifo:small=25%,ghost=100%,near=100%", 4, "abcdeabcdeafgchbfg", "++++abcdeabcfgdhbf");
}

/*
 * As above; near is two evictions, far the two before these.
 *	abcde: a leaves: edcb|   a: b leaves; near: edc|a1   b: c leaves; near: ed|b1a1   f: d leaves: fe|b1a1
 *	c: e leaves; c is from far, so small: cf|b1a1   d: f leaves; far: dc|b1a1   e: c leaves; far: ed|b1a1
 *	c: d leaves; near: e|c1b1a1   g: e leaves   f: g leaves; it left four ago, too many: f|c1b1a1
 *	g: f leaves; near: |g1c1b1a1
 *	h: all of main are spared once, a leaves: h|g0c0b0   i: h leaves   a: i leaves; far, so it loses its level
 *	j: a leaves   a: j leaves; near, level 1 again: |a1g0c0b0   k: b leaves: k|a1g0c0   l: k leaves
 *	k: l leaves; near: |k1a1g0c0   m: c leaves   l: m leaves; far   m: l leaves; near: |m1k1a1g0
 *	n: g leaves   o: n leaves   n: o leaves; near: |n1m1k1a1   p: all are spared once, a leaves: had it
 *	kept its level, it would be a3 here, and k would leave
 */
static void test_s3fifo_page_from_far_is_not_wanted_by_hand(void **state)
{
	run("s3fifo:small=25%,ghost=100%,near=50%", 4, "abcdeabfcdecgfghiajaklkmlmnonp",
	    "++++abcdefcdegfahiajbklcmlgnoa");
}

/*
 * Room for 1000, small 50.  A lap and 950 more over 1001 pages: each comes back as soon as it has left, so 950
 * fill main, wanted once.  Then laps over 850 others, of which each has left 800 evictions ago when it is needed.
 *
 * near=90% lets them in at once: lap 2 puts the oldest of small out and then pages of main only, so it finds the
 * other 49 of small; lap 3 finds all.  ghost=30% knows none of them, ever: every access misses.
 *
 * With the default near and ghost the share of those from far is 1 - (255/256)^n after n of lap 2, which passes
 * 9/10 at n = 589, or a little earlier, for the average is rounded up.  n - 1 of lap 2 have come into small by
 * then.  The last 49 of these stay there, so lap 3 misses n - 50.  Lap 4 and all later find everything.
 */
static void test_s3fifo_lets_in_what_would_fit(void **state)
{
	enum { BEFORE = 1001 + 950, LAP = 850, LAPS = 8 };
	static u32 keys[BEFORE + LAPS * LAP];
	u64 nr;

	for (u32 i = 0; i < ARRAY_SIZE(keys); i++)
		keys[i] = i < BEFORE ? i % 1001 : 2000 + (i - BEFORE) % LAP;
	assert_int_equal(trace_misses("s3fifo:small=5%,near=90%", 1000, keys, ARRAY_SIZE(keys)), BEFORE + 2 * LAP - 49);
	assert_int_equal(trace_misses("s3fifo:small=5%,ghost=30%,loop=0", 1000, keys, ARRAY_SIZE(keys)),
			 ARRAY_SIZE(keys));
	nr = trace_misses("s3fifo:small=5%", 1000, keys, ARRAY_SIZE(keys));
	assert_in_range(nr, BEFORE + 2 * LAP + 580 - 50, BEFORE + 2 * LAP + 589 - 50);
}

/* One access, by fault or brought ahead and then used.  Returns whether the page had to be brought. */
static bool use(void *p, struct reclaim_node *node, bool *in, u64 *room, u32 page, unsigned int flags)
{
	if (in[page])
		return false;
	if (!*room) {
		struct reclaim_node *victim = checked_ops.victim(p);
		u64 nr = (u64)(victim - node);

		checked_ops.evicted(p, victim, nr + 1);
		in[nr] = false;
		++*room;
	}
	node[page] = (struct reclaim_node){ 0 };
	checked_ops.insert(p, &node[page], page + 1UL, flags);
	if (flags & RECLAIM_PREFETCH)
		checked_ops.touch(p, &node[page]);
	in[page] = true;
	--*room;
	return true;
}

/*
 * Main is full of pages that were wanted once, as above.  Then laps over 850 others, or 200, all brought ahead: after
 * 250 that come back, nearly all that come in do, so the rest of that lap begins in main, and after a few laps
 * nothing is brought any more.
 */
static void test_s3fifo_lets_in_a_stream_that_would_fit(void **state)
{
	enum { OTHERS = 1001, LAPS = 10 };
	static const u32 laps[] = { 850, 200 };

	for (size_t t = 0; t < ARRAY_SIZE(laps); t++) {
		static struct reclaim_node node[OTHERS + 850];
		static bool in[OTHERS + 850];
		void *p = policy_make("s3fifo", 1000);
		u64 room = 1000, brought = 0;

		memset(in, 0, sizeof(in));
		for (u32 i = 0; i < OTHERS + 950; i++)
			use(p, node, in, &room, i % OTHERS, 0);
		for (u32 lap = 0; lap < LAPS; lap++) {
			brought = 0;
			for (u32 i = 0; i < laps[t]; i++)
				brought += use(p, node, in, &room, OTHERS + i, RECLAIM_PREFETCH);
		}
		assert_int_equal(brought, 0);
		checked_ops.fini(p);
	}
}

/*
 * A loop over twice the room: FIFO and the paper's algorithm hit nothing.  Once the loop is seen, main keeps four
 * fifths of the room, so about a third of the accesses hit.
 */
static void test_s3fifo_keeps_a_part_of_a_loop(void **state)
{
	static u32 keys[40000];
	const u64 capacity = 1000, laps = 20;

	for (u32 i = 0; i < ARRAY_SIZE(keys); i++)
		keys[i] = (u32)(i % (2 * capacity));
	assert_int_equal(trace_misses("s3fifo:loop=0", capacity, keys, ARRAY_SIZE(keys)), ARRAY_SIZE(keys));
	assert_in_range(trace_misses("s3fifo", capacity, keys, ARRAY_SIZE(keys)),
			ARRAY_SIZE(keys) - laps * capacity, ARRAY_SIZE(keys) / 10 * 7);
}

/*
 * The live world by hand.  A small letter inserts that page, V asks for a victim, which stays on
 * probation, ^a rescues page a from there.  Expected are the victims.
 */
static void run_live(const char *spec, const char *script, const char *expected)
{
	struct reclaim_node node[128] = { 0 };
	void *p = policy_make(spec, 4);
	char got[20];
	u32 nr = 0;

	for (; *script; script++) {
		if (*script == 'V')
			got[nr++] = (char)(checked_ops.victim(p) - node);
		else if (*script == '^')
			checked_ops.putback(p, &node[(u32)*++script], RECLAIM_TOUCHED);
		else
			checked_ops.insert(p, &node[(u32)*script], 0, 0);
	}
	got[nr] = '\0';
	checked_ops.fini(p);
	print_message("%-28s %s\n", spec, got);
	assert_string_equal(got, expected);
}

static void test_rescued_page_by_hand(void **state)
{
	/* ab leave, then cda, e came last: */
	run_live("fifo", "abcdVV^aeVVVV", "abcdae");
	/* a is spared once: cd, a goes behind e */
	run_live("clock", "abcdVV^aeVVVV", "abcdea");
	/* a is behind the hand: cde come first, and a is spared once */
	run_live("sieve", "abcdVV^aeVVVV", "abcdea");
	/* a is active; the inactive cde go */
	run_live("lru2", "abcdVV^aeVVVV", "abcdea");
	/* A1in edc, Am a: A1in may keep one page, e */
	run_live("2q", "abcdVV^aeVVVV", "abcdae");
	/* T1 edc, T2 a, p = 0 */
	run_live("arc", "abcdVV^aeVVVV", "abcdea");
	/*
	 * abc are LIR, so d leaves, then the bottom one, a.  Two LIR are too few: a is LIR again,
	 * above c.  e, b c a
	 */
	run_live("lirs", "abcdVV^aeVVVV", "daebca");
	/* small edc, main a */
	run_live("s3fifo", "abcdVV^aeVVVV", "abcdea");
	/* cd|ab; rescued: da|c, then ea|dc: second first */
	run_live("sfifo:tail=50%", "abcdVV^aeVVVV", "abcdae");
	/* The last used leave first, dc; d, rescued, leaves last: e b a d */
	run_live("mru", "abcdVV^deVVVV", "dcebad");
	/* d; a, the oldest, which is rescued; e is new, then b, the oldest, c and at last a */
	run_live("mru:stale=2", "abcdVV^aeVVVV", "daebca");
}

/*
 * hgfedcba|; a and b leave and come back, a by a fault: hgfedc|a, b by a prefetcher.  Both are wanted; but what is
 * brought ahead starts in small when it is used: bhgfedc|a.
 */
static void test_s3fifo_passes_a_stream_through_small(void **state)
{
	enum { A, B, C, D, E, F, G, H, NR };
	static const u32 expected[] = { C, D, E, F, G, H, B, A };
	struct reclaim_node node[NR] = { 0 };
	void *p = policy_make("s3fifo:small=10%,near=100%", NR);

	for (u64 i = A; i < NR; i++)
		checked_ops.insert(p, &node[i], i + 1, 0);
	for (u64 i = A; i <= B; i++) {
		assert_ptr_equal(checked_ops.victim(p), &node[i]);
		checked_ops.evicted(p, &node[i], i + 1);
		node[i] = (struct reclaim_node){ 0 };
	}
	checked_ops.insert(p, &node[A], A + 1, RECLAIM_REFAULT);
	checked_ops.insert(p, &node[B], B + 1, RECLAIM_REFAULT | RECLAIM_PREFETCH);
	checked_ops.touch(p, &node[B]);
	for (u32 i = 0; i < NR; i++)
		assert_ptr_equal(checked_ops.victim(p), &node[expected[i]]);
	checked_ops.fini(p);
}

/*
 * inactive|active {key@age of leaving} age, * used:
 *	abcd, a: dcba*|   e: a is activated (1), b leaves: edc|a{b1} 2   b: c leaves; 3 - 1 = 2 > 1 active:
 *	bed|a{c2} 3   b: b*ed   f: fb*e|a{d3 c2} 4   d: e leaves; 5 - 3 > 1: dfb*|a{e4 c2} 5   a: a*
 *	g: b is activated (6), f leaves: gd|ba*{f6 e4 c2} 7   f: d leaves; 8 - 6 = 2 <= 2: g|fba*{d7 e4 c2} 9
 *	h: inactive is low, a moves down, used or not: ag|fb; g leaves: ha|fb{g9 d7 e4 c2} 10   a: ha*
 *	i: a is activated (11), b moves down, h leaves: ib|af{h11 g9 d7 e4} 12   b: ib*
 *	g: b is activated (13), f moves down, i leaves; 14 - 9 > 2: gf|ba
 */
static void test_lru2_by_hand(void **state)
{
	run("lru2", 4, "abcdaebbfdagfhaibg", "++++.bc.de.fdg.h.i");
}

/* Round and round over one page more than fits: what is needed next has always just left. */
static void test_loop_larger_than_the_cache_never_hits_fifo_and_lru(void **state)
{
	u32 keys[1000];

	for (u32 c = 2; c <= 20; c++) {
		trace_fill(TRACE_LOOP, 0, c + 1, keys, 1000);
		assert_int_equal(trace_misses("fifo", c, keys, 1000), 1000);
		assert_int_equal(trace_misses(LRU, c, keys, 1000), 1000);
	}
}

/*
 * Of each n - 1 accesses after the first c, c - 1 hit: the page that is missed is one later in each
 * round.
 */
static void test_loop_with_mru_misses_n_minus_c_in_n_minus_1(void **state)
{
	u32 keys[4000];

	for (u32 c = 2; c <= 12; c++)
		for (u32 n = c + 1; n <= 20; n++) {
			u32 len = c + 10 * (n - 1);

			trace_fill(TRACE_LOOP, 0, n, keys, len);
			assert_int_equal(trace_misses("mru:stale=0", c, keys, len), c + 10 * (n - c));
			assert_int_equal(trace_opt(c, keys, len), c + 10 * (n - c));
		}
}

/* The c - 1 LIR pages hit in every round but the first; the others never do. */
static void test_loop_with_lirs_hits_its_lir_pages(void **state)
{
	u32 keys[4000];

	for (u32 c = 2; c <= 12; c++)
		for (u32 n = c + 1; n <= 20; n++) {
			trace_fill(TRACE_LOOP, 0, n, keys, 10 * n);
			assert_int_equal(trace_misses("lirs", c, keys, 10 * n),
					 10 * n - 9 * (c - 1));
		}
}

/* Every page equally likely at any time: c/n of the accesses hit, whatever is kept; within 1 %. */
static void test_uniform_random_accesses_hit_the_share_that_fits(void **state)
{
	static u32 keys[200000];

	trace_fill(TRACE_UNIFORM, 5, 200, keys, 200000);
	for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++) {
		u64 missed = trace_misses((*ops)->name, 50, keys, 200000);

		assert_in_range(missed, 148000, 152000);
	}
}

/* 6000 evictions of 60 pages: each about 100 times.  The bounds are four standard deviations. */
static void test_random_names_each_page_as_often_as_any_other(void **state)
{
	struct reclaim_node node[60] = { 0 };
	void *p = policy_make("random:seed=3", 60);
	u32 count[60] = { 0 };

	for (u32 i = 0; i < 60; i++)
		checked_ops.insert(p, &node[i], 0, 0);
	for (u32 i = 0; i < 6000; i++) {
		struct reclaim_node *victim = checked_ops.victim(p);

		count[victim - node]++;
		checked_ops.putback(p, victim, RECLAIM_REFUSED);
	}
	for (u32 i = 0; i < 60; i++)
		assert_in_range(count[i], 60, 140);
	checked_ops.fini(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_textbook_string_has_the_books_faults),
		cmocka_unit_test(test_fifo_shows_beladys_anomaly),
		cmocka_unit_test(test_fifo_by_hand),
		cmocka_unit_test(test_sfifo_with_one_primary_page_is_lru_by_hand),
		cmocka_unit_test(test_sfifo_by_hand),
		cmocka_unit_test(test_clock_by_hand),
		cmocka_unit_test(test_clock_with_two_bits_by_hand),
		cmocka_unit_test(test_sieve_by_hand),
		cmocka_unit_test(test_mru_by_hand),
		cmocka_unit_test(test_mru_that_keeps_one_by_hand),
		cmocka_unit_test(test_mru_with_stale_pages_by_hand),
		cmocka_unit_test(test_2q_by_hand),
		cmocka_unit_test(test_arc_by_hand),
		cmocka_unit_test(test_lirs_by_hand),
		cmocka_unit_test(test_s3fifo_by_hand),
		cmocka_unit_test(test_s3fifo_learns_from_returns_by_hand),
		cmocka_unit_test(test_s3fifo_page_from_far_is_not_wanted_by_hand),
		cmocka_unit_test(test_s3fifo_lets_in_what_would_fit),
		cmocka_unit_test(test_s3fifo_keeps_a_part_of_a_loop),
		cmocka_unit_test(test_s3fifo_passes_a_stream_through_small),
		cmocka_unit_test(test_s3fifo_lets_in_a_stream_that_would_fit),
		cmocka_unit_test(test_rescued_page_by_hand),
		cmocka_unit_test(test_lru2_by_hand),
		cmocka_unit_test(test_loop_larger_than_the_cache_never_hits_fifo_and_lru),
		cmocka_unit_test(test_loop_with_mru_misses_n_minus_c_in_n_minus_1),
		cmocka_unit_test(test_loop_with_lirs_hits_its_lir_pages),
		cmocka_unit_test(test_uniform_random_accesses_hit_the_share_that_fits),
		cmocka_unit_test(test_random_names_each_page_as_often_as_any_other),
	};

	return RUN(tests);
}
