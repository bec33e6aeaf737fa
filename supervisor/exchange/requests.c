/*
 * requests.c: the table of open requests. It keeps rows, numbers, deadlines and
 * the two ways to find one. What an answer or a time-out means for anybody is
 * router.c's.
 */
#include "requests.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	REQUESTS_ROW_BITS = 16,
	REQUESTS_ROW_MASK = (1 << REQUESTS_ROW_BITS) - 1,
	REQUESTS_HASH_FIRST = 64,
};

_Static_assert(MEMORY_REQUESTS_MAX == 1 << REQUESTS_ROW_BITS,
	"a number holds its row");

int
requests_init(struct requests *requests, struct ev_loop *loop,
	struct memory *memory, void (*expired)(struct request *request))
{
	memset(requests, 0, sizeof *requests);
	requests->loop = loop;
	requests->memory = memory;
	requests->expired = expired;
	requests->used = memory_requests_used(memory);
	requests->serial = 1;
	requests->hash = calloc(REQUESTS_HASH_FIRST, sizeof *requests->hash);
	if (requests->hash == NULL)
		return -ENOMEM;
	requests->hash_size = REQUESTS_HASH_FIRST;
	return 0;
}

static struct request *
requests_at(struct requests *requests, uint32_t row)
{
	struct request *chunk = requests->chunks[row / REQUESTS_CHUNK];

	return chunk == NULL ? NULL : &chunk[row % REQUESTS_CHUNK];
}

void
requests_fini(struct requests *requests)
{
	for (uint32_t row = 0; row < requests->used; row++) {
		struct request *request = requests_at(requests, row);

		if (request != NULL && request->number != 0)
			ev_timer_stop(requests->loop, &request->timer);
	}
	for (size_t i = 0; i < MEMORY_REQUESTS_MAX / REQUESTS_CHUNK; i++)
		free(requests->chunks[i]);
	free(requests->hash);
	free(requests->free_rows);
	memset(requests, 0, sizeof *requests);
}

static void
requests_on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct request *request = list_member(timer, struct request, timer);

	(void)loop;
	(void)events;
	request->table->expired(request);
}

/* The struct of a row; made when the row is first used. */
static struct request *
requests_make(struct requests *requests, uint32_t row)
{
	struct request **chunk = &requests->chunks[row / REQUESTS_CHUNK];

	if (*chunk == NULL) {
		*chunk = calloc(REQUESTS_CHUNK, sizeof **chunk);
		if (*chunk == NULL)
			return NULL;
		for (uint32_t i = 0; i < REQUESTS_CHUNK; i++) {
			struct request *request = &(*chunk)[i];

			request->table = requests;
			list_init(&request->of_asker);
			list_init(&request->of_asked);
			ev_init(&request->timer, requests_on_timer);
		}
	}
	return requests_at(requests, row);
}

static uint32_t
requests_row(const struct request *request)
{
	return (uint32_t)(request->number & REQUESTS_ROW_MASK);
}

/* Finding by asker ------------------------------------------------------ */

static uint32_t
requests_bucket(const struct requests *requests, uint32_t channel, uint64_t id)
{
	uint64_t mixed =
		(id ^ ((uint64_t)channel << 40)) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(mixed >> 32) & (requests->hash_size - 1);
}

static void
requests_hash_put(struct requests *requests, struct request *request)
{
	struct request **bucket = &requests->hash[requests_bucket(
		requests, request->asker_channel, request->asker_id)];

	request->next_hashed = *bucket;
	*bucket = request;
}

static void
requests_hash_remove(struct requests *requests, struct request *request)
{
	struct request **at = &requests->hash[requests_bucket(
		requests, request->asker_channel, request->asker_id)];

	while (*at != NULL && *at != request)
		at = &(*at)->next_hashed;
	if (*at != NULL)
		*at = request->next_hashed;
}

/* More buckets when they fill up; without memory the chains grow longer. */
static void
requests_hash_grow(struct requests *requests)
{
	uint32_t old_size = requests->hash_size;
	struct request **old = requests->hash, **grown;

	if (requests->open < old_size || old_size >= MEMORY_REQUESTS_MAX)
		return;
	grown = calloc(old_size * 2, sizeof(struct request *));
	if (grown == NULL)
		return;
	requests->hash = grown;
	requests->hash_size = old_size * 2;
	for (uint32_t i = 0; i < old_size; i++) {
		while (old[i] != NULL) {
			struct request *request = old[i];

			old[i] = request->next_hashed;
			requests_hash_put(requests, request);
		}
	}
	free(old);
}

struct request *
requests_find_of_asker(
	struct requests *requests, uint32_t asker_channel, uint64_t asker_id)
{
	struct request *request = requests->hash[requests_bucket(
		requests, asker_channel, asker_id)];

	while (request != NULL && (request->asker_channel != asker_channel ||
					  request->asker_id != asker_id))
		request = request->next_hashed;
	return request;
}

struct request *
requests_find(struct requests *requests, uint64_t number)
{
	uint32_t row = (uint32_t)(number & REQUESTS_ROW_MASK);
	struct request *request;

	if (number == 0 || row >= requests->used)
		return NULL;
	request = requests_at(requests, row);
	if (request == NULL || request->number != number)
		return NULL;
	return request;
}

/* Opening and closing --------------------------------------------------- */

