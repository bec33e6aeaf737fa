/*
 * topic_trie.c: patterns as paths in a tree of tokens.
 */
#include "topic_trie.h"

#include "protocol.h"
#include "topic.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	TRIE_BUCKETS_FIRST = 64,
	TRIE_TOKENS_MAX = MUSTER_NAME_MAX / 2 + 1,
};

struct topic_node {
	struct topic_node *parent;
	struct topic_node *next;  /* in the same bucket */
	struct topic_node *star;  /* the child for `*` */
	struct topic_entry *here; /* patterns that end here, … */
	struct topic_entry *rest; /* … and here with a `>` behind it */
	uint32_t hash;
	uint32_t children;
	uint8_t size;
	char token[];
};

struct token {
	const char *text;
	uint32_t size;
	uint32_t hash; /* of the text alone */
};

/* Takes a topic or a pattern apart; returns how many tokens it has. */
static uint32_t
trie_split(const char *text, size_t size, struct token *tokens)
{
	uint32_t count = 0;

	for (size_t at = 0; at < size && count < TRIE_TOKENS_MAX; count++) {
		struct token *token = &tokens[count];

		*token = (struct token){.text = text + at,
			.size = (uint32_t)topic_token(text + at, size - at),
			.hash = 2166136261u};
		for (uint32_t i = 0; i < token->size; i++)
			token->hash = (token->hash ^ (uint8_t)token->text[i]) *
				      16777619u;
		at += token->size + 1;
	}
	return count;
}

static bool
trie_is_wild(const struct token *token, char which)
{
	return token->size == 1 && *token->text == which;
}

/* Edges ------------------------------------------------------------------- */

/* Mixes the parent's address in: the same token stands below many. */
static uint32_t
trie_hash(const struct topic_node *parent, const struct token *token)
{
	uint64_t mixed = ((uintptr_t)parent >> 4 ^ token->hash) *
			 UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(mixed >> 32);
}

static struct topic_node *
trie_child(const struct topic_trie *trie, const struct topic_node *parent,
	const struct token *token)
{
	uint32_t hash;
	struct topic_node *node;

	if (parent->children == 0)
		return NULL;
	hash = trie_hash(parent, token);
	node = trie->buckets[hash & (trie->bucket_count - 1)];
	while (node != NULL &&
		(node->hash != hash || node->parent != parent ||
			node->size != token->size ||
			memcmp(node->token, token->text, token->size) != 0))
		node = node->next;
	return node;
}

/* Twice the buckets. Without memory it goes on with long chains. */
static void
trie_grow(struct topic_trie *trie)
{
	uint32_t count = trie->bucket_count * 2;
	struct topic_node **buckets = calloc(count, sizeof(*buckets));

	if (buckets == NULL)
		return;
	for (uint32_t i = 0; i < trie->bucket_count; i++) {
		struct topic_node *node = trie->buckets[i], *next;

		for (; node != NULL; node = next) {
			struct topic_node **at =
				&buckets[node->hash & (count - 1)];

			next = node->next;
			node->next = *at;
			*at = node;
		}
	}
	free(trie->buckets);
	trie->buckets = buckets;
	trie->bucket_count = count;
}

static int
trie_make(struct topic_trie *trie, struct topic_node *parent,
	const struct token *token, struct topic_node **ret_node)
{
	struct topic_node *node, **at;

	if (trie->nodes >= trie->nodes_max)
		return -ENOSPC;
	node = calloc(1, sizeof(*node) + token->size);
	if (node == NULL)
		return -ENOMEM;
	if (trie->nodes >= trie->bucket_count)
		trie_grow(trie);
	node->parent = parent;
	node->hash = trie_hash(parent, token);
	node->size = (uint8_t)token->size;
	memcpy(node->token, token->text, token->size);
	at = &trie->buckets[node->hash & (trie->bucket_count - 1)];
	node->next = *at;
	*at = node;
	if (trie_is_wild(token, '*'))
		parent->star = node;
	parent->children++;
	trie->nodes++;
	*ret_node = node;
	return 0;
}

/* Frees the node and those above it that serve nobody any more. */
static void
trie_prune(struct topic_trie *trie, struct topic_node *node)
{
	while (node->parent != NULL && node->children == 0 &&
		node->here == NULL && node->rest == NULL) {
		struct topic_node *parent = node->parent, **at;

		at = &trie->buckets[node->hash & (trie->bucket_count - 1)];
		while (*at != node)
			at = &(*at)->next;
		*at = node->next;
		if (parent->star == node)
			parent->star = NULL;
		parent->children--;
		trie->nodes--;
		free(node);
		node = parent;
	}
}

