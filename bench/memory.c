/*
 * memory.c: what a supervisor of four idle workers costs: the memory of its
 * own processes, and how often they wake up while nothing happens.
 *
 * USS is what would be free if they were gone (private pages), PSS adds their
 * share of what they use together with others; both from smaps_rollup. Wake-ups
 * are voluntary context switches in N idle seconds: a process that sleeps all
 * the time makes none. All subjects are idle in the same seconds.
 */
#include "memory.h"

#include "measure.h"
#include "report.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUBJECTS_MAX = 3, SETTLE_MS = 3000 };

static const double uss_target_kb = 1024, pss_target_kb = 2560;

struct reading {
	long uss_kb, pss_kb;
	long switches; /* voluntary, since the process began */
};

/* Adds up the lines of a file of /proc that begin with `key`. */
static long
sum_lines(pid_t pid, const char *file, const char *key)
{
	char path[64], line[256];
	long sum = 0;
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	stream = fopen(path, "re");
	if (stream == NULL)
		measure_die(path);
	while (fgets(line, sizeof(line), stream) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			sum += atol(line + strlen(key));
	fclose(stream);
	return sum;
}

static struct reading
read_subject(const struct memory_subject *subject)
{
	struct reading reading = {0};

	for (int i = 0; i < subject->count; i++) {
		pid_t pid = subject->pids[i];

		reading.uss_kb +=
			sum_lines(pid, "smaps_rollup", "Private_Clean:") +
			sum_lines(pid, "smaps_rollup", "Private_Dirty:");
		reading.pss_kb += sum_lines(pid, "smaps_rollup", "Pss:");
		reading.switches +=
			sum_lines(pid, "status", "voluntary_ctxt_switches:");
	}
	return reading;
}

static void
print_table(const struct memory_subject *subjects,
	const struct reading *readings, int count, int seconds)
{
	printf("%-8s %10s %10s %9s  %s\n", "", "USS", "PSS", "wake-ups",
		"processes");
	for (int i = 0; i < count; i++)
		printf("%-8s %7ld kB %7ld kB %9ld  %s\n", subjects[i].name,
			readings[i].uss_kb, readings[i].pss_kb,
			readings[i].switches, subjects[i].processes);
	printf("%d idle workers, %d idle seconds\n"
	       "muster: USS <= %.0f kB %s, PSS <= %.0f kB %s, "
	       "no wake-up %s\n",
		MEMORY_WORKERS, seconds, uss_target_kb,
		readings[0].uss_kb <= uss_target_kb ? "reached" : "MISSED",
		pss_target_kb,
		readings[0].pss_kb <= pss_target_kb ? "reached" : "MISSED",
		readings[0].switches == 0 ? "reached" : "MISSED");
}

static void
print_json(const struct memory_subject *subjects,
	const struct reading *readings, int count, int seconds)
{
	json_t *list = json_array();

	for (int i = 0; i < count; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:I, s:I, s:I}", "subject",
				      subjects[i].name, "processes",
				      subjects[i].processes, "uss_kb",
				      (json_int_t)readings[i].uss_kb, "pss_kb",
				      (json_int_t)readings[i].pss_kb, "wakeups",
				      (json_int_t)readings[i].switches));
	report_print_json(json_pack("{s:s, s:i, s:i, s:{s:f, s:f, s:i}, s:o}",
		"benchmark", "memory", "workers", MEMORY_WORKERS, "seconds",
		seconds, "targets", "uss_kb", uss_target_kb, "pss_kb",
		pss_target_kb, "wakeups", 0, "subjects", list));
}

static void
run(int seconds, bool json, bool install)
{
	struct memory_subject subjects[SUBJECTS_MAX] = {0};
	struct reading before[SUBJECTS_MAX], after[SUBJECTS_MAX];
	int count = 0;

	count += memory_start_muster(&subjects[count]);
	count += memory_start_nginx(&subjects[count]);
	count += memory_start_pm2(&subjects[count], install);
	poll(NULL, 0, SETTLE_MS); /* min_uptime, last acknowledgements */
	for (int i = 0; i < count; i++)
		before[i] = read_subject(&subjects[i]);
	poll(NULL, 0, seconds * 1000);
	for (int i = 0; i < count; i++) {
		after[i] = read_subject(&subjects[i]);
		after[i].switches -= before[i].switches;
	}
	for (int i = 0; i < count; i++)
		memory_stop(&subjects[i]);
	if (json)
		print_json(subjects, after, count, seconds);
	else
		print_table(subjects, after, count, seconds);
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {{"quick", no_argument, NULL, 'q'},
		{"seconds", required_argument, NULL, 's'},
		{"install", no_argument, NULL, 'i'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	bool help = false, json = false, install = false;
	int option, seconds = 130;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'q')
			seconds = 5;
		else if (option == 's')
			seconds = atoi(optarg);
		else if (option == 'i')
			install = true;
		else if (option == 'j')
			json = true;
		else if (option == 'h')
			help = true;
		else
			seconds = 0;
	}
	if (help || seconds < 1 || seconds > 86400) {
		fprintf(help ? stdout : stderr,
			"usage: memory [--quick] [--seconds N] [--json] "
			"[--install]\n"
			"  --install  fetch PM2 with npm into a folder that "
			"is removed again\n");
		return help ? 0 : 2;
	}
	run(seconds, json, install);
	return 0;
}
