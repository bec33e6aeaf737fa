/*
 * kills_book.h: what the workers of bench/kills and its driver tell each other,
 * in a file that all map.
 *
 * The workers 0 and 1 send each other numbered messages; each counts what it
 * gets by the number that it expects. Worker 0 prints numbered lines of
 * KILLS_LINE bytes. All others only are there.
 */
#ifndef BENCH_KILLS_BOOK_H
#define BENCH_KILLS_BOOK_H

#include <stdatomic.h>
#include <stdint.h>

enum { KILLS_TALKERS = 2, KILLS_LINE = 16 };

struct kills_talker {
	_Atomic uint64_t sent;
	_Atomic uint64_t expected; /* numbers from 0: as many have come */
	_Atomic uint64_t lost;	   /* numbers that were passed over */
	_Atomic uint64_t doubled;  /* that had been there before */
	_Atomic uint64_t heard;	   /* the order that it acts on */
};

struct kills_book {
	/* Written by the driver. */
	_Atomic uint64_t order;	    /* counted up with each change of `rate` */
	_Atomic uint64_t rate;	    /* messages a second of each talker;
				     * UINT64_MAX: all it can, 0: none */
	_Atomic uint64_t lines;	    /* lines a second */
	_Atomic uint64_t killed_ns; /* when the brain was killed */
	/* Written by talkers. */
	_Atomic uint64_t relayed_ns; /* the first arrival sent after that */
	_Atomic uint64_t printed;    /* lines */
	_Atomic uint64_t ready;	     /* workers that have begun */
	_Atomic uint64_t ended;	     /* channels that ended for good */
	struct kills_talker talkers[KILLS_TALKERS];
};

#endif
