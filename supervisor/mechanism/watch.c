/*
 * watch.c: a table from inotify's numbers to paths, and a list of folders that
 * are still to be read.
 */
#include "watch.h"

#include "base/log.h"
#include "base/sys.h"

#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
	BUCKETS = 1024,
	FOLDERS_A_TURN = 16,
	EVENTS = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
		 IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF,
};

struct folder {
	struct folder *next; /* in its bucket, or of those to be read */
	int number;
	char *only; /* of a folder that is watched for one file, or NULL */
	char path[];
};

struct watch {
	struct ev_loop *loop;
	const char *folder;
	char *const *paths, *const *ignore;
	watch_changed *changed;
	void *data;
	int fd;
	ev_io readable;
	ev_timer go_on;
	struct folder *buckets[BUCKETS];
	struct folder *unread, **unread_end;
	size_t count;
	bool is_full; /* and that was said */
};

static bool
is_ignored(const struct watch *watch, const char *path)
{
	const char *name = strrchr(path, '/');
	size_t root = strlen(watch->folder);
	const char *below = path;

	name = name ? name + 1 : path;
	if (strncmp(path, watch->folder, root) == 0 && path[root] == '/')
		below = path + root + 1;
	for (char *const *at = watch->ignore; *at; at++) {
		const char *subject = !strchr(*at, '/') ? name
				      : **at == '/'	? path
							: below;

		if (fnmatch(*at, subject, 0) == 0)
			return true;
	}
	return false;
}

static void
add_unread(struct watch *watch, const char *path, const char *only)
{
	size_t size = strlen(path) + 1;
	struct folder *folder = calloc(1, sizeof(*folder) + size);

	if (folder && only)
		folder->only = strdup(only);
	if (!folder || (only && !folder->only)) {
		free(folder);
		log_warn("%s isn't watched: no memory", path);
		return;
	}
	memcpy(folder->path, path, size);
	*watch->unread_end = folder;
	watch->unread_end = &folder->next;
	if (!ev_is_active(&watch->go_on)) {
		ev_timer_set(&watch->go_on, 0., 0.);
		ev_timer_start(watch->loop, &watch->go_on);
	}
}

static void
free_folder(struct folder *folder)
{
	free(folder->only);
	free(folder);
}

/* Folders ------------------------------------------------------------------ */

static struct folder **
bucket(struct watch *watch, int number)
{
	return &watch->buckets[(unsigned)number % BUCKETS];
}

static struct folder *
find(struct watch *watch, int number)
{
	struct folder *at = *bucket(watch, number);

	while (at && at->number != number)
		at = at->next;
	return at;
}

static void
forget(struct watch *watch, int number)
{
	struct folder **at = bucket(watch, number), *folder;

	while (*at && (*at)->number != number)
		at = &(*at)->next;
	folder = *at;
	if (!folder)
		return;
	*at = folder->next;
	watch->count--;
	free_folder(folder);
}

static void
say_full(struct watch *watch, const char *path, const char *why)
{
	if (!watch->is_full)
		log_warn("%s and more aren't watched: %s", path, why);
	watch->is_full = true;
}

/* Takes the folder over. Returns whether it is watched now, and new. */
static bool
add_folder(struct watch *watch, struct folder *folder)
{
	const struct folder *known;
	int number;

	if (watch->count == WATCH_FOLDERS_MAX) {
		say_full(watch, folder->path,
			"there are more than 8192 folders; name some in "
			"ignore_watch");
		free_folder(folder);
		return false;
	}
	number = sys_inotify_add_watch(watch->fd, folder->path,
		EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK);
	if (number == -ENOSPC || number == -ENOMEM)
		say_full(watch, folder->path,
			"the kernel has no room for more; raise "
			"fs.inotify.max_user_watches");
	known = number < 0 ? NULL : find(watch, number);
	if (number < 0 || (known && !strcmp(known->path, folder->path))) {
		free_folder(folder); /* gone meanwhile, or watched already */
		return false;
	}
	/* It has another name now, and so has all below it. */
	if (known)
		forget(watch, number);
	folder->number = number;
	folder->next = *bucket(watch, number);
	*bucket(watch, number) = folder;
	watch->count++;
	return true;
}

