/*
 * The notify socket, and the pipes of those that write a newline.
 *
 * What a datagram says is mechanism/notice's to read; what follows from it,
 * fleet/process's and fleet/heartbeat's.
 */
#include "fleet/notify.h"

#include "base/log.h"
#include "base/sys.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/heartbeat.h"
#include "fleet/keeper_client.h"
#include "fleet/process.h"
#include "fleet/slot.h"
#include "mechanism/notice.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	TURN_MAX = 64, /* datagrams, or reads of a pipe, in one turn */
	FDS_MAX = 64,  /* descriptors that may come with one: all are closed */
};

/* The socket --------------------------------------------------------------- */

int
notify_plan(struct fleet *fleet)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	uint64_t random = 0;
	int one = 1, size, r;
	int fd = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return fd;
	/* Pids are the same in each container, and the address is not. */
	(void)sys_getrandom(&random, sizeof(random));
	size = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
		"muster/notify/%d/%016llx", (int)getppid(),
		(unsigned long long)random);
	r = sys_setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	if (r >= 0)
		r = sys_bind(fd, (const struct sockaddr *)&address,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				    (size_t)size));
	if (r < 0) {
		sys_close(fd);
		return r;
	}
	return keeper_client_keep(fleet->setup.keeper, STATE_NOTIFY, fd);
}

static bool
read_address(struct fleet *fleet)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(address);
	size_t head = offsetof(struct sockaddr_un, sun_path) + 1;

	if (sys_getsockname(
		    fleet->notify_fd, (struct sockaddr *)&address, &size) < 0 ||
		size <= head)
		return false;
	snprintf(fleet->notify_address, sizeof(fleet->notify_address), "@%.*s",
		(int)(size - head), address.sun_path + 1);
	return true;
}

const char *
notify_address(const struct fleet *fleet)
{
	return *fleet->notify_address ? fleet->notify_address : NULL;
}

/* Who speaks ----------------------------------------------------------------
 */

static struct process *
find_leader(struct fleet *fleet, pid_t pid)
{
	for (struct slot *slot = fleet->slots; slot; slot = slot->next) {
		struct process *all[] = {
			slot->main, slot->incoming, slot->outgoing};

		for (size_t i = 0; i < 3; i++)
			if (process_has_pid(all[i]) && all[i]->state.pid == pid)
				return all[i];
	}
	return NULL;
}

/* The worker itself, or the leader of the group that the sender is in. */
static struct process *
find_speaker(struct fleet *fleet, pid_t pid)
{
	struct process *process = pid > 0 ? find_leader(fleet, pid) : NULL;
	pid_t group;

	if (process || pid <= 0)
		return process;
	group = sys_getpgid(pid);
	return group > 0 ? find_leader(fleet, group) : NULL;
}

/* What it says ---------------------------------------------------------------
 */

/* Each step may end the process: it is found again by its number. */
static void
take_notice(struct process *process, const struct notice *notice)
{
	struct fleet *fleet = process->fleet;
	uint64_t number = process->state.number;

	if (notice->has_status)
		memcpy(process->status, notice->status,
			sizeof(process->status));
	if (notice->is_alive)
		heartbeat_take(process);
	if (notice->ready)
		process_step(process, FSM_ON_READY);
	process = core_find_process(fleet, number);
	if (process && notice->stopping)
		process_said_stopping(process);
	process = core_find_process(fleet, number);
	if (process && notice->extend_ms > 0) /* of what just began */
		process_extend(process, notice->extend_ms);
	if (process && notice->is_hung)
		process_replace(process, "says that it hangs", STOP_WATCHDOG);
}

/* Reads the sender's pid (0: not told), and closes what came along: a barrier
 * of sd_notify_barrier(3) is over by that. */
