/*
 * Promise: programs outside may join, over the UNIX socket or over TCP with a
 * token: they speak to workers, and neither rule nor hinder them.
 *
 * The guests here write frames by hand but for those on the SDK.
 */
#include "fixtures/wire.h"
#include "support/run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <muster.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TOKEN "0123456789abcdef0123456789abcdef"

enum {
	GUESTS_MAX = 1024, /* as the manual says */
	MANY = 10000,
};

static char token_file[64];

static void
remove_token(void)
{
	run_clean();
	if (token_file[0] != '\0')
		(void)unlink(token_file);
	token_file[0] = '\0';
}

TestSuite(guests, .fini = remove_token, .timeout = 120);

static const char *
write_token(const char *text)
{
	int fd;

	snprintf(token_file, sizeof token_file, "/tmp/muster-token-XXXXXX");
	fd = mkstemp(token_file);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return token_file;
}

static char bus[64];
static int port;

static const char *
free_bus(void)
{
	port = run_free_port();
	snprintf(bus, sizeof bus, "tcp://127.0.0.1:%d", port);
	return bus;
}

static int
connect_unix(struct run *run)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/muster.sock",
		run_home(run));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int
connect_bus(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Without waiting for the other side, which may have enough. */
static int
connect_bus_soon(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ||
		errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/* The next frame's text, with the topic in front; "" at the end. */
static const char *
hear(struct wire *wire)
{
	static char text[65536];
	struct wire_frame frame;

	while (!wire_peek(wire, &frame))
		if (wire_read(wire, RUN_DEADLINE_MS) <= 0)
			return "";
	snprintf(text, sizeof(text), "%.*s%.*s", (int)frame.name_size,
		frame.name, (int)frame.body_size, frame.body);
	wire_drop(wire);
	return text;
}

static void
say(struct wire *wire, uint8_t kind, uint32_t to, const char *name,
	const char *body)
{
	struct wire_frame frame = {.kind = kind,
		.to = to,
		.id = 7,
		.name = name,
		.body = body,
		.body_size = strlen(body)};

	cr_assert(wire_send(wire, &frame));
}

static const char *
ask(struct wire *wire, const char *body)
{
	say(wire, WIRE_REQUEST, 0, NULL, body);
	return hear(wire);
}

static void
expect(const char *text, const char *part)
{
	cr_expect_not_null(strstr(text, part), "%s in: %s", part, text);
}

static void
hang_up(struct wire *wire)
{
	close(wire->fd);
	free(wire->in);
	*wire = (struct wire){.fd = -1};
}

#define HELLO_TOKEN                                                            \
	"{\"method\":\"hello\",\"params\":{\"protocol\":1,\"token\":\"" TOKEN  \
	"\"}}"

static void
wait_joined(struct run *run, size_t count)
{
	run_wait_count(run, RUN_OUT, "got kind=3 from=0", count);
}

/* What a guest may do ------------------------------------------------------ */

static void
check_guest(struct run *run, struct wire *wire, const char *hello)
{
	const char *text = ask(wire, hello);
	unsigned int id = 0;
	char line[128];

	cr_assert_eq(
		sscanf(strstr(text, "\"id\":") ? strstr(text, "\"id\":") : "",
			"\"id\":%u", &id),
		1, "%s", text);
	cr_expect_geq(id, 0x40000000u);
	expect(ask(wire, "{\"method\":\"workers\"}"), "\"api\"");
	for (const char *const *method = (const char *const[]){"ls", "ping",
		     "reload", "stop", "kill", "events", "start", "logs", NULL};
		*method != NULL; method++) {
		snprintf(line, sizeof line, "{\"method\":\"%s\"}", *method);
		expect(ask(wire, line), "\"denied\"");
	}
	expect(ask(wire, "{\"method\":\"no such\"}"), "\"unknown-method\"");
	expect(ask(wire, "{\"method\":\"subscribe\",\"params\":"
			 "{\"topic\":\"back.>\"}}"),
		"{}");
	say(wire, WIRE_MESSAGE, WIRE_ALL, NULL, "1");
	expect(hear(wire), "\"bad-request\"");
	say(wire, WIRE_REQUEST, WIRE_ANY, NULL, "1");
	expect(hear(wire), "\"bad-request\"");
	say(wire, WIRE_REQUEST, WIRE_ANY, "api", "\"echo me\"");
	expect(hear(wire), "\"echo me\"");
	say(wire, WIRE_MESSAGE, WIRE_ALL, "api", "\"to all\"");
	snprintf(line, sizeof line, "got kind=1 from=%u to=4294967295", id);
	run_wait_count(run, RUN_OUT, line, 2);
	say(wire, WIRE_PUBLISH, 0, "out.x", "\"published\"");
	snprintf(line, sizeof line, "got kind=5 from=%u", id);
	run_wait_count(run, RUN_OUT, line, 1);
	cr_expect_eq(COMMAND(run, "publish", "back.1", "5"), 0);
	cr_expect_str_eq(hear(wire), "back.15");
	snprintf(line, sizeof line, "%u", id);
	cr_expect_eq(COMMAND(run, "send", line, "6"), 0);
	cr_expect_str_eq(hear(wire), "6");
	cr_expect_eq(COMMAND(run, "request", line, "7"), 1);
	expect(run_said(run), "bad-request");
}

Test(guests, over_the_unix_socket)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE, "join",
		"0/subscribe=out.*", "echo");
	struct wire wire;

	wait_joined(run, 3);
	wire = (struct wire){.fd = connect_unix(run)};
	check_guest(run, &wire,
		"{\"method\":\"hello\",\"params\":"
		"{\"protocol\":1,\"role\":\"guest\"}}");
	hang_up(&wire);
	run_stop(run);
}

