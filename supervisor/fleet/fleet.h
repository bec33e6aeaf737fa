/*
 * fleet.h: everything that lives, as brain.c and control/ see it.
 *
 * The fleet owns applications, slots and processes, their listeners, output and
 * events, and the ledger in which all this is remembered. It is the same object
 * after a first start and after the death of a brain: fleet_open reads what
 * there is, fleet_plan writes down what shall be (only where nothing is),
 * fleet_rebuild makes the one from the other and goes on.
 *
 *	fleet_open(&setup, &fleet);
 *	if (fleet_is_new(fleet))
 *		fleet_plan(fleet, &settings, &set, words);
 *	fleet_rebuild(fleet);
 *	... keeper_client_up(), ev_run() ...
 *
 * Names and texts in views are borrowed, and good until the loop's next turn.
 * Everything is for the loop's thread. Callbacks come from the loop, never from
 * inside the call that they were given to, unless that is said.
 */
#ifndef MUSTER_FLEET_H
#define MUSTER_FLEET_H

#include "config/config_file.h"
#include "mechanism/line.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct events;
struct exchange;
struct fleet;
struct keeper_client;
struct slot;

enum {
	FLEET_WORDS_SIZE = 1024, /* of a sentence about a failure */
};

/* Starting -------------------------------------------------------------- */

struct fleet_setup {
	struct ev_loop *loop;
	struct keeper_client *keeper; /* its vault and table are read */
	struct exchange *exchange;
	char *const *environment; /* what workers inherit; borrowed for ever */

	/*
	 * Nothing is left to run, or the first start failed (then `code` is 1,
	 * and the reason is logged): the brain sends what waits and ends.
	 * Called once, from the loop.
	 */
	void (*ended)(int code, void *data);

	/* An upgrade has come to the point where the brain sends what waits
	 * and ends; the keeper starts the next. Called from the loop. */
	void (*handed_over)(void *data);

	/* The bus was opened, or its token is another one (see bus.h). May be
	 * NULL. */
	void (*bus_changed)(void *data);
	void *data;

	bool is_safe; /* brains crash again and again: only what must be is
			 done (fleet/safe.h) */
};

/* What a start says once and a later brain must know, too. */
struct fleet_settings {
	enum line_style style; /* of the workers' output */
	const char *file;      /* the configuration file, or NULL */
	const char
		*pid_file; /* holds the keeper's pid while it lives, or NULL */
	const char *program; /* the path of musterd, or NULL */
	const char *logs;    /* a daemon's folder of log files; NULL: `run` */
};

/*
 * Opens the ledger of the keeper's vault. `setup` is copied.
 * Returns 0; -EPROTO: a ledger of another version, nothing was changed;
 * -ENOENT: the vault has none; -ENOMEM; or what mapping said.
 */
int fleet_open(const struct fleet_setup *setup, struct fleet **ret_fleet);

/* Another exchange than fleet_open was given; before anything is planned. */
void fleet_use_exchange(struct fleet *fleet, struct exchange *exchange);

/* Closes what this process has open; the workers live on. */
void fleet_close(struct fleet **fleet);

/* Whether nothing was ever planned here: a first start. */
bool fleet_is_new(const struct fleet *fleet);

/*
 * A first start's plan: opens the listeners of all applications of `set` (which
 * is borrowed, and told where it listens when sockets were given) or none, and
 * writes configurations, slots and settings down. Nothing runs yet. Words about
 * a failure go to `ret_words`, of FLEET_WORDS_SIZE bytes. Returns 0, or a
 * negative errno: nothing was planned.
 */
int fleet_plan(struct fleet *fleet, const struct fleet_settings *settings,
	struct config_set *set, char *ret_words);

/*
 * Makes applications, slots and processes from the ledger, the vault and the
 * keeper's table, takes the processes that run on as they are, and starts what
 * is planned. What can't be read is set aside and logged. What is left of the
 * vault is the caller's to claim, before keeper_client_settle.
 * Returns 0; -ENOMEM; or what the exchange said.
 */
int fleet_rebuild(struct fleet *fleet);

/* Which workers are meant ----------------------------------------------- */

enum fleet_target_kind {
	FLEET_ALL,
	FLEET_NAMESPACE,
	FLEET_APP,
	FLEET_SLOT,
};

struct fleet_target {
	enum fleet_target_kind kind;
	const char *name; /* of a namespace or an application */
	uint32_t id;	  /* of a worker */
};

/*
 * Reads "all", "ns:NAME", a worker's id or an application's name. `text` is
 * borrowed into the target.
 * Returns 0; -ENOENT: nothing is called so.
 */
int fleet_find(const struct fleet *fleet, const char *text,
	struct fleet_target *ret_target);

