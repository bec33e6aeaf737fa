/*
 * state.h: what the fleet writes into the ledger, record by record.
 *
 * Everything that a new brain must know and can't ask for elsewhere is here;
 * descriptors are in the keeper's vault, under the names below, and pids and
 * ends of processes are in its table. Times are nanoseconds of CLOCK_MONOTONIC,
 * which goes on when a brain dies.
 *
 * Plain data of fixed size. Each record has room behind it, and brains of
 * different versions work on the same ledger: a field that is added stands at
 * the end, and is 0 where an older brain wrote. Any other change is another
 * STATE_VERSION.
 */
#ifndef MUSTER_STATE_H
#define MUSTER_STATE_H

#include "fleet/keeper_client.h"
#include "mechanism/ledger.h"
#include "mechanism/listener.h"

#include <stdint.h>

enum {
	STATE_VERSION = 4,
	STATE_APPS_MAX = 1024,
	STATE_LISTENERS_MAX = 1024,
	STATE_SLOTS_MAX = KEEPER_PROCESSES_MAX,
	/* Also those whose pipes a grandchild still holds. */
	STATE_PROCESSES_MAX = 2 * KEEPER_PROCESSES_MAX,
	STATE_LOGFILES_MAX = 2 * STATE_APPS_MAX,
	STATE_ADDRESS_SIZE = 128,
	STATE_EXITS_KEPT = 5, /* last ends of a slot */
	STATE_EXITS_MAX = STATE_EXITS_KEPT * STATE_SLOTS_MAX,
	STATE_FAULT_SIZE = 64,
	STATE_TAIL_SIZE = 824, /* bytes of stderr that are remembered */
};

enum state_table {
	STATE_GENERAL, /* one row */
	STATE_APPS,
	STATE_LISTENERS,
	STATE_SLOTS,
	STATE_PROCESSES,
	STATE_LOGFILES, /* struct logfile_state */
	STATE_EXITS,
	STATE_TABLES,
};

/* Names in the vault. Those that end with a point are followed by a number,
 * which is never used twice. */
#define STATE_NULL "null"	    /* /dev/null */
#define STATE_SETTINGS "settings"   /* JSON: what a start says once */
#define STATE_OUTPUT "output"	    /* what output_memory_make makes */
#define STATE_FORMAT "fmt."	    /* the same of a formatted log file */
#define STATE_EVENTS "events"	    /* what event_memory_make makes */
#define STATE_NOTIFY "notify"	    /* the socket of sd_notify */
#define STATE_BUS "bus"		    /* the TCP socket for guests, … */
#define STATE_BUS_WORDS "bus-words" /* … and JSON: its address and token */
#define STATE_CONFIG "config."	    /* sealed configuration, as JSON */
#define STATE_LISTENER "listen."    /* a listening socket */
#define STATE_OUT "out."       /* a process's stdout: the end we read … */
#define STATE_OUT_WORKER "ow." /* … and its own, until the exec */
#define STATE_ERR "err."       /* the same of stderr */
#define STATE_ERR_WORKER "ew." /* */
#define STATE_CHANNEL_WORKER "cw."
#define STATE_RESUME "resume." /* the keeper's end of the resume pair */
#define STATE_PARKED "park."   /* our end of a channel of safe mode */
#define STATE_RESUME_WORKER "rw."
#define STATE_NOTIFY_PIPE "np."	  /* our end of notify_fd's pipe … */
#define STATE_NOTIFY_WORKER "nw." /* … and the worker's */

struct state_general {
	uint64_t next_process; /* numbers to be given next; at least 1 */
	uint32_t next_id;
	uint32_t next_number; /* of applications, configurations, listeners */
	int32_t exit_code;    /* what the keeper shall exit with */
	uint8_t has_exit_code;
	uint8_t is_stopping;
	uint8_t is_at_once;
	uint8_t log_level;	/* 0, or 1 + enum log_level */
	uint32_t max_processes; /* 0: no bound of its own */
	uint32_t reserved;
};

struct state_app {
	uint32_t number;
	uint32_t config;      /* in force */
	uint32_t next_config; /* of the reload under way; 0: none */
	uint32_t instances;   /* wanted */
	uint32_t only;	      /* the reload under way is of this worker alone */
	uint8_t was_started;  /* a process of it was executed once */
	uint8_t is_reloading;
	uint8_t is_first;  /* of those that the supervisor was started for */
	uint8_t is_scaled; /* while the reload under way ran: its number of
			    * instances gives way */
	/* Processes from this number on are new to the reload under way. */
	uint64_t reload_start;
	/* It goes as soon as it has no slots left. */
	uint32_t is_deleted;
	uint32_t has_begun; /* what it depends on was ready: see order.h */
	int64_t cron_due; /* the next time, seconds since 1970; 0: not known */
};

