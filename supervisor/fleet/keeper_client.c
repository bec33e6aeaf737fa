/*
 * The brain's end of the pair: records out, records in, and what the keeper
 * handed back at the start.
 *
 * What the records mean for applications and processes is the business of who
 * listens (fleet/fleet). It stands alone because it is the only place that
 * knows the order and the bounds of the pair.
 *
 * Records that arrive while the start still waits for its answers (an exit, a
 * signal) are kept and told first when somebody listens.
 */
#include "fleet/keeper_client.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	START_MS = 10000,
	TURN_MAX = 256, /* records read in one turn of the loop */
	BATCH_MAX = 32, /* records sent by one call */
	EARLY_MAX = 2 * KEEPER_PROCESSES_MAX + 1024,
};

struct arrival {
	struct keeper_record record;
	int fd; /* -1: none came */
};

struct departure {
	struct keeper_record record;
	int fd;
	bool owns_fd;
};

struct entry {
	char name[KEEPER_NAME_SIZE];
	int fd; /* -1: claimed */
};

struct keeper_client {
	struct ev_loop *loop;
	int fd;
	bool is_lost;
	uint32_t brains;
	ev_io readable, writable;
	ev_prepare turn_end;
	const struct keeper_hooks *hooks;
	void *data;

	struct entry *vault;
	size_t vault_count;
	struct keeper_process *processes;
	size_t process_count;
	struct arrival *early;
	size_t early_count;

	struct departure *queue; /* from `first`, `waiting` of them */
	size_t first, waiting, room;
	/* What only tidies up leaves behind the rest of a turn, so that a
	 * successor is spawned before its predecessor is forgotten. */
	struct keeper_record *tidy;
	size_t tidy_count;
};

/* Makes room for one more at the end of a list. */
static void *
grow(void *list, size_t count, size_t size)
{
	/* The rooms are the powers of two, so the count tells the room. */
	if (count && (count & (count - 1)))
		return list;
	return realloc(list, (count ? 2 * count : 1) * size);
}

/* In --------------------------------------------------------------------- */

/*
 * Receives one record. Returns 0; -EAGAIN; -ECONNRESET: the keeper is gone;
 * -EBADMSG: a record that is none (it is dropped).
 */
static int
receive(struct keeper_client *client, struct arrival *ret)
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
		n = sys_recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC);
	while (n == -ECONNRESET);
	ret->fd = -1;
	if (n == -EAGAIN)
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

static void
end_name(struct keeper_record *record)
{
	record->name[KEEPER_NAME_SIZE - 1] = '\0';
}

/* Tells what a record says; what nobody wants is closed. */
static void
tell(struct keeper_client *client, struct arrival *arrival)
{
	const struct keeper_hooks *hooks = client->hooks;
	struct keeper_record *record = &arrival->record;

	switch (record->kind) {
	case KEEPER_SPAWNED:
		hooks->spawned(record->process, record->row.pid, arrival->fd,
			client->data);
		return; /* the descriptor is the hook's */
	case KEEPER_EXECED:
		hooks->execed(record->process, client->data);
		break;
	case KEEPER_FAILED:
		hooks->failed(record->process, record->failure.stage,
			record->failure.error, client->data);
		break;
	case KEEPER_EXITED:
		hooks->exited(record->process, &record->row, client->data);
		break;
	case KEEPER_SIGNALLED:
		hooks->signalled(record->signal, client->data);
		break;
	case KEEPER_PASS:
		end_name(record);
		hooks->passed(record->name, record->result, client->data);
		break;
	case KEEPER_PUT:
		end_name(record);
		hooks->put_failed(record->name, record->result, client->data);
		break;
	case KEEPER_ORPHANS:
		log_debug("the keeper reaped %d orphans", record->result);
		break;
	case KEEPER_UNSUPPORTED:
		log_bug("the keeper doesn't know records of kind %d",
			record->result);
		break;
	default:
		log_debug("a record of kind %u from the keeper is not known",
			record->kind);
	}
	if (arrival->fd >= 0)
		sys_close(arrival->fd);
}

