/*
 * client_answer.c: cuts HTTP answers out of a stream, by their Content-Length.
 * Connections and columns are client_loop.c's.
 */
#include "client_answer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The value of a field of the head, up to `end`; NULL: there is none. */
static const char *
find_field(const char *head, const char *end, const char *name)
{
	size_t size = strlen(name);

	for (const char *line = head; line != NULL && line < end;
		line = strstr(line, "\r\n")) {
		line += line == head ? 0 : 2;
		if (line >= end)
			break;
		if (strncasecmp(line, name, size) != 0 || line[size] != ':')
			continue;
		line += size + 1;
		return line + strspn(line, " \t");
	}
	return NULL;
}

static bool
says(const char *value, const char *word)
{
	return value != NULL && strncasecmp(value, word, strlen(word)) == 0;
}

int
client_answer_parse(
	const char *bytes, size_t size, struct client_answer *ret_answer)
{
	static const char version[] = "HTTP/1.";
	size_t begun = size < sizeof(version) - 1 ? size : sizeof(version) - 1;
	const char *end, *length, *connection;
	struct client_answer answer = {0};

	if (strncmp(bytes, version, begun) != 0)
		return -1;
	end = strstr(bytes, "\r\n\r\n");
	if (end == NULL)
		return 0;
	length = find_field(bytes, end, "Content-Length");
	if (length == NULL || !isdigit((unsigned char)*length) ||
		bytes[8] != ' ')
		return -1;
	answer.status = atoi(bytes + 9);
	answer.body = end + 4;
	answer.body_size = strtoul(length, NULL, 10);
	answer.size = (size_t)(answer.body - bytes) + answer.body_size;
	if (size < answer.size)
		return 0;
	connection = find_field(bytes, end, "Connection");
	answer.is_last = says(connection, "close") ||
			 (bytes[7] == '0' && !says(connection, "keep-alive"));
	*ret_answer = answer;
	return 1;
}

unsigned
client_answer_worker(const struct client_answer *answer)
{
	static const char word[] = "worker ";
	const char *at =
		memmem(answer->body, answer->body_size, word, sizeof(word) - 1);

	return at != NULL ? (unsigned)strtoul(at + sizeof(word) - 1, NULL, 10)
			  : 0;
}
