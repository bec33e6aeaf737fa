/*
 * keeper_client.h: the brain's end of the pair with the keeper.
 *
 * Records leave in the order of the calls, together, when keeper_client_flush
 * is called or the turn of the loop ends, and never block; only DROP and
 * ACK_EXIT, which nobody waits for, leave behind the others: what the socket
 * doesn't take waits in a bounded queue. What arrives is told by hooks, last of
 * all in a turn of the loop, so that the exit of a process is seen after its
 * last words.
 *
 * The vault's entries and the table, as they were at the start, can be asked
 * for by name and number. Loop's thread only; hooks are called from the loop.
 */
#ifndef MUSTER_KEEPER_CLIENT_H
#define MUSTER_KEEPER_CLIENT_H

#include "keeper/keeper_protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct keeper_client;

struct keeper_hooks {
	/* `pidfd` is the hook's from now on. */
	void (*spawned)(uint64_t process, int32_t pid, int pidfd, void *data);
	void (*execed)(uint64_t process, void *data);
	void (*failed)(uint64_t process, enum keeper_stage stage, int error,
		void *data);
	void (*exited)(
		uint64_t process, const struct keeper_row *row, void *data);
	void (*signalled)(int signal, void *data);
	/* A PASS was done: 0 or a negative errno. */
	void (*passed)(const char *name, int result, void *data);
	/* A PUT failed: the vault lacks `name`. */
	void (*put_failed)(const char *name, int error, void *data);
	/* Whether the next brain will be another program: 0 or a negative
	 * errno. */
	void (*renewed)(int result, void *data);
	/* The keeper is gone; nothing is told any more. */
	void (*lost)(void *data);
};

/*
 * Meets the keeper over `fd` (taken over, also on failure): says HELLO, takes
 * all descriptors of the vault and the whole table. Blocks for at most 10 s;
 * for before the loop runs.
 * Returns 0; -EPROTO: it speaks another version; -ETIMEDOUT; -ECONNRESET: it
 * went away; -ENOMEM.
 */
int keeper_client_new(
	struct ev_loop *loop, int fd, struct keeper_client **ret_client);
void keeper_client_free(struct keeper_client **client);

/* Who is told from now on; `hooks` is borrowed for ever. */
void keeper_client_listen(struct keeper_client *client,
	const struct keeper_hooks *hooks, void *data);

/* What the keeper told of the brains before this one: a HELLO. Borrowed. */
const struct keeper_record *keeper_client_hello(
	const struct keeper_client *client);

/* The vault as it was at the start ---------------------------------------- */

/* The descriptor of that name: the caller's from now on. -ENOENT: none, or
 * claimed before. */
int keeper_client_claim(struct keeper_client *client, const char *name);

/*
 * Puts `fd` (given) into the vault as `name` and lets it be claimed here as if
 * it had been there from the start. Errors as of keeper_client_put.
 */
int keeper_client_keep(struct keeper_client *client, const char *name, int fd);

/* The next name that nobody has claimed, or NULL after the last. `*at` starts
 * with 0. Borrowed. */
const char *keeper_client_unclaimed(
	const struct keeper_client *client, size_t *at);

/*
 * For before the loop runs and anything is claimed: drops all that isn't the
 * keeper's own, and waits until it is closed everywhere.
 * Returns 0 or as keeper_client_new.
 */
int keeper_client_clear(struct keeper_client *client);

/* Closes what nobody claimed, and forgets the names. */
void keeper_client_settle(struct keeper_client *client);

/* The table as it was at the start ---------------------------------------- */

struct keeper_process {
	uint64_t process;
	struct keeper_row row;
	int pidfd; /* -1: none, or claimed: who uses it sets -1 */
};

struct keeper_process *keeper_client_processes(
	struct keeper_client *client, size_t *ret_count);

/* Asking ------------------------------------------------------------------ */

/*
 * Keeps `fd` in the vault as `name` (up to 31 bytes). `give`: it is closed here
 * once it is sent, or at once on failure; else it is borrowed.
 * Returns 0; -ENAMETOOLONG; -ENOBUFS: the queue is full (PAIR_QUEUE_MAX);
 * -ENOMEM; -EMFILE: it is borrowed, has to wait, and no copy could be made;
 * -EPIPE: the keeper is gone.
 */
int keeper_client_put(
	struct keeper_client *client, const char *name, int fd, bool give);

/* `description` is given. Errors as above. */
int keeper_client_spawn(
	struct keeper_client *client, uint64_t process, int description);

/* `fd` is given; the vault's `name` is a resume socket. Errors as above. */
int keeper_client_pass(struct keeper_client *client, const char *name, int fd);

/* Asks for the next brain to be executed from `program` (given), on trial; the
 * hook `renewed` tells. Errors as above. */
int keeper_client_renew(struct keeper_client *client, int program);

/* These can't fail but for want of memory or keeper, and then nothing more can
 * be done than is done. */
void keeper_client_drop(struct keeper_client *client, const char *name);
void keeper_client_signal(struct keeper_client *client, uint64_t process,
	int signal, bool whole_group);
void keeper_client_ack_exit(struct keeper_client *client, uint64_t process);
void keeper_client_took(struct keeper_client *client, int signal);
void keeper_client_up(struct keeper_client *client);

/*
 * The last thing that a brain says: the keeper ends with `code`. All that waits
 * is sent first; the one call that may block, for at most 10 s.
 */
void keeper_client_end(struct keeper_client *client, int code);

/* Sends what waits, as far as the socket takes it. Returns 0; -EAGAIN: some is
 * left and leaves by and by; -EPIPE: the keeper is gone. */
int keeper_client_flush(struct keeper_client *client);

#endif
