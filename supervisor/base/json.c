/*
 * json.c: jansson with the project's one set of rules, so that no caller picks
 * its own flags. Knows nothing of what the values mean; limits on size are the
 * caller's, who knows where the bytes come from.
 */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum {
	READ_FLAGS = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY,
	WRITE_FLAGS = JSON_COMPACT | JSON_ENCODE_ANY,
};

json_t *
json_read(const char *text, size_t size)
{
	return json_loadb(text, size, READ_FLAGS, NULL);
}

struct growing {
	char *text;
	size_t used, room;
};

static int
append(const char *bytes, size_t size, void *context)
{
	struct growing *out = context;

	if (out->room - out->used <= size) {
		size_t room = 2 * out->room + size + 64;
		char *text = realloc(out->text, room);

		if (!text)
			return -1;
		out->text = text;
		out->room = room;
	}
	memcpy(out->text + out->used, bytes, size);
	out->used += size;
	return 0;
}

char *
json_write(const json_t *value, size_t *ret_size)
{
	struct growing out = {0};

	/* Not json_dumps(): a string with NUL in it needs no second look, and
	 * the size is known without strlen(). */
	if (json_dump_callback(value, append, &out, WRITE_FLAGS) != 0 ||
		append("", 1, &out) != 0) {
		free(out.text);
		return NULL;
	}
	*ret_size = out.used - 1;
	return out.text;
}

const char *
json_method(json_t *body, json_t **ret_params)
{
	const char *method = json_text(body, "method");

	if (method)
		*ret_params = json_object_get(body, "params");
	return method;
}

bool
json_is_params(const json_t *params)
{
	return params == NULL || json_is_null(params) || json_is_object(params);
}

const char *
json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}
