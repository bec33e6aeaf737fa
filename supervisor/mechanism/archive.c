/*
 * archive.c: names are moved from the oldest on, so that none is ever written
 * over; compression is one file after the other, the oldest first.
 */
#include "archive.h"

#include "base/log.h"
#include "base/sys.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
	PIECE = 32768, /* bytes that are compressed in one turn */
	GZIP = 16,     /* asks zlib for gzip's header */
	LEVEL = 6,
	MEMORY_LEVEL = 8,
};

/* One that waits for its compression. */
struct job {
	struct job *next;
	char path[]; /* FILE.N */
};

struct archive {
	struct ev_loop *loop;
	ev_timer turn;
	struct job *jobs, **jobs_end;
	int from, to; /* of the first job; negative: not begun */
	z_stream stream;
};

/* FILE.N, or FILE.N.gz. Returns false where it is too long. */
static bool
name(char *ret_name, const char *path, uint32_t number, const char *end)
{
	return snprintf(ret_name, PATH_MAX, "%s.%u%s", path, number, end) <
	       PATH_MAX;
}

static bool
is_there(const char *path)
{
	struct stat status;

	return sys_lstat(path, &status) == 0;
}

/* Compressing -------------------------------------------------------------- */

static void
start_turn(struct archive *archive)
{
	ev_timer_set(&archive->turn, 0., 0.);
	ev_timer_start(archive->loop, &archive->turn);
}

static void
end_job(struct archive *archive, bool is_done)
{
	struct job *job = archive->jobs;
	char part[PATH_MAX], whole[PATH_MAX];

	(void)snprintf(part, sizeof part, "%s.gz.part", job->path);
	(void)snprintf(whole, sizeof whole, "%s.gz", job->path);
	if (archive->to >= 0) {
		(void)deflateEnd(&archive->stream);
		(void)sys_close(archive->to);
		/* Both for a moment, never neither. */
		if (is_done && sys_rename(part, whole) == 0)
			(void)sys_unlink(job->path);
		else
			(void)sys_unlink(part);
	}
	if (archive->from >= 0)
		(void)sys_close(archive->from);
	archive->from = archive->to = -1;
	archive->jobs = job->next;
	if (archive->jobs == NULL)
		archive->jobs_end = &archive->jobs;
	free(job);
}