Test(guests, over_tcp_with_the_token)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--bus", free_bus(),
		"--bus-token-file", write_token(TOKEN "\nanother line\n"), "--",
		ROGUE, "join", "0/subscribe=out.*", "echo");
	struct wire wire;

	wait_joined(run, 3);
	wire = (struct wire){.fd = connect_bus()};
	check_guest(run, &wire, HELLO_TOKEN);
	hang_up(&wire);
	run_stop(run);
}

/* Who is let in ------------------------------------------------------------ */

Test(guests, who_has_no_right_to_come_in_over_tcp)
{
	static const char *const wrong[] = {
		"{\"method\":\"hello\",\"params\":{\"protocol\":1}}",
		"{\"method\":\"hello\",\"params\":{\"protocol\":1,\"token\":"
		"\"\"}}",
		"{\"method\":\"hello\",\"params\":{\"protocol\":1,\"token\":1}"
		"}",
		("{\"method\":\"hello\",\"params\":{\"protocol\":1,\"token\":"
		 "\"" TOKEN "0\"}}"),
		("{\"method\":\"hello\",\"params\":{\"protocol\":1,\"token\":"
		 "\"" TOKEN "\\u0000\"}}"),
		("{\"method\":\"hello\",\"params\":{\"protocol\":1,\"token\":"
		 "\"0123456789abcdef0123456789abcdee\"}}"),
		("{\"method\":\"hello\",\"params\":{\"protocol\":1,\"role\":"
		 "\"operator\",\"token\":\"" TOKEN "\"}}"),
		("{\"method\":\"hello\",\"params\":{\"protocol\":1,\"role\":"
		 "\"primary\",\"token\":\"" TOKEN "\"}}"),
		"{\"method\":\"ls\"}", "7"};
	struct run *run = RUN("--name", "api", "--bus", free_bus(),
		"--bus-token-file", write_token(TOKEN), "--", ROGUE, "join");
	struct wire wire;

	wait_joined(run, 1);
	run_mark(run);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		wire = (struct wire){.fd = connect_bus()};
		expect(ask(&wire, wrong[i]), "\"denied\"");
		cr_expect_str_eq(hear(&wire), "", "%s", wrong[i]);
		hang_up(&wire);
	}
	wire = (struct wire){.fd = connect_bus()};
	say(&wire, WIRE_PUBLISH, 0, "t", "1");
	expect(hear(&wire), "\"denied\"");
	hang_up(&wire);
	/* One that says nothing is let go after 5 s. */
	wire = (struct wire){.fd = connect_bus()};
	cr_expect_str_eq(hear(&wire), "");
	hang_up(&wire);
	run_check_mark(run);
	expect(run_text(run, RUN_ERR), "had a wrong token");
	run_stop(run);
}

