/*
 * Pipes that go to a file: moving bytes, and whose turn it is.
 *
 * Opening the file and its failures are logfile.c's business. It stands alone
 * because what makes one file out of several workers' lines is here.
 *
 * Everything that a pipe holds is taken, unfinished lines included: nothing is
 * left that would wake the loop again and again. Only while others wait is a
 * pipe looked into, to stop behind a newline.
 */
#include "mechanism/logfile.h"

#include "base/sys.h"
#include "mechanism/logfile_state.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHUNK_SIZE = 16384, /* on the stack */
};

/* Turns -------------------------------------------------------------------- */

static void
wait_for_turn(struct logfile_feed *feed)
{
	struct logfile *file = feed->file;

	if (feed->is_waiting)
		return;
	feed->is_waiting = true;
	feed->next = NULL;
	*file->waiting_end = feed;
	file->waiting_end = &feed->next;
	if (!ev_is_active(&file->patience)) {
		ev_now_update(file->files->loop);
		ev_timer_set(&file->patience, LOGFILE_LINE_MS / 1e3, 0.);
		ev_timer_start(file->files->loop, &file->patience);
	}
}

static void
stop_waiting(struct logfile_feed *feed)
{
	struct logfile *file = feed->file;
	struct logfile_feed **at = &file->waiting;

	if (!feed->is_waiting)
		return;
	while (*at != feed)
		at = &(*at)->next;
	*at = feed->next;
	if (!*at)
		file->waiting_end = at;
	feed->is_waiting = false;
	if (!file->waiting)
		ev_timer_stop(file->files->loop, &file->patience);
}

static void
give_turn(struct logfile *file)
{
	struct logfile_feed *feed = file->waiting;

	if (!feed)
		return;
	stop_waiting(feed);
	feed->on_turn(feed->data);
}

/* Nobody is in the middle of a line any more: all may try. */
static void
give_all_turns(struct logfile *file)
{
	file->writer = NULL;
	while (file->waiting)
		give_turn(file);
}

void
logfile_on_patience(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	give_all_turns(timer->data);
}

/* Looking ------------------------------------------------------------------ */

/* Behind the first (or the last) newline in what was copied to `pipe`, of
 * `size` bytes; 0: there is none. The pipe is emptied. */
static size_t
find_newline(int pipe, size_t size, bool last)
{
	char bytes[CHUNK_SIZE];
	size_t done = 0, found = 0;

	while (done < size) {
		ssize_t n = sys_read(pipe, bytes, sizeof(bytes));
		const char *at = NULL;

		if (n <= 0)
			break;
		if (last)
			at = memrchr(bytes, '\n', (size_t)n);
		else if (!found)
			at = memchr(bytes, '\n', (size_t)n);
		if (at)
			found = done + (size_t)(at - bytes) + 1;
		done += (size_t)n;
	}
	return found;
}

/* How much of the pipe ends with a line; without a line everything. */
static size_t
whole_lines(const struct logfile_feed *feed, bool first_only)
{
	size_t found = 0;
	int fds[2];
	ssize_t n;

	if (sys_pipe(fds, 0) < 0)
		return LOGFILE_BATCH_MAX;
	n = sys_tee(feed->fd, fds[1], LOGFILE_BATCH_MAX);
	if (n > 0)
		found = find_newline(fds[0], (size_t)n, !first_only);
	sys_close(fds[0]);
	sys_close(fds[1]);
	return found ? found : LOGFILE_BATCH_MAX;
}

/* Taking ------------------------------------------------------------------- */

/* The file takes nothing: the pipe is read all the same. */
static ssize_t
read_away(struct logfile_feed *feed, int error)
{
	char bytes[CHUNK_SIZE];
	ssize_t n = sys_read(feed->fd, bytes, sizeof(bytes));

	if (n > 0)
		logfile_drop(feed->file, error, (uint64_t)n);
	return n < 0 && n != -EAGAIN ? 0 : n;
}

/* A device that nothing can be spliced to. It keeps nothing that could be
 * compared, so a kill in between may lose what was read. */
static ssize_t
copy(struct logfile_feed *feed)
{
	char bytes[CHUNK_SIZE];
	ssize_t n = sys_read(feed->fd, bytes, sizeof(bytes));
	ssize_t done = 0, written = 0;

	if (n <= 0)
		return n < 0 && n != -EAGAIN ? 0 : n;
	while (done < n && written >= 0) {
		written = sys_write(
			feed->file->fd, bytes + done, (size_t)(n - done));
		done += written > 0 ? written : 0;
	}
	if (done)
		logfile_wrote(feed->file, (uint64_t)done);
	if (done < n)
		logfile_drop(feed->file, (int)written, (uint64_t)(n - done));
	return n;
}

