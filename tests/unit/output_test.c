/* From pipes to stdout: lines, styles, back-pressure, ends. */
#include "mechanism/output.h"

#include "base/sys.h"
#include "mechanism/output_memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SLOT = 7,
};

struct world {
	int memory;
	enum line_style style;
	enum line_stream stream;
	struct ev_loop *loop;
	struct output *output;
	int out[2]; /* the supervisor's stdout */
	int pipe[2];
	struct output_pipe *reader;
	int ends;
};

static void
on_end(struct output_pipe *pipe, void *data)
{
	struct world *world = data;

	cr_assert_eq(pipe, world->reader);
	output_pipe_free(&world->reader);
	world->ends++;
}

/* What dead brains had is never tidied up, and no leak either. */
static void
bury(void *thing)
{
	static void *buried[4096];
	static size_t count;

	cr_assert_lt(count, sizeof(buried) / sizeof(*buried));
	buried[count++] = thing;
}

/* What a brain does when it starts. */
static void
begin(struct world *world, int32_t pid, bool is_new)
{
	struct output_source source = {
		{"api", 2, pid, world->stream}, .slot = SLOT, .is_new = is_new};

	bury(world->loop);
	bury(world->output);
	bury(world->reader);
	world->loop = ev_loop_new(EVFLAG_NOENV);
	cr_assert_not_null(world->loop);
	cr_assert_eq(output_new(world->loop, world->out[1], world->style,
			     dup(world->memory), &world->output),
		0);
	cr_assert_eq(output_pipe_new(world->output, dup(world->pipe[0]),
			     &source, on_end, world, &world->reader),
		0);
}

/* A brain is killed: nothing of it is tidied up, and the next one begins. What
 * the keeper holds are the same open files. */
static void
kill_brain(struct world *world)
{
	begin(world, 71, false);
}

static void
set_up(struct world *world, enum line_style style, enum line_stream stream,
	bool is_socket)
{
	memset(world, 0, sizeof(*world));
	signal(SIGPIPE, SIG_IGN);
	world->style = style;
	world->stream = stream;
	world->memory = output_memory_make();
	if (is_socket)
		cr_assert_eq(sys_socketpair(SOCK_STREAM, world->out), 0);
	else
		cr_assert_eq(sys_pipe(world->out, 0), 0);
	cr_assert_eq(sys_pipe(world->pipe, 0), 0);
	begin(world, 71, true);
}

static void
tear_down(struct world *world)
{
	output_pipe_free(&world->reader);
	output_free(&world->output);
	ev_loop_destroy(world->loop);
	close(world->memory);
	close(world->pipe[0]);
}

static void
worker_writes(struct world *world, const void *bytes, size_t size)
{
	cr_assert_eq(write(world->pipe[1], bytes, size), (ssize_t)size);
	ev_run(world->loop, EVRUN_NOWAIT);
}

static void
worker_ends(struct world *world)
{
	close(world->pipe[1]);
	ev_run(world->loop, EVRUN_NOWAIT);
}

static char seen[1 << 20];

/* What stdout was given so far. */
static const char *
printed(struct world *world)
{
	ssize_t n;

	fcntl(world->out[0], F_SETFL, O_NONBLOCK);
	n = read(world->out[0], seen, sizeof(seen) - 1);
	seen[n > 0 ? n : 0] = '\0';
	return seen;
}

static void
expect(enum line_style style, const char *bytes, size_t size, const char *text)
{
	struct world world;

	set_up(&world, style, LINE_STDOUT, false);
	worker_writes(&world, bytes, size);
	worker_ends(&world);
	cr_expect_str_eq(printed(&world), text);
	cr_expect_eq(world.ends, 1);
	tear_down(&world);
}

Test(output, lines_get_their_prefix)
{
	expect(LINE_PREFIXED, "one\ntwo\n", 8, "api.2 | one\napi.2 | two\n");
	expect(LINE_PREFIXED, "\r\n\n", 3, "api.2 | \napi.2 | \n");
	expect(LINE_PREFIXED, "half", 4, "api.2 | half\n");
}

Test(output, what_drives_a_terminal_is_escaped)
{
	expect(LINE_PREFIXED, "a\033[31m\tb\0c\177\n", 12,
		"api.2 | a\\x1b[31m\tb\\x00c\\x7f\n");
	/* Good UTF-8 stays; C1 controls and their lone bytes don't. */
	expect(LINE_PREFIXED, "\xc3\xa4\xc2\x9b\x9b\xff\xe2\x82\xac\n", 10,
		"api.2 | \xc3\xa4\\x9b\\x9b\xff\xe2\x82\xac\n");
	/* An overlong form is no character, so its bytes are looked at. */
	expect(LINE_PREFIXED, "\xe0\x80\x9b\n", 4, "api.2 | \xe0\\x80\\x9b\n");
}

