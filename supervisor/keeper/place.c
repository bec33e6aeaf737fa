/*
 * place.c: one muster a home. Who holds the lock may replace a stale socket,
 * and nobody else; so the lock comes first. Which folder it is says base/home;
 * what is done with the descriptors, keeper.c.
 */
#include "keeper/place.h"
#include "base/log.h"
#include "base/sys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128 };

static const char lock_name[] = "lock", socket_name[] = "muster.sock";

/* Nothing may be written there: `run` works all the same. */
static bool
is_read_only(int error)
{
	return error == -EROFS || error == -EACCES;
}

static int
lock_folder(struct place *place, bool may_lack)
{
	char path[HOME_PATH_SIZE];
	int error = home_make_folder(place->folder);

	if (may_lack && is_read_only(error))
		return error;
	if (error == -EPERM)
		log_error("%s must be a folder of this user that nobody else "
			  "may write; mend it or set MUSTER_HOME",
			place->folder);
	else if (error)
		log_error("can't make the folder %s: %s; set MUSTER_HOME to "
			  "one that can be made",
			place->folder, strerror(-error));
	if (!error)
		error = home_path(path, place->folder, lock_name, 0);
	if (error)
		return error;
	place->lock = lockfile_take(path, &place->lock_id);
	if (place->lock < 0 && place->lock != -EWOULDBLOCK &&
		!(may_lack && is_read_only(place->lock)))
		log_error("can't lock %s: %s", path, strerror(-place->lock));
	return place->lock < 0 ? place->lock : 0;
}

/* The lock of the home is another's: takes a folder of our own in it. */
static int
go_aside(struct place *place)
{
	size_t length = strlen(place->folder);
	int more = snprintf(place->folder + length,
		sizeof(place->folder) - length, "/run-%d", (int)getpid());

	if (length + (size_t)more >= sizeof(place->folder))
		return -ENAMETOOLONG;
	log_warn("home %.*s is in use by another muster; using %s "
		 "(muster --home %s ls)",
		(int)length, place->folder, place->folder, place->folder);
	place->aside = true;
	return lock_folder(place, false);
}

static int
bind_control(struct place *place)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[HOME_PATH_SIZE];
	mode_t old;
	int error = home_path(path, place->folder, socket_name, 1);

	if (error) {
		log_error("the path %s/%s is longer than the %d bytes of a "
			  "socket's address; set MUSTER_HOME to a shorter one",
			place->folder, socket_name, HOME_SOCKET_PATH_MAX);
		return error;
	}
	/* What lies there is of a muster that was killed: we hold the lock. */
	if (file_id_of(path, &place->control_id) == 0)
		sys_unlink(path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	place->control = sys_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	error = place->control < 0 ? place->control : 0;
	old = umask(0177);
	if (!error)
		error = sys_bind(place->control,
			(const struct sockaddr *)&address, sizeof(address));
	umask(old);
	if (!error)
		error = file_id_of(path, &place->control_id);
	if (!error)
		error = sys_listen(place->control, BACKLOG);
	if (error)
		log_error("can't listen on %s: %s", path, strerror(-error));
	return error;
}

int
place_take(struct place *ret_place, bool may_go_aside)
{
	struct place *place = ret_place;
	struct home home;
	int error = home_resolve(&home);

	if (error) {
		log_error("can't tell where muster's files are: %s; set "
			  "MUSTER_HOME",
			strerror(-error));
		return error;
	}
	*place = (struct place){.lock = -1, .control = -1};
	memcpy(place->folder, home.runtime, sizeof(home.runtime));
	error = lock_folder(place, may_go_aside);
	if (may_go_aside && is_read_only(error)) {
		log_warn("no control socket: %s can't be written (%s); muster "
			 "ls and the other verbs won't reach this supervisor",
			place->folder, strerror(-error));
		*place = (struct place){.lock = -1, .control = -1};
		return 0;
	}
	if (error == -EWOULDBLOCK && may_go_aside)
		error = go_aside(place);
	else if (error == -EWOULDBLOCK)
		log_error("home %s is in use by another muster; stop it with "
			  "`muster kill` or set MUSTER_HOME to another",
			place->folder);
	if (error)
		return error;
	error = bind_control(place);
	if (error)
		place_leave(place);
	return error;
}

void
place_leave(struct place *place)
{
	char path[HOME_PATH_SIZE];

	if (!place->folder[0])
		return;
	if (home_path(path, place->folder, socket_name, 1) == 0)
		file_id_remove(path, &place->control_id);
	/* The lock last: with it goes the right to remove the others. */
	if (home_path(path, place->folder, lock_name, 0) == 0)
		file_id_remove(path, &place->lock_id);
	if (place->aside)
		sys_rmdir(place->folder);
}
