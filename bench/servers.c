/*
 * servers.c: starting, reloading and stopping the contestants. A reload of
 * muster and of PM2 is its command, from exec to exit; of the others, the
 * signal, until no worker of before is left and as many new ones are there.
 */
#include "servers.h"

#include "ask.h"
#include "measure.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PATIENCE_MS = 10000,
	STEP_MS = 2,
	CHILDREN_MAX = 64,
};

static const char *const names[] = {
	"muster, shared",
	"muster, reuseport",
	"muster, round-robin",
	"nginx",
	"gunicorn",
	"PM2",
	NULL,
};

const char *
servers_name(unsigned kind)
{
	return names[kind];
}

static bool
answers(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n"
				      "Connection: close\r\n\r\n";
	struct timeval patience = {.tv_sec = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;
	bool answered;

	address.sin_port = htons(port);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	answered = connect(fd, (struct sockaddr *)&address, sizeof(address)) ==
			   0 &&
		   send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 &&
		   recv(fd, &byte, 1, 0) == 1;
	close(fd);
	return answered;
}

/* Executes it with its output to /dev/null; it ends with us. */
static pid_t
spawn(const char *folder, const char *const argv[])
{
	pid_t pid = fork();
	int null;

	if (pid < 0)
		measure_die("fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	setenv("PM2_HOME", folder, 1);
	if (chdir(folder) == 0)
		execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static void
write_file(const struct server *server, const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", server->daemon.home, name);
	stream = fopen(path, "we");
	if (stream == NULL || fputs(text, stream) < 0 || fclose(stream) != 0)
		measure_die(path);
}

static void
make_folder(struct server *server)
{
	snprintf(server->daemon.home, sizeof(server->daemon.home),
		"/tmp/muster-bench-XXXXXX");
	if (mkdtemp(server->daemon.home) == NULL)
		measure_die("mkdtemp");
}

/* Starting ----------------------------------------------------------------- */

static void
start_muster(struct server *server, const char *balance)
{
	static char musterd[PATH_MAX], worker[PATH_MAX];
	char listen[32], workers[8];
	const char *arguments[] = {"-n", workers, "--wait-ready",
		"--reload-soak", "0", "--reload-batch", "100%", "--balance",
		balance, "-l", listen, "-l", server->unix_address, "--", worker,
		NULL};

	daemon_need("../supervisor/musterd", musterd);
	daemon_need("../examples/http-hello/http-hello", worker);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", server->port);
	snprintf(workers, sizeof(workers), "%d", SERVERS_WORKERS);
	snprintf(server->unix_address, sizeof(server->unix_address),
		"unix:///tmp/muster-bench-%u.sock", server->port);
	daemon_start(&server->daemon, musterd, arguments);
	server->is_muster = true;
	server->master = server->daemon.keeper;
}

static void
start_nginx(struct server *server)
{
	char text[1024];
	const char *const argv[] = {"nginx", "-p", server->daemon.home, "-c",
		"nginx.conf", "-e", "/dev/null", NULL};

	make_folder(server);
	snprintf(text, sizeof(text),
		"daemon off; worker_processes %d; pid nginx.pid;\n"
		"events { worker_connections 1024; }\n"
		"http { access_log off; keepalive_requests 100000000;\n"
		"client_body_temp_path b; proxy_temp_path p;\n"
		"fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n"
		"server { listen 127.0.0.1:%u;\n"
		"location / { return 200 'hello from nginx\\n'; } } }\n",
		SERVERS_WORKERS, server->port);
	write_file(server, "nginx.conf", text);
	server->master = spawn(server->daemon.home, argv);
}

static void
start_gunicorn(struct server *server)
{
	char listen[32], workers[8];
	const char *const argv[] = {"gunicorn", "-w", workers, "-b", listen,
		"--log-level", "critical", "app:application", NULL};

	make_folder(server);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", server->port);
	snprintf(workers, sizeof(workers), "%d", SERVERS_WORKERS);
	write_file(server, "app.py",
		"def application(environ, start):\n"
		"    body = b'hello from gunicorn\\n'\n"
		"    start('200 OK', [('Content-Length', str(len(body)))])\n"
		"    return [body]\n");
	server->master = spawn(server->daemon.home, argv);
}

static void
start_pm2(struct server *server)
{
	char text[512], workers[8];
	const char *const argv[] = {
		"pm2-runtime", "start", "app.js", "-i", workers, NULL};

	make_folder(server);
	snprintf(workers, sizeof(workers), "%d", SERVERS_WORKERS);
	snprintf(text, sizeof(text),
		"const server = require('http').createServer((q, a) =>\n"
		"  a.end('hello from node\\n'));\n"
		"server.listen(%u, '127.0.0.1');\n"
		"process.on('SIGINT', () =>\n"
		"  server.close(() => process.exit(0)));\n",
		server->port);
	write_file(server, "app.js", text);
	server->master = spawn(server->daemon.home, argv);
}

static void
start_bare(struct server *server, bool own)
{
	char program[PATH_MAX], port[16], workers[8];
	const char *const argv[] = {
		program, port, workers, own ? "own" : NULL, NULL};

	daemon_need("bare_server", program);
	make_folder(server);
	snprintf(port, sizeof(port), "%u", server->port);
	snprintf(workers, sizeof(workers), "%d", SERVERS_WORKERS);
	server->master = spawn(server->daemon.home, argv);
}

static bool
await(struct server *ret_server)
{
	for (int waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
		if (answers(ret_server->port))
			return true;
		if (!ret_server->is_muster &&
			waitpid(ret_server->master, NULL, WNOHANG) != 0)
			break; /* not installed */
		poll(NULL, 0, STEP_MS);
	}
	if (ret_server->is_muster)
		daemon_fail(&ret_server->daemon, "it does not answer");
	servers_stop(ret_server);
	return false;
}

bool
servers_start(unsigned kind, struct server *ret_server)
{
	static const char *const balances[] = {
		"shared", "reuseport", "round-robin"};

	*ret_server =
		(struct server){.name = names[kind], .port = ask_free_port()};
	if (kind < 3)
		start_muster(ret_server, balances[kind]);
	else if (kind == 3)
		start_nginx(ret_server);
	else if (kind == 4)
		start_gunicorn(ret_server);
	else
		start_pm2(ret_server);
	ret_server->is_pm2 = kind == 5;
	return await(ret_server);
}

bool
servers_start_bare(bool own, struct server *ret_server)
{
	*ret_server = (struct server){.name = "bare", .port = ask_free_port()};
	start_bare(ret_server, own);
	return await(ret_server);
}

/* Reloading ---------------------------------------------------------------- */

static size_t
list_children(pid_t parent, pid_t *pids, size_t room)
{
	char path[64];
	size_t count = 0;
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent,
		(int)parent);
	stream = fopen(path, "re");
	while (stream != NULL && count < room &&
		fscanf(stream, "%d", &pids[count]) == 1)
		count++;
	if (stream != NULL)
		fclose(stream);
	return count;
}

static bool
is_replaced(pid_t parent, const pid_t *before, size_t before_count)
{
	pid_t now[CHILDREN_MAX];
	size_t count = list_children(parent, now, CHILDREN_MAX);

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < before_count; k++)
			if (now[i] == before[k])
				return false;
	return count >= SERVERS_WORKERS;
}

pid_t
servers_command(const struct server *server, const char *const arguments[])
{
	char muster[PATH_MAX];
	const char *argv[10] = {muster, "--home", server->daemon.home};

	daemon_need("../supervisor/muster", muster);
	for (int i = 0; i < 6 && arguments[i] != NULL; i++)
		argv[3 + i] = arguments[i];
	return spawn("/", argv);
}

size_t
servers_workers(const struct server *server, pid_t *ret_pids, size_t room)
{
	return list_children(server->master, ret_pids, room);
}

static bool
reload_by_command(const struct server *server)
{
	const char *const arguments[] = {"reload", "all", NULL};
	const char *const pm2[] = {"pm2", "reload", "all", NULL};
	int status;
	pid_t pid = server->is_pm2 ? spawn(server->daemon.home, pm2)
				   : servers_command(server, arguments);

	return waitpid(pid, &status, 0) == pid && status == 0;
}

double
servers_reload(struct server *server)
{
	pid_t before[CHILDREN_MAX];
	size_t count = list_children(server->master, before, CHILDREN_MAX);
	uint64_t start = measure_now();
	uint64_t deadline = start + PATIENCE_MS * 1000000ull;

	if (server->is_muster || server->is_pm2) {
		if (!reload_by_command(server))
			return -1;
	} else {
		if (kill(server->master, SIGHUP) < 0)
			return -1;
		while (!is_replaced(server->master, before, count)) {
			if (measure_now() > deadline)
				return -1;
			poll(NULL, 0, 1);
		}
	}
	return (double)(measure_now() - start) / 1e6;
}

void
servers_stop(struct server *server)
{
	const char *const argv[] = {"rm", "-rf", server->daemon.home, NULL};

	if (server->is_muster) {
		daemon_stop(&server->daemon);
		return;
	}
	kill(server->master, SIGTERM);
	waitpid(server->master, NULL, 0);
	if (server->daemon.home[0] != '\0')
		waitpid(spawn("/", argv), NULL, 0);
}
