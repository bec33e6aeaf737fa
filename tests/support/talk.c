/*
 * talk: reads the book that the talkers write, and says of each message and
 * request what became of it. Knows nothing of who was killed and why: tests
 * say so by talk_excuse().
 */
#include "talk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	REST_MS = 65,
	EXCUSED_MS = 150, /* for more of what may be lost */
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct talk *
talk_new(uint32_t talkers, uint32_t burst, uint32_t pace_us)
{
	struct talk *talk = calloc(1, sizeof(*talk));

	if (talk == NULL)
		abort();
	snprintf(talk->path, sizeof(talk->path), "/dev/shm/muster-talk-XXXXXX");
	int fd = mkstemp(talk->path);
	if (fd < 0 || ftruncate(fd, sizeof(struct talk_book)) < 0)
		abort();
	/* The talkers may run as anybody. */
	fchmod(fd, 0666);
	talk->book = mmap(NULL, sizeof(struct talk_book),
		PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (talk->book == MAP_FAILED)
		abort();
	talk->book->talkers = talkers;
	talk->book->burst = burst;
	talk->book->pace_us = pace_us;
	return talk;
}

void
talk_free(struct talk **talk)
{
	if (*talk == NULL)
		return;
	munmap((*talk)->book, sizeof(struct talk_book));
	unlink((*talk)->path);
	free(*talk);
	*talk = NULL;
}

void
talk_go(struct talk *talk)
{
	struct talk_book *book = talk->book;

	for (uint32_t from = 0; from < book->talkers; from++) {
		for (uint32_t to = 0; to < book->talkers; to++) {
			memset((void *)book->messages[from][to], 0,
				book->sent[from][to]);
			book->sent[from][to] = 0;
		}
		memset((void *)book->requests[from], 0, book->asked[from]);
		book->asked[from] = 0;
	}
	book->reordered = book->late = book->bad = book->late_returns = 0;
	talk->first_wrong[0] = '\0';
	talk->may_return_late = false;
	book->round++;
	book->say++;
}

void
talk_rest(struct run *run)
{
	int64_t until = now_ms() + REST_MS;

	while (now_ms() < until)
		run_pump(run, (int)(until - now_ms()));
}

static bool
is_open(uint8_t bits)
{
	return (bits & TALK_SENT) != 0 &&
	       (bits & (TALK_RECEIVED | TALK_RETURNED | TALK_REFUSED |
			       TALK_EXPOSED)) == 0;
}

static bool
is_open_request(uint8_t bits)
{
	return (bits & TALK_SENT) != 0 &&
	       (bits & (TALK_ANSWERED | TALK_RETURNED | TALK_REFUSED |
			       TALK_EXPOSED | TALK_LEFT)) == 0;
}

/* What a killed talker may have left so: of a number that it took and had not
 * sent, nothing is noted at all. */
static bool
is_cut_off(uint8_t bits)
{
	return bits == 0 || is_open(bits);
}

/* Whether the answer may be missing since `instance` was killed. */
static bool
is_cut_off_request(const struct talk_book *book, uint32_t from, uint32_t i,
	uint32_t instance)
{
	uint8_t bits = book->requests[from][i];
	uint8_t whom = book->asked_whom[from][i];

	if (from == instance)
		return bits == 0 || is_open_request(bits);
	return (whom == instance || whom == TALKERS_MAX) &&
	       is_open_request(bits);
}

void
talk_excuse(struct talk *talk, uint32_t instance)
{
	struct talk_book *book = talk->book;

	for (uint32_t from = 0; from < book->talkers; from++) {
		for (uint32_t to = 0; to < book->talkers; to++) {
			_Atomic uint8_t *bits = book->messages[from][to];

			for (uint32_t i = 0; i < book->sent[from][to]; i++)
				/* What it had received it may not have
				 * acknowledged: that comes back. */
				if (to == instance ||
					(from == instance &&
						is_cut_off(bits[i])))
					bits[i] |= TALK_EXPOSED;
		}
		for (uint32_t i = 0; i < book->asked[from]; i++)
			if (is_cut_off_request(book, from, i, instance))
				book->requests[from][i] |= TALK_EXPOSED;
	}
}

static bool
is_silent(const struct talk_book *book)
{
	for (uint32_t i = 0; i < book->talkers; i++)
		if (book->heard[i] != book->say)
			return false;
	return true;
}

/*
 * How many are under way; `ret_excused`: of how many whose worker was killed
 * something may still be heard.
 */
static unsigned long
count_open(const struct talk_book *book, unsigned long *ret_excused)
{
	const uint8_t over = TALK_ANSWERED | TALK_RETURNED;
	unsigned long open = 0;

	*ret_excused = 0;
	for (uint32_t from = 0; from < book->talkers; from++) {
		for (uint32_t to = 0; to < book->talkers; to++)
			for (uint32_t i = 0; i < book->sent[from][to]; i++) {
				uint8_t bits = book->messages[from][to][i];
				open += is_open(bits);
				*ret_excused += (bits & TALK_EXPOSED) != 0 &&
						(bits & over) == 0;
			}
		for (uint32_t i = 0; i < book->asked[from]; i++) {
			uint8_t bits = book->requests[from][i];
			open += is_open_request(bits);
			*ret_excused += (bits & TALK_EXPOSED) != 0 &&
					(bits & over) == 0;
		}
	}
	return open;
}

/*
 * Waits until nothing is under way. What may be lost is waited for as long as
 * some of it still comes.
 */
static void
await_all(struct talk *talk, struct run *run, int wait_ms)
{
	int64_t deadline = now_ms() + wait_ms;
	int64_t changed = now_ms();
	unsigned long excused, last = 0;

	for (;;) {
		bool done = is_silent(talk->book) &&
			    count_open(talk->book, &excused) == 0;
		if (!done || excused != last)
			changed = now_ms();
		last = done ? excused : 0;
		if (now_ms() >= deadline ||
			(done && (excused == 0 ||
					 now_ms() - changed > EXCUSED_MS)))
			return;
		run_pump(run, 2);
	}
}

static void
note_wrong(struct talk *talk, const char *what, const char *kind, uint32_t from,
	uint32_t to, uint32_t number, uint32_t count)
{
	if (talk->first_wrong[0] == '\0')
		snprintf(talk->first_wrong, sizeof(talk->first_wrong),
			"%s: %s %u of %u from %u to %u", what, kind, number,
			count, from, to);
}

static void
count_message(struct talk *talk, uint32_t from, uint32_t to, uint32_t i,
	struct talk_counts *counts)
{
	uint8_t bits = talk->book->messages[from][to][i];
	uint32_t count = talk->book->sent[from][to];
	bool came = bits & TALK_RECEIVED;
	bool back = bits & TALK_RETURNED;

	if ((bits & TALK_DOUBLED) || (came && back && !(bits & TALK_EXPOSED) &&
					     !talk->may_come_back)) {
		counts->doubled++;
		note_wrong(talk, back ? "arrived and came back" : "doubled",
			"message", from, to, i, count);
	} else if (came) {
		counts->good++;
	} else if (back) {
		counts->returned++;
	} else if (bits & TALK_REFUSED) {
		counts->refused++;
	} else if (bits & TALK_EXPOSED) {
		counts->excused++;
	} else {
		counts->lost++;
		note_wrong(talk, "lost", "message", from, to, i, count);
	}
}

static void
count_request(struct talk *talk, uint32_t from, uint32_t i,
	struct talk_counts *counts)
{
	uint8_t bits = talk->book->requests[from][i];
	uint32_t to = talk->book->asked_whom[from][i];
	uint32_t count = talk->book->asked[from];
	bool answered = bits & TALK_ANSWERED;
	bool failed = bits & TALK_RETURNED;

	/* One that a dead worker had may have gone to another. */
	if (((bits & TALK_DOUBLED) && !(bits & TALK_EXPOSED)) ||
		(answered && failed)) {
		counts->doubled++;
		note_wrong(talk, "doubled", "request", from, to, i, count);
	} else if (answered) {
		counts->good++;
	} else if (failed) {
		counts->returned++;
	} else if (bits & TALK_REFUSED) {
		counts->refused++;
	} else if (bits & (TALK_EXPOSED | TALK_LEFT)) {
		counts->excused++;
	} else {
		counts->lost++;
		note_wrong(talk, bits & TALK_RECEIVED ? "no answer" : "lost",
			"request", from, to, i, count);
	}
}

void
talk_settle(struct talk *talk, struct run *run, int wait_ms,
	struct talk_counts *ret_counts)
{
	struct talk_book *book = talk->book;

	if (book->say % 2 == 1)
		book->say++;
	await_all(talk, run, wait_ms);
	*ret_counts = (struct talk_counts){.reordered = book->reordered,
		.late = book->late +
			(talk->may_come_back || talk->may_return_late
					? 0
					: book->late_returns),
		.bad = book->bad};
	for (uint32_t from = 0; from < book->talkers; from++) {
		for (uint32_t to = 0; to < book->talkers; to++)
			for (uint32_t i = 0; i < book->sent[from][to]; i++)
				count_message(talk, from, to, i, ret_counts);
		for (uint32_t i = 0; i < book->asked[from]; i++)
			count_request(talk, from, i, ret_counts);
	}
}

static void
take_line(struct talk *talk, uint32_t from, uint32_t life, uint32_t number)
{
	uint32_t *last = &talk->lines[from][life % TALKER_LIVES];

	if (number == *last + 1) {
		talk->lines_good++;
	} else {
		if (number > *last)
			talk->lines_lost += number - *last - 1;
		else
			talk->lines_doubled++;
		if (talk->first_line[0] == '\0')
			snprintf(talk->first_line, sizeof(talk->first_line),
				"line %u of talker %u.%u after line %u", number,
				from, life, *last);
	}
	if (number > *last)
		*last = number;
}

/* Takes the whole lines at `at`; returns where the rest begins. */
static const char *
take_lines(struct talk *talk, const char *at)
{
	uint32_t from, life, number;
	const char *end;

	for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		const char *line = strstr(at, "line ");
		if (line != NULL && line < end &&
			sscanf(line, "line %u %u %u", &from, &life, &number) ==
				3 &&
			from < TALKERS_MAX)
			take_line(talk, from, life, number);
	}
	return at;
}

void
talk_read_lines(struct talk *talk, struct run *run)
{
	const char *at = take_lines(talk, run_text(run, RUN_OUT));

	run_forget_text(run, RUN_OUT, at);
}

void
talk_read_file(struct talk *talk, const char *path)
{
	static char text[1 << 16];
	ssize_t size;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	do {
		size = fd < 0 ? 0
			      : pread(fd, text, sizeof(text) - 1,
					talk->file_offset);
		if (size <= 0)
			break;
		text[size] = '\0';
		size = take_lines(talk, text) - text;
		talk->file_offset += size;
	} while (size > 0);
	if (fd >= 0)
		close(fd);
}

unsigned long
talk_missing_lines(const struct talk *talk)
{
	unsigned long missing = 0;

	for (uint32_t from = 0; from < talk->book->talkers; from++)
		for (uint32_t life = 0; life < TALKER_LIVES; life++)
			if (talk->book->lines[from][life] >
				talk->lines[from][life])
				missing += talk->book->lines[from][life] -
					   talk->lines[from][life];
	return missing;
}
