/*
 * kills.c: what it costs anybody that the brain is killed, again and again: at
 * half of the load that is possible, over HTTP on a shared socket, between two
 * workers, and in a raw log. Nothing may fail, be lost or arrive twice; and how
 * long it takes from the kill to the first answer on the control socket and to
 * the first message that was sent after it.
 *
 * The peak is measured first, for messages and for HTTP alone; then each gets a
 * quarter of its own, so that together they are half of what can be done.
 */
#include "ask.h"
#include "daemon.h"
#include "kills_book.h"
#include "load.h"
#include "measure.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	SERVERS = 2,
	LINES = 1000, /* a second */
	PATIENCE_MS = 60000,
	CALIBRATE_MS = 1000,
};

struct kills {
	unsigned workers;
	int count; /* kills */
	double target_ms;
	struct daemon daemon;
	struct kills_book *book;
	char book_path[64], config_path[80], log_path[80];
	uint16_t port;
	double message_rate, http_rate; /* a second; a quarter of the peak */
	struct figure control, relayed, both;
	struct load_result http;
	uint64_t lost, doubled, sent;
	uint64_t lines, lines_lost, lines_doubled;
};

static void
wait_ms(int ms)
{
	poll(NULL, 0, ms);
}

static void
open_book(struct kills *kills)
{
	int fd;

	strcpy(kills->book_path, "/dev/shm/muster-kills-XXXXXX");
	fd = mkstemp(kills->book_path);
	if (fd < 0 || ftruncate(fd, sizeof(*kills->book)) < 0)
		measure_die(kills->book_path);
	kills->book = mmap(NULL, sizeof(*kills->book), PROT_READ | PROT_WRITE,
		MAP_SHARED, fd, 0);
	if (kills->book == MAP_FAILED)
		measure_die("mmap");
	close(fd);
	snprintf(kills->config_path, sizeof(kills->config_path), "%s.json",
		kills->book_path);
	snprintf(kills->log_path, sizeof(kills->log_path), "%s.log",
		kills->book_path);
}

static void
write_config(struct kills *kills)
{
	char worker[PATH_MAX], server[PATH_MAX];
	FILE *file = fopen(kills->config_path, "we");

	daemon_need("kills_worker", worker);
	daemon_need("../examples/http-hello/http-hello", server);
	if (file == NULL)
		measure_die(kills->config_path);
	fprintf(file,
		"[{\"name\":\"talk\",\"script\":\"%s\",\"args\":[\"%s\"],"
		"\"interpreter\":\"none\",\"instances\":%u,"
		"\"wait_ready\":true,\"listen_timeout\":60000,"
		"\"out_file\":\"%s\"},\n"
		"{\"name\":\"web\",\"script\":\"%s\",\"interpreter\":\"none\","
		"\"instances\":%d,\"listen\":[\"127.0.0.1:%u\"],"
		"\"wait_ready\":true,\"listen_timeout\":60000}]\n",
		worker, kills->book_path, kills->workers, kills->log_path,
		server, SERVERS, kills->port);
	fclose(file);
}

/* Tells the talkers their rate and waits until both have heard it. */
static void
order(struct kills *kills, uint64_t rate, uint64_t lines)
{
	struct kills_book *book = kills->book;
	uint64_t until = measure_now() + PATIENCE_MS * UINT64_C(1000000);

	book->rate = rate;
	book->lines = lines;
	book->order++;
	for (int i = 0; i < KILLS_TALKERS; i++)
		while (book->talkers[i].heard != book->order) {
			if (measure_now() > until)
				daemon_fail(&kills->daemon,
					"a talker doesn't hear");
			wait_ms(1);
		}
}

static uint64_t
arrived(const struct kills_book *book)
{
	return book->talkers[0].expected + book->talkers[1].expected;
}

/* Waits until all that was sent has arrived, or nothing comes any more. */
static void
settle(struct kills *kills)
{
	const struct kills_book *book = kills->book;
	uint64_t last = 0;

	for (int still = 0; still < 3000; still++) {
		if (arrived(book) ==
			book->talkers[0].sent + book->talkers[1].sent)
			return;
		if (arrived(book) != last)
			still = 0;
		last = arrived(book);
		wait_ms(1);
	}
}

static void
start_load(struct kills *kills, struct load *load, double rate)
{
	int error = -ECONNREFUSED;

	load->rate = rate;
	for (int waited = 0; waited < PATIENCE_MS && error < 0; waited += 5) {
		error = load_start(load, kills->port);
		if (error < 0)
			wait_ms(5);
	}
	if (error < 0)
		daemon_fail(&kills->daemon, "the servers aren't reached");
}