Test(output, raw_is_raw)
{
	expect(LINE_RAW, "a\033[31m\r\nb\x01", 10, "a\033[31m\r\nb\x01");
}

Test(output, json_is_one_object_a_line)
{
	expect(LINE_JSON, "a\"\\\t\x01\xff\xc3\xa4\n", 9,
		"{\"app\":\"api\",\"instance\":2,\"pid\":71,\"stream\":"
		"\"stdout\",\"line\":"
		"\"a\\\"\\\\\\t\\u0001\xef\xbf\xbd\xc3\xa4\""
		"}\n");
}

Test(output, a_line_in_pieces_is_put_together)
{
	struct world world;

	set_up(&world, LINE_PREFIXED, LINE_STDOUT, false);
	for (const char *at = "ab\ncd"; *at; at++)
		worker_writes(&world, at, 1);
	cr_expect_str_eq(printed(&world), "api.2 | ab\n");
	worker_writes(&world, "\n", 1);
	cr_expect_str_eq(printed(&world), "api.2 | cd\n");
	tear_down(&world);
}

Test(output, a_long_line_is_cut_and_marked)
{
	static char line[2 * LINE_PIECE_MAX + 3];
	struct world world;
	const char *text;

	memset(line, 'x', sizeof(line));
	/* A character across the first cut. */
	memcpy(line + LINE_PIECE_MAX - 1, "\xe2\x82\xac", 3);
	line[sizeof(line) - 1] = '\n';
	set_up(&world, LINE_PREFIXED, LINE_STDOUT, false);
	worker_writes(&world, line, sizeof(line));
	text = printed(&world);
	cr_expect_eq(strncmp(text, "api.2 | xxx", 11), 0);
	text = strchr(text, '\n') + 1;
	cr_expect_eq(text - seen, 8 + LINE_PIECE_MAX - 1 + 1);
	cr_expect_eq(strncmp(text, "api.2 + \xe2\x82\xacxx", 13), 0);
	text = strchr(text, '\n') + 1;
	cr_expect_str_eq(text, "api.2 + xxx\n");
	worker_writes(&world, "next\n", 5);
	cr_expect_str_eq(printed(&world), "api.2 | next\n");
	tear_down(&world);
}

static void
full_stdout(bool is_socket)
{
	static char bytes[4096];
	struct world world;
	size_t written = 0, lines = 0, total = 0;
	ssize_t n;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i % 64 == 63 ? '\n' : 'a';
	set_up(&world, LINE_PREFIXED, LINE_STDOUT, is_socket);
	fcntl(world.pipe[1], F_SETFL, O_NONBLOCK);
	/* Nobody reads stdout: in the end the worker's pipe stays full. */
	for (int quiet = 0; quiet < 10;) {
		n = write(world.pipe[1], bytes, sizeof(bytes));
		quiet = n > 0 ? 0 : quiet + 1;
		written += n > 0 ? (size_t)n : 0;
		ev_run(world.loop, EVRUN_NOWAIT);
	}
	cr_expect_lt(written, (size_t)2 << 20);
	cr_expect_leq(output_pending(world.output), (size_t)OUTPUT_PENDING_MAX);
	cr_expect_gt(output_pending(world.output), (size_t)0);
	close(world.pipe[1]);
	/* Somebody reads again: every line comes, and then the end. */
	for (int i = 0; i < 2000; i++) {
		for (const char *at = printed(&world); *at; at++) {
			lines += *at == '\n';
			total++;
		}
		if (world.ends && !*seen)
			break;
		ev_run(world.loop, EVRUN_NOWAIT);
	}
	cr_expect_eq(world.ends, 1);
	cr_expect_eq(lines, written / 64);
	cr_expect_eq(total, written / 64 * (64 + 8));
	tear_down(&world);
}

Test(output, a_full_pipe_holds_the_workers_back)
{
	full_stdout(false);
}

Test(output, a_full_socket_holds_the_workers_back)
{
	full_stdout(true);
}

Test(output, the_flags_of_the_shared_stdout_stay)
{
	struct world world;

	set_up(&world, LINE_PREFIXED, LINE_STDOUT, false);
	cr_expect_eq(fcntl(world.out[1], F_GETFL) & O_NONBLOCK, 0);
	tear_down(&world);
}

Test(output, a_closed_stdout_drops_and_counts)
{
	struct world world;

	set_up(&world, LINE_PREFIXED, LINE_STDOUT, false);
	close(world.out[0]);
	worker_writes(&world, "one\n", 4);
	worker_writes(&world, "two\nthree\n", 10);
	cr_expect_eq(output_dropped(world.output), 3);
	cr_expect_eq(output_pending(world.output), 0);
	worker_ends(&world);
	cr_expect_eq(world.ends, 1);
	tear_down(&world);
}

