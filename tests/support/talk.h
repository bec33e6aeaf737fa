/*
 * talk.h: messages and requests under test: the book that talkers keep
 * (fixtures/talker.h), and the column in which each of them ends.
 *
 * A round begins by talk_go() and ends by talk_settle(), which silences the
 * talkers and waits until everything has arrived or come back.
 */
#ifndef TEST_TALK_H
#define TEST_TALK_H

#include "fixtures/talker.h"
#include "run.h"

/* Each message and each request is in exactly one of these columns. */
struct talk_counts {
	unsigned long good;	/* arrived, answered */
	unsigned long refused;	/* never sent */
	unsigned long returned; /* came back, and its sender was told */
	unsigned long excused;	/* a worker that had it was killed, or left */
	unsigned long lost;	/* nothing was heard of it */
	unsigned long doubled;	/* arrived twice, or arrived and came back */
	/* These are counted beside. */
	unsigned long reordered, late, bad;
};

struct talk {
	char path[64];
	struct talk_book *book;
	char first_wrong[128]; /* the first that was lost or doubled */
	/*
	 * Set where a worker may leave while no brain is there to take its
	 * last acknowledgement: then what it had comes back as well.
	 */
	bool may_come_back;
	/* In this round a worker was replaced for want of something: what it
	 * had received and not acknowledged in the round before comes back. */
	bool may_return_late;
	/* The last line seen of each life, to find one missing or doubled. */
	uint32_t lines[TALKERS_MAX][TALKER_LIVES];
	unsigned long lines_lost, lines_doubled, lines_good;
	char first_line[128];
	off_t file_offset; /* what was read of the file with lines */
};

/* Makes the book, for so many talkers that send `burst` every `pace_us`. */
struct talk *talk_new(uint32_t talkers, uint32_t burst, uint32_t pace_us);
void talk_free(struct talk **talk);

/* Empties the book and lets them talk. The last round is settled. */
void talk_go(struct talk *talk);

/*
 * Waits until what has arrived is acknowledged, which takes up to 50 ms: when
 * its receiver is killed before, it comes back in the next round.
 */
void talk_rest(struct run *run);

/*
 * A worker was killed and has ended: what is under way from or to it may be
 * lost with it.
 */
void talk_excuse(struct talk *talk, uint32_t instance);

/*
 * Silences them, waits until nothing is under way or `wait_ms` are over, and
 * counts. Pumps the run's output meanwhile.
 */
void talk_settle(struct talk *talk, struct run *run, int wait_ms,
	struct talk_counts *ret_counts);

/*
 * Looks through what the run has printed since the last call for the talkers'
 * numbered lines ("line INSTANCE GENERATION NUMBER", whatever stands before
 * it), and forgets it.
 */
void talk_read_lines(struct talk *talk, struct run *run);

/* The same in a file that they are written to. */
void talk_read_file(struct talk *talk, const char *path);

/*
 * At the end, when all is read: lines that were printed and didn't come. The
 * last life of each talker that was killed may have one more.
 */
unsigned long talk_missing_lines(const struct talk *talk);

#endif