static void
start(struct kills *kills)
{
	char musterd[PATH_MAX];
	const char *arguments[] = {kills->config_path, NULL};
	uint64_t until = measure_now() + PATIENCE_MS * UINT64_C(1000000);

	open_book(kills);
	kills->port = ask_free_port();
	write_config(kills);
	daemon_need("../supervisor/musterd", musterd);
	daemon_start(&kills->daemon, musterd, arguments);
	while (kills->book->ready < kills->workers) {
		if (measure_now() > until)
			daemon_fail(&kills->daemon, "not all have started");
		wait_ms(5);
	}
	order(kills, 0, 0);
}

static void
calibrate(struct kills *kills)
{
	struct load load = {0};
	struct load_result result;
	uint64_t before;

	start_load(kills, &load, 0);
	wait_ms(CALIBRATE_MS);
	load_stop(&load, &result);
	kills->http_rate = (double)result.answered * 1e3 / CALIBRATE_MS / 2;
	order(kills, UINT64_MAX, 0);
	wait_ms(CALIBRATE_MS / 4);
	before = arrived(kills->book);
	wait_ms(CALIBRATE_MS);
	kills->message_rate = (double)(arrived(kills->book) - before) * 1e3 /
			      CALIBRATE_MS / 2;
	order(kills, 0, 0);
	settle(kills);
	/* Both at once: half of the peak is shared. */
	kills->http_rate /= 2;
	kills->message_rate /= 2;
}

static void
kill_once(struct kills *kills)
{
	struct kills_book *book = kills->book;
	pid_t brain = daemon_brain(&kills->daemon, 0);
	uint64_t killed, until;
	double control, relayed;

	if (brain == 0)
		daemon_fail(&kills->daemon, "there is no brain");
	killed = measure_now();
	until = killed + PATIENCE_MS * UINT64_C(1000000);
	book->killed_ns = killed;
	book->relayed_ns = 0;
	if (kill(brain, SIGKILL) < 0)
		measure_die("kill");
	/* One that the dying brain had still accepted ends at once. */
	while (!ask_supervisor(&kills->daemon, "ping", PATIENCE_MS))
		if (measure_now() > until)
			daemon_fail(&kills->daemon, "no new brain answers");
	control = (double)(measure_now() - killed) / 1e6;
	while (book->relayed_ns == 0) {
		if (measure_now() > until)
			daemon_fail(&kills->daemon, "nothing is relayed");
		wait_ms(1);
	}
	relayed = (double)(book->relayed_ns - killed) / 1e6;
	figure_add(&kills->control, control);
	figure_add(&kills->relayed, relayed);
	figure_add(&kills->both, control > relayed ? control : relayed);
}

/* Each record is its own number, or something is missing or twice. */
static void
check_log(struct kills *kills)
{
	char line[KILLS_LINE + 1] = "";
	uint64_t expected = 0;
	FILE *log = fopen(kills->log_path, "re");

	while (log != NULL && fread(line, KILLS_LINE, 1, log) == 1) {
		uint64_t number = strtoull(line, NULL, 10);

		if (number < expected)
			kills->lines_doubled++;
		else
			kills->lines_lost += number - expected;
		if (number >= expected)
			expected = number + 1;
	}
	if (log != NULL)
		fclose(log);
	kills->lines = kills->book->printed;
	if (kills->lines > expected)
		kills->lines_lost += kills->lines - expected;
}

static void
finish(struct kills *kills)
{
	for (int i = 0; i < KILLS_TALKERS; i++) {
		const struct kills_talker *talker = &kills->book->talkers[i];
		const struct kills_talker *other = &kills->book->talkers[1 - i];

		kills->sent += other->sent;
		kills->lost += talker->lost + other->sent - talker->expected;
		kills->doubled += talker->doubled;
	}
	daemon_stop(&kills->daemon);
	check_log(kills);
	munmap(kills->book, sizeof(*kills->book));
	unlink(kills->book_path);
	unlink(kills->config_path);
	unlink(kills->log_path);
}

static json_t *
figure_json(struct figure *figure)
{
	double median = figure_median(figure);

	return json_pack("{s:f, s:f}", "median_ms", median, "worst_ms",
		figure->count > 0 ? figure->samples[figure->count - 1] : 0);
}

