/*
 * bus.c: how the bus is opened and kept.
 */
#include "fleet/bus.h"

#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"
#include "config/address.h"
#include "fleet/core.h"
#include "fleet/fleet.h"
#include "fleet/keeper_client.h"
#include "fleet/state.h"
#include "mechanism/listener.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUS_BACKLOG = 511 };

/* Opening ------------------------------------------------------------------ */

/* The first line of the file, without blanks around it. */
static int
read_token(const char *path, char *ret_token, char *ret_words)
{
	char text[BUS_TOKEN_MAX + 64] = "", *start = text, *end;
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	ssize_t size = fd < 0 ? fd : sys_read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		(void)sys_close(fd);
	if (size < 0) {
		snprintf(ret_words, FLEET_WORDS_SIZE,
			"bus_token_file %.200s: %s", path,
			strerror((int)-size));
		return (int)size;
	}
	text[size] = '\0';
	start[strcspn(start, "\r\n")] = '\0';
	while (isspace((unsigned char)*start))
		start++;
	end = start + strlen(start);
	while (end > start && isspace((unsigned char)end[-1]))
		*--end = '\0';
	if (end - start < BUS_TOKEN_MIN || end - start > BUS_TOKEN_MAX) {
		snprintf(ret_words, FLEET_WORDS_SIZE,
			"bus_token_file %.200s: its first line is the token, "
			"of %d to %d bytes; make one by 'openssl rand -hex 32'",
			path, BUS_TOKEN_MIN, BUS_TOKEN_MAX);
		return -EINVAL;
	}
	memcpy(ret_token, start, (size_t)(end - start) + 1);
	return 0;
}

static int
open_socket(const char *text, char *ret_words)
{
	struct address address;
	struct listen_config config = {
		.backlog = BUS_BACKLOG, .ipv6_only = CONFIG_UNSET};
	struct listener_plan plan = {.config = &config};
	char words[LISTENER_ERROR_SIZE] = "";
	const char *reason = "only tcp://HOST:PORT";
	int fd, r = address_read(text, &address, &reason);

	if (r == 0 && (address.kind != LISTEN_TCP || address.port == 0)) {
		reason = "write tcp://HOST:PORT";
		r = -EINVAL;
	}
	if (r < 0) {
		snprintf(ret_words, FLEET_WORDS_SIZE, "bus %.100s: %s", text,
			reason);
		return r;
	}
	config.kind = address.kind;
	config.address = address.text;
	config.host = address.host;
	config.port = address.port;
	config.is_ipv6 = address.is_ipv6;
	r = listener_open(&plan, 1, &fd, words);
	if (r == 0)
		r = sys_fcntl(fd, F_SETFL, O_NONBLOCK);
	if (r < 0)
		snprintf(ret_words, FLEET_WORDS_SIZE, "bus: %.400s", words);
	return r < 0 ? r : fd;
}

/* Puts the token and where the bus is into the vault. */
static int
keep_words(struct fleet *fleet, const char *address, const char *token)
{
	json_t *json =
		json_pack("{s:s, s:s}", "address", address, "token", token);
	int fd = json ? core_seal(STATE_BUS_WORDS, json) : -ENOMEM;

	json_decref(json);
	if (fd < 0)
		return fd;
	if (!fleet->is_loaded)
		return keeper_client_keep(
			fleet->setup.keeper, STATE_BUS_WORDS, fd);
	return keeper_client_put(
		fleet->setup.keeper, STATE_BUS_WORDS, fd, true);
}

static int
keep_socket(struct fleet *fleet, int fd)
{
	if (!fleet->is_loaded)
		return keeper_client_keep(fleet->setup.keeper, STATE_BUS, fd);
	fleet->bus = fd;
	return keeper_client_put(fleet->setup.keeper, STATE_BUS, fd, false);
}

static int
check(const struct fleet *fleet, const struct daemon_config *muster,
	char *ret_words)
{
	if (!muster->bus_token_file) {
		snprintf(ret_words, FLEET_WORDS_SIZE,
			"bus %.100s: over TCP a token is asked for; name a "
			"file that holds it: bus_token_file",
			muster->bus);
		return -EINVAL;
	}
	if (fleet->bus >= 0 && strcmp(fleet->bus_address, muster->bus)) {
		snprintf(ret_words, FLEET_WORDS_SIZE,
			"bus: it is open at %.100s; another address needs the "
			"supervisor to be started anew",
			fleet->bus_address);
		return -EINVAL;
	}
	return 0;
}

int
bus_take(struct fleet *fleet, const struct daemon_config *muster,
	char *ret_words)
{
	char token[BUS_TOKEN_MAX + 1];
	int fd = -1, r;

	if (!muster->bus)
		return 0;
	r = check(fleet, muster, ret_words);
	if (r >= 0)
		r = read_token(muster->bus_token_file, token, ret_words);
	if (r >= 0 && fleet->bus < 0)
		r = fd = open_socket(muster->bus, ret_words);
	if (r < 0)
		return r;
	/* Words before the socket: a brain that dies between has no bus. */
	r = keep_words(fleet, muster->bus, token);
	if (r >= 0) {
		snprintf(fleet->bus_address, sizeof(fleet->bus_address), "%s",
			muster->bus);
		memcpy(fleet->bus_token, token, sizeof(token));
	}
	if (fd >= 0 && r >= 0)
		r = keep_socket(fleet, fd);
	else if (fd >= 0)
		(void)sys_close(fd);
	if (r < 0)
		snprintf(ret_words, FLEET_WORDS_SIZE, "bus: %s", strerror(-r));
	else if (fleet->is_loaded && fleet->setup.bus_changed)
		fleet->setup.bus_changed(fleet->setup.data);
	return r;
}

/* What is there ------------------------------------------------------------ */

void
bus_rebuild(struct fleet *fleet)
{
	int words = keeper_client_claim(fleet->setup.keeper, STATE_BUS_WORDS);
	int fd = keeper_client_claim(fleet->setup.keeper, STATE_BUS);
	json_t *json = NULL;
	const char *token, *address;

	if (words >= 0)
		(void)core_unseal(words, &json);
	token = json_text(json, "token");
	address = json_text(json, "address");
	if (fd >= 0 && token && address) {
		fleet->bus = fd;
		snprintf(fleet->bus_token, sizeof(fleet->bus_token), "%s",
			token);
		snprintf(fleet->bus_address, sizeof(fleet->bus_address), "%s",
			address);
	} else if (fd >= 0) {
		log_error("the bus is closed: its token can't be read");
		(void)sys_close(fd);
	}
	json_decref(json);
}

int
fleet_bus(const struct fleet *fleet)
{
	return fleet->bus;
}

const char *
fleet_bus_token(const struct fleet *fleet)
{
	return fleet->bus_token;
}

void
bus_close(struct fleet *fleet)
{
	if (fleet->bus >= 0)
		(void)sys_close(fleet->bus);
	fleet->bus = -1;
}
