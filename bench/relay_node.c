/*
 * relay_node.c: Node's cluster in the relay benchmark: starts the script,
 * hands it one measurement a line and reads one result a line. What is
 * measured is in relay_cluster.js.
 */
#include "relay_node.h"

#include "measure.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct relay_node {
	pid_t pid;
	FILE *to, *from;
};

static _Noreturn void
exec_node(const char *script, int in, int out)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(in, 0);
	dup2(out, 1);
	execlp("node", "node", script, (char *)NULL);
	_exit(127);
}

struct relay_node *
relay_node_new(const char *script)
{
	struct relay_node *node = calloc(1, sizeof(*node));
	int in[2], out[2];

	if (node == NULL || pipe2(in, O_CLOEXEC) < 0 ||
		pipe2(out, O_CLOEXEC) < 0)
		measure_die("starting node");
	node->pid = fork();
	if (node->pid < 0)
		measure_die("fork");
	if (node->pid == 0)
		exec_node(script, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	node->to = fdopen(in[1], "w");
	node->from = fdopen(out[0], "r");
	if (node->to == NULL || node->from == NULL)
		measure_die("fdopen");
	setlinebuf(node->to);
	return node;
}

void
relay_node_free(struct relay_node **node)
{
	if (*node == NULL)
		return;
	fclose((*node)->to); /* the script ends with its input */
	fclose((*node)->from);
	waitpid((*node)->pid, NULL, 0);
	free(*node);
	*node = NULL;
}

static const char *
kind_name(enum relay_kind kind)
{
	if (kind == RELAY_PING)
		return "ping";
	return kind == RELAY_SUPERVISOR ? "supervisor" : "stream";
}

bool
relay_node_measure(struct relay_node *node, const struct relay_case *kase,
	double seconds, struct relay_result *ret_result)
{
	char line[512];
	json_t *answer;
	int failed;

	fprintf(node->to, "{\"kind\":\"%s\",\"size\":%u,\"seconds\":%g}\n",
		kind_name(kase->kind), kase->size, seconds);
	if (fgets(line, sizeof(line), node->from) == NULL)
		return false;
	answer = json_loads(line, 0, NULL);
	failed = json_unpack(answer, "{s:F, s:F, s:F}", "rate",
		&ret_result->rate, "p50_us", &ret_result->p50_us, "p99_us",
		&ret_result->p99_us);
	json_decref(answer);
	return failed == 0;
}
