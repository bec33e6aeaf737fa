/*
 * json.h: the few things that the supervisor does with JSON again and again.
 * Input is parsed with one set of rules: duplicate keys are refused, NUL in
 * strings is allowed, any value may stand at the top, sizes are checked by the
 * caller before.
 */
#ifndef MUSTER_BASE_JSON_H
#define MUSTER_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Parses one value. New reference, or NULL (bad text or no memory). */
json_t *json_read(const char *text, size_t size);

/*
 * Writes a value compactly. Returns malloc'd text of `*ret_size` bytes (not
 * counting the NUL behind them), or NULL without memory. Frees nothing.
 */
char *json_write(const json_t *value, size_t *ret_size);

/*
 * Takes a method call {"method": NAME, "params": {…}} apart. `ret_params` is a
 * borrowed reference into `body`, or NULL where there are none.
 * Returns the name, borrowed from `body`, or NULL: not a method call.
 */
const char *json_method(json_t *body, json_t **ret_params);

/* Whether what json_method() gave can be parameters: an object, or none. */
bool json_is_params(const json_t *params);

/* A string of an object, borrowed, or NULL: missing or no string. */
const char *json_text(const json_t *object, const char *key);

#endif
