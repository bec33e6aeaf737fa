/*
 * Promise: sockets that muster is started with (systemd's socket activation)
 * are adopted, and held as its own are.
 */
#include "support/http.h"
#include "support/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int port;
static char address[32];

static void
setup(void)
{
	char text[16];

	port = run_free_port();
	snprintf(text, sizeof(text), "%d", port);
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	setenv("ACTIVATE_PORT", text, 1);
	run_use(ACTIVATE);
}

TestSuite(activation, .init = setup, .fini = run_clean, .timeout = 60);

static void
expect_served(void)
{
	char body[64];
	bool is_open;
	int fd = http_connect(port);

	cr_assert_geq(fd, 0);
	cr_expect_eq(http_get(fd, "/", body, sizeof(body), &is_open), 200);
	close(fd);
}

static size_t
count_listeners(struct run *run)
{
	json_t *listing = run_wait_status(run, 1, "ready");
	size_t count = json_array_size(
		json_object_get(json_array_get(listing, 0), "listen"));

	json_decref(listing);
	return count;
}

Test(activation, all_where_nothing_is_configured)
{
	struct run *run = RUN("--wait-ready", "--", HTTP_HELLO);
	pid_t brain = run_brain(run);

	cr_expect_eq(count_listeners(run), 2ul);
	expect_served();
	kill(brain, SIGKILL);
	run_wait_new_brain(run, brain);
	expect_served();
	cr_expect_eq(COMMAND(run, "reload", "all"), 0);
	expect_served();
	run_stop(run);
}

Test(activation, by_address)
{
	struct run *run = RUN("--wait-ready", "-l", address, "--", HTTP_HELLO);

	run_wait(run, RUN_ERR, "which LISTEN_FDS gives, is no application's");
	cr_expect_eq(count_listeners(run), 1ul);
	expect_served();
	run_stop(run);
}

Test(activation, handed_over)
{
	struct run *run = RUN("--wait-ready", "-l", address, "--balance",
		"round-robin", "--", HTTP_HELLO);

	(void)count_listeners(run);
	expect_served();
	run_stop(run);
}

Test(activation, one_socket_is_no_group)
{
	struct run *run = RUN("--wait-ready", "-l", address, "--balance",
		"reuseport", "--", HTTP_HELLO);

	run_wait(run, RUN_ERR, "can't be reuseport");
	run_finish(run, 1);
}
