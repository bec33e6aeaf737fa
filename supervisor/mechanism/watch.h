/*
 * watch.h: tells when something below some paths changes (inotify(7)).
 *
 * Folders are watched with all below them, new ones too; symbolic links aren't
 * followed. The folders are read a few at a time, so that a large tree keeps
 * nobody waiting; what changes before they are read is told all the same once
 * they are watched, or not at all where it was before. One thread.
 */
#ifndef MUSTER_WATCH_H
#define MUSTER_WATCH_H

struct ev_loop;
struct watch;

enum {
	WATCH_FOLDERS_MAX = 8192, /* of one watch; more aren't watched */
};

/* Something at `path` (borrowed) changed; NULL: so much that it isn't known
 * what. May not free the watch. */
typedef void watch_changed(const char *path, void *data);

/*
 * Begins to watch `paths` (ending with NULL; relative ones below `folder`).
 * What one of the patterns of `ignore` (ending with NULL) matches doesn't
 * count, with all below it: fnmatch(3) on a name where the pattern has no
 * slash, else on the path. All texts are borrowed for the watch's life.
 * Returns 0; -ENOMEM; or what inotify_init said. A path that isn't there, and
 * folders that are too many, are logged once.
 */
int watch_new(struct ev_loop *loop, const char *folder, char *const *paths,
	char *const *ignore, watch_changed *changed, void *data,
	struct watch **ret_watch);
void watch_free(struct watch **watch);

#endif