/* Entries ----------------------------------------------------------------- */

int
topic_trie_add(struct topic_trie *trie, const char *pattern, size_t size,
	struct topic_entry *entry)
{
	struct token tokens[TRIE_TOKENS_MAX];
	uint32_t count = trie_split(pattern, size, tokens);
	bool is_rest = count > 0 && trie_is_wild(&tokens[count - 1], '>');
	struct topic_node *node = trie->root;
	struct topic_entry **at;

	for (uint32_t i = 0; i < count - is_rest; i++) {
		struct topic_node *child = trie_child(trie, node, &tokens[i]);
		int r = 0;

		if (child == NULL)
			r = trie_make(trie, node, &tokens[i], &child);
		if (r < 0) {
			trie_prune(trie, node);
			return r;
		}
		node = child;
	}
	at = is_rest ? &node->rest : &node->here;
	*entry = (struct topic_entry){.node = node, .next = *at, .at = at};
	if (*at != NULL)
		(*at)->at = &entry->next;
	*at = entry;
	return 0;
}

void
topic_trie_remove(struct topic_trie *trie, struct topic_entry *entry)
{
	struct topic_node *node = entry->node;

	if (node == NULL)
		return;
	*entry->at = entry->next;
	if (entry->next != NULL)
		entry->next->at = entry->at;
	*entry = (struct topic_entry){.node = NULL};
	trie_prune(trie, node);
}

struct topic_entry *
topic_trie_find(const struct topic_trie *trie, const char *pattern, size_t size)
{
	struct token tokens[TRIE_TOKENS_MAX];
	uint32_t count = trie_split(pattern, size, tokens);
	bool is_rest = count > 0 && trie_is_wild(&tokens[count - 1], '>');
	const struct topic_node *node = trie->root;

	for (uint32_t i = 0; i < count - is_rest && node != NULL; i++)
		node = trie_child(trie, node, &tokens[i]);
	if (node == NULL)
		return NULL;
	return is_rest ? node->rest : node->here;
}

/* Matching ---------------------------------------------------------------- */

/* The path to `node` matches the first `depth` tokens. */
struct step {
	const struct topic_node *node;
	uint32_t depth;
};

static void
trie_visit(struct topic_entry *entry,
	void (*visit)(void *context, struct topic_entry *entry), void *context)
{
	for (; entry != NULL; entry = entry->next)
		visit(context, entry);
}

void
topic_trie_match(const struct topic_trie *trie, const char *topic, size_t size,
	void (*visit)(void *context, struct topic_entry *entry), void *context)
{
	struct token tokens[TRIE_TOKENS_MAX];
	uint32_t count = trie_split(topic, size, tokens);
	/* Depth first: what waits is at most one sibling a token. */
	struct step steps[TRIE_TOKENS_MAX + 1] = {{trie->root, 0}};
	uint32_t waiting = 1;

	while (waiting > 0) {
		struct step step = steps[--waiting];
		const struct topic_node *child;

		if (step.depth == count) {
			trie_visit(step.node->here, visit, context);
			continue;
		}
		trie_visit(step.node->rest, visit, context);
		if (step.node->star != NULL)
			steps[waiting++] =
				(struct step){step.node->star, step.depth + 1};
		child = trie_child(trie, step.node, &tokens[step.depth]);
		if (child != NULL)
			steps[waiting++] = (struct step){child, step.depth + 1};
	}
}

/* Life -------------------------------------------------------------------- */

int
topic_trie_init(struct topic_trie *trie, uint32_t nodes_max)
{
	*trie = (struct topic_trie){
		.bucket_count = TRIE_BUCKETS_FIRST, .nodes_max = nodes_max};
	trie->root = calloc(1, sizeof(*trie->root));
	trie->buckets = calloc(TRIE_BUCKETS_FIRST, sizeof(*trie->buckets));
	if (trie->root != NULL && trie->buckets != NULL)
		return 0;
	topic_trie_fini(trie);
	return -ENOMEM;
}

void
topic_trie_fini(struct topic_trie *trie)
{
	for (uint32_t i = 0; i < trie->bucket_count && trie->buckets; i++) {
		struct topic_node *node = trie->buckets[i], *next;

		for (; node != NULL; node = next) {
			next = node->next;
			free(node);
		}
	}
	free(trie->buckets);
	free(trie->root);
	*trie = (struct topic_trie){.root = NULL};
}
