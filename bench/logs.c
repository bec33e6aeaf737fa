/*
 * logs.c: how fast one worker's raw output gets into a file: through muster,
 * and beside it, in turn in the same run, through `cat > file`.
 *
 * The worker (log_worker.c) takes the time: what is left in the pipe when it
 * has written everything is less than a thousandth.
 */
#include "daemon.h"
#include "measure.h"
#include "report.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 120000, LOOK_MS = 5 };

static const double target = 0.8;

struct bench {
	char musterd[PATH_MAX], worker[PATH_MAX];
	char folder[64], log[128], result[128];
	char mib[16], write_size[16];
	struct figure ours, cats; /* MB/s */
};

/* Waits for the worker's word; false when none comes. */
static bool
take_result(const struct bench *bench, struct figure *figure)
{
	unsigned long long ns = 0;
	FILE *file = NULL;

	for (int ms = 0; !file && ms < PATIENCE_MS; ms += LOOK_MS) {
		poll(NULL, 0, LOOK_MS);
		file = fopen(bench->result, "re");
	}
	if (!file || fscanf(file, "%llu", &ns) != 1 || !ns) /* NOLINT: ours */
		return false;
	fclose(file);
	figure_add(figure, strtod(bench->mib, NULL) * (1 << 20) / 1e6 /
				   ((double)ns / 1e9));
	unlink(bench->result);
	unlink(bench->log);
	return true;
}

static void
run_muster(struct bench *bench)
{
	const char *arguments[] = {"--no-autorestart", "--exit-when", "never",
		"--out-file", bench->log, "--", bench->worker, bench->mib,
		bench->write_size, bench->result, NULL};
	struct daemon daemon;

	daemon_start(&daemon, bench->musterd, arguments);
	if (!take_result(bench, &bench->ours))
		daemon_fail(&daemon, "the worker doesn't come to an end");
	daemon_stop(&daemon);
}

static pid_t
start_one(int in, int out, char *const argv[])
{
	pid_t pid = fork();

	if (pid < 0)
		measure_die("fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(126);
	execvp(argv[0], argv);
	_exit(127);
}

static void
run_cat(struct bench *bench)
{
	char *worker[] = {bench->worker, bench->mib, bench->write_size,
		bench->result, NULL};
	char *cat[] = {"cat", NULL};
	int out = open(bench->log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ends[2];

	if (out < 0 || null < 0 || pipe2(ends, O_CLOEXEC) < 0)
		measure_die("files for cat");
	start_one(ends[0], out, cat);
	start_one(null, ends[1], worker);
	close(ends[0]);
	close(ends[1]);
	close(out);
	close(null);
	if (!take_result(bench, &bench->cats))
		measure_fail("the worker in front of cat comes to no end");
	while (wait(NULL) > 0)
		;
}

static void
print(const struct bench *bench, bool json)
{
	double ours = figure_median(&((struct bench *)bench)->ours);
	double cats = figure_median(&((struct bench *)bench)->cats);
	struct goal goal = {ours / cats, target, false};
	char text[64];

	if (json) {
		report_print_json(json_pack("{s:s, s:i, s:f, s:f, s:o}",
			"benchmark", "logs", "samples", (int)bench->ours.count,
			"muster_mb_s", ours, "cat_mb_s", cats, "muster_to_cat",
			goal_json(&goal)));
		return;
	}
	goal_text(&goal, text, sizeof(text));
	printf("%s MiB of raw output in writes of %s, medians of %zu\n"
	       "  muster      %.0f MB/s\n"
	       "  cat > file  %.0f MB/s\n"
	       "  ratio       %s\n",
		bench->mib, bench->write_size, bench->ours.count, ours, cats,
		text);
}

static void
run(unsigned rounds, unsigned mib, unsigned write_size, bool json)
{
	struct bench bench = {.folder = "/tmp/muster-bench-XXXXXX"};

	daemon_need("../supervisor/musterd", bench.musterd);
	daemon_need("log_worker", bench.worker);
	if (!mkdtemp(bench.folder))
		measure_die("a folder");
	snprintf(bench.log, sizeof(bench.log), "%s/log", bench.folder);
	snprintf(bench.result, sizeof(bench.result), "%s/ns", bench.folder);
	snprintf(bench.mib, sizeof(bench.mib), "%u", mib);
	snprintf(bench.write_size, sizeof(bench.write_size), "%u", write_size);
	for (unsigned i = 0; i < rounds; i++) {
		run_muster(&bench);
		run_cat(&bench);
	}
	rmdir(bench.folder);
	print(&bench, json);
	figure_fini(&bench.ours);
	figure_fini(&bench.cats);
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {{"quick", no_argument, NULL, 'q'},
		{"rounds", required_argument, NULL, 'r'},
		{"mib", required_argument, NULL, 'm'},
		{"write", required_argument, NULL, 'w'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int option, rounds = 7, mib = 512, size = 4096;
	bool help = false, json = false;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q') {
			rounds = 3;
			mib = 128;
		} else if (option == 'r') {
			rounds = atoi(optarg);
		} else if (option == 'm') {
			mib = atoi(optarg);
		} else if (option == 'w') {
			size = atoi(optarg);
		} else if (option == 'j') {
			json = true;
		} else if (option == 'h') {
			help = true;
		} else {
			rounds = 0;
		}
	}
	if (help || rounds < 1 || rounds > REPORT_ROUNDS_MAX || mib < 1 ||
		mib > 65536 || size < 1 || size > 1 << 20) {
		fprintf(help ? stdout : stderr,
			"usage: logs [--quick] [--rounds N] [--mib N] "
			"[--write BYTES] [--json]\n");
		return help ? 0 : 2;
	}
	measure_init();
	run((unsigned)rounds, (unsigned)mib, (unsigned)size, json);
	return 0;
}