struct state_listener {
	uint32_t number;
	uint32_t app;
	char address[STATE_ADDRESS_SIZE]; /* as configured */
	struct listener_file file;	  /* of a UNIX socket, or zeros */
	/* Of one socket of a group, `reuseport`: the slot that took it last,
	 * and its number in the kernel's group, which never changes, since none
	 * leaves before the address is given up. */
	uint32_t slot;
	uint32_t place;
	uint32_t is_member;
	uint32_t reserved;
};

/* Why a slot without a process has none. */
enum state_rest {
	STATE_RUNS,    /* it shall have one */
	STATE_STOPPED, /* by an operator, autorestart or stop_exit_codes */
	STATE_ERRORED, /* it gave up */
	STATE_REMOVED, /* it goes when its process is gone */
};

struct state_slot {
	uint32_t id;
	uint32_t app;
	uint32_t config; /* what its next process runs */
	uint32_t instance;
	uint32_t generation; /* of its last process */
	uint32_t rest;	     /* enum state_rest */
	uint32_t restarts;
	uint32_t unstable; /* struct restart_history */
	/* The last exit that was noted: one that a brain finds again, because
	 * its predecessor died before it could forget the process, isn't
	 * counted twice. */
	uint64_t exit_process; /* 0: none */
	int64_t exit_wall_ms;
	int32_t exit_status;
	uint8_t exit_by_signal;
	uint8_t has_exit;
	uint8_t reserved[2];
	int64_t start_ns;    /* its next process isn't started before; 0: now */
	uint32_t exits;	     /* how many were written to STATE_EXITS */
	uint32_t stop_waits; /* 0, or 1 + enum stop_reason: see order.h */
	uint64_t messages_in, messages_out; /* of processes that are gone */
};

enum state_role {
	STATE_MAIN,	/* what the slot has */
	STATE_INCOMING, /* a reload's: shall take the slot over */
	STATE_OUTGOING, /* its successor is there */
};

struct state_process {
	uint64_t number;
	uint32_t slot;
	uint32_t config;
	uint32_t generation;
	int32_t pid;	/* 0: not known yet */
	uint8_t state;	/* enum fsm_state */
	uint8_t want;	/* enum fsm_want */
	uint8_t role;	/* enum state_role */
	uint8_t reason; /* enum stop_reason */
	uint8_t failed_start;
	uint8_t is_unkillable;
	uint8_t said_ready;    /* before its exec was told */
	uint8_t was_killed;    /* SIGKILL was sent */
	uint32_t instance;     /* of the slot, which may be gone before it */
	uint8_t was_told;      /* `shutdown` is in its ring, or was taken */
	uint8_t said_stopping; /* it leaves by itself: no signal */
	uint8_t reserved_too[2];
	int64_t deadline_ns; /* 0: none */
	int64_t stop_began_ns;
	int64_t execed_ns;
};

/*
 * How a process ended. The rows of a slot are STATE_EXITS_KEPT from its own
 * row times that on, taken in turn.
 */
struct state_exit {
	uint64_t process;
	uint32_t slot; /* id: the row may have been another slot's */
	uint32_t generation;
	int32_t pid;
	int32_t code;	/* CLD_…; 0: nobody saw how */
	int32_t status; /* exit code or signal */
	uint32_t stage; /* enum keeper_stage of a start that failed, or 0 */
	int32_t error;	/* errno of that */
	uint32_t user_ms, system_ms, memory_kib;
	int64_t uptime_ms; /* -1: it was never executed */
	int64_t wall_ms;   /* since 1970 */
	uint8_t dumped;	   /* with a core dump */
	uint8_t reason;	   /* enum stop_reason: who asked for it */
	uint8_t killed;	   /* SIGKILL was sent by us */
	uint8_t reserved[1];
	uint32_t tail_size;
	char fault[STATE_FAULT_SIZE]; /* what it had done wrong, or "" */
	char tail[STATE_TAIL_SIZE];   /* the end of its stderr */
};

/* The plan for ledger_open; STATE_TABLES of them. */
extern const struct ledger_table state_tables[];

/* Writes `start` (one of the above) and the number into `ret_name`, of
 * KEEPER_NAME_SIZE bytes. */
void state_name(char *ret_name, const char *start, uint64_t number);

#endif
