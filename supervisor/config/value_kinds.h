/*
 * value_kinds.h: how each type of value is read and written; only for values.c,
 * whose table joins them, and the files that implement them. The contracts are
 * those of values_read and values_write.
 */
#ifndef MUSTER_VALUE_KINDS_H
#define MUSTER_VALUE_KINDS_H

#include "config/values.h"

typedef int value_reader(const struct values_context *context,
	const struct key *key, const json_t *value, void *field);
typedef int value_writer(const void *field, json_t **ret_value);

/* value_number.c; the fields are int64_t, or structs of numbers */
value_reader value_read_bool, value_read_int, value_read_ms, value_read_bytes,
	value_read_mode, value_read_signal, value_read_instances,
	value_read_portion, value_read_rotate, value_read_user,
	value_read_group;
value_writer value_write_bool, value_write_int, value_write_mode,
	value_write_signal, value_write_portion, value_write_rotate;

/* value_word.c; the fields are int64_t: one of some words */
value_reader value_read_exit_when, value_read_balance, value_read_log_type;
value_writer value_write_exit_when, value_write_balance, value_write_log_type;

/* value_text.c; the fields are char *, or char ** */
value_reader value_read_name, value_read_string, value_read_path,
	value_read_arguments, value_read_environment, value_read_cron,
	value_read_variable, value_read_filter, value_read_watch;
value_writer value_write_string, value_write_strings, value_write_environment;

/* value_list.c; the fields are the structs of config.h, or char ** */
value_reader value_read_codes, value_read_groups, value_read_limits,
	value_read_names;
value_writer value_write_numbers, value_write_limits;

/* value_listen.c; the field is struct listen_list */
value_reader value_read_listen;
value_writer value_write_listen;

/* Frees what the list owns. */
void value_free_listen(struct listen_list *list);

/* A whole number, as JSON number or as decimal text. */
bool value_whole(const json_t *value, int64_t *ret_number);

/* A group's number from a name or number; VALUE as in values_read. */
int value_group_number(const struct values_context *context,
	const struct key *key, const json_t *value, int64_t *ret_number);

/* True when the value is a string without NUL in it. */
bool value_is_text(const json_t *value);

#endif
