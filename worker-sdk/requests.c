/*
 * requests.c: the requests of this worker that are under way.
 *
 * Each has a row in a table; its id names the row, so that an answer finds it
 * without a search, and carries a counter, so that an old answer finds nothing.
 * Time-outs are the supervisor's: it answers each request once. The rows
 * outlive a channel, since the supervisor remembers them too.
 */
#include "handle.h"

#include <stdlib.h>

enum {
	ROWS_FIRST = 16,
	ROWS_MAX = MUSTER_OPEN_REQUESTS_SENDER,
	ROW_BITS = 15, /* of an id, above the lowest bit */
};

static int
more_rows(struct muster *muster)
{
	uint32_t size = muster->requests_size;
	uint32_t want = size == 0 ? ROWS_FIRST : size * 2;
	struct open_request *rows;

	if (want > ROWS_MAX)
		return -ENOBUFS;
	rows = realloc(muster->requests, want * sizeof *rows);
	if (!rows)
		return -ENOMEM;
	for (uint32_t i = want; i > size; i--) {
		rows[i - 1] = (struct open_request){
			.next_free = muster->requests_free,
		};
		muster->requests_free = i;
	}
	muster->requests = rows;
	muster->requests_size = want;
	return 0;
}

/* Gives the id that the next request will have. */
static int
peek_row(struct muster *muster, uint64_t *ret_id)
{
	if (muster->requests_free == 0) {
		int result = more_rows(muster);

		if (result < 0)
			return result;
	}
	*ret_id = (muster->last_request + 1) << (ROW_BITS + 1) |
		  (uint64_t)(muster->requests_free - 1) << 1 | 1;
	return 0;
}

static struct open_request *
take_row(struct muster *muster, uint64_t id, enum answer_kind kind, void *data)
{
	struct open_request *row = &muster->requests[muster->requests_free - 1];

	muster->requests_free = row->next_free;
	muster->requests_open++;
	muster->last_request++;
	*row = (struct open_request){.id = id, .kind = kind, .data = data};
	return row;
}

static struct open_request *
find_row(const struct muster *muster, uint64_t id)
{
	uint64_t row = id >> 1 & ((1u << ROW_BITS) - 1);

	if (row >= muster->requests_size || muster->requests[row].id != id)
		return NULL;
	return &muster->requests[row];
}

/* Frees the row before anyone is called: a callback may ask again. */
static struct open_request
free_row(struct muster *muster, struct open_request *row)
{
	struct open_request copy = *row;

	*row = (struct open_request){.next_free = muster->requests_free};
	muster->requests_free = (uint32_t)(row - muster->requests) + 1;
	muster->requests_open--;
	return copy;
}

uint64_t
requests_open_resume(struct muster *muster)
{
	uint64_t id;

	if (peek_row(muster, &id) < 0)
		return 0;
	(void)take_row(muster, id, ANSWER_RESUME, NULL);
	muster->resume_request = id;
	return id;
}

void
requests_forget_resume(struct muster *muster)
{
	struct open_request *row = NULL;

	if (muster->resume_request != 0)
		row = find_row(muster, muster->resume_request);
	if (row)
		(void)free_row(muster, row);
	muster->resume_request = 0;
}

void
requests_fini(struct muster *muster)
{
	free(muster->requests);
	muster->requests = NULL;
}

/* Asking ------------------------------------------------------------------ */

int
muster_request_text(struct muster *muster, uint32_t to, const char *app,
	const char *text, size_t size, uint32_t timeout_ms,
	muster_answer_fn *fn, void *data)
{
	struct frame_header header = {
		.kind = MUSTER_REQUEST,
		.to = to,
		.timeout_ms = timeout_ms,
	};
	int result;

	if (to == MUSTER_TO_ALL)
		return -EINVAL;
	result = peek_row(muster, &header.id);
	if (result == 0)
		result = send_text(muster, &header, app, text, size);
	if (result == 0)
		take_row(muster, header.id, ANSWER_TEXT, data)->fn.answer = fn;
	return result;
}

int
muster_request(struct muster *muster, uint32_t to, const char *app,
	json_t *body, uint32_t timeout_ms, muster_answer_fn *fn, void *data)
{
	struct frame_header header = {
		.kind = MUSTER_REQUEST,
		.to = to,
		.timeout_ms = timeout_ms,
	};
	int result;

	if (to == MUSTER_TO_ALL)
		return -EINVAL;
	result = peek_row(muster, &header.id);
	if (result == 0)
		result = send_json(muster, &header, app, body);
	if (result == 0)
		take_row(muster, header.id, ANSWER_JSON, data)->fn.answer = fn;
	return result;
}

static json_t *
call_body(const char *method, json_t *params)
{
	if (params)
		return json_pack(
			"{s:s, s:O}", "method", method, "params", params);
	return json_pack("{s:s, s:{}}", "method", method, "params");
}

int
muster_call(struct muster *muster, const char *method, json_t *params,
	muster_answer_fn *fn, void *data)
{
	json_t *body = call_body(method, params);
	int result;

	if (!body)
		return -EINVAL;
	result = muster_request(
		muster, MUSTER_TO_SUPERVISOR, NULL, body, 0, fn, data);
	json_decref(body);
	return result;
}

