/* A tree that changes under a watch. */
#include "mechanism/watch.h"

#include <criterion/criterion.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_S = 20 };

static char folder[64];
static char seen[1 << 20]; /* "a/b\n", what changed, below the folder */
static struct ev_loop *loop;
static struct watch *watch;

static void
put(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "we");
	cr_assert_not_null(file, "%s", path);
	fputs("x", file);
	fclose(file);
}

static void
make(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	cr_assert_eq(mkdir(path, 0700), 0);
}

static void
on_changed(const char *path, void *data)
{
	(void)data;
	size_t size = strlen(seen);

	snprintf(seen + size, sizeof(seen) - size, "%s\n",
		path ? path + strlen(folder) + 1 : "?");
}

static void
on_late(struct ev_loop *at, ev_timer *timer, int events)
{
	(void)timer;
	(void)events;
	ev_break(at, EVBREAK_ALL);
}

/* Turns the loop until `name` was told. */
static void
expect(const char *name)
{
	ev_timer late;
	char line[256];

	snprintf(line, sizeof(line), "%s\n", name);
	ev_timer_init(&late, on_late, PATIENCE_S, 0.);
	ev_timer_start(loop, &late);
	while (!strstr(seen, line) && ev_is_active(&late))
		ev_run(loop, EVRUN_ONCE);
	cr_expect(strstr(seen, line), "%s is not in: %s", name, seen);
	ev_timer_stop(loop, &late);
}

static void
begin(char *const *paths, char *const *ignore)
{
	cr_assert_eq(watch_new(loop, folder, paths, ignore, on_changed, NULL,
			     &watch),
		0);
}

static void
open_it(void)
{
	snprintf(folder, sizeof(folder), "/tmp/muster-watch-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	loop = ev_loop_new(EVFLAG_AUTO);
	seen[0] = '\0';
	make("src");
	make("src/deep");
	make("node_modules");
}

static void
close_it(void)
{
	char command[128];

	watch_free(&watch);
	ev_loop_destroy(loop);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	cr_expect_eq(system(command), 0);
}

TestSuite(watch, .init = open_it, .fini = close_it, .timeout = 60);

static char *const here[] = {".", NULL};
static char *const ignored[] = {"node_modules", ".*", "src/gen/*", NULL};

Test(watch, all_below_and_what_comes_later)
{
	/* A loop of links ends nowhere. */
	char path[256];
	snprintf(path, sizeof(path), "%s/src/up", folder);
	cr_assert_eq(symlink("..", path), 0);

	begin(here, ignored);
	make("first"); /* told when the tree above was read */
	expect("first");
	put("a");
	expect("a");
	make("probe");
	expect("probe");
	put("src/deep/b");
	expect("src/deep/b");
	make("src/new");
	expect("src/new");
	make("src/mark");
	expect("src/mark"); /* by now src/new is read */
	put("src/new/c");
	expect("src/new/c");
	cr_expect(!strstr(seen, "src/up/"), "%s", seen);
}

Test(watch, what_is_ignored_is_not_told)
{
	begin(here, ignored);
	make("first");
	expect("first");
	put("node_modules/x");
	put(".swap");
	make("src/gen");
	put("src/gen/y");
	put("last");
	expect("last");
	cr_expect(!strstr(seen, "node_modules"), "%s", seen);
	cr_expect(!strstr(seen, ".swap"), "%s", seen);
	cr_expect(!strstr(seen, "gen/y"), "%s", seen);
}

/* What is below a folder that was renamed is told by its new name. */
Test(watch, a_folder_gets_another_name)
{
	char from[256], to[256];

	begin(here, ignored);
	make("first");
	expect("first");
	snprintf(from, sizeof(from), "%s/src", folder);
	snprintf(to, sizeof(to), "%s/lib", folder);
	cr_assert_eq(rename(from, to), 0);
	expect("lib");
	make("mark");
	expect("mark"); /* by now lib is read */
	put("lib/x");
	expect("lib/x");
	put("lib/deep/y");
	expect("lib/deep/y");
}

/* So much at once that the kernel gives up: all is read anew. */
Test(watch, a_storm)
{
	char command[256];

	begin(here, ignored);
	make("storm");
	expect("storm");
	make("read");
	expect("read"); /* by now storm is watched */
	snprintf(command, sizeof(command),
		"cd %s/storm && i=0; while [ $i -lt 10000 ]; do i=$((i + 1)); "
		": >a; rm a; done; mkdir late",
		folder);
	cr_assert_eq(system(command), 0);
	expect("?");
	seen[0] = '\0';
	make("mark");
	expect("mark");
	put("storm/late/z");
	expect("storm/late/z");
}

/* One file, by its name, also when another takes its place. */
Test(watch, a_single_file)
{
	char *const paths[] = {"conf", "src", NULL};
	char from[256], to[256];

	put("conf");
	begin(paths, ignored);
	make("src/first");
	expect("src/first");
	put("other");
	put("conf.new");
	snprintf(from, sizeof(from), "%s/conf.new", folder);
	snprintf(to, sizeof(to), "%s/conf", folder);
	cr_assert_eq(rename(from, to), 0);
	expect("conf");
	cr_expect(!strstr(seen, "other"), "%s", seen);
}