static int
run_code(const char *const *arguments)
{
	struct run *run = run_start(arguments);
	int code = run_wait_exit(run);

	cr_expect_gt(run_count(run, RUN_ERR, "bus"), 0u, "%s",
		run_text(run, RUN_ERR));
	run_finish(run, code);
	return code;
}

Test(guests, a_bus_that_can_not_be)
{
	int held;
	char text[64];

	cr_expect_eq(run_code((const char *const[]){
			     "--bus", free_bus(), "--", ROGUE, NULL}),
		1);
	cr_expect_eq(run_code((const char *const[]){"--bus", free_bus(),
			     "--bus-token-file", "/nowhere/token", "--", ROGUE,
			     NULL}),
		1);
	cr_expect_eq(run_code((const char *const[]){"--bus", free_bus(),
			     "--bus-token-file", write_token("short\n"), "--",
			     ROGUE, NULL}),
		1);
	unlink(token_file);
	write_token(TOKEN);
	for (const char *const *bad = (const char *const[]){"unix:///tmp/x",
		     "udp://1:2", "tcp://127.0.0.1:0", "nonsense", NULL};
		*bad != NULL; bad++)
		cr_expect_eq(run_code((const char *const[]){"--bus", *bad,
				     "--bus-token-file", token_file, "--",
				     ROGUE, NULL}),
			1);
	free_bus();
	held = run_hold_port(port);
	snprintf(text, sizeof text, "tcp://127.0.0.1:%d", port);
	cr_expect_eq(
		run_code((const char *const[]){"--bus", text,
			"--bus-token-file", token_file, "--", ROGUE, NULL}),
		1);
	close(held);
}

/* Many, and bad ones ------------------------------------------------------- */

static bool
is_admitted(int fd, const char *hello)
{
	struct wire wire = {.fd = fd};
	bool admitted = fd >= 0 && strstr(ask(&wire, hello), "\"id\"");

	free(wire.in);
	return admitted;
}

static void
allow_files(rlim_t count)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < count)
		cr_skip_test("too few descriptors for this test");
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

Test(guests, so_many_and_no_more)
{
	static int fds[GUESTS_MAX];
	struct run *run = RUN("--name", "api", "--", ROGUE, "join");
	const char *hello =
		"{\"method\":\"hello\",\"params\":{\"protocol\":1}}";
	struct wire wire;

	allow_files(GUESTS_MAX + 100);
	wait_joined(run, 1);
	for (int i = 0; i < GUESTS_MAX; i++) {
		fds[i] = connect_unix(run);
		cr_assert(is_admitted(fds[i], hello), "guest %d", i);
	}
	wire = (struct wire){.fd = connect_unix(run)};
	expect(ask(&wire, hello), "too many guests");
	hang_up(&wire);
	/* Operators have room of their own. */
	cr_expect_eq(COMMAND(run, "ping"), 0);
	close(fds[0]);
	/* One has gone: soon another may come. */
	for (int i = 0;; i++) {
		int fd = connect_unix(run);
		bool admitted = is_admitted(fd, hello);

		close(fd);
		if (admitted)
			break;
		cr_assert_lt(i, 1000);
	}
	for (int i = 1; i < GUESTS_MAX; i++)
		close(fds[i]);
	run_stop(run);
}

