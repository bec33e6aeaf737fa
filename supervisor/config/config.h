/*
 * config.h: what an application is, checked and complete. From JSON to an
 * immutable struct and back; nothing else of the supervisor reads
 * configuration text. Keys, defaults and bounds are in keys.def.
 */
#ifndef MUSTER_CONFIG_H
#define MUSTER_CONFIG_H

#include "config/keys.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_UNSET INT64_MIN /* a number that isn't given */

enum {
	CONFIG_PATH_SIZE = 4096,
	CONFIG_MESSAGE_SIZE = 1024,
	CONFIG_APPS_MAX = 1024, /* applications of one file */
};

enum config_exit_when {
	CONFIG_EXIT_STOPPED, /* nothing is left to run */
	CONFIG_EXIT_ERRORED, /* a worker gave up */
	CONFIG_EXIT_NEVER,
};

enum log_type {
	LOG_TYPE_RAW,
	LOG_TYPE_JSON,
};

enum listen_kind {
	LISTEN_TCP,
	LISTEN_UDP,
	LISTEN_UNIX, /* stream */
	LISTEN_UNIX_DGRAM,
};

/* How connections get to the workers. */
enum balance {
	BALANCE_SHARED,	     /* one socket, every worker accepts */
	BALANCE_REUSEPORT,   /* one socket a worker; the kernel spreads */
	BALANCE_ROUND_ROBIN, /* we accept and hand each connection over */
};

struct portion {
	int64_t number; /* a count, or a percentage */
	bool is_percent;
};

/* When a log file is rotated, and what is kept of it. */
struct rotate_config {
	int64_t size; /* bytes; 0: it isn't rotated */
	int64_t keep; /* older files */
	bool compress;
};

struct number_list {
	int64_t *numbers;
	size_t count;
};

struct listen_config {
	enum listen_kind kind;
	char *name;    /* for LISTEN_FDNAMES: the port, or the path's last part,
			  unless given */
	char *address; /* canonical: tcp://127.0.0.1:8080, udp://[::]:8080,
			  unix:///run/app.sock, unix-dgram:///run/app.sock */
	char *host;    /* numeric IPv4 or IPv6; "": every address of both,
			  which is what 8080 and [::]:8080 mean */
	uint16_t port; /* 0: the kernel chooses */
	char *path;    /* of a UNIX socket, absolute; else "" */
	int backlog;   /* 511 unless given */
	bool is_ipv6;  /* `host` is one */
	int64_t balance;	   /* enum balance: its own, or the app's */
	int64_t ipv6_only;	   /* 0, 1, or CONFIG_UNSET: as
				      mechanism/listener finds right */
	int64_t mode, user, group; /* of a UNIX socket, or CONFIG_UNSET */
};

struct listen_list {
	struct listen_config *entries;
	size_t count;
};

struct limit_config {
	int resource;	     /* RLIMIT_… */
	uint64_t soft, hard; /* RLIM_INFINITY: unlimited */
};

struct limit_list {
	struct limit_config *entries;
	size_t count;
};

/* Borrowed everywhere, changed nowhere after it was built. Lists of strings end
 * with NULL and are never NULL themselves. Times are milliseconds. */
struct app_config {
	char *name, *namespace;
	char *script; /* path; not found: as it was written */
	char **args;
	char *cwd;	   /* absolute */
	char **env;	   /* KEY=VALUE, no key twice */
	char **filter_env; /* what isn't inherited: beginnings of names */
	char *instance_var, *increment_var; /* names; the latter or NULL */
	char *interpreter;		    /* path, or "none" */
	char **interpreter_args;
	int64_t instances; /* at least 1 */
	struct listen_list listen;
	int64_t balance; /* enum balance; an address may have its own */
	int64_t wait_ready, listen_timeout, kill_signal, kill_timeout;
	struct portion reload_batch;
	int64_t reload_soak;
	int64_t watchdog;  /* ms, or CONFIG_UNSET */
	int64_t notify_fd; /* or CONFIG_UNSET */
	int64_t autorestart, restart_delay, exp_backoff_restart_delay;
	int64_t max_restarts; /* or CONFIG_UNSET */
	int64_t min_uptime;
	struct number_list stop_exit_codes;
	int64_t exit_when;
	int64_t max_memory_restart;	    /* bytes, or CONFIG_UNSET */
	int64_t max_requests, max_lifetime; /* or CONFIG_UNSET */
	char *cron_restart;		    /* or NULL */
	char **watch;			    /* relative to cwd; NULL: none */
	char **ignore_watch;
	int64_t watch_delay;
	char **depends_on;
	int64_t start_parallel;	     /* or CONFIG_UNSET */
	char *out_file, *error_file; /* absolute, or NULL */
	char *log_file;		     /* of both streams, where they have none */
	int64_t merge_logs;	     /* or CONFIG_UNSET: true */
	int64_t disable_logs;
	struct rotate_config log_rotate;
	int64_t time;	       /* lines have it in front */
	char *log_date_format; /* of stamp.h, or NULL */
	int64_t log_type;      /* enum log_type */
	int64_t queue_limit, max_message, stall_timeout;
	int64_t user, group;	   /* uid, gid, or both CONFIG_UNSET */
	struct number_list groups; /* gids; count where user is set */
	int64_t umask, nice;	   /* or CONFIG_UNSET */
	int64_t no_new_privs;
	struct limit_list limits;