static int
begin_job(struct archive *archive)
{
	const char *path = archive->jobs->path;
	char part[PATH_MAX];
	struct stat status;
	int r = sys_open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (r < 0)
		return r;
	archive->from = r;
	r = sys_fstat(archive->from, &status);
	if (r < 0 || !S_ISREG(status.st_mode))
		return r < 0 ? r : -EINVAL;
	if (snprintf(part, sizeof part, "%s.gz.part", path) >= PATH_MAX)
		return -ENAMETOOLONG;
	r = sys_open(part,
		O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		status.st_mode & 0777);
	if (r < 0)
		return r;
	archive->stream = (z_stream){.zalloc = NULL};
	if (deflateInit2(&archive->stream, LEVEL, Z_DEFLATED, MAX_WBITS + GZIP,
		    MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
		(void)sys_close(r);
		return -ENOMEM;
	}
	archive->to = r;
	return 0;
}

static int
write_all(int fd, const unsigned char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = sys_write(fd, bytes, size);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Returns 1: there is more; 0: it is done; or what a call said. */
static int
do_piece(struct archive *archive)
{
	unsigned char in[PIECE], out[PIECE];
	ssize_t n = sys_read(archive->from, in, sizeof in);
	int state, r;

	if (n < 0)
		return (int)n;
	archive->stream.next_in = in;
	archive->stream.avail_in = (uInt)n;
	do {
		archive->stream.next_out = out;
		archive->stream.avail_out = sizeof out;
		state = deflate(
			&archive->stream, n == 0 ? Z_FINISH : Z_NO_FLUSH);
		r = write_all(archive->to, out,
			sizeof out - archive->stream.avail_out);
		if (r < 0)
			return r;
	} while (archive->stream.avail_out == 0);
	return n == 0 && state == Z_STREAM_END ? 0 : 1;
}

static void
on_turn(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct archive *archive = timer->data;
	int r = archive->to < 0 ? begin_job(archive) : 0;

	(void)loop;
	(void)events;
	if (r == 0)
		r = do_piece(archive);
	if (r < 0)
		log_warn("%s stays as it is: it can't be compressed: %s",
			archive->jobs->path, strerror(-r));
	if (r <= 0)
		end_job(archive, r == 0);
	if (archive->jobs != NULL)
		start_turn(archive);
}

static void
add_job(struct archive *archive, const char *path)
{
	size_t size = strlen(path) + 1;
	struct job *job;

	job = malloc(sizeof *job + size);
	if (job == NULL)
		return; /* the next rotation finds it */
	job->next = NULL;
	memcpy(job->path, path, size);
	*archive->jobs_end = job;
	archive->jobs_end = &job->next;
	if (!ev_is_active(&archive->turn))
		start_turn(archive);
}

/* Whether it is one of the older ones of `path`. */
static bool
is_of(const struct job *job, const char *path)
{
	size_t size = strlen(path);

	return strncmp(job->path, path, size) == 0 && job->path[size] == '.' &&
	       strchr(job->path + size + 1, '/') == NULL;
}

/* Their names change below what is being compressed: it is begun anew. */
static void
drop_jobs(struct archive *archive, const char *path)
{
	struct job **at = &archive->jobs;

	if (*at != NULL && is_of(*at, path) && archive->from >= 0)
		end_job(archive, false);
	while (*at != NULL) {
		struct job *job = *at;

		if (!is_of(job, path)) {
			at = &job->next;
			continue;
		}
		*at = job->next;
		free(job);
	}
	archive->jobs_end = at;
	if (archive->jobs == NULL)
		ev_timer_stop(archive->loop, &archive->turn);
}

/* Rotating ----------------------------------------------------------------- */

/* The first number that nobody has, or that of the oldest, which goes. */
static uint32_t
make_room(const char *path, uint32_t keep)
{
	char plain[PATH_MAX], packed[PATH_MAX];
	uint32_t number = 1;

	for (; number <= keep; number++) {
		if (!name(plain, path, number, "") ||
			!name(packed, path, number, ".gz"))
			return number;
		if (!is_there(plain) && !is_there(packed))
			return number;
	}
	number = keep;
	if (number > 0) {
		(void)sys_unlink(plain);
		(void)sys_unlink(packed);
	}
	return number;
}

static void
move_up(const char *path, uint32_t number, const char *end)
{
	char from[PATH_MAX], to[PATH_MAX];

	if (name(from, path, number, end) && name(to, path, number + 1, end))
		(void)sys_rename(from, to);
}

static void
compress_all(struct archive *archive, const char *path, uint32_t keep)
{
	char plain[PATH_MAX];

	for (uint32_t number = keep; number > 0; number--)
		if (name(plain, path, number, "") && is_there(plain))
			add_job(archive, plain);
}

int
archive_rotate(struct archive *archive, const char *path,
	const struct archive_rules *rules)
{
	char first[PATH_MAX];
	uint32_t free;
	int r;

	drop_jobs(archive, path);
	free = make_room(path, rules->keep);
	for (uint32_t number = free; number > 1; number--) {
		move_up(path, number - 1, "");
		move_up(path, number - 1, ".gz");
	}
	if (rules->keep == 0)
		return sys_unlink(path);
	if (!name(first, path, 1, ""))
		return -ENAMETOOLONG;
	r = sys_rename(path, first);
	if (r == 0 && rules->compress)
		compress_all(archive, path, rules->keep);
	return r;
}

/* The object --------------------------------------------------------------- */

struct archive *
archive_new(struct ev_loop *loop)
{
	struct archive *archive = calloc(1, sizeof *archive);

	if (archive == NULL)
		return NULL;
	archive->loop = loop;
	archive->from = archive->to = -1;
	archive->jobs_end = &archive->jobs;
	ev_timer_init(&archive->turn, on_turn, 0., 0.);
	archive->turn.data = archive;
	return archive;
}

void
archive_free(struct archive **archive)
{
	if (*archive == NULL)
		return;
	ev_timer_stop((*archive)->loop, &(*archive)->turn);
	while ((*archive)->jobs != NULL)
		end_job(*archive, false);
	free(*archive);
	*archive = NULL;
}

bool
archive_is_busy(const struct archive *archive)
{
	return archive->jobs != NULL;
}
