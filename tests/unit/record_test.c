/* record_test.c: a writer may die anywhere; a byte may go wrong. */
#include "base/record.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { SIZE = 40, PLACE = RECORD_PLACE_SIZE(SIZE) };

struct place {
	_Alignas(8) unsigned char bytes[PLACE];
};

TestSuite(record, .timeout = 20);

static void
write_filled(struct place *place, int fill)
{
	unsigned char payload[SIZE];

	memset(payload, fill, SIZE);
	record_write(place->bytes, payload, SIZE);
}

/* The byte that the newest copy is filled with, or a negative errno. */
static int
read_filled(const struct place *place)
{
	unsigned char payload[SIZE];
	int error = record_read(place->bytes, payload, SIZE);

	if (error)
		return error;
	for (int i = 1; i < SIZE; i++)
		if (payload[i] != payload[0])
			return 1000; /* a mixture */
	return payload[0];
}

Test(record, reads_the_newest)
{
	struct place place = {0};

	cr_assert_eq(read_filled(&place), -ENOENT);
	for (int i = 1; i <= 100; i++) {
		write_filled(&place, i);
		cr_assert_eq(read_filled(&place), i);
	}
}

/*
 * What a killed writer can leave: some of the payload's bytes new, then all
 * and the CRC or a part of it new, the counter always old.
 */
static void
cut_the_third_write(size_t bytes)
{
	struct place before = {0}, after, cut;
	size_t half = PLACE / 2, at;

	write_filled(&before, 1);
	write_filled(&before, 2);
	after = before;
	write_filled(&after, 3);
	cut = before;
	at = memcmp(before.bytes, after.bytes, half) ? 0 : half;
	cr_assert_eq(memcmp(before.bytes + (half - at),
			     after.bytes + (half - at), half),
		0, "only the older copy is written");
	memcpy(cut.bytes + at + 8, after.bytes + at + 8,
		bytes < SIZE ? bytes : SIZE);
	if (bytes > SIZE)
		memcpy(cut.bytes + at + 4, after.bytes + at + 4, bytes - SIZE);
	cr_assert_eq(read_filled(&cut), 2, "cut after %zu bytes", bytes);
	write_filled(&cut, 4);
	cr_assert_eq(read_filled(&cut), 4);
}

Test(record, survives_a_cut_write)
{
	for (size_t bytes = 0; bytes <= SIZE + 4; bytes++)
		cut_the_third_write(bytes);
}

Test(record, a_first_write_that_was_cut_counts_as_none)
{
	struct place place = {0};

	memset(place.bytes + 8, 7, SIZE);
	cr_assert_eq(read_filled(&place), -ENOENT);
}

Test(record, any_damaged_byte_falls_back_to_the_other_copy)
{
	struct place whole = {0};

	write_filled(&whole, 1);
	write_filled(&whole, 2);
	for (int i = 0; i < PLACE; i++) {
		struct place place = whole;
		int got;

		place.bytes[i] ^= 0x10;
		got = read_filled(&place);
		cr_assert(got == 1 || got == 2, "byte %d: %d", i, got);
	}
}

Test(record, two_damaged_copies_are_told)
{
	struct place place = {0};

	write_filled(&place, 1);
	write_filled(&place, 2);
	place.bytes[10] ^= 1;
	place.bytes[PLACE / 2 + 10] ^= 1;
	cr_assert_eq(read_filled(&place), -EBADMSG);
}

Test(record, the_counter_may_wrap)
{
	struct place place = {0};
	uint32_t high = UINT32_MAX - 1;

	write_filled(&place, 1);
	write_filled(&place, 2);
	memcpy(place.bytes, &high, 4);
	high++;
	memcpy(place.bytes + PLACE / 2, &high, 4);
	for (int i = 3; i < 9; i++) {
		write_filled(&place, i);
		cr_assert_eq(read_filled(&place), i);
	}
}

static uint32_t
slow_crc(const unsigned char *bytes, size_t size)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

Test(record, the_crc_is_castagnoli)
{
	unsigned char bytes[67];

	cr_assert_eq(record_crc(0, "123456789", 9), 0xe3069283);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (unsigned char)(i * 37);
		cr_assert_eq(record_crc(0, bytes, i), slow_crc(bytes, i));
		cr_assert_eq(record_crc(record_crc(0, bytes, i / 2),
				     bytes + i / 2, i - i / 2),
			slow_crc(bytes, i));
	}
}
