/*
 * client: threads of counted requests. A failure is judged at once, by the
 * time of the last kill: requests take milliseconds, so a kill within one is
 * its cause. Assertions are the test's.
 */
#include "client.h"

#include "support/http.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	THREADS_MAX = 8,
	PAUSE_US = 2000,
	/* From the kill until the kernel has closed what the process had. */
	DYING_MS = 50,
};

struct client {
	pthread_t threads[THREADS_MAX];
	int count, port;
	pthread_mutex_t lock;
	bool stop;
	double killed_ms; /* when a server was last killed */
	struct client_counts counts;
};

static double
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void
judge(struct client *client, bool good, double begun, const char *how)
{
	double now = now_ms();
	struct client_counts *counts = &client->counts;

	pthread_mutex_lock(&client->lock);
	if (good) {
		counts->good++;
		if (now - begun > counts->longest_ms)
			counts->longest_ms = now - begun;
	} else if (client->killed_ms + DYING_MS >= begun &&
		   client->killed_ms <= now) {
		counts->excused++;
	} else {
		counts->failed++;
		if (counts->first_failure[0] == '\0')
			snprintf(counts->first_failure,
				sizeof(counts->first_failure),
				"%s after "
				"%.0f ms",
				how, now - begun);
	}
	pthread_mutex_unlock(&client->lock);
}

static void
ask(struct client *client, const char *path)
{
	char how[96] = "";
	char body[32];
	bool open = false;
	double begun = now_ms();
	int status = 0;
	int fd = http_connect(client->port);

	if (fd < 0) {
		snprintf(how, sizeof(how), "connect: %s", strerror(errno));
	} else {
		status = http_get(fd, path, body, sizeof(body), &open);
		snprintf(how, sizeof(how), "status %d", status);
		close(fd);
	}
	judge(client, status == 200, begun, how);
}

static void *
run_thread(void *data)
{
	struct client *client = data;
	bool stop = false;

	/* In turn at once and later: a kill finds some half answered. */
	for (unsigned long i = 0; !stop; i++) {
		ask(client, i % 4 == 0 ? "/slow/20" : "/");
		usleep(PAUSE_US);
		pthread_mutex_lock(&client->lock);
		stop = client->stop;
		pthread_mutex_unlock(&client->lock);
	}
	return NULL;
}

struct client *
client_start(int port, int threads)
{
	struct client *client = calloc(1, sizeof(*client));

	if (client == NULL || threads > THREADS_MAX)
		abort();
	client->port = port;
	client->killed_ms = -1e9;
	pthread_mutex_init(&client->lock, NULL);
	for (; client->count < threads; client->count++)
		if (pthread_create(&client->threads[client->count], NULL,
			    run_thread, client) != 0)
			abort();
	return client;
}

void
client_killed(struct client *client)
{
	pthread_mutex_lock(&client->lock);
	client->killed_ms = now_ms();
	pthread_mutex_unlock(&client->lock);
}

void
client_read(struct client *client, struct client_counts *ret_counts)
{
	pthread_mutex_lock(&client->lock);
	*ret_counts = client->counts;
	pthread_mutex_unlock(&client->lock);
}

void
client_stop(struct client **client)
{
	if (*client == NULL)
		return;
	pthread_mutex_lock(&(*client)->lock);
	(*client)->stop = true;
	pthread_mutex_unlock(&(*client)->lock);
	for (int i = 0; i < (*client)->count; i++)
		pthread_join((*client)->threads[i], NULL);
	pthread_mutex_destroy(&(*client)->lock);
	free(*client);
	*client = NULL;
}
