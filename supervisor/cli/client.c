/*
 * client: an operator on the control socket.
 *
 * Finds the socket by the same rules as the keeper that made it (home.h),
 * introduces itself, and turns the protocol's errors into words and exit codes.
 * What is asked and how the answer looks is the verbs' business. Frames come
 * one by one through client_next(), which also writes: an end that only wrote
 * could block against a supervisor that does the same.
 */
#include "client.h"

#include "base/clock.h"
#include "base/home.h"
#include "base/json.h"
#include "base/sys.h"
#include "escape.h"
#include "verbs.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	PENDING_MAX = 1 << 20, /* bytes queued before client_send waits */
};

struct client {
	struct channel channel;
	const char *verb;
	bool is_probe; /* that nobody is there is no news */
	bool is_quiet; /* nothing is */
	char path[HOME_PATH_SIZE];
	uint64_t id; /* of the last frame */
};

/* Fills in where the socket is; CLI_DONE or CLI_FAILED after a message. */
static int
find_socket(struct client *client)
{
	struct home home;
	int result = home_resolve(&home);

	if (result == 0)
		result =
			home_path(client->path, home.runtime, "muster.sock", 1);
	if (result == 0)
		return CLI_DONE;
	fprintf(stderr,
		"muster: %s: the folder of the control socket: %s; "
		"set MUSTER_HOME or use --home DIR\n",
		client->verb, strerror(-result));
	return CLI_FAILED;
}

/* Gives the connected socket in `*ret_fd`. */
static int
connect_socket(struct client *client, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = sys_socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0) {
		fprintf(stderr, "muster: %s: a socket: %s\n", client->verb,
			strerror(-fd));
		return CLI_FAILED;
	}
	/* find_socket() has checked that it fits. */
	memcpy(address.sun_path, client->path, strlen(client->path));
	int result = sys_connect(
		fd, (const struct sockaddr *)&address, sizeof(address));
	if (result == 0)
		result = sys_fcntl(fd, F_SETFL, O_NONBLOCK);
	if (result >= 0) {
		*ret_fd = fd;
		return CLI_DONE;
	}
	sys_close(fd);
	if (result == -ENOENT || result == -ECONNREFUSED ||
		result == -ENOTDIR) {
		if (client->is_probe)
			return CLI_NO_DAEMON;
		fprintf(stderr,
			"muster: %s: no supervisor runs at %s; start one with "
			"'muster start' or 'muster run', or name its folder "
			"with --home DIR\n",
			client->verb, client->path);
		return CLI_NO_DAEMON;
	}
	fprintf(stderr, "muster: %s: %s: %s\n", client->verb, client->path,
		strerror(-result));
	return CLI_FAILED;
}

static int
say_hello(struct client *client, int wait_ms)
{
	json_t *welcome = NULL;
	json_t *params = json_pack("{s:i, s:s}", "protocol",
		MUSTER_PROTOCOL_VERSION, "role", "operator");
	int code = client_call(client, "hello", params, wait_ms, &welcome);

	if (code == CLI_DONE)
		json_decref(welcome);
	return code;
}

int
client_open(const char *verb, struct client **ret_client)
{
	return client_open_within(verb, CLIENT_ANSWER_MS, ret_client);
}

static int
open_client(const char *verb, int wait_ms, bool is_probe, bool is_quiet,
	struct client **ret_client)
{
	int fd = -1;
	struct client *client = calloc(1, sizeof(*client));

	if (client == NULL) {
		fprintf(stderr, "muster: %s: no memory\n", verb);
		return CLI_FAILED;
	}
	client->verb = verb;
	client->is_probe = is_probe;
	client->is_quiet = is_quiet;
	int code = find_socket(client);
	if (code == CLI_DONE)
		code = connect_socket(client, &fd);
	if (code != CLI_DONE) {
		free(client);
		return code;
	}
	if (channel_init(&client->channel, fd, CHANNEL_CLIENT) < 0) {
		fprintf(stderr, "muster: %s: no memory\n", verb);
		sys_close(fd);
		free(client);
		return CLI_FAILED;
	}
	code = say_hello(client, wait_ms);
	if (code != CLI_DONE)
		client_free(&client);
	else
		*ret_client = client;
	return code;
}

