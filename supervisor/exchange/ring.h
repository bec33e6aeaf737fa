/*
 * ring.h: reading the frames that stand in a channel's ring, one after another,
 * whole runs and frames in pieces alike. It changes nothing and believes
 * nothing: an entry that doesn't add up (a brain died while it wrote) is passed
 * over, and so is one that was taken out of the middle.
 */
#ifndef MUSTER_EXCHANGE_RING_H
#define MUSTER_EXCHANGE_RING_H

#include "memory.h"
#include "protocol/frame.h"

enum {
	/* Parts of the longest frame: 128 MiB in large blocks, its start and a
	 * header of its own. */
	RING_PIECES_MAX = 520,
};

/* One contiguous part of a frame. */
struct piece {
	uint32_t block, offset, length;
};

struct ring_cursor {
	uint32_t position; /* of the entry */
	uint32_t offset;   /* of the next frame in a run */
};

/* Where a frame lies. */
struct ring_frame {
	struct frame_header header;
	uint8_t *bytes;	     /* of the header, in its block */
	uint32_t position;   /* of its first entry */
	uint32_t offset;     /* in that entry, when it is part of a run */
	uint32_t end;	     /* position of its last entry */
	uint32_t end_offset; /* behind its last byte, in that entry */
	bool is_run;	     /* its entry is a run of whole frames */
	uint32_t count;
	struct piece pieces[RING_PIECES_MAX];
};

/*
 * Reads the frame at `cursor` and moves the cursor behind it. `end` is the
 * position behind the last entry. Returns false at the end.
 */
bool ring_next(const struct memory_view *view, uint32_t channel, uint32_t end,
	struct ring_cursor *cursor, struct ring_frame *ret_frame);

#endif
