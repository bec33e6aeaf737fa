/*
 * request.c: a parser for the heads of HTTP/1 requests.
 *
 * It takes what RFC 9112 lets a server take and refuses what would let two
 * programs disagree about where a request ends: two lengths, a length beside a
 * transfer coding, blanks before a colon, folded lines. Bodies are told by
 * their length only; the connection skips them.
 */
#include "request.h"

#include <string.h>
#include <strings.h>

/* A line of the head without its end; `at` is moved behind it. */
struct line {
	const char *text;
	size_t size;
};

static struct line
next_line(const char **at, const char *end)
{
	struct line line = {*at, 0};
	const char *feed = memchr(*at, '\n', (size_t)(end - *at));

	line.size = (size_t)(feed - *at);
	if (line.size > 0 && line.text[line.size - 1] == '\r')
		line.size--;
	*at = feed + 1;
	return line;
}

/* The bytes up to the end of the first empty line; 0: it isn't there yet. */
static size_t
head_size(const char *bytes, size_t size)
{
	size_t at = 0;

	while (at < size) {
		const char *feed = memchr(bytes + at, '\n', size - at);
		size_t next;

		if (!feed)
			return 0;
		next = (size_t)(feed - bytes) + 1;
		if (next < size && bytes[next] == '\n')
			return next + 1;
		if (next + 1 < size && bytes[next] == '\r' &&
			bytes[next + 1] == '\n')
			return next + 2;
		at = next;
	}
	return 0;
}

static bool
is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static int
parse_request_line(struct line line, struct request *request)
{
	const char *space = memchr(line.text, ' ', line.size);
	const char *end = line.text + line.size;
	const char *version;
	size_t method;

	if (!space || space == line.text)
		return -400;
	method = (size_t)(space - line.text);
	for (size_t i = 0; i < method; i++)
		if (!is_token(line.text[i]))
			return -400;
	version = memchr(space + 1, ' ', (size_t)(end - space - 1));
	if (!version || version == space + 1 || end - version != 9 ||
		memcmp(version + 1, "HTTP/", 5) != 0 || version[7] != '.')
		return -400;
	if (version[6] != '1' || version[8] < '0' || version[8] > '9')
		return -505;
	for (const char *c = space + 1; c < version; c++)
		if (*c <= ' ' || *c == 0x7f)
			return -400;
	request->is_get = method == 3 && memcmp(line.text, "GET", 3) == 0;
	request->is_head = method == 4 && memcmp(line.text, "HEAD", 4) == 0;
	request->keep_alive = version[8] != '0';
	return 1;
}

static bool
equals(struct line value, const char *text)
{
	return value.size == strlen(text) &&
	       strncasecmp(value.text, text, value.size) == 0;
}

/* Whether a list with commas has `text` in it. */
static bool
lists(struct line value, const char *text)
{
	const char *at = value.text;
	const char *end = at + value.size;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		struct line item = {at, (size_t)((comma ? comma : end) - at)};

		while (item.size > 0 &&
			(*item.text == ' ' || *item.text == '\t'))
			item.text++, item.size--;
		while (item.size > 0 &&
			(item.text[item.size - 1] == ' ' ||
				item.text[item.size - 1] == '\t'))
			item.size--;
		if (equals(item, text))
			return true;
		at = comma ? comma + 1 : end;
	}
	return false;
}

static bool
parse_length(struct line value, uint64_t *ret_length)
{
	uint64_t length = 0;

	if (value.size == 0 || value.size > 18)
		return false;
	for (size_t i = 0; i < value.size; i++) {
		if (value.text[i] < '0' || value.text[i] > '9')
			return false;
		length = length * 10 + (uint64_t)(value.text[i] - '0');
	}
	*ret_length = length;
	return true;
}

/* What the fields have told so far. */
struct fields {
	unsigned hosts;
	bool has_length;
	bool has_coding;
	bool close;
	bool keep_alive;
};

static bool
parse_field(struct line line, struct request *request, struct fields *fields)
{
	const char *colon = memchr(line.text, ':', line.size);
	struct line name = {line.text, colon ? (size_t)(colon - line.text) : 0};
	struct line value;
	uint64_t length;

	if (name.size == 0)
		return false;
	for (size_t i = 0; i < name.size; i++)
		if (!is_token(name.text[i]))
			return false;
	value.text = colon + 1;
	value.size = line.size - name.size - 1;
	while (value.size > 0 && (*value.text == ' ' || *value.text == '\t'))
		value.text++, value.size--;
	while (value.size > 0 && (value.text[value.size - 1] == ' ' ||
					 value.text[value.size - 1] == '\t'))
		value.size--;
	if (memchr(value.text, '\0', value.size) ||
		memchr(value.text, '\r', value.size))
		return false;

	if (equals(name, "host")) {
		fields->hosts++;
	} else if (equals(name, "connection")) {
		fields->close |= lists(value, "close");
		fields->keep_alive |= lists(value, "keep-alive");
	} else if (equals(name, "transfer-encoding")) {
		fields->has_coding = true;
	} else if (equals(name, "expect")) {
		request->expects_continue = equals(value, "100-continue");
	} else if (equals(name, "content-length")) {
		if (!parse_length(value, &length) ||
			(fields->has_length && length != request->body_size))
			return false;
		fields->has_length = true;
		request->body_size = length;
	}
	return true;
}

int
request_parse(const char *bytes, size_t size, struct request *ret_request)
{
	struct request request = {0};
	struct fields fields = {0};
	const char *at = bytes;
	const char *end;
	struct line line;
	bool is_new;
	int result;

	request.head_size = head_size(bytes, size);
	if (request.head_size == 0)
		return 0;
	end = bytes + request.head_size;
	result = parse_request_line(next_line(&at, end), &request);
	if (result < 0)
		return result;
	is_new = request.keep_alive; /* 1.1 or later */
	while (line = next_line(&at, end), line.size > 0)
		if (!parse_field(line, &request, &fields))
			return -400;
	if (fields.hosts > 1 || (is_new && fields.hosts == 0) ||
		(fields.has_coding && (fields.has_length || !is_new)))
		return -400;
	if (fields.has_coding)
		return -411;
	request.expects_continue &= is_new && request.body_size > 0;
	request.keep_alive = !fields.close && (is_new || fields.keep_alive);
	*ret_request = request;
	return 1;
}