static void
lose(struct keeper_client *client)
{
	if (client->is_lost)
		return;
	client->is_lost = true;
	ev_io_stop(client->loop, &client->readable);
	ev_io_stop(client->loop, &client->writable);
	if (client->hooks)
		client->hooks->lost(client->data);
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct keeper_client *client = watcher->data;
	struct arrival arrival;

	(void)loop;
	(void)events;
	for (size_t i = 0; i < client->early_count; i++)
		tell(client, &client->early[i]);
	free(client->early);
	client->early = NULL;
	client->early_count = 0;
	for (int i = 0; i < TURN_MAX; i++) {
		int r = receive(client, &arrival);

		if (r == -EAGAIN)
			return;
		if (r == -ECONNRESET) {
			lose(client);
			return;
		}
		if (r == 0)
			tell(client, &arrival);
	}
}

/* Out -------------------------------------------------------------------- */

static void
release(struct departure *departure)
{
	if (departure->owns_fd)
		sys_close(departure->fd);
	departure->owns_fd = false;
	departure->fd = -1;
}

static int enqueue(struct keeper_client *client,
	const struct keeper_record *record, int fd, bool owns_fd, bool must);

/* Sends up to BATCH_MAX of the queue. Returns how many, or an error. */
static int
send_batch(struct keeper_client *client)
{
	struct mmsghdr messages[BATCH_MAX];
	struct iovec parts[BATCH_MAX];
	_Alignas(struct cmsghdr) char controls[BATCH_MAX]
					      [CMSG_SPACE(sizeof(int))];
	unsigned int count = 0;

	memset(messages, 0, sizeof(messages));
	memset(controls, 0, sizeof(controls));
	for (; count < BATCH_MAX && count < client->waiting; count++) {
		struct departure *at = &client->queue[client->first + count];
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
	return sys_sendmmsg(client->fd, messages, count, MSG_NOSIGNAL);
}

/* The caller of a put may close its descriptor now: keep our own. */
static void
keep_descriptors(struct keeper_client *client)
{
	for (size_t i = 0; i < client->waiting; i++) {
		struct departure *at = &client->queue[client->first + i];

		if (at->fd < 0 || at->owns_fd)
			continue;
		at->fd = sys_fcntl(at->fd, F_DUPFD_CLOEXEC, 3);
		at->owns_fd = at->fd >= 0;
	}
}

static void
append_tidy(struct keeper_client *client)
{
	for (size_t i = 0; i < client->tidy_count; i++)
		(void)enqueue(client, &client->tidy[i], -1, false, true);
	free(client->tidy);
	client->tidy = NULL;
	client->tidy_count = 0;
}

int
keeper_client_flush(struct keeper_client *client)
{
	append_tidy(client);
	while (client->waiting && !client->is_lost) {
		int n = send_batch(client);

		if (n == -EAGAIN || n == -ETOOMANYREFS || n == -ENOBUFS ||
			n == -ENOMEM) {
			keep_descriptors(client);
			ev_io_start(client->loop, &client->writable);
			return -EAGAIN;
		}
		if (n == -EBADF || n == -EINVAL) {
			/* Ours to have got right; the rest must go on. */
			log_bug("a record of kind %u can't be sent: %s",
				client->queue[client->first].record.kind,
				strerror(-n));
			n = 1;
		}
		if (n <= 0) {
			/* Its end of file tells the same, later. */
			return -EPIPE;
		}
		for (int i = 0; i < n; i++)
			release(&client->queue[client->first + (size_t)i]);
		client->first += (size_t)n;
		client->waiting -= (size_t)n;
	}
	if (!client->waiting)
		client->first = 0;
	ev_io_stop(client->loop, &client->writable);
	return client->is_lost ? -EPIPE : 0;
}

static void
on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	(void)events;
	(void)keeper_client_flush(watcher->data);
}

static void
on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct keeper_client *client = watcher->data;

	(void)loop;
	(void)events;
	if (client->tidy_count ||
		(client->waiting && !ev_is_active(&client->writable)))
		(void)keeper_client_flush(client);
}

