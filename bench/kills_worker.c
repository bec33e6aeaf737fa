/*
 * kills_worker.c: the worker of bench/kills, on the SDK as any program uses it.
 * By its place it is one of two talkers or one of many that only listen.
 *
 *	kills_worker BOOK
 *
 * A talker sends as many messages as its rate allows, in bursts of a
 * millisecond. It never gives a number back: what is sent is to arrive.
 */
#include "kills_book.h"
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <muster.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BODY_SIZE = 64, BURST_MAX = 4096 };

struct worker {
	struct muster *muster;
	struct kills_book *book;
	struct kills_talker *me;
	uint32_t brother;		  /* the other talker's id */
	uint64_t since_ns, sent, printed; /* of the order under way */
	bool leaving;
};

static struct kills_book *
open_book(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *map = mmap(NULL, sizeof(struct kills_book),
		PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		measure_die(path);
	close(fd);
	return map;
}

static void
on_message(
	struct muster *muster, const struct muster_message *message, void *data)
{
	struct worker *worker = data;
	struct kills_talker *me = worker->me;
	uint64_t number, sent_ns;

	(void)muster;
	if (me == NULL || message->from != worker->brother)
		return;
	number = strtoull(message->text + 1, NULL, 10);
	sent_ns = strtoull(message->text + 22, NULL, 10);
	if (number < me->expected) {
		me->doubled++;
		return;
	}
	me->lost += number - me->expected;
	me->expected = number + 1;
	if (worker->book->relayed_ns == 0 && sent_ns > worker->book->killed_ns)
		worker->book->relayed_ns = measure_now();
}

static void
on_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms,
	void *data)
{
	struct worker *worker = data;

	(void)muster;
	(void)reason;
	(void)deadline_ms;
	worker->leaving = true;
}

static void
on_end(struct muster *muster, enum muster_end how, const char *reason,
	void *data)
{
	struct worker *worker = data;

	(void)muster;
	(void)how;
	fprintf(stderr, "the channel ended: %s\n", reason);
	worker->book->ended++;
}

/* Sends what is due by now; false: the queue is full. */
static bool
send_due(struct worker *worker, uint64_t now)
{
	uint64_t rate = worker->book->rate, due = worker->sent + BURST_MAX;
	char body[BODY_SIZE + 1];

	if (rate != UINT64_MAX)
		due = (uint64_t)((double)(now - worker->since_ns) * 1e-9 *
				 (double)rate);
	for (int i = 0; i < BURST_MAX && worker->sent < due; i++) {
		/* [NUMBER,TIME,"…"], each at its place. */
		snprintf(body, sizeof(body), "[%20llu,%20llu,\"%.*s\"]",
			(unsigned long long)worker->me->sent,
			(unsigned long long)now, BODY_SIZE - 46,
			"........................");
		if (muster_send_text(worker->muster, worker->brother, NULL,
			    body, BODY_SIZE) < 0)
			return false;
		worker->sent++;
		worker->me->sent++;
	}
	return true;
}

static void
print_due(struct worker *worker, uint64_t now)
{
	uint64_t due = (uint64_t)((double)(now - worker->since_ns) * 1e-9 *
				  (double)worker->book->lines);
	char line[KILLS_LINE + 1];

	for (; worker->printed < due; worker->printed++) {
		snprintf(line, sizeof(line), "%015llu\n",
			(unsigned long long)worker->book->printed);
		if (write(STDOUT_FILENO, line, KILLS_LINE) != KILLS_LINE)
			exit(1);
		worker->book->printed++;
	}
}

static void
talk(struct worker *worker)
{
	uint64_t now = measure_now();
	bool room;

	if (worker->me->heard != worker->book->order) {
		worker->since_ns = now;
		worker->sent = worker->printed = 0;
		worker->me->heard = worker->book->order;
	}
	room = send_due(worker, now);
	if (worker->me == worker->book->talkers)
		print_due(worker, now);
	/* All it can: only a full queue makes it wait. */
	if (muster_wait(worker->muster,
		    worker->book->rate == UINT64_MAX && room ? 0 : 1) == -EPIPE)
		worker->leaving = true;
}

int
main(int argc, char **argv)
{
	struct worker worker = {0};
	uint32_t instance;

	if (argc != 2 || muster_attach(&worker.muster) < 0)
		return 2;
	worker.book = open_book(argv[1]);
	instance = muster_instance(worker.muster);
	if (instance < KILLS_TALKERS) {
		worker.me = &worker.book->talkers[instance];
		worker.brother = muster_id(worker.muster) +
				 (instance == 0 ? 1 : UINT32_MAX);
	}
	muster_on_message(worker.muster, on_message, &worker);
	muster_on_shutdown(worker.muster, on_shutdown, &worker);
	muster_on_end(worker.muster, on_end, &worker);
	muster_ready(worker.muster);
	worker.book->ready++;
	while (!worker.leaving)
		if (worker.me != NULL)
			talk(&worker);
		else if (muster_wait(worker.muster, -1) == -EPIPE)
			break;
	muster_drain(worker.muster, 3000);
	muster_detach(&worker.muster);
	return 0;
}
