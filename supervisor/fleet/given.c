/*
 * Sockets that were given, found again by their addresses. The keeper keeps
 * them until the plan that uses them is written down, so a first brain that
 * dies leaves them to the next.
 */
#include "fleet/given.h"

#include "base/log.h"
#include "base/sys.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The name number `index` of LISTEN_FDNAMES; "" where there is none, or none
 * that a configuration could hold. */
static void
find_name(char *const *environment, size_t index, char ret_name[64])
{
	static const char variable[] = "LISTEN_FDNAMES=";
	const size_t head = sizeof(variable) - 1;
	const char *at = NULL;
	size_t size;

	*ret_name = '\0';
	for (; *environment && !at; environment++)
		if (strncmp(*environment, variable, head) == 0)
			at = *environment + head;
	for (; at && index > 0; index--) {
		at = strchr(at, ':');
		at = at ? at + 1 : NULL;
	}
	size = at ? strcspn(at, ":") : 0;
	if (size == 0 || size >= 64 ||
		strspn(at, "abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") < size)
		return;
	memcpy(ret_name, at, size);
	ret_name[size] = '\0';
}

/* Whether workers can be served from it: it listens, or takes datagrams. */
static bool
is_usable(int fd, char *ret_text)
{
	int type, listens;
	socklen_t size = sizeof(type);

	if (listener_text(fd, ret_text) < 0 ||
		sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return false;
	size = sizeof(listens);
	return type == SOCK_DGRAM ||
	       (sys_getsockopt(
			fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) >= 0 &&
		       listens);
}

void
given_load(struct given *given, struct keeper_client *keeper,
	char *const *environment)
{
	char name[KEEPER_NAME_SIZE];

	*given = (struct given){.keeper = keeper};
	for (size_t i = 0; i < KEEPER_GIVEN_MAX; i++) {
		struct given_socket *socket = &given->sockets[given->count];

		snprintf(name, sizeof(name), KEEPER_VAULT_GIVEN "%zu", i);
		socket->fd = keeper_client_claim(keeper, name);
		if (socket->fd < 0)
			return;
		given->offered++;
		if (!is_usable(socket->fd, socket->text)) {
			log_warn("descriptor %zu, which LISTEN_FDS gives, is "
				 "no socket that listens: it is left out",
				i + 3);
			sys_close(socket->fd);
			continue;
		}
		find_name(environment, i, socket->name);
		given->count++;
	}
}

static json_t *
list_all(const struct given *given)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < given->count; i++) {
		const struct given_socket *socket = &given->sockets[i];
		json_t *entry = json_pack("{s:s}", "address", socket->text);

		if (entry && *socket->name)
			(void)json_object_set_new(
				entry, "name", json_string(socket->name));
		if (!entry || json_array_append_new(list, entry) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* The same application with that list of addresses. */
static int
set_listen(struct app_config **app, json_t *list)
{
	json_t *json = config_to_json(*app);
	struct app_config *changed;
	struct config_error error;
	int r = -ENOMEM;

	if (json && json_object_set(json, "listen", list) == 0)
		r = config_from_json(json, NULL, "", &changed, &error);
	json_decref(json);
	if (r < 0)
		return r;
	config_free(app);
	*app = changed;
	return 0;
}

int
given_configure(const struct given *given, struct config_set *set)
{
	json_t *list;
	int r;

	for (size_t i = 0; i < set->count; i++)
		if (set->apps[i]->listen.count > 0)
			return 0;
	if (given->count == 0 || set->count == 0)
		return 0;
	if (set->count > 1)
		return -EINVAL;
	list = list_all(given);
	r = list ? set_listen(&set->apps[0], list) : -ENOMEM;
	json_decref(list);
	return r;
}

int
given_take(struct given *given, const struct listen_config *config)
{
	for (size_t i = 0; i < given->count; i++) {
		int fd = given->sockets[i].fd;

		if (fd < 0 || strcmp(given->sockets[i].text, config->address))
			continue;
		given->sockets[i].fd = -1;
		return fd;
	}
	return -1;
}

void
given_fini(struct given *given)
{
	char name[KEEPER_NAME_SIZE];

	for (size_t i = 0; i < given->offered; i++) {
		snprintf(name, sizeof(name), KEEPER_VAULT_GIVEN "%zu", i);
		keeper_client_drop(given->keeper, name);
	}
	for (size_t i = 0; i < given->count; i++) {
		if (given->sockets[i].fd < 0)
			continue;
		log_warn("the socket %s, which LISTEN_FDS gives, is no "
			 "application's: it is closed",
			given->sockets[i].text);
		sys_close(given->sockets[i].fd);
	}
	given->count = 0;
}