Test(output, a_file_is_not_written_over)
{
	char path[] = "/tmp/muster-output-XXXXXX", text[64] = "";
	int fd = mkstemp(path);
	struct ev_loop *loop = ev_loop_new(EVFLAG_NOENV);
	struct line_origin origin = {"api", 0, 0, LINE_MESSAGE};
	struct output *output;

	cr_assert_eq(write(fd, "before\n", 7), 7);
	cr_assert_eq(output_new(loop, fd, LINE_PREFIXED, output_memory_make(),
			     &output),
		0);
	output_message(output, &origin, "{\"a\":\n1}", 8);
	cr_expect_gt(pread(fd, text, sizeof(text) - 1, 0), 0);
	cr_expect_str_eq(text, "before\napi.0 > {\"a\":\\x0a1}\n");
	output_free(&output);
	ev_loop_destroy(loop);
	close(fd);
	unlink(path);
}

Test(output, drain_prints_all_and_leaves_a_grandchilds_pipe_open)
{
	struct world world;
	int other;

	set_up(&world, LINE_PREFIXED, LINE_STDERR, false);
	other = dup(world.pipe[1]);
	cr_assert_eq(write(world.pipe[1], "last\nwords", 10), 10);
	close(world.pipe[1]);
	output_pipe_drain(world.reader);
	cr_expect_str_eq(printed(&world), "api.2 | last\napi.2 | words\n");
	cr_expect_eq(world.ends, 0);
	cr_assert_eq(write(other, "orphan\n", 7), 7);
	ev_run(world.loop, EVRUN_NOWAIT);
	cr_expect_str_eq(printed(&world), "api.2 + orphan\n");
	close(other);
	ev_run(world.loop, EVRUN_NOWAIT);
	cr_expect_eq(world.ends, 1);
	tear_down(&world);
}

Test(output, the_tail_keeps_the_last_lines_of_stderr)
{
	char line[32], wide[1000];
	struct world world;
	const char *tail;
	size_t size, lines = 0;

	set_up(&world, LINE_PREFIXED, LINE_STDERR, false);
	output_pipe_tail(world.reader, &size);
	cr_expect_eq(size, 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "line %d\n", i);
		worker_writes(&world, line, strlen(line));
		printed(&world);
	}
	tail = output_pipe_tail(world.reader, &size);
	for (size_t i = 0; i < size; i++)
		lines += tail[i] == '\n';
	cr_expect_eq(lines, OUTPUT_TAIL_LINES);
	cr_expect_eq(strncmp(tail, "line 980\n", 9), 0);
	cr_expect_eq(strncmp(tail + size - 9, "line 999\n", 9), 0);
	memset(wide, 'w', sizeof(wide));
	wide[sizeof(wide) - 1] = '\n';
	for (int i = 0; i < 50; i++) {
		worker_writes(&world, wide, sizeof(wide));
		printed(&world);
	}
	output_pipe_tail(world.reader, &size);
	cr_expect_leq(size, (size_t)OUTPUT_TAIL_BYTES);
	cr_expect_gt(size, (size_t)OUTPUT_TAIL_BYTES / 2);
	tear_down(&world);
}

Test(output, a_socket_is_written_too)
{
	struct world world;

	set_up(&world, LINE_JSON, LINE_STDOUT, true);
	worker_writes(&world, "x\n", 2);
	cr_expect_not_null(strstr(printed(&world), "\"line\":\"x\""));
	tear_down(&world);
}

/* Wherever a text is cut, and whoever reads the two parts, the same comes out.
 */
Test(output, partial_lines_survive_at_every_cut)
{
	static const char text[] = "ab\ncde\r\n\nlonger line\nrest";
	struct world world;

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		for (int kills = 0; kills < 3; kills++) {
			set_up(&world, LINE_PREFIXED, LINE_STDOUT, false);
			worker_writes(&world, text, cut);
			for (int i = 0; i < kills; i++)
				kill_brain(&world);
			worker_writes(
				&world, text + cut, sizeof(text) - 1 - cut);
			worker_ends(&world);
			cr_expect_str_eq(printed(&world),
				"api.2 | ab\napi.2 | cde\napi.2 | \n"
				"api.2 | longer line\napi.2 | rest\n",
				"cut at %zu, %d kills", cut, kills);
			tear_down(&world);
		}
	}
}

/* A line of 40 KiB in small pieces: its marks are the same under many brains.
 */
Test(output, a_long_line_survives)
{
	static char line[40 * 1024];
	struct world world;
	const char *text;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	set_up(&world, LINE_PREFIXED, LINE_STDOUT, false);
	for (size_t i = 0; i < sizeof(line); i += 1024) {
		worker_writes(&world, line + i, 1024);
		kill_brain(&world);
	}
	text = printed(&world);
	cr_expect_eq(strlen(text), sizeof(line) - 1 + 3 * 9);
	cr_expect_eq(strncmp(text, "api.2 | xxx", 11), 0);
	cr_expect_not_null(strstr(text, "\napi.2 + xxx"));
	tear_down(&world);
}