static bool
is_folder(int directory, const struct dirent64 *entry)
{
	int fd;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	fd = sys_openat(directory, entry->d_name,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		(void)sys_close(fd);
	return fd >= 0;
}

static void
read_folder(struct watch *watch, const char *path)
{
	_Alignas(struct dirent64) char entries[8192];
	char below[PATH_MAX];
	ssize_t n;
	int fd = sys_open(
		path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0)
		return;
	while ((n = sys_getdents(fd, entries, sizeof(entries))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry =
				(const void *)(entries + at);

			at += entry->d_reclen;
			if (!strcmp(entry->d_name, ".") ||
				!strcmp(entry->d_name, "..") ||
				!is_folder(fd, entry) ||
				snprintf(below, sizeof(below), "%s/%s", path,
					entry->d_name) >= (int)sizeof(below) ||
				is_ignored(watch, below))
				continue;
			add_unread(watch, below, NULL);
		}
	(void)sys_close(fd);
}

static void
on_go_on(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct watch *watch = timer->data;

	(void)events;
	ev_timer_stop(loop, timer);
	for (int i = 0; i < FOLDERS_A_TURN && watch->unread; i++) {
		struct folder *folder = watch->unread;

		watch->unread = folder->next;
		if (!watch->unread)
			watch->unread_end = &watch->unread;
		folder->next = NULL;
		/* First watched, then read: what comes in between is seen by
		 * one of both. */
		if (add_folder(watch, folder) && !folder->only)
			read_folder(watch, folder->path);
	}
	if (watch->unread) {
		ev_timer_set(timer, 0., 0.);
		ev_timer_start(loop, timer);
	}
}

/* Events ------------------------------------------------------------------- */

static void
add_root(struct watch *watch, const char *path)
{
	char whole[PATH_MAX];
	struct stat status;
	char *name;
	int r;

	if (snprintf(whole, sizeof(whole), "%s%s%s",
		    *path == '/' ? "" : watch->folder, *path == '/' ? "" : "/",
		    path) >= (int)sizeof(whole)) {
		log_warn("%s isn't watched: its path is too long", path);
		return;
	}
	if (!strcmp(path, "."))
		whole[strlen(whole) - 2] = '\0';
	r = sys_stat(whole, &status);
	if (r < 0) {
		log_warn("%s isn't watched: %s", whole, strerror(-r));
		return;
	}
	if (S_ISDIR(status.st_mode)) {
		add_unread(watch, whole, NULL);
		return;
	}
	/* A file is often replaced by another: its folder sees that. */
	name = strrchr(whole, '/');
	*name = '\0';
	add_unread(watch, *whole ? whole : "/", name + 1);
}

static void
scan(struct watch *watch)
{
	for (char *const *path = watch->paths; *path; path++)
		add_root(watch, *path);
}

static void
take_event(struct watch *watch, const struct inotify_event *event)
{
	const struct folder *folder = find(watch, event->wd);
	char path[PATH_MAX];

	if (!folder)
		return;
	if (event->mask & IN_IGNORED) {
		forget(watch, event->wd);
		return;
	}
	if (!event->len || snprintf(path, sizeof(path), "%s/%s", folder->path,
				   event->name) >= (int)sizeof(path))
		return; /* the folder itself: its own folder tells of it */
	if (is_ignored(watch, path) ||
		(folder->only && strcmp(folder->only, event->name) != 0))
		return;
	if (event->mask & IN_ISDIR && event->mask & (IN_CREATE | IN_MOVED_TO))
		add_unread(watch, path, NULL);
	/* An empty file is nothing yet: it is told of when it is closed. */
	if (!(event->mask & IN_CREATE) || event->mask & IN_ISDIR)
		watch->changed(path, watch->data);
}

static void
end(struct watch *watch)
{
	ev_io_stop(watch->loop, &watch->readable);
	ev_timer_stop(watch->loop, &watch->go_on);
	if (watch->fd >= 0)
		(void)sys_close(watch->fd);
	while (watch->unread) {
		struct folder *folder = watch->unread;

		watch->unread = folder->next;
		free_folder(folder);
	}
	watch->unread_end = &watch->unread;
	for (int i = 0; i < BUCKETS; i++)
		while (watch->buckets[i]) {
			struct folder *folder = watch->buckets[i];

			watch->buckets[i] = folder->next;
			free_folder(folder);
		}
	watch->count = 0;
	watch->is_full = false;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events);

static int
begin(struct watch *watch)
{
	watch->fd = sys_inotify_init();
	if (watch->fd < 0)
		return watch->fd;
	ev_io_init(&watch->readable, on_readable, watch->fd, EV_READ);
	watch->readable.data = watch;
	ev_io_start(watch->loop, &watch->readable);
	scan(watch);
	/* The paths themselves, at once. */
	on_go_on(watch->loop, &watch->go_on, 0);
	return 0;
}

static void
begin_anew(struct watch *watch)
{
	int r;

	end(watch);
	r = begin(watch);
	if (r < 0)
		log_error("files below %s aren't watched any more: %s",
			watch->folder, strerror(-r));
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	_Alignas(struct inotify_event) char bytes[16384];
	struct watch *watch = watcher->data;
	ssize_t n = sys_read(watch->fd, bytes, sizeof(bytes));

	(void)loop;
	(void)events;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *event = (const void *)(bytes + at);

		if (event->mask & IN_Q_OVERFLOW) {
			/* What is watched isn't known any more, either. */
			begin_anew(watch);
			watch->changed(NULL, watch->data);
			return;
		}
		take_event(watch, event);
		at += (ssize_t)sizeof(*event) + event->len;
	}
}

/* The object --------------------------------------------------------------- */

int
watch_new(struct ev_loop *loop, const char *folder, char *const *paths,
	char *const *ignore, watch_changed *changed, void *data,
	struct watch **ret_watch)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return -ENOMEM;
	*watch = (struct watch){.loop = loop,
		.folder = folder,
		.paths = paths,
		.ignore = ignore,
		.changed = changed,
		.data = data};
	watch->unread_end = &watch->unread;
	ev_timer_init(&watch->go_on, on_go_on, 0., 0.);
	watch->go_on.data = watch;
	r = begin(watch);
	if (r < 0) {
		free(watch);
		return r;
	}
	*ret_watch = watch;
	return 0;
}

void
watch_free(struct watch **watch)
{
	struct watch *at = *watch;

	*watch = NULL;
	if (!at)
		return;
	end(at);
	free(at);
}
