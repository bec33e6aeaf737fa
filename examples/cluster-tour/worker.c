/*
 * worker.c: the walk that introductions to clusters show, as one worker.
 *
 * Half a second after its start it tells the master that it is ready; after
 * three seconds worker 1 says hello to worker 2. Whatever it hears it prints,
 * with who said it. The master's part is tour.sh's.
 */
#include <errno.h>
#include <muster_ev.h>
#include <stdio.h>
#include <string.h>

enum {
	SPEAKER = 1, /* the worker that says hello … */
	HEARER = 2,  /* … and to whom */
};

struct worker {
	struct muster *muster;
	struct ev_loop *loop;
	struct muster_ev hook;
	ev_timer ready;
	ev_timer hello;
};

static void
say(struct worker *worker, uint32_t to, const char *text)
{
	json_t *body = json_pack("{s:s}", "text", text);
	int result = muster_send(worker->muster, to, NULL, body);

	if (result < 0)
		printf("can't say \"%s\": %s\n", text, strerror(-result));
	json_decref(body);
}

static void
on_ready_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct worker *worker = timer->data;

	(void)loop;
	(void)events;
	(void)muster_ready(worker->muster);
	say(worker, MUSTER_MASTER, "I am ready");
}

static void
on_hello_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	say(timer->data, HEARER, "Hello from worker 1!");
}

static void
on_message(struct muster *muster, const struct muster_message *message,
	json_t *body, void *data)
{
	const char *text = json_string_value(json_object_get(body, "text"));

	(void)muster;
	(void)data;
	if (!text)
		text = "(no text)";
	if (message->from == MUSTER_MASTER)
		printf("the master says: %s\n", text);
	else
		printf("worker %u says: %s\n", message->from, text);
}

static void
on_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms,
	void *data)
{
	struct worker *worker = data;

	(void)muster;
	(void)deadline_ms;
	printf("leaving: %s\n", reason);
	ev_break(worker->loop, EVBREAK_ALL);
}

int
main(void)
{
	struct worker worker = {.loop = ev_default_loop(EVFLAG_NOENV)};
	int result = muster_attach(&worker.muster);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (result < 0) {
		fprintf(stderr, "cluster-tour: %s; tour.sh starts it\n",
			result == -ENOENT ? "not under muster"
					  : strerror(-result));
		return 1;
	}
	muster_on_message_json(worker.muster, on_message, &worker);
	muster_on_shutdown(worker.muster, on_shutdown, &worker);
	ev_timer_init(&worker.ready, on_ready_time, 0.5, 0);
	ev_timer_init(&worker.hello, on_hello_time, 3, 0);
	worker.ready.data = worker.hello.data = &worker;
	ev_timer_start(worker.loop, &worker.ready);
	if (muster_id(worker.muster) == SPEAKER)
		ev_timer_start(worker.loop, &worker.hello);
	result = muster_ev_start(&worker.hook, worker.loop, worker.muster);
	if (result < 0) {
		fprintf(stderr, "cluster-tour: %s\n", strerror(-result));
		return 1;
	}
	ev_run(worker.loop, 0);
	muster_ev_stop(&worker.hook);
	muster_detach(&worker.muster);
	return 0;
}