	/* What it inherits, KEY=VALUE; no key: that of who started it. NULL:
	 * muster's own. */
	char **environment;

	/* Worked out from the above: what to execute (never searched again; in
	 * cwd when relative) and its argv. */
	char *program;
	char **argv;
};

/* Where and why a configuration is wrong: one sentence for people. */
struct config_error {
	char text[CONFIG_MESSAGE_SIZE];
};

/* What relative paths and programs without a slash are resolved against. */
struct config_place {
	char directory[CONFIG_PATH_SIZE]; /* absolute */
	const char *search;		  /* as PATH, borrowed, or NULL */
	/* Which env_NAME of a file counts; borrowed, or NULL. */
	const char *env_name;
	/* How messages call the file that is read; NULL: by its path. */
	const char *shown;
	/* Applications that exist already, by name; NULL: there are none. What
	 * it gives is borrowed. */
	const struct app_config *(*find)(const char *name, void *data);
	void *find_data;
};

/*
 * The calling process's directory and PATH.
 * Returns 0 or what getcwd said. The strings of the environment are borrowed.
 */
int config_place_init(struct config_place *ret_place);

/*
 * Checks and completes one application. `object` is borrowed. `where` goes in
 * front of keys in messages ("apps[2]"; "" for none). `place` is NULL for a
 * sealed configuration (made by config_to_json): then no path is resolved, no
 * program searched and no user looked up.
 * Returns 0 and a new configuration; -EINVAL: wrong, or -ENOENT: a user or
 * group that isn't there, `ret_error` says what; -ENOMEM.
 */
int config_from_json(const json_t *object, const struct config_place *place,
	const char *where, struct app_config **ret_config,
	struct config_error *ret_error);

/*
 * The complete configuration as JSON: the sealed form, from which the same is
 * built again anywhere, and itself a valid entry of a file. New reference, or
 * NULL without memory.
 */
json_t *config_to_json(const struct app_config *config);

/* Frees it and clears the pointer; accepts NULL. */
void config_free(struct app_config **config);

/* What it takes to get from `old` to `new`: the greatest of what each changed
 * key needs. KEY_CHANGE_FIXED without memory. */
enum key_change config_compare(
	const struct app_config *old, const struct app_config *new);

/* A portion of `count`: at least 1. */
uint32_t config_portion_of(struct portion portion, uint32_t count);

/*
 * The file that a stream of the worker `instance` goes to. Returns false:
 * there is none, or its path has no room.
 */
bool config_log_path(const struct app_config *config, bool is_error,
	uint32_t instance, char *ret_path, size_t size);

/*
 * A worker's environment before muster's own variables: the configuration's
 * own, else `base` (KEY=VALUE, ending with NULL), without what muster sets
 * itself (MUSTER_*, LISTEN_*, NOTIFY_SOCKET, WATCHDOG_*, NODE_CHANNEL_*,
 * NODE_UNIQUE_ID), then env in the place of equal names. Returns a new list
 * ending with NULL, to be freed by config_free_strings; NULL without memory.
 */
char **config_environment(const struct app_config *config, char *const *base);

/* A copy of `list`, to be freed by config_free_strings. NULL without memory. */
char **config_copy_strings(char *const *list);

/* Frees a list of strings and clears the pointer; accepts NULL. */
void config_free_strings(char ***strings);

#endif
