/*
 * event_memory.h: the last texts of a row of them, in a memory file that
 * outlives the brain. At most EVENT_MEMORY_TEXTS and EVENT_MEMORY_SIZE bytes:
 * the oldest go first.
 *
 * A text counts from one store on, and is gone with another, so a kill between
 * any two instructions leaves whole texts only. What was never written to takes
 * no memory.
 */
#ifndef MUSTER_EVENT_MEMORY_H
#define MUSTER_EVENT_MEMORY_H

#include <stddef.h>

enum {
	EVENT_MEMORY_TEXTS = 10000,
	EVENT_MEMORY_SIZE = 4 << 20, /* bytes, with a few more for each text */
};

struct event_memory;

/* Makes the memory file, of zeros. Returns its descriptor, the caller's; or
 * what making it said. */
int event_memory_make(void);

/*
 * Opens the memory in `fd` (taken over, also on failure), and looks through it.
 * Returns 0; -EPROTO: it is another file, or what stands in it doesn't add up;
 * -ENOMEM; or what mapping it said.
 */
int event_memory_open(int fd, struct event_memory **ret_memory);
void event_memory_close(struct event_memory **memory);

/* Adds a text of `size` bytes; one that is too long even alone is left out. */
void event_memory_add(
	struct event_memory *memory, const char *text, size_t size);

/*
 * Calls `visit` for each text, oldest first: `text` is borrowed, ends with a
 * NUL, and must not be used once another was added. Texts that were damaged are
 * passed over. `visit` must add none.
 */
void event_memory_walk(const struct event_memory *memory,
	void (*visit)(const char *text, size_t size, void *data), void *data);

#endif