static void
become_writer(struct logfile_feed *feed)
{
	struct logfile *file = feed->file;

	file->writer = feed;
	if (file->state.writer == feed->slot + 1)
		return;
	/* Before the call that writes: so the next brain knows whose the
	 * unfinished line is. */
	file->state.writer = feed->slot + 1;
	logfile_save(file);
}

/* What this pipe wrote last, for the tail. */
static void
remember(struct logfile_feed *feed, uint64_t from, uint64_t to)
{
	if (feed->opened != feed->file->opened || feed->to != from)
		feed->from = from;
	feed->opened = feed->file->opened;
	feed->to = to;
}

static ssize_t
move(struct logfile_feed *feed, size_t most)
{
	struct logfile *file = feed->file;
	uint64_t from = file->state.offset;
	off_t at = (off_t)from;
	ssize_t n = sys_splice(
		feed->fd, file->fd, file->is_regular ? &at : NULL, most);

	if (n > 0) {
		logfile_wrote(file, (uint64_t)n);
		remember(feed, from, from + (uint64_t)n);
		return n;
	}
	if (n == -EINVAL && !file->is_regular)
		return copy(feed);
	return n == 0 || n == -EAGAIN ? n : read_away(feed, (int)n);
}

/* Positive: the pipe holds something; else as logfile_take. */
static int
look(const struct logfile_feed *feed)
{
	struct pollfd input = {.fd = feed->fd, .events = POLLIN};

	if (sys_poll(&input, 1, 0) <= 0)
		return -EAGAIN;
	return input.revents & POLLIN ? 1 : 0;
}

ssize_t
logfile_take(struct logfile_feed *feed, bool at_once)
{
	struct logfile *file = feed->file;
	size_t most = LOGFILE_BATCH_MAX;
	bool others;
	ssize_t n;
	int r = look(feed);

	/* A file isn't made for a worker that says nothing. */
	if (r <= 0)
		return r;
	r = logfile_check(file);
	if (r < 0)
		return read_away(feed, r);
	others = file->writer && file->writer != feed;
	if (others && !at_once && logfile_is_in_line(file)) {
		wait_for_turn(feed);
		return -EBUSY;
	}
	stop_waiting(feed);
	if (file->waiting || logfile_is_full(file))
		most = whole_lines(feed, !others && logfile_is_in_line(file));
	become_writer(feed);
	n = move(feed, most);
	if (n > 0)
		logfile_rotate(file);
	if (file->waiting && (n == 0 || !logfile_is_in_line(file)))
		give_turn(file);
	return n;
}

size_t
logfile_read_tail(const struct logfile_feed *feed, char *ret_bytes, size_t size)
{
	const struct logfile *file = feed->file;
	uint64_t from = feed->from;
	ssize_t n;

	if (file->fd < 0 || !file->is_regular || feed->opened != file->opened)
		return 0;
	if (feed->to - from > size)
		from = feed->to - size;
	n = sys_pread(
		file->fd, ret_bytes, (size_t)(feed->to - from), (off_t)from);
	return n < 0 ? 0 : (size_t)n;
}

/* Life --------------------------------------------------------------------- */

struct logfile_feed *
logfile_feed_new(struct logfile *file, int fd, uint32_t slot,
	void (*on_turn)(void *data), void *data)
{
	struct logfile_feed *feed = calloc(1, sizeof(*feed));

	if (!feed)
		return NULL;
	file->references++;
	feed->file = file;
	feed->fd = fd;
	feed->slot = slot;
	feed->on_turn = on_turn;
	feed->data = data;
	if (file->state.writer == slot + 1)
		file->writer = feed;
	return feed;
}

void
logfile_feed_free(struct logfile_feed **feed)
{
	struct logfile_feed *at = *feed;
	struct logfile *file;

	if (!at)
		return;
	*feed = NULL;
	file = at->file;
	stop_waiting(at);
	if (file->writer == at) {
		/* A successor with this slot is somebody else. */
		file->state.writer = 0;
		logfile_save(file);
		give_all_turns(file);
	}
	logfile_release(&file);
	free(at);
}
