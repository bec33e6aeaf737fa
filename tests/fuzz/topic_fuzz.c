/*
 * topic_fuzz.c: any topics and patterns into the grammar and the trie, against
 * a matcher that asks each pattern in turn.
 *
 * The input is lines: `+PATTERN` adds, `-N` takes out the one in place N,
 * anything else is matched as a topic.
 */
#include "protocol/topic.h"
#include "protocol/topic_trie.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES = 64, NODES = 4096 };

struct place {
	struct topic_entry entry;
	const char *pattern;
	size_t size;
	int visits;
};

struct state {
	struct topic_trie trie;
	struct place places[PLACES];
	size_t used;
};

static bool
matches(const char *pattern, size_t pattern_size, const char *topic,
	size_t topic_size)
{
	for (;;) {
		size_t p = topic_token(pattern, pattern_size);
		size_t t = topic_token(topic, topic_size);

		if (p == 1 && *pattern == '>')
			return true;
		if (!(p == 1 && *pattern == '*') &&
			(p != t || memcmp(pattern, topic, p) != 0))
			return false;
		if (p == pattern_size || t == topic_size)
			return p == pattern_size && t == topic_size;
		pattern += p + 1;
		pattern_size -= p + 1;
		topic += t + 1;
		topic_size -= t + 1;
	}
}

static void
visit(void *context, struct topic_entry *entry)
{
	(void)context;
	((struct place *)(void *)entry)->visits++;
}

static void
add(struct state *state, const char *text, size_t size)
{
	struct place *place = &state->places[state->used % PLACES];

	if (!topic_is_pattern(text, size))
		return;
	topic_trie_remove(&state->trie, &place->entry);
	place->pattern = text;
	place->size = size;
	if (topic_trie_add(&state->trie, text, size, &place->entry) == 0 &&
		topic_trie_find(&state->trie, text, size) == NULL)
		abort();
	state->used++;
}

static void
match(struct state *state, const char *text, size_t size)
{
	if (!topic_is_name(text, size))
		return;
	topic_trie_match(&state->trie, text, size, visit, NULL);
	for (int i = 0; i < PLACES; i++) {
		struct place *place = &state->places[i];
		bool wanted = place->entry.node != NULL &&
			      matches(place->pattern, place->size, text, size);

		if (place->visits != wanted)
			abort();
		place->visits = 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct state state = {.used = 0};
	const char *at = (const char *)bytes;

	if (topic_trie_init(&state.trie, NODES) < 0)
		abort();
	while (size > 0) {
		const char *end = memchr(at, '\n', size);
		size_t line = end ? (size_t)(end - at) : size;

		if (line > 0 && *at == '+')
			add(&state, at + 1, line - 1);
		else if (line > 1 && *at == '-')
			topic_trie_remove(&state.trie,
				&state.places[(uint8_t)at[1] % PLACES].entry);
		else
			match(&state, at, line);
		line += end != NULL;
		at += line;
		size -= line;
	}
	for (int i = 0; i < PLACES; i++)
		topic_trie_remove(&state.trie, &state.places[i].entry);
	if (state.trie.nodes != 0)
		abort();
	topic_trie_fini(&state.trie);
	return 0;
}