/* They come, say nothing, and stay. */
Test(guests, ten_thousand_strangers)
{
	static int fds[MANY];
	struct run *run = RUN("--name", "api", "--bus", free_bus(),
		"--bus-token-file", write_token(TOKEN), "--", ROGUE, "join");

	allow_files(MANY + 200);
	wait_joined(run, 1);
	run_mark(run);
	for (int i = 0; i < MANY; i++)
		fds[i] = connect_bus_soon();
	cr_expect_eq(COMMAND(run, "ping"), 0);
	cr_expect_eq(COMMAND(run, "send", "api", "\"still here\""), 0);
	run_wait(run, RUN_OUT, "\"still here\"");
	for (int i = 0; i < MANY; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	run_check_mark(run);
	run_stop(run);
}

Test(guests, one_that_never_reads_pauses_nobody)
{
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE,
		"counted", "join", "1/subscribe=t", "1/until=last",
		"0/until=go", "0/flood=2:400:100", "0/publish=t:\"first\"",
		"0/send=2:\"x\"");
	struct wire wire, loud;
	char *body = malloc(60001);

	wait_joined(run, 3);
	wire = (struct wire){.fd = connect_unix(run)};
	loud = (struct wire){.fd = connect_unix(run)};
	expect(ask(&wire, "{\"protocol\":1}"), "\"id\"");
	expect(ask(&loud, "{\"protocol\":1}"), "\"id\"");
	expect(ask(&wire, "{\"method\":\"subscribe\",\"params\":"
			  "{\"topic\":\"t\"}}"),
		"{}");
	memset(body, '1', 60000);
	body[60000] = '\0';
	/* Three times what its queue takes; the worker gets all of it. */
	for (int i = 0; i < 400; i++)
		say(&loud, WIRE_PUBLISH, 0, "t", body);
	say(&loud, WIRE_PUBLISH, 0, "t", "\"last\"");
	run_wait(run, RUN_OUT, "flags=0 t \"last\"");
	cr_expect_eq(run_count(run, RUN_OUT, "size=60000 flags=0 t 111"), 400u);
	run_wait(run, RUN_ERR, "it doesn't read what it is sent");
	/* What was written before the end is there, then the end. */
	for (int i = 0; i < 400 && hear(&wire)[0] != '\0'; i++)
		continue;
	cr_expect_str_eq(hear(&wire), "");
	free(body);
	hang_up(&wire);
	hang_up(&loud);
	run_stop(run);
}

/* Each begins the longest frame that there is, and doesn't end it. */
Test(guests, half_frames_keep_no_worker_waiting)
{
	enum { HALVES = 40 };
	struct wire wires[HALVES], last = {.fd = -1};
	struct wire_frame frame = {
		.kind = WIRE_MESSAGE, .to = 1, .size = 16 << 20, .body = ""};
	struct run *run = RUN("-n", "2", "--name", "api", "--", ROGUE,
		"counted", "join", "0/until=go", "0/flood=2:20:12000000");
	uint8_t header[WIRE_HEADER];
	char *part = calloc(1, 20000);

	wait_joined(run, 2);
	wire_pack(header, &frame);
	for (int i = 0; i < HALVES; i++) {
		wires[i] = (struct wire){.fd = connect_unix(run)};
		expect(ask(&wires[i], "{\"protocol\":1}"), "\"id\"");
		cr_assert(wire_write(&wires[i], header, sizeof header));
		cr_assert(wire_write(&wires[i], part, 20000));
	}
	cr_expect_eq(COMMAND(run, "send", "1", "\"go\""), 0);
	run_wait(run, RUN_OUT, "flooded 20");
	run_wait_count(run, RUN_OUT, "api.1 | got kind=1 from=1", 20);
	/* Who doesn't go on is let go, so that another may. */
	last = (struct wire){.fd = connect_unix(run)};
	expect(ask(&last, "{\"protocol\":1}"), "\"id\"");
	run_wait(run, RUN_ERR, "doesn't end it");
	for (int i = 0; i < HALVES; i++)
		hang_up(&wires[i]);
	hang_up(&last);
	free(part);
	run_stop(run);
}

