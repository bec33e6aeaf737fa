/*
 * The file of a UNIX socket: who may connect is what its mode says when it
 * appears, and never is a living one taken away from its owner.
 */
#include "mechanism/listener_unix.h"

#include "base/sys.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct sockaddr_un
listener_unix_address(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	return address;
}

/*
 * Whether a socket's file is left over: the kernel refuses connections to a
 * file that no socket is bound to. Everything else is an answer of somebody:
 * another type, no permission, a full queue.
 */
static int
probe(const struct sockaddr_un *address, int type)
{
	int fd = sys_socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return fd;
	r = sys_connect(fd, (const struct sockaddr *)address, sizeof(*address));
	sys_close(fd);
	return r == -ECONNREFUSED || r == -ENOENT ? 0 : -EADDRINUSE;
}

/* Makes way for a new file at the path. */
static int
clear_path(const char *path, int type)
{
	struct sockaddr_un address = listener_unix_address(path);
	struct stat before, after;
	int r = sys_lstat(path, &before);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (!S_ISSOCK(before.st_mode))
		return -EEXIST;
	r = probe(&address, type);
	if (r < 0)
		return r;
	/* Another may have made a socket of its own meanwhile. */
	r = sys_lstat(path, &after);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (after.st_ino != before.st_ino || after.st_dev != before.st_dev)
		return -EADDRINUSE;
	return sys_unlink(path);
}

/* The file gets the socket's mode, less the umask, in the very call that makes
 * it. The brain has one thread, so the umask is its own for the moment. */
static int
bind_with_mode(int fd, const struct sockaddr_un *address, int64_t mode)
{
	mode_t mask;
	int r;

	if (mode == CONFIG_UNSET)
		return sys_bind(
			fd, (const struct sockaddr *)address, sizeof(*address));
	r = sys_fchmod(fd, (mode_t)mode);
	if (r < 0)
		return r;
	mask = umask(0);
	r = sys_bind(fd, (const struct sockaddr *)address, sizeof(*address));
	umask(mask);
	return r;
}

int
listener_unix_bind(
	int fd, const struct listen_config *config, const char **ret_step)
{
	struct sockaddr_un address = listener_unix_address(config->path);
	int type = config->kind == LISTEN_UNIX ? SOCK_STREAM : SOCK_DGRAM;
	int r = clear_path(config->path, type);

	*ret_step = "bind";
	if (r >= 0)
		r = bind_with_mode(fd, &address, config->mode);
	if (r >= 0 && (config->user != CONFIG_UNSET ||
			      config->group != CONFIG_UNSET)) {
		*ret_step = "chown";
		r = sys_lchown(config->path,
			config->user == CONFIG_UNSET ? (uid_t)-1
						     : (uid_t)config->user,
			config->group == CONFIG_UNSET ? (gid_t)-1
						      : (gid_t)config->group);
		if (r < 0)
			(void)sys_unlink(config->path);
	}
	return r;
}
