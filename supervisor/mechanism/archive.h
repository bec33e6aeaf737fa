/*
 * archive.h: what becomes of a log file that is full: FILE.1, FILE.2, … and, in
 * between, gzip.
 *
 * A file is compressed a piece at a time, between other work of the loop, into
 * FILE.N.gz.part, which takes its place when it is whole. What a brain leaves
 * half done is done by the next rotation. One thread.
 */
#ifndef MUSTER_ARCHIVE_H
#define MUSTER_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

struct archive;
struct ev_loop;

/* What of a file is kept. */
struct archive_rules {
	uint64_t size; /* bytes; 0: it isn't rotated */
	uint32_t keep; /* older files; 0: none */
	bool compress;
};

/* Returns NULL without memory. */
struct archive *archive_new(struct ev_loop *loop);
void archive_free(struct archive **archive);

/*
 * Makes FILE.1 of the file `path`, FILE.2 of FILE.1 and so on, up to the first
 * number that is free, and removes the oldest. Afterwards there is no file
 * `path`. Whenever a brain is killed in between, nothing but the oldest is
 * gone. Returns 0, or what renaming the file itself said.
 */
int archive_rotate(struct archive *archive, const char *path,
	const struct archive_rules *rules);

/* Whether something is being compressed. */
bool archive_is_busy(const struct archive *archive);

#endif