/* What lives on -------------------------------------------------------------
 */

Test(guests, the_bus_outlives_the_brain)
{
	struct run *run = RUN("--name", "api", "--bus", free_bus(),
		"--bus-token-file", write_token(TOKEN), "--", ROGUE, "counted",
		"join", "resume");
	struct wire wire;
	pid_t brain;

	wait_joined(run, 1);
	/* The file is read once. */
	cr_assert_eq(truncate(token_file, 0), 0);
	wire = (struct wire){.fd = connect_bus()};
	expect(ask(&wire, HELLO_TOKEN), "\"id\"");
	brain = run_brain(run);
	kill(brain, SIGKILL);
	cr_expect_str_eq(hear(&wire), "");
	hang_up(&wire);
	/* It listens all the time: this waits for the next brain. */
	wire = (struct wire){.fd = connect_bus()};
	cr_assert_geq(wire.fd, 0);
	expect(ask(&wire, HELLO_TOKEN), "\"id\"");
	say(&wire, WIRE_MESSAGE, 1, NULL, "\"again\"");
	run_wait(run, RUN_OUT, "\"again\"");
	hang_up(&wire);
	run_stop(run);
}

Test(guests, from_a_file)
{
	char path[] = "/tmp/muster-bus-XXXXXX.json";
	int fd = mkstemps(path, 5);
	FILE *file = fdopen(fd, "w");
	struct run *run;
	struct wire wire;

	write_token(TOKEN);
	free_bus();
	fprintf(file,
		"{\"muster\": {\"bus\": \"%s\", \"bus_token_file\": \"%s\"},\n"
		" \"apps\": [{\"name\": \"api\", \"script\": \"%s\",\n"
		"   \"args\": [\"join\"]}]}\n",
		bus, token_file, ROGUE);
	fclose(file);
	run = RUN(path);
	wait_joined(run, 1);
	wire = (struct wire){.fd = connect_bus()};
	expect(ask(&wire, HELLO_TOKEN), "\"id\"");
	hang_up(&wire);

	/* SIGHUP takes another token from then on. */
	unlink(token_file);
	write_token("fedcba9876543210fedcba9876543210");
	file = fopen(path, "w");
	fprintf(file,
		"{\"muster\": {\"bus\": \"%s\", \"bus_token_file\": \"%s\"},\n"
		" \"apps\": [{\"name\": \"api\", \"script\": \"%s\",\n"
		"   \"args\": [\"join\"], \"instances\": 2}]}\n",
		bus, token_file, ROGUE);
	fclose(file);
	run_signal(run, SIGHUP);
	wait_joined(run, 2);
	wire = (struct wire){.fd = connect_bus()};
	expect(ask(&wire, HELLO_TOKEN), "\"denied\"");
	hang_up(&wire);
	unlink(path);
	run_stop(run);
}

/* The SDK --------------------------------------------------------------------
 */

struct told {
	int publications, answers, ends;
	char text[128];
	enum muster_end how;
};

static void
on_topic(struct muster *m, const struct muster_publication *publication,
	void *data)
{
	struct told *told = data;

	(void)m;
	told->publications++;
	snprintf(told->text, sizeof told->text, "%s %.*s", publication->topic,
		(int)publication->size, publication->text);
}

static void
on_answer(struct muster *m, const struct muster_answer *answer, void *data)
{
	struct told *told = data;

	(void)m;
	told->answers++;
	snprintf(told->text, sizeof told->text, "%s",
		answer->code ? answer->code : "");
	if (!answer->code)
		snprintf(told->text, sizeof told->text, "%.*s",
			(int)answer->size, answer->text);
}

