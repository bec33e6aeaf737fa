/*
 * reload.h: the plan of a reload without downtime, with its way back.
 *
 * Slots 0 … count - 1 are taken in order: first one alone (the canary), which
 * has to stay ready for the soak time, then batches. In each batch the incoming
 * processes are started beside the old ones; when all are ready the old ones
 * are retired; when these are gone the next batch begins. So no slot ever has
 * fewer ready processes than it had.
 *
 * When an incoming process fails, the others of its batch are rolled back. With
 * `changed` (the new processes differ from the old ones) the slots replaced so
 * far are then put back in the same way, with START.back set. A slot that can't
 * be put back keeps what it has.
 *
 * The struct is plain data of fixed size, so that it can lie in the ledger.
 * The caller (fleet/reload_run) feeds events and carries out the commands:
 *
 *	reload_event(&r, RELOAD_INCOMING_READY, slot);
 *	while ((c = reload_next(&r)).kind != RELOAD_WAIT) carry_out(c);
 *
 * Nothing here calls back, allocates or fails.
 */
#ifndef MUSTER_RELOAD_H
#define MUSTER_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

enum {
	RELOAD_BATCH_MAX = 64, /* larger batches are cut to this */
};

enum reload_event {
	/* The incoming process of `slot` … */
	RELOAD_INCOMING_READY,
	RELOAD_INCOMING_FAILED, /* exec failed, not ready in time, or `stopping`
				   before it was told; INCOMING_GONE follows */
	RELOAD_INCOMING_GONE,	/* reaped; without FAILED before: it crashed */
	/* The process that `slot` had. For a slot without one (stopped, errored
	 * or in back-off; its back-off ends with START) say so when START is
	 * carried out: then no RETIRE comes. */
	RELOAD_OLD_GONE,
	/* Answer to START: this slot isn't wanted up; leave it as it is. */
	RELOAD_SLOT_SKIPPED,
	RELOAD_SOAK_OVER, /* `slot` doesn't count */
	RELOAD_CANCEL,	  /* the application is stopped: end soon, `slot`
			     doesn't count */
};

enum reload_command_kind {
	RELOAD_WAIT,   /* nothing to do until the next event */
	RELOAD_START,  /* start an incoming process in `slot` */
	RELOAD_SOAK,   /* send SOAK_OVER after `soak_ms` */
	RELOAD_RETIRE, /* the incoming one takes the slot over; stop the old */
	RELOAD_ROLL_BACK, /* stop the incoming one; the old one stays */
	RELOAD_DONE,	  /* the end, with `outcome`; comes once, then WAIT */
};

enum reload_outcome {
	RELOAD_OK,
	RELOAD_FAILED,
	RELOAD_CANCELLED, /* slots may be mixed */
};

struct reload_command {
	enum reload_command_kind kind;
	uint32_t slot;
	bool back; /* of START: with the configuration before the reload */
	int64_t soak_ms;
	enum reload_outcome outcome;
};

/* The masks have one bit a slot of the batch, lowest first. */
struct reload {
	uint64_t started;  /* START was given */
	uint64_t ready;	   /* incoming */
	uint64_t failed;   /* incoming */
	uint64_t in_gone;  /* incoming */
	uint64_t rolled;   /* ROLL_BACK was given */
	uint64_t retired;  /* RETIRE was given */
	uint64_t old_gone; /* or never was */
	uint64_t skipped;
	int64_t soak_ms;
	uint32_t phase;	  /* enum in reload.c; 0 is none under way */
	uint32_t count;	  /* slots to take */
	uint32_t first;	  /* the batch's first slot */
	uint32_t width;	  /* the batch's length */
	uint32_t batch;	  /* its wanted length after the canary */
	uint32_t touched; /* slots 0 … touched - 1 may run something new */
	uint8_t changed, canary_done, back, again, cancelled, soaked;
	uint8_t outcome; /* enum reload_outcome */
	uint8_t reserved;
};

/*
 * Begins a reload of `count` slots, `batch` (at least 1) at once after the
 * first, which has to stay ready for `soak_ms`.
 */
void reload_begin(struct reload *ret_reload, uint32_t count, uint32_t batch,
	int64_t soak_ms, bool changed);

/*
 * Asked for once more while it runs: the latest wins. The batch under way is
 * finished (or rolled back), then it starts anew with these values; START from
 * then on means the newest configuration. When none is under way the same as
 * reload_begin.
 */
void reload_again(struct reload *reload, uint32_t count, uint32_t batch,
	int64_t soak_ms, bool changed);

/* True from reload_begin until DONE was given. */
bool reload_is_running(const struct reload *reload);

/* Takes an event in. One of a slot outside the batch, or one that comes again
 * or too late, changes nothing. */
void reload_event(
	struct reload *reload, enum reload_event event, uint32_t slot);

/* The next command; each is given once. Ask until RELOAD_WAIT. */
struct reload_command reload_next(struct reload *reload);

#endif
