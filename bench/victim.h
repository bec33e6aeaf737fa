/*
 * victim.h: kills a worker such that the client can tell what that cost.
 */
#ifndef BENCH_VICTIM_H
#define BENCH_VICTIM_H

#include "client.h"

#include <sys/types.h>

/*
 * Stops the process `pid`, tells `client` of each TCP connection that it has
 * (client_killed), and kills it. Returns how many connections it had on UNIX
 * sockets, which have no port to be told by; negative when it was gone.
 */
int victim_kill(struct client *client, pid_t pid);

#endif
