/* Topics, patterns, and the trie against a matcher that asks each in turn. */
#include "protocol/topic.h"
#include "protocol/topic_trie.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERNS = 400, NODES = 1 << 16 };

static bool
is_name(const char *text)
{
	return topic_is_name(text, strlen(text));
}

static bool
is_pattern(const char *text)
{
	return topic_is_pattern(text, strlen(text));
}

Test(topic, names_are_tokens_with_dots_between)
{
	char text[300];

	cr_expect(is_name("a"));
	cr_expect(is_name("orders.4711.paid"));
	cr_expect(is_name("A-Z_0.-.__"));
	for (const char *const *bad = (const char *const[]){"", ".", "a.", ".a",
		     "a..b", "a b", "a.*", ">", "*", "a/b", "\xc3\xa4", "a\n",
		     NULL};
		*bad != NULL; bad++)
		cr_expect_not(is_name(*bad), "%s", *bad);
	cr_expect_not(topic_is_name("a\0b", 3));
	memset(text, 'x', sizeof text);
	cr_expect(topic_is_name(text, 255));
	cr_expect_not(topic_is_name(text, 256));
}

Test(topic, patterns_may_be_wild_in_whole_tokens)
{
	for (const char *const *good = (const char *const[]){"a", "*", ">",
		     "a.*", "*.a", "a.>", "*.*.>", "orders.*.paid", NULL};
		*good != NULL; good++)
		cr_expect(is_pattern(*good), "%s", *good);
	for (const char *const *bad = (const char *const[]){"", "a.>.b", ">.a",
		     "a*", "*a", "**", ">>", "a.>x", ".>", "*.", NULL};
		*bad != NULL; bad++)
		cr_expect_not(is_pattern(*bad), "%s", *bad);
}

/* The trie ------------------------------------------------------------------
 */

struct one {
	struct topic_entry entry;
	char pattern[64];
	int visits;
};

static struct topic_trie trie;
static struct one ones[PATTERNS];

/* One token after the other, as the protocol's page says it. */
static bool
matches(const char *pattern, const char *topic)
{
	for (;;) {
		size_t p = topic_token(pattern, strlen(pattern));
		size_t t = topic_token(topic, strlen(topic));

		if (p == 1 && *pattern == '>')
			return true;
		if (!(p == 1 && *pattern == '*') &&
			(p != t || memcmp(pattern, topic, p) != 0))
			return false;
		if (pattern[p] == '\0' || topic[t] == '\0')
			return pattern[p] == topic[t];
		pattern += p + 1;
		topic += t + 1;
	}
}

static void
visit(void *context, struct topic_entry *entry)
{
	(void)context;
	((struct one *)(void *)entry)->visits++;
}

static void
make_text(char *text, bool is_pattern)
{
	static const char *const tokens[] = {"a", "b", "cc", "*", ">"};
	int count = 1 + rand() % 5;

	*text = '\0';
	for (int i = 0; i < count; i++) {
		int kinds = !is_pattern ? 3 : i == count - 1 ? 5 : 4;

		strcat(text, i > 0 ? "." : "");
		strcat(text, tokens[rand() % kinds]);
	}
}

static void
compare(const char *topic)
{
	topic_trie_match(&trie, topic, strlen(topic), visit, NULL);
	for (int i = 0; i < PATTERNS; i++) {
		int wanted = ones[i].entry.node != NULL &&
			     matches(ones[i].pattern, topic);

		cr_assert_eq(ones[i].visits, wanted, "%s of %s: %d",
			ones[i].pattern, topic, ones[i].visits);
		ones[i].visits = 0;
	}
}

Test(topic, the_trie_finds_what_a_search_finds)
{
	char topic[64];

	srand(7);
	cr_assert_eq(topic_trie_init(&trie, NODES), 0);
	for (int round = 0; round < 2000; round++) {
		struct one *one = &ones[rand() % PATTERNS];

		if (one->entry.node != NULL) {
			topic_trie_remove(&trie, &one->entry);
		} else {
			make_text(one->pattern, true);
			cr_assert(is_pattern(one->pattern));
			cr_assert_eq(topic_trie_add(&trie, one->pattern,
					     strlen(one->pattern), &one->entry),
				0);
		}
		make_text(topic, false);
		compare(topic);
	}
	for (int i = 0; i < PATTERNS; i++)
		topic_trie_remove(&trie, &ones[i].entry);
	cr_expect_eq(trie.nodes, 0, "%u are left", trie.nodes);
	compare("a.b");
	topic_trie_fini(&trie);
}

Test(topic, entries_of_one_pattern_are_found_by_it)
{
	struct topic_entry entries[3] = {{.node = NULL}};
	int found = 0;

	cr_assert_eq(topic_trie_init(&trie, NODES), 0);
	cr_expect_null(topic_trie_find(&trie, "a.>", 3));
	for (int i = 0; i < 3; i++)
		cr_assert_eq(topic_trie_add(&trie, "a.>", 3, &entries[i]), 0);
	cr_expect_null(topic_trie_find(&trie, "a", 1));
	topic_trie_remove(&trie, &entries[1]);
	for (struct topic_entry *e = topic_trie_find(&trie, "a.>", 3);
		e != NULL; e = e->next)
		found++;
	cr_expect_eq(found, 2);
	topic_trie_fini(&trie);
}

Test(topic, nodes_have_a_bound)
{
	struct topic_entry first = {.node = NULL}, second = {.node = NULL};

	cr_assert_eq(topic_trie_init(&trie, 3), 0);
	cr_expect_eq(topic_trie_add(&trie, "a.b.c.d", 7, &first), -ENOSPC);
	cr_expect_eq(trie.nodes, 0);
	cr_expect_eq(topic_trie_add(&trie, "a.b.c", 5, &first), 0);
	cr_expect_eq(topic_trie_add(&trie, "a.b.c.>", 7, &second), 0);
	topic_trie_remove(&trie, &first);
	cr_expect_eq(trie.nodes, 3);
	topic_trie_remove(&trie, &second);
	cr_expect_eq(trie.nodes, 0);
	topic_trie_fini(&trie);
}

Test(topic, the_longest_topic_and_the_most_branches)
{
	struct one *deep = calloc(1 << 12, sizeof(*deep));
	char topic[256], pattern[256];

	/* All ways to write 12 tokens as `a` or `*`. */
	cr_assert_eq(topic_trie_init(&trie, NODES), 0);
	for (int i = 0; i < 1 << 12; i++) {
		for (int t = 0; t < 12; t++) {
			pattern[2 * t] = i >> t & 1 ? '*' : 'a';
			pattern[2 * t + 1] = '.';
		}
		cr_assert_eq(
			topic_trie_add(&trie, pattern, 23, &deep[i].entry), 0);
	}
	topic_trie_match(&trie, "a.a.a.a.a.a.a.a.a.a.a.a", 23, visit, NULL);
	for (int i = 0; i < 1 << 12; i++)
		cr_assert_eq(deep[i].visits, 1);
	topic_trie_fini(&trie);

	cr_assert_eq(topic_trie_init(&trie, NODES), 0);
	for (int i = 0; i < 255; i++) {
		topic[i] = i % 2 ? '.' : 'a';
		pattern[i] = i % 2 ? '.' : '*';
	}
	memset(deep, 0, sizeof(*deep));
	cr_assert(topic_is_name(topic, 255));
	cr_assert_eq(topic_trie_add(&trie, pattern, 255, &deep[0].entry), 0);
	topic_trie_match(&trie, topic, 255, visit, NULL);
	cr_expect_eq(deep[0].visits, 1);
	topic_trie_fini(&trie);
	free(deep);
}
