/*
 * keeper_protocol.h: what keeper and brain say to each other.
 *
 * The pair is a SOCK_SEQPACKET socketpair; each datagram is one record of 64
 * bytes, with at most one descriptor (SCM_RIGHTS). Both ends are non-blocking.
 * Native byte order: both ends are processes of one machine. The first record
 * each way is HELLO; a record of an unknown kind is answered UNSUPPORTED, so
 * that a keeper and a brain of different versions can part in peace.
 *
 * A brain finds its end of the pair at descriptor KEEPER_PAIR_FD, the standard
 * streams of the keeper at 0, 1 and 2, and nothing else open. KEEPER_RUNTIME in
 * its environment names the folder in which this keeper's lock and control
 * socket lie (for a second `run` of one home: run-PID).
 */
#ifndef MUSTER_KEEPER_PROTOCOL_H
#define MUSTER_KEEPER_PROTOCOL_H

#include <stdint.h>
#include <sys/types.h>

enum {
	KEEPER_VERSION = 1,
	KEEPER_PAIR_FD = 3,
	KEEPER_NAME_SIZE = 32,	     /* of a vault name, with its NUL */
	KEEPER_PROCESSES_MAX = 4096, /* rows of the table */
	KEEPER_GIVEN_MAX = 64,	     /* descriptors of LISTEN_FDS */
	KEEPER_VAULT_MAX = 20480,    /* descriptors in the vault */
	KEEPER_ENDS_KEPT = 5,	     /* last ends of brains that HELLO tells */
	KEEPER_CRASH_MS = 10000,     /* a brain that ends sooner after UP … */
	KEEPER_NEVER_UP = 0xffff,    /* in keeper_brain_end.lived */
	KEEPER_TRIAL_MS = 10000,     /* for a new program's brain to be UP */
	KEEPER_LEDGER_SIZE = 64 << 20, /* bytes of the ledger; sparse */
};

#define KEEPER_RUNTIME "MUSTER_RUNTIME"

/* Names of the vault's entries that the keeper makes before the first brain.
 * Where it can write no files, control and lock are missing. */
#define KEEPER_VAULT_LEDGER                                                    \
	"ledger" /* memory file, KEEPER_LEDGER_SIZE, zeros */
#define KEEPER_VAULT_EXCHANGE "exchange" /* memory file, empty (size 0) */
#define KEEPER_VAULT_CONTROL "control"	 /* listening UNIX stream socket */
#define KEEPER_VAULT_LOCK "lock"	 /* the lock file, flock()ed */
#define KEEPER_VAULT_GIVEN "given."	 /* 0 …: what LISTEN_FDS brought */

enum keeper_kind {
	/* both ways */
	KEEPER_HELLO = 1,   /* .hello */
	KEEPER_UNSUPPORTED, /* .result = the kind that was not known */

	/* brain to keeper */
	KEEPER_UP = 16,	 /* ledger read, descriptors taken, loop running */
	KEEPER_PUT,	 /* .name, one descriptor: keep it under this name; an
			    entry of that name is replaced. Answered only on
			    failure, by PUT with .name and .result */
	KEEPER_DROP,	 /* .name: close it. No answer; an unknown name is no
			    error */
	KEEPER_TAKE,	 /* .name "" : send a duplicate of everything. Answer:
			    one GIVEN with a descriptor for each entry, then
			    GIVEN with an empty name and without one */
	KEEPER_LIST,	 /* answer: one PROCESS for each row, with a duplicate
			    of its pidfd, then PROCESS with .process 0 */
	KEEPER_SPAWN,	 /* .process (never used before), one descriptor: the
			    description (child_description.h). Answer: SPAWNED
			    with a duplicate of the pidfd, then EXECED or
			    FAILED, or EXITED where it was killed before its
			    exec; or FAILED alone */
	KEEPER_SIGNAL,	 /* .process, .signal, .whole_group. No answer; a
			    process that has ended is no error */
	KEEPER_ACK_EXIT, /* .process: its exit is noted; the row is freed */
	KEEPER_PASS,	 /* .name = the vault name of a resume socket, one
			    descriptor: send it there with the byte 'R'.
			    Answer: PASS with .name and .result (0 or negative
			    errno; -EAGAIN: the socket is full) */
	KEEPER_TOOK,	 /* .signal: a SIGNALLED was taken on */
	KEEPER_END,	 /* .result = exit code: close, reap and exit */
	KEEPER_RENEW,	 /* one descriptor, an executable file: this brain will
			    end now, and the next is executed from there, on
			    trial. Where that one ends before it is UP, or isn't
			    UP in KEEPER_TRIAL_MS, the file is forgotten, and
			    the next is executed from the file before. So it is
			    where it crashes after UP, before one brain of it
			    has been UP for KEEPER_CRASH_MS. Answer: RENEW with
			    .result (0 or negative errno) */

