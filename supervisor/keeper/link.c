/*
 * link.c: what is said over the pair. That the brain is a process that comes
 * and goes is life.c's. Nothing here waits: what the pair doesn't take stays as
 * news in the rows, as counters, as a cursor, or as the one answer; and while
 * an answer is under way nothing more is read, so a brain that doesn't read
 * can't make the keeper remember anything.
 */
#include "base/log.h"
#include "base/sys.h"
#include "keeper/spawn.h"
#include "keeper/state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	TURN_RECORDS = 64, /* read before others have their turn */
	RETRY_MS = 100,
	END_PATIENCE_MS = 1000, /* for a brain that has sent END */
};

union fd_control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

/* Sends bytes, with `fd` where it is one, without waiting. */
static ssize_t
send_with_fd(int socket, const void *bytes, size_t size, int fd)
{
	struct iovec part = {(void *)(uintptr_t)bytes, size};
	union fd_control control = {.header = {.cmsg_len = CMSG_LEN(sizeof(fd)),
					    .cmsg_level = SOL_SOCKET,
					    .cmsg_type = SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	return sys_sendmsg(socket, &message, MSG_DONTWAIT);
}

/*
 * Sends one record with `fd` or -1. Returns 0 when it is sent or nobody is
 * there to hear it, -EAGAIN when it must be sent later.
 */
static int
send_record(struct keeper *keeper, const struct keeper_record *record, int fd)
{
	ssize_t sent;

	if (keeper->brain.pair < 0)
		return 0;
	sent = send_with_fd(keeper->brain.pair, record, sizeof(*record), fd);
	if (sent == -EAGAIN) {
		keeper->unsent.full = true;
		return -EAGAIN;
	}
	if (sent >= 0 || sent == -EPIPE || sent == -ECONNRESET)
		return 0;
	/* Memory, or too many descriptors on their way: no event tells when
	 * that is over. */
	keeper->unsent.retry_at = clock_after_ms(clock_now(), RETRY_MS);
	return -EAGAIN;
}

/*
 * Receives one record. Returns 1 and the record and its descriptor (-EBADF
 * where there was none, -EMFILE where it was lost); 0: not now; -1: the end.
 */
static int
receive_record(int pair, struct keeper_record *ret_record, int *ret_fd)
{
	struct iovec part = {ret_record, sizeof(*ret_record)};
	union fd_control control;
	/* Room for exactly one: the kernel closes what is more. */
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_LEN(sizeof(int))};
	struct cmsghdr *header;
	ssize_t got;

	/* A brain that ended with records of ours unread leaves an error in
	 * front of what it had sent; it is told once. */
	do
		got = sys_recvmsg(pair, &message, MSG_DONTWAIT);
	while (got == -ECONNRESET);
	header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);

	if (got <= 0)
		return got == -EAGAIN ? 0 : -1;
	*ret_fd = message.msg_flags & MSG_CTRUNC ? -EMFILE : -EBADF;
	if (header && header->cmsg_type == SCM_RIGHTS &&
		header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(header), sizeof(int));
	if (got != sizeof(*ret_record) || message.msg_flags & MSG_TRUNC)
		ret_record->kind = 0;
	return 1;
}

void
link_answer(struct keeper *keeper, struct keeper_record record)
{
	keeper->unsent.answer = record;
	keeper->unsent.answer_waits = true;
}

static void
serve_spawn(struct keeper *keeper, const struct keeper_record *record, int fd)
{
	enum keeper_stage stage = KEEPER_STAGE_TABLE;
	struct spawn_child child;
	struct row *row = NULL;
	int error = 0;

	keeper->brain.heeds = true;
	if (record->process == 0 || table_find(&keeper->table, record->process))
		error = -EEXIST;
	else if (!(row = table_add(&keeper->table, record->process)))
		error = -ENOSPC;
	if (!error)
		error = spawn_child(
			fd, &keeper->vault, &keeper->files, &child, &stage);
	if (error) {
		if (row)
			table_free(&keeper->table, row);
		link_answer(
			keeper, (struct keeper_record){.kind = KEEPER_FAILED,
					.process = record->process,
					.failure = {stage, -error}});
		return;
	}
	row->pidfd = child.pidfd;
	row->cgroup = child.cgroup;
	row->exec_pipe = child.exec_pipe;
	row->info.state = KEEPER_STARTING;
	table_set_pid(&keeper->table, row, child.pid);
	link_news(keeper, row, NEWS_SPAWNED);
	/* Where the pipe can't be watched, the reap reads it. */
	keeper_watch(keeper, EPOLL_CTL_ADD, row->exec_pipe,
		EVENT_ROW + (uint32_t)(row - keeper->table.rows), EPOLLIN);
	/* At once, since the child waits for it. */
	link_tell(keeper);
}

