/*
 * Records over a SEQPACKET socket: in one by one, out in batches, from a queue
 * when the socket is full.
 *
 * It knows their size and their one descriptor, and not what they mean
 * (fleet/keeper_client).
 */
#include "fleet/pair.h"

#include "base/log.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCH_MAX = 32, /* records sent by one call */
};

/* Makes room for one more at the end of a list. */
void *
pair_grow(void *list, size_t count, size_t size)
{
	/* The rooms are the powers of two, so the count tells the room. */
	if (count && (count & (count - 1)))
		return list;
	return realloc(list, (count ? 2 * count : 1) * size);
}

/*
 * Receives one record. Returns 0; -EAGAIN; -ECONNRESET: the keeper is gone;
 * -EBADMSG: a record that is none (it is dropped).
 */
int
pair_receive(struct pair *pair, struct pair_arrival *ret)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec part = {&ret->record, sizeof(ret->record)};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	/* A keeper that ended with records of ours unread leaves an error in
	 * front of what it had sent; it is told once. */
	do
		n = sys_recvmsg(pair->fd, &message, MSG_CMSG_CLOEXEC);
	while (n == -ECONNRESET);
	ret->fd = -1;
	/* Where the kernel lacks memory, it is there to be read again. */
	if (n == -EAGAIN || n == -ENOMEM || n == -ENOBUFS)
		return -EAGAIN;
	if (n <= 0)
		return -ECONNRESET;
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at;
		at = CMSG_NXTHDR(&message, at)) {
		size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[4];

		if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds, CMSG_DATA(at), count * sizeof(int));
		for (size_t i = 0; i < count; i++) {
			if (ret->fd < 0)
				ret->fd = fds[i];
			else
				sys_close(fds[i]);
		}
	}
	if (n != sizeof(ret->record)) {
		if (ret->fd >= 0)
			sys_close(ret->fd);
		return -EBADMSG;
	}
	return 0;
}

/* Out -------------------------------------------------------------------- */

static void
release(struct pair_departure *departure)
{
	if (departure->owns_fd)
		sys_close(departure->fd);
	departure->owns_fd = false;
	departure->fd = -1;
}

/* Sends up to BATCH_MAX of the queue. Returns how many, or an error. */
static int
send_batch(struct pair *pair)
{
	struct mmsghdr messages[BATCH_MAX];
	struct iovec parts[BATCH_MAX];
	_Alignas(struct cmsghdr) char controls[BATCH_MAX]
					      [CMSG_SPACE(sizeof(int))];
	unsigned int count = 0;

	memset(messages, 0, sizeof(messages));
	memset(controls, 0, sizeof(controls));
	for (; count < BATCH_MAX && count < pair->waiting; count++) {
		struct pair_departure *at = &pair->queue[pair->first + count];
		struct msghdr *message = &messages[count].msg_hdr;
		struct cmsghdr *head;

		parts[count].iov_base = &at->record;
		parts[count].iov_len = sizeof(at->record);
		message->msg_iov = &parts[count];
		message->msg_iovlen = 1;
		if (at->fd < 0)
			continue;
		message->msg_control = controls[count];
		message->msg_controllen = sizeof(controls[count]);
		head = CMSG_FIRSTHDR(message);
		head->cmsg_len = CMSG_LEN(sizeof(int));
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(head), &at->fd, sizeof(int));
	}
	return sys_sendmmsg(pair->fd, messages, count, MSG_NOSIGNAL);
}

/* The caller of a put may close its descriptor now: keep our own. */
static void
keep_descriptors(struct pair *pair)
{
	for (size_t i = 0; i < pair->waiting; i++) {
		struct pair_departure *at = &pair->queue[pair->first + i];

		if (at->fd < 0 || at->owns_fd)
			continue;
		at->fd = sys_fcntl(at->fd, F_DUPFD_CLOEXEC, 3);
		at->owns_fd = at->fd >= 0;
		/* The keeper answers a record that comes without. */
		if (at->fd < 0)
			log_error("no copy of a descriptor for the keeper: %s",
				strerror(-at->fd));
	}
}

static void
append_tidy(struct pair *pair)
{
	for (size_t i = 0; i < pair->tidy_count; i++)
		(void)pair_send(pair, &pair->tidy[i], -1, false, true);
	free(pair->tidy);
	pair->tidy = NULL;
	pair->tidy_count = 0;
}