/* Appends; `must`: also over the bound, since it lets processes end. */
static int
enqueue(struct keeper_client *client, const struct keeper_record *record,
	int fd, bool owns_fd, bool must)
{
	struct departure *queue;
	size_t room;

	if (client->is_lost)
		return -EPIPE;
	if (client->waiting >= KEEPER_CLIENT_QUEUE_MAX && !must)
		return -ENOBUFS;
	if (client->first + client->waiting == client->room) {
		if (client->first) {
			memmove(client->queue, client->queue + client->first,
				client->waiting * sizeof(*queue));
			client->first = 0;
		} else {
			room = client->room ? 2 * client->room : 32;
			queue = realloc(client->queue, room * sizeof(*queue));
			if (!queue)
				return -ENOMEM;
			client->queue = queue;
			client->room = room;
		}
	}
	client->queue[client->first + client->waiting] =
		(struct departure){*record, fd, owns_fd};
	client->waiting++;
	return 0;
}

static int
set_name(struct keeper_record *record, const char *name)
{
	size_t size = strlen(name);

	if (size >= KEEPER_NAME_SIZE)
		return -ENAMETOOLONG;
	memcpy(record->name, name, size + 1);
	return 0;
}

int
keeper_client_put(
	struct keeper_client *client, const char *name, int fd, bool give)
{
	struct keeper_record record = {.kind = KEEPER_PUT};
	int r = set_name(&record, name);

	if (r >= 0)
		r = enqueue(client, &record, fd, give, false);
	if (r < 0 && give)
		sys_close(fd);
	return r;
}

int
keeper_client_spawn(
	struct keeper_client *client, uint64_t process, int description)
{
	struct keeper_record record = {
		.kind = KEEPER_SPAWN, .process = process};
	int r = enqueue(client, &record, description, true, false);

	if (r < 0)
		sys_close(description);
	return r;
}

int
keeper_client_pass(struct keeper_client *client, const char *name, int fd)
{
	struct keeper_record record = {.kind = KEEPER_PASS};
	int r = set_name(&record, name);

	if (r >= 0)
		r = enqueue(client, &record, fd, true, false);
	if (r < 0)
		sys_close(fd);
	return r;
}

static void
tidy(struct keeper_client *client, const struct keeper_record *record)
{
	struct keeper_record *list =
		grow(client->tidy, client->tidy_count, sizeof(*list));

	if (!list)
		return;
	client->tidy = list;
	list[client->tidy_count++] = *record;
}

void
keeper_client_drop(struct keeper_client *client, const char *name)
{
	struct keeper_record record = {.kind = KEEPER_DROP};

	if (set_name(&record, name) == 0)
		tidy(client, &record);
}

void
keeper_client_signal(struct keeper_client *client, uint64_t process, int signal,
	bool whole_group)
{
	struct keeper_record record = {
		.kind = KEEPER_SIGNAL, .process = process};

	record.signal = signal;
	record.whole_group = whole_group;
	(void)enqueue(client, &record, -1, false, true);
}

void
keeper_client_ack_exit(struct keeper_client *client, uint64_t process)
{
	struct keeper_record record = {
		.kind = KEEPER_ACK_EXIT, .process = process};

	tidy(client, &record);
}

void
keeper_client_took(struct keeper_client *client, int signal)
{
	struct keeper_record record = {.kind = KEEPER_TOOK};

	record.signal = signal;
	(void)enqueue(client, &record, -1, false, true);
}

void
keeper_client_up(struct keeper_client *client)
{
	struct keeper_record record = {.kind = KEEPER_UP};

	(void)enqueue(client, &record, -1, false, true);
}

/* The start -------------------------------------------------------------- */

static int
wait_for(struct keeper_client *client, short events, struct instant deadline)
{
	struct pollfd pair = {client->fd, events, 0};
	int64_t left = clock_ms_between(clock_now(), deadline);
	int r;

	if (left <= 0)
		return -ETIMEDOUT;
	r = sys_poll(&pair, 1, (int)left);
	return r == 0 ? -ETIMEDOUT : r < 0 ? r : 0;
}

void
keeper_client_end(struct keeper_client *client, int code)
{
	struct keeper_record record = {.kind = KEEPER_END, .result = code};
	struct instant deadline = clock_after_ms(clock_now(), START_MS);

	(void)enqueue(client, &record, -1, false, true);
	while (keeper_client_flush(client) == -EAGAIN)
		if (wait_for(client, POLLOUT, deadline) < 0)
			return;
}

