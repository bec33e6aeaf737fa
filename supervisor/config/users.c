/*
 * users: the user database, read with buffers of our own. These calls may read
 * files or ask a name service, so only reading a configuration makes them: at
 * the start, and when SIGHUP has it read again. A name service that hangs then
 * holds the brain up; numbers instead of names ask nobody.
 */
#include "config/users.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUFFER_SIZE = 64 << 10, /* of one entry; a group's members are in it */
};

static bool
read_number(const char *text, unsigned long *ret_number)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 10 || text[digits] != '\0')
		return false;
	*ret_number = strtoul(text, NULL, 10);
	/* -1 as a number means "leave it" to the kernel. */
	return *ret_number < UINT32_MAX;
}

int
users_find(const char *text, struct user_entry *ret_entry)
{
	char *buffer = malloc(BUFFER_SIZE);
	struct passwd entry, *found = NULL;
	unsigned long number;
	int error;

	if (buffer == NULL)
		return -ENOMEM;
	if (read_number(text, &number))
		error = getpwuid_r(
			(uid_t)number, &entry, buffer, BUFFER_SIZE, &found);
	else
		error = getpwnam_r(text, &entry, buffer, BUFFER_SIZE, &found);
	if (found != NULL) {
		ret_entry->uid = entry.pw_uid;
		ret_entry->gid = entry.pw_gid;
		snprintf(ret_entry->name, sizeof(ret_entry->name), "%s",
			entry.pw_name);
		error = 0;
	} else if (error == 0) {
		error = ENOENT;
	}
	free(buffer);
	return -error;
}

int
users_find_group(const char *text, gid_t *ret_gid)
{
	char *buffer;
	struct group entry, *found = NULL;
	unsigned long number;
	int error;

	if (read_number(text, &number)) {
		*ret_gid = (gid_t)number;
		return 0;
	}
	buffer = malloc(BUFFER_SIZE);
	if (buffer == NULL)
		return -ENOMEM;
	error = getgrnam_r(text, &entry, buffer, BUFFER_SIZE, &found);
	if (found != NULL) {
		*ret_gid = entry.gr_gid;
		error = 0;
	} else if (error == 0) {
		error = ENOENT;
	}
	free(buffer);
	return -error;
}

int
users_groups(const char *name, gid_t gid, gid_t *ret_groups)
{
	int count = USERS_GROUPS_MAX;

	if (getgrouplist(name, gid, ret_groups, &count) < 0)
		return -E2BIG;
	return count;
}
