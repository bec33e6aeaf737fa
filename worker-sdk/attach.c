/*
 * attach.c: how a handle comes from the environment, and how it goes.
 *
 * It checks what the supervisor left for this process and hides it from the
 * processes that this one starts. The sockets that are shared are
 * listeners.c's; reading and writing begin in loop.c.
 */
#include "handle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(MUSTER_ANY == MUSTER_TO_ANY, "one address, two headers");
_Static_assert(MUSTER_ALL == MUSTER_TO_ALL, "one address, two headers");
_Static_assert(MUSTER_MASTER == MUSTER_TO_SUPERVISOR, "and this one");

/* Returns 0; -ENOENT: not set; -EINVAL: no number, or over `max`. */
static int
read_number(const char *name, uint32_t max, uint32_t *ret_number)
{
	const char *text = getenv(name);
	unsigned long long number;
	char *end;

	if (!text)
		return -ENOENT;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || number > max)
		return -EINVAL;
	*ret_number = (uint32_t)number;
	return 0;
}

/* A descriptor that must be a socket; it becomes close-on-exec. */
static int
read_socket(const char *name, int *ret_fd)
{
	uint32_t number;
	int type;
	socklen_t size = sizeof type;
	int result = read_number(name, INT32_MAX, &number);

	if (result < 0)
		return result;
	if (getsockopt((int)number, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
		fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0)
		return -EBADF;
	*ret_fd = (int)number;
	return 0;
}

static int
read_environment(struct muster *muster, int *ret_channel)
{
	const char *app = getenv(MUSTER_ENV_APP);
	int result = read_socket(MUSTER_ENV_CHANNEL, ret_channel);

	if (result < 0)
		return result;
	result = read_socket(MUSTER_ENV_RESUME, &muster->resume_fd);
	if (result < 0 && result != -ENOENT)
		return result;
	muster->had_resume_fd = result == 0;
	if (read_number(MUSTER_ENV_ID, MUSTER_LAST_ENDPOINT, &muster->id) ==
			-EINVAL ||
		read_number(MUSTER_ENV_INSTANCE, UINT32_MAX,
			&muster->instance) == -EINVAL ||
		read_number(MUSTER_ENV_GENERATION, UINT32_MAX,
			&muster->generation) == -EINVAL)
		return -EINVAL;
	muster->app = strdup(app ? app : "");
	return muster->app ? 0 : -ENOMEM;
}

static void
hide_environment(void)
{
	unsetenv(MUSTER_ENV_CHANNEL);
	unsetenv(MUSTER_ENV_RESUME);
	unsetenv(MUSTER_ENV_ID);
	unsetenv(MUSTER_ENV_APP);
	unsetenv(MUSTER_ENV_INSTANCE);
	unsetenv(MUSTER_ENV_GENERATION);
}

/* The byte that tells parent from child; see struct muster. */
int
attach_make_alive(struct muster *muster)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -errno;
	muster->alive = page;
	if (madvise(page, size, MADV_WIPEONFORK) < 0)
		return -errno;
	*muster->alive = 1;
	return 0;
}

struct muster *
attach_new(void)
{
	struct muster *muster = calloc(1, sizeof *muster);

	if (!muster)
		return NULL;
	muster->channel.fd = muster->channel.partial_fd = -1;
	muster->resume_fd = muster->epoll = muster->timer = -1;
	muster->accepting.epoll = muster->message_fd = -1;
	muster->wake = true;
	muster->queue_limit = HANDLE_QUEUE_LIMIT;
	muster->max_message = MUSTER_MAX_MESSAGE;
	return muster;
}