static int
keep_given(struct keeper_client *client, struct arrival *arrival)
{
	struct entry *vault =
		grow(client->vault, client->vault_count, sizeof(*vault));

	if (!vault)
		return -ENOMEM;
	client->vault = vault;
	end_name(&arrival->record);
	memcpy(vault[client->vault_count].name, arrival->record.name,
		KEEPER_NAME_SIZE);
	vault[client->vault_count++].fd = arrival->fd;
	return 0;
}

static int
keep_process(struct keeper_client *client, struct arrival *arrival)
{
	struct keeper_process *list =
		grow(client->processes, client->process_count, sizeof(*list));

	if (!list)
		return -ENOMEM;
	client->processes = list;
	list[client->process_count++] = (struct keeper_process){
		arrival->record.process, arrival->record.row, arrival->fd};
	return 0;
}

static int
keep_early(struct keeper_client *client, struct arrival *arrival)
{
	struct arrival *early;

	if (client->early_count >= EARLY_MAX)
		return -EPROTO;
	early = grow(client->early, client->early_count, sizeof(*early));
	if (!early)
		return -ENOMEM;
	client->early = early;
	early[client->early_count++] = *arrival;
	return 0;
}

/*
 * Takes in one record of the start. Returns 1 when it ends the answer to
 * `asked`, 0 when more follows.
 */
static int
take_in(struct keeper_client *client, uint32_t asked, struct arrival *arrival)
{
	struct keeper_record *record = &arrival->record;
	int r;

	if (record->kind == KEEPER_HELLO) {
		if (record->hello.version != KEEPER_VERSION)
			return -EPROTO;
		client->brains = record->hello.brains;
		return asked == KEEPER_HELLO;
	}
	if (asked == KEEPER_HELLO)
		return -EPROTO; /* it is the first record each way */
	if (record->kind == KEEPER_GIVEN && !record->name[0])
		return asked == KEEPER_TAKE;
	if (record->kind == KEEPER_PROCESS && !record->process)
		return asked == KEEPER_LIST;
	if (record->kind == KEEPER_GIVEN)
		r = arrival->fd < 0 ? 0 : keep_given(client, arrival);
	else if (record->kind == KEEPER_PROCESS)
		r = keep_process(client, arrival);
	else
		r = keep_early(client, arrival);
	if (r < 0 && arrival->fd >= 0)
		sys_close(arrival->fd);
	return r;
}

/* Asks one thing and takes in what comes, until it is answered. */
static int
ask(struct keeper_client *client, uint32_t kind, struct instant deadline)
{
	struct keeper_record record = {.kind = kind};
	struct arrival arrival;
	int r;

	if (kind == KEEPER_HELLO) {
		record.hello.version = KEEPER_VERSION;
		record.hello.pid = getpid();
	}
	r = enqueue(client, &record, -1, false, true);
	while (r >= 0 && (r = keeper_client_flush(client)) == -EAGAIN)
		r = wait_for(client, POLLOUT, deadline);
	while (r == 0) {
		r = receive(client, &arrival);
		if (r == 0)
			r = take_in(client, kind, &arrival);
		else if (r == -EAGAIN)
			r = wait_for(client, POLLIN, deadline);
		else if (r == -EBADMSG)
			r = 0;
	}
	return r < 0 ? r : 0;
}

static int
compare_entries(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;

	return strcmp(one->name, other->name);
}

int
keeper_client_new(
	struct ev_loop *loop, int fd, struct keeper_client **ret_client)
{
	struct keeper_client *client = calloc(1, sizeof(*client));
	struct instant deadline = clock_after_ms(clock_now(), START_MS);
	int r;

