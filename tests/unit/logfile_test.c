/* From pipes into files: every byte once, whatever happens to the file. */
#include "mechanism/logfile.h"

#include "base/sys.h"
#include "mechanism/ledger.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LEDGER_SIZE = 1 << 20,
	ROWS = 8,
};

struct worker {
	int pipe[2];
	struct logfile_feed *feed;
	int turns;
};

struct world {
	char folder[64], path[96];
	struct ev_loop *loop;
	int ledger_fd;
	struct ledger *ledger;
	struct logfiles *files;
	struct logfile *file;
	struct worker workers[2];
};

static const struct ledger_table table = {
	.record_size = sizeof(struct logfile_state), .rows = ROWS};

static void
on_turn(void *data)
{
	((struct worker *)data)->turns++;
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

/* What a brain does when it starts; `path` may be one that another had. */
static void
begin(struct world *world)
{
	bury(world->loop);
	bury(world->ledger);
	bury(world->files);
	bury(world->file);
	for (int i = 0; i < 2; i++)
		bury(world->workers[i].feed);
	world->loop = ev_loop_new(EVFLAG_NOENV);
	cr_assert_eq(ledger_open(dup(world->ledger_fd), 1, &table, 1,
			     &world->ledger),
		0);
	cr_assert_eq(logfiles_new(world->loop, world->ledger, 0, world->folder,
			     &world->files),
		0);
	cr_assert_eq(logfile_get(world->files, world->path, &world->file), 0);
	for (int i = 0; i < 2; i++) {
		struct worker *worker = &world->workers[i];

		worker->feed = logfile_feed_new(world->file, worker->pipe[0],
			(uint32_t)i, on_turn, worker);
		cr_assert_not_null(worker->feed);
	}
}

/* A brain is killed: nothing of its memory is tidied up, and the kernel closes
 * its files, which doesn't matter to anybody. */
static void
kill_brain(struct world *world)
{
	ledger_seal(world->ledger);
	begin(world);
}

static void
set_up(struct world *world, const char *path)
{
	memset(world, 0, sizeof(*world));
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	strcpy(world->folder, "/tmp/muster-logfile-XXXXXX");
	cr_assert_not_null(mkdtemp(world->folder));
	if (path)
		strcpy(world->path, path);
	else
		snprintf(world->path, sizeof(world->path), "%s/out.log",
			world->folder);
	world->ledger_fd = sys_memfd("ledger", 0);
	cr_assert_eq(sys_ftruncate(world->ledger_fd, LEDGER_SIZE), 0);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(sys_pipe(world->workers[i].pipe, O_NONBLOCK), 0);
	begin(world);
}

static void
tear_down(struct world *world)
{
	char command[96];

	for (int i = 0; i < 2; i++)
		logfile_feed_free(&world->workers[i].feed);
	logfile_release(&world->file);
	logfiles_free(&world->files);
	ledger_close(&world->ledger);
	ev_loop_destroy(world->loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", world->folder);
	cr_assert_eq(system(command), 0);
}

static void
says(struct world *world, int worker, const char *text)
{
	ssize_t size = (ssize_t)strlen(text);

	cr_assert_eq(write(world->workers[worker].pipe[1], text, strlen(text)),
		size);
}

static ssize_t
take(struct world *world, int worker)
{
	return logfile_take(world->workers[worker].feed, false);
}

static void
expect_file(struct world *world, const char *path, const char *text)
{
	char bytes[4096] = "";
	int fd = open(path ? path : world->path, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_geq(read(fd, bytes, sizeof(bytes) - 1), 0);
	cr_expect_str_eq(bytes, text);
	close(fd);
}

Test(logfile, bytes_go_in_as_they_are)
{
	struct world world;
	struct stat status;

	set_up(&world, NULL);
	says(&world, 0, "one\r\n\033[31mtw");
	cr_expect_eq(take(&world, 0), 12);
	says(&world, 0, "o\n");
	cr_expect_eq(take(&world, 0), 2);
	cr_expect_eq(take(&world, 0), -EAGAIN);
	expect_file(&world, NULL, "one\r\n\033[31mtwo\n");
	cr_expect_eq(stat(world.path, &status), 0);
	cr_expect_eq(status.st_mode & 0137, 0u);
	close(world.workers[0].pipe[1]);
	cr_expect_eq(take(&world, 0), 0);
	tear_down(&world);
}

Test(logfile, what_is_there_stays)
{
	struct world world;
	FILE *file;

	set_up(&world, NULL);
	file = fopen(world.path, "we");
	fputs("before\n", file);
	fclose(file);
	says(&world, 0, "after\n");
	take(&world, 0);
	expect_file(&world, NULL, "before\nafter\n");
	tear_down(&world);
}

/* The next brain goes on where the file ends, whatever was noted. */
Test(logfile, a_killed_brain_leaves_no_gap_and_nothing_twice)
{
	struct world world;
	off_t end;
	int fd;

	set_up(&world, NULL);
	says(&world, 0, "one\n");
	take(&world, 0);
	/* Killed behind the call that moved bytes, in front of the note. */
	says(&world, 0, "two\n");
	fd = open(world.path, O_WRONLY | O_CLOEXEC);
	end = lseek(fd, 0, SEEK_END);
	cr_assert_eq(sys_splice(world.workers[0].pipe[0], fd, &end, 4096), 4);
	close(fd);
	says(&world, 0, "three\n");
	kill_brain(&world);
	cr_expect_eq(take(&world, 0), 6);
	expect_file(&world, NULL, "one\ntwo\nthree\n");
	tear_down(&world);
}

Test(logfile, the_next_brain_knows_whose_line_is_unfinished)
{
	struct world world;

	set_up(&world, NULL);
	says(&world, 1, "half");
	take(&world, 1);
	kill_brain(&world);
	says(&world, 0, "other\n");
	cr_expect_eq(take(&world, 0), -EBUSY);
	says(&world, 1, " and half\n");
	cr_expect_eq(take(&world, 1), 10);
	cr_expect_eq(world.workers[0].turns, 1);
	cr_expect_eq(take(&world, 0), 6);
	expect_file(&world, NULL, "half and half\nother\n");
	tear_down(&world);
}

Test(logfile, a_line_is_interrupted_by_nobody)
{
	struct world world;

	set_up(&world, NULL);
	says(&world, 0, "a1\na");
	take(&world, 0);
	says(&world, 1, "b1\nb2\n");
	cr_expect_eq(take(&world, 1), -EBUSY);
	/* While another waits, a pipe is taken to its line's end only. */
	says(&world, 0, "2\na3\na");
	cr_expect_eq(take(&world, 0), 2);
	cr_expect_eq(world.workers[1].turns, 1);
	cr_expect_eq(take(&world, 1), 6);
	cr_expect_eq(take(&world, 0), 4);
	expect_file(&world, NULL, "a1\na2\nb1\nb2\na3\na");
	tear_down(&world);
}

Test(logfile, a_line_that_does_not_end_is_waited_for_a_moment)
{
	struct world world;

	set_up(&world, NULL);
	says(&world, 0, "prompt: ");
	take(&world, 0);
	says(&world, 1, "b\n");
	cr_expect_eq(take(&world, 1), -EBUSY);
	while (!world.workers[1].turns)
		ev_run(world.loop, EVRUN_ONCE);
	cr_expect_eq(take(&world, 1), 2);
	/* Nobody waits, so nothing wakes the loop up. */
	cr_expect_eq(ev_pending_count(world.loop), 0u);
	cr_expect_eq(ev_run(world.loop, EVRUN_NOWAIT), 0);
	expect_file(&world, NULL, "prompt: b\n");
	tear_down(&world);
}

Test(logfile, who_ends_keeps_nobody_waiting)
{
	struct world world;

	set_up(&world, NULL);
	says(&world, 0, "last wor");
	take(&world, 0);
	says(&world, 1, "b\n");
	cr_expect_eq(take(&world, 1), -EBUSY);
	logfile_feed_free(&world.workers[0].feed);
	cr_expect_eq(world.workers[1].turns, 1);
	cr_expect_eq(take(&world, 1), 2);
	tear_down(&world);
}

Test(logfile, last_words_wait_for_nobody)
{
	struct world world;

	set_up(&world, NULL);
	says(&world, 0, "half");
	take(&world, 0);
	says(&world, 1, "b\n");
	cr_expect_eq(logfile_take(world.workers[1].feed, true), 2);
	expect_file(&world, NULL, "halfb\n");
	tear_down(&world);
}

/* G02 */
Test(logfile, a_removed_file_is_made_anew)
{
	struct world world;

	set_up(&world, NULL);
	says(&world, 0, "one\n");
	take(&world, 0);
	cr_assert_eq(unlink(world.path), 0);
	says(&world, 0, "two\n");
	take(&world, 0);
	expect_file(&world, NULL, "two\n");
	tear_down(&world);
}

Test(logfile, a_renamed_file_is_left_within_a_second_or_by_reopen)
{
	char old[128];
	struct world world;

	set_up(&world, NULL);
	says(&world, 0, "one\n");
	take(&world, 0);
	snprintf(old, sizeof(old), "%s.1", world.path);
	cr_assert_eq(rename(world.path, old), 0);
	says(&world, 0, "two\n");
	take(&world, 0);
	expect_file(&world, old, "one\ntwo\n");
	logfiles_reopen(world.files);
	says(&world, 0, "three\n");
	take(&world, 0);
	expect_file(&world, NULL, "three\n");
	cr_assert_eq(rename(world.path, old), 0);
	poll(NULL, 0, LOGFILE_RETRY_MS + 10); /* the promise is a time */
	says(&world, 0, "four\n");
	take(&world, 0);
	expect_file(&world, NULL, "four\n");
	tear_down(&world);
}

Test(logfile, an_emptied_file_has_no_hole)
{
	struct world world;

	set_up(&world, NULL);
	says(&world, 0, "one\n");
	take(&world, 0);
	cr_assert_eq(truncate(world.path, 0), 0);
	says(&world, 0, "two\n");
	take(&world, 0);
	expect_file(&world, NULL, "two\n");
	tear_down(&world);
}

/* What can't be written is dropped and counted, and then it goes on. */
static void
expect_dropped(struct world *world)
{
	says(world, 0, "lost\n");
	cr_expect_eq(take(world, 0), 5);
	cr_expect_eq(take(world, 0), -EAGAIN);
	cr_expect_eq(logfile_dropped(world->file), 5u);
}

static void
expect_recovery(struct world *world)
{
	logfiles_reopen(world->files);
	says(world, 0, "found\n");
	cr_expect_eq(take(world, 0), 6);
	expect_file(world, NULL, "found\n");
	cr_expect_eq(logfile_dropped(world->file), 5u);
}

Test(logfile, a_folder_in_its_place_stops_nobody)
{
	struct world world;

	set_up(&world, NULL);
	cr_assert_eq(mkdir(world.path, 0700), 0);
	expect_dropped(&world);
	cr_assert_eq(rmdir(world.path), 0);
	expect_recovery(&world);
	tear_down(&world);
}

Test(logfile, a_fifo_in_its_place_stops_nobody)
{
	struct world world;

	set_up(&world, NULL);
	cr_assert_eq(mkfifo(world.path, 0600), 0);
	expect_dropped(&world);
	cr_assert_eq(unlink(world.path), 0);
	expect_recovery(&world);
	tear_down(&world);
}

Test(logfile, links_are_not_followed)
{
	char other[128];
	struct world world;

	set_up(&world, NULL);
	snprintf(other, sizeof(other), "%s/other", world.folder);
	close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	cr_assert_eq(symlink(other, world.path), 0);
	expect_dropped(&world);
	expect_file(&world, other, "");
	cr_assert_eq(unlink(world.path), 0);
	cr_assert_eq(link(other, world.path), 0);
	logfiles_reopen(world.files);
	says(&world, 0, "more\n");
	take(&world, 0);
	expect_file(&world, other, "");
	cr_expect_eq(logfile_dropped(world.file), 10u);
	tear_down(&world);
}

Test(logfile, a_missing_folder_stops_nobody)
{
	struct world world;

	set_up(&world, "/tmp/muster-logfile-missing/deeper/out.log");
	expect_dropped(&world);
	tear_down(&world);
}

Test(logfile, the_log_folder_is_made)
{
	struct world world;
	struct stat status;

	set_up(&world, NULL);
	cr_assert_eq(rmdir(world.folder), 0);
	says(&world, 0, "one\n");
	take(&world, 0);
	expect_file(&world, NULL, "one\n");
	cr_expect_eq(stat(world.folder, &status), 0);
	cr_expect_eq(status.st_mode & 0777, 0700u);
	tear_down(&world);
}

/* G01 */
Test(logfile, a_full_device_drops_and_counts)
{
	struct world world;

	set_up(&world, "/dev/full");
	expect_dropped(&world);
	tear_down(&world);
}

Test(logfile, dev_null_takes_all)
{
	struct world world;

	set_up(&world, "/dev/null");
	says(&world, 0, "one\n");
	cr_expect_eq(take(&world, 0), 4);
	cr_expect_eq(logfile_dropped(world.file), 0u);
	tear_down(&world);
}

static void
set_file_limit(rlim_t bytes)
{
	struct rlimit limit;

	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that gets full in the middle of a batch, and has room again. */
Test(logfile, a_full_disk_stops_nobody_and_recovers)
{
	struct world world;
	ssize_t n, total = 0;

	set_up(&world, NULL);
	set_file_limit(6);
	says(&world, 0, "one\ntwo\nthree\n");
	while ((n = take(&world, 0)) > 0)
		total += n;
	set_file_limit(RLIM_INFINITY);
	cr_expect_eq(n, -EAGAIN);
	cr_expect_eq(total, 14);
	cr_expect_eq(logfile_dropped(world.file), 8u);
	expect_file(&world, NULL, "one\ntw");
	says(&world, 0, "four\n");
	cr_expect_eq(take(&world, 0), 5);
	expect_file(&world, NULL, "one\ntwfour\n");
	tear_down(&world);
}

Test(logfile, one_object_a_path_and_one_row)
{
	struct logfile_state state;
	struct world world;
	struct logfile *again;

	set_up(&world, NULL);
	cr_assert_eq(logfile_get(world.files, world.path, &again), 0);
	cr_expect_eq(again, world.file);
	logfile_release(&again);
	says(&world, 1, "one\n");
	take(&world, 1);
	cr_expect_eq(ledger_read(world.ledger, 0, 0, &state), 0);
	cr_expect_eq(state.offset, 4u);
	cr_expect_eq(state.writer, 2u);
	kill_brain(&world);
	cr_expect_eq(ledger_used(world.ledger, 0), 1u);
	for (int i = 0; i < 2; i++)
		logfile_feed_free(&world.workers[i].feed);
	logfile_release(&world.file);
	cr_expect_eq(ledger_read(world.ledger, 0, 0, &state), -ENOENT);
	tear_down(&world);
}

Test(logfile, the_tail_is_read_from_the_file)
{
	char tail[8];
	struct world world;

	set_up(&world, NULL);
	says(&world, 1, "other\n");
	take(&world, 1);
	says(&world, 0, "a\n");
	take(&world, 0);
	cr_expect_eq(logfile_read_tail(world.workers[0].feed, tail, 8), 2u);
	says(&world, 0, "0123456789\n");
	take(&world, 0);
	cr_expect_eq(logfile_read_tail(world.workers[0].feed, tail, 8), 8u);
	cr_expect_eq(memcmp(tail, "3456789\n", 8), 0);
	logfiles_reopen(world.files);
	cr_expect_eq(memcmp(tail, "3456789\n", 8), 0);
	tear_down(&world);
}