static bool
print(struct kills *kills, bool json)
{
	double worst, median = figure_median(&kills->both);
	bool clean = kills->lost + kills->doubled + kills->lines_lost +
			     kills->lines_doubled + kills->http.broken ==
		     0;

	worst = kills->both.samples[kills->both.count - 1];
	if (json) {
		report_print_json(json_pack(
			"{s:s, s:i, s:i, s:o, s:o, s:f, s:b, s:f, s:f, s:I, "
			"s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I}",
			"benchmark", "kills", "workers", (int)kills->workers,
			"kills", kills->count, "control",
			figure_json(&kills->control), "relayed",
			figure_json(&kills->relayed), "target_ms",
			kills->target_ms, "reached", median < kills->target_ms,
			"messages_per_second", kills->message_rate,
			"requests_per_second", kills->http_rate, "requests",
			(json_int_t)kills->http.answered, "requests_failed",
			(json_int_t)kills->http.broken, "longest_request_ms",
			kills->http.longest_ms, "messages",
			(json_int_t)kills->sent, "messages_lost",
			(json_int_t)kills->lost, "messages_doubled",
			(json_int_t)kills->doubled, "lines",
			(json_int_t)kills->lines, "lines_lost",
			(json_int_t)kills->lines_lost, "lines_doubled",
			(json_int_t)kills->lines_doubled));
		return clean;
	}
	printf("%d kills of the brain with %u workers, at %.0f messages and "
	       "%.0f requests a second (together half of the peak)\n",
		kills->count, kills->workers, kills->message_rate,
		kills->http_rate);
	printf("  answered and relayed again: median %.1f ms, worst %.1f ms "
	       "(< %.0f ms %s)\n",
		median, worst, kills->target_ms,
		median >= kills->target_ms ? "MISSED"
		: worst < kills->target_ms ? "reached"
					   : "reached by the median");
	printf("    control: median %.1f ms; ", figure_median(&kills->control));
	printf("message: median %.1f ms\n", figure_median(&kills->relayed));
	printf("  HTTP: %llu requests, %llu failed, the longest took %.0f ms\n"
	       "  messages: %llu, %llu lost, %llu doubled\n"
	       "  lines: %llu, %llu lost, %llu doubled\n  %s\n",
		(unsigned long long)kills->http.answered,
		(unsigned long long)kills->http.broken, kills->http.longest_ms,
		(unsigned long long)kills->sent,
		(unsigned long long)kills->lost,
		(unsigned long long)kills->doubled,
		(unsigned long long)kills->lines,
		(unsigned long long)kills->lines_lost,
		(unsigned long long)kills->lines_doubled,
		clean ? "nothing failed (reached)" : "MISSED");
	return clean;
}

static bool
run(unsigned workers, int count, double target_ms, bool json)
{
	struct kills kills = {
		.workers = workers, .count = count, .target_ms = target_ms};
	struct load load = {0};
	bool clean;

	start(&kills);
	calibrate(&kills);
	start_load(&kills, &load, kills.http_rate);
	order(&kills, (uint64_t)(kills.message_rate / KILLS_TALKERS), LINES);
	for (int i = 0; i < count; i++) {
		/* For the new brain to be an old one; not in step with it. */
		wait_ms(100 + rand() % 100);
		kill_once(&kills);
	}
	wait_ms(200);
	order(&kills, 0, 0);
	settle(&kills);
	load_stop(&load, &kills.http);
	finish(&kills);
	clean = print(&kills, json);
	figure_fini(&kills.control);
	figure_fini(&kills.relayed);
	figure_fini(&kills.both);
	return clean;
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {{"quick", no_argument, NULL, 'q'},
		{"kills", required_argument, NULL, 'k'},
		{"workers", required_argument, NULL, 'w'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int option, kills = 100, workers = 0;
	bool help = false, json = false, quick = false;
	bool clean;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q')
			quick = true;
		else if (option == 'k')
			kills = atoi(optarg);
		else if (option == 'w')
			workers = atoi(optarg);
		else if (option == 'j')
			json = true;
		else
			help = true;
	}
	if (quick)
		kills = 20;
	if (help || kills < 1 || kills > REPORT_ROUNDS_MAX || workers < 0 ||
		workers == 1) {
		fprintf(stderr, "usage: kills [--quick] [--kills N] "
				"[--workers N] [--json]\n");
		return 2;
	}
	if (workers > 0)
		return !run((unsigned)workers, kills, workers > 64 ? 500 : 50,
			json);
	clean = run(64, kills, 50, json);
	if (!quick)
		clean = run(1000, kills < 20 ? kills : 20, 500, json) && clean;
	return !clean;
}