int
client_open_within(const char *verb, int wait_ms, struct client **ret_client)
{
	return open_client(verb, wait_ms, false, false, ret_client);
}

int
client_probe(const char *verb, struct client **ret_client)
{
	return open_client(verb, CLIENT_ANSWER_MS, true, false, ret_client);
}

bool
client_reopen(const char *verb, struct client **ret_client)
{
	return open_client(verb, CLIENT_TAKE_OVER_MS, true, true, ret_client) ==
	       CLI_DONE;
}

void
client_settle(struct client *client)
{
	client->is_probe = client->is_quiet = false;
}

bool
client_wait_gone(int wait_ms)
{
	struct client client = {.verb = "kill", .is_probe = true};
	struct instant until = clock_after_ms(clock_now(), wait_ms);
	int fd;

	if (find_socket(&client) != CLI_DONE)
		return false;
	/* The file and its listener go when the last process has ended; no
	 * event tells. */
	while (connect_socket(&client, &fd) == CLI_DONE) {
		sys_close(fd);
		if (clock_is_past(until, clock_now()))
			return false;
		poll(NULL, 0, 2);
	}
	return true;
}

void
client_free(struct client **client)
{
	if (*client == NULL)
		return;
	channel_fini(&(*client)->channel);
	free(*client);
	*client = NULL;
}

/* Queues one frame with the next id; returns the id, or 0. */
static uint64_t
put(struct client *client, struct frame_header header, const char *name,
	const char *body, size_t size)
{
	size_t name_size = name != NULL ? strlen(name) : 0;

	if (name_size > MUSTER_NAME_MAX ||
		size > MUSTER_MAX_MESSAGE - name_size) {
		fprintf(stderr, "muster: %s: the %s is too long\n",
			client->verb,
			name_size > MUSTER_NAME_MAX ? "name" : "message");
		return 0;
	}
	header.id = client->id + 1;
	header.name_size = (uint16_t)name_size;
	header.size = (uint32_t)(name_size + size);
	if (channel_put(&client->channel, &header, name, body) < 0) {
		fprintf(stderr, "muster: %s: no memory\n", client->verb);
		return 0;
	}
	return ++client->id;
}

uint64_t
client_ask(struct client *client, const char *method, json_t *params)
{
	size_t size;
	uint64_t id = 0;
	struct frame_header header = {.kind = MUSTER_REQUEST};
	json_t *body = json_pack("{s:s}", "method", method);

	if (params != NULL && body != NULL)
		json_object_set(body, "params", params);
	json_decref(params);
	char *text = body != NULL ? json_write(body, &size) : NULL;
	if (text != NULL)
		id = put(client, header, NULL, text, size);
	else
		fprintf(stderr, "muster: %s: no memory\n", client->verb);
	free(text);
	json_decref(body);
	return id;
}

/* Waits for the socket, up to `wait_ms`. Returns 0 when nothing happened. */
static int
wait_socket(struct client *client, int wait_ms)
{
	struct pollfd wait = {
		.fd = client->channel.fd,
		.events = (short)(POLLIN |
				  (client->channel.pending > 0 ? POLLOUT : 0)),
	};

	int ready = poll(&wait, 1, wait_ms);
	if (ready < 0)
		return errno == EINTR ? 1 : -errno;
	return ready;
}

