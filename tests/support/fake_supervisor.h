/*
 * fake_supervisor.h: the other end of a worker's channel, for tests of the SDK.
 *
 * It lives in the test's own process: a channel pair, a resume pair, and the
 * environment that a worker finds. It follows no rules by itself, so that a
 * test can break each of them. Nothing here asserts; results are for the test.
 */
#ifndef FAKE_SUPERVISOR_H
#define FAKE_SUPERVISOR_H

#include "protocol/frame.h"

#include <stdbool.h>

enum {
	FAKE_WAIT_MS = 5000, /* how long to wait for what must come */
	FAKE_ROOM = 1 << 20, /* of bytes that were read ahead */
};

struct fake {
	int channel; /* our ends; -1: closed */
	int resume;
	uint32_t next;	/* the sequence of the next counted frame */
	uint8_t *bytes; /* read and not looked at */
	size_t have;
	size_t start;
};

struct fake_frame {
	struct frame_header header;
	char name[256];
	char *body; /* ends with a NUL; until the next fake_read */
};

/* Makes the pairs and sets the environment. Returns 0 or -1. */
int fake_start(struct fake *fake);
void fake_stop(struct fake *fake);

/* Waits for a frame. Returns 1; 0: end of file; -1: time is up. */
int fake_read(struct fake *fake, struct fake_frame *ret_frame);

/* Whether nothing at all is there to read now. */
bool fake_is_quiet(struct fake *fake);

/* Writes a frame as it is told, with `fd` when that is not -1. */
int fake_write(struct fake *fake, const struct frame_header *header,
	const char *name, const char *body, int fd);

/* The usual ones: counted, from `from`; and from 0 without a number. */
int fake_message(struct fake *fake, uint32_t from, const char *body);
int fake_event(struct fake *fake, const char *body);
int fake_answer(struct fake *fake, uint64_t id, const char *body);
int fake_ack(struct fake *fake, uint32_t sequence);
int fake_welcome(struct fake *fake);

/* A new brain: closes our end, makes a new channel and passes it. */
int fake_replace(struct fake *fake);

/* Makes a new channel and passes it, and leaves the old one open; gives the
 * old end. */
int fake_pass(struct fake *fake, int *ret_old);

#endif
