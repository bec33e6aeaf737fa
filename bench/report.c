/*
 * report.c: samples, medians, targets, and how they are written. The programs
 * lay out their own tables: they differ in what stands beside what.
 */
#include "report.h"

#include "measure.h"

#include <stdio.h>
#include <stdlib.h>

void
figure_add(struct figure *figure, double sample)
{
	double *grown =
		realloc(figure->samples, (figure->count + 1) * sizeof(*grown));

	if (grown == NULL)
		measure_die("memory for samples");
	figure->samples = grown;
	figure->samples[figure->count++] = sample;
}

double
figure_median(struct figure *figure)
{
	return measure_median(figure->samples, figure->count);
}

void
figure_fini(struct figure *figure)
{
	free(figure->samples);
	*figure = (struct figure){0};
}

static bool
reached(const struct goal *goal)
{
	return goal->at_most ? goal->ratio <= goal->target
			     : goal->ratio >= goal->target;
}

void
goal_text(const struct goal *goal, char *ret_text, size_t size)
{
	if (goal->ratio == 0)
		snprintf(ret_text, size, "-");
	else if (goal->target == 0)
		snprintf(ret_text, size, "%.2f", goal->ratio);
	else
		snprintf(ret_text, size, "%.2f (%s %.4g %s)", goal->ratio,
			goal->at_most ? "<=" : ">=", goal->target,
			reached(goal) ? "reached" : "MISSED");
}

json_t *
goal_json(const struct goal *goal)
{
	if (goal->ratio == 0)
		return json_null();
	if (goal->target == 0)
		return json_pack("{s:f}", "ratio", goal->ratio);
	return json_pack("{s:f, s:f, s:b, s:b}", "ratio", goal->ratio, "target",
		goal->target, "at_most", goal->at_most, "reached",
		reached(goal));
}

void
report_number(double value, char *ret_text, size_t size)
{
	const char *unit = "";

	if (value >= 1e6) {
		value /= 1e6;
		unit = " M";
	} else if (value >= 1e4) {
		value /= 1e3;
		unit = " k";
	}
	if (value == 0)
		snprintf(ret_text, size, "-");
	else
		snprintf(ret_text, size, "%.*f%s",
			value < 10    ? 2
			: value < 100 ? 1
				      : 0,
			value, unit);
}

void
report_print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(json);
}