	/* keeper to brain */
	KEEPER_GIVEN = 64, /* .name, one descriptor */
	KEEPER_PROCESS,	   /* .process, .row; a duplicate of the pidfd */
	KEEPER_SPAWNED,	   /* .process, .row.pid; a duplicate of the pidfd */
	KEEPER_EXECED,	   /* .process: the program runs (or the child died
			      after exec could no longer fail) */
	KEEPER_FAILED,	   /* .process, .failure; the row is freed */
	KEEPER_EXITED,	   /* .process, .row: reaped; repeated to each new brain
			      by PROCESS until ACK_EXIT */
	KEEPER_SIGNALLED,  /* .signal: the keeper got this signal. Repeated
			      signals may arrive as one, TERM, INT and QUIT as
			      often as they came while a brain ran */
	KEEPER_ORPHANS,	   /* .result = how many strangers were reaped since the
			      last such record */
};

/* Where a start failed; .failure.stage. */
enum keeper_stage {
	KEEPER_STAGE_DESCRIPTION = 1, /* unreadable, or an offset is wrong */
	KEEPER_STAGE_TABLE,	      /* no row, or a vault name is unknown */
	KEEPER_STAGE_FORK,
	KEEPER_STAGE_DESCRIPTORS,
	KEEPER_STAGE_SESSION,
	KEEPER_STAGE_LIMITS,
	KEEPER_STAGE_GROUPS, /* supplementary groups */
	KEEPER_STAGE_GROUP,
	KEEPER_STAGE_USER,
	KEEPER_STAGE_DIRECTORY,
	KEEPER_STAGE_EXEC,
};

/* The life of a row as PROCESS and EXITED tell it. */
enum keeper_state {
	KEEPER_STARTING = 1, /* cloned, exec not yet seen */
	KEEPER_RUNNING,
	KEEPER_ENDED, /* reaped; waits for ACK_EXIT */
};

/* What HELLO says of a new program. */
enum keeper_trial {
	KEEPER_TRIAL_NONE,
	KEEPER_TRIAL_RUNS,   /* this brain is it */
	KEEPER_TRIAL_FAILED, /* the brain before this one was it, and ended;
				its .lived tells whether it had been UP */
	KEEPER_TRIAL_LATE, /* … and was killed, since it was not UP in time */
};

/* How a brain ended. */
struct keeper_brain_end {
	uint8_t code;	/* CLD_EXITED, CLD_KILLED or CLD_DUMPED; 0: none yet */
	uint8_t status; /* exit code or signal */
	uint16_t lived; /* tenths of a second after UP, or KEEPER_NEVER_UP */
};

struct keeper_row {
	int32_t pid;
	uint16_t state;	  /* enum keeper_state */
	uint16_t dumped;  /* 1: with a core dump */
	int32_t code;	  /* CLD_EXITED, CLD_KILLED or CLD_DUMPED */
	int32_t status;	  /* exit code or signal number */
	uint32_t user_ms; /* CPU time, of the ended process */
	uint32_t system_ms;
	uint32_t memory_kib; /* largest resident set */
	int32_t never_ran;   /* 1: it was killed before its exec; no EXECED */
	int64_t ended_ns;    /* CLOCK_MONOTONIC when it was reaped */
};

struct keeper_record {
	uint32_t kind;	  /* enum keeper_kind */
	int32_t result;	  /* 0, negative errno, exit code or kind */
	uint64_t process; /* the brain's number of a process; never used twice
			     in the life of a keeper, never 0 */
	union {
		char name[KEEPER_NAME_SIZE];
		struct {
			uint32_t version;
			int32_t pid;	 /* the sender's */
			uint32_t brains; /* how many were started before */
			/* In a row, each a crash (an end without END, and not
			 * by SIGKILL) within KEEPER_CRASH_MS of UP. */
			uint32_t crashes;
			uint32_t trial; /* enum keeper_trial */
			/* The last ends, newest first. */
			struct keeper_brain_end ends[KEEPER_ENDS_KEPT];
		} hello;
		struct keeper_row row;
		struct {
			uint32_t stage; /* enum keeper_stage */
			int32_t error;	/* positive errno */
		} failure;
		struct {
			int32_t signal;
			uint32_t whole_group; /* 1: the process group, by
						 kill(-pgid) while the leader is
						 unreaped; 0: the leader */
		};
		uint8_t room[48];
	};
};

_Static_assert(sizeof(struct keeper_record) == 64, "a record has 64 bytes");

#endif