int
pair_flush(struct pair *pair)
{
	append_tidy(pair);
	while (pair->waiting && !pair->is_closed) {
		int n = send_batch(pair);

		if (n == -EAGAIN || n == -ETOOMANYREFS || n == -ENOBUFS ||
			n == -ENOMEM) {
			keep_descriptors(pair);
			ev_io_start(pair->loop, &pair->writable);
			return -EAGAIN;
		}
		if (n == -EBADF || n == -EINVAL) {
			/* Ours to have got right; the rest must go on. */
			log_bug("a record of kind %u can't be sent: %s",
				pair->queue[pair->first].record.kind,
				strerror(-n));
			n = 1;
		}
		if (n <= 0) {
			/* Its end of file tells the same, later. */
			return -EPIPE;
		}
		for (int i = 0; i < n; i++)
			release(&pair->queue[pair->first + (size_t)i]);
		pair->first += (size_t)n;
		pair->waiting -= (size_t)n;
	}
	if (!pair->waiting)
		pair->first = 0;
	ev_io_stop(pair->loop, &pair->writable);
	return pair->is_closed ? -EPIPE : 0;
}

static void
on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	(void)events;
	(void)pair_flush(watcher->data);
}

static void
on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct pair *pair = watcher->data;

	(void)loop;
	(void)events;
	if (pair->tidy_count ||
		(pair->waiting && !ev_is_active(&pair->writable)))
		(void)pair_flush(pair);
}

/* Appends; `must`: also over the bound, since it lets processes end. */
int
pair_send(struct pair *pair, const struct keeper_record *record, int fd,
	bool owns_fd, bool must)
{
	struct pair_departure *queue;
	size_t room;

	if (pair->is_closed)
		return -EPIPE;
	if (pair->waiting >= PAIR_QUEUE_MAX && !must)
		return -ENOBUFS;
	if (pair->first + pair->waiting == pair->room) {
		if (pair->first) {
			memmove(pair->queue, pair->queue + pair->first,
				pair->waiting * sizeof(*queue));
			pair->first = 0;
		} else {
			room = pair->room ? 2 * pair->room : 32;
			queue = realloc(pair->queue, room * sizeof(*queue));
			if (!queue)
				return -ENOMEM;
			pair->queue = queue;
			pair->room = room;
		}
	}
	/* While the socket is full a flush keeps nothing open for a caller. */
	if (fd >= 0 && !owns_fd && ev_is_active(&pair->writable)) {
		fd = sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return fd;
		owns_fd = true;
	}
	pair->queue[pair->first + pair->waiting] =
		(struct pair_departure){*record, fd, owns_fd};
	pair->waiting++;
	return 0;
}

void
pair_tidy(struct pair *pair, const struct keeper_record *record)
{
	struct keeper_record *list =
		pair_grow(pair->tidy, pair->tidy_count, sizeof(*list));

	/* Then it leaves in turn, if it can. */
	if (!list) {
		(void)pair_send(pair, record, -1, false, true);
		return;
	}
	pair->tidy = list;
	list[pair->tidy_count++] = *record;
}

int
pair_wait(struct pair *pair, short events, struct instant deadline)
{
	struct pollfd poll = {pair->fd, events, 0};
	int64_t left = clock_ms_between(clock_now(), deadline);
	int r;

	if (left <= 0)
		return -ETIMEDOUT;
	r = sys_poll(&poll, 1, (int)left);
	return r == 0 ? -ETIMEDOUT : r < 0 ? r : 0;
}

void
pair_init(struct pair *pair, struct ev_loop *loop, int fd)
{
	*pair = (struct pair){.loop = loop, .fd = fd};
	ev_io_init(&pair->writable, on_writable, fd, EV_WRITE);
	ev_prepare_init(&pair->turn_end, on_turn_end);
	pair->writable.data = pair;
	pair->turn_end.data = pair;
}

void
pair_start(struct pair *pair)
{
	ev_prepare_start(pair->loop, &pair->turn_end);
}

void
pair_close(struct pair *pair)
{
	pair->is_closed = true;
	ev_io_stop(pair->loop, &pair->writable);
}

void
pair_fini(struct pair *pair)
{
	ev_io_stop(pair->loop, &pair->writable);
	ev_prepare_stop(pair->loop, &pair->turn_end);
	for (size_t i = 0; i < pair->waiting; i++)
		release(&pair->queue[pair->first + i]);
	sys_close(pair->fd);
	free(pair->queue);
	free(pair->tidy);
}
