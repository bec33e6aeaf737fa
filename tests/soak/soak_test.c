/*
 * Promise: whatever goes wrong, each request and each message ends in exactly
 * one column of the ledger, and the columns of what may not happen stay empty.
 *
 * Rounds of chaos from a seed (schedule.h, faults.h) under messages, requests,
 * HTTP and output, with a quiet moment after each, in which everything is
 * counted and the supervisor looked at. SOAK_SECONDS and SOAK_SEED say how long
 * and which; scripts/soak sets them.
 */
#include "faults.h"

#include "support/process.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	ROUND_MS = 2500,
	SETTLE_MS = 10000,
	STEADY_MS = 300,       /* nothing changes for so long: it is quiet */
	ANSWER_MS = 3000,      /* to any `ls` when it is quiet */
	DESCRIPTORS_MORE = 40, /* than at first, for what rogues have open */
	KEEPER_KIB_MORE = 1024,
	WORKERS = FAULTS_TALKERS + FAULTS_SERVERS,
};

struct ledger {
	struct talk_counts talk;
	struct client_counts http;
	unsigned long lines_good, lines_lost, lines_doubled;
	int rounds;
};

struct soak {
	uint64_t seed;
	int64_t began_ms;
	struct faults faults;
	struct ledger ledger;
	struct fault round[SCHEDULE_FAULTS_MAX];
	size_t count;
	int keeper_fds, brain_fds;
	long keeper_kib;
};

static struct soak soak;

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
print_round(void)
{
	fprintf(stderr, "# the faults of round %d:\n", soak.ledger.rounds + 1);
	for (size_t i = 0; i < soak.count; i++)
		fprintf(stderr, "#   %4d ms: %s (%u, %d ms)\n",
			soak.round[i].at_ms, fault_name(soak.round[i].kind),
			soak.round[i].target, soak.round[i].ms);
}

static void
print_ledger(void)
{
	const struct ledger *at = &soak.ledger;

	fprintf(stderr,
		"# soak: seed %llu, %d rounds in %lld s, %lu brains killed\n"
		"#   messages and requests: %lu arrived, %lu came back, %lu "
		"refused, %lu of killed workers | %lu lost, %lu doubled, %lu "
		"out of order, %lu late, %lu bad\n"
		"#   HTTP: %lu answered, %lu of killed servers | %lu failed; "
		"the longest took %.0f ms\n"
		"#   lines: %lu arrived | %lu lost, %lu doubled\n",
		(unsigned long long)soak.seed, at->rounds,
		(long long)(now_ms() - soak.began_ms) / 1000,
		soak.faults.brain_kills, at->talk.good, at->talk.returned,
		at->talk.refused, at->talk.excused, at->talk.lost,
		at->talk.doubled, at->talk.reordered, at->talk.late,
		at->talk.bad, at->http.good, at->http.excused, at->http.failed,
		at->http.longest_ms, at->lines_good, at->lines_lost,
		at->lines_doubled);
	fprintf(stderr, "#   faults:");
	for (int i = 0; i < FAULT_KINDS; i++)
		fprintf(stderr, "%s %s %lu", i == 0 ? "" : ",", fault_name(i),
			soak.faults.done[i]);
	fprintf(stderr, "\n");
}

static void
clean(void)
{
	if (soak.faults.talk != NULL) {
		print_round();
		print_ledger();
		client_stop(&soak.faults.client);
		unlink(soak.faults.config_path);
		unlink(soak.faults.log_path);
		talk_free(&soak.faults.talk);
	}
	run_clean();
}

TestSuite(soak, .fini = clean, .timeout = 1e9);

static void __attribute__((noreturn, format(printf, 1, 2)))
fail(const char *format, ...)
{
	char words[600];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	cr_assert_fail("seed %llu, round %d: %s", (unsigned long long)soak.seed,
		soak.ledger.rounds + 1, words);
	abort();
}

/* Quiet ------------------------------------------------------------------- */