/* What a guest has no part in. */
static int
call_as_worker(struct muster *muster, const char *method, json_t *params)
{
	if (muster->is_guest)
		return -EINVAL;
	return muster_call(muster, method, params, NULL, NULL);
}

int
muster_ready(struct muster *muster)
{
	return call_as_worker(muster, "ready", NULL);
}

int
muster_stopping(struct muster *muster)
{
	return call_as_worker(muster, "stopping", NULL);
}

int
muster_heartbeat(struct muster *muster)
{
	return call_as_worker(muster, "heartbeat", NULL);
}

int
muster_extend(struct muster *muster, uint32_t ms)
{
	json_t *params = json_pack("{s:I}", "ms", (json_int_t)ms);
	int result = -ENOMEM;

	if (params)
		result = call_as_worker(muster, "extend", params);
	json_decref(params);
	return result;
}

int
muster_workers(struct muster *muster, const char *app, muster_workers_fn *fn,
	void *data)
{
	struct frame_header header = {.kind = MUSTER_REQUEST};
	json_t *params = app ? json_pack("{s:s}", "app", app) : json_object();
	json_t *body = params ? call_body("workers", params) : NULL;
	int result = -EINVAL;

	json_decref(params);
	if (body)
		result = peek_row(muster, &header.id);
	if (result == 0 && body)
		result = send_json(muster, &header, NULL, body);
	if (result == 0)
		take_row(muster, header.id, ANSWER_WORKERS, data)->fn.workers =
			fn;
	json_decref(body);
	return result;
}

/* Answers ----------------------------------------------------------------- */

json_t *
requests_parse_error(const struct channel_frame *frame, const char **ret_code,
	const char **ret_message)
{
	json_t *body =
		json_loadb(frame->body, frame->size, HANDLE_JSON_FLAGS, NULL);
	const char *code = json_string_value(json_object_get(body, "code"));
	const char *message =
		json_string_value(json_object_get(body, "message"));

	*ret_code = code ? code : "bad-body";
	*ret_message = message ? message : "";
	return body;
}

static uint32_t
read_u32(const json_t *object, const char *key)
{
	json_int_t number = json_integer_value(json_object_get(object, key));

	return number < 0 || number > UINT32_MAX ? 0 : (uint32_t)number;
}

static const char *
read_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void
tell_workers(struct muster *muster, const struct open_request *request,
	const struct muster_answer *answer)
{
	const json_t *list = json_object_get(answer->body, "workers");
	size_t count = json_array_size(list);
	struct muster_worker *workers = NULL;
	const char *code = answer->code;

	if (!request->fn.workers)
		return;
	if (!code && !json_is_array(list))
		code = "bad-body";
	if (!code && count > 0) {
		workers = calloc(count, sizeof *workers);
		if (!workers)
			code = "no-memory";
	}
	if (code)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		const json_t *entry = json_array_get(list, i);

		workers[i] = (struct muster_worker){
			.id = read_u32(entry, "id"),
			.instance = read_u32(entry, "instance"),
			.app = read_text(entry, "app"),
			.state = read_text(entry, "state"),
		};
	}
	request->fn.workers(muster, code, workers, count, request->data);
	free(workers);
}

static void
tell(struct muster *muster, const struct open_request *request,
	const struct muster_answer *answer)
{
	if (request->kind == ANSWER_WORKERS)
		tell_workers(muster, request, answer);
	else if (request->kind == ANSWER_RESUME)
		events_resumed(
			muster, answer->body, answer->code, answer->message);
	else if (request->fn.answer)
		request->fn.answer(muster, answer, request->data);
}

/* Bodies are parsed for those only who look at them. */
static bool
wants_json(const struct open_request *request)
{
	switch (request->kind) {
	case ANSWER_JSON:
		return request->fn.answer != NULL;
	case ANSWER_WORKERS:
		return request->fn.workers != NULL;
	case ANSWER_RESUME:
		return true;
	case ANSWER_NONE:
	case ANSWER_TEXT:
		break;
	}
	return false;
}

void
requests_answer(struct muster *muster, const struct channel_frame *frame)
{
	struct open_request *row = find_row(muster, frame->header.id);
	struct muster_answer answer = {
		.message = "",
		.from = frame->header.from,
		.text = frame->body,
		.size = frame->size,
	};
	struct open_request request;
	json_t *body = NULL;

	if (!row) {
		muster->counters.stale_answers++;
		return;
	}
	request = free_row(muster, row);
	if (frame->header.kind == MUSTER_ERROR) {
		body = requests_parse_error(
			frame, &answer.code, &answer.message);
	} else if (wants_json(&request)) {
		body = answer.body = json_loadb(
			frame->body, frame->size, HANDLE_JSON_FLAGS, NULL);
		if (!body)
			answer.code = "bad-body";
	}
	if (!body && answer.code)
		muster->counters.bad_bodies++;
	tell(muster, &request, &answer);
	json_decref(body);
}

void
requests_lose(struct muster *muster)
{
	const struct muster_answer lost = {
		.code = "lost",
		.message = "the channel has ended",
	};

	/* None can be added: sending is refused by now. */
	for (uint32_t i = 0; i < muster->requests_size && !muster->detached;
		i++) {
		struct open_request request;

		if (muster->requests[i].id == 0)
			continue;
		request = free_row(muster, &muster->requests[i]);
		if (request.kind != ANSWER_RESUME)
			tell(muster, &request, &lost);
	}
}