/* Milliseconds left to `deadline`, for poll(). */
static int
time_left(struct instant deadline)
{
	if (!clock_is_set(deadline))
		return -1;
	int64_t left = clock_ms_between(clock_now(), deadline) + 1;
	if (left < 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

/*
 * One look at the socket, both ways. Returns 1: a frame; 0: there is none now;
 * or a negative errno.
 */
static int
turn(struct client *client, struct channel_frame *ret_frame)
{
	struct channel *channel = &client->channel;

	for (;;) {
		int result = channel_next(channel, ret_frame);
		if (result == 1 && ret_frame->fd >= 0)
			sys_close(ret_frame->fd); /* nothing here takes one */
		if (result != 0)
			return result;
		channel_flush(channel);
		ssize_t size = channel_read(channel);
		if (size == 0 || size == -ECONNRESET)
			return -EPIPE;
		if (size < 0)
			return size == -EAGAIN ? 0 : (int)size;
	}
}

int
client_next(struct client *client, int wait_ms, struct channel_frame *ret_frame)
{
	struct instant deadline = INSTANT_NONE;

	if (wait_ms >= 0)
		deadline = clock_after_ms(clock_now(), wait_ms);
	for (;;) {
		int result = turn(client, ret_frame);
		if (result != 0 || wait_ms == 0)
			return result;
		result = wait_socket(client, time_left(deadline));
		if (result < 0)
			return result;
		if (result == 0 && clock_is_past(deadline, clock_now()))
			return 0;
	}
}

int
client_make_room(struct client *client, struct channel_frame *ret_frame)
{
	for (;;) {
		int result = turn(client, ret_frame);
		if (result != 0 || client->channel.pending <= PENDING_MAX)
			return result;
		result = wait_socket(client, -1);
		if (result < 0)
			return result;
	}
}

uint64_t
client_send(struct client *client, uint32_t to, const char *app,
	const char *body, size_t size)
{
	struct frame_header header = {.kind = MUSTER_MESSAGE, .to = to};

	return put(client, header, app, body, size);
}

uint64_t
client_publish(
	struct client *client, const char *topic, const char *body, size_t size)
{
	struct frame_header header = {.kind = MUSTER_PUBLISH};

	return put(client, header, topic, body, size);
}

uint64_t
client_request(struct client *client, uint32_t to, const char *app,
	const char *body, size_t size, uint32_t timeout_ms)
{
	struct frame_header header = {
		.kind = MUSTER_REQUEST, .to = to, .timeout_ms = timeout_ms};

	return put(client, header, app, body, size);
}

int
client_complain(const struct client *client, int result)
{
	if (client->is_quiet)
		return CLI_FAILED;
	if (result == 0)
		fprintf(stderr,
			"muster: %s: no answer from the supervisor at %s; is "
			"it stopped?\n",
			client->verb, client->path);
	else if (result == -EPIPE)
		fprintf(stderr,
			"muster: %s: the supervisor at %s hung up before its "
			"answer\n",
			client->verb, client->path);
	else if (result == -EPROTO)
		fprintf(stderr,
			"muster: %s: what answers at %s isn't a muster of "
			"this version: %s\n",
			client->verb, client->path,
			frame_fault_text(client->channel.fault));
	else
		fprintf(stderr, "muster: %s: %s: %s\n", client->verb,
			client->path, strerror(-result));
	return CLI_FAILED;
}

static int
exit_code_of(const char *code)
{
	if (code == NULL)
		return CLI_FAILED;
	if (strncmp(code, "no-such-", 8) == 0)
		return CLI_NO_SUCH;
	return strcmp(code, "app-usage") == 0 ? CLI_USAGE : CLI_FAILED;
}

int
client_explain(const struct client *client, const struct channel_frame *frame)
{
	json_t *body = json_read(frame->body, frame->size);
	const char *code = json_text(body, "code");
	const char *message = json_text(body, "message");
	int result = exit_code_of(code);

	if (client->is_quiet) {
		json_decref(body);
		return result;
	}
	fprintf(stderr, "muster: %s: ", client->verb);
	if (message != NULL)
		escape_print(stderr, message, strlen(message));
	else
		fputs("it failed", stderr);
	if (code != NULL) {
		fputs(" (", stderr);
		escape_print(stderr, code, strlen(code));
		fputc(')', stderr);
	}
	fputc('\n', stderr);
	json_decref(body);
	return result;
}

int
client_call(struct client *client, const char *method, json_t *params,
	int wait_ms, json_t **ret_result)
{
	struct channel_frame frame;
	uint64_t id = client_ask(client, method, params);

	if (id == 0)
		return CLI_FAILED;
	do {
		int result = client_next(client, wait_ms, &frame);
		if (result != 1)
			return client_complain(client, result);
	} while (frame.header.id != id ||
		 (frame.header.kind != MUSTER_REPLY &&
			 frame.header.kind != MUSTER_ERROR));
	if (frame.header.kind == MUSTER_ERROR)
		return client_explain(client, &frame);
	json_t *answer = json_read(frame.body, frame.size);
	if (answer == NULL) {
		fprintf(stderr, "muster: %s: the answer is no JSON\n",
			client->verb);
		return CLI_FAILED;
	}
	*ret_result = answer;
	return CLI_DONE;
}