static bool
is_ready(json_t *worker)
{
	const char *status =
		json_string_value(json_object_get(worker, "status"));

	return status != NULL && strcmp(status, "ready") == 0;
}

/* A number that changes with each process of talkers and servers; 0: not all
 * are ready. */
static long
fingerprint(json_t *now)
{
	long sum = 1;

	for (size_t i = 0; i < WORKERS; i++) {
		if (!is_ready(json_array_get(now, i)))
			return 0;
		sum = sum * 31 + run_field(now, i, "pid");
	}
	return sum;
}

/* Waits until all serve and nothing changes any more. */
static void
await_steady(void)
{
	int64_t deadline = now_ms() + 2 * RUN_DEADLINE_MS;
	int64_t since = now_ms();
	long last = 0;

	for (;;) {
		int64_t asked = now_ms();
		json_t *now = run_ls(soak.faults.run);
		long is = fingerprint(now);
		json_decref(now);
		if (now_ms() - asked > ANSWER_MS)
			fail("`ls` took %lld ms",
				(long long)(now_ms() - asked));
		if (is == 0 || is != last || faults_busy(&soak.faults))
			since = now_ms();
		last = is;
		if (now_ms() - since > STEADY_MS)
			return;
		if (now_ms() > deadline)
			fail("it doesn't get quiet: %s",
				run_said(soak.faults.run));
		run_pump(soak.faults.run, 20);
	}
}

static void
check_queues(void)
{
	json_t *now = run_ls(soak.faults.run);

	for (size_t i = 0; i < WORKERS; i++)
		if (run_field(now, i, "queue_bytes") != 0)
			fail("worker %zu has %ld bytes in its queue when it is "
			     "quiet",
				i + 1, run_field(now, i, "queue_bytes"));
	json_decref(now);
}

/* One brain, one process a slot, rogues as they are, and no zombie for long. */
static void
check_processes(void)
{
	pid_t children[PROCESS_CHILDREN_MAX];
	int64_t deadline = now_ms() + 5000;

	for (;;) {
		size_t count =
			process_children(run_keeper(soak.faults.run), children);
		bool zombie = false;
		for (size_t i = 0; i < count; i++)
			zombie = zombie || process_state(children[i]) == 'Z';
		if (!zombie && count >= WORKERS + 1 &&
			count <= WORKERS + 1 + FAULTS_ROGUES)
			break;
		if (now_ms() > deadline)
			fail("%zu processes, a zombie: %s", count,
				zombie ? "yes" : "no");
		run_pump(soak.faults.run, 5);
	}
	size_t mine = process_children(getpid(), children);
	if (mine != 1)
		fail("%zu orphans", mine - 1);
}

static void
check_resources(void)
{
	pid_t keeper = run_keeper(soak.faults.run);
	pid_t brain = run_brain(soak.faults.run);
	int keeper_fds = process_descriptors(keeper);
	int brain_fds = process_descriptors(brain);
	long keeper_kib = process_memory(keeper, "Anonymous");

	if (soak.keeper_fds == 0) {
		soak.keeper_fds = keeper_fds;
		soak.brain_fds = brain_fds;
		soak.keeper_kib = keeper_kib;
	}
	if (keeper_fds > soak.keeper_fds + DESCRIPTORS_MORE ||
		brain_fds > soak.brain_fds + DESCRIPTORS_MORE)
		fail("descriptors: keeper %d, was %d; brain %d, was %d",
			keeper_fds, soak.keeper_fds, brain_fds, soak.brain_fds);
	if (keeper_kib > soak.keeper_kib + KEEPER_KIB_MORE)
		fail("the keeper has %ld KiB, had %ld", keeper_kib,
			soak.keeper_kib);
}

/* The ledger -------------------------------------------------------------- */

static void
add_counts(const struct talk_counts *counts)
{
	struct talk_counts *all = &soak.ledger.talk;

	all->good += counts->good;
	all->refused += counts->refused;
	all->returned += counts->returned;
	all->excused += counts->excused;
	all->lost += counts->lost;
	all->doubled += counts->doubled;
	all->reordered += counts->reordered;
	all->late += counts->late;
	all->bad += counts->bad;
}

