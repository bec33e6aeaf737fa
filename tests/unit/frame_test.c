/*
 * frame_test.c: the codec against frames.json, and the circle of sequences.
 */
#include "protocol/frame.h"

#include <criterion/criterion.h>
#include <jansson.h>

static json_t *
load(void)
{
	json_t *list = json_load_file(VECTORS "/frames.json", 0, NULL);

	cr_assert_gt(json_array_size(list), 10);
	return list;
}

static size_t
read_hex(const json_t *vector, const char *key, uint8_t *bytes, size_t room)
{
	const char *hex = json_string_value(json_object_get(vector, key));
	size_t size = strlen(hex) / 2;

	cr_assert_leq(size, room);
	for (size_t i = 0; i < size; i++) {
		unsigned byte;

		cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		bytes[i] = (uint8_t)byte;
	}
	return size;
}

static json_int_t
number(const json_t *frame, const char *key)
{
	return json_integer_value(json_object_get(frame, key));
}

static uint8_t
kind_number(const json_t *frame)
{
	static const char *const names[] = {
		"", "message", "request", "reply", "error", "publish"};
	const char *name = json_string_value(json_object_get(frame, "kind"));

	for (uint8_t i = 1; i < 6; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return 0;
}

Test(frame, reads_and_writes_the_vectors)
{
	json_t *list = load();
	json_t *vector;
	size_t index;
	size_t checked = 0;

	json_array_foreach(list, index, vector)
	{
		const json_t *frame = json_object_get(vector, "frame");
		const char *title =
			json_string_value(json_object_get(vector, "title"));
		uint8_t bytes[MUSTER_HEADER_SIZE];
		uint8_t again[MUSTER_HEADER_SIZE];
		uint8_t payload[2000];
		struct frame_header header;
		const char *name;
		char *body;
		size_t size;

		if (!frame)
			continue;
		checked++;
		cr_assert_eq(
			read_hex(vector, "header_hex", bytes, sizeof bytes),
			sizeof bytes);
		size = read_hex(vector, "payload_hex", payload, sizeof payload);
		frame_load(bytes, &header);
		name = json_string_value(json_object_get(frame, "name"));
		body = json_dumps(json_object_get(frame, "body"),
			JSON_COMPACT | JSON_ENCODE_ANY);
		cr_expect_eq(frame_check(&header, 1000), FRAME_OK, "%s", title);
		cr_expect_eq(header.size, size, "%s", title);
		cr_expect_eq(header.kind, kind_number(frame), "%s", title);
		cr_expect_eq(header.flags, number(frame, "flags"));
		cr_expect_eq(header.from, number(frame, "from"));
		cr_expect_eq(header.to, number(frame, "to"));
		cr_expect_eq(header.id, (uint64_t)number(frame, "id"));
		cr_expect_eq(header.timeout_ms, number(frame, "timeout_ms"));
		cr_expect_eq(header.sequence, number(frame, "sequence"));
		cr_expect_eq(header.name_size, name ? strlen(name) : 0);
		cr_expect_eq(
			memcmp(payload, name ? name : "", header.name_size), 0);
		cr_assert_eq(strlen(body), size - header.name_size);
		cr_expect_eq(
			memcmp(payload + header.name_size, body, strlen(body)),
			0);
		frame_store(again, &header);
		cr_expect_eq(memcmp(bytes, again, sizeof bytes), 0);
		free(body);
	}
	cr_expect_gt(checked, 8);
	json_decref(list);
}

Test(frame, names_the_rule_that_a_wrong_one_breaks)
{
	json_t *list = load();
	json_t *vector;
	size_t index;
	size_t checked = 0;

	json_array_foreach(list, index, vector)
	{
		const char *fault =
			json_string_value(json_object_get(vector, "fault"));
		uint8_t bytes[MUSTER_HEADER_SIZE];
		struct frame_header header;
		enum frame_fault found;

		if (!fault)
			continue;
		checked++;
		read_hex(vector, "header_hex", bytes, sizeof bytes);
		frame_load(bytes, &header);
		found = frame_check(
			&header, (uint32_t)number(vector, "max_message"));
		cr_expect_str_eq(frame_fault_text(found), fault);
	}
	cr_expect_gt(checked, 8);
	json_decref(list);
}

Test(frame, stamps_single_fields)
{
	uint8_t bytes[MUSTER_HEADER_SIZE + 1];
	struct frame_header header = {.size = 1,
		.kind = MUSTER_MESSAGE,
		.from = 1,
		.to = 2,
		.id = 3,
		.timeout_ms = 4,
		.sequence = 5};
	struct frame_header read;

	frame_store(bytes + 1, &header); /* any alignment */
	frame_stamp_from(bytes + 1, 0x01020304);
	frame_stamp_id(bytes + 1, UINT64_MAX);
	frame_stamp_sequence(bytes + 1, 77);
	frame_load(bytes + 1, &read);
	cr_expect_eq(read.from, 0x01020304);
	cr_expect_eq(read.id, UINT64_MAX);
	cr_expect_eq(read.sequence, 77);
	cr_expect_eq(read.size, 1);
	cr_expect_eq(read.to, 2);
	cr_expect_eq(read.timeout_ms, 4);
}

Test(frame, sequences_go_round_without_0)
{
	cr_expect_eq(frame_next_sequence(0), 1);
	cr_expect_eq(frame_next_sequence(1), 2);
	cr_expect_eq(frame_next_sequence(UINT32_MAX), 1);
	cr_expect_eq(frame_sequence_distance(5, 5), 0);
	cr_expect_eq(frame_sequence_distance(5, 9), 4);
	cr_expect_eq(frame_sequence_distance(9, 5), -4);
	cr_expect_eq(frame_sequence_distance(UINT32_MAX, 1), 1);
	cr_expect_eq(frame_sequence_distance(1, UINT32_MAX), -1);
	cr_expect_eq(frame_sequence_distance(UINT32_MAX - 1, 3), 4);
}