static void
on_end(struct muster *m, enum muster_end how, const char *reason, void *data)
{
	struct told *told = data;

	(void)m;
	(void)reason;
	told->ends++;
	told->how = how;
}

#define wait_told(m, condition)                                                \
	for (int i_ = 0; !(condition); i_++) {                                 \
		cr_assert_lt(i_, 2000, "in vain: %s", #condition);             \
		(void)muster_wait((m), 10);                                    \
	}

static void
check_sdk(struct run *run, const char *address, const char *token)
{
	struct muster *m = NULL;
	struct told told = {0};

	cr_assert_eq(muster_join(address, token, &m), 0);
	muster_on_end(m, on_end, &told);
	cr_expect_geq(muster_id(m), 0x40000000u);
	cr_expect_eq(muster_ready(m), -EINVAL);
	cr_assert_eq(muster_request_text(m, MUSTER_ANY, "api", "\"q\"", 3, 5000,
			     on_answer, &told),
		0);
	wait_told(m, told.answers == 1);
	cr_expect_str_eq(told.text, "\"q\"");
	cr_assert_eq(muster_subscribe(m, "back.*", on_topic, &told), 0);
	cr_assert_eq(muster_call(m, "workers", NULL, on_answer, &told), 0);
	wait_told(m, told.answers == 2);
	cr_expect_eq(COMMAND(run, "publish", "back.1", "{\"x\":1}"), 0);
	wait_told(m, told.publications == 1);
	cr_expect_str_eq(told.text, "back.1 {\"x\":1}");
	cr_assert_eq(muster_publish_text(m, "out.sdk", "\"sdk\"", 5), 0);
	cr_assert_eq(muster_drain(m, 5000), 0);
	run_wait(run, RUN_OUT, "flags=0 out.sdk \"sdk\"");
	kill(run_brain(run), SIGKILL);
	wait_told(m, told.ends == 1);
	cr_expect_eq(told.how, MUSTER_END_GONE);
	cr_expect_eq(muster_publish_text(m, "out.sdk", "1", 1), -EPIPE);
	muster_detach(&m);
	/* And joins again. */
	cr_assert_eq(muster_join(address, token, &m), 0);
	muster_detach(&m);
}

Test(guests, on_the_sdk)
{
	struct run *run = RUN("--name", "api", "--bus", free_bus(),
		"--bus-token-file", write_token(TOKEN), "--", ROGUE, "counted",
		"join", "subscribe=out.*", "echo", "resume", "until=never");
	char address[128];
	struct muster *m = NULL;

	wait_joined(run, 2);
	snprintf(address, sizeof address, "unix://%s/muster.sock",
		run_home(run));
	check_sdk(run, address, NULL);
	cr_expect_eq(muster_join(bus, NULL, &m), -EACCES);
	cr_expect_eq(muster_join(bus, "wrong", &m), -EACCES);
	cr_expect_eq(muster_join("nonsense", NULL, &m), -EINVAL);
	cr_expect_eq(muster_join("tcp://127.0.0.1", NULL, &m), -EINVAL);
	cr_expect_eq(muster_join("/nowhere/sock", NULL, &m), -ENOENT);
	cr_expect_null(m);
	cr_assert_eq(muster_join(bus, TOKEN, &m), 0);
	muster_detach(&m);
	run_stop(run);
}

Test(guests, on_the_sdk_over_tcp)
{
	struct run *run = RUN("--name", "api", "--bus", free_bus(),
		"--bus-token-file", write_token(TOKEN), "--", ROGUE, "counted",
		"join", "subscribe=out.*", "echo", "resume", "until=never");

	wait_joined(run, 2);
	check_sdk(run, bus, TOKEN);
	run_stop(run);
}