static void
count_round(void)
{
	struct talk *talk = soak.faults.talk;
	struct talk_counts counts;

	talk_settle(talk, soak.faults.run, SETTLE_MS, &counts);
	add_counts(&counts);
	client_read(soak.faults.client, &soak.ledger.http);
	talk_read_file(talk, soak.faults.log_path);
	soak.ledger.lines_good = talk->lines_good;
	soak.ledger.lines_lost = talk->lines_lost;
	soak.ledger.lines_doubled = talk->lines_doubled;
	run_forget_text(soak.faults.run, RUN_OUT,
		strrchr(run_text(soak.faults.run, RUN_OUT), '\0'));
	if (counts.lost + counts.doubled + counts.reordered + counts.late +
			counts.bad >
		0)
		fail("%lu lost, %lu doubled, %lu out of order, %lu late, %lu "
		     "bad; %s",
			counts.lost, counts.doubled, counts.reordered,
			counts.late, counts.bad, talk->first_wrong);
	if (soak.ledger.http.failed > 0)
		fail("%lu requests failed: %s", soak.ledger.http.failed,
			soak.ledger.http.first_failure);
	if (talk->lines_lost + talk->lines_doubled > 0)
		fail("output: %lu lines lost, %lu doubled: %s",
			talk->lines_lost, talk->lines_doubled,
			talk->first_line);
}

/* Rounds ------------------------------------------------------------------ */

static void
play_round(struct schedule *schedule)
{
	struct faults *faults = &soak.faults;

	soak.count = schedule_round(schedule, ROUND_MS, soak.round);
	talk_rest(faults->run);
	talk_go(faults->talk);
	int64_t began = now_ms();
	for (size_t next = 0; now_ms() < began + ROUND_MS;) {
		if (next < soak.count &&
			now_ms() >= began + soak.round[next].at_ms)
			faults_do(faults, &soak.round[next++]);
		faults_tidy(faults, false);
		run_pump(faults->run, 2);
	}
	faults_tidy(faults, true);
	await_steady();
	count_round();
	check_queues();
	check_processes();
	check_resources();
	soak.ledger.rounds++;
	soak.count = 0;
}

static void
start(void)
{
	struct faults *faults = &soak.faults;

	faults->burst = 1;
	faults->pace_us = 2000;
	faults->talk = talk_new(FAULTS_TALKERS, faults->burst, faults->pace_us);
	faults->talk->may_come_back = true;
	snprintf(faults->log_path, sizeof(faults->log_path), "%s.log",
		faults->talk->path);
	snprintf(faults->config_path, sizeof(faults->config_path),
		"/tmp/muster-soak-%d.json", (int)getpid());
	faults->port = run_free_port();
	faults_write_config(faults, FAULTS_GOOD);
	faults->run = RUN(faults->config_path);
	await_steady();
	faults->client = client_start(faults->port, 2);
}

static unsigned long long
setting(const char *name, unsigned long long other)
{
	const char *text = getenv(name);

	return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 10)
					       : other;
}

Test(soak, everything_ends_in_one_column)
{
	struct schedule schedule;
	int64_t seconds = (int64_t)setting("SOAK_SECONDS", 8);

	soak.seed = setting("SOAK_SEED", 1);
	soak.began_ms = now_ms();
	schedule_init(&schedule, soak.seed);
	start();
	while (now_ms() < soak.began_ms + seconds * 1000)
		play_round(&schedule);
	cr_expect_gt(soak.ledger.talk.good, 0ul);
	cr_expect_gt(soak.ledger.http.good, 0ul);
	print_ledger();
	client_stop(&soak.faults.client);
	unlink(soak.faults.config_path);
	unlink(soak.faults.log_path);
	talk_free(&soak.faults.talk);
	run_stop(soak.faults.run);
}
