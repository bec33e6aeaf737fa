/*
 * child_builder.h: writes descriptions of children for the tests of the keeper.
 * Plain and separate from the supervisor's own builder, so that a mistake
 * there isn't repeated here.
 */
#ifndef MUSTER_TEST_CHILD_BUILDER_H
#define MUSTER_TEST_CHILD_BUILDER_H

#include "keeper/child_description.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUILD_ALL_SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW };

struct builder {
	_Alignas(8) char bytes[65536];
	uint32_t used;
};

static inline struct child_description *
build_head(struct builder *b)
{
	return (struct child_description *)b->bytes;
}

static inline void
build_start(struct builder *b)
{
	memset(b, 0, sizeof(*b));
	b->used = sizeof(struct child_description);
	build_head(b)->magic = CHILD_MAGIC;
	build_head(b)->version = CHILD_VERSION;
}

/* Room for a table. */
static inline uint32_t
build_room(struct builder *b, size_t size)
{
	uint32_t at = (b->used + 7u) & ~7u;

	b->used = at + (uint32_t)size;
	return at;
}

static inline uint32_t
build_string(struct builder *b, const char *text)
{
	uint32_t at = b->used;

	memcpy(b->bytes + at, text, strlen(text) + 1);
	b->used += (uint32_t)strlen(text) + 1;
	return at;
}

static inline uint32_t
build_strings(struct builder *b, const char *const *texts, uint32_t *ret_count)
{
	uint32_t count = 0, at;

	while (texts[count])
		count++;
	at = build_room(b, (count + 1) * sizeof(uint64_t));
	for (uint32_t i = 0; i < count; i++) {
		uint64_t offset = build_string(b, texts[i]);

		memcpy(b->bytes + at + i * sizeof(offset), &offset,
			sizeof(offset));
	}
	*ret_count = count;
	return at;
}

static inline void
build_program(
	struct builder *b, const char *const *argv, const char *const *env)
{
	struct child_description *head = build_head(b);

	head->program = build_string(b, argv[0]);
	head->argv = build_strings(b, argv, &head->argc);
	head->env = build_strings(b, env, &head->envc);
}

/* Adds a row; call it for all rows in a run, nothing between. */
static inline void
build_fd(struct builder *b, const char *name, int number)
{
	struct child_description *head = build_head(b);
	struct child_fd row = {.number = number};
	uint32_t at = build_room(b, sizeof(row));

	if (head->fd_count++ == 0)
		head->fds = at;
	strncpy(row.name, name, sizeof(row.name) - 1);
	memcpy(b->bytes + at, &row, sizeof(row));
}

/* A memory file with the description, sealed as told. */
static inline int
build_file(struct builder *b, int seals)
{
	int fd = memfd_create("child", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (build_head(b)->size == 0)
		build_head(b)->size = b->used;
	if (write(fd, b->bytes, b->used) != (ssize_t)b->used ||
		fcntl(fd, F_ADD_SEALS, seals) != 0)
		abort();
	return fd;
}

#endif