/* Acting ---------------------------------------------------------------- */

/*
 * How a thing that was asked for ended. `error` is NULL when it worked, else
 * one sentence with the reason, borrowed for the call.
 */
typedef void fleet_done(const char *error, void *data);

/*
 * Replaces the workers of `target`, new ones ready before old ones leave.
 * `done` (NULL: nobody asks) is called once, when that is done or was taken
 * back; the same happens to all who ask while it runs.
 * Returns 0; -ENOENT: no worker is meant; -ESHUTDOWN: everything is being
 * stopped; -ENOMEM. On failure `done` is not called.
 */
int fleet_reload(struct fleet *fleet, const struct fleet_target *target,
	fleet_done *done, void *data);

/*
 * Brings the applications of `set` (borrowed) into force: new ones are started,
 * changed ones reloaded, others left alone. Nothing is done when any of it is
 * wrong: then the sentence is in `ret_words`, of FLEET_WORDS_SIZE bytes.
 * `*ret_changed` tells how many applications are changed or new. `done` as in
 * fleet_reload; not called where none is.
 * Returns 0; -EINVAL: a key is changed that can't be; what opening a listener
 * said; -ESHUTDOWN; -ENOMEM.
 */
int fleet_apply(struct fleet *fleet, const struct config_set *set,
	size_t *ret_changed, fleet_done *done, void *data, char *ret_words);

/*
 * Stops everything; `ended` follows when the last process is gone. `at_once`:
 * with SIGKILL. May be called again to hurry.
 */
void fleet_stop(struct fleet *fleet, bool at_once);

/* Opens the log files anew. Returns 0, or what the first said that couldn't be
 * opened; which one and why is logged. */
int fleet_reopen(struct fleet *fleet);

/* Operating ------------------------------------------------------------- */

/* Whether it is a daemon: it lives on when nothing is left to run. */
bool fleet_is_daemon(const struct fleet *fleet);

enum fleet_operation {
	FLEET_START, /* also those that gave up; done when they are ready */
	FLEET_STOP,
	FLEET_RESTART, /* all stop, then start; stopped ones start */
	FLEET_DELETE,  /* applications: stopped and forgotten */
};

/*
 * Carries it out on the workers of `target`. `done` (NULL: nobody asks) is
 * called once, from the loop, when all are as they shall be, or with the reason
 * why one can't be.
 * Returns 0; -ENOENT: nothing is meant; -EINVAL: a worker can't be deleted, but
 * an application can; -EBUSY: safe mode; -ESHUTDOWN; -ENOMEM.
 */
int fleet_operate(struct fleet *fleet, enum fleet_operation operation,
	const struct fleet_target *target, fleet_done *done, void *data);

/* As fleet_scale, and `done` is called when there are as many, all ready. */
int fleet_scale_and_wait(struct fleet *fleet, const char *app,
	int64_t instances, fleet_done *done, void *data);

/* How many workers an application shall have; -ENOENT: there is none. */
int64_t fleet_instances(const struct fleet *fleet, const char *app);

/* What an application is configured as, borrowed; NULL: there is none. `fleet`
 * is one: the type is that of config_place.find. */
const struct app_config *fleet_configuration(const char *app, void *fleet);

/* Whether a program of the application ever ran. */
bool fleet_was_started(const struct fleet *fleet, const char *app);

/*
 * What `resurrect` needs of all applications: {"version":1,"apps":[{
 * "configuration", "instances", "stopped"}]}, secrets included. New reference,
 * or NULL without memory.
 */
json_t *fleet_dump(const struct fleet *fleet);

/*
 * Starts an application out of such an object (borrowed). `done` as in
 * fleet_operate. Returns 0, or a negative errno with the words in `ret_words`
 * of FLEET_WORDS_SIZE bytes.
 */
int fleet_resurrect(struct fleet *fleet, json_t *app, fleet_done *done,
	void *data, char *ret_words);

/* Sends a signal to the workers of `target`, not to their groups. Returns how
 * many got it. */
unsigned fleet_send_signal(
	struct fleet *fleet, const struct fleet_target *target, int signal);

/* Sets their counts of restarts to zero. */
void fleet_reset(struct fleet *fleet, const struct fleet_target *target);

/*
 * `set` gets what it lacks as applications of a daemon: log files in its
 * folder, and the environment they inherit: `environment` (borrowed, ending
 * with NULL) for new ones, and for others theirs, unless `update` says so.
 * Returns 0; or -ENOMEM and what making the folder said.
 */
int fleet_adopt(struct fleet *fleet, struct config_set *set,
	char *const *environment, bool update);

/* What a signal to the supervisor means (interface of `run`), and the answer
 * to the keeper that it was taken on. */
