/*
 * users.h: users and groups by name or number, looked up while the
 * configuration is read, so that a wrong one is told before anything starts.
 */
#ifndef MUSTER_USERS_H
#define MUSTER_USERS_H

#include <stddef.h>
#include <sys/types.h>

enum {
	USERS_NAME_SIZE = 256,
	USERS_GROUPS_MAX = 256,
};

struct user_entry {
	uid_t uid;
	gid_t gid;
	char name[USERS_NAME_SIZE];
};

/*
 * Looks a user up, by name, or by number where the text is one.
 * Returns 0; -ENOENT: there is none; or what the look-up said.
 */
int users_find(const char *text, struct user_entry *ret_entry);

/* The same for a group's number. A number needs no entry. */
int users_find_group(const char *text, gid_t *ret_gid);

/*
 * The groups of a user, `gid` among them: at most USERS_GROUPS_MAX into
 * `ret_groups`.
 * Returns their count, or -E2BIG.
 */
int users_groups(const char *name, gid_t gid, gid_t *ret_groups);

#endif