static pid_t
take_control(struct msghdr *message)
{
	pid_t pid = 0;

	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at;
		at = CMSG_NXTHDR(message, at)) {
		size_t size = at->cmsg_len - CMSG_LEN(0);
		struct ucred sender;
		int fd;

		if (at->cmsg_level != SOL_SOCKET)
			continue;
		if (at->cmsg_type == SCM_CREDENTIALS &&
			size >= sizeof(sender)) {
			memcpy(&sender, CMSG_DATA(at), sizeof(sender));
			pid = sender.pid;
		}
		for (size_t i = 0;
			at->cmsg_type == SCM_RIGHTS && i < size / sizeof(fd);
			i++) {
			memcpy(&fd, CMSG_DATA(at) + i * sizeof(fd), sizeof(fd));
			sys_close(fd);
		}
	}
	return pid;
}

/* Returns whether there was a datagram. */
static bool
read_one(struct fleet *fleet)
{
	union {
		char room[CMSG_SPACE(sizeof(struct ucred)) +
			  CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	char text[NOTICE_SIZE_MAX];
	struct iovec piece = {text, sizeof(text)};
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room),
	};
	ssize_t got = sys_recvmsg(
		fleet->notify_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct process *process;
	struct notice notice;
	pid_t pid;

	if (got < 0)
		return false;
	pid = take_control(&message);
	process = find_speaker(fleet, pid);
	if (!process) {
		/* It may have ended by now; anybody may send, too. */
		log_debug("a notification of pid %d, which is no worker's, is "
			  "left out",
			(int)pid);
		return true;
	}
	notice_read(text, (size_t)got, &notice);
	take_notice(process, &notice);
	return true;
}

static void
on_datagram(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct fleet *fleet = watcher->data;

	(void)loop;
	(void)events;
	for (int i = 0; i < TURN_MAX && read_one(fleet); i++)
		;
}

void
notify_open(struct fleet *fleet)
{
	fleet->notify_fd =
		keeper_client_claim(fleet->setup.keeper, STATE_NOTIFY);
	if (fleet->notify_fd < 0)
		return;
	if (!read_address(fleet)) {
		notify_close(fleet);
		return;
	}
	ev_io_init(&fleet->notify, on_datagram, fleet->notify_fd, EV_READ);
	fleet->notify.data = fleet;
	if (!fleet->setup.is_safe)
		ev_io_start(fleet->setup.loop, &fleet->notify);
}

void
notify_close(struct fleet *fleet)
{
	if (fleet->notify_fd < 0)
		return;
	ev_io_stop(fleet->setup.loop, &fleet->notify);
	sys_close(fleet->notify_fd);
	fleet->notify_fd = -1;
	*fleet->notify_address = '\0';
}

/* A newline on a descriptor --------------------------------------------------
 */

void
notify_pipe_close(struct process *process)
{
	char name[KEEPER_NAME_SIZE];

	if (process->notify_fd < 0)
		return;
	ev_io_stop(process->fleet->setup.loop, &process->notify);
	sys_close(process->notify_fd);
	process->notify_fd = -1;
	if (process->fleet->is_closing)
		return; /* the next brain reads on */
	state_name(name, STATE_NOTIFY_PIPE, process->state.number);
	keeper_client_drop(process->fleet->setup.keeper, name);
}

static void
on_pipe(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct process *process = watcher->data;
	char bytes[256];
	ssize_t got = 0;

	(void)loop;
	(void)events;
	for (int i = 0; i < TURN_MAX; i++) {
		got = sys_read(process->notify_fd, bytes, sizeof(bytes));
		if (got <= 0 || memchr(bytes, '\n', (size_t)got))
			break;
	}
	if (got == -EAGAIN)
		return;
	notify_pipe_close(process);
	if (got > 0)
		process_step(process, FSM_ON_READY);
}

void
notify_pipe_open(struct process *process, int fd)
{
	process->notify_fd = fd;
	ev_io_init(&process->notify, on_pipe, fd, EV_READ);
	process->notify.data = process;
	if (!process->fleet->setup.is_safe)
		ev_io_start(process->fleet->setup.loop, &process->notify);
}