void fleet_signal(struct fleet *fleet, int signal);

/*
 * Another executable takes over: the file `path` (absolute), or where musterd
 * was started from (NULL). `done` (NULL: nobody asks) is called once: with an
 * error, or when the new program has said that it can and this brain ends.
 * Returns 0; -EBUSY, -ESHUTDOWN, -ENOMEM, or what opening the file said: then
 * the sentence is in `ret_words`, of FLEET_WORDS_SIZE bytes.
 */
int fleet_upgrade(struct fleet *fleet, const char *path, fleet_done *done,
	void *data, char *ret_words);

/* Which brain this is: {"version","brains","crashes","program","safe_mode",
 * "upgrade","reason"}. New reference, or NULL without memory. */
json_t *fleet_describe_brain(const struct fleet *fleet);

/* The version of this program. */
const char *fleet_version(void);

/* Whether a brain of this version can go on from what is in the two memory
 * files (borrowed; nothing is changed). Returns 0; -EPROTO; or an error. */
int fleet_check(int ledger, int exchange);

/* Changes how many workers an application has, to at least 0; while it is
 * reloaded, as soon as that has ended. Returns 0; -ENOENT; -ESHUTDOWN; -ERANGE;
 * -EDQUOT: over max_processes; -ENOMEM. */
int fleet_scale(struct fleet *fleet, const char *app, int64_t instances);

/* Seeing ---------------------------------------------------------------- */

/* One worker as listings show it. */
struct slot_view {
	uint32_t id, instance, generation;
	const char *app, *namespace;
	const char *status; /* starting, ready, reloading, stopping, stopped,
			       backoff or errored */
	int32_t pid;	    /* 0: none */
	uint32_t restarts, unstable_restarts;
	int64_t uptime_ms; /* of the process, since its exec; -1: none */
	bool has_exit, exit_by_signal;
	int32_t exit_status;  /* a code or a signal */
	int64_t exit_wall_ms; /* since 1970 */
	bool unkillable;
	uint64_t messages_in, messages_out, queue_bytes;
	const struct listen_list *listen; /* as configured */
	const char *notice;    /* the worker's own words (STATUS=), or "" */
	const char *waits_for; /* an application that comes first; NULL */
	uint32_t in_flight;    /* as it said last */
	uint32_t connections;  /* handed over to it and not done */
};

/*
 * The workers in order of their ids: NULL gives the first; NULL comes after the
 * last. A slot is good until the loop's next turn.
 */
const struct slot *fleet_next_slot(
	const struct fleet *fleet, const struct slot *after);
void slot_read(const struct slot *slot, struct slot_view *ret_view);

/* The file that a stream of its processes goes to. Returns false: none. */
bool slot_log_path(
	const struct slot *slot, bool is_error, char *ret_path, size_t size);

/* The configuration in force of the slot's application (config_to_json). New
 * reference, or NULL without memory. */
json_t *slot_configuration(const struct slot *slot);

/* Where the listener of an entry of slot_view.listen really listens: the kernel
 * chooses the port for 0. Borrowed until the loop's next turn. */
const char *slot_listener_text(
	const struct slot *slot, const struct listen_config *entry);

/* How one process of a slot ended. */
struct exit_view {
	uint32_t generation;
	int32_t pid;   /* 0: it never had one */
	char how[256]; /* in words: "exited with code 3" */
	bool has_status, by_signal;
	int32_t status;	   /* a code or a signal */
	bool dumped;	   /* with a core dump */
	const char *asked; /* stop, reload, scale or restart: it was told to
			      end; NULL: it ended by itself */
	bool killed;	   /* the supervisor sent SIGKILL */
	char fault[64];	   /* what it had done wrong, or "" */
	bool output_held;  /* a grandchild still holds its stdout or stderr */
	int64_t uptime_ms; /* -1: its program never ran */
	int64_t wall_ms;   /* when, since 1970 */
	uint32_t user_ms, system_ms, memory_kib;
	char tail[1024]; /* the end of its stderr, not terminated */
	size_t tail_size;
};

/* The end that was `back` ends ago, 0 for the last. Returns 0; -ENOENT: so
 * many are not remembered. */
int slot_read_exit(
	const struct slot *slot, uint32_t back, struct exit_view *ret_view);

bool fleet_target_has(
	const struct fleet_target *target, const struct slot *slot);

/*
 * What the method `workers` answers: {"workers":[{"id","app","instance",
 * "state"}]}, of all or of one application. New reference, or NULL without
 * memory.
 */
json_t *fleet_list_workers(const struct fleet *fleet, const char *app);

/* What happened, and who wants to know (events.h). */
struct events *fleet_events(struct fleet *fleet);

#endif