	if (!client) {
		sys_close(fd);
		return -ENOMEM;
	}
	client->loop = loop;
	client->fd = fd;
	ev_io_init(&client->readable, on_readable, fd, EV_READ);
	ev_io_init(&client->writable, on_writable, fd, EV_WRITE);
	ev_prepare_init(&client->turn_end, on_turn_end);
	/* Exits are seen last in a turn: see the head of the header. */
	ev_set_priority(&client->readable, EV_MINPRI);
	client->readable.data = client;
	client->writable.data = client;
	client->turn_end.data = client;
	r = sys_fcntl(fd, F_SETFL, O_NONBLOCK);
	if (r >= 0)
		r = sys_fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (r >= 0)
		r = ask(client, KEEPER_HELLO, deadline);
	if (r >= 0)
		r = ask(client, KEEPER_TAKE, deadline);
	if (client->vault_count)
		qsort(client->vault, client->vault_count,
			sizeof(*client->vault), compare_entries);
	if (r >= 0)
		r = ask(client, KEEPER_LIST, deadline);
	if (r < 0) {
		keeper_client_free(&client);
		return r;
	}
	ev_prepare_start(loop, &client->turn_end);
	*ret_client = client;
	return 0;
}

void
keeper_client_free(struct keeper_client **client)
{
	struct keeper_client *at = *client;

	if (!at)
		return;
	ev_io_stop(at->loop, &at->readable);
	ev_io_stop(at->loop, &at->writable);
	ev_prepare_stop(at->loop, &at->turn_end);
	keeper_client_settle(at);
	for (size_t i = 0; i < at->early_count; i++)
		if (at->early[i].fd >= 0)
			sys_close(at->early[i].fd);
	for (size_t i = 0; i < at->waiting; i++)
		release(&at->queue[at->first + i]);
	sys_close(at->fd);
	free(at->early);
	free(at->queue);
	free(at->tidy);
	free(at);
	*client = NULL;
}

void
keeper_client_listen(struct keeper_client *client,
	const struct keeper_hooks *hooks, void *data)
{
	client->hooks = hooks;
	client->data = data;
	ev_io_start(client->loop, &client->readable);
	if (client->early_count)
		ev_feed_event(client->loop, &client->readable, EV_READ);
}

uint32_t
keeper_client_brains(const struct keeper_client *client)
{
	return client->brains;
}

int
keeper_client_claim(struct keeper_client *client, const char *name)
{
	struct entry wanted = {.fd = -1}, *found = NULL;
	int fd;

	if (strlen(name) >= KEEPER_NAME_SIZE)
		return -ENOENT;
	strcpy(wanted.name, name);
	if (client->vault_count)
		found = bsearch(&wanted, client->vault, client->vault_count,
			sizeof(wanted), compare_entries);
	if (!found || found->fd < 0)
		return -ENOENT;
	fd = found->fd;
	found->fd = -1;
	return fd;
}

int
keeper_client_keep(struct keeper_client *client, const char *name, int fd)
{
	struct entry *vault;
	size_t at = client->vault_count;
	int r = keeper_client_put(client, name, fd, false);

	if (r < 0) {
		sys_close(fd);
		return r;
	}
	/* What was put has to leave before its descriptor is closed. */
	(void)keeper_client_flush(client);
	vault = grow(client->vault, client->vault_count, sizeof(*vault));
	if (!vault) {
		sys_close(fd);
		return -ENOMEM;
	}
	client->vault = vault;
	while (at && strcmp(vault[at - 1].name, name) > 0) {
		vault[at] = vault[at - 1];
		at--;
	}
	strcpy(vault[at].name, name);
	vault[at].fd = fd;
	client->vault_count++;
	return 0;
}

const char *
keeper_client_unclaimed(const struct keeper_client *client, size_t *at)
{
	while (*at < client->vault_count) {
		const struct entry *entry = &client->vault[(*at)++];

		if (entry->fd >= 0)
			return entry->name;
	}
	return NULL;
}

void
keeper_client_settle(struct keeper_client *client)
{
	for (size_t i = 0; i < client->vault_count; i++)
		if (client->vault[i].fd >= 0)
			sys_close(client->vault[i].fd);
	for (size_t i = 0; i < client->process_count; i++)
		if (client->processes[i].pidfd >= 0)
			sys_close(client->processes[i].pidfd);
	free(client->vault);
	free(client->processes);
	client->vault = NULL;
	client->processes = NULL;
	client->vault_count = client->process_count = 0;
}

struct keeper_process *
keeper_client_processes(struct keeper_client *client, size_t *ret_count)
{
	*ret_count = client->process_count;
	return client->processes;
}
