/*
 * given.c: what LISTEN_FDS brings. What the sockets are is the brain's to find
 * out; their names, LISTEN_FDNAMES, stay in the environment for it.
 */
#include "keeper/given.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	GIVEN_FIRST = 3,
};

/* The number in a variable; -1: there is none. */
static long
read_number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long number;

	if (!text || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	number = strtol(text, &end, 10);
	return errno || *end ? -1 : number;
}

int
given_count(void)
{
	long count = read_number("LISTEN_FDS");

	if (count < 1 || read_number("LISTEN_PID") != (long)getpid())
		return 0;
	return count > KEEPER_GIVEN_MAX ? KEEPER_GIVEN_MAX : (int)count;
}

int
given_keep(struct vault *vault, int count)
{
	char name[KEEPER_NAME_SIZE];
	int error = 0;

	for (int i = 0; i < count && !error; i++) {
		snprintf(name, sizeof(name), KEEPER_VAULT_GIVEN "%d", i);
		error = vault_put(vault, name, GIVEN_FIRST + i);
	}
	return error;
}
