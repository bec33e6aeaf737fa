/*
 * config_word: what stands in place of a JSON file. JavaScript is run where its
 * user stands and with the user's rights, by the user's own node, never by the
 * supervisor.
 */
#include "config_word.h"

#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	NO_NODE = 127, /* exit code of the child, as a shell's */
	TIME_S = 10,
	SIZE_MAX_BYTES = 4 << 20, /* as musterd reads at most */
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

enum config_word_kind
config_word_kind(const char *word, bool is_file)
{
	static const char *const ends[] = {
		".config.js", ".config.cjs", ".config.mjs"};
	size_t size = strlen(word);

	if (strcmp(word, "-") == 0)
		return CONFIG_WORD_STDIN;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		const char *end = ends[i] + (is_file ? strlen(".config") : 0);

		if (size > strlen(end) &&
			strcmp(word + size - strlen(end), end) == 0)
			return CONFIG_WORD_SCRIPT;
	}
	return CONFIG_WORD_PLAIN;
}

static _Noreturn void
become_node(const char *path, int output)
{
	const struct rlimit most = {SIZE_MAX_BYTES, SIZE_MAX_BYTES};

	if (dup2(output, STDOUT_FILENO) >= 0) {
		alarm(TIME_S);
		(void)setrlimit(RLIMIT_FSIZE, &most);
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
			"take %d s and write 4 MiB\n",
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

/* Runs node on the file, its output to `fd`. */
static int
evaluate(const char *verb, const char *word, int fd)
{
	char path[PATH_MAX];
	int status = 0;
	pid_t pid;

	if (realpath(word, path) == NULL) {
		fprintf(stderr, "muster: %s: %s: %s\n", verb, word,
			strerror(errno));
		return CLI_FAILED;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become_node(path, fd);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && status == 0 ? CLI_DONE : explain(verb, word, status);
}

/* Copies standard input to `fd`. */
static int
copy_input(const char *verb, int fd)
{
	char bytes[65536];
	size_t sum = 0;
	ssize_t got;

	while ((got = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0) {
		sum += (size_t)got;
		if (sum > SIZE_MAX_BYTES) {
			fprintf(stderr,
				"muster: %s: standard input is over 4 MiB\n",
				verb);
			return CLI_FAILED;
		}
		if (write(fd, bytes, (size_t)got) != got)
			break;
	}
	if (got == 0)
		return CLI_DONE;
	fprintf(stderr, "muster: %s: standard input: %s\n", verb,
		strerror(errno));
	return CLI_FAILED;
}

int
config_word_write(
	const char *verb, const char *word, bool is_file, char *ret_path)
{
	const char *folder = getenv("TMPDIR");
	enum config_word_kind kind = config_word_kind(word, is_file);
	int fd, code;

	*ret_path = '\0';
	if (kind == CONFIG_WORD_PLAIN)
		return CLI_DONE;
	if (folder == NULL || folder[0] != '/' ||
		strlen(folder) > CONFIG_WORD_PATH / 2)
		folder = "/tmp";
	snprintf(ret_path, CONFIG_WORD_PATH, "%s/muster-config-XXXXXX.json",
		folder);
	fd = mkostemps(ret_path, (int)strlen(".json"), O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "muster: %s: %s: %s\n", verb, folder,
			strerror(errno));
		*ret_path = '\0';
		return CLI_FAILED;
	}
	code = kind == CONFIG_WORD_STDIN ? copy_input(verb, fd)
					 : evaluate(verb, word, fd);
	close(fd);
	if (code != CLI_DONE) {
		unlink(ret_path);
		*ret_path = '\0';
	}
	return code;
}

char *
config_word_name(char *word)
{
	static char name[] = "standard input";

	return strcmp(word, "-") == 0 ? name : word;
}
