/*
 * value_listen: the addresses of `listen`, each a string, a port, or an object
 * that says more. What can't be meant, as modes of a TCP socket, is refused
 * here, so that nobody wonders later why it has no effect.
 */
#include "config/address.h"
#include "config/value_kinds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LISTEN_BACKLOG = 511, /* as in nginx and node */
	LISTEN_NAME_MAX = 64,
	LISTEN_MODE_MAX = 0777,
};

/* What reads one member of an address that is written as an object. */
struct reading {
	const struct values_context *context;
	const struct key *key;
	struct listen_config *entry;
	const json_t *address; /* borrowed; NULL: not given */
};

typedef int member_reader(struct reading *reading, const json_t *value);

/* The key with other bounds, for the readers of single values. */
static struct key
bounded(const struct reading *reading, int64_t least, int64_t most)
{
	struct key key = *reading->key;

	key.least = least;
	key.most = most;
	return key;
}

static int
read_address(struct reading *reading, const json_t *value)
{
	reading->address = value;
	return 0;
}

static int
read_name(struct reading *reading, const json_t *value)
{
	/* A colon would split LISTEN_FDNAMES. */
	if (!value_is_text(value) ||
		strspn(json_string_value(value),
			"abcdefghijklmnopqrstuvwxyz"
			"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") !=
			json_string_length(value) ||
		json_string_length(value) == 0 ||
		json_string_length(value) > LISTEN_NAME_MAX)
		return values_bad(reading->context, reading->key, value,
			"a listener's name has 1 to 64 letters, digits and "
			"_ . -");
	free(reading->entry->name);
	reading->entry->name = strdup(json_string_value(value));
	return reading->entry->name == NULL ? -ENOMEM : 0;
}

static int
read_backlog(struct reading *reading, const json_t *value)
{
	int64_t backlog;

	if (!value_whole(value, &backlog) || backlog < 1 || backlog > 65535)
		return values_bad(reading->context, reading->key, value,
			"a backlog is a number from 1 to 65535");
	reading->entry->backlog = (int)backlog;
	return 0;
}

static int
read_balance(struct reading *reading, const json_t *value)
{
	return value_read_balance(reading->context, reading->key, value,
		&reading->entry->balance);
}

static int
read_ipv6_only(struct reading *reading, const json_t *value)
{
	return value_read_bool(reading->context, reading->key, value,
		&reading->entry->ipv6_only);
}

static int
read_mode(struct reading *reading, const json_t *value)
{
	struct key key = bounded(reading, 0, LISTEN_MODE_MAX);

	return value_read_mode(
		reading->context, &key, value, &reading->entry->mode);
}

static int
read_user(struct reading *reading, const json_t *value)
{
	struct key key = bounded(reading, 0, UINT32_MAX - 1);

	return value_read_user(
		reading->context, &key, value, &reading->entry->user);
}

static int
read_group(struct reading *reading, const json_t *value)
{
	struct key key = bounded(reading, 0, UINT32_MAX - 1);

	return value_read_group(
		reading->context, &key, value, &reading->entry->group);
}

static const struct {
	const char *name;
	member_reader *read;
} members[] = {
	{"address", read_address},
	{"name", read_name},
	{"backlog", read_backlog},
	{"balance", read_balance},
	{"ipv6_only", read_ipv6_only},
	{"mode", read_mode},
	{"user", read_user},
	{"group", read_group},
};

static int
read_member(struct reading *reading, const char *name, const json_t *value)
{
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (strcmp(members[i].name, name) == 0)
			return members[i].read(reading, value);
	return values_bad(reading->context, reading->key, NULL,
		"\"%.60s\" is unknown; address, name, backlog, balance, "
		"ipv6_only, mode, user and group are known",
		name);
}

static int
read_members(struct reading *reading, const json_t *object)
{
	const char *name;
	json_t *value;
	int error;

	json_object_foreach((json_t *)object, name, value)
	{
		error = read_member(reading, name, value);
		if (error < 0)
			return error;
	}
	return 0;
}

/* What an address of this kind can't have. NULL: nothing is wrong. */
static const char *
find_nonsense(const struct listen_config *entry)
{
	bool is_unix = entry->path[0] != '\0';

	if (!is_unix &&
		(entry->mode != CONFIG_UNSET || entry->user != CONFIG_UNSET ||
			entry->group != CONFIG_UNSET))
		return "mode, user and group are those of a UNIX socket's file";
	if (entry->ipv6_only != CONFIG_UNSET && !entry->is_ipv6 &&
		(is_unix || entry->host[0] != '\0'))
		return "ipv6_only is for IPv6 addresses";
	if (is_unix && entry->balance == BALANCE_REUSEPORT)
		return "reuseport is for TCP and UDP: the kernel has no such "
		       "groups of UNIX sockets";
	if (entry->balance == BALANCE_ROUND_ROBIN &&
		(entry->kind == LISTEN_UDP || entry->kind == LISTEN_UNIX_DGRAM))
		return "round-robin hands connections over, and datagrams have "
		       "none: use shared";
	return NULL;
}

/* The port, or the last part of the path with what names can't hold replaced.
 */
static char *
make_name(const struct address *address)
{
	char *name;

	if (address->path[0] == '\0')
		return strdup(strrchr(address->text, ':') + 1);
	name = strndup(strrchr(address->path, '/') + 1, LISTEN_NAME_MAX);
	for (char *c = name; c != NULL && *c != '\0'; c++)
		if (*c == ':' || *c == ' ' || (*c & 0x80) != 0)
			*c = '_';
	return name;
}

