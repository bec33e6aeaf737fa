/*
 * topic_trie.h: who subscribed to a topic, found in a time that doesn't depend
 * on how many subscriptions there are.
 *
 * A tree of tokens. Its edges lie in one hash table (by parent and token), so a
 * step costs the same however many children a node has. For a topic of n tokens
 * the nodes are visited whose path matches: one a token, and one more for each
 * `*` of a pattern on the way.
 *
 * Entries are part of their owner's structs; the trie allocates nodes only.
 * One thread. Matching changes nothing and takes no memory.
 */
#ifndef MUSTER_TOPIC_TRIE_H
#define MUSTER_TOPIC_TRIE_H

#include <stddef.h>
#include <stdint.h>

struct topic_node;

/* One subscription; zeroed when it is in no trie. */
struct topic_entry {
	struct topic_node *node;
	struct topic_entry *next, **at; /* others of the same pattern */
};

struct topic_trie {
	struct topic_node *root;
	struct topic_node **buckets; /* edges */
	uint32_t bucket_count;	     /* a power of two */
	uint32_t nodes, nodes_max;
};

/* `nodes_max`: tokens of all patterns, common beginnings counted once. Returns
 * 0 or -ENOMEM. */
int topic_trie_init(struct topic_trie *trie, uint32_t nodes_max);

/* Frees the nodes; entries that are left in it are void. */
void topic_trie_fini(struct topic_trie *trie);

/*
 * Adds an entry for `pattern`, which was checked (topic_is_pattern).
 * Returns 0; -ENOMEM; -ENOSPC: more nodes than allowed. Then nothing changed.
 */
int topic_trie_add(struct topic_trie *trie, const char *pattern, size_t size,
	struct topic_entry *entry);

/* Takes it out; one that is in no trie is left alone. */
void topic_trie_remove(struct topic_trie *trie, struct topic_entry *entry);

/* The first entry of exactly this pattern, or NULL; others follow by `next`. */
struct topic_entry *topic_trie_find(
	const struct topic_trie *trie, const char *pattern, size_t size);

/*
 * Calls `visit` for each entry whose pattern matches `topic`, which was checked
 * (topic_is_name). `visit` must not change the trie.
 */
void topic_trie_match(const struct topic_trie *trie, const char *topic,
	size_t size, void (*visit)(void *context, struct topic_entry *entry),
	void *context);

#endif
