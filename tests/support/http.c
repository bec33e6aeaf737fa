/*
 * http: requests that are counted.
 *
 * Threads, since the test itself has to send signals and watch states while
 * the requests run. Assertions are the test's: a thread must not call
 * Criterion.
 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
	ANSWER_MAX = 8192,
	TIMEOUT_S = 10,
	THREADS_MAX = 16,
};

struct load {
	pthread_t threads[THREADS_MAX];
	int count;
	int port;
	const char *path;
	bool keep_alive;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	struct load_counts counts;
};

int
http_connect(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = TIMEOUT_S};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* The whole length of the answer, or 0 while its head isn't complete. */
static size_t
answer_size(const char *answer)
{
	const char *head = strstr(answer, "\r\n\r\n");
	const char *length = strcasestr(answer, "content-length:");

	if (head == NULL || length == NULL || length > head)
		return 0;
	return (size_t)(head + 4 - answer) + strtoul(length + 15, NULL, 10);
}

/* Reads one answer to `answer`; 1, 0 (nothing came) or -1 (broken off). */
static int
read_answer(int fd, char answer[ANSWER_MAX + 1])
{
	size_t size = 0;

	for (;;) {
		answer[size] = '\0';
		size_t whole = answer_size(answer);
		if (whole > 0 && size >= whole)
			return 1;
		ssize_t got = recv(fd, answer + size, ANSWER_MAX - size, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 && errno == EAGAIN)
			return -1;
		if (got <= 0)
			return size == 0 ? 0 : -1;
		size += (size_t)got;
	}
}

int
http_get(int fd, const char *path, char *ret_body, size_t size, bool *ret_open)
{
	int status;
	char text[512];
	char answer[ANSWER_MAX + 1];
	int length = snprintf(text, sizeof(text),
		"GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);

	*ret_open = false;
	if (send(fd, text, (size_t)length, MSG_NOSIGNAL) != length)
		return 0;
	errno = 0;
	int result = read_answer(fd, answer);
	if (result <= 0)
		return result;
	if (sscanf(answer, "HTTP/1.%*d %d", &status) != 1)
		return -1;
	const char *head = strstr(answer, "\r\n\r\n");
	snprintf(ret_body, size, "%s", head + 4);
	const char *last = strcasestr(answer, "connection: close");
	*ret_open = last == NULL || last > head;
	return status;
}

static void
count_one(struct load *load, int status, const char *what)
{
	struct load_counts *counts = &load->counts;

	pthread_mutex_lock(&load->lock);
	if (status == 200) {
		counts->good++;
	} else if (counts->failed++ == 0) {
		snprintf(counts->first_failure, sizeof(counts->first_failure),
			"%s: status %d, %s", what, status, strerror(errno));
	}
	pthread_cond_broadcast(&load->changed);
	pthread_mutex_unlock(&load->lock);
}

static bool
is_stopped(struct load *load)
{
	pthread_mutex_lock(&load->lock);
	bool stop = load->stop;
	pthread_mutex_unlock(&load->lock);
	return stop;
}

/* One request; `*fd` is the connection that may be used again, or -1. */
static void
one_request(struct load *load, int *fd)
{
	bool open = false;
	char body[64];
	bool reused = *fd >= 0;

	if (!reused && (*fd = http_connect(load->port)) < 0) {
		count_one(load, -1, "connect");
		return;
	}
	int status = http_get(*fd, load->path, body, sizeof(body), &open);
	if (!open || !load->keep_alive) {
		close(*fd);
		*fd = -1;
	}
	/* The server closed it between two requests: nothing was lost. */
	if (status == 0 && reused) {
		one_request(load, fd);
		return;
	}
	count_one(load, status, "answer");
}

static void *
ask(void *data)
{
	struct load *load = data;
	int fd = -1;

	while (!is_stopped(load))
		one_request(load, &fd);
	if (fd >= 0)
		close(fd);
	return NULL;
}

struct load *
load_start(int port, int threads, const char *path, bool keep_alive)
{
	pthread_condattr_t attributes;
	struct load *load = calloc(1, sizeof(*load));

	if (load == NULL)
		abort();
	load->port = port;
	load->path = path;
	load->keep_alive = keep_alive;
	pthread_mutex_init(&load->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&load->changed, &attributes);
	for (; load->count < threads && load->count < THREADS_MAX;
		load->count++)
		if (pthread_create(
			    &load->threads[load->count], NULL, ask, load) != 0)
			abort();
	return load;
}

bool
load_wait(struct load *load, unsigned long count)
{
	int result = 0;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&load->lock);
	count += load->counts.good;
	while (load->counts.good < count && result == 0)
		result = pthread_cond_timedwait(
			&load->changed, &load->lock, &until);
	pthread_mutex_unlock(&load->lock);
	return result == 0;
}

void
load_stop(struct load *load, struct load_counts *ret_counts)
{
	pthread_mutex_lock(&load->lock);
	load->stop = true;
	pthread_mutex_unlock(&load->lock);
	for (int i = 0; i < load->count; i++)
		pthread_join(load->threads[i], NULL);
	*ret_counts = load->counts;
	pthread_mutex_destroy(&load->lock);
	pthread_cond_destroy(&load->changed);
	free(load);
}
