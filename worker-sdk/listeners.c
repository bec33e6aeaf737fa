/*
 * listeners.c: the shared listening sockets, by name.
 *
 * They come by systemd's convention, so that the same call finds them under
 * muster, under systemd and under nothing; addresses come later, by the
 * channel's `welcome`. Accepting is the program's business.
 */
#include "handle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FIRST_FD = 3, /* where the convention starts */
};

static bool
read_number(const char *name, long max, long *ret_number)
{
	const char *text = getenv(name);
	char *end;
	long number;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtol(text, &end, 10);
	if (errno != 0 || *end != '\0' || number > max)
		return false;
	*ret_number = number;
	return true;
}

/* How many descriptors are meant for this process, and for no parent. */
static size_t
count_listeners(void)
{
	long pid;
	long count;

	if (!read_number("LISTEN_PID", INT32_MAX, &pid) ||
		pid != (long)getpid() ||
		!read_number("LISTEN_FDS", HANDLE_LISTENERS_MAX, &count))
		return 0;
	return (size_t)count;
}

/* The name number `index` of a list with colons, and its length. */
static const char *
find_name(size_t index, size_t *ret_size)
{
	const char *names = getenv("LISTEN_FDNAMES");

	for (; names && index > 0; index--) {
		names = strchr(names, ':');
		if (names)
			names++;
	}
	*ret_size = names ? strcspn(names, ":") : 0;
	return names ? names : "";
}

static int
find_in_environment(const char *name)
{
	size_t count = count_listeners();

	for (size_t i = 0; i < count; i++) {
		size_t size;
		const char *at = find_name(i, &size);

		if (name &&
			(strlen(name) != size || memcmp(name, at, size) != 0))
			continue;
		(void)fcntl(FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
		return FIRST_FD + (int)i;
	}
	return -ENOENT;
}

/* Takes over `name`. */
static int
add(struct muster *muster, int fd, char *name)
{
	size_t count = muster->listeners_count;
	struct listener *list;

	if (!name || count >= HANDLE_LISTENERS_MAX)
		goto no_memory;
	list = realloc(muster->listeners, (count + 1) * sizeof *list);
	if (!list)
		goto no_memory;
	list[count] = (struct listener){.fd = fd, .name = name};
	muster->listeners = list;
	muster->listeners_count = count + 1;
	return 0;
no_memory:
	free(name);
	return -ENOMEM;
}

int
listeners_init(struct muster *muster)
{
	size_t count = count_listeners();

	for (size_t i = 0; i < count; i++) {
		size_t size;
		const char *name = find_name(i, &size);
		int fd = FIRST_FD + (int)i;

		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -EBADF;
		if (add(muster, fd, strndup(name, size)) < 0)
			return -ENOMEM;
	}
	return 0;
}

void
listeners_fini(struct muster *muster)
{
	for (size_t i = 0; i < muster->listeners_count; i++) {
		free(muster->listeners[i].name);
		free(muster->listeners[i].address);
	}
	free(muster->listeners);
}

bool
listeners_is_stream(int fd)
{
	int yes = 0;
	socklen_t size = sizeof yes;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &size) == 0 &&
	       yes;
}

static struct listener *
find_fd(struct muster *muster, int fd)
{
	for (size_t i = 0; i < muster->listeners_count; i++)
		if (muster->listeners[i].fd == fd)
			return &muster->listeners[i];
	return NULL;
}

void
listeners_update(struct muster *muster, const json_t *list)
{
	size_t count = json_array_size(list);

	for (size_t i = 0; i < count; i++) {
		const json_t *entry = json_array_get(list, i);
		const char *name =
			json_string_value(json_object_get(entry, "name"));
		const char *address =
			json_string_value(json_object_get(entry, "address"));
		json_int_t fd =
			json_integer_value(json_object_get(entry, "fd"));
		struct listener *known;

		if (fd < FIRST_FD || fd > INT32_MAX)
			continue;
		known = find_fd(muster, (int)fd);
		/* Where a wrapper took the variables away, the channel still
		 * tells; only a descriptor that does listen is believed. */
		if (!known && listeners_is_stream((int)fd) &&
			add(muster, (int)fd, strdup(name ? name : "")) == 0)
			known = find_fd(muster, (int)fd);
		/* The texts are lent for life: set once. */
		if (known && !known->address && address)
			known->address = strdup(address);
	}
}

int
muster_listener(const struct muster *muster, const char *name)
{
	if (!muster)
		return find_in_environment(name);
	for (size_t i = 0; i < muster->listeners_count; i++)
		if (!name || strcmp(muster->listeners[i].name, name) == 0)
			return muster->listeners[i].fd;
	return -ENOENT;
}

int
muster_listener_at(const struct muster *muster, size_t index,
	struct muster_listener_info *ret_info)
{
	const struct listener *listener;

	if (index >= muster->listeners_count)
		return -ENOENT;
	listener = &muster->listeners[index];
	*ret_info = (struct muster_listener_info){
		.fd = listener->fd,
		.name = listener->name,
		.address = listener->address,
	};
	return 0;
}