/* Passes a descriptor on to the owner of a resume socket. */
static int
pass(const struct vault *vault, const char *name, int fd)
{
	int socket = vault_find(vault, name);
	ssize_t sent;

	if (fd < 0 || socket < 0)
		return fd < 0 ? fd : socket;
	sent = send_with_fd(socket, "R", 1, fd);
	return sent < 0 ? (int)sent : 0;
}

/* Carries out one record; `fd` is closed or kept. */
static void
serve_record(struct keeper *keeper, struct keeper_record record, int fd)
{
	struct row *row = table_find(&keeper->table, record.process);
	bool ended = row && row->info.state == KEEPER_ENDED;

	switch (record.kind) {
	case KEEPER_HELLO: /* what a version can't do, it needn't be told */
	case KEEPER_UNSUPPORTED:
		break;
	case KEEPER_UP:
		life_up(keeper);
		break;
	case KEEPER_PUT:
		record.result =
			fd < 0 ? fd
			       : vault_put(&keeper->vault, record.name, fd);
		if (record.result)
			link_answer(keeper, record);
		return;
	case KEEPER_DROP:
		vault_drop(&keeper->vault, record.name);
		break;
	case KEEPER_TAKE:
	case KEEPER_LIST:
		keeper->unsent.cursor_kind = record.kind == KEEPER_TAKE
						     ? KEEPER_GIVEN
						     : KEEPER_PROCESS;
		keeper->unsent.cursor = 1;
		keeper->brain.heeds |= record.kind == KEEPER_LIST;
		break;
	case KEEPER_SPAWN:
		serve_spawn(keeper, &record, fd);
		break;
	case KEEPER_SIGNAL:
		if (row && !ended)
			keeper_signal_row(
				row, record.signal, record.whole_group);
		break;
	case KEEPER_ACK_EXIT:
		if (ended)
			keeper_free_row(keeper, row);
		break;
	case KEEPER_PASS:
		record.result = pass(&keeper->vault, record.name, fd);
		link_answer(keeper, record);
		break;
	case KEEPER_TOOK:
		signals_took(&keeper->signals, record.signal);
		break;
	case KEEPER_RENEW:
		record.result = fd < 0 ? fd : 0;
		if (fd >= 0) {
			life_set_next(&keeper->program, fd);
			keeper->program.must_try = true;
		}
		link_answer(keeper, record);
		return;
	case KEEPER_END:
		keeper_signal_all(keeper, SIGKILL);
		keeper_end(keeper, record.result, END_PATIENCE_MS);
		break;
	default:
		link_answer(keeper,
			(struct keeper_record){.kind = KEEPER_UNSUPPORTED,
				.process = record.process,
				.result = (int32_t)record.kind});
	}
	if (fd >= 0)
		sys_close(fd);
}

static bool
answer_is_under_way(const struct keeper *keeper)
{
	return keeper->unsent.answer_waits || keeper->unsent.cursor_kind;
}

/* The brain can't speak to us any more: soon it will be reaped. */
void
link_cut(struct keeper *keeper)
{
	keeper_watch(keeper, EPOLL_CTL_DEL, keeper->brain.pair, 0, 0);
	sys_close(keeper->brain.pair);
	keeper->brain.pair = -1;
	if (keeper->brain.pid)
		sys_kill(keeper->brain.pid, SIGKILL);
}

bool
link_serve(struct keeper *keeper)
{
	for (int i = 0; i < TURN_RECORDS && keeper->brain.pair >= 0; i++) {
		struct keeper_record record = {0};
		int fd, got;

		if (answer_is_under_way(keeper))
			link_tell(keeper);
		if (answer_is_under_way(keeper))
			return true;
		got = receive_record(keeper->brain.pair, &record, &fd);
		if (got == 0)
			return false;
		if (got < 0)
			link_cut(keeper);
		else
			serve_record(keeper, record, fd);
	}
	return keeper->brain.pair >= 0;
}

/* A brain was told of the process: it may go on. */
static void
release(struct row *row)
{
	if (!row->released && row->exec_pipe >= 0)
		spawn_release(row->exec_pipe);
	row->released = true;
}

