/*
 * relay_node.h: Node's cluster doing the same (relay_cluster.js).
 */
#ifndef BENCH_RELAY_NODE_H
#define BENCH_RELAY_NODE_H

#include "relay_case.h"

struct relay_node;

/*
 * Starts `node script` with its two workers. Returns NULL, having said so on
 * stderr, where no node can be started. relay_node_free ends it; NULL is fine.
 */
struct relay_node *relay_node_new(const char *script);
void relay_node_free(struct relay_node **node);

/* Runs the case once for about `seconds`. False: node has ended or answers
 * nonsense; no further measurement is possible. */
bool relay_node_measure(struct relay_node *node, const struct relay_case *kase,
	double seconds, struct relay_result *ret_result);

#endif
