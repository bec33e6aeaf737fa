/*
 * topic.h: what a topic is, what a pattern of a subscription is.
 *
 * A topic is made of tokens of letters, digits, `_` and `-` with dots between
 * them: `orders.4711.paid`. In a pattern `*` stands for one token, and `>` as
 * the last token for one or more: `orders.*.paid`, `chat.>`. Both have 1 to
 * MUSTER_NAME_MAX bytes.
 *
 * May be called from any thread.
 */
#ifndef MUSTER_TOPIC_H
#define MUSTER_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

bool topic_is_name(const char *text, size_t size);
bool topic_is_pattern(const char *text, size_t size);

/* Bytes of the token at `text`, of which `size` are left. */
size_t topic_token(const char *text, size_t size);

#endif