static int
tell_cursor(struct keeper *keeper)
{
	struct unsent *unsent = &keeper->unsent;

	while (unsent->cursor_kind) {
		bool vault = unsent->cursor_kind == KEEPER_GIVEN;
		uint32_t i = unsent->cursor;
		bool end =
			i > (vault ? keeper->vault.count : keeper->table.high);
		const struct vault_entry *entry = &keeper->vault.entries[i];
		struct row *row = &keeper->table.rows[i];
		struct keeper_record record = {.kind = unsent->cursor_kind};
		int fd = -1;

		if (!end && vault) {
			memcpy(record.name, entry->name, sizeof(entry->name));
			fd = entry->fd;
		} else if (!end && row->process && !(row->news & NEWS_FAILED)) {
			record.process = row->process;
			record.row = row->info;
			fd = row->pidfd;
			/* Told hereby. */
			row->news &= (uint8_t) ~(NEWS_EXECED | NEWS_EXITED);
		}
		if ((end || fd >= 0) && send_record(keeper, &record, fd) != 0)
			return -EAGAIN;
		if (!end && !vault && fd >= 0)
			release(row);
		unsent->cursor++;
		if (end)
			unsent->cursor_kind = 0;
	}
	return 0;
}

static int
tell_row(struct keeper *keeper, struct row *row)
{
	static const struct {
		uint8_t news;
		uint32_t kind;
	} order[] = {
		{NEWS_SPAWNED, KEEPER_SPAWNED},
		{NEWS_EXECED, KEEPER_EXECED},
		{NEWS_EXITED, KEEPER_EXITED},
		{NEWS_FAILED, KEEPER_FAILED},
	};

	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		struct keeper_record record = {.kind = order[i].kind,
			.process = row->process,
			.row = row->info};

		if (!(row->news & order[i].news))
			continue;
		if (order[i].news == NEWS_FAILED) {
			record.failure.stage = row->failed_stage;
			record.failure.error = row->failed_error;
		}
		if (send_record(keeper, &record,
			    order[i].news == NEWS_SPAWNED ? row->pidfd : -1) !=
			0)
			return -EAGAIN;
		if (order[i].news == NEWS_SPAWNED)
			release(row);
		row->news &= (uint8_t)~order[i].news;
	}
	return 0;
}

static int
tell_news(struct keeper *keeper)
{
	struct row *row;
	int signal;

	while ((row = table_first(&keeper->table))) {
		bool failed = row->news & NEWS_FAILED;

		if (tell_row(keeper, row) != 0)
			return -EAGAIN;
		table_shift(&keeper->table);
		if (failed)
			keeper_free_row(keeper, row);
	}
	while ((signal = signals_untold(&keeper->signals))) {
		struct keeper_record record = {
			.kind = KEEPER_SIGNALLED, .signal = signal};

		if (send_record(keeper, &record, -1) != 0)
			return -EAGAIN;
		signals_told(&keeper->signals, signal);
	}
	if (keeper->unsent.orphans) {
		struct keeper_record record = {.kind = KEEPER_ORPHANS,
			.result = (int32_t)keeper->unsent.orphans};

		if (send_record(keeper, &record, -1) != 0)
			return -EAGAIN;
		keeper->unsent.orphans = 0;
	}
	return 0;
}

void
link_tell(struct keeper *keeper)
{
	struct brain *brain = &keeper->brain;
	struct unsent *unsent = &keeper->unsent;
	uint32_t interest;

	if (brain->pair < 0)
		return;
	unsent->full = false;
	unsent->retry_at = INSTANT_NONE;
	if (unsent->answer_waits &&
		send_record(keeper, &unsent->answer, -1) == 0)
		unsent->answer_waits = false;
	if (!unsent->answer_waits && tell_cursor(keeper) == 0)
		tell_news(keeper);
	interest = (answer_is_under_way(keeper) ? 0 : EPOLLIN) |
		   (unsent->full ? EPOLLOUT : 0);
	if (interest != brain->interest)
		keeper_watch(keeper, EPOLL_CTL_MOD, brain->pair, EVENT_PAIR,
			interest);
	brain->interest = interest;
}

void
link_news(struct keeper *keeper, struct row *row, enum table_news news)
{
	if (keeper->brain.heeds)
		table_queue(&keeper->table, row, news);
	else if (news == NEWS_FAILED)
		keeper_free_row(keeper, row);
}