static void
requests_start_timer(struct requests *requests, struct request *request)
{
	double left;

	if (request->deadline_ns == 0)
		return;
	left = (double)(request->deadline_ns - clock_now().ns) / 1e9;
	ev_now_update(requests->loop);
	ev_timer_set(&request->timer, left > 0 ? left : 0, 0);
	ev_timer_start(requests->loop, &request->timer);
}

struct request *
requests_open(struct requests *requests, struct peer *asker,
	struct link *asking, uint32_t asker_channel, uint64_t asker_id,
	uint32_t concerning, uint32_t timeout_ms)
{
	struct request *request;
	uint32_t row;

	if (requests->free_count > 0)
		row = requests->free_rows[requests->free_count - 1];
	else if (requests->used < MEMORY_REQUESTS_MAX)
		row = requests->used;
	else
		return NULL;
	request = requests_make(requests, row);
	if (request == NULL)
		return NULL;
	if (row == requests->used)
		requests->used++;
	else
		requests->free_count--;

	request->number = row; /* with a serial when it is assigned */
	request->asker = asker;
	request->asked = NULL;
	request->asked_id = 0;
	request->asker_channel = asker_channel;
	request->asker_id = asker_id;
	request->concerning = concerning;
	request->deadline_ns =
		timeout_ms == 0 ? 0
				: clock_after_ms(clock_now(), timeout_ms).ns;
	list_append(asking, &request->of_asker);
	requests->open++;
	requests_hash_grow(requests);
	requests_hash_put(requests, request);
	requests_start_timer(requests, request);
	return request;
}

void
requests_assign(struct requests *requests, struct request *request,
	struct peer *asked, struct link *answering, uint32_t asked_channel,
	uint64_t asked_process, uint64_t asker_process, uint32_t asked_id)
{
	uint32_t row = requests_row(request);
	struct memory_request record;

	request->number = (requests->serial++ << REQUESTS_ROW_BITS) | row;
	request->asked = asked;
	request->asked_id = asked_id;
	list_remove(&request->of_asked);
	if (answering != NULL)
		list_append(answering, &request->of_asked);
	record = (struct memory_request){
		.number = request->number,
		.asker_process = asker_process,
		.asker_id = request->asker_id,
		.asked_process = asked_process,
		.deadline_ns = request->deadline_ns,
		.asker_channel = request->asker_channel,
		.asked_channel = asked_channel,
		.asked_id = asked_id,
		.concerning = request->concerning,
	};
	memory_write_request(requests->memory, row, &record);
}

/* Without memory for the list a row is lost until the next brain. */
static void
requests_free_row(struct requests *requests, uint32_t row)
{
	if (requests->free_count == requests->free_room) {
		uint32_t room = requests->free_room == 0
					? REQUESTS_CHUNK
					: requests->free_room * 2;
		uint32_t *rows =
			realloc(requests->free_rows, room * sizeof *rows);

		if (rows == NULL)
			return;
		requests->free_rows = rows;
		requests->free_room = room;
	}
	requests->free_rows[requests->free_count++] = row;
}

void
requests_close(struct requests *requests, struct request *request)
{
	uint32_t row = requests_row(request);
	/* The last number stays with the free row: serials never go back. */
	struct memory_request record = {.asker_id = request->number};

	memory_write_request(requests->memory, row, &record);
	ev_timer_stop(requests->loop, &request->timer);
	list_remove(&request->of_asker);
	list_remove(&request->of_asked);
	requests_hash_remove(requests, request);
	request->number = 0;
	request->asker = request->asked = NULL;
	requests->open--;
	requests_free_row(requests, row);
}

/* Takes one row over. Returns false when it can't be: it is set free. */
static bool
requests_recover_row(struct requests *requests, uint32_t row,
	const struct memory_request *record,
	bool (*adopt)(void *context, struct request *request,
		const struct memory_request *row),
	void *context)
{
	struct request *request;

	if (record->number == 0 || (record->number & REQUESTS_ROW_MASK) != row)
		return false;
	request = requests_make(requests, row);
	if (request == NULL)
		return false;
	request->number = record->number;
	request->asker_id = record->asker_id;
	request->asker_channel = record->asker_channel;
	request->asked_id = record->asked_id;
	request->concerning = record->concerning;
	request->deadline_ns = record->deadline_ns;
	if (!adopt(context, request, record)) {
		request->number = 0;
		return false;
	}
	requests->open++;
	requests_hash_grow(requests);
	requests_hash_put(requests, request);
	requests_start_timer(requests, request);
	return true;
}

void
requests_recover(struct requests *requests,
	bool (*adopt)(void *context, struct request *request,
		const struct memory_request *row),
	void *context)
{
	for (uint32_t row = requests->used; row-- > 0;) {
		struct memory_request record = {.number = 0};
		uint64_t last;

		if (memory_read_request(requests->memory, row, &record) == 0) {
			last = record.number != 0 ? record.number
						  : record.asker_id;
			if (last >> REQUESTS_ROW_BITS >= requests->serial)
				requests->serial =
					(last >> REQUESTS_ROW_BITS) + 1;
		}
		if (!requests_recover_row(
			    requests, row, &record, adopt, context)) {
			struct memory_request free_record = {
				.asker_id = requests->serial
					    << REQUESTS_ROW_BITS};

			memory_write_request(
				requests->memory, row, &free_record);
			requests_free_row(requests, row);
		}
	}
}