static int
take_address(struct reading *reading, const struct address *address)
{
	struct listen_config *entry = reading->entry;
	const char *nonsense;

	entry->kind = address->kind;
	entry->port = address->port;
	entry->is_ipv6 = address->is_ipv6;
	entry->address = strdup(address->text);
	entry->host = strdup(address->host);
	entry->path = strdup(address->path);
	if (entry->name == NULL)
		entry->name = make_name(address);
	if (entry->address == NULL || entry->host == NULL ||
		entry->path == NULL || entry->name == NULL)
		return -ENOMEM;
	nonsense = find_nonsense(entry);
	return nonsense == NULL ? 0
				: values_bad(reading->context, reading->key,
					  reading->address, "%s", nonsense);
}

static int
read_entry(const struct values_context *context, const struct key *key,
	const json_t *value, struct listen_config *entry)
{
	struct reading reading = {context, key, entry, value};
	struct address parsed;
	char number[24];
	const char *reason, *written;
	int64_t port;
	int error;

	*entry = (struct listen_config){.backlog = LISTEN_BACKLOG,
		.balance = CONFIG_UNSET,
		.ipv6_only = CONFIG_UNSET,
		.mode = CONFIG_UNSET,
		.user = CONFIG_UNSET,
		.group = CONFIG_UNSET};
	if (json_is_object(value)) {
		reading.address = NULL;
		error = read_members(&reading, value);
		if (error < 0)
			return error;
	}
	if (json_is_integer(reading.address) &&
		value_whole(reading.address, &port)) {
		snprintf(number, sizeof(number), "%lld", (long long)port);
		written = number;
	} else if (value_is_text(reading.address)) {
		written = json_string_value(reading.address);
	} else {
		return values_bad(context, key, value,
			"an address is a string, \"127.0.0.1:8080\", or an "
			"object with the member address");
	}
	if (address_read(written, &parsed, &reason) < 0)
		return values_bad(context, key, reading.address, "%s", reason);
	return take_address(&reading, &parsed);
}

int
value_read_listen(const struct values_context *context, const struct key *key,
	const json_t *value, void *field)
{
	struct listen_list *list = field;
	size_t count = json_is_array(value) ? json_array_size(value) : 1;
	int error = 0;

	if (count > VALUES_LISTEN_MAX)
		return values_bad(context, key, NULL,
			"at most %d addresses are allowed", VALUES_LISTEN_MAX);
	/* Kept in the field at once: values_fini frees half of a list, too. */
	list->entries = calloc(count + 1, sizeof(*list->entries));
	if (list->entries == NULL)
		return -ENOMEM;
	while (list->count < count && error == 0) {
		struct listen_config *entry = &list->entries[list->count];

		error = read_entry(context, key,
			json_is_array(value)
				? json_array_get(value, list->count)
				: value,
			entry);
		list->count++;
		for (size_t i = 0; error == 0 && entry->address != NULL &&
				   i + 1 < list->count;
			i++)
			if (strcmp(list->entries[i].address, entry->address) ==
					0 &&
				(entry->port != 0 || entry->path[0] != '\0'))
				error = values_bad(context, key, NULL,
					"%s is given twice", entry->address);
	}
	return error;
}

/* As it was given: what is unset stays away. Returns 0 or -ENOMEM. */
static int
write_optional(const struct listen_config *entry, json_t *object)
{
	json_t *value = NULL;
	int error = 0;

	if (entry->balance != CONFIG_UNSET) {
		error = value_write_balance(&entry->balance, &value);
		if (error == 0)
			error = json_object_set_new(object, "balance", value);
	}
	if (error == 0 && entry->ipv6_only != CONFIG_UNSET)
		error = json_object_set_new(object, "ipv6_only",
			json_boolean((int)entry->ipv6_only));
	if (error == 0 && entry->mode != CONFIG_UNSET) {
		error = value_write_mode(&entry->mode, &value);
		if (error == 0)
			error = json_object_set_new(object, "mode", value);
	}
	if (error == 0 && entry->user != CONFIG_UNSET)
		error = json_object_set_new(
			object, "user", json_integer(entry->user));
	if (error == 0 && entry->group != CONFIG_UNSET)
		error = json_object_set_new(
			object, "group", json_integer(entry->group));
	return error < 0 ? -ENOMEM : 0;
}

int
value_write_listen(const void *field, json_t **ret_value)
{
	const struct listen_list *list = field;
	json_t *array = json_array();

	for (size_t i = 0; array != NULL && i < list->count; i++) {
		const struct listen_config *entry = &list->entries[i];
		json_t *object =
			json_pack("{s:s,s:s,s:i}", "address", entry->address,
				"name", entry->name, "backlog", entry->backlog);

		if (object == NULL || write_optional(entry, object) < 0 ||
			json_array_append(array, object) != 0) {
			json_decref(object);
			json_decref(array);
			return -ENOMEM;
		}
		json_decref(object);
	}
	*ret_value = array;
	return array == NULL ? -ENOMEM : 0;
}

void
value_free_listen(struct listen_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->entries[i].name);
		free(list->entries[i].address);
		free(list->entries[i].host);
		free(list->entries[i].path);
	}
	free(list->entries);
}