int
muster_attach(struct muster **ret_muster)
{
	struct muster *muster = attach_new();
	int fd;
	int result;

	if (!muster)
		return -ENOMEM;
	result = read_environment(muster, &fd);
	if (result == 0)
		result = attach_make_alive(muster);
	if (result == 0)
		result = listeners_init(muster);
	if (result == 0 && fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		result = -errno;
	if (result == 0)
		result = channel_init(&muster->channel, fd, CHANNEL_WORKER);
	if (result < 0) {
		muster->resume_fd = -1; /* stays the caller's */
		attach_destroy(muster);
		return result;
	}
	hide_environment();
	*ret_muster = muster;
	return 0;
}

void
attach_destroy(struct muster *muster)
{
	if (muster->channel.in)
		channel_fini(&muster->channel);
	while (muster->waiting_count > 0)
		close(muster->waiting[--muster->waiting_count]);
	if (muster->resume_fd >= 0)
		close(muster->resume_fd);
	accept_fini(muster);
	if (muster->timer >= 0)
		close(muster->timer);
	if (muster->epoll >= 0)
		close(muster->epoll);
	if (muster->alive)
		munmap(muster->alive, (size_t)sysconf(_SC_PAGESIZE));
	listeners_fini(muster);
	requests_fini(muster);
	topics_fini(muster);
	free(muster->app);
	free(muster);
}

void
muster_detach(struct muster **muster)
{
	struct muster *it = muster ? *muster : NULL;

	if (!it)
		return;
	*muster = NULL;
	/* What the program has had is not to come back to its sender. In a
	 * forked child flushing fails, and the child's copies go. */
	channel_ack(&it->channel);
	(void)muster_flush(it);
	/* A callback is above us and still needs the memory; in a child,
	 * though, nobody will come back for it. */
	if (it->inside && *it->alive != 0) {
		it->detached = true;
		return;
	}
	attach_destroy(it);
}

int
attach_refusal(const struct muster *muster)
{
	return *muster->alive == 0 ? -ECHILD : -EPIPE;
}

uint32_t
muster_id(const struct muster *muster)
{
	return muster->id;
}

const char *
muster_app(const struct muster *muster)
{
	return muster->app;
}

uint32_t
muster_instance(const struct muster *muster)
{
	return muster->instance;
}

uint32_t
muster_generation(const struct muster *muster)
{
	return muster->generation;
}

uint32_t
muster_max_message(const struct muster *muster)
{
	return muster->max_message;
}

void
muster_read_counters(
	const struct muster *muster, struct muster_counters *ret_counters)
{
	*ret_counters = muster->counters;
	ret_counters->descriptors_closed += muster->channel.fds_closed;
	ret_counters->frames_out = muster->counters.frames_out;
}

/* Callbacks --------------------------------------------------------------- */

void
muster_on_message(struct muster *muster, muster_message_fn *fn, void *data)
{
	muster->on_message = fn;
	muster->on_message_json = NULL;
	muster->on_message_data = data;
}

void
muster_on_message_json(
	struct muster *muster, muster_message_json_fn *fn, void *data)
{
	muster->on_message = NULL;
	muster->on_message_json = fn;
	muster->on_message_data = data;
}

void
muster_on_request(struct muster *muster, muster_request_fn *fn, void *data)
{
	muster->on_request = fn;
	muster->on_request_json = NULL;
	muster->on_request_data = data;
}

void
muster_on_request_json(
	struct muster *muster, muster_request_json_fn *fn, void *data)
{
	muster->on_request = NULL;
	muster->on_request_json = fn;
	muster->on_request_data = data;
}

void
muster_on_shutdown(struct muster *muster, muster_shutdown_fn *fn, void *data)
{
	muster->on_shutdown = fn;
	muster->on_shutdown_data = data;
}

void
muster_on_peer(struct muster *muster, muster_peer_fn *fn, void *data)
{
	muster->on_peer = fn;
	muster->on_peer_data = data;
}

void
muster_on_end(struct muster *muster, muster_end_fn *fn, void *data)
{
	muster->on_end = fn;
	muster->on_end_data = data;
}

void
muster_on_undelivered(
	struct muster *muster, muster_undelivered_fn *fn, void *data)
{
	muster->on_undelivered = fn;
	muster->on_undelivered_data = data;
}

void
muster_on_drain(struct muster *muster, muster_drain_fn *fn, void *data)
{
	muster->on_drain = fn;
	muster->on_drain_data = data;
}
