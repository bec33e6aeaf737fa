/*
 * app.h: an application: a configuration, slots, listeners, and the reload that
 * may be under way. Loop's thread only.
 */
#ifndef MUSTER_APP_H
#define MUSTER_APP_H

#include "fleet/handover.h"
#include "fleet/reload_run.h"
#include "fleet/state.h"
#include "mechanism/listener.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct app_config;
struct fleet;
struct group;
struct slot;
struct version;
struct watch;

/* A listening socket; versions of the application refer to it by address. */
struct app_listener {
	struct app_listener *next; /* app.listeners */
	uint32_t row;
	struct state_listener state;
	char text[LISTENER_TEXT_SIZE]; /* the real address */
	int fd;
	uint64_t steered; /* a group's first: to whom, see reuseport.c */
	struct handover handover;
};

struct app {
	struct fleet *fleet;
	struct app *next; /* fleet.apps */
	uint32_t row;
	struct state_app state;
	struct version *version; /* in force */
	struct group *group;
	struct app_listener *listeners;
	struct slot **slots; /* in order of their instances */
	size_t slot_count, slot_room;
	struct reload_run run;
	bool was_running;   /* what the exchange knows */
	uint8_t waits_told; /* 1: that it waits; 2: that it is stuck */

	/* renew.c's: from which slot on it looks, and when it did last, … */
	size_t renew_next;
	int64_t renew_wall; /* seconds since 1970 */
	/* … and files: of which version, what changed first, how often. */
	const struct version *watch_version;
	struct watch *watch;
	ev_timer watch_quiet;
	int watch_delays;
	char watch_path[256];
};

/*
 * Writes a new application down, whose sealed configuration is `number`, and
 * nothing else. Returns 0; -ENOSPC: the ledger is full.
 */
int app_plan(struct fleet *fleet, const struct app_config *config,
	uint32_t number, struct state_app *ret_state, uint32_t *ret_row);

/* Makes the application of a row. Takes a reference to `version`. Returns 0;
 * -ENOMEM. */
int app_load(struct fleet *fleet, struct version *version, uint32_t row,
	const struct state_app *state, struct app **ret_app);
void app_free(struct app **app);

/* Puts `version` into force, its bounds of messages too; a reference is taken.
 * The caller saves. */
void app_set_version(struct app *app, struct version *version);
void app_save(struct app *app);

const char *app_name(const struct app *app);

/* Takes a listener from the vault that a row tells of. */
int app_load_listener(
	struct app *app, uint32_t row, const struct state_listener *state);

/* Writes one more socket of a group down (reuseport.h) and takes it in. `fd` is
 * taken over. Returns 0; -ENOSPC: the ledger is full; -ENOMEM. */
int app_add_member(struct app *app, int fd, const char *address, uint32_t slot,
	uint32_t place);

/* Closes those that neither the version in force nor the reload's has. */
void app_close_listeners(struct app *app);

/* Closes all: the application is forgotten. */
void app_drop_listeners(struct app *app);

/* Removes the files of its UNIX sockets: everything ends. */
void app_remove_files(const struct app *app);

/* The listener of that address as configured, or NULL. */
const struct app_listener *app_find_listener(
	const struct app *app, const char *address);

/* Adds and removes slots until there are as many as wanted. Returns 0; -ENOMEM;
 * -ENOSPC: no room for so many. */
int app_fit(struct app *app);

/* All slots shall go or rest. */
void app_stop(struct app *app, bool at_once);

/* Takes a slot in, in order of instances. Returns 0 or -ENOMEM. */
int app_add_slot(struct app *app, struct slot *slot);

/* Erases and frees slots that were to go and have no process left. */
void app_sweep(struct app *app);

/* Tells the exchange whether the application runs. */
void app_refresh(struct app *app);

/* Whether no slot has a process, or shall have one that it can get. */
bool app_is_idle(const struct app *app);

#endif
