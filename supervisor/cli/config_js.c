/*
 * config_js: the file is run where its user stands and with the user's rights,
 * by the user's own node, never by the supervisor.
 */
#include "config_js.h"

#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	NO_NODE = 127, /* exit code of the child, as a shell's */
	TIME_S = 10,
};

/* Written to stdout: JSON of the export, with promises awaited. */
static const char program[] =
	"const path = process.argv[1];"
	"(async () => {"
	"let it = /\\.mjs$/.test(path) ? (await import(path)).default"
	" : require(path);"
	"if (it && it.__esModule) it = it.default;"
	"const text = JSON.stringify(await it);"
	"if (text === undefined) throw new Error('it exports nothing');"
	"process.stdout.write(text);"
	"})().catch(e => { console.error(String(e && e.stack || e));"
	" process.exitCode = 1; });";

bool
config_js_is(const char *word)
{
	static const char *const ends[] = {
		".config.js", ".config.cjs", ".config.mjs"};
	size_t size = strlen(word);

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (size > strlen(ends[i]) &&
			strcmp(word + size - strlen(ends[i]), ends[i]) == 0)
			return true;
	return false;
}

static _Noreturn void
become_node(const char *path, int output)
{
	if (dup2(output, STDOUT_FILENO) >= 0) {
		alarm(TIME_S);
		execlp("node", "node", "-e", program, path, (char *)NULL);
	}
	_exit(NO_NODE);
}

static int
explain(const char *verb, const char *word, int status)
{
	if (WIFSIGNALED(status))
		fprintf(stderr,
			"muster: %s: %s: node was ended by signal %d; it may "
			"take %d s\n",
			verb, word, WTERMSIG(status), TIME_S);
	else if (WEXITSTATUS(status) == NO_NODE)
		fprintf(stderr,
			"muster: %s: %s is JavaScript, and there is no node to "
			"evaluate it: install nodejs, or write JSON\n",
			verb, word);
	else
		fprintf(stderr, "muster: %s: node can't evaluate %s\n", verb,
			word);
	return CLI_FAILED;
}

int
config_js_evaluate(const char *verb, const char *word, char *ret_path)
{
	static const char shape[] = "/tmp/muster-config-XXXXXX.json";
	char path[PATH_MAX];
	int status = 0, fd;
	pid_t pid;

	_Static_assert(sizeof(shape) <= CONFIG_JS_PATH, "it fits");
	memcpy(ret_path, shape, sizeof(shape));
	if (realpath(word, path) == NULL) {
		fprintf(stderr, "muster: %s: %s: %s\n", verb, word,
			strerror(errno));
		return CLI_FAILED;
	}
	fd = mkostemps(ret_path, (int)strlen(".json"), O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "muster: %s: /tmp: %s\n", verb,
			strerror(errno));
		return CLI_FAILED;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become_node(path, fd);
	close(fd);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && status == 0)
		return CLI_DONE;
	unlink(ret_path);
	return explain(verb, word, status);
}
