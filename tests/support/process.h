/*
 * process.h: what /proc tells of processes, for tests.
 */
#ifndef TEST_PROCESS_H
#define TEST_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	PROCESS_CHILDREN_MAX = 512,
	PROCESS_PEERS_MAX = 256,
};

/* The state letter; 'X' when there is no such process. */
char process_state(pid_t pid);

/* The parent, or 0. */
pid_t process_parent(pid_t pid);

/*
 * The children of all threads of `pid`, zombies too, in `ret_pids` of
 * PROCESS_CHILDREN_MAX. Returns how many.
 */
size_t process_children(pid_t pid, pid_t *ret_pids);

/* True when the command line of `pid` begins with `start`. */
bool process_is(pid_t pid, const char *start);

/* Open descriptors of `pid`; -1 when it can't be told. */
int process_descriptors(pid_t pid);

/* How often the main thread of `pid` went to sleep so far; -1: gone. */
long process_waits(pid_t pid);

/*
 * The ports at the far end of the IPv4 connections that `pid` has open, in
 * `ret_ports` of PROCESS_PEERS_MAX. Returns how many.
 */
size_t process_tcp_peers(pid_t pid, uint16_t *ret_ports);

/* Kilobytes of `field` ("Pss", "Private_Dirty") in smaps_rollup; -1: none. */
long process_memory(pid_t pid, const char *field);

#endif
