/*
 * guest.c: a program that muster did not start, and that speaks to its workers:
 * it publishes a value, if one is given, and prints what is published to the
 * topics that a pattern matches.
 *
 *	guest ADDRESS PATTERN [TOPIC JSON]
 *
 * ADDRESS is the path of muster.sock, or tcp://HOST:PORT; then MUSTER_TOKEN in
 * the environment holds the token. When the connection ends, since the
 * supervisor's brain was replaced, it joins and subscribes again.
 */
#include <errno.h>
#include <muster.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRIES = 50, PAUSE_US = 100000 };

static void
on_topic(struct muster *muster, const struct muster_publication *publication,
	void *data)
{
	(void)muster;
	(void)data;
	printf("%s %.*s\n", publication->topic, (int)publication->size,
		publication->text);
}

static void
on_undelivered(struct muster *muster, uint64_t id, uint32_t to,
	const char *code, const char *message, void *data)
{
	(void)muster;
	(void)id;
	(void)to;
	(void)data;
	fprintf(stderr, "guest: %s (%s)\n", message, code);
}

/* Joins, publishes and listens until the connection ends. */
static int
visit(char **arguments, const char *topic, const char *text)
{
	struct muster *muster;
	int result = muster_join(arguments[1], getenv("MUSTER_TOKEN"), &muster);

	if (result < 0)
		return result;
	muster_on_undelivered(muster, on_undelivered, NULL);
	result = muster_subscribe(muster, arguments[2], on_topic, NULL);
	if (result == 0 && topic)
		result = muster_publish_text(muster, topic, text, strlen(text));
	if (result == 0) {
		printf("guest %u\n", muster_id(muster));
		result = muster_run(muster);
	}
	muster_detach(&muster);
	return result;
}

int
main(int argc, char **argv)
{
	const char *topic = argc == 5 ? argv[3] : NULL;
	int result = -EINVAL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3 && argc != 5) {
		fprintf(stderr, "usage: guest ADDRESS PATTERN [TOPIC JSON]\n");
		return 2;
	}
	for (int tries = 0; tries < TRIES; tries++) {
		result = visit(argv, topic, argv[4]);
		if (result == -EINVAL || result == -EACCES)
			break;
		if (result == -EPIPE) {
			topic = NULL; /* once is enough */
			tries = 0;
		} else if (tries == 0 && topic) {
			break; /* it was never there */
		}
		(void)usleep(PAUSE_US);
	}
	fprintf(stderr, "guest: %s\n", strerror(-result));
	return 1;
}
