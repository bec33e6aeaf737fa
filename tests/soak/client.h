/*
 * client.h: HTTP requests each of which ends in one column.
 *
 * A request may fail only when a server was killed while it was under way; the
 * test says when it kills one.
 */
#ifndef TEST_CLIENT_H
#define TEST_CLIENT_H

struct client;

struct client_counts {
	unsigned long good;
	unsigned long excused; /* a server was killed meanwhile */
	unsigned long failed;
	char first_failure[128];
	double longest_ms;
};

/* Starts threads that ask the port, each request on a connection of its own. */
struct client *client_start(int port, int threads);

/* Said right before a server is killed. */
void client_killed(struct client *client);

/* What was counted so far. */
void client_read(struct client *client, struct client_counts *ret_counts);

void client_stop(struct client **client);

#endif