/*
 * Brains die one after the other while stdout is full: nothing is missing, and
 * since each write was noted, nothing is there twice either. The number of the
 * process, which the next brain may not know yet, is the one that was printed.
 */
static void
killed_while_full(enum line_style style, bool knows_pid)
{
	static char bytes[4096 + 1], got[4 << 20], wanted[4 << 20];
	struct world world;
	size_t size = 0, end = 0, record = 0;
	ssize_t n;

	set_up(&world, style, LINE_STDOUT, false);
	fcntl(world.pipe[1], F_SETFL, O_NONBLOCK);
	for (int turn = 0; turn < 400; turn++) {
		/* A line of 64 bytes each: what fits is whole lines. */
		for (size_t i = 0; i + 1 < sizeof(bytes); i += 64)
			snprintf(bytes + i, 65, "%062zu\n\n", record + i / 64);
		n = write(world.pipe[1], bytes, sizeof(bytes) - 1);
		record += n > 0 ? (size_t)n / 64 : 0;
		ev_run(world.loop, EVRUN_NOWAIT);
		if (turn % 10 == 3)
			begin(&world, knows_pid ? 71 : 0, false);
		if (turn % 7 == 6) {
			const char *text = printed(&world);
			size_t length = strlen(text);

			cr_assert_lt(size + length, sizeof(got));
			memcpy(got + size, text, length);
			size += length;
		}
		if (!knows_pid)
			output_pipe_set_pid(world.reader, 71);
	}
	close(world.pipe[1]);
	for (int i = 0; i < 2000 && !world.ends; i++) {
		const char *text = printed(&world);

		memcpy(got + size, text, strlen(text));
		size += strlen(text);
		ev_run(world.loop, EVRUN_NOWAIT);
	}
	memcpy(got + size, printed(&world), strlen(seen));
	size += strlen(seen);
	cr_assert_eq(world.ends, 1);
	for (size_t i = 0; i < record; i++)
		end += (size_t)snprintf(wanted + end, sizeof(wanted) - end,
			style == LINE_JSON
				? "{\"app\":\"api\",\"instance\":2,\"pid\":71,"
				  "\"stream\":\"stdout\",\"line\":\"%062zu\"}\n"
				  "{\"app\":\"api\",\"instance\":2,\"pid\":71,"
				  "\"stream\":\"stdout\",\"line\":\"\"}\n"
				: "api.2 | %062zu\napi.2 | \n",
			i);
	cr_expect_gt(record, 1000u);
	cr_expect_eq(size, end);
	cr_expect_eq(memcmp(got, wanted, end), 0);
	tear_down(&world);
}

Test(output, kills_while_stdout_is_full_lose_and_double_nothing)
{
	killed_while_full(LINE_PREFIXED, true);
	killed_while_full(LINE_JSON, true);
	killed_while_full(LINE_JSON, false);
}

/* Words to the master don't stand in the middle of a batch. */
Test(output, messages_wait_for_the_end_of_a_batch)
{
	static char bytes[60000];
	struct line_origin origin = {"api", 2, 71, LINE_MESSAGE};
	struct world world;
	size_t lines = 0;
	bool found = false;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i % 10 == 9 ? '\n' : 'a';
	set_up(&world, LINE_PREFIXED, LINE_STDOUT, false);
	worker_writes(&world, bytes, sizeof(bytes));
	cr_assert_gt(output_pending(world.output), (size_t)0);
	output_message(world.output, &origin, "1", 1);
	for (int i = 0; i < 100 && output_pending(world.output); i++) {
		for (const char *at = printed(&world); *at; at++)
			lines += *at == '\n';
		found |= strstr(seen, "api.2 > 1\n") != NULL;
		ev_run(world.loop, EVRUN_NOWAIT);
	}
	for (const char *at = printed(&world); *at; at++)
		lines += *at == '\n';
	found |= strstr(seen, "api.2 > 1\n") != NULL;
	cr_expect_eq(lines, sizeof(bytes) / 10 + 1);
	cr_expect(found);
	tear_down(&world);
}

Test(output, the_memory_of_an_ended_process_is_clean)
{
	struct world world;

	set_up(&world, LINE_PREFIXED, LINE_STDOUT, false);
	worker_writes(&world, "half", 4);
	output_pipe_discard(&world.reader);
	kill_brain(&world);
	worker_writes(&world, "new\n", 4);
	cr_expect_str_eq(printed(&world), "api.2 | new\n");
	tear_down(&world);
}
