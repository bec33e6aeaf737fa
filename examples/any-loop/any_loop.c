/*
 * any_loop.c: a worker whose loop is poll() and nothing else.
 *
 * One descriptor of the handle is watched beside the program's own (here: a
 * timer), muster_dispatch is called when it is readable, and muster_flush
 * before the loop sleeps. It answers each request with what it was asked,
 * greets each sibling that comes, and leaves when it is told.
 */
#include <errno.h>
#include <muster.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct program {
	struct muster *muster;
	bool leaving;
	unsigned ticks;
};

static void
greet(struct program *program, uint32_t id)
{
	json_t *body = json_pack("{s:s}", "text", "hello, neighbour");
	int result = muster_send(program->muster, id, NULL, body);

	if (result < 0)
		printf("can't greet worker %u: %s\n", id, strerror(-result));
	json_decref(body);
}

static void
on_peer(struct muster *muster, uint32_t id, const char *app, bool ready,
	void *data)
{
	(void)muster;
	printf("worker %u of %s is %s\n", id, app, ready ? "ready" : "gone");
	if (ready)
		greet(data, id);
}

/* Those that were here before us. */
static void
on_workers(struct muster *muster, const char *code,
	const struct muster_worker *workers, size_t count, void *data)
{
	if (code)
		printf("can't list the workers: %s\n", code);
	for (size_t i = 0; i < count; i++)
		if (workers[i].id != muster_id(muster) &&
			strcmp(workers[i].state, "ready") == 0)
			greet(data, workers[i].id);
}

static void
on_message(
	struct muster *muster, const struct muster_message *message, void *data)
{
	(void)muster;
	(void)data;
	printf("worker %u says %.*s\n", message->from, (int)message->size,
		message->text);
}

static void
on_request(struct muster *muster, const struct muster_request *request,
	json_t *body, void *data)
{
	struct program *program = data;
	json_t *answer =
		json_pack("{s:i, s:i, s:O}", "worker", (int)muster_id(muster),
			"ticks", (int)program->ticks, "asked", body);

	if (!answer || muster_reply(muster, request->ticket, answer) < 0)
		printf("can't answer worker %u\n", request->ticket.from);
	json_decref(answer);
}

static void
on_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms,
	void *data)
{
	struct program *program = data;

	(void)muster;
	printf("leaving: %s, within %u ms\n", reason, deadline_ms);
	program->leaving = true;
}

static int
make_timer(void)
{
	const struct itimerspec second = {{1, 0}, {1, 0}};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0 && timerfd_settime(fd, 0, &second, NULL) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Returns 0: told to leave; else what went wrong. */
static int
loop(struct program *program)
{
	struct pollfd fds[2] = {
		{.fd = muster_fd(program->muster), .events = POLLIN},
		{.fd = make_timer(), .events = POLLIN},
	};
	int result = 0;

	if (fds[0].fd < 0 || fds[1].fd < 0)
		return -EMFILE;
	while (result == 0 && !program->leaving) {
		uint64_t times;

		(void)muster_flush(program->muster);
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			result = -errno;
		else if (fds[0].revents)
			result = muster_dispatch(program->muster);
		if (fds[1].revents && read(fds[1].fd, &times, sizeof times) > 0)
			program->ticks += (unsigned)times;
	}
	close(fds[1].fd);
	return program->leaving ? 0 : result;
}

int
main(void)
{
	struct program program = {0};
	int result = muster_attach(&program.muster);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (result < 0) {
		fprintf(stderr,
			"any-loop: %s; start it by 'muster run -n 2 -- "
			"any-loop'\n",
			result == -ENOENT ? "not under muster"
					  : strerror(-result));
		return 1;
	}
	muster_on_message(program.muster, on_message, &program);
	muster_on_request_json(program.muster, on_request, &program);
	muster_on_peer(program.muster, on_peer, &program);
	muster_on_shutdown(program.muster, on_shutdown, &program);
	result = muster_ready(program.muster);
	if (result == 0)
		result = muster_workers(
			program.muster, NULL, on_workers, &program);
	if (result == 0)
		result = loop(&program);
	if (result < 0)
		fprintf(stderr, "any-loop: %s\n", strerror(-result));
	/* What was said last should arrive. */
	(void)muster_drain(program.muster, 1000);
	muster_detach(&program.muster);
	return result < 0;
}
